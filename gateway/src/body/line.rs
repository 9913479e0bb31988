//! Owns: one line of framing, gathered from however many pieces it comes in.
//! Limits: `FRAMING_LINE_BYTES_MAX`.

use bytes::{Buf as _, Bytes};

use super::limits::FRAMING_LINE_BYTES_MAX;

/// The line so far, held in place.
#[derive(Debug)]
pub(super) struct Line {
    bytes: [u8; FRAMING_LINE_BYTES_MAX],
    len: usize,
}

/// A whole line, without its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ended<'a> {
    pub(super) text: &'a [u8],
    /// Whether the end was CR LF; else it was LF alone.
    pub(super) crlf: bool,
}

impl Line {
    pub(super) fn new() -> Line {
        Line { bytes: [0; FRAMING_LINE_BYTES_MAX], len: 0 }
    }

    /// Moves bytes from `input` up to and with the next LF; `None` when there is none yet, `Err`
    /// when the line would be over the limit. The line is good until the next call.
    pub(super) fn gather(&mut self, input: &mut Bytes) -> Result<Option<Ended<'_>>, TooLong> {
        let room = FRAMING_LINE_BYTES_MAX - self.len;
        let window = &input[..input.len().min(room)];
        let end = window.iter().position(|&byte| byte == b'\n');
        let taken = end.map_or(window.len(), |at| at + 1);
        self.bytes[self.len..self.len + taken].copy_from_slice(&window[..taken]);
        self.len += taken;
        input.advance(taken);
        if end.is_none() {
            return if self.len == FRAMING_LINE_BYTES_MAX { Err(TooLong) } else { Ok(None) };
        }
        let text = &self.bytes[..self.len - 1];
        self.len = 0;
        Ok(Some(match text.split_last() {
            Some((b'\r', text)) => Ended { text, crlf: true },
            _ => Ended { text, crlf: false },
        }))
    }
}

/// A line over `FRAMING_LINE_BYTES_MAX`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_gathered_across_pieces() {
        let mut line = Line::new();
        assert_eq!(line.gather(&mut Bytes::from_static(b"ab")), Ok(None));
        assert_eq!(line.gather(&mut Bytes::from_static(b"c\r")), Ok(None));
        let mut input = Bytes::from_static(b"\nrest\n");
        assert_eq!(line.gather(&mut input), Ok(Some(Ended { text: b"abc", crlf: true })));
        assert_eq!(line.gather(&mut input), Ok(Some(Ended { text: b"rest", crlf: false })));
        assert_eq!(line.gather(&mut input), Ok(None));
    }

    #[test]
    fn the_longest_line_fits_and_a_longer_one_does_not() {
        let mut text = vec![b'a'; FRAMING_LINE_BYTES_MAX - 2];
        text.extend_from_slice(b"\r\n");
        assert!(Line::new().gather(&mut Bytes::from(text.clone())).expect("fits").is_some());
        text.insert(0, b'a');
        assert_eq!(Line::new().gather(&mut Bytes::from(text)), Err(TooLong));
    }
}
