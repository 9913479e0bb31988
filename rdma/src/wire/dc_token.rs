//! Owns [`DcToken`]: cuObject's descriptor of memory that is reached by dynamically connected transport. It needs
//! ConnectX hardware on both sides, so here it is only told from a broken one: the first is answered over HTTP, the
//! second refused.

use std::fmt;

use super::{Fault, WireError, number};
use crate::fabric::{Gid, RemoteWindow};

/// Seven fields of 16, 8, 8, 4, 6, 1 and 32 digits, 81 characters; or nine, with the window inside that memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DcToken {
    /// The memory that is transferred: of fields 7 and 8 where they are there, else of 0 and 1. Never empty, and its
    /// end does not wrap.
    pub window: RemoteWindow,
    /// Where the registered memory begins.
    pub memory_address: u64,
    /// Bytes of registered memory; may be 0 where the window is named apart.
    pub memory_size: u32,
    /// The port's local identifier, or reserved.
    pub lid: u16,
    /// The DC target: 24 bits.
    pub target_number: u32,
    /// Whether there is a GID, as a digit: 0 or 1 from all known clients.
    pub gid_present: u8,
    /// The port. With [`Gid::ipv4`] the address of the client's card.
    pub gid: Gid,
}

impl DcToken {
    /// One `;` at the end is ignored: some clients send it.
    ///
    /// # Errors
    /// Any other shape; a window that is empty, does not end inside the address space, or does not lie inside the
    /// registered memory where the token says how large that is.
    pub fn parse(text: &str) -> Result<DcToken, WireError> {
        let token = text.strip_suffix(';').unwrap_or(text);
        if let Some(fields) = number::fields::<7>(token) {
            return Self::parse_fields(token, fields, None);
        }
        if let Some([a, b, c, d, e, f, g, address, size]) = number::fields::<9>(token) {
            return Self::parse_fields(token, [a, b, c, d, e, f, g], Some((address, size)));
        }
        let expected = "7 fields, or 9 with address and size behind them";
        Err(WireError::new("DC token", text, Fault::Fields { expected }))
    }

    fn parse_fields(
        token: &str,
        fields: [&str; 7],
        window: Option<(&str, &str)>,
    ) -> Result<DcToken, WireError> {
        let [address, size, rkey, lid, target_number, gid_present, gid] = fields;
        let memory_address = number::hex("memory address", address, 16, 16)?;
        let memory_size = number::hex_u32("memory size", size, 8, 8)?;
        let rkey = number::hex_u32("remote key", rkey, 8, 8)?;
        let lid = number::hex_u32("local identifier", lid, 4, 4)? as u16; // 4 digits are 16 bits
        let target_number = number::hex_u32("DC target number", target_number, 6, 6)?;
        let gid_present = number::hex_u32("mark of a GID", gid_present, 1, 1)? as u8;
        let gid = Gid(number::hex_bytes("GID", gid)?);
        let (address, size) = match window {
            Some((address, size)) => (
                number::hex("window address", address, 1, number::HEX_U64)?,
                number::hex("window size", size, 1, number::HEX_U64)?,
            ),
            None => (memory_address, u64::from(memory_size)),
        };
        if size == 0 {
            return Err(WireError::new("window size", token, Fault::Zero));
        }
        let memory_end = memory_address.checked_add(u64::from(memory_size));
        let (Some(end), Some(memory_end)) = (address.checked_add(size), memory_end) else {
            return Err(WireError::new("window", token, Fault::Wraps));
        };
        if memory_size != 0 && (address < memory_address || end > memory_end) {
            return Err(WireError::new("window", token, Fault::OutsideMemory));
        }
        let window = RemoteWindow { address, size, rkey };
        Ok(DcToken { window, memory_address, memory_size, lid, target_number, gid_present, gid })
    }
}

/// Seven fields where the window is all of the memory, else nine.
impl fmt::Display for DcToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RemoteWindow { address, size, rkey } = self.window;
        write!(f, "{:016x}:{:08x}:{rkey:08x}", self.memory_address, self.memory_size)?;
        write!(f, ":{:04x}:{:06x}:{:x}", self.lid, self.target_number, self.gid_present)?;
        write!(f, ":{:032x}", u128::from_be_bytes(self.gid.0))?;
        if (address, size) != (self.memory_address, u64::from(self.memory_size)) {
            write!(f, ":{address:016x}:{size:016x}")?;
        }
        Ok(())
    }
}
