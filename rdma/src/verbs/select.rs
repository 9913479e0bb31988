//! Owns which device and port serve: pure, over what discovery found.

use std::net::IpAddr;

use super::device::{DeviceReport, PortReport, PortState};
use super::gid::{GidTable, gid_of};
use crate::fabric::{FabricError, Mtu};

/// What an operator may say about the device. The default is the first active port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerbsOptions {
    /// Its name.
    pub device: Option<String>,
    /// Its port, from 1.
    pub port: Option<u8>,
    /// The entry of the GID table that every connection uses.
    pub gid_index: Option<u8>,
    /// The address of ours that peers reach: tells device, port and entry.
    pub address: Option<IpAddr>,
    /// Bytes per packet; the port's active MTU by default.
    pub path_mtu: Option<Mtu>,
}

/// Why there is no fabric of verbs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerbsError {
    /// The machine has none.
    #[error(
        "no RDMA device on this machine; load the adapter's driver, or for tests soft-RoCE: rdma link add rxe0 type rxe netdev eth0"
    )]
    NoDevice,
    /// None of that name.
    #[error("no RDMA device {name}; there are: {}", .present.join(", "))]
    NoSuchDevice {
        /// What was asked for.
        name: String,
        /// What there is.
        present: Vec<String>,
    },
    /// The device has no such port.
    #[error("RDMA device {device} has no port {port}")]
    NoSuchPort {
        /// The device.
        device: String,
        /// What was asked for.
        port: u8,
    },
    /// The port that was asked for, or every port, is not active.
    #[error("port {port} of RDMA device {device} is {state}; bring its link up")]
    PortDown {
        /// The device.
        device: String,
        /// The port.
        port: u8,
        /// Its state.
        state: PortState,
    },
    /// No port, or not the one that was asked for, has this address.
    #[error("no active port of the RDMA devices in question has the address {address}; they have: {}", .present.join(", "))]
    NoAddress {
        /// What was asked for.
        address: IpAddr,
        /// What there is, with the device.
        present: Vec<String>,
    },
    /// The port's GID table has no such entry.
    #[error("port {port} of RDMA device {device} has no GID{}", .index.map(|index| format!(" of index {index}")).unwrap_or_default())]
    NoGid {
        /// The device.
        device: String,
        /// The port.
        port: u8,
        /// What was asked for; None where the table is empty.
        index: Option<u8>,
    },
    /// More than the link takes.
    #[error("a path MTU of {} is more than the {} that port {port} of RDMA device {device} takes; raise the interface's MTU or lower this one", .asked.bytes(), .active.bytes())]
    MtuTooLarge {
        /// The device.
        device: String,
        /// The port.
        port: u8,
        /// What was asked for.
        asked: Mtu,
        /// What the port takes.
        active: Mtu,
    },
    /// The driver tells no MTU, and none was given.
    #[error("port {port} of RDMA device {device} tells no active MTU; give a path MTU")]
    MtuUnknown {
        /// The device.
        device: String,
        /// The port.
        port: u8,
    },
    /// A verb failed.
    #[error(transparent)]
    Fabric(#[from] FabricError),
}

/// What was chosen.
#[derive(Debug)]
pub(super) struct Selection {
    /// The place of the device in the list.
    pub(super) device: usize,
    pub(super) port: PortReport,
    pub(super) gids: GidTable,
    pub(super) path_mtu: Mtu,
}

