//! Owns what this machine has for RDMA, and what would help where it has not.

use std::fs;
use std::sync::Arc;

use rdma::fabric::{Buffer, Fabric, RemoteAccess};
use rustix::process::{Resource, getrlimit};
use serde::Serialize;

use crate::limits;
use crate::rdma::device::{self, DeviceOptions};

/// This machine.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Local {
    pub(crate) devices: Vec<Device>,
    /// The one that would be used, and how.
    pub(crate) chosen: Option<Chosen>,
    /// Why there is none.
    pub(crate) error: Option<String>,
    /// What would help.
    pub(crate) remedies: Vec<String>,
    /// Bytes that this process may lock; None is no limit. Registered memory is locked.
    pub(crate) memory_lock_bytes: Option<u64>,
}

/// One device.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Device {
    pub(crate) name: String,
    pub(crate) firmware: String,
    pub(crate) iwarp: bool,
    /// Why it could not be opened.
    pub(crate) error: Option<String>,
    pub(crate) ports: Vec<Port>,
}

/// A port of a device.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Port {
    pub(crate) number: u8,
    pub(crate) state: String,
    pub(crate) link_layer: &'static str,
    pub(crate) active_mtu: Option<u32>,
    pub(crate) gids: Vec<GidReport>,
}

/// An address of a port.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct GidReport {
    pub(crate) index: u8,
    pub(crate) gid: String,
    pub(crate) kind: String,
    pub(crate) interface: Option<String>,
}

/// What transfers would use.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Chosen {
    pub(crate) device: String,
    pub(crate) port: u8,
    pub(crate) link_layer: &'static str,
    pub(crate) gid: String,
    pub(crate) path_mtu: u32,
    pub(crate) message_bytes_max: u64,
    /// Whether sessions (hipobj-rc-v2) work: they end in a WRITE WITH IMMEDIATE.
    pub(crate) immediate: bool,
}

impl Local {
    /// Looks, opens the device that the options name, and registers a piece of memory.
    pub(crate) fn look(options: &DeviceOptions) -> (Local, Option<Arc<dyn Fabric>>) {
        let mut local =
            Local { memory_lock_bytes: getrlimit(Resource::Memlock).current, ..Local::default() };
        match devices() {
            Ok(devices) => local.devices = devices,
            Err(error) => local.error = Some(error),
        }
        let fabric = match device::open(options) {
            Ok(fabric) => fabric,
            Err(error) => {
                local.error.get_or_insert(error);
                local.remedies = remedies(&local.devices, MACHINE);
                return (local, None);
            }
        };
        let facts = fabric.facts();
        local.chosen = Some(Chosen {
            device: facts.device.clone(),
            port: facts.port,
            link_layer: facts.link_layer,
            gid: facts.gid.to_string(),
            path_mtu: facts.path_mtu.bytes(),
            message_bytes_max: facts.message_bytes_max,
            immediate: facts.immediate,
        });
        let registered = Buffer::allocate(&*fabric, limits::PROBE_OBJECT_BYTES)
            .and_then(|buffer| buffer.expose(RemoteAccess::Write));
        if let Err(error) = registered {
            local.error = Some(format!("memory cannot be registered: {error}"));
            local.remedies = vec![MEMLOCK.to_owned()];
            return (local, None);
        }
        (local, Some(fabric))
    }

    /// What is in the way.
    pub(crate) fn problem(&self) -> Option<String> {
        let error = self.error.as_ref()?;
        let remedies = self.remedies.iter().map(|remedy| format!("; {remedy}"));
        Some(format!("this machine: {error}{}", remedies.collect::<String>()))
    }
}

#[cfg(feature = "verbs")]
fn devices() -> Result<Vec<Device>, String> {
    use rdma::verbs::{DeviceReport, PortReport};

    let port = |port: &PortReport| Port {
        number: port.number,
        state: port.state.to_string(),
        link_layer: port.link_layer,
        active_mtu: port.active_mtu.map(rdma::fabric::Mtu::bytes),
        gids: port
            .gids
            .iter()
            .map(|entry| GidReport {
                index: entry.index,
                gid: entry.gid.to_string(),
                kind: entry.kind.to_string(),
                interface: entry.interface.clone(),
            })
            .collect(),
    };
    let device = |DeviceReport { name, facts }| match facts {
        Ok(facts) => Device {
            name,
            firmware: facts.firmware,
            iwarp: facts.iwarp,
            error: None,
            ports: facts.ports.iter().map(port).collect(),
        },
        Err(error) => Device {
            name,
            firmware: String::new(),
            iwarp: false,
            error: Some(error.to_string()),
            ports: Vec::new(),
        },
    };
    let found = rdma::verbs::devices().map_err(|error| error.to_string())?;
    Ok(found.into_iter().map(device).collect())
}

