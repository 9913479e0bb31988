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

mod control;
mod memory;
mod options;
mod outcome;
mod request;

pub use control::{
    AnswerBody, AnswerHead, BodyRefused, Control, ControlError, ControlRequest, Method,
};
pub use memory::{Memory, MemoryWindow};
pub use options::ClientOptions;
pub use outcome::{ClientError, Decline, Done, Failed, Outcome, Path, Verification};
pub use request::{ByteRange, Condition, Get, PartOf, Put};
