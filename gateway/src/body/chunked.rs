//! Owns: aws-chunked framing, taken off a body as it comes in.
//! States: Header -> Data -> DataEnd -> Header -> ... -> Trailer -> End.
//! Limits: `FRAMING_LINE_BYTES_MAX`, `CHUNK_EXTENSIONS_MAX`, `SIGNED_CHUNK_BYTES_MIN`.
//! Not here: IO; the comparison of the content with what was promised (`decoded`).
//!
//! Content is passed on as slices of what came in: never copied, never gathered, so memory does not
//! depend on the size of a chunk. A signed chunk's data is passed on while it is hashed; when the
//! signature turns out wrong, the body ends in an error, and what was passed on counts for nothing,
//! since nothing is stored before a body has ended well.

use bytes::{Buf as _, Bytes};
use sha2::{Digest as _, Sha256};

use super::checksum::{Algorithm, Value};
use super::error::BodyError;
use super::limits::{CHUNK_EXTENSIONS_MAX, SIGNED_CHUNK_BYTES_MIN};
use super::line::Line;
use super::trailer::Trailer;
use crate::auth::ChunkChain;

/// The framing's state machine. Feed it with [`step`](Chunked::step).
#[derive(Debug)]
pub(super) struct Chunked {
    state: State,
    line: Line,
    signer: Option<Signer>,
    trailer: Trailer,
    /// The content's announced length, and how much of it is still to be framed.
    length: u64,
    remaining: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In `size;chunk-signature=...` CR LF.
    Header,
    /// In a chunk's data.
    Data { left: u64 },
    /// In the CR LF after the data; one of the two may have come.
    DataEnd { cr_seen: bool },
    /// After the last chunk's header.
    Trailer,
    /// After the trailer's empty line.
    End,
}

/// What signed chunks need.
#[derive(Debug)]
struct Signer {
    chain: Box<ChunkChain>,
    hash: Sha256,
    /// The signature of the chunk whose data is coming.
    signature: [u8; 32],
    /// A chunk under the least size came: it must have been the last.
    small_seen: bool,
}

/// What a step gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Content, never empty.
    Data(Bytes),
    /// The input is used up.
    More,
    /// The framing is complete; the input may hold bytes that do not belong there.
    End,
}

/// How a framed body is framed.
#[derive(Debug, Clone)]
pub(super) struct ChunkedPlan {
    pub(super) chain: Option<Box<ChunkChain>>,
    /// Whether a signed body ends in a signed trailer.
    pub(super) trailer: bool,
    pub(super) announced: Option<Algorithm>,
    pub(super) length: u64,
}

impl Chunked {
    pub(super) fn new(plan: ChunkedPlan) -> Chunked {
        let signed_trailer = plan.trailer && plan.chain.is_some();
        let signer = plan.chain.map(|chain| Signer {
            chain,
            hash: Sha256::new(),
            signature: [0; 32],
            small_seen: false,
        });
        Chunked {
            state: State::Header,
            line: Line::new(),
            signer,
            trailer: Trailer::new(plan.announced, signed_trailer),
            length: plan.length,
            remaining: plan.length,
        }
    }

    /// Takes bytes off the front of `input` until there is something to give.
    pub(super) fn step(&mut self, input: &mut Bytes) -> Result<Step, BodyError> {
        loop {
            if self.state == State::End {
                return Ok(Step::End);
            }
            if input.is_empty() {
                return Ok(Step::More);
            }
            match self.state {
                State::Header => self.header(input)?,
                State::Data { left } => return Ok(Step::Data(self.data(input, left))),
                State::DataEnd { cr_seen } => self.data_end(input, cr_seen)?,
                State::Trailer => self.trailer(input)?,
                State::End => {}
            }
        }
    }

    /// Whether the framing is complete.
    pub(super) fn ended(&self) -> bool {
        self.state == State::End
    }

    /// The trailer's checksum, once the framing is complete.
    pub(super) fn checksum(&self) -> Option<(Algorithm, Value)> {
        self.trailer.checksum()
    }

