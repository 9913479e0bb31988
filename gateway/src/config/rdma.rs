//! What is configured of RDMA, resolved, checked and typed.
//!
//! Not here: whether the machine has a device (`crate::rdma`), the keys' own documentation (`keys.rs`).

use std::net::{IpAddr, SocketAddr};

use super::amount::print_bytes;
use super::keys;
use super::plan::{Parsed, Preference, Reader, bytes, choice, count, preference, switch, wrong};
use crate::limits;

/// What is configured of RDMA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RdmaPlan {
    /// Whether to use it.
    pub mode: Preference,
    /// The device; `None` for the one that fits.
    pub device: Option<String>,
    /// Its port, from 1; `None` for the first active one.
    pub port: Option<u8>,
    /// The GID for all clients; `None` for the one of each client's family.
    pub gid_index: Option<u8>,
    /// The interface's address, which chooses device, port and GID.
    pub address: Option<IpAddr>,
    /// Bytes per packet, a power of two from 256 to 4096; `None` for the port's.
    pub path_mtu: Option<u32>,
    /// Memory for uploads of the hipobj-rc-v2 protocol.
    pub staging_bytes: u64,
    /// Of it, what one access key may have; `None` for all.
    pub staging_per_user_bytes: Option<u64>,
    /// Sessions at a time.
    pub sessions: usize,
    /// Sessions of one access key.
    pub sessions_per_user: usize,
    /// Pooled connections at a time.
    pub connections: usize,
    /// Pooled connections of one access key.
    pub connections_per_user: usize,
    /// The HTTP status of a declined upload: 200 or 501.
    pub put_decline_status: u16,
    /// Whether clients that do not sign may connect.
    pub allow_unsigned_connect: bool,
    /// Whether the RDMA address must be that of the HTTP connection.
    pub require_same_address: bool,
    /// Whether pooled downloads end in a read.
    pub strict_placement: bool,
}

