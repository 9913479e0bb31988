//! Owns devices: the list of them, the handle of an open one, and what it is asked about itself.

use std::ffi::{CStr, c_int};
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::ptr::NonNull;
use std::slice;

use rdma_sys::{
    _compat_ibv_port_attr, ibv_close_device, ibv_context, ibv_device, ibv_device_attr,
    ibv_free_device_list, ibv_get_device_list, ibv_get_device_name, ibv_gid_entry, ibv_mtu,
    ibv_open_device, ibv_port_attr, ibv_port_state, ibv_query_device, ibv_query_port,
    ibv_transport_type,
};

use super::gid::{GidEntry, GidKind};
use super::report::{DeviceFacts, DeviceLimits, PortReport, PortState};
use super::sys::{_ibv_query_gid_table, check, check_pointer, failure, text_of};
use crate::fabric::{FabricError, Gid, Mtu};
use crate::limits::GID_ENTRIES_MAX;

/// An open device.
pub(super) struct Context {
    raw: NonNull<ibv_context>,
}

// SAFETY: libibverbs is thread safe: every verb may be called by any thread, also on the same object; the library and its
// providers lock (RDMAmojo, "libibverbs thread safe level"). What must not be is destroying an object twice or using it
// afterwards: the handle is never changed, and closed once, by the last owner.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

impl Context {
    pub(super) fn raw(&self) -> *mut ibv_context {
        self.raw.as_ptr()
    }

    /// Interrupt lines for completion queues; at least 1.
    pub(super) fn completion_vectors(&self) -> c_int {
        // SAFETY: the context is open as long as `self`, and the field is constant.
        unsafe { (*self.raw()).num_comp_vectors }.max(1)
    }

    /// The descriptor of its events; closed with it.
    pub(super) fn event_descriptor(&self) -> RawFd {
        // SAFETY: the context is open as long as `self`, and the field is constant.
        unsafe { (*self.raw()).async_fd }
    }

    fn is_iwarp(&self) -> bool {
        // SAFETY: as above; an open context refers to its device.
        let device = unsafe { (*self.raw()).device };
        // SAFETY: the device lives as long as a context on it is open (ibv_free_device_list(3)).
        let transport = unsafe { (*device).transport_type };
        transport == ibv_transport_type::IBV_TRANSPORT_IWARP
    }

    /// What it can do.
    pub(super) fn facts(&self) -> Result<DeviceFacts, FabricError> {
        let mut attributes = MaybeUninit::<ibv_device_attr>::zeroed();
        // SAFETY: the context is open; the attributes are of the type asked for.
        let answer = unsafe { ibv_query_device(self.raw(), attributes.as_mut_ptr()) };
        check("ibv_query_device", answer)?;
        // SAFETY: numbers and characters only, for which zeros are valid too.
        let attributes = unsafe { attributes.assume_init() };
        let mut ports = Vec::new();
        for number in 1..=attributes.phys_port_cnt {
            ports.push(self.port(number)?);
        }
        self.read_gids(&mut ports)?;
        Ok(DeviceFacts {
            firmware: text_of(&attributes.fw_ver),
            iwarp: self.is_iwarp(),
            limits: DeviceLimits {
                queue_pairs: attributes.max_qp.cast_unsigned(),
                work_requests: attributes.max_qp_wr.cast_unsigned(),
                completion_queues: attributes.max_cq.cast_unsigned(),
                completion_queue_entries: attributes.max_cqe.cast_unsigned(),
                regions: attributes.max_mr.cast_unsigned(),
                region_bytes: attributes.max_mr_size,
                reads_answered: attributes.max_qp_rd_atom.cast_unsigned(),
            },
            ports,
        })
    }

    fn port(&self, number: u8) -> Result<PortReport, FabricError> {
        let mut attributes = MaybeUninit::<ibv_port_attr>::zeroed();
        let into = attributes.as_mut_ptr().cast::<_compat_ibv_port_attr>();
        // SAFETY: the exported function fills a prefix of the structure, which is what its type is called there; the
        // rest stays zero.
        let answer = unsafe { ibv_query_port(self.raw(), number, into) };
        check("ibv_query_port", answer)?;
        // SAFETY: numbers only, for which zeros are valid too.
        let attributes = unsafe { attributes.assume_init() };
        Ok(PortReport {
            number,
            state: match attributes.state {
                ibv_port_state::IBV_PORT_ACTIVE | ibv_port_state::IBV_PORT_ACTIVE_DEFER => {
                    PortState::Active
                }
                ibv_port_state::IBV_PORT_INIT | ibv_port_state::IBV_PORT_ARMED => {
                    PortState::Initialising
                }
                _ => PortState::Down,
            },
            // `IBV_LINK_LAYER_*`, an anonymous enumeration.
            link_layer: match attributes.link_layer {
                1 => "InfiniBand",
                2 => "Ethernet",
                _ => "unknown",
            },
            lid: attributes.lid,
            active_mtu: mtu_of(attributes.active_mtu),
            message_bytes_max: u64::from(attributes.max_msg_sz),
            gids: Vec::new(),
        })
    }

