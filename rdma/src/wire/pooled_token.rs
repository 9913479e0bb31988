//! Owns [`PooledToken`]: the window of one object request on a connection that was made before.

use std::fmt;

use super::{Fault, SessionId, WireError, number};
use crate::fabric::RemoteWindow;

/// What a pooled token begins with.
pub(super) const PREFIX: &str = "rc:";

/// `rc:<connection>:<address>:<size>:<rkey>`, 32, 16, 8 and 8 digits as sent. On a PUT the size is the object's; on a
/// GET it is the room that the client has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PooledToken {
    /// The connection, as its server named it.
    pub connection: SessionId,
    /// The client's memory. Its end does not wrap; its size may be 0.
    pub window: RemoteWindow,
}

impl PooledToken {
    /// Five fields: `rc`, 32 digits, 1 to 16, 1 to 16, 1 to 8.
    ///
    /// # Errors
    /// Any other text, and a window that does not end inside the address space.
    pub fn parse(text: &str) -> Result<PooledToken, WireError> {
        let refuse = |why| WireError::new("pooled RC token", text, why);
        let expected = "rc:<connection>:<address>:<size>:<remote key>";
        let Some(["rc", connection, address, size, rkey]) = number::fields::<5>(text) else {
            return Err(refuse(Fault::Fields { expected }));
        };
        let window = RemoteWindow {
            address: number::hex("window address", address, 1, number::HEX_U64)?,
            size: number::hex("window size", size, 1, number::HEX_U64)?,
            rkey: number::hex_u32("remote key", rkey, 1, 8)?,
        };
        let connection = SessionId(number::hex_bytes("connection", connection)?);
        if window.address.checked_add(window.size).is_none() {
            return Err(WireError::new("window", text, Fault::Wraps));
        }
        Ok(PooledToken { connection, window })
    }
}

impl fmt::Display for PooledToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RemoteWindow { address, size, rkey } = self.window;
        write!(f, "{PREFIX}{}:{address:016x}:{size:08x}:{rkey:08x}", self.connection)
    }
}
