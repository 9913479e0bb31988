//! The identifiers that a response carries, so that a client's report can be found in the log.
//!
//! Owns: `x-amz-request-id`, unique per request, and `x-amz-id-2`, which names the process.

use std::cell::Cell;
use std::sync::OnceLock;

use http::HeaderValue;

use crate::limits;

/// One request's identifier: 16 upper-case hexadecimal digits, as S3's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId([u8; limits::REQUEST_ID_CHARS]);

impl RequestId {
    fn of(number: u64) -> RequestId {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        let digit = |index: usize| DIGITS[(number >> (60 - 4 * index)) as usize & 0xF];
        RequestId(std::array::from_fn(digit))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        // Digits are ASCII; the alternative is never taken.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// As a header's value.
    pub fn header(&self) -> HeaderValue {
        HeaderValue::from_bytes(&self.0).unwrap_or(HeaderValue::from_static("0"))
    }
}

/// Makes a lane's identifiers: a random start, then a step and a mix that never meet a number twice
/// in 2^64 (SplitMix64: Steele, Lea, Flood 2014).
#[derive(Debug)]
pub struct RequestIds {
    state: Cell<u64>,
}

impl RequestIds {
    /// A sequence from a random start.
    ///
    /// # Errors
    /// When the system has no random numbers to give.
    pub fn new() -> Result<RequestIds, getrandom::Error> {
        Ok(RequestIds { state: Cell::new(getrandom::u64()?) })
    }

    /// The next one.
    pub fn next(&self) -> RequestId {
        let state = self.state.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.state.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        RequestId::of(mixed ^ (mixed >> 31))
    }
}

/// This process's `x-amz-id-2`: base 64 of 48 random bytes, as long as S3's. The same at each call.
///
/// # Errors
/// When the system has no random numbers to give.
pub fn host_id() -> Result<HeaderValue, getrandom::Error> {
    static HOST_ID: OnceLock<HeaderValue> = OnceLock::new();
    if let Some(known) = HOST_ID.get() {
        return Ok(known.clone());
    }
    let mut random = [0u8; 48];
    getrandom::fill(&mut random)?;
    let text = base64_simd::STANDARD.encode_to_string(random);
    let made = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("0"));
    Ok(HOST_ID.get_or_init(|| made).clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn identifiers_are_sixteen_upper_case_digits_and_distinct() {
        assert_eq!(RequestId::of(0x0123_4567_89AB_CDEF).as_str(), "0123456789ABCDEF");
        let ids = RequestIds::new().unwrap();
        let many: BTreeSet<String> = (0..10_000).map(|_| ids.next().as_str().into()).collect();
        assert_eq!(many.len(), 10_000);
    }

    #[test]
    fn the_host_id_is_as_long_as_s3s() {
        assert_eq!(host_id().unwrap().len(), 64);
        assert_eq!(host_id(), host_id());
    }
}