impl Reader<'_> {
    /// The keys of RDMA; `None` says that a finding was kept.
    pub(super) fn rdma(&mut self) -> Option<RdmaPlan> {
        let mode = self.one(&keys::RDMA_MODE, preference);
        let device = self.optional(&keys::RDMA_DEVICE, device_name);
        let port = self.optional(&keys::RDMA_PORT, small(1));
        let gid_index = self.optional(&keys::RDMA_GID_INDEX, small(0));
        let address = self.optional(&keys::RDMA_ADDRESS, ip_address);
        let path_mtu = self.optional(&keys::RDMA_PATH_MTU, path_mtu);
        let staging_bytes = self.one(
            &keys::RDMA_STAGING,
            bytes(limits::RDMA_STAGING_BYTES_MIN, limits::RDMA_STAGING_BYTES_MAX),
        );
        let staging_per_user_bytes = self.optional(
            &keys::RDMA_STAGING_PER_USER,
            bytes(limits::RDMA_STAGING_BYTES_MIN, limits::RDMA_STAGING_BYTES_MAX),
        );
        let many = || count(1, limits::RDMA_SESSIONS_MAX);
        let sessions = self.one(&keys::RDMA_SESSIONS, many());
        let sessions_per_user = self.one(&keys::RDMA_SESSIONS_PER_USER, many());
        let connections = self.one(&keys::RDMA_CONNECTIONS, many());
        let connections_per_user = self.one(&keys::RDMA_CONNECTIONS_PER_USER, many());
        let put_decline_status = self.one(&keys::RDMA_PUT_DECLINE_STATUS, decline_status);
        let allow_unsigned_connect = self.one(&keys::RDMA_ALLOW_UNSIGNED_CONNECT, switch);
        let require_same_address = self.one(&keys::RDMA_REQUIRE_SAME_ADDRESS, switch);
        let strict_placement = self.one(&keys::RDMA_STRICT_PLACEMENT, switch);
        Some(RdmaPlan {
            mode: mode?,
            device: device?,
            port: port?,
            gid_index: gid_index?,
            address: address?,
            path_mtu: path_mtu?,
            staging_bytes: staging_bytes?,
            staging_per_user_bytes: staging_per_user_bytes?,
            sessions: sessions?,
            sessions_per_user: sessions_per_user?,
            connections: connections?,
            connections_per_user: connections_per_user?,
            put_decline_status: put_decline_status?,
            allow_unsigned_connect: allow_unsigned_connect?,
            require_same_address: require_same_address?,
            strict_placement: strict_placement?,
        })
    }

    /// Checks of RDMA that no single key can make.
    pub(super) fn rdma_checks(
        &mut self,
        rdma: &RdmaPlan,
        listen: Option<&[SocketAddr]>,
        memory: Option<u64>,
    ) {
        let open = listen.into_iter().flatten().find(|address| !address.ip().is_loopback());
        if let (true, Some(open)) = (rdma.allow_unsigned_connect, open) {
            self.fault(
                &keys::RDMA_ALLOW_UNSIGNED_CONNECT,
                Some("on".to_owned()),
                &format!("S3 listens on {open}, where anybody could use it"),
                "turn it off, or listen on loopback addresses alone, such as 127.0.0.1:9000",
            );
        }
        for (key, each, all) in [
            (&keys::RDMA_SESSIONS_PER_USER, rdma.sessions_per_user, rdma.sessions),
            (&keys::RDMA_CONNECTIONS_PER_USER, rdma.connections_per_user, rdma.connections),
        ] {
            if each > all && self.raw.written(key).is_some() {
                let problem = format!("more than the {all} in all");
                self.fault(key, Some(each.to_string()), &problem, "write a smaller number");
            }
        }
        if let Some(each) = rdma.staging_per_user_bytes.filter(|each| *each > rdma.staging_bytes) {
            let problem = format!("more than the {} in all", print_bytes(rdma.staging_bytes));
            let value = Some(print_bytes(each));
            let remedy = "write less, or raise rdma.staging";
            self.fault(&keys::RDMA_STAGING_PER_USER, value, &problem, remedy);
        }
        let most = memory.map(|memory| memory / limits::RDMA_STAGING_DIVISOR_MIN);
        if let Some(most) = most
            && rdma.staging_bytes > most
            && self.raw.written(&keys::RDMA_STAGING).is_some()
        {
            let remedy = format!("write at most {}, or raise memory", print_bytes(most));
            let value = Some(print_bytes(rdma.staging_bytes));
            self.fault(&keys::RDMA_STAGING, value, "more than half of the memory budget", &remedy);
        }
    }
}

fn decline_status(text: &str) -> Parsed<u16> {
    choice(text, &[("200", 200), ("501", 501)])
}

fn path_mtu(text: &str) -> Parsed<u32> {
    choice(text, &[("256", 256), ("512", 512), ("1024", 1024), ("2048", 2048), ("4096", 4096)])
}

/// A port, which counts from 1, or an index, from 0.
fn small(least: u8) -> impl Fn(&str) -> Parsed<u8> {
    move |text| match text.trim().parse::<u8>() {
        Ok(number) if number >= least => Ok(number),
        _ => wrong("not a number of that range", format!("write a number from {least} to 255")),
    }
}

/// The kernel's bound is 64 bytes with the end (`IB_DEVICE_NAME_MAX`).
fn device_name(text: &str) -> Parsed<String> {
    let usual = |byte: u8| byte.is_ascii_graphic() && byte != b'/';
    match (1..=63).contains(&text.len()) && text.bytes().all(usual) {
        true => Ok(text.to_owned()),
        false => wrong("not a device's name", "write one that `ibv_devices` lists, such as mlx5_0"),
    }
}

fn ip_address(text: &str) -> Parsed<IpAddr> {
    text.trim().parse().or_else(|_| {
        wrong("not an IP address", "write that of the RDMA interface, such as 10.0.0.1")
    })
}
