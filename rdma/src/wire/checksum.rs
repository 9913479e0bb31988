//! Owns checksums of what was delivered: CRC-64/NVME and CRC-32C (Castagnoli), as base64 of their bytes, the most
//! significant first.

use std::fmt;

use super::{Fault, WireError, base64, header};

/// Which checksum a client asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ChecksumAlgorithm {
    /// CRC-64/NVME; what nobody asks for.
    #[default]
    Crc64Nvme,
    /// CRC-32C.
    Crc32c,
}

impl ChecksumAlgorithm {
    /// `CRC64NVME` or `CRC32C`, in any case.
    ///
    /// # Errors
    /// Any other text.
    pub fn parse(text: &str) -> Result<ChecksumAlgorithm, WireError> {
        if text.eq_ignore_ascii_case("CRC64NVME") {
            Ok(ChecksumAlgorithm::Crc64Nvme)
        } else if text.eq_ignore_ascii_case("CRC32C") {
            Ok(ChecksumAlgorithm::Crc32c)
        } else {
            let why = Fault::Word { expected: "CRC64NVME or CRC32C" };
            let error = WireError::new("checksum algorithm", text, why);
            Err(error.in_header(header::CHECKSUM_ALGORITHM))
        }
    }
}

impl fmt::Display for ChecksumAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ChecksumAlgorithm::Crc64Nvme => "CRC64NVME",
            ChecksumAlgorithm::Crc32c => "CRC32C",
        })
    }
}

/// CRC-64/NVME: polynomial `9a6c9329ac4bc9b5` reflected, all ones before and after. 12 characters on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Crc64Nvme(pub u64);

impl Crc64Nvme {
    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Crc64Nvme {
        Crc64Nvme(crc_fast::crc64_nvme(bytes))
    }

    /// Of canonical base64.
    ///
    /// # Errors
    /// Any other text.
    pub fn parse(text: &str) -> Result<Crc64Nvme, WireError> {
        let refuse = || WireError::new("CRC-64/NVME", text, Fault::NotBase64 { bytes: 8 });
        let bytes = base64::decode(text).ok_or_else(refuse);
        let bytes = bytes.map_err(|error| error.in_header(header::CHECKSUM_CRC64NVME))?;
        Ok(Crc64Nvme(u64::from_be_bytes(bytes)))
    }

    /// Of `CRC64NVME`, one space and canonical base64: the form of hipobj-rc-v2's own header.
    ///
    /// # Errors
    /// Any other text.
    pub fn parse_named(text: &str) -> Result<Crc64Nvme, WireError> {
        let refuse = |why| WireError::new("checksum", text, why).in_header(header::CHECKSUM);
        let Some(crc) = text.strip_prefix("CRC64NVME ") else {
            return Err(refuse(Fault::Word { expected: "CRC64NVME, a space and its base64" }));
        };
        Self::parse(crc).map_err(|error| error.in_header(header::CHECKSUM))
    }

    /// As [`Crc64Nvme::parse_named`] reads it.
    #[must_use]
    pub fn named(self) -> impl fmt::Display {
        fmt::from_fn(move |f| write!(f, "CRC64NVME {self}"))
    }
}

impl fmt::Display for Crc64Nvme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        base64::encode(&self.0.to_be_bytes(), f)
    }
}

/// CRC-32C. 8 characters on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Crc32c(pub u32);

impl Crc32c {
    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Crc32c {
        Crc32c(crc_fast::crc32_iscsi(bytes))
    }

    /// Of canonical base64.
    ///
    /// # Errors
    /// Any other text.
    pub fn parse(text: &str) -> Result<Crc32c, WireError> {
        let refuse = || WireError::new("CRC-32C", text, Fault::NotBase64 { bytes: 4 });
        let bytes = base64::decode(text).ok_or_else(refuse);
        let bytes = bytes.map_err(|error| error.in_header(header::CHECKSUM_CRC32C))?;
        Ok(Crc32c(u32::from_be_bytes(bytes)))
    }
}

impl fmt::Display for Crc32c {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        base64::encode(&self.0.to_be_bytes(), f)
    }
}

/// The checksum of what was delivered, of the algorithm that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Checksum {
    /// In `x-amz-rdma-checksum-crc64nvme`.
    Crc64Nvme(Crc64Nvme),
    /// In `x-amz-rdma-checksum-crc32c`.
    Crc32c(Crc32c),
}

impl Checksum {
    /// Of these bytes.
    #[must_use]
    pub fn of(algorithm: ChecksumAlgorithm, bytes: &[u8]) -> Checksum {
        match algorithm {
            ChecksumAlgorithm::Crc64Nvme => Checksum::Crc64Nvme(Crc64Nvme::of(bytes)),
            ChecksumAlgorithm::Crc32c => Checksum::Crc32c(Crc32c::of(bytes)),
        }
    }

    /// Which one it is.
    #[must_use]
    pub fn algorithm(&self) -> ChecksumAlgorithm {
        match self {
            Checksum::Crc64Nvme(_) => ChecksumAlgorithm::Crc64Nvme,
            Checksum::Crc32c(_) => ChecksumAlgorithm::Crc32c,
        }
    }

    /// The header it is sent in.
    #[must_use]
    pub fn header(&self) -> &'static str {
        match self {
            Checksum::Crc64Nvme(_) => header::CHECKSUM_CRC64NVME,
            Checksum::Crc32c(_) => header::CHECKSUM_CRC32C,
        }
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Checksum::Crc64Nvme(crc) => crc.fmt(f),
            Checksum::Crc32c(crc) => crc.fmt(f),
        }
    }
}
