//! Owns how one payload moves: derived into a registered buffer and sent from it, or received into one and checked
//! where it lies.
//!
//! A buffer comes from the thread's cache and goes back to it, still registered. One that an operation does not give
//! back (its future was dropped, or the device failed) is gone, and the next is made anew.

use rdma::client::{ByteRange, ClientError, Done, Failed, Get, Outcome, Put};
use rdma::fabric::{Buffer, RemoteAccess};

use super::{Decline, Line, Protocol};
use crate::content::Content;
use crate::failure::Failure;
use crate::verify::Checker;

/// An object to read.
pub(crate) struct Reading<'a> {
    pub(crate) bucket: &'a str,
    pub(crate) key: &'a str,
    /// These bytes of it, or all of them.
    pub(crate) range: Option<std::ops::Range<u64>>,
    /// How many there should be.
    pub(crate) size: u64,
    /// What they should be, where that is to be checked.
    pub(crate) content: Option<Content>,
}

/// An object or part to write.
pub(crate) struct Writing<'a> {
    pub(crate) bucket: &'a str,
    pub(crate) key: &'a str,
    /// The upload and the part's number.
    pub(crate) part: Option<(&'a str, u16)>,
    pub(crate) content: Content,
    /// Where in the content it begins, and where it ends.
    pub(crate) range: std::ops::Range<u64>,
}

/// How it went.
pub(crate) enum Moved<T> {
    /// It is done, by whatever path; it was counted.
    Done(T),
    /// It has to go by plain HTTP.
    ByHttp(Decline),
}

impl Line {
    /// Reads an object; how many bytes came.
    pub(crate) async fn read(&self, reading: &Reading<'_>) -> Result<Moved<u64>, Failure> {
        if self.unsupported.get() {
            return Ok(Moved::ByHttp(Decline::Unsupported));
        }
        let session = self.lane.protocol() == Protocol::Session;
        if session && reading.size == 0 {
            return Ok(Moved::ByHttp(Decline::Empty));
        }
        let mut get = Get::object(reading.bucket, reading.key);
        get.range = match &reading.range {
            Some(range) => Some(ByteRange { offset: range.start, bytes: range.end - range.start }),
            // This protocol asks for a size.
            None if session => Some(ByteRange { offset: 0, bytes: reading.size }),
            None => None,
        };
        let buffer = self.buffer(reading.size, RemoteAccess::Write)?;
        let result = match self.lane.protocol() {
            Protocol::Session => self.lane.reading.get(&self.control, &get, buffer).await,
            Protocol::Pooled => match self.pool().await {
                Ok(pool) => pool.get(&self.control, &get, buffer).await,
                Err(error) => Err(Failed { error, memory: Some(buffer) }),
            },
        };
        let (outcome, verdict) = match result {
            Ok(Done { memory, outcome }) => {
                let verdict = check(reading, &memory, outcome.bytes);
                self.give(memory, RemoteAccess::Write);
                (outcome, verdict)
            }
            Err(Failed { error, memory }) => {
                if let Some(buffer) = memory {
                    self.give(buffer, RemoteAccess::Write);
                }
                return match error {
                    ClientError::Unsupported => Ok(Moved::ByHttp(Decline::Unsupported)),
                    ClientError::Memory(_) => Ok(Moved::ByHttp(Decline::Unfitting)),
                    error => Err(Failure::Rdma(error)),
                };
            }
        };
        self.count(&outcome);
        verdict.map(|()| Moved::Done(outcome.bytes))
    }

    /// Writes an object or part; its entity tag.
    pub(crate) async fn write(
        &self,
        writing: &Writing<'_>,
    ) -> Result<Moved<Option<String>>, Failure> {
        if self.unsupported.get() {
            return Ok(Moved::ByHttp(Decline::Unsupported));
        }
        let bytes = writing.range.end - writing.range.start;
        if bytes == 0 {
            return Ok(Moved::ByHttp(Decline::Empty));
        }
        let mut buffer = self.buffer(bytes, RemoteAccess::Read)?;
        let place = buffer.as_mut_slice().and_then(|memory| memory.get_mut(..bytes as usize));
        let Some(place) = place else {
            let why = "a buffer that is still in use".to_owned();
            return Err(Failure::Rdma(ClientError::Memory(why)));
        };
        writing.content.fill(writing.range.start, place);
        let mut put = Put::object(writing.bucket, writing.key, bytes);
        if let Some((upload, number)) = writing.part {
            put = put.part(upload, number);
        }
        let result = match self.lane.protocol() {
            Protocol::Session => self.lane.writing.put(&self.control, &put, buffer).await,
            Protocol::Pooled => match self.pool().await {
                Ok(pool) => pool.put(&self.control, &put, buffer).await,
                Err(error) => Err(Failed { error, memory: Some(buffer) }),
            },
        };
        match result {
            Ok(Done { memory, outcome }) => {
                self.give(memory, RemoteAccess::Read);
                self.count(&outcome);
                Ok(Moved::Done(outcome.entity_tag))
            }
            Err(Failed { error, memory }) => {
                if let Some(buffer) = memory {
                    self.give(buffer, RemoteAccess::Read);
                }
                match error {
                    ClientError::Unsupported => Ok(Moved::ByHttp(Decline::Unsupported)),
                    error => Err(Failure::Rdma(error)),
                }
            }
        }
    }

    /// Counts a payload that went by plain HTTP.
    pub(crate) fn count_http(&self, why: Decline, bytes: u64) {
        self.lane.tally.borrow_mut().declined(why, bytes);
    }

    fn count(&self, outcome: &Outcome) {
        self.lane.tally.borrow_mut().transfer(outcome);
    }

    fn buffer(&self, bytes: u64, access: RemoteAccess) -> Result<Buffer, Failure> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let taken = self.lane.buffers.borrow_mut().take(bytes, access);
        taken.map_err(|error| Failure::Rdma(error.into()))
    }

    fn give(&self, buffer: Buffer, access: RemoteAccess) {
        self.lane.buffers.borrow_mut().give(buffer, access);
    }
}

/// Looks at what has come, where it lies.
fn check(reading: &Reading<'_>, memory: &Buffer, got: u64) -> Result<(), Failure> {
    let start = reading.range.as_ref().map_or(0, |range| range.start);
    if let Some(content) = reading.content {
        let mut checker = Checker::new(content, start);
        checker.accept(memory.as_slice().get(..got as usize).unwrap_or_default());
        return checker.verdict(reading.size, got);
    }
    // As by HTTP: ranges must have their length, and whole objects are what they are.
    if reading.range.is_some() && got != reading.size {
        return Err(Failure::WrongSize { expected: reading.size, got });
    }
    Ok(())
}
