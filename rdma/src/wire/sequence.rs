//! Owns the small numbers that both ends tell each other before a queue pair is connected: packet sequence numbers,
//! queue pair numbers and the cookie that comes back with the data.

use std::fmt;

use super::{Fault, WireError, header, number};
use crate::fabric::{Psn, Qpn};

/// A packet sequence number: 1 to 6 hexadecimal digits, not zero.
///
/// # Errors
/// Any other text.
pub fn parse_psn(text: &str) -> Result<Psn, WireError> {
    let what = "packet sequence number";
    number::hex_u32(what, text, 1, 6)
        .and_then(|psn| Psn::new(psn).ok_or_else(|| WireError::new(what, text, Fault::Zero)))
        .map_err(|error| error.in_header(header::PSN))
}

/// A packet sequence number as it is sent: 6 digits.
#[must_use]
pub fn display_psn(psn: Psn) -> impl fmt::Display {
    fmt::from_fn(move |f| write!(f, "{:06x}", psn.number()))
}

/// A packet sequence number that nobody can guess.
///
/// # Errors
/// The system has no random bits to give.
pub fn random_psn() -> Result<Psn, getrandom::Error> {
    let random = random_u32()? & Psn::MAX;
    // Zero becomes one: one in 16 million is a bias that nobody can use.
    Ok(Psn::new(random.max(1)).expect("1 to the largest"))
}

/// A queue pair number: 1 to 16 hexadecimal digits (some clients pad to 16), from 1 to 24 bits.
///
/// # Errors
/// Any other text.
pub fn parse_qpn(text: &str) -> Result<Qpn, WireError> {
    let what = "queue pair number";
    number::hex(what, text, 1, number::HEX_U64)
        .and_then(|number| qpn(what, text, number))
        .map_err(|error| error.in_header(header::QPN))
}

/// The queue pair of this number, which was written as `text`.
pub(super) fn qpn(what: &'static str, text: &str, number: u64) -> Result<Qpn, WireError> {
    let most = u64::from(Qpn::MAX);
    let why = if number == 0 { Fault::Zero } else { Fault::TooLarge { most } };
    let qpn = u32::try_from(number).ok().and_then(Qpn::new);
    qpn.ok_or_else(|| WireError::new(what, text, why))
}

/// What a client chooses for a session and gets back with the data, as the immediate of a write. It tells apart two
/// sessions that got mixed up; it keeps no secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cookie(u32);

impl Cookie {
    /// A number that is not zero.
    #[must_use]
    pub fn new(number: u32) -> Option<Cookie> {
        (number != 0).then_some(Cookie(number))
    }

    /// Of exactly 8 hexadecimal digits, not all zero.
    ///
    /// # Errors
    /// Any other text.
    pub fn parse(text: &str) -> Result<Cookie, WireError> {
        number::hex_u32("cookie", text, 8, 8)
            .and_then(|number| {
                Cookie::new(number).ok_or_else(|| WireError::new("cookie", text, Fault::Zero))
            })
            .map_err(|error| error.in_header(header::COOKIE))
    }

    /// A new one.
    ///
    /// # Errors
    /// The system has no random bits to give.
    pub fn random() -> Result<Cookie, getrandom::Error> {
        Ok(Cookie(random_u32()?.max(1)))
    }

    /// The number; as the immediate of a write its bytes go most significant first: `1a2b3c4d` is `1a 2b 3c 4d`.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cookie({self})")
    }
}

fn random_u32() -> Result<u32, getrandom::Error> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes)?;
    Ok(u32::from_ne_bytes(bytes))
}
