//! Every parser on bytes that mean nothing: none may panic, and what one accepts must be read again as the same from its
//! own text. Called by the tests and by the fuzz targets; a broken promise panics.

use std::fmt::{Debug, Display};

use super::{
    Capabilities, Checksum, ChecksumAlgorithm, Cookie, Crc32c, Crc64Nvme, DcToken, Operation,
    PooledToken, RcToken, ReplyCode, SessionId, Target, Token, WireError, display_psn, number,
    parse_bare_hex, parse_decimal, parse_psn, parse_qpn, parse_rkey,
};
use crate::limits::{TARGET_BYTES_MAX, WIRE_ERROR_BYTES_MAX};

/// All of the below on the same bytes. What is no UTF-8 is read with replacement characters.
pub fn fuzz_every_parser(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    token(&text);
    reply(&text);
    target(&text);
    checksum(&text);
    capability(&text);
    numbers(&text);
}

/// Tokens of all kinds, by the recogniser and each by itself.
pub fn token(text: &str) {
    match checked(Token::parse(text)) {
        Some(Token::Pooled(token)) => assert_eq!(Ok(token), PooledToken::parse(text)),
        Some(Token::Session(token)) => assert_eq!(Ok(token), RcToken::parse(text)),
        Some(Token::Dc(token)) => assert_eq!(Ok(token), DcToken::parse(text)),
        Some(Token::Libfabric) | None => {}
    }
    if let Some(token) = round_trip(text, PooledToken::parse) {
        assert!(token.window.address.checked_add(token.window.size).is_some());
        assert_eq!(text.as_bytes()[35], b':');
        assert_eq!(Token::parse(&token.to_string()), Ok(Token::Pooled(token)));
    }
    if let Some(token) = round_trip(text, RcToken::parse) {
        assert!(token.address.checked_add(token.length).is_some());
        assert_eq!(Token::parse(&token.to_string()), Ok(Token::Session(token)));
        let _ = checked(token.queue_pair());
    }
    if let Some(token) = round_trip(text, DcToken::parse) {
        assert!(token.window.address.checked_add(token.window.size).is_some());
        assert_ne!(token.window.size, 0);
        assert_eq!(Token::parse(&token.to_string()), Ok(Token::Dc(token)));
    }
}

/// `x-amz-rdma-reply`.
pub fn reply(text: &str) {
    if let Some(reply) = round_trip(text, ReplyCode::parse) {
        assert!(text.eq_ignore_ascii_case(&reply.to_string()));
    }
}

/// `x-amz-rdma-target` and `x-amz-rdma-op`.
pub fn target(text: &str) {
    let _ = round_trip(text, Operation::parse);
    let Some(target) = checked(Target::parse(text)) else { return };
    assert!(!target.bucket.is_empty() && !target.key.is_empty());
    match target.encode() {
        Ok(encoded) => assert_eq!(Target::parse(&encoded), Ok(target)),
        // A character that was sent as it is may take three when it is escaped.
        Err(error) => assert!(target.to_string().len() > TARGET_BYTES_MAX, "{error}"),
    }
}

/// Checksums and their algorithms.
pub fn checksum(text: &str) {
    let _ = round_trip(text, ChecksumAlgorithm::parse);
    if let Some(crc) = round_trip(text, Crc64Nvme::parse) {
        assert_eq!(crc.to_string(), text);
        assert_eq!(Checksum::Crc64Nvme(crc).to_string(), text);
    }
    if let Some(crc) = round_trip(text, Crc32c::parse) {
        assert_eq!(crc.to_string(), text);
        assert_eq!(Checksum::Crc32c(crc).to_string(), text);
    }
    if let Some(crc) = checked(Crc64Nvme::parse_named(text)) {
        assert_eq!(crc.named().to_string(), text);
    }
}

/// `x-amz-rdma-capabilities`.
pub fn capability(text: &str) {
    let _ = round_trip(text, Capabilities::parse);
}

/// Numbers and identifiers.
pub fn numbers(text: &str) {
    if let Some(session) = round_trip(text, SessionId::parse) {
        assert!(session.to_string().eq_ignore_ascii_case(text));
    }
    if let Some(cookie) = round_trip(text, Cookie::parse) {
        assert_ne!(cookie.number(), 0);
        assert!(cookie.to_string().eq_ignore_ascii_case(text));
    }
    if let Some(psn) = checked(parse_psn(text)) {
        assert_eq!(parse_psn(&display_psn(psn).to_string()), Ok(psn));
    }
    if let Some(qpn) = checked(parse_qpn(text)) {
        assert_eq!(parse_qpn(&format!("{:x}", qpn.number())), Ok(qpn));
    }
    if let Some(rkey) = checked(parse_rkey(text)) {
        assert_eq!(parse_bare_hex(text), Ok(u64::from(rkey)));
    }
    if let Some(number) = checked(parse_bare_hex(text)) {
        assert_eq!(u64::from_str_radix(text, 16), Ok(number));
        assert!(text.len() <= number::HEX_U64);
    }
    if let Some(number) = checked(parse_decimal(text)) {
        assert_eq!(text.parse(), Ok(number));
        assert!(text.bytes().all(|byte| byte.is_ascii_digit()));
    }
}

/// What is accepted is written such that it is read as the same.
fn round_trip<T: Display + Debug + PartialEq + Copy>(
    text: &str,
    parse: impl Fn(&str) -> Result<T, WireError>,
) -> Option<T> {
    let value = checked(parse(text))?;
    assert_eq!(parse(&value.to_string()), Ok(value), "written as \"{value}\"");
    Some(value)
}

/// What is refused is refused in words that can be shown: printable, not too long.
fn checked<T>(result: Result<T, WireError>) -> Option<T> {
    let error = match result {
        Ok(value) => return Some(value),
        Err(error) => error.to_string(),
    };
    assert!(error.len() <= WIRE_ERROR_BYTES_MAX, "{error}");
    assert!(error.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()), "{error:?}");
    None
}