/// Chooses among the devices.
pub(super) fn select(
    options: &VerbsOptions,
    devices: &[DeviceReport],
) -> Result<Selection, VerbsError> {
    if devices.is_empty() {
        return Err(VerbsError::NoDevice);
    }
    let named = named_devices(options, devices)?;
    let (device, port) = choose_port(options, &named)?;
    let name = &devices[device].name;
    let refused =
        || VerbsError::NoGid { device: name.clone(), port: port.number, index: options.gid_index };
    let gids = GidTable::new(port.gids.clone(), options.gid_index, options.address);
    let path_mtu = match (options.path_mtu, port.active_mtu) {
        (Some(asked), Some(active)) if asked > active => {
            let (device, port) = (name.clone(), port.number);
            return Err(VerbsError::MtuTooLarge { device, port, asked, active });
        }
        (Some(mtu), _) | (None, Some(mtu)) => mtu,
        (None, None) => {
            return Err(VerbsError::MtuUnknown { device: name.clone(), port: port.number });
        }
    };
    Ok(Selection { device, gids: gids.ok_or_else(refused)?, path_mtu, port: port.clone() })
}

/// The devices in question, with their place in the list: the named one, or all.
fn named_devices<'a>(
    options: &VerbsOptions,
    devices: &'a [DeviceReport],
) -> Result<Vec<(usize, &'a DeviceReport)>, VerbsError> {
    let all = devices.iter().enumerate();
    let Some(name) = &options.device else { return Ok(all.collect()) };
    let named: Vec<_> = all.filter(|(_, device)| device.name == *name).collect();
    if named.is_empty() {
        let present = devices.iter().map(|device| device.name.clone()).collect();
        return Err(VerbsError::NoSuchDevice { name: name.clone(), present });
    }
    Ok(named)
}

