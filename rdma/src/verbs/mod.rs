//! *Owns:* the fabric of real RDMA devices, over libibverbs, and all `unsafe` of this crate.
//!
//! ```text
//!  VerbsFabric ── Device: context ◀─ protection domain ◀─ regions of the arena, buffers        all threads
//!       └─ VerbsEndpoint: completion channel ◀─ completion queue ◀─ queue pairs ◀─ work in flight   one thread
//! ```
//!
//! | file | owns |
//! |---|---|
//! | `report` | discovery: what devices there are |
//! | `device` | open devices |
//! | `select` | which device and port serve |
//! | `gid` | which address of a port a peer gets |
//! | `domain`, `regions` | registrations, and the keys of our own requests |
//! | `memory` | buffers |
//! | `completion_queue`, `endpoint` | a thread's completions: events, routing, room |
//! | `events` | what the device tells unasked: faults, the link |
//! | `queue_pair`, `attributes` | queue pairs, their steps |
//! | `request`, `in_flight` | work as the device is told it, and its memory until it has ended |
//! | `dmabuf` | windows in a GPU's memory, with feature `gpu` |
//!
//! An arrow means "owns a reference to": what the device still uses can't go, in whatever order things are dropped. Where
//! the device refuses to let something go, the memory behind it is leaked, with an error in the log.
//!
//! libibverbs is thread safe, the endpoints here are not: each belongs to the thread that opened it, with all its queue
//! pairs.
//!
//! *Open the device in the process that posts*, after it has given up its privileges: see [`open`].
//!
//! *Limits:* `limits.rs`, section Real devices. *Not here:* what the verbs are used for.
#![allow(unsafe_code)]

mod attributes;
mod completion_queue;
mod device;
#[cfg(feature = "gpu")]
mod dmabuf;
mod domain;
mod endpoint;
mod events;
mod fabric;
mod gid;
mod in_flight;
mod memory;
mod queue_pair;
mod regions;
mod report;
mod request;
mod select;
mod sys;

#[cfg(feature = "gpu")]
pub use dmabuf::DmabufWindow;
pub use fabric::{VerbsFabric, open};
pub use gid::{GidEntry, GidKind};
pub use report::{DeviceFacts, DeviceLimits, DeviceReport, PortReport, PortState, devices};
pub use select::{VerbsError, VerbsOptions};
