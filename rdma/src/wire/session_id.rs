//! Owns [`SessionId`], by which a server's session or pooled connection is named.

use std::fmt;

use super::{WireError, header, number};

/// A session of hipobj-rc-v2 or a pooled connection: 128 bits from the system's random source, 32 digits on the wire.
/// It is looked up together with who asks, so knowing one is of no use to others.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub [u8; 16]);

impl SessionId {
    /// Of exactly 32 hexadecimal digits.
    ///
    /// # Errors
    /// Any other text.
    pub fn parse(text: &str) -> Result<SessionId, WireError> {
        let bytes = number::hex_bytes("session", text);
        bytes.map(SessionId).map_err(|error| error.in_header(header::SESSION))
    }

    /// A new one.
    ///
    /// # Errors
    /// The system has no random bits to give.
    pub fn random() -> Result<SessionId, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(SessionId(bytes))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}
