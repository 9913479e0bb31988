//! Owns [`ReplyCode`]: what a server says of the payload, apart from HTTP's status.

use std::fmt;

use super::{Fault, RcToken, WireError, header};

/// The value of `x-amz-rdma-reply`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyCode {
    /// `200`: all of it went by RDMA.
    Whole,
    /// `204`: done, and there was nothing to move.
    NoContent,
    /// `206`: the range or part went by RDMA.
    Partial,
    /// `501`: nothing went by RDMA. A GET's bytes are in the body; of a PUT nothing was stored.
    NotByRdma,
    /// `200:` and 88 digits: the server's queue pair, with its memory where it has some.
    Prepared(RcToken),
    /// Another status of HTTP, 100 to 599: the request failed. Some servers repeat it here.
    Http(u16),
    /// `ok`, of old servers: as [`ReplyCode::Whole`]. Never sent.
    Ok,
    /// `err`, of old servers: failed. Never sent.
    Err,
}

impl ReplyCode {
    /// Three digits, `200:` with a token that names a queue pair, `ok` or `err`.
    ///
    /// # Errors
    /// Any other text.
    pub fn parse(text: &str) -> Result<ReplyCode, WireError> {
        let refuse = |why| WireError::new("reply", text, why).in_header(header::REPLY);
        if let Some(token) = text.strip_prefix("200:") {
            let token = RcToken::parse_reply(token);
            return token.map(ReplyCode::Prepared).map_err(|error| error.in_header(header::REPLY));
        }
        match text {
            "" => return Err(refuse(Fault::Empty)),
            "ok" => return Ok(ReplyCode::Ok),
            "err" => return Ok(ReplyCode::Err),
            _ => {}
        }
        let [hundreds @ b'1'..=b'5', tens @ b'0'..=b'9', ones @ b'0'..=b'9'] = text.as_bytes()
        else {
            let expected = "a status of three digits, or 200: and a token";
            return Err(refuse(Fault::Word { expected }));
        };
        let digit = |byte: &u8| u16::from(byte - b'0');
        Ok(match digit(hundreds) * 100 + digit(tens) * 10 + digit(ones) {
            200 => ReplyCode::Whole,
            204 => ReplyCode::NoContent,
            206 => ReplyCode::Partial,
            501 => ReplyCode::NotByRdma,
            status => ReplyCode::Http(status),
        })
    }

    /// Whether the payload was moved by RDMA, all of it.
    #[must_use]
    pub fn is_success(&self) -> bool {
        match self {
            ReplyCode::Whole | ReplyCode::NoContent | ReplyCode::Partial | ReplyCode::Ok => true,
            ReplyCode::NotByRdma | ReplyCode::Prepared(_) => false,
            ReplyCode::Http(_) | ReplyCode::Err => false,
        }
    }
}

impl fmt::Display for ReplyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReplyCode::Whole => f.write_str("200"),
            ReplyCode::NoContent => f.write_str("204"),
            ReplyCode::Partial => f.write_str("206"),
            ReplyCode::NotByRdma => f.write_str("501"),
            ReplyCode::Prepared(token) => write!(f, "200:{}", token.digits()),
            ReplyCode::Http(status) => write!(f, "{status:03}"),
            ReplyCode::Ok => f.write_str("ok"),
            ReplyCode::Err => f.write_str("err"),
        }
    }
}
