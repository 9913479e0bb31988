//! Owns what listings share: how many entries a page may have, `encoding-type=url`, where a page begins and
//! continuation tokens.

use bytes::Bytes;
use s3s::dto::EncodingType;

use super::limits::{KEY_BYTES_MAX, PAGE_ENTRIES_MAX};
use super::refusal::{Outcome, Refusal};

/// Entries of a page: what was asked for, at most `max`.
///
/// # Errors
/// InvalidArgument for less than none.
pub(super) fn entries(asked: Option<i32>, max: usize, name: &str) -> Outcome<usize> {
    match asked.map(usize::try_from) {
        None => Ok(max),
        Some(Ok(asked)) => Ok(asked.min(max)),
        Some(Err(_)) => Err(Refusal::InvalidArgument(format!(
            "Argument {name} must be an integer between 0 and 2147483647"
        ))),
    }
}

/// The number for XML.
pub(super) fn count(entries: usize) -> i32 {
    i32::try_from(entries).unwrap_or(i32::MAX)
}

/// How names are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As they are.
    Plain,
    /// Percent-encoded, for characters that XML 1.0 cannot hold.
    Url,
}

impl Encoding {
    /// From `encoding-type`.
    ///
    /// # Errors
    /// InvalidArgument for another than `url`.
    pub(super) fn parse(asked: Option<&EncodingType>) -> Outcome<Self> {
        match asked.map(EncodingType::as_str) {
            None => Ok(Self::Plain),
            Some(EncodingType::URL) => Ok(Self::Url),
            Some(_) => Err(Refusal::InvalidArgument(
                "Invalid Encoding Method specified in Request".to_owned(),
            )),
        }
    }

    /// A name. Amazon S3 writes a space as `+` and a plus as `%2B`; here a space is `%20`, which decoders of both
    /// kinds read.
    pub(super) fn text(self, name: &[u8]) -> String {
        let name = String::from_utf8_lossy(name);
        match self {
            Self::Plain => name.into_owned(),
            Self::Url => percent_encoded(&name),
        }
    }
}

/// All but unreserved characters (RFC 3986, 2.3) and the slash.
pub(super) fn percent_encoded(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push(char::from(HEX[usize::from(byte >> 4)]));
            encoded.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    encoded
}

/// An empty text is none.
pub(super) fn filled(text: Option<String>) -> Option<Bytes> {
    text.filter(|text| !text.is_empty()).map(Bytes::from)
}

/// Where a page begins: after this. A text longer than any key is cut to a key's length, behind which the same keys
/// follow: none that is longer exists, and the cut itself sorts before the text.
pub(super) fn start(text: Option<Bytes>) -> Option<Bytes> {
    text.map(|text| text.slice(..text.len().min(KEY_BYTES_MAX)))
}

/// Whether no key can begin with this.
pub(super) fn is_hopeless(prefix: &[u8], limit: usize) -> bool {
    prefix.len() > KEY_BYTES_MAX || limit == 0
}

const TOKEN_VERSION: u8 = 1;
const TOKEN_HEAD_BYTES: usize = 5;

/// A continuation token: the last name of a page with a check, so that a text from elsewhere is refused rather than
/// taken for a key. It is no secret and grants nothing.
pub(super) fn token(last: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(TOKEN_HEAD_BYTES + last.len());
    bytes.push(TOKEN_VERSION);
    bytes.extend(crc_fast::crc32_iscsi(last).to_le_bytes());
    bytes.extend(last);
    base64_simd::URL_SAFE_NO_PAD.encode_to_string(&bytes)
}

/// The name in a token.
///
/// # Errors
/// InvalidArgument for what [`token`] has not made.
pub(super) fn token_name(token: &str) -> Outcome<Bytes> {
    let refused =
        || Refusal::InvalidArgument("The continuation token provided is incorrect".to_owned());
    if token.len() > 2 * (TOKEN_HEAD_BYTES + KEY_BYTES_MAX) {
        return Err(refused());
    }
    let bytes = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(token).map_err(|_| refused())?;
    let (head, name) = bytes.split_first_chunk::<TOKEN_HEAD_BYTES>().ok_or_else(refused)?;
    let [version, check @ ..] = *head;
    if version != TOKEN_VERSION
        || u32::from_le_bytes(check) != crc_fast::crc32_iscsi(name)
        || name.is_empty()
    {
        return Err(refused());
    }
    Ok(Bytes::copy_from_slice(name))
}

const _: () = assert!(PAGE_ENTRIES_MAX <= i32::MAX as usize);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_page_is_clamped() {
        assert_eq!(entries(None, 1000, "max-keys").unwrap(), 1000);
        assert_eq!(entries(Some(0), 1000, "max-keys").unwrap(), 0);
        assert_eq!(entries(Some(5000), 1000, "max-keys").unwrap(), 1000);
        assert!(matches!(entries(Some(-1), 1000, "max-keys"), Err(Refusal::InvalidArgument(_))));
    }

    #[test]
    fn names_are_encoded_as_both_kinds_of_decoder_read() {
        assert_eq!(
            Encoding::Url.text("a b+c/d(3)~é\u{1}".as_bytes()),
            "a%20b%2Bc/d%283%29~%C3%A9%01"
        );
        assert_eq!(Encoding::Plain.text(b"a b+c"), "a b+c");
        let of = |text| Encoding::parse(Some(&EncodingType::from_static(text)));
        assert_eq!(of("url").unwrap(), Encoding::Url);
        assert!(matches!(of("URL"), Err(Refusal::InvalidArgument(_))));
    }

    #[test]
    fn a_long_start_is_cut() {
        assert_eq!(start(Some(Bytes::from(vec![b'a'; 2000]))).unwrap().len(), 1024);
        assert_eq!(start(None), None);
        assert_eq!(filled(Some(String::new())), None);
    }

    proptest! {
        #[test]
        fn tokens_return_and_foreign_ones_do_not(name in proptest::collection::vec(any::<u8>(), 1..64), noise in ".{0,40}") {
            let made = token(&name);
            prop_assert_eq!(token_name(&made).unwrap(), name);
            prop_assert!(token_name(&made[1..]).is_err());
            prop_assert!(token_name(&noise).is_err());
        }
    }
}
