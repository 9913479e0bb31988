//! Owns [`Token`]: the one entry for whatever stands in `x-amz-rdma-token` of an object request.

use super::{DcToken, Fault, PooledToken, RcToken, WireError};
use super::{header, libfabric_token, number, pooled_token, rc_token};
use crate::limits::TOKEN_BYTES_MAX;

/// What a token asks for, well-formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// A window on a pooled connection: may be served.
    Pooled(PooledToken),
    /// A queue pair that is not connected: cannot be served in one round trip, so it is declined with the mark of
    /// hipobj-rc-v2.
    Session(RcToken),
    /// Of libfabric: declined.
    Libfabric,
    /// Of cuObject: declined without its hardware.
    Dc(DcToken),
}

impl Token {
    /// The first that fits decides: it begins with `rc:`; it has 88 hexadecimal digits before the first colon; its third
    /// field is `ofi1`; it has 7 or 9 fields. From there on the kind's own grammar holds, and a token that breaks it is
    /// no other kind's.
    ///
    /// # Errors
    /// More than [`TOKEN_BYTES_MAX`] bytes, a kind's own errors, or no kind at all: all of them the client's fault.
    pub fn parse(text: &str) -> Result<Token, WireError> {
        Self::recognise(text).map_err(|error| error.in_header(header::TOKEN))
    }

    fn recognise(text: &str) -> Result<Token, WireError> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(WireError::new("token", text, Fault::TooLong { limit: TOKEN_BYTES_MAX }));
        }
        if text.is_empty() {
            return Err(WireError::new("token", text, Fault::Empty));
        }
        if text.starts_with(pooled_token::PREFIX) {
            return PooledToken::parse(text).map(Token::Pooled);
        }
        let head = text.split_once(':').map_or(text, |(head, _)| head);
        if number::is_hex(head, rc_token::DIGITS) {
            return RcToken::parse(text).map(Token::Session);
        }
        if libfabric_token::is_libfabric(text) {
            return libfabric_token::check(text).map(|()| Token::Libfabric);
        }
        match text.split(':').count() {
            7 | 9 => DcToken::parse(text).map(Token::Dc),
            _ => Err(WireError::new("token", text, Fault::UnknownKind)),
        }
    }
}
