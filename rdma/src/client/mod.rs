//! *Owns:* the client half. A program that has an HTTP client ([`Control`]) and memory ([`Memory`]) moves objects by
//! RDMA with it, by two protocols, and by plain HTTP where the server declines:
//!
//! | | HTTP requests per object | queue pairs | right of the peer |
//! |---|---|---|---|
//! | hipobj-rc-v2 (`Client::get`, `Client::put`) | 2 | one per object | GET: to write one window; PUT: none |
//! | pooled (`Client::connect`, `Pool::get`, `Pool::put`) | 1 | one per connection | to write or read one window |
//!
//! ```text
//! Client::new(endpoint, ClientOptions) -> Client                              per thread, cheap to clone
//! Client::capabilities(&control, bucket) -> Result<Capabilities, ClientError>
//! Client::get(&control, &Get, memory) / put(&control, &Put, memory) -> Result<Done<M>, Failed<M>>
//! Client::connect(&control) -> Result<Pool, ClientError>
//! Pool::get(&control, &Get, memory) / put(&control, &Put, memory) -> Result<Done<M>, Failed<M>>   &self; several at once
//! Pool::disconnect(self, &control)
//! ```
//!
//! # What a caller must know
//!
//! * Memory is moved in and comes back, with success and with failure. While it is inside, nobody else has it.
//! * **Late packets.** When a request ends in an error, or without an answer, packets of the server's may still be in
//!   the network. Before the memory comes back from such an operation its key has been made void or the queue pair
//!   through which it was reached has been destroyed, in most cases both; what arrives later is refused by our device.
//!   A program that drops the future of an operation midway loses the memory it had moved in: it is deregistered.
//! * A PUT whose answer never came may have been executed: [`ClientError::UnknownOutcome`]. It is never sent again
//!   silently.
//! * A server that does not know the RDMA headers takes a body-less PUT for an object of 0 bytes. Every pooled PUT
//!   carries the checksum of its real bytes, so that an honest server refuses that; an answer without the RDMA reply
//!   header is looked into (HEAD), and written again where it is not what was meant.
//! * All waits have deadlines: [`ClientOptions`].
//!
//! *Limits:* `limits.rs`, section Client. *Not here:* HTTP, signatures, XML.

mod buffer_pool;
mod checksum;
mod control;
mod exchange;
mod memory;
mod object_answer;
mod options;
mod outcome;
mod plain;
mod pool;
mod pooled_get;
mod pooled_put;
mod request;
mod session;
mod session_answer;
#[cfg(test)]
mod tests;

use std::rc::Rc;

use crate::fabric::{Endpoint, RemoteAccess};
use crate::limits::CLIENT_TRANSFER_BYTES_MAX;
use crate::wire::{Operation, Target, header};
use exchange::{Document, exchange, refused};
use outcome::Tally;
use session::{Ended, Report, Session};

pub use crate::wire::Capabilities;
pub use buffer_pool::{BufferPool, BufferPoolLimits, BufferPoolStats};
pub use control::{
    AnswerBody, AnswerHead, BodyRefused, Control, ControlError, ControlRequest, Method,
};
pub use memory::{Memory, MemoryWindow};
pub use options::ClientOptions;
pub use outcome::{ClientError, Decline, Done, Failed, Outcome, Path, Verification};
pub use pool::Pool;
pub use request::{ByteRange, Condition, Get, PartOf, Put};

/// The client half on one thread. Clones are the same client.
#[derive(Clone)]
pub struct Client {
    endpoint: Endpoint,
    options: Rc<ClientOptions>,
}

impl Client {
    /// A client whose queue pairs are this endpoint's.
    #[must_use]
    pub fn new(endpoint: Endpoint, options: ClientOptions) -> Client {
        Client { endpoint, options: Rc::new(options) }
    }

    /// The endpoint.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// What can be set.
    #[must_use]
    pub fn options(&self) -> &ClientOptions {
        &self.options
    }

    /// What the server of this bucket says that it can do (HEAD of the bucket). A server that says nothing has, as far
    /// as can be known, none of it; asking it by a body-less PUT is what this is there to avoid.
    ///
    /// # Errors
    /// No answer; an error without a word about RDMA; words that are none.
    pub async fn capabilities<C: Control>(
        &self,
        control: &C,
        bucket: &str,
    ) -> Result<Capabilities, ClientError> {
        let target = Target {
            bucket: bucket.to_owned(),
            key: String::new(),
            query: crate::wire::TargetQuery::None,
        };
        let mut target = target.to_string();
        target.pop(); // the slash before the key that is none
        let headers = vec![(plain::CONTENT_SHA256.0, plain::CONTENT_SHA256.1.to_owned())];
        let request = ControlRequest::new(Method::Head, target, headers);
        let mut document = Document::default();
        let time = self.options.connect_time;
        let head = exchange(control, request, &mut document, "HEAD", time).await?;
        match head.header(header::CAPABILITIES) {
            Some(words) => Capabilities::parse(words).map_err(|error| ClientError::Malformed {
                step: "HEAD",
                why: session_answer::text(error),
            }),
            None if head.is_success() => Ok(Capabilities::default()),
            None => Err(refused("HEAD", &head, &document)),
        }
    }