    /// Reads the tables of all ports at once: one system call instead of one for each entry.
    fn read_gids(&self, ports: &mut [PortReport]) -> Result<(), FabricError> {
        let mut entries: Vec<ibv_gid_entry> = Vec::with_capacity(GID_ENTRIES_MAX);
        // SAFETY: there is room for so many entries, of the size that is told.
        let found = unsafe {
            _ibv_query_gid_table(
                self.raw(),
                entries.as_mut_ptr(),
                GID_ENTRIES_MAX,
                0,
                size_of::<ibv_gid_entry>(),
            )
        };
        let Ok(found) = usize::try_from(found) else {
            let value = i32::try_from(-found).unwrap_or(libc::EIO);
            let error = std::io::Error::from_raw_os_error(value);
            return Err(failure("ibv_query_gid_table", &error));
        };
        // SAFETY: so many were filled.
        unsafe { entries.set_len(found.min(GID_ENTRIES_MAX)) };
        for entry in &entries {
            let port = ports.iter_mut().find(|port| u32::from(port.number) == entry.port_num);
            // An index beyond 255 can't be named in ibv_modify_qp(3).
            let (Some(port), Ok(index)) = (port, u8::try_from(entry.gid_index)) else { continue };
            // SAFETY: both halves of the union are plain bytes.
            let gid = Gid(unsafe { entry.gid.raw });
            port.gids.push(GidEntry {
                index,
                gid,
                kind: match entry.gid_type {
                    0 => GidKind::InfiniBand,
                    1 => GidKind::RoceV1,
                    2 => GidKind::RoceV2,
                    other => GidKind::Unknown(other),
                },
                interface: interface_name(entry.ndev_ifindex),
            });
        }
        Ok(())
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: opened by `open` and closed only here; all that was made on it owns a reference.
        let answer = unsafe { ibv_close_device(self.raw()) };
        if let Err(error) = check("ibv_close_device", answer) {
            tracing::error!(%error, "an RDMA device stays open");
        }
    }
}

/// The devices of this machine, none of them open.
pub(super) struct DeviceList {
    raw: *mut *mut ibv_device,
    count: usize,
}

impl DeviceList {
    /// Asks for them. A kernel without RDMA has none.
    pub(super) fn read() -> Result<DeviceList, FabricError> {
        let mut count: c_int = 0;
        // SAFETY: the count is written before the answer.
        let raw = unsafe { ibv_get_device_list(&raw mut count) };
        if !raw.is_null() {
            return Ok(DeviceList { raw, count: usize::try_from(count).unwrap_or(0) });
        }
        let error = std::io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::ENOSYS) => Ok(DeviceList { raw, count: 0 }),
            _ => Err(failure("ibv_get_device_list", &error)),
        }
    }

    fn devices(&self) -> &[*mut ibv_device] {
        if self.raw.is_null() {
            return &[];
        }
        // SAFETY: the list has so many entries, and lives until `self` is dropped.
        unsafe { slice::from_raw_parts(self.raw, self.count) }
    }

    /// Names, and each device opened.
    pub(super) fn opened(&self) -> Vec<(String, Result<Context, FabricError>)> {
        let opened = self.devices().iter().map(|&device| {
            // SAFETY: of the list; the name is a part of it.
            let name = unsafe { ibv_get_device_name(device) };
            if name.is_null() {
                let error = FabricError::new("ibv_get_device_name", "the device has no name");
                return (String::new(), Err(error));
            }
            // SAFETY: NUL-terminated, until the list is freed; copied here.
            let name = unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned();
            // SAFETY: of the list, which is not freed yet.
            let context = unsafe { ibv_open_device(device) };
            let opened = check_pointer("ibv_open_device", context);
            (name, opened.map(|raw| Context { raw }))
        });
        opened.collect()
    }
}

impl Drop for DeviceList {
    fn drop(&mut self) {
        if !self.raw.is_null() {
            // SAFETY: from ibv_get_device_list(3); devices that were opened stay valid.
            unsafe { ibv_free_device_list(self.raw) };
        }
    }
}

/// The enumeration begins with 1 for 256 bytes.
fn mtu_of(value: ibv_mtu::Type) -> Option<Mtu> {
    Mtu::ALL.get(usize::try_from(value).ok()?.checked_sub(1)?).copied()
}

/// The other way.
pub(super) fn mtu_value(mtu: Mtu) -> ibv_mtu::Type {
    match mtu {
        Mtu::B256 => ibv_mtu::IBV_MTU_256,
        Mtu::B512 => ibv_mtu::IBV_MTU_512,
        Mtu::B1024 => ibv_mtu::IBV_MTU_1024,
        Mtu::B2048 => ibv_mtu::IBV_MTU_2048,
        Mtu::B4096 => ibv_mtu::IBV_MTU_4096,
    }
}

fn interface_name(index: u32) -> Option<String> {
    if index == 0 {
        return None;
    }
    let mut name = [0; libc::IF_NAMESIZE];
    // SAFETY: the array is as large as if_indextoname(3) wants it.
    let found = unsafe { libc::if_indextoname(index, name.as_mut_ptr()) };
    // An interface that has gone meanwhile is still told apart from others by its number.
    Some(if found.is_null() { format!("if{index}") } else { text_of(&name) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mtus_are_numbered_as_in_the_specification() {
        for mtu in Mtu::ALL {
            assert_eq!(mtu_of(mtu_value(mtu)), Some(mtu));
        }
        assert_eq!((mtu_of(0), mtu_of(6)), (None, None));
    }

    #[test]
    fn interfaces_have_names() {
        assert_eq!(interface_name(0), None);
        assert_eq!(interface_name(1).as_deref(), Some("lo"));
        assert_eq!(interface_name(u32::MAX), Some(format!("if{}", u32::MAX)));
    }
}
