//! Owns the body of a request: derived content, plain or in aws-chunked framing with a checksum
//! trailer, or a few bytes of XML. It is produced piece by piece; an object is never held whole.
//!
//! Framing: <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html>,
//! `STREAMING-UNSIGNED-PAYLOAD-TRAILER`.

use std::convert::Infallible;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};
use http_body::{Body, Frame, SizeHint};

use crate::content::Content;
use crate::limits::{AWS_CHUNK_BYTES, WRITE_BYTES};

/// A body to send.
pub(crate) struct Upload {
    source: Source,
    /// Bytes still to come, framing included.
    remaining: u64,
}

enum Source {
    Bytes(Bytes),
    Plain { content: Content, at: u64 },
    Chunked(Box<Chunked>),
}

/// Derived content on its way through the aws-chunked framing.
struct Chunked {
    content: Content,
    range: Range<u64>,
    digest: Digest,
    /// The final chunk and the trailer were produced.
    ended: bool,
}

impl Upload {
    /// No body.
    pub(crate) fn empty() -> Upload {
        Upload::bytes(Bytes::new())
    }

    /// These bytes.
    pub(crate) fn bytes(bytes: Bytes) -> Upload {
        Upload { remaining: bytes.len() as u64, source: Source::Bytes(bytes) }
    }

    /// A range of derived content as it is.
    pub(crate) fn plain(content: Content, range: Range<u64>) -> Upload {
        Upload {
            remaining: range.end - range.start,
            source: Source::Plain { content, at: range.start },
        }
    }

    /// A range of derived content in chunks, followed by its CRC-64/NVME as a trailer.
    pub(crate) fn chunked_with_trailer(content: Content, range: Range<u64>) -> Upload {
        let bytes = range.end - range.start;
        let whole = bytes / AWS_CHUNK_BYTES;
        let rest = bytes % AWS_CHUNK_BYTES;
        let mut remaining = whole * (chunk_overhead(AWS_CHUNK_BYTES) + AWS_CHUNK_BYTES);
        if rest > 0 {
            remaining += chunk_overhead(rest) + rest;
        }
        remaining += trailer(0).len() as u64;
        Upload {
            remaining,
            source: Source::Chunked(Box::new(Chunked {
                content,
                range,
                digest: Digest::new(CrcAlgorithm::Crc64Nvme),
                ended: false,
            })),
        }
    }

    /// Bytes still to be sent, framing included.
    pub(crate) fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Appends the next bytes to `into`, until that holds about [`WRITE_BYTES`] or the body ends.
    pub(crate) fn produce(&mut self, into: &mut Vec<u8>) {
        let before = into.len();
        match &mut self.source {
            Source::Bytes(bytes) => into.extend_from_slice(&std::mem::take(bytes)),
            Source::Plain { content, at } => {
                let room = WRITE_BYTES.saturating_sub(before).max(1) as u64;
                let take = self.remaining.min(room);
                append(content, *at, take, into);
                *at += take;
            }
            Source::Chunked(chunked) => {
                while into.len() < WRITE_BYTES && !chunked.ended {
                    chunked.produce_chunk(into);
                }
            }
        }
        self.remaining -= (into.len() - before) as u64;
    }
}

impl Chunked {
    fn produce_chunk(&mut self, into: &mut Vec<u8>) {
        let take = AWS_CHUNK_BYTES.min(self.range.end - self.range.start);
        if take == 0 {
            into.extend_from_slice(trailer(self.digest.finalize()).as_bytes());
            self.ended = true;
            return;
        }
        into.extend_from_slice(format!("{take:x}\r\n").as_bytes());
        let start = into.len();
        append(&self.content, self.range.start, take, into);
        self.digest.update(&into[start..]);
        into.extend_from_slice(b"\r\n");
        self.range.start += take;
    }
}

/// Bytes of framing around a chunk: its size in hexadecimal and two line ends.
fn chunk_overhead(bytes: u64) -> u64 {
    u64::from(bytes.ilog2() / 4 + 1) + 4
}

/// The last chunk and the trailer; its length does not depend on the checksum.
fn trailer(crc: u64) -> String {
    let encoded = base64_simd::STANDARD.encode_to_string(crc.to_be_bytes());
    format!("0\r\nx-amz-checksum-crc64nvme:{encoded}\r\n\r\n")
}

fn append(content: &Content, at: u64, bytes: u64, into: &mut Vec<u8>) {
    let start = into.len();
    into.resize(start + bytes as usize, 0);
    content.fill(at, &mut into[start..]);
}

/// For HTTP/2: frames of about [`WRITE_BYTES`].
impl Body for Upload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.remaining == 0 {
            return Poll::Ready(None);
        }
        let mut piece = Vec::with_capacity(self.remaining.min(WRITE_BYTES as u64) as usize);
        self.produce(&mut piece);
        Poll::Ready(Some(Ok(Frame::data(piece.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(mut upload: Upload) -> Vec<u8> {
        let (mut all, expected) = (Vec::new(), upload.remaining());
        while upload.remaining() > 0 {
            let mut piece = Vec::new();
            upload.produce(&mut piece);
            assert!(!piece.is_empty(), "progress");
            all.extend(piece);
        }
        assert_eq!(all.len() as u64, expected, "the length said beforehand");
        all
    }

    #[test]
    fn plain_content_is_the_range() {
        let content = Content::new(1, "k");
        let bytes = whole(Upload::plain(content, 5..1_000_000));
        assert_eq!(bytes.len(), 999_995);
        assert_eq!(content.first_difference(5, &bytes), None);
    }

    #[test]
    fn chunked_content_has_its_length_its_chunks_and_its_checksum() {
        let content = Content::new(1, "k");
        for size in [0, 1, 15, 16, 65_535, 65_536, 65_537, 400_000] {
            let bytes = whole(Upload::chunked_with_trailer(content, 0..size));
            let (mut rest, mut data) = (bytes.as_slice(), Vec::new());
            loop {
                let line = rest.windows(2).position(|at| at == b"\r\n").expect("a line");
                let digits = std::str::from_utf8(&rest[..line]).expect("text");
                let take = usize::from_str_radix(digits, 16).expect("a size");
                rest = &rest[line + 2..];
                if take == 0 {
                    break;
                }
                data.extend_from_slice(&rest[..take]);
                assert_eq!(&rest[take..take + 2], b"\r\n");
                rest = &rest[take + 2..];
            }
            assert_eq!(data.len() as u64, size);
            assert_eq!(content.first_difference(0, &data), None);
            let crc = crc_fast::checksum(CrcAlgorithm::Crc64Nvme, &data);
            assert_eq!(format!("0\r\n{}", String::from_utf8_lossy(rest)), trailer(crc));
        }
    }

    #[test]
    fn the_trailer_carries_the_published_check_value() {
        // CRC-64/NVME of "123456789" is 0xAE8B14860A799888 (reveng's catalogue).
        let crc = crc_fast::checksum(CrcAlgorithm::Crc64Nvme, b"123456789");
        assert_eq!(trailer(crc), "0\r\nx-amz-checksum-crc64nvme:rosUhgp5mIg=\r\n\r\n");
    }
}
