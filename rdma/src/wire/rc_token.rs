//! Owns [`RcToken`]: a queue pair, the port it is on and memory behind it, in 44 bytes.
//!
//! ```text
//!  byte  0          1    5    21    25       33      41    42   44
//!        transport  qpn  gid  rkey  address  length  port  lid      integers little-endian, the GID as it is
//! ```

use std::fmt;

use super::{Fault, WireError, number, sequence};
use crate::fabric::{Gid, Qpn, RemoteWindow};

/// Bytes of a token.
const BYTES: usize = 44;

/// Digits of a token.
pub(super) const DIGITS: usize = 2 * BYTES;

/// The transport byte of a reliable connection.
const RELIABLE_CONNECTION: u8 = 1;

/// The identity of a queue pair, with or without memory. All zeros: [`RcToken::LOOPBACK`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RcToken {
    /// The queue pair, of which 24 bits are used: [`RcToken::queue_pair`] checks that.
    pub qpn: u32,
    /// The port.
    pub gid: Gid,
    /// The key of the memory; 0 for none.
    pub rkey: u32,
    /// Where the memory begins; 0 for none.
    pub address: u64,
    /// Bytes of memory; 0 for none. `address + length` does not wrap.
    pub length: u64,
    /// The port's number on its device, from 1.
    pub port: u8,
    /// The port's local identifier; 0 on RoCE.
    pub lid: u16,
    /// "The same device as yours": everything but address and length is zero then and means nothing.
    pub is_loopback: bool,
}

impl RcToken {
    /// All 88 digits are zero: route to your own GID.
    pub const LOOPBACK: RcToken = RcToken {
        qpn: 0,
        gid: Gid::ZERO,
        rkey: 0,
        address: 0,
        length: 0,
        port: 0,
        lid: 0,
        is_loopback: true,
    };

    /// A queue pair without memory. The GID must not be zero: nobody would read that.
    #[must_use]
    pub fn identity(qpn: Qpn, gid: Gid, port: u8, lid: u16) -> RcToken {
        debug_assert_ne!(gid, Gid::ZERO);
        let qpn = qpn.number();
        RcToken { qpn, gid, port, lid, is_loopback: false, ..RcToken::LOOPBACK }
    }

    /// The same with memory.
    #[must_use]
    pub fn with_window(self, window: RemoteWindow) -> RcToken {
        let RemoteWindow { address, size: length, rkey } = window;
        RcToken { rkey, address, length, ..self }
    }

    /// 88 hexadecimal digits; behind them perhaps `:<address>:<length>`, 1 to 16 digits each, which count instead of
    /// those in the token.
    ///
    /// # Errors
    /// Any other text; a transport that is not 1, a GID of zero, unless the 88 digits are all zero; and a window that
    /// does not end inside the address space.
    pub fn parse(text: &str) -> Result<RcToken, WireError> {
        let (digits, suffix) = match text.split_once(':') {
            Some((digits, suffix)) => (digits, Some(suffix)),
            None => (text, None),
        };
        let mut token = Self::parse_digits(digits)?;
        if let Some(suffix) = suffix {
            let expected = "<88 digits>:<address>:<length>";
            let Some([address, length]) = number::fields::<2>(suffix) else {
                return Err(WireError::new("RC token", text, Fault::Fields { expected }));
            };
            token.address = number::hex("buffer address", address, 1, number::HEX_U64)?;
            token.length = number::hex("buffer length", length, 1, number::HEX_U64)?;
        }
        if token.address.checked_add(token.length).is_none() {
            return Err(WireError::new("RC token's window", text, Fault::Wraps));
        }
        Ok(token)
    }

    /// As [`RcToken::parse`], without a suffix, and a queue pair must be named: the token of a server's reply.
    pub(super) fn parse_reply(text: &str) -> Result<RcToken, WireError> {
        let token = Self::parse_digits(text)?;
        if token.is_loopback {
            return Err(WireError::new("RC token", text, Fault::Loopback));
        }
        if token.address.checked_add(token.length).is_none() {
            return Err(WireError::new("RC token's window", text, Fault::Wraps));
        }
        Ok(token)
    }

    fn parse_digits(text: &str) -> Result<RcToken, WireError> {
        let bytes: [u8; BYTES] = number::hex_bytes("RC token", text)?;
        if bytes == [0; BYTES] {
            return Ok(RcToken::LOOPBACK);
        }
        let (transport, token) = from_bytes(bytes);
        if transport != RELIABLE_CONNECTION {
            return Err(WireError::new("RC token's transport", &text[..2], Fault::Transport));
        }
        if token.gid == Gid::ZERO {
            return Err(WireError::new("RC token's GID", &text[10..42], Fault::ZeroGid));
        }
        Ok(token)
    }