    /// GetObject by hipobj-rc-v2 into the start of the memory. Without a range it asks for as many bytes as the memory
    /// has, from the start of the object: the protocol knows no "all".
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn get<C: Control, M: Memory>(
        &self,
        control: &C,
        get: &Get,
        memory: M,
    ) -> Result<Done<M>, Failed<M>> {
        let range = get.range.unwrap_or(ByteRange { offset: 0, bytes: memory.size() });
        let target = match self.session_target(get.target(), range.bytes, memory.size()) {
            Ok(target) => target,
            Err(error) => return Err(Failed::untouched(error, memory)),
        };
        let window = exposed(memory, RemoteAccess::Write)?;
        let session = Session {
            client: self,
            control,
            operation: Operation::Get,
            target,
            offset: range.offset,
            size: range.bytes,
            window: crate::fabric::RemoteWindow { size: range.bytes, ..window.remote() },
            source: None,
        };
        let Report { result, clean, mut tally } = session.run().await;
        let finale = match result {
            Err(error) => return Err(Failed::revoked(error, window)),
            Ok(Ended::Declined) => {
                let memory = revoked(window)?;
                // The same bytes: a part or version that is asked for whole stays whole.
                let whole = get.part_number.is_some() || get.range.is_some();
                let get = if whole { get.clone() } else { get.clone().range(0, range.bytes) };
                let decline = Decline::NotImplemented;
                return plain::get(&self.options, control, &get, memory, decline, &mut tally).await;
            }
            Ok(Ended::Moved(finale)) => finale,
        };
        let memory = if clean { window.reclaim() } else { revoked(window)? };
        let checksum = match self.options.verify {
            true => finale.promised.verify(memory.host(range.bytes)),
            false => Ok(Verification::NotComputed),
        };
        match checksum {
            Ok(checksum) => {
                Ok(Done { memory, outcome: finale_outcome(finale, range.bytes, checksum, tally) })
            }
            Err(error) => Err(Failed::untouched(error, memory)),
        }
    }

    /// PutObject or UploadPart by hipobj-rc-v2 from the start of the memory.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn put<C: Control, M: Memory>(
        &self,
        control: &C,
        put: &Put,
        memory: M,
    ) -> Result<Done<M>, Failed<M>> {
        let mut tally = Tally::default();
        let options = &self.options;
        if put.bytes == 0 {
            return plain::put(options, control, put, memory, Decline::Empty, &mut tally).await;
        }
        let (target, source) = match self.session_source(put, &memory) {
            Ok(found) => found,
            Err(error) => return Err(Failed::untouched(error, memory)),
        };
        // The peer gets the address and a key that opens nothing: some servers want to see both.
        let window = exposed(memory, RemoteAccess::None)?;
        let session = Session {
            client: self,
            control,
            operation: Operation::Put,
            target,
            offset: 0,
            size: put.bytes,
            window: crate::fabric::RemoteWindow { size: put.bytes, ..window.remote() },
            source: Some(source),
        };
        let Report { result, clean, tally: counted } = session.run().await;
        drop(session);
        tally = counted;
        let finale = match result {
            Err(error) => return Err(Failed::revoked(error, window)),
            Ok(Ended::Declined) => {
                let memory = revoked(window)?;
                let decline = Decline::NotImplemented;
                return plain::put(options, control, put, memory, decline, &mut tally).await;
            }
            Ok(Ended::Moved(finale)) => finale,
        };
        let memory = if clean { window.reclaim() } else { revoked(window)? };
        let checksum = match options.verify {
            true => finale.promised.verify(memory.host(put.bytes)),
            false => Ok(Verification::NotComputed),
        };
        match checksum {
            Ok(checksum) => {
                Ok(Done { memory, outcome: finale_outcome(finale, put.bytes, checksum, tally) })
            }
            // Something else is stored now.
            Err(error) => Err(Failed::untouched(error.of_put(), memory)),
        }
    }

    fn session_source<M: Memory>(
        &self,
        put: &Put,
        memory: &M,
    ) -> Result<(String, bytes::Bytes), ClientError> {
        if put.condition.is_some() || !put.headers.is_empty() {
            return Err(ClientError::Invalid(
                "hipobj-rc-v2 carries no conditions and no metadata: use a pool or plain HTTP"
                    .to_owned(),
            ));
        }
        let target = self.session_target(put.target(memory.size()), put.bytes, memory.size())?;
        Ok((target, memory.load(put.bytes).map_err(ClientError::Memory)?))
    }

    /// The target of a session, where it can have one.
    fn session_target(
        &self,
        target: Result<Target, ClientError>,
        bytes: u64,
        memory: u64,
    ) -> Result<String, ClientError> {
        let facts = self.endpoint.fabric().facts();
        let most = CLIENT_TRANSFER_BYTES_MAX.min(facts.message_bytes_max);
        let invalid = |why: String| Err(ClientError::Invalid(why));
        if !facts.immediate {
            return invalid(format!("{} has no WRITE WITH IMMEDIATE: use a pool", facts.device));
        }
        if bytes == 0 || bytes > most || bytes > memory {
            return invalid(format!(
                "{bytes} bytes: one transfer has 1 to {most}, and the memory has {memory}"
            ));
        }
        target?.encode().map_err(|error| ClientError::Invalid(session_answer::text(error)))
    }
}

fn finale_outcome(
    finale: session_answer::Finale,
    bytes: u64,
    checksum: Verification,
    tally: Tally,
) -> Outcome {
    Outcome {
        path: Path::Rdma,
        bytes,
        entity_tag: finale.entity_tag,
        version_id: finale.version_id,
        content_range: None,
        checksum,
        work_requests: tally.work_requests,
        retries: tally.retries,
    }
}

/// Opens the memory to the peer. Without a registration there is no memory any more.
fn exposed<M: Memory>(memory: M, access: RemoteAccess) -> Result<M::Window, Failed<M>> {
    memory.expose(access).map_err(|error| Failed { error: error.into(), memory: None })
}

/// Closes the memory to everybody.
fn revoked<W: MemoryWindow>(window: W) -> Result<W::Memory, Failed<W::Memory>> {
    window.revoke().map_err(|error| Failed { error: error.into(), memory: None })
}
