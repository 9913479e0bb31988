//! Owns which address of a port is given to which peer, and which entry of the GID table stands for it: pure, over a
//! table that was read before.
//!
//! A peer's token carries nothing but its GID, so its family decides:
//!
//! | peer | ours |
//! |---|---|
//! | `::ffff:a.b.c.d` | the configured address, else the port's first IPv4 one, as RoCE v2 |
//! | `fe80::…` | the first link-local one of the same interface, RoCE v1 before v2 |
//! | zero, or anything else | the default |

use std::fmt;
use std::net::IpAddr;

use crate::fabric::Gid;

/// How packets under an address look on the wire (`enum ibv_gid_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GidKind {
    /// InfiniBand.
    InfiniBand,
    /// Ethernet of its own type: not routed.
    RoceV1,
    /// UDP port 4791.
    RoceV2,
    /// Something newer than this program.
    Unknown(u32),
}

impl fmt::Display for GidKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GidKind::InfiniBand => f.write_str("InfiniBand"),
            GidKind::RoceV1 => f.write_str("RoCE v1"),
            GidKind::RoceV2 => f.write_str("RoCE v2"),
            GidKind::Unknown(number) => write!(f, "type {number}"),
        }
    }
}

/// One entry of a port's GID table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GidEntry {
    /// Its place in the table: what queue pairs are told.
    pub index: u8,
    /// The address.
    pub gid: Gid,
    /// How packets look.
    pub kind: GidKind,
    /// The network interface behind it; None on InfiniBand.
    pub interface: Option<String>,
}

/// The addresses of one port, and those that were asked for.
#[derive(Clone, Debug)]
pub(super) struct GidTable {
    entries: Vec<GidEntry>,
    /// Given to peers of no particular family.
    default: usize,
    /// The default is what the operator named by its index: everybody gets it.
    forced: bool,
}

/// The GID of an address.
pub(super) fn gid_of(address: IpAddr) -> Gid {
    match address {
        IpAddr::V4(address) => Gid::from_ipv4(address),
        IpAddr::V6(address) => Gid(address.octets()),
    }
}

/// How well an entry suits its own address; less is better. Link-local addresses go as RoCE v1 where the port has
/// that, since it is what peers with such an address speak; all others as v2.
fn preference(entry: &GidEntry) -> u8 {
    match (entry.kind, entry.gid.is_link_local()) {
        (GidKind::RoceV1, true) | (GidKind::RoceV2, false) => 0,
        (GidKind::RoceV2, true) | (GidKind::InfiniBand, _) => 1,
        (GidKind::RoceV1, false) | (GidKind::Unknown(_), _) => 2,
    }
}

/// Which default is better where nothing was asked for: IPv4, then other routed addresses, then link-local ones.
fn family_rank(gid: Gid) -> u8 {
    match (gid.ipv4(), gid.is_link_local()) {
        (Some(_), _) => 0,
        (None, false) => 1,
        (None, true) => 2,
    }
}

impl GidTable {
    /// The table with its default: the entry of that index, or that of the address, or the best. None when there is
    /// no such entry.
    pub(super) fn new(
        entries: Vec<GidEntry>,
        index: Option<u8>,
        address: Option<IpAddr>,
    ) -> Option<GidTable> {
        let best = |suits: &dyn Fn(&GidEntry) -> bool| {
            let suiting = entries.iter().enumerate().filter(|(_, entry)| suits(entry));
            suiting
                .min_by_key(|(_, entry)| (family_rank(entry.gid), preference(entry), entry.index))
                .map(|(place, _)| place)
        };
        let default = match (index, address.map(gid_of)) {
            (Some(index), _) => best(&|entry| entry.index == index),
            (None, Some(gid)) => best(&|entry| entry.gid == gid),
            (None, None) => best(&|_| true),
        }?;
        Some(GidTable { entries, default, forced: index.is_some() })
    }

    /// What peers of no particular family get.
    pub(super) fn default_gid(&self) -> Gid {
        self.entries[self.default].gid
    }

    /// What this peer gets. None when the port has no address of its family.
    pub(super) fn local_for(&self, peer: Gid) -> Option<Gid> {
        let default = &self.entries[self.default];
        let same_family = if peer.ipv4().is_some() {
            |gid: Gid| gid.ipv4().is_some()
        } else if peer.is_link_local() {
            |gid: Gid| gid.is_link_local()
        } else {
            return Some(default.gid);
        };
        if self.forced || same_family(default.gid) {
            return Some(default.gid);
        }
        let there = self.entries.iter().filter(|entry| same_family(entry.gid));
        there
            .filter(|entry| entry.interface == default.interface)
            .min_by_key(|entry| (preference(entry), entry.index))
            .map(|entry| entry.gid)
    }

