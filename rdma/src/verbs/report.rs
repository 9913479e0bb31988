//! Owns discovery: what RDMA devices there are, what each can do.

use std::fmt;

use super::device::DeviceList;
use super::gid::GidEntry;
use crate::fabric::{FabricError, Mtu};

/// What RDMA devices there are, and what each can do. Opens and closes each.
///
/// # Errors
/// When the list can't be had. That there is none is no error.
pub fn devices() -> Result<Vec<DeviceReport>, FabricError> {
    let opened = DeviceList::read()?.opened().into_iter();
    let report = opened.map(|(name, context)| DeviceReport {
        name,
        facts: context.and_then(|context| context.facts()),
    });
    Ok(report.collect())
}

/// What discovery found out about one device.
#[derive(Clone, Debug)]
pub struct DeviceReport {
    /// Its name: `mlx5_0`, `rxe0`.
    pub name: String,
    /// What it can do, or why it could not be opened: mostly missing rights on `/dev/infiniband/uverbs*`.
    pub facts: Result<DeviceFacts, FabricError>,
}

/// What a device can do.
#[derive(Clone, Debug)]
pub struct DeviceFacts {
    /// Its firmware's version; empty where it has none.
    pub firmware: String,
    /// Whether it is an iWARP device: these have no WRITE WITH IMMEDIATE.
    pub iwarp: bool,
    /// Its limits.
    pub limits: DeviceLimits,
    /// Its ports, from number 1 on.
    pub ports: Vec<PortReport>,
}

/// Limits of a device, as ibv_query_device(3) tells them.
#[derive(Clone, Copy, Debug)]
pub struct DeviceLimits {
    /// Queue pairs.
    pub queue_pairs: u32,
    /// Work requests of one queue.
    pub work_requests: u32,
    /// Completion queues.
    pub completion_queues: u32,
    /// Entries of a completion queue.
    pub completion_queue_entries: u32,
    /// Registered regions.
    pub regions: u32,
    /// Bytes of one region.
    pub region_bytes: u64,
    /// READs that a queue pair can answer at a time.
    pub reads_answered: u32,
}

/// A port of a device.
#[derive(Clone, Debug)]
pub struct PortReport {
    /// Its number, from 1.
    pub number: u8,
    /// What it is ready for.
    pub state: PortState,
    /// `Ethernet`, `InfiniBand` or `unknown`.
    pub link_layer: &'static str,
    /// Its local identifier; 0 on Ethernet.
    pub lid: u16,
    /// The largest packets that its link takes at present. None when the driver says something unheard-of.
    pub active_mtu: Option<Mtu>,
    /// Bytes of one message at most.
    pub message_bytes_max: u64,
    /// Its addresses.
    pub gids: Vec<GidEntry>,
}

/// What a port is ready for (InfiniBand specification, 14.2.5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortState {
    /// No link.
    Down,
    /// Coming up: the subnet manager has not configured it yet.
    Initialising,
    /// Traffic flows.
    Active,
}

impl fmt::Display for PortState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PortState::Down => "down",
            PortState::Initialising => "initialising",
            PortState::Active => "active",
        })
    }
}
