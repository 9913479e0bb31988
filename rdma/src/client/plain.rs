//! Owns the path by plain HTTP: what is done where the server declines RDMA.

use super::checksum::{Promised, S3_CRC64NVME};
use super::control::{AnswerBody, AnswerHead, BodyRefused, Control, ControlRequest, Method};
use super::exchange::{Backoff, Document, exchange, is_busy, refused};
use super::memory::Memory;
use super::object_answer::is_range;
use super::options::ClientOptions;
use super::outcome::{ClientError, Decline, Done, Failed, Outcome, Path, Tally, Verification};
use super::request::{ByteRange, Condition, Get, Put};
use crate::wire::{Crc64Nvme, Target};

/// The header whose value is the signature's payload line.
pub(super) const CONTENT_SHA256: (&str, &str) = ("x-amz-content-sha256", "UNSIGNED-PAYLOAD");

/// The headers of a GET beside those of RDMA.
pub(super) fn get_headers(get: &Get) -> Vec<(&'static str, String)> {
    let mut headers = vec![(CONTENT_SHA256.0, CONTENT_SHA256.1.to_owned())];
    if let Some(ByteRange { offset, bytes }) = get.range {
        // A range has bytes and ends within 64 bits: the target was made of it.
        headers.push(("range", format!("bytes={offset}-{}", offset + (bytes - 1))));
    }
    headers
}

/// The headers of a PUT beside those of RDMA.
pub(super) fn put_headers(put: &Put, checksum: Crc64Nvme) -> Vec<(&'static str, String)> {
    let mut headers =
        vec![(CONTENT_SHA256.0, CONTENT_SHA256.1.to_owned()), (S3_CRC64NVME, checksum.to_string())];
    match &put.condition {
        None => {}
        Some(Condition::Absent) => headers.push(("if-none-match", "*".to_owned())),
        Some(Condition::EntityTag(tag)) => headers.push(("if-match", tag.clone())),
    }
    headers.extend(put.headers.iter().cloned());
    headers
}

/// The checksum of what is to be written, from the caller or from the bytes.
pub(super) fn checksum_of<M: Memory>(put: &Put, memory: &M) -> Result<Crc64Nvme, ClientError> {
    if let Some(known) = put.checksum {
        return Ok(Crc64Nvme(known));
    }
    if let Some(bytes) = memory.host(put.bytes) {
        return Ok(Crc64Nvme::of(bytes));
    }
    memory.load(put.bytes).map(|bytes| Crc64Nvme::of(&bytes)).map_err(ClientError::Memory)
}

/// A GET whose answer's body goes into the memory.
pub(super) async fn get<C: Control, M: Memory>(
    options: &ClientOptions,
    control: &C,
    get: &Get,
    mut memory: M,
    decline: Decline,
    tally: &mut Tally,
) -> Result<Done<M>, Failed<M>> {
    match try_get(options, control, get, &mut memory, decline, tally).await {
        Ok(outcome) => Ok(Done { memory, outcome }),
        Err(error) => Err(Failed::untouched(error, memory)),
    }
}

async fn try_get<C: Control, M: Memory>(
    options: &ClientOptions,
    control: &C,
    get: &Get,
    memory: &mut M,
    decline: Decline,
    tally: &mut Tally,
) -> Result<Outcome, ClientError> {
    let target = get.target()?.to_string();
    let time = options.transfer_deadline(memory.size());
    let mut backoff = Backoff::new(options);
    loop {
        let mut headers = get_headers(get);
        if get.range.is_none() {
            headers.push(("x-amz-checksum-mode", "ENABLED".to_owned()));
        }
        let request = ControlRequest::new(Method::Get, target.clone(), headers);
        let mut body = IntoMemory::new(memory, get.range);
        let answer = exchange(control, request, &mut body, "GET", time).await;
        let IntoMemory { stored, fault, document, .. } = body;
        if let Some(fault) = fault {
            return Err(fault);
        }
        let head = answer?;
        if is_busy(&head) {
            tally.retries += 1;
            backoff.pause().await?;
            continue;
        }
        if !head.is_success() {
            return Err(refused("GET", &head, &document));
        }
        let malformed = |why| ClientError::Malformed { step: "GET", why };
        is_range(&head, get.range).map_err(malformed)?;
        let mut outcome = Outcome::of(Path::Http(decline), stored, &head, *tally);
        outcome.checksum = match (options.verify, get.range, get.part_number) {
            (true, None, None) => Promised::of_object(&head).verify(memory.host(stored))?,
            (true, ..) => Verification::NotOffered,
            (false, ..) => Verification::NotComputed,
        };
        return Ok(outcome);
    }
}

/// Stores the body of a successful answer; looks for the code of another.
struct IntoMemory<'a, M> {
    memory: &'a mut M,
    range: Option<ByteRange>,
    stored: u64,
    fault: Option<ClientError>,
    document: Document,
}

impl<'a, M> IntoMemory<'a, M> {
    fn new(memory: &'a mut M, range: Option<ByteRange>) -> IntoMemory<'a, M> {
        IntoMemory { memory, range, stored: 0, fault: None, document: Document::default() }
    }
}

impl<M: Memory> AnswerBody for IntoMemory<'_, M> {
    fn accept(&mut self, head: &AnswerHead, piece: &[u8]) -> Result<(), BodyRefused> {
        if !head.is_success() {
            return self.document.accept(head, piece);
        }
        if self.fault.is_some() {
            return Err(BodyRefused);
        }
        let stored = is_range(head, self.range)
            .map_err(|why| ClientError::Malformed { step: "GET", why })
            .and_then(|()| self.memory.store(self.stored, piece).map_err(ClientError::Memory));
        match stored {
            Ok(()) => self.stored += piece.len() as u64,
            Err(fault) => self.fault = Some(fault),
        }
        if self.fault.is_some() { Err(BodyRefused) } else { Ok(()) }
    }
}

/// A PUT whose body comes from the memory.
pub(super) async fn put<C: Control, M: Memory>(
    options: &ClientOptions,
    control: &C,
    put: &Put,
    memory: M,
    decline: Decline,
    tally: &mut Tally,
) -> Result<Done<M>, Failed<M>> {
    match try_put(options, control, put, &memory, decline, tally).await {
        Ok(outcome) => Ok(Done { memory, outcome }),
        Err(error) => Err(Failed::untouched(error, memory)),
    }
}

async fn try_put<C: Control, M: Memory>(
    options: &ClientOptions,
    control: &C,
    put: &Put,
    memory: &M,
    decline: Decline,
    tally: &mut Tally,
) -> Result<Outcome, ClientError> {
    let target: Target = put.target(memory.size())?;
    let headers = put_headers(put, checksum_of(put, memory)?);
    let body = memory.load(put.bytes).map_err(ClientError::Memory)?;
    let time = options.transfer_deadline(put.bytes);
    let mut backoff = Backoff::new(options);
    loop {
        let mut request = ControlRequest::new(Method::Put, target.to_string(), headers.clone());
        request.body = body.clone();
        let mut document = Document::default();
        let head = exchange(control, request, &mut document, "PUT", time)
            .await
            .map_err(ClientError::of_put)?;
        if is_busy(&head) {
            tally.retries += 1;
            backoff.pause().await?;
            continue;
        }
        if !head.is_success() {
            return Err(refused("PUT", &head, &document).of_put());
        }
        let mut outcome = Outcome::of(Path::Http(decline), put.bytes, &head, *tally);
        outcome.checksum = Verification::Verified;
        return Ok(outcome);
    }
}
