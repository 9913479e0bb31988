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
//! # Memory of a GPU
//!
//! With feature `gpu`: export the memory as a dmabuf (`cuMemGetHandleForAddressRange`,
//! `hsa_amd_portable_export_dmabuf`), make a `Dmabuf` of the descriptor and of what copies by the GPU's driver, and
//! give `Dmabuf::into_memory` to the operations. GETs, and PUTs through a pool, move nothing through the CPU's memory
//! then; a PUT by hipobj-rc-v2 and plain HTTP do. Give a PUT its checksum where it is known: it is computed of a copy
//! otherwise. What the CPU cannot read it does not verify: [`Verification::NotComputed`]. A device of another kind is an
//! implementation of [`Device`].
//!
//! *Limits:* `limits.rs`, section Client. *Not here:* HTTP, signatures, XML.

mod buffer_pool;
mod checksum;
mod control;
mod device_memory;
#[cfg(feature = "gpu")]
mod dmabuf;
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
mod session_object;
#[cfg(test)]
mod tests;

use std::rc::Rc;

use crate::fabric::{Endpoint, RemoteAccess};
use crate::wire::{Target, TargetQuery, header};
use exchange::{Document, exchange, refused};

pub use crate::wire::Capabilities;
pub use buffer_pool::{BufferPool, BufferPoolLimits, BufferPoolStats};
pub use control::{
    AnswerBody, AnswerHead, BodyRefused, Control, ControlError, ControlRequest, Method,
};
pub use device_memory::{Device, DeviceMemory, DeviceRegistration, DeviceWindow};
#[cfg(feature = "gpu")]
pub use dmabuf::{DeviceCopy, Dmabuf};
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
        let target =
            Target { bucket: bucket.to_owned(), key: String::new(), query: TargetQuery::None };
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
}

/// Opens the memory to the peer. Without a registration there is no memory any more.
fn exposed<M: Memory>(memory: M, access: RemoteAccess) -> Result<M::Window, Failed<M>> {
    memory.expose(access).map_err(|error| Failed { error: error.into(), memory: None })
}

/// Closes the memory to everybody.
fn revoked<W: MemoryWindow>(window: W) -> Result<W::Memory, Failed<W::Memory>> {
    window.revoke().map_err(|error| Failed { error: error.into(), memory: None })
}