#[cfg(not(feature = "verbs"))]
fn devices() -> Result<Vec<Device>, String> {
    Err(device::WITHOUT_VERBS.to_owned())
}

/// Where the kernel says what it has.
#[derive(Clone, Copy)]
struct Machine {
    /// Devices that a driver has found.
    classes: &'static str,
    /// What programs open.
    nodes: &'static str,
    modules: &'static str,
}

const MACHINE: Machine = Machine {
    classes: "/sys/class/infiniband",
    nodes: "/dev/infiniband",
    modules: "/proc/modules",
};

const MEMLOCK: &str = "raise the limit on locked memory: ulimit -l unlimited, or LimitMEMLOCK=infinity in a \
     systemd unit, or a memlock line in /etc/security/limits.conf";

/// What would help, from what is there.
fn remedies(devices: &[Device], machine: Machine) -> Vec<String> {
    let entries = |path| fs::read_dir(path).map_or(0, Iterator::count);
    let modules = fs::read_to_string(machine.modules).unwrap_or_default();
    let loaded = |name: &str| modules.lines().any(|line| line.split(' ').next() == Some(name));
    let mut remedies = Vec::new();
    if !devices.is_empty() {
        if devices.iter().all(|device| device.error.is_some()) {
            let nodes = machine.nodes;
            remedies.push(format!(
                "allow this user to read and write {nodes}/uverbs*: add the user to its group, or a udev rule"
            ));
        }
        return remedies;
    }
    if entries(machine.classes) > 0 {
        if !loaded("ib_uverbs") && entries(machine.nodes) == 0 {
            remedies.push("load the module for programs: modprobe ib_uverbs".to_owned());
        }
        remedies.push(
            "install the user-space drivers: the package ibverbs-providers (Debian, Ubuntu), or \
             libibverbs (Fedora, RHEL)"
                .to_owned(),
        );
    } else {
        remedies.push(
            "drivers are kernel modules: modprobe mlx5_ib (or irdma, bnxt_re), rdma_rxe for soft-RoCE"
                .to_owned(),
        );
    }
    if fs::metadata("/.dockerenv").is_ok() || std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
    {
        remedies.push(format!(
            "in a container, hand it {}: --device=…, or a device plugin",
            machine.nodes
        ));
    }
    remedies
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOWHERE: Machine =
        Machine { classes: "/nonexistent/a", nodes: "/nonexistent/b", modules: "/nonexistent/c" };

    fn device(error: Option<&str>) -> Device {
        Device {
            name: "mlx5_0".to_owned(),
            firmware: String::new(),
            iwarp: false,
            error: error.map(str::to_owned),
            ports: Vec::new(),
        }
    }

    #[test]
    fn what_helps_follows_from_what_is_missing() {
        let driver = remedies(&[], NOWHERE);
        assert!(driver[0].contains("modprobe mlx5_ib"), "{driver:?}");
        // A directory with something in it stands for a device that the kernel has and libibverbs has not.
        let kernel = remedies(&[], Machine { classes: "/proc", ..NOWHERE });
        assert!(kernel[0].contains("ib_uverbs") && kernel[1].contains("ibverbs-providers"));
        let rights = remedies(&[device(Some("Permission denied"))], NOWHERE);
        assert!(rights[0].contains("/nonexistent/b/uverbs*"), "{rights:?}");
        assert!(remedies(&[device(None)], NOWHERE).is_empty());
    }

    #[test]
    fn a_device_that_is_not_there_is_a_problem_with_a_reason() {
        let options =
            DeviceOptions { device: Some("no-such-device".to_owned()), ..Default::default() };
        let (local, fabric) = Local::look(&options);
        assert!(fabric.is_none() && local.chosen.is_none());
        let problem = local.problem().expect("a problem");
        assert!(problem.starts_with("this machine: "), "{problem}");
    }
}
