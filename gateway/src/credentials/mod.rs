//! Access keys: who may sign requests.
//!
//! Owns: the form of an access key and its generation.
//! Not here: the file (`file.rs`) and its contents (`document.rs`), whose keys they are (`iam`), and how a signature is checked (`auth`).

pub mod document;
pub mod file;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use crate::auth::Secret;
use crate::limits;

impl Secret {
    /// Takes over a secret from outside.
    ///
    /// # Errors
    /// What is wrong with it: shorter than 8 or longer than 128 characters, or not printable ASCII.
    pub fn from_text(text: &str) -> Result<Secret, &'static str> {
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        match text.len() {
            length if length < limits::SECRET_CHARS_MIN => Err("shorter than 8 characters"),
            length if length > limits::SECRET_CHARS_MAX => Err("longer than 128 characters"),
            _ if !printable => Err("not printable ASCII without spaces"),
            _ => Ok(Secret::new(text)),
        }
    }
}

/// An access key id with its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// The id, which is public: `AKIA` and 16 more characters when generated here.
    pub id: Arc<str>,
    /// The secret: 40 characters when generated here.
    pub secret: Secret,
}

/// An id as AWS forms them: four letters that say of what, and 80 random bits.
///
/// # Errors
/// When the system has no random numbers to give.
pub fn unique_id(prefix: &str) -> Result<String, getrandom::Error> {
    let mut random = [0u8; 16];
    getrandom::fill(&mut random)?;
    Ok(id_of(prefix, &random))
}

/// The id that those bytes make.
pub fn id_of(prefix: &str, bytes: &[u8]) -> String {
    prefix.chars().chain(bytes.iter().map(|byte| letter(ID_ALPHABET, *byte))).collect()
}

/// The secret that those bytes make: one character of each.
pub fn secret_of(bytes: &[u8]) -> Secret {
    let text: String = bytes.iter().map(|byte| letter(SECRET_ALPHABET, *byte)).collect();
    Secret::new(text)
}

/// Both alphabets divide 256, so the remainder is as even as the byte.
fn letter(alphabet: &[u8], byte: u8) -> char {
    alphabet[usize::from(byte) % alphabet.len()] as char
}

/// RFC 4648 base 32, as AWS uses for ids: no digits that look like letters.
const ID_ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// 64 characters, none of which needs escaping in shells, URLs or configuration files.
const SECRET_ALPHABET: &[u8; 64] =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";

impl AccessKey {
    /// Makes a key from the system's random numbers: 80 random bits of id, 240 of secret.
    ///
    /// # Errors
    /// When the system has no random numbers to give, which only a broken sandbox causes.
    pub fn generate() -> Result<AccessKey, getrandom::Error> {
        let mut random = [0u8; 40];
        getrandom::fill(&mut random)?;
        Ok(AccessKey { id: unique_id("AKIA")?.into(), secret: secret_of(&random) })
    }

    /// Checks an id from outside. `/` and `,` separate the parts of a signature's credential, so
    /// only letters, digits, `_`, `-` and `.` are taken.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_id(id: &str) -> Result<(), &'static str> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        match id.len() {
            length if length < limits::ACCESS_KEY_CHARS_MIN => Err("shorter than 3 characters"),
            length if length > limits::ACCESS_KEY_CHARS_MAX => Err("longer than 128 characters"),
            _ if !id.bytes().all(plain) => {
                Err("has characters besides letters, digits, _, - and .")
            }
            _ => Ok(()),
        }
    }
}