    /// The entry by which a queue pair speaks as this address.
    pub(super) fn index_of(&self, local: Gid) -> Option<u8> {
        let default = &self.entries[self.default];
        if self.forced && default.gid == local {
            return Some(default.index);
        }
        let same = self.entries.iter().filter(|entry| entry.gid == local);
        same.min_by_key(|entry| (preference(entry), entry.index)).map(|entry| entry.index)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn entry(index: u8, address: &str, kind: GidKind, interface: &str) -> GidEntry {
        let address = match address.parse().unwrap() {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        let interface = Some(interface.to_owned());
        GidEntry { index, gid: Gid(address.octets()), kind, interface }
    }

    /// A ConnectX: each address twice.
    fn both_versions() -> Vec<GidEntry> {
        use GidKind::{RoceV1, RoceV2};
        vec![
            entry(0, "fe80::1", RoceV1, "eth2"),
            entry(1, "fe80::1", RoceV2, "eth2"),
            entry(2, "10.1.0.1", RoceV1, "eth2"),
            entry(3, "10.1.0.1", RoceV2, "eth2"),
            entry(4, "10.2.0.1", RoceV1, "eth2.7"),
            entry(5, "10.2.0.1", RoceV2, "eth2.7"),
            entry(6, "fe80::7", RoceV2, "eth2.7"),
            entry(7, "2001:db8::1", RoceV2, "eth2"),
        ]
    }

    fn ipv4(text: &str) -> Gid {
        Gid::from_ipv4(text.parse().unwrap())
    }

    fn ipv6(text: &str) -> Gid {
        Gid(text.parse::<Ipv6Addr>().unwrap().octets())
    }

    #[test]
    fn peers_get_an_address_of_their_family() {
        let table = GidTable::new(both_versions(), None, None).unwrap();
        assert_eq!(table.default_gid(), ipv4("10.1.0.1"));
        assert_eq!(table.local_for(ipv4("10.9.9.9")), Some(ipv4("10.1.0.1")));
        assert_eq!(table.local_for(ipv6("fe80::99")), Some(ipv6("fe80::1")));
        assert_eq!(table.local_for(ipv6("2001:db8::99")), Some(ipv4("10.1.0.1")));
        assert_eq!(table.local_for(Gid::ZERO), Some(ipv4("10.1.0.1")));
    }

    #[test]
    fn the_configured_address_decides_its_interface() {
        let address = IpAddr::V4(Ipv4Addr::new(10, 2, 0, 1));
        let table = GidTable::new(both_versions(), None, Some(address)).unwrap();
        assert_eq!(table.local_for(ipv4("10.9.9.9")), Some(ipv4("10.2.0.1")));
        assert_eq!(table.local_for(ipv6("fe80::99")), Some(ipv6("fe80::7")));
        assert_eq!(table.index_of(ipv6("fe80::7")), Some(6));
        let elsewhere = IpAddr::V4(Ipv4Addr::new(10, 3, 0, 1));
        assert!(GidTable::new(both_versions(), None, Some(elsewhere)).is_none());
    }

    #[test]
    fn routed_addresses_go_as_version_2_and_local_ones_as_version_1() {
        let table = GidTable::new(both_versions(), None, None).unwrap();
        assert_eq!(table.index_of(ipv4("10.1.0.1")), Some(3));
        assert_eq!(table.index_of(ipv6("fe80::1")), Some(0));
        assert_eq!(table.index_of(ipv6("2001:db8::1")), Some(7));
        assert_eq!(table.index_of(ipv4("10.1.0.2")), None);
    }

    #[test]
    fn an_index_overrides_everything() {
        let table = GidTable::new(both_versions(), Some(2), None).unwrap();
        assert_eq!(table.local_for(ipv6("fe80::99")), Some(ipv4("10.1.0.1")));
        assert_eq!(table.index_of(ipv4("10.1.0.1")), Some(2));
        assert!(GidTable::new(both_versions(), Some(99), None).is_none());
    }

    #[test]
    fn a_family_that_the_interface_lacks_is_not_made_up() {
        let table = vec![entry(1, "10.77.0.1", GidKind::RoceV2, "eth0")];
        let table = GidTable::new(table, None, None).unwrap();
        assert_eq!(table.local_for(ipv6("fe80::1")), None);
        assert!(GidTable::new(Vec::new(), None, None).is_none());
    }
}
