//! The bytes of index records: numbers, byte strings, and nothing else.
//!
//! Owns: [`Encoder`], [`Decoder`], [`DecodeError`]. Numbers are little-endian base-128 (seven bits a
//! byte, high bit: more follow), byte strings are a length and their bytes. Decoding never panics
//! and never allocates.
//! Not here: which fields a record has (`record`), keys of tables (`keys`, which must sort).

/// Why stored bytes are not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end inside a field.
    #[error("cut short in field {0}")]
    Truncated(&'static str),
    /// A field holds a value that it cannot have.
    #[error("impossible value in field {0}")]
    Value(&'static str),
    /// A format that this program does not know: written by a newer one, or damaged.
    #[error("format version {0} is unknown to this program")]
    Version(u8),
    /// Bytes follow the last field.
    #[error("{0} bytes too many")]
    Trailing(usize),
}

/// Appends fields to a buffer.
#[derive(Debug)]
pub(crate) struct Encoder(Vec<u8>);

impl Encoder {
    /// Starts a record with its format version.
    pub(crate) fn record(version: u8, capacity: usize) -> Encoder {
        let mut bytes = Vec::with_capacity(capacity);
        bytes.push(version);
        Encoder(bytes)
    }

    pub(crate) fn byte(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(crate) fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value as u8) | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// A number that uses its whole range, such as a checksum: always eight bytes.
    pub(crate) fn fixed(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.number(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Takes fields from the front of a buffer, borrowing from it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    /// Opens a record and checks its format version.
    pub(crate) fn record(bytes: &'a [u8], version: u8) -> Result<Decoder<'a>, DecodeError> {
        let mut decoder = Decoder(bytes);
        match decoder.byte("version")? {
            found if found == version => Ok(decoder),
            found => Err(DecodeError::Version(found)),
        }
    }

    /// Opens a record of any format version up to this one, and tells which.
    pub(crate) fn record_up_to(
        bytes: &'a [u8],
        newest: u8,
    ) -> Result<(Decoder<'a>, u8), DecodeError> {
        let mut decoder = Decoder(bytes);
        match decoder.byte("version")? {
            found if (1..=newest).contains(&found) => Ok((decoder, found)),
            found => Err(DecodeError::Version(found)),
        }
    }

    pub(crate) fn byte(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        let (&first, rest) = self.0.split_first().ok_or(DecodeError::Truncated(field))?;
        self.0 = rest;
        Ok(first)
    }

    pub(crate) fn number(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte(field)?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(DecodeError::Value(field));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Value(field))
    }

    /// A number that must fit a narrower type.
    pub(crate) fn narrow<N: TryFrom<u64>>(
        &mut self,
        field: &'static str,
    ) -> Result<N, DecodeError> {
        N::try_from(self.number(field)?).map_err(|_| DecodeError::Value(field))
    }

    pub(crate) fn fixed(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        let (first, rest) = self.0.split_first_chunk::<8>().ok_or(DecodeError::Truncated(field))?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*first))
    }

    pub(crate) fn bytes(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let length: usize = self.narrow(field)?;
        let (first, rest) = self.0.split_at_checked(length).ok_or(DecodeError::Truncated(field))?;
        self.0 = rest;
        Ok(first)
    }

    pub(crate) fn text(&mut self, field: &'static str) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes(field)?).map_err(|_| DecodeError::Value(field))
    }

    /// Ends the record: nothing may be left.
    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        match self.0.len() {
            0 => Ok(()),
            left => Err(DecodeError::Trailing(left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(a: u64, b: u64, text in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut encoder = Encoder::record(1, 0);
            encoder.number(a);
            encoder.bytes(&text);
            encoder.fixed(b);
            let bytes = encoder.finish();
            let mut decoder = Decoder::record(&bytes, 1).unwrap();
            prop_assert_eq!(decoder.number("a").unwrap(), a);
            prop_assert_eq!(decoder.bytes("text").unwrap(), &text[..]);
            prop_assert_eq!(decoder.fixed("b").unwrap(), b);
            decoder.finish().unwrap();
        }
    }

    #[test]
    fn a_number_longer_than_64_bits_is_refused() {
        let bytes = [1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        let mut decoder = Decoder::record(&bytes, 1).unwrap();
        assert_eq!(decoder.number("n"), Err(DecodeError::Value("n")));
    }

    #[test]
    fn another_version_and_bytes_too_many_are_refused() {
        assert_eq!(Decoder::record(&[2], 1).unwrap_err(), DecodeError::Version(2));
        assert_eq!(Decoder::record(&[1, 0], 1).unwrap().finish(), Err(DecodeError::Trailing(1)));
    }
}
