//! Owns the storage classes: which a request may name, and how they are kept. All are the same devices: a class is kept
//! and told again, so that tools that set one and look at it later find what they set.
//!
//! Classes whose objects would have to be restored before they are read (GLACIER, DEEP_ARCHIVE) and those of other
//! places (OUTPOSTS, SNOW) are refused: a client that names one counts on what it does not get here.

use http::{HeaderMap, HeaderName};

use super::refusal::{Outcome, Refusal};

/// The header that names a class.
pub(super) const STORAGE_CLASS: HeaderName = HeaderName::from_static("x-amz-storage-class");

/// A storage class, with its code in attributes; never renumber.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum StorageClass {
    /// What an object has that names none.
    #[default]
    Standard = 0,
    /// REDUCED_REDUNDANCY
    ReducedRedundancy = 1,
    /// STANDARD_IA
    StandardIa = 2,
    /// ONEZONE_IA
    OnezoneIa = 3,
    /// INTELLIGENT_TIERING
    IntelligentTiering = 4,
    /// GLACIER_IR, whose objects are read at once
    GlacierIr = 5,
    /// EXPRESS_ONEZONE
    ExpressOnezone = 6,
}

impl StorageClass {
    /// All of them.
    const ALL: [Self; 7] = [
        Self::Standard,
        Self::ReducedRedundancy,
        Self::StandardIa,
        Self::OnezoneIa,
        Self::IntelligentTiering,
        Self::GlacierIr,
        Self::ExpressOnezone,
    ];

    /// S3's name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Standard => "STANDARD",
            Self::ReducedRedundancy => "REDUCED_REDUNDANCY",
            Self::StandardIa => "STANDARD_IA",
            Self::OnezoneIa => "ONEZONE_IA",
            Self::IntelligentTiering => "INTELLIGENT_TIERING",
            Self::GlacierIr => "GLACIER_IR",
            Self::ExpressOnezone => "EXPRESS_ONEZONE",
        }
    }

    /// What a request's headers name; STANDARD where they name none.
    ///
    /// # Errors
    /// InvalidStorageClass for a class that is not here.
    pub(super) fn of_request(headers: &HeaderMap) -> Outcome<Self> {
        match headers.get(&STORAGE_CLASS).filter(|value| !value.is_empty()) {
            None => Ok(Self::Standard),
            Some(value) => Self::named(&String::from_utf8_lossy(value.as_bytes())),
        }
    }

    /// The class of that name.
    ///
    /// # Errors
    /// InvalidStorageClass.
    pub(super) fn named(name: &str) -> Outcome<Self> {
        let refused = || Refusal::InvalidStorageClass(name.chars().take(64).collect());
        Self::ALL.into_iter().find(|class| class.name() == name).ok_or_else(refused)
    }

    /// The code in attributes.
    pub(super) const fn code(self) -> u8 {
        self as u8
    }

    /// Of a code; none for one that [`Self::code`] does not give.
    pub(super) fn of_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.code() == code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_have_codes_and_names_of_their_own() {
        for class in StorageClass::ALL {
            assert_eq!(StorageClass::of_code(class.code()), Some(class));
            assert_eq!(StorageClass::named(class.name()).unwrap(), class);
        }
        assert_eq!(StorageClass::of_code(7), None);
        for name in ["GLACIER", "DEEP_ARCHIVE", "OUTPOSTS", "standard", ""] {
            assert!(matches!(StorageClass::named(name), Err(Refusal::InvalidStorageClass(_))));
        }
    }
}
