//! Owns GetObject through a pool: one request whose token names a connection and a window.

use super::control::{AnswerBody, AnswerHead, BodyRefused, Control, ControlRequest, Method};
use super::exchange::{Backoff, Document, exchange, refused};
use super::memory::{Memory, MemoryWindow};
use super::object_answer::{GetAnswer, read_get};
use super::outcome::{ClientError, Decline, Done, Failed, Outcome, Path, Tally, Verification};
use super::pool::{Line, Pool};
use super::request::{ByteRange, Get};
use super::{checksum::Promised, exposed, plain, revoked};
use crate::fabric::{RemoteAccess, RemoteWindow};
use crate::limits::CLIENT_TRANSFER_BYTES_MAX;
use crate::wire::{PooledToken, header};

/// What is to be done after one request.
enum Next<M> {
    /// It is done, or has failed for good.
    Ended(Result<Done<M>, Failed<M>>),
    /// The connection was unknown.
    Reconnect(M, ClientError),
    /// Later.
    Wait(M),
    /// Without a token.
    Plain(M, Decline),
}

impl Pool {
    /// GetObject into the start of the memory: whole, a range, a part or a version.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn get<C: Control, M: Memory>(
        &self,
        control: &C,
        get: &Get,
        mut memory: M,
    ) -> Result<Done<M>, Failed<M>> {
        let target = match get.target() {
            Ok(target) => target.to_string(),
            Err(error) => return Err(Failed::untouched(error, memory)),
        };
        let _place = match self.place().await {
            Ok(place) => place,
            Err(error) => return Err(Failed::untouched(error, memory)),
        };
        let options = &self.client.options;
        let (mut tally, mut reconnected) = (Tally::default(), false);
        let mut backoff = Backoff::new(options);
        loop {
            let line = match self.line(control, &mut tally).await {
                Ok(line) => line,
                Err(ClientError::Unsupported) => {
                    let decline = Decline::NotImplemented;
                    return plain::get(options, control, get, memory, decline, &mut tally).await;
                }
                Err(error) => return Err(Failed::untouched(error, memory)),
            };
            memory = match self.try_get(control, get, &target, line, memory, tally).await {
                Next::Ended(ended) => return ended,
                Next::Plain(memory, decline) => {
                    tally.retries += 1;
                    return plain::get(options, control, get, memory, decline, &mut tally).await;
                }
                Next::Reconnect(memory, error) if reconnected => {
                    return Err(Failed::untouched(error, memory));
                }
                Next::Reconnect(memory, _) => {
                    reconnected = true;
                    memory
                }
                Next::Wait(memory) => match backoff.pause().await {
                    Ok(()) => memory,
                    Err(error) => return Err(Failed::untouched(error, memory)),
                },
            };
            tally.retries += 1;
        }
    }

    /// One request.
    async fn try_get<C: Control, M: Memory>(
        &self,
        control: &C,
        get: &Get,
        target: &str,
        line: Line,
        memory: M,
        tally: Tally,
    ) -> Next<M> {
        let size = memory.size().min(CLIENT_TRANSFER_BYTES_MAX);
        let window = match exposed(memory, RemoteAccess::Write) {
            Ok(window) => window,
            Err(failed) => {
                self.keep(line);
                return Next::Ended(Err(failed));
            }
        };
        let token =
            PooledToken { connection: line.id, window: RemoteWindow { size, ..window.remote() } };
        let mut headers = plain::get_headers(get);
        headers.push((header::TOKEN, token.to_string()));
        let request = ControlRequest::new(Method::Get, target.to_owned(), headers);
        let mut body = Body::new(window, get.range, size);
        let time = self.client.options.transfer_deadline(size);
        let answer = exchange(control, request, &mut body, "GET", time).await;
        let Body { place, stored, fault, document, .. } = body;
        let head = match (answer, fault) {
            (Ok(head), None) => head,
            (_, Some(error)) | (Err(error), None) => {
                self.end(control, line).await;
                return Next::Ended(Err(place.failed(error)));
            }
        };
        let answer = read_get(&head, document.code().as_deref(), get.range, size);
        let error = match &answer {
            GetAnswer::Malformed(why) => ClientError::Malformed { step: "GET", why: why.clone() },
            _ => refused("GET", &head, &document),
        };
        match &answer {
            GetAnswer::NoSession => self.forget(line).await,
            GetAnswer::Malformed(_) => self.end(control, line).await,
            GetAnswer::Refused if head.status >= 500 => self.end(control, line).await,
            GetAnswer::Delivered(bytes) => {
                let ended = self.delivered(place, &head, *bytes, tally);
                // The wrong bytes may still be on their way: nothing more comes through this queue pair.
                match &ended {
                    Ok(_) => self.keep(line),
                    Err(_) => self.end(control, line).await,
                }
                return Next::Ended(ended);
            }
            _ => self.keep(line),
        }
        let memory = match place.closed() {
            Ok(memory) => memory,
            Err(failed) => return Next::Ended(Err(failed)),
        };
        match answer {
            GetAnswer::Body(decline) => {
                let outcome = Outcome::of(Path::Http(decline), stored, &head, tally);
                Next::Ended(Ok(Done { memory, outcome }))
            }
            GetAnswer::AskAgain(decline) => Next::Plain(memory, decline),
            GetAnswer::NoSession => Next::Reconnect(memory, error),
            GetAnswer::Busy => Next::Wait(memory),
            GetAnswer::Delivered(_) | GetAnswer::Refused | GetAnswer::Malformed(_) => {
                Next::Ended(Err(Failed::untouched(error, memory)))
            }
        }
    }

    /// The bytes are there: the server has said so, and it says it after the last of them was acknowledged.
    fn delivered<M: Memory>(
        &self,
        place: Place<M>,
        head: &AnswerHead,
        bytes: u64,
        tally: Tally,
    ) -> Result<Done<M>, Failed<M>> {
        let promised = match Promised::read(head) {
            Ok(promised) => promised,
            Err(why) => return Err(place.failed(ClientError::Malformed { step: "GET", why })),
        };
        let memory = match place {
            Place::Open(window) => window.reclaim(),
            Place::Closed(memory) => memory,
            Place::Lost(error) => return Err(Failed { error, memory: None }),
        };
        let mut outcome = Outcome::of(Path::Rdma, bytes, head, tally);
        let checksum = match self.client.options.verify {
            true => promised.verify(memory.host(bytes)),
            false => Ok(Verification::NotComputed),
        };
        match checksum {
            Ok(checksum) => {
                outcome.checksum = checksum;
                Ok(Done { memory, outcome })
            }
            Err(error) => Err(Failed::untouched(error, memory)),
        }
    }
}