    fn header(&mut self, input: &mut Bytes) -> Result<(), BodyError> {
        let gathered = self
            .line
            .gather(input)
            .map_err(|_| BodyError::MalformedChunk("a chunk header is too long"))?;
        let Some(line) = gathered else { return Ok(()) };
        if !line.crlf {
            return Err(BodyError::MalformedChunk("a chunk header does not end with CR LF"));
        }
        let (size, signature) = parse_header(line.text)?;
        if size > self.remaining {
            return Err(BodyError::TooLong { expected: self.length });
        }
        self.remaining -= size;
        if let Some(signer) = &mut self.signer {
            signer.signature =
                signature.ok_or(BodyError::MalformedChunk("a chunk has no chunk-signature"))?;
            if size > 0 && signer.small_seen {
                return Err(BodyError::ChunkTooSmall);
            }
            signer.small_seen = size < SIGNED_CHUNK_BYTES_MIN;
        }
        if size > 0 {
            self.state = State::Data { left: size };
            return Ok(());
        }
        if self.remaining > 0 {
            return Err(BodyError::Incomplete {
                expected: self.length,
                received: self.length - self.remaining,
            });
        }
        self.check_signature()?;
        self.state = State::Trailer;
        Ok(())
    }

    fn data(&mut self, input: &mut Bytes, left: u64) -> Bytes {
        let taken = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
        let data = input.split_to(taken);
        if let Some(signer) = &mut self.signer {
            signer.hash.update(&data);
        }
        // `taken` is at most `left`, and a usize fits a u64.
        let left = left - taken as u64;
        self.state =
            if left == 0 { State::DataEnd { cr_seen: false } } else { State::Data { left } };
        data
    }

    fn data_end(&mut self, input: &mut Bytes, cr_seen: bool) -> Result<(), BodyError> {
        match (input.get_u8(), cr_seen) {
            (b'\r', false) => self.state = State::DataEnd { cr_seen: true },
            (b'\n', true) => {
                self.check_signature()?;
                self.state = State::Header;
            }
            _ => {
                return Err(BodyError::MalformedChunk("chunk data does not end with CR LF"));
            }
        }
        Ok(())
    }

    fn trailer(&mut self, input: &mut Bytes) -> Result<(), BodyError> {
        let gathered = self
            .line
            .gather(input)
            .map_err(|_| BodyError::MalformedTrailer("a line is too long"))?;
        let Some(line) = gathered else { return Ok(()) };
        let chain = self.signer.as_mut().map(|signer| &mut *signer.chain);
        if self.trailer.line(line, chain)? {
            self.state = State::End;
        }
        Ok(())
    }

    /// Checks the signature of the chunk that has just ended.
    fn check_signature(&mut self) -> Result<(), BodyError> {
        let Some(signer) = &mut self.signer else {
            return Ok(());
        };
        let hash = std::mem::take(&mut signer.hash).finalize().into();
        if signer.chain.accept_chunk(&hash, &signer.signature) {
            Ok(())
        } else {
            Err(BodyError::ChunkSignature)
        }
    }
}

/// Reads `size[;name=value]...`: the size, hexadecimal, and `chunk-signature` if it is there.
/// Other extensions are passed over, as HTTP's are.
fn parse_header(text: &[u8]) -> Result<(u64, Option<[u8; 32]>), BodyError> {
    let mut parts = text.split(|&byte| byte == b';');
    let size = parse_size(parts.next().unwrap_or_default())?;
    let mut signature = None;
    for (at, extension) in parts.enumerate() {
        if at == CHUNK_EXTENSIONS_MAX {
            return Err(BodyError::MalformedChunk("a chunk has too many extensions"));
        }
        if let Some(value) = extension.strip_prefix(b"chunk-signature=") {
            if signature.is_some() {
                return Err(BodyError::MalformedChunk("a chunk has two signatures"));
            }
            signature = Some(parse_signature(value).ok_or(BodyError::ChunkSignature)?);
        }
    }
    Ok((size, signature))
}

fn parse_size(digits: &[u8]) -> Result<u64, BodyError> {
    let malformed = BodyError::MalformedChunk("a chunk's size is not a hexadecimal number");
    if digits.is_empty() || digits.len() > 16 {
        return Err(malformed);
    }
    digits.iter().try_fold(0, |size, &digit| {
        let value = char::from(digit).to_digit(16).ok_or_else(|| malformed.clone())?;
        // 16 digits fill 64 bits exactly.
        Ok(size << 4 | u64::from(value))
    })
}

/// 64 hexadecimal digits.
pub(super) fn parse_signature(text: &[u8]) -> Option<[u8; 32]> {
    let mut signature = [0; 32];
    if text.len() != 64 {
        return None;
    }
    hex_simd::decode(text, hex_simd::AsOut::as_out(&mut signature[..])).ok()?;
    Some(signature)
}