    /// The queue pair, where its number is one.
    ///
    /// # Errors
    /// 0, or more than 24 bits.
    pub fn queue_pair(&self) -> Result<Qpn, WireError> {
        let shown = HexU32::of(self.qpn);
        sequence::qpn("RC token's queue pair number", shown.as_str(), u64::from(self.qpn))
    }

    /// The memory, where there is some: neither key nor address are zero.
    #[must_use]
    pub fn window(&self) -> Option<RemoteWindow> {
        let RcToken { rkey, address, length, .. } = *self;
        (rkey != 0 && address != 0).then_some(RemoteWindow { address, size: length, rkey })
    }

    /// The 88 digits alone, which is all that a reply may have.
    pub(super) fn digits(&self) -> impl fmt::Display {
        let bytes = if self.is_loopback { [0; BYTES] } else { to_bytes(RELIABLE_CONNECTION, self) };
        fmt::from_fn(move |f| bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")))
    }
}

/// 88 digits. Only a loopback token with memory has the suffix, for it has no other place to say so.
impl fmt::Display for RcToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.digits().fmt(f)?;
        if self.is_loopback && (self.address, self.length) != (0, 0) {
            write!(f, ":{:016x}:{:016x}", self.address, self.length)?;
        }
        Ok(())
    }
}

/// The transport and the rest, which may be nonsense.
fn from_bytes(bytes: [u8; BYTES]) -> (u8, RcToken) {
    let mut rest = bytes.as_slice();
    let [transport] = take(&mut rest);
    let token = RcToken {
        qpn: u32::from_le_bytes(take(&mut rest)),
        gid: Gid(take(&mut rest)),
        rkey: u32::from_le_bytes(take(&mut rest)),
        address: u64::from_le_bytes(take(&mut rest)),
        length: u64::from_le_bytes(take(&mut rest)),
        port: u8::from_le_bytes(take(&mut rest)),
        lid: u16::from_le_bytes(take(&mut rest)),
        is_loopback: false,
    };
    debug_assert!(rest.is_empty());
    (transport, token)
}

fn to_bytes(transport: u8, token: &RcToken) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[0] = transport;
    bytes[1..5].copy_from_slice(&token.qpn.to_le_bytes());
    bytes[5..21].copy_from_slice(&token.gid.0);
    bytes[21..25].copy_from_slice(&token.rkey.to_le_bytes());
    bytes[25..33].copy_from_slice(&token.address.to_le_bytes());
    bytes[33..41].copy_from_slice(&token.length.to_le_bytes());
    bytes[41] = token.port;
    bytes[42..44].copy_from_slice(&token.lid.to_le_bytes());
    bytes
}

/// The next `N` bytes: the sum of all that [`from_bytes`] takes is 44, so they are always there.
fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let (bytes, behind) = rest.split_first_chunk().expect("the fields make 44 bytes");
    *rest = behind;
    *bytes
}

/// A number as text for an error, without an allocation.
struct HexU32([u8; 8]);

impl HexU32 {
    fn of(number: u32) -> HexU32 {
        let digit = |at: u32| b"0123456789abcdef"[(number >> (28 - 4 * at) & 0xf) as usize];
        HexU32([0, 1, 2, 3, 4, 5, 6, 7].map(digit))
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every field has its own bytes, whatever transport it is: the layout, pinned.
    #[test]
    fn layout() {
        let text = "0001020304000000000000000000000000000000000506070817161514131211102726252423222120033231";
        let (transport, token) = from_bytes(number::hex_bytes("token", text).unwrap());
        let expected = RcToken {
            qpn: 0x0403_0201,
            gid: Gid::ZERO,
            rkey: 0x0807_0605,
            address: 0x1011_1213_1415_1617,
            length: 0x2021_2223_2425_2627,
            port: 3,
            lid: 0x3132,
            is_loopback: false,
        };
        assert_eq!((transport, token), (0, expected));
        assert_eq!(from_bytes(to_bytes(0, &token)), (transport, token));
        assert_eq!(to_bytes(0, &token).as_slice(), number::hex_bytes::<44>("token", text).unwrap());
        assert_eq!(RcToken::parse(text).unwrap_err().why, Fault::Transport);
    }
}
