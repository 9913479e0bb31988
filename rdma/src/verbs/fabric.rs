//! Owns an opened device with all that is registered in it: the fabric of real devices.

use std::ffi::c_int;
use std::fmt;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datapath::arena::Arena;
use rdma_sys::ibv_access_flags;

use super::device::{Context, DeviceList};
use super::domain::{Domain, Region};
use super::endpoint::VerbsEndpoint;
use super::events::Events;
use super::gid::GidTable;
use super::memory::VerbsBuffer;
use super::regions::{RegionTable, Span};
use super::report::{DeviceFacts, DeviceReport};
use super::select::{Selection, VerbsError, VerbsOptions, select};
use crate::fabric::{
    BufferDriver, EndpointDriver, Fabric, FabricError, FabricFacts, FabricHealth, Gid,
};

/// A port of a real device, as a fabric. All threads share it.
pub struct VerbsFabric {
    device: Arc<Device>,
    facts: FabricFacts,
}

/// What everything that was made on the device keeps alive.
pub(super) struct Device {
    // Dropped first: regions go before their domain and before their memory.
    _arena: ArenaRegions,
    domain: Arc<Domain>,
    events: Events,
    regions: RegionTable,
    gids: GidTable,
    port: u8,
    message_bytes_max: u64,
    completion_queue_entries_max: u32,
    /// Which interrupt line the next completion queue gets: threads are spread over them.
    vector: AtomicUsize,
}

/// Opens the device that the options tell, and registers the arena: once for each of its regions, for local use only, so
/// that no key of it ever opens anything to a peer.
///
/// In the process that posts, and after it has given up its privileges: soft-RoCE and soft-iWARP post by a system call,
/// which the kernel refuses once the process has other credentials than when it opened the device. The GID table is read
/// now; an address that the interface gets later is known after a restart.
///
/// # Errors
/// When there is no such device, port or address, or the kernel refuses: the error names the verb and the remedy.
pub fn open(options: &VerbsOptions, arena: Option<&Arena>) -> Result<Arc<dyn Fabric>, VerbsError> {
    let fabric: Arc<dyn Fabric> = VerbsFabric::open(options, arena)?;
    Ok(fabric)
}

impl VerbsFabric {
    /// As [`open`], for what only real devices have.
    ///
    /// # Errors
    /// As there.
    pub fn open(
        options: &VerbsOptions,
        arena: Option<&Arena>,
    ) -> Result<Arc<VerbsFabric>, VerbsError> {
        let mut contexts = Vec::new();
        let mut reports = Vec::new();
        for (name, context) in DeviceList::read()?.opened() {
            let facts = context.and_then(|context| {
                let facts = context.facts()?;
                Ok((context, facts))
            });
            let (context, facts) = match facts {
                Ok((context, facts)) => (Some(context), Ok(facts)),
                Err(error) => (None, Err(error)),
            };
            contexts.push(context);
            reports.push(DeviceReport { name, facts });
        }
        let selection = select(options, &reports)?;
        let report = reports.swap_remove(selection.device);
        let context = contexts.swap_remove(selection.device);
        // Those that were not chosen are closed before anything is registered.
        drop(contexts);
        let (Some(context), Ok(facts)) = (context, report.facts) else {
            return Err(VerbsError::NoDevice);
        };
        VerbsFabric::with(report.name, context, &facts, selection, arena)
    }

    fn with(
        name: String,
        context: Context,
        facts: &DeviceFacts,
        selection: Selection,
        arena: Option<&Arena>,
    ) -> Result<Arc<VerbsFabric>, VerbsError> {
        let Selection { port, gids, path_mtu, .. } = selection;
        let completion_queue_entries_max = facts.limits.completion_queue_entries;
        let domain = Domain::new(Arc::new(context))?;
        let arena = ArenaRegions::register(&domain, arena)?;
        let facts = FabricFacts {
            kind: "verbs",
            device: name,
            port: port.number,
            link_layer: port.link_layer,
            lid: port.lid,
            gid: gids.default_gid(),
            path_mtu,
            message_bytes_max: port.message_bytes_max,
            immediate: !facts.iwarp,
            registered_bytes: arena.spans.iter().map(|span| span.bytes as u64).sum(),
            regions: arena.spans.len(),
        };
        let device = Device {
            regions: RegionTable::new(arena.spans.clone()),
            events: Events::new(domain.context(), port.number)?,
            _arena: arena,
            domain,
            gids,
            port: port.number,
            message_bytes_max: port.message_bytes_max,
            completion_queue_entries_max,
            vector: AtomicUsize::new(0),
        };
        Ok(Arc::new(VerbsFabric { device: Arc::new(device), facts }))
    }
}

