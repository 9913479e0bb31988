//! Owns: opening RDMA at start: whether there is a device, which one, and what the start message says of it.
//!
//! In two steps, because the store lies between: memory for uploads is planned only where there is a device
//! ([`expect`]), and the device is opened with the store's arena, whose regions it registers ([`open`]).

use std::fmt::Write as _;
use std::sync::Arc;

use datapath::arena::Arena;
use rdma::fabric::{Fabric, FabricFacts, Mtu};
use rdma::server::{Server, Settings};

use crate::config::amount::print_bytes;
use crate::config::{Preference, RdmaPlan};

/// What is known before the store is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected(Result<(), String>);

impl Expected {
    /// Memory for uploads that the store must leave.
    pub fn staging_bytes(&self, plan: &RdmaPlan) -> u64 {
        if self.0.is_ok() { plan.staging_bytes } else { 0 }
    }
}

/// Looks whether there is a device at all.
///
/// # Errors
/// When the configuration insists on one: why there is none, and what would give one.
pub fn expect(plan: &RdmaPlan) -> Result<Expected, String> {
    let found = match plan.mode {
        Preference::Off => Err("rdma.mode = off".to_owned()),
        Preference::Auto | Preference::On => devices::look(),
    };
    insist(plan, found.err()).map(|absent| Expected(absent.map_or(Ok(()), Err)))
}

/// Every device that there is with its ports and limits, for a support bundle.
///
/// # Errors
/// Why there is none.
pub fn devices() -> Result<String, String> {
    devices::describe()
}

/// RDMA as it was opened.
pub struct Opened {
    /// The server half, or why there is none.
    pub state: Result<Arc<Server>, String>,
    /// Its paragraph of the start message.
    pub introduction: String,
}

/// Opens the device, registers the arena with it and makes the server half. `given` is a fabric to be taken instead
/// of a device.
///
/// # Errors
/// As [`expect`].
pub fn open(
    plan: &RdmaPlan,
    expected: Expected,
    given: Option<Arc<dyn Fabric>>,
    arena: &Arena,
    lanes: usize,
) -> Result<Opened, String> {
    let fabric = match (given, expected.0) {
        (Some(fabric), _) => Ok(fabric),
        (None, Err(absent)) => Err(absent),
        (None, Ok(())) => devices::open(plan, arena),
    };
    let fabric = match fabric {
        Ok(fabric) => fabric,
        Err(absent) => {
            insist(plan, Some(absent.clone()))?;
            let introduction = format!("RDMA: none: {absent}\n");
            return Ok(Opened { state: Err(absent), introduction });
        }
    };
    let settings = settings(plan, arena);
    let introduction = introduce(fabric.facts(), &settings);
    Ok(Opened { state: Ok(Server::new(fabric, settings, lanes)), introduction })
}

/// Passes the reason on, unless the configuration insists.
fn insist(plan: &RdmaPlan, absent: Option<String>) -> Result<Option<String>, String> {
    match absent {
        Some(reason) if plan.mode == Preference::On => Err(format!(
            "rdma.mode = on, but {reason}; or set rdma.mode = auto to serve without RDMA"
        )),
        absent => Ok(absent),
    }
}

fn settings(plan: &RdmaPlan, arena: &Arena) -> Settings {
    Settings {
        staging_bytes: plan.staging_bytes,
        staging_bytes_per_principal: plan.staging_per_user_bytes,
        sessions_max: plan.sessions,
        sessions_per_principal: plan.sessions_per_user.min(plan.sessions),
        connections_max: plan.connections,
        connections_per_principal: plan.connections_per_user.min(plan.connections),
        path_mtu: path_mtu(plan),
        strict_placement: plan.strict_placement.then(|| arena.clone()),
        ..Settings::default()
    }
}

fn path_mtu(plan: &RdmaPlan) -> Option<Mtu> {
    plan.path_mtu.and_then(Mtu::from_bytes)
}

/// Two lines: the device, and what is served with it.
fn introduce(facts: &FabricFacts, settings: &Settings) -> String {
    let mut text = String::new();
    let FabricFacts { device, port, link_layer, gid, path_mtu, regions, .. } = facts;
    let registered = print_bytes(facts.registered_bytes);
    let mtu = path_mtu.bytes();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "RDMA: {device} port {port} ({link_layer}), GID {gid}, packets of {mtu}; {registered} \
         registered in {regions} region(s)"
    );
    let protocols = match facts.immediate {
        true => "hipobj-rc-v2 and pooled connections",
        false => "pooled connections alone (the device has no WRITE WITH IMMEDIATE)",
    };
    let staging = print_bytes(settings.staging_bytes);
    let _ = writeln!(text, "  {protocols}; uploads of hipobj-rc-v2 up to {staging} at a time");
    text
}

/// Real devices.
#[cfg(feature = "verbs")]
mod devices {
    use super::*;
    use rdma::verbs::{self, VerbsOptions};

    /// Whether there is one.
    pub(super) fn look() -> Result<(), String> {
        match verbs::devices() {
            Ok(found) if found.is_empty() => Err(verbs::VerbsError::NoDevice.to_string()),
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    pub(super) fn describe() -> Result<String, String> {
        look()?;
        let found = verbs::devices().map_err(|error| error.to_string())?;
        Ok(found.iter().map(|device| format!("{device:#?}\n")).collect())
    }

    pub(super) fn open(plan: &RdmaPlan, arena: &Arena) -> Result<Arc<dyn Fabric>, String> {
        let options = VerbsOptions {
            device: plan.device.clone(),
            port: plan.port,
            gid_index: plan.gid_index,
            address: plan.address,
            path_mtu: path_mtu(plan),
        };
        verbs::open(&options, Some(arena)).map_err(|error| error.to_string())
    }
}

/// A build without libibverbs.
#[cfg(not(feature = "verbs"))]
mod devices {
    use super::*;

    const BUILT_WITHOUT: &str =
        "this binary was built without RDMA devices; build it with the feature `verbs`";

    pub(super) fn look() -> Result<(), String> {
        Err(BUILT_WITHOUT.to_owned())
    }

    pub(super) fn describe() -> Result<String, String> {
        look().map(|()| String::new())
    }

    pub(super) fn open(_: &RdmaPlan, _: &Arena) -> Result<Arc<dyn Fabric>, String> {
        Err(BUILT_WITHOUT.to_owned())
    }
}