/// Where the memory is: open to the server until a body comes in place of its writes.
enum Place<M: Memory> {
    Open(M::Window),
    Closed(M),
    /// The device would not close it.
    Lost(ClientError),
}

impl<M: Memory> Place<M> {
    fn closed(self) -> Result<M, Failed<M>> {
        match self {
            Place::Open(window) => revoked(window),
            Place::Closed(memory) => Ok(memory),
            Place::Lost(error) => Err(Failed { error, memory: None }),
        }
    }

    fn failed(self, error: ClientError) -> Failed<M> {
        match self.closed() {
            Ok(memory) => Failed::untouched(error, memory),
            Err(failed) => failed,
        }
    }
}

/// Takes the body of an answer: the object where the server has declined, an error document where it has refused.
struct Body<M: Memory> {
    place: Place<M>,
    range: Option<ByteRange>,
    size: u64,
    stored: u64,
    fault: Option<ClientError>,
    document: Document,
}

impl<M: Memory> Body<M> {
    fn new(window: M::Window, range: Option<ByteRange>, size: u64) -> Body<M> {
        let document = Document::default();
        Body { place: Place::Open(window), range, size, stored: 0, fault: None, document }
    }

    fn store(&mut self, head: &AnswerHead, piece: &[u8]) -> Result<(), ClientError> {
        if let Place::Open(_) = self.place {
            let why = match read_get(head, None, self.range, self.size) {
                GetAnswer::Body(_) => None,
                GetAnswer::Malformed(why) => Some(why),
                _ => Some("a body beside the bytes that went by RDMA".to_owned()),
            };
            if let Some(why) = why {
                return Err(ClientError::Malformed { step: "GET", why });
            }
            // Before the CPU writes there, nobody else may.
            let open = std::mem::replace(&mut self.place, Place::Lost(ClientError::Unsupported));
            self.place = match open.closed() {
                Ok(memory) => Place::Closed(memory),
                Err(failed) => Place::Lost(failed.error),
            };
        }
        match &mut self.place {
            Place::Closed(memory) => {
                memory.store(self.stored, piece).map_err(ClientError::Memory)?;
                self.stored += piece.len() as u64;
                Ok(())
            }
            Place::Lost(error) => Err(error.clone()),
            Place::Open(_) => Ok(()),
        }
    }
}

impl<M: Memory> AnswerBody for Body<M> {
    fn accept(&mut self, head: &AnswerHead, piece: &[u8]) -> Result<(), BodyRefused> {
        if !head.is_success() {
            return self.document.accept(head, piece);
        }
        if self.fault.is_none() {
            self.fault = self.store(head, piece).err();
        }
        if self.fault.is_some() { Err(BodyRefused) } else { Ok(()) }
    }
}