impl Fabric for VerbsFabric {
    fn facts(&self) -> &FabricFacts {
        &self.facts
    }

    fn health(&self) -> FabricHealth {
        self.device.events.health()
    }

    fn local_gid(&self, peer: Gid) -> Result<Gid, FabricError> {
        self.device.gids.local_for(peer).ok_or_else(|| {
            let FabricFacts { device, port, .. } = &self.facts;
            let family = if peer.ipv4().is_some() { "IPv4" } else { "link-local" };
            let why = format!(
                "port {port} of {device} has no {family} address for the peer {peer}; give its interface one, or name the \
                 entry of the GID table to use"
            );
            FabricError::new("ibv_query_gid_table", why)
        })
    }

    fn endpoint(&self) -> Result<Box<dyn EndpointDriver>, FabricError> {
        Ok(Box::new(VerbsEndpoint::open(&self.device)?))
    }

    fn allocate(&self, bytes: usize) -> Result<Box<dyn BufferDriver>, FabricError> {
        Ok(Box::new(VerbsBuffer::allocate(&self.device, bytes)?))
    }

    fn adopt(&self, memory: Box<[u8]>) -> Result<Box<dyn BufferDriver>, FabricError> {
        Ok(Box::new(VerbsBuffer::adopt(&self.device, memory)?))
    }
}

impl fmt::Debug for VerbsFabric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerbsFabric").field("facts", &self.facts).finish_non_exhaustive()
    }
}

impl VerbsFabric {
    /// What its registrations are made on.
    #[cfg(feature = "gpu")]
    pub(super) fn device(&self) -> &Arc<Device> {
        &self.device
    }
}

impl Device {
    pub(super) fn domain(&self) -> &Arc<Domain> {
        &self.domain
    }

    pub(super) fn events(&self) -> &Events {
        &self.events
    }

    pub(super) fn regions(&self) -> &RegionTable {
        &self.regions
    }

    pub(super) fn port(&self) -> u8 {
        self.port
    }

    pub(super) fn message_bytes_max(&self) -> u64 {
        self.message_bytes_max
    }

    pub(super) fn completion_queue_entries_max(&self) -> u32 {
        self.completion_queue_entries_max
    }

    /// The interrupt line of the next completion queue.
    pub(super) fn next_vector(&self) -> c_int {
        let lines = self.domain.context().completion_vectors();
        let next = self.vector.fetch_add(1, Ordering::Relaxed) % lines.unsigned_abs() as usize;
        c_int::try_from(next).unwrap_or(0)
    }

    /// The entry of the GID table for this address of ours.
    pub(super) fn gid_index(&self, local: Gid) -> Result<u8, FabricError> {
        self.gids.index_of(local).ok_or_else(|| {
            FabricError::new("ibv_modify_qp", format!("{local} is no address of the port"))
        })
    }
}

/// The arena's registrations.
struct ArenaRegions {
    regions: Vec<Region>,
    spans: Vec<Span>,
    /// Keeps the memory mapped; never unmapped while the device refuses to let go of it.
    arena: ManuallyDrop<Option<Arena>>,
}

impl ArenaRegions {
    fn register(domain: &Arc<Domain>, arena: Option<&Arena>) -> Result<ArenaRegions, FabricError> {
        let (regions, spans) = (Vec::new(), Vec::new());
        let kept = ManuallyDrop::new(arena.cloned());
        let mut made = ArenaRegions { regions, spans, arena: kept };
        let Some(arena) = arena else { return Ok(made) };
        for index in 0..arena.region_count() {
            let (start, bytes) = arena.region(index);
            let rights = ibv_access_flags::IBV_ACCESS_LOCAL_WRITE;
            // SAFETY: mapped as long as the arena, which `made` keeps until the region is released. The device touches
            // nothing of it but what work requests name: frames and bytes that the request owns until it has ended.
            let region = unsafe { Region::register(domain, start, bytes, rights) }?;
            let key = region.local_key();
            made.spans.push(Span { start: start.expose_provenance(), bytes, key });
            made.regions.push(region);
        }
        Ok(made)
    }
}

impl Drop for ArenaRegions {
    fn drop(&mut self) {
        let mut stuck = false;
        for region in &mut self.regions {
            if let Err(error) = region.release() {
                tracing::error!(%error, "the arena stays mapped");
                stuck = true;
            }
        }
        if !stuck {
            // SAFETY: dropped only here, and not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.arena) };
        }
    }
}
