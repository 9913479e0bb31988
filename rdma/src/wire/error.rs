//! Owns [`WireError`]: which text was wrong, where and why, in words that may be shown to the client that sent it.
//!
//! A peer's bytes are repeated only as an [`Excerpt`]: short, printable ASCII, whatever they were. So no error can carry
//! a control character into an answer or a log, and none is longer than [`WIRE_ERROR_BYTES_MAX`].
//!
//! [`WIRE_ERROR_BYTES_MAX`]: crate::limits::WIRE_ERROR_BYTES_MAX

use std::fmt;

use crate::limits::WIRE_EXCERPT_BYTES;

/// The beginning of a text that a peer sent. What is not printable ASCII is shown as `.`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Excerpt {
    bytes: [u8; WIRE_EXCERPT_BYTES],
    length: u8,
    is_cut: bool,
}

impl Excerpt {
    /// Of this text.
    #[must_use]
    pub fn of(text: &str) -> Excerpt {
        let mut bytes = [0; WIRE_EXCERPT_BYTES];
        let length = text.len().min(WIRE_EXCERPT_BYTES);
        for (shown, byte) in bytes.iter_mut().zip(text.bytes()) {
            *shown = if byte == b' ' || byte.is_ascii_graphic() { byte } else { b'.' };
        }
        Excerpt { bytes, length: length as u8, is_cut: text.len() > length }
    }

    /// What is shown, without the mark of what was cut.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // All bytes are ASCII, so this is never the default.
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or_default()
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())?;
        if self.is_cut { f.write_str("...") } else { Ok(()) }
    }
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Why a text is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing stands there.
    Empty,
    /// More bytes than are read.
    TooLong {
        /// Bytes that are read at most.
        limit: usize,
    },
    /// Too few or too many digits.
    Digits {
        /// The fewest.
        least: usize,
        /// The most.
        most: usize,
    },
    /// A character that is no hexadecimal digit.
    NotHexadecimal,
    /// A character that is no decimal digit.
    NotDecimal,
    /// Beyond what the field can mean.
    TooLarge {
        /// The largest.
        most: u64,
    },
    /// Zero, where it means nothing.
    Zero,
    /// Too few or too many fields between colons.
    Fields {
        /// How many and which, in words.
        expected: &'static str,
    },
    /// No kind of token looks like this.
    UnknownKind,
    /// A word that is not known there.
    Word {
        /// The words that are.
        expected: &'static str,
    },
    /// The transport of an RC token is not 1.
    Transport,
    /// The GID is all zeros in a token that is not.
    ZeroGid,
    /// "The same device", where another's queue pair must be named.
    Loopback,
    /// The end of a window is beyond the end of the address space.
    Wraps,
    /// The window is not inside the memory that the token says is registered.
    OutsideMemory,
    /// Not the canonical base64 of so many bytes.
    NotBase64 {
        /// Bytes.
        bytes: usize,
    },
    /// Not of the form `/bucket/key`.
    NotBucketAndKey,
    /// A `%` without two hexadecimal digits behind it.
    Escape,
    /// What the escapes stand for is not UTF-8.
    NotUtf8,
    /// A character that must be escaped, or that has no place there.
    Character,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Empty => "must not be empty",
            Fault::TooLong { limit } => return write!(f, "must have at most {limit} bytes"),
            Fault::Digits { least, most } if least == most => {
                return write!(f, "must have exactly {most} digits");
            }
            Fault::Digits { least, most } => {
                return write!(f, "must have {least} to {most} digits");
            }
            Fault::NotHexadecimal => "must have hexadecimal digits only",
            Fault::NotDecimal => "must have decimal digits only",
            Fault::TooLarge { most } => return write!(f, "must be at most {most} (0x{most:x})"),
            Fault::Zero => "must not be zero",
            Fault::Fields { expected } => return write!(f, "must be {expected}"),
            Fault::UnknownKind => "must be an RC, a pooled RC, a DC or a libfabric token",
            Fault::Word { expected } => return write!(f, "must be {expected}"),
            Fault::Transport => "must be 01, reliable connection",
            Fault::ZeroGid => "must not be zero in a token that is not all zeros",
            Fault::Loopback => "must name a queue pair, not the same device",
            Fault::Wraps => "must end inside the address space",
            Fault::OutsideMemory => "must lie inside the memory that the token names first",
            Fault::NotBase64 { bytes } => {
                return write!(f, "must be the padded base64 of {bytes} bytes");
            }
            Fault::NotBucketAndKey => "must be /bucket/key, neither of them empty",
            Fault::Escape => "must have two hexadecimal digits behind every %",
            Fault::NotUtf8 => "must be UTF-8 when it is decoded",
            Fault::Character => "must have printable ASCII characters only, others escaped",
        })
    }
}

/// A text that does not follow its grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireError {
    /// The header it stood in, where that is known.
    pub header: Option<&'static str>,
    /// The field: `remote key`, `cookie` …
    pub what: &'static str,
    /// The beginning of what stood there.
    pub value: Excerpt,
    /// What was wrong with it.
    pub why: Fault,
}

impl WireError {
    /// This field with this text is refused.
    #[must_use]
    pub(crate) fn new(what: &'static str, text: &str, why: Fault) -> WireError {
        WireError { header: None, what, value: Excerpt::of(text), why }
    }

    /// The same, said of this header: a parser is used for several.
    #[must_use]
    pub fn in_header(mut self, name: &'static str) -> WireError {
        self.header = Some(name);
        self
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(header) = self.header {
            write!(f, "{header}: ")?;
        }
        write!(f, "the {} \"{}\" is not valid: it {}", self.what, self.value, self.why)
    }
}

impl std::error::Error for WireError {}
