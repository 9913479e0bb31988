//! How the command line finds and convinces the running server.
//!
//! Owns: `admin.json` in the data directory, mode 0600, there while the server runs: where it is
//! administered, and a token made anew at each start. Who can read the directory may order; who
//! merely reaches the port may not.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::limits;

/// What an order has to show. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Arc<str>);

impl Token {
    /// 256 random bits.
    ///
    /// # Errors
    /// When the system has no random numbers to give.
    pub fn generate() -> Result<Token, getrandom::Error> {
        let mut random = [0u8; 32];
        getrandom::fill(&mut random)?;
        Ok(Token(hex_simd::encode_to_string(random, hex_simd::AsciiCase::Lower).into()))
    }

    /// A token from a file: at least [`limits::ADMIN_TOKEN_CHARS_MIN`] characters of those that
    /// RFC 6750 lets a bearer token have.
    ///
    /// # Errors
    /// What is wrong, without the token.
    pub fn from_text(text: &str) -> Result<Token, String> {
        let usual = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        let (least, most) = (limits::ADMIN_TOKEN_CHARS_MIN, limits::ADMIN_TOKEN_CHARS_MAX);
        if !(least..=most).contains(&text.len()) {
            return Err(format!("has {} characters; {least} to {most} are allowed", text.len()));
        }
        match text.bytes().all(usual) {
            true => Ok(Token(text.into())),
            false => Err("has other characters than letters, digits and -._~+/=".into()),
        }
    }

    /// What it consists of.
    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The value of the `Authorization` header.
    pub fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

/// Where the running server is, and what it wants to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    /// The administration address.
    pub address: SocketAddr,
    /// The token.
    pub token: Token,
    /// File of the certificate that the server shows, absolute; `None` for plain HTTP.
    pub certificate: Option<PathBuf>,
}

#[derive(Serialize, Deserialize)]
struct Document {
    address: SocketAddr,
    token: String,
    /// The server's process, for who looks into it.
    #[serde(default)]
    process: Option<u32>,
    #[serde(default)]
    certificate: Option<PathBuf>,
}

impl Pass {
    fn path(data: &Path) -> PathBuf {
        data.join("admin.json")
    }

    /// Leaves the pass in the data directory; it is taken away when the guard is dropped.
    ///
    /// # Errors
    /// What the system said.
    pub fn leave(&self, data: &Path) -> io::Result<Left> {
        let path = Pass::path(data);
        let beside = data.join("admin.json.new");
        let document = Document {
            address: self.address,
            token: self.token.0.to_string(),
            process: Some(std::process::id()),
            certificate: self.certificate.clone(),
        };
        let text = serde_json::to_string(&document)?;
        let _ = fs::remove_file(&beside);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&beside, &path)?;
        Ok(Left { path })
    }

    /// Reads the pass of the server that runs on that directory.
    ///
    /// # Errors
    /// Not found when no server runs there.
    pub fn find(data: &Path) -> io::Result<Pass> {
        let text = fs::read_to_string(Pass::path(data))?;
        let document: Document = serde_json::from_str(&text)?;
        let Document { address, token, certificate, .. } = document;
        Ok(Pass { address, token: Token(token.into()), certificate })
    }
}

/// The process of the server that runs on that directory, as it sees itself; nothing when none has
/// left a pass there that can be read.
pub fn process(data: &Path) -> Option<u32> {
    let text = fs::read_to_string(Pass::path(data)).ok()?;
    serde_json::from_str::<Document>(&text).ok()?.process
}

/// A pass that lies in the data directory.
#[derive(Debug)]
pub struct Left {
    path: PathBuf,
}

impl Drop for Left {
    fn drop(&mut self) {
        // After a crash it stays; the next server replaces it.
        let _ = fs::remove_file(&self.path);
    }
}