fn choose_port<'a>(
    options: &VerbsOptions,
    devices: &[(usize, &'a DeviceReport)],
) -> Result<(usize, &'a PortReport), VerbsError> {
    let mut ports = Vec::new();
    let mut closed = None;
    for (place, device) in devices {
        match &device.facts {
            Ok(facts) => ports.extend(facts.ports.iter().map(|port| (*place, device, port))),
            Err(error) => closed = closed.or(Some(error)),
        }
    }
    if let Some(number) = options.port {
        ports.retain(|(_, _, port)| port.number == number);
    }
    let Some((_, first_device, first_port)) = ports.first().copied() else {
        return Err(match (closed, devices.first(), options.port) {
            (None, Some((_, device)), Some(port)) => {
                VerbsError::NoSuchPort { device: device.name.clone(), port }
            }
            (Some(error), _, _) => VerbsError::Fabric(error.clone()),
            (None, _, _) => VerbsError::NoDevice,
        });
    };
    let active: Vec<_> =
        ports.iter().copied().filter(|(_, _, port)| port.state == PortState::Active).collect();
    if active.is_empty() {
        return Err(VerbsError::PortDown {
            device: first_device.name.clone(),
            port: first_port.number,
            state: first_port.state,
        });
    }
    let has = |port: &PortReport, address| {
        let gid = gid_of(address);
        port.gids.iter().any(|entry| entry.gid == gid)
    };
    let suits = |port: &PortReport| options.address.is_none_or(|address| has(port, address));
    let chosen = active.iter().find(|(_, _, port)| suits(port));
    match (chosen, options.address) {
        (Some((place, _, port)), _) => Ok((*place, port)),
        (None, Some(address)) => {
            let present = active.iter().flat_map(|(_, device, port)| {
                port.gids.iter().map(|entry| format!("{} ({})", entry.gid, device.name))
            });
            Err(VerbsError::NoAddress { address, present: present.collect() })
        }
        (None, None) => Err(VerbsError::NoDevice),
    }
}

#[cfg(test)]
mod tests {
    use super::super::device::{DeviceFacts, DeviceLimits};
    use super::super::gid::{GidEntry, GidKind};
    use super::*;
    use crate::fabric::Gid;

    fn port(number: u8, state: PortState, last: u8) -> PortReport {
        let gid = Gid::from_ipv4([10, 0, 0, last].into());
        let interface = Some(format!("eth{last}"));
        PortReport {
            number,
            state,
            link_layer: "Ethernet",
            lid: 0,
            active_mtu: Some(Mtu::B1024),
            message_bytes_max: 1 << 30,
            gids: vec![GidEntry { index: 1, gid, kind: GidKind::RoceV2, interface }],
        }
    }

    fn device(name: &str, ports: Vec<PortReport>) -> DeviceReport {
        let limits = DeviceLimits {
            queue_pairs: 1,
            work_requests: 1,
            completion_queues: 1,
            completion_queue_entries: 1,
            regions: 1,
            region_bytes: 1,
            reads_answered: 1,
        };
        let facts = DeviceFacts { firmware: String::new(), iwarp: false, limits, ports };
        DeviceReport { name: name.to_owned(), facts: Ok(facts) }
    }

    fn machine() -> Vec<DeviceReport> {
        use PortState::{Active, Down};
        vec![
            device("mlx5_0", vec![port(1, Down, 1)]),
            device("mlx5_1", vec![port(1, Active, 2), port(2, Active, 3)]),
        ]
    }

    fn chosen(options: &VerbsOptions) -> Result<(usize, u8), VerbsError> {
        select(options, &machine()).map(|selection| (selection.device, selection.port.number))
    }

    #[test]
    fn without_a_device_the_error_says_so() {
        let error = select(&VerbsOptions::default(), &[]).unwrap_err();
        assert_eq!(error, VerbsError::NoDevice);
        assert!(error.to_string().contains("no RDMA device on this machine"), "{error}");
    }

    #[test]
    fn the_first_active_port_is_the_default() {
        assert_eq!(chosen(&VerbsOptions::default()), Ok((1, 1)));
    }

    #[test]
    fn an_address_tells_device_and_port() {
        let address = Some([10, 0, 0, 3].into());
        assert_eq!(chosen(&VerbsOptions { address, ..Default::default() }), Ok((1, 2)));
        let address = Some([10, 0, 0, 9].into());
        let error = chosen(&VerbsOptions { address, ..Default::default() }).unwrap_err();
        assert!(error.to_string().contains("::ffff:10.0.0.2 (mlx5_1)"), "{error}");
    }

    #[test]
    fn what_is_named_must_be_there_and_up() {
        let device = Some("mlx5_7".to_owned());
        let error = chosen(&VerbsOptions { device, ..Default::default() }).unwrap_err();
        assert!(error.to_string().ends_with("there are: mlx5_0, mlx5_1"), "{error}");
        let device = Some("mlx5_0".to_owned());
        let error = chosen(&VerbsOptions { device: device.clone(), ..Default::default() });
        assert!(matches!(error, Err(VerbsError::PortDown { state: PortState::Down, .. })));
        let error = chosen(&VerbsOptions { device, port: Some(3), ..Default::default() });
        assert!(matches!(error, Err(VerbsError::NoSuchPort { port: 3, .. })));
        let error = chosen(&VerbsOptions { gid_index: Some(9), ..Default::default() });
        assert!(matches!(error, Err(VerbsError::NoGid { index: Some(9), .. })));
    }

    #[test]
    fn a_path_mtu_must_fit_the_link() {
        let with = |path_mtu| {
            let options = VerbsOptions { path_mtu, ..Default::default() };
            select(&options, &machine()).map(|selection| selection.path_mtu)
        };
        assert_eq!(with(None), Ok(Mtu::B1024));
        assert_eq!(with(Some(Mtu::B256)), Ok(Mtu::B256));
        let error = with(Some(Mtu::B4096)).unwrap_err();
        assert!(error.to_string().contains("4096 is more than the 1024"), "{error}");
    }

    #[test]
    fn a_device_that_can_not_be_opened_says_why() {
        let refused = FabricError::new("ibv_open_device", "Permission denied");
        let devices = [DeviceReport { name: "rxe0".to_owned(), facts: Err(refused.clone()) }];
        let error = select(&VerbsOptions::default(), &devices).unwrap_err();
        assert_eq!(error, VerbsError::Fabric(refused));
    }
}
