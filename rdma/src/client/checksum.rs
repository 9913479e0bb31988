//! Owns the comparison of what has arrived with the checksums that the server gives.

use super::control::AnswerHead;
use super::outcome::{ClientError, Verification};
use crate::wire::{Crc32c, Crc64Nvme, header};

/// The checksums that an answer gives of the bytes that were moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Promised {
    crc64nvme: Option<Crc64Nvme>,
    crc32c: Option<Crc32c>,
}

impl Promised {
    /// Reads `x-amz-rdma-checksum` (hipObject's form: the algorithm, one space, the value) and the two headers that
    /// name the algorithm themselves.
    ///
    /// # Errors
    /// A description of a header that is none, or of two that contradict each other. An algorithm that is not known
    /// here is passed over.
    pub(super) fn read(head: &AnswerHead) -> Result<Promised, String> {
        let mut promised = Promised::default();
        for (name, algorithm) in
            [(header::CHECKSUM_CRC64NVME, "CRC64NVME"), (header::CHECKSUM_CRC32C, "CRC32C")]
        {
            if let Some(value) = once(head, name)? {
                promised.take(algorithm, value)?;
            }
        }
        if let Some(value) = once(head, header::CHECKSUM)? {
            let (algorithm, value) = value
                .split_once(' ')
                .ok_or_else(|| format!("{} has no space", header::CHECKSUM))?;
            promised.take(algorithm, value)?;
        }
        Ok(promised)
    }

    /// What S3 itself says of a whole object.
    pub(super) fn of_object(head: &AnswerHead) -> Promised {
        let value = head.header(S3_CRC64NVME).and_then(|value| Crc64Nvme::parse(value).ok());
        Promised { crc64nvme: value, crc32c: None }
    }

    fn take(&mut self, algorithm: &str, value: &str) -> Result<(), String> {
        let contradiction = || "two checksum headers contradict each other".to_owned();
        if algorithm.eq_ignore_ascii_case("CRC64NVME") {
            let crc = Crc64Nvme::parse(value).map_err(|error| error.to_string())?;
            if self.crc64nvme.replace(crc).is_some_and(|earlier| earlier != crc) {
                return Err(contradiction());
            }
        } else if algorithm.eq_ignore_ascii_case("CRC32C") {
            let crc = Crc32c::parse(value).map_err(|error| error.to_string())?;
            if self.crc32c.replace(crc).is_some_and(|earlier| earlier != crc) {
                return Err(contradiction());
            }
        }
        Ok(())
    }

    /// Compares them with the bytes; `None` where this side cannot read them.
    ///
    /// # Errors
    /// When they differ.
    pub(super) fn verify(&self, bytes: Option<&[u8]>) -> Result<Verification, ClientError> {
        if *self == Promised::default() {
            return Ok(Verification::NotOffered);
        }
        let Some(bytes) = bytes else { return Ok(Verification::NotComputed) };
        if let Some(expected) = self.crc64nvme {
            compare(&expected, &Crc64Nvme::of(bytes))?;
        }
        if let Some(expected) = self.crc32c {
            compare(&expected, &Crc32c::of(bytes))?;
        }
        Ok(Verification::Verified)
    }
}

/// The request and answer header of S3's own checksum.
pub(super) const S3_CRC64NVME: &str = "x-amz-checksum-crc64nvme";

fn once<'a>(head: &'a AnswerHead, name: &str) -> Result<Option<&'a str>, String> {
    match head.header(name) {
        None if head.has(name) => Err(format!("several different {name} headers")),
        found => Ok(found),
    }
}

fn compare<T: PartialEq + std::fmt::Display>(expected: &T, found: &T) -> Result<(), ClientError> {
    if expected == found {
        return Ok(());
    }
    Err(ClientError::Mismatch {
        what: "checksum",
        expected: expected.to_string(),
        found: found.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_DIGITS: &str = "rosUhgp5mIg=";

    fn head(headers: &[(&str, &str)]) -> AnswerHead {
        let headers =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        AnswerHead { status: 200, headers }
    }

    #[test]
    fn either_form_is_verified() {
        let old = format!("CRC64NVME {OF_DIGITS}");
        for headers in [
            vec![("x-amz-rdma-checksum", old.as_str())],
            vec![("x-amz-rdma-checksum-crc64nvme", OF_DIGITS)],
            vec![
                ("x-amz-rdma-checksum", old.as_str()),
                ("x-amz-rdma-checksum-crc64nvme", OF_DIGITS),
            ],
        ] {
            let promised = Promised::read(&head(&headers)).expect("well formed");
            assert_eq!(promised.verify(Some(b"123456789")), Ok(Verification::Verified));
            assert!(matches!(
                promised.verify(Some(b"12345678")),
                Err(ClientError::Mismatch { what: "checksum", .. })
            ));
            assert_eq!(promised.verify(None), Ok(Verification::NotComputed));
        }
        let none = Promised::read(&head(&[])).expect("well formed");
        assert_eq!(none.verify(Some(b"1")), Ok(Verification::NotOffered));
    }

    #[test]
    fn a_malformed_or_contradictory_header_is_an_error() {
        let old = format!("CRC64NVME {OF_DIGITS}");
        for headers in [
            vec![("x-amz-rdma-checksum", "CRC64NVME")],
            vec![("x-amz-rdma-checksum", "CRC64NVME  rosUhgp5mIg=")],
            vec![("x-amz-rdma-checksum", "CRC64NVME rosUhgp5mIg")],
            vec![("x-amz-rdma-checksum-crc64nvme", "AAAA")],
            vec![("x-amz-rdma-checksum-crc32c", "rosUhgp5mIg=")],
            vec![("x-amz-rdma-checksum", &old), ("x-amz-rdma-checksum-crc64nvme", "AAAAAAAAAAA=")],
            vec![
                ("x-amz-rdma-checksum-crc64nvme", OF_DIGITS),
                ("x-amz-rdma-checksum-crc64nvme", "AAAAAAAAAAA="),
            ],
        ] {
            assert!(Promised::read(&head(&headers)).is_err(), "{headers:?}");
        }
    }
}
