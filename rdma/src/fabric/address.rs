//! Owns the names by which things on a fabric are told: ports by [`Gid`], queue pairs by [`Qpn`], packets by [`Psn`],
//! memory by [`RemoteWindow`].
//!
//! *Not here*: how they are written in HTTP headers (`crate::wire`).

use std::fmt;
use std::net::Ipv4Addr;

/// A port's global identifier: 16 bytes in network order (InfiniBand specification, 4.1.1). On RoCE v2 an address of
/// the interface: `fe80::…`, or an IPv4 address as `::ffff:a.b.c.d`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gid(pub [u8; 16]);

impl Gid {
    /// All zeros: nobody's.
    pub const ZERO: Gid = Gid([0; 16]);

    /// The GID of a RoCE port with this address.
    #[must_use]
    pub fn from_ipv4(address: Ipv4Addr) -> Gid {
        Gid(address.to_ipv6_mapped().octets())
    }

    /// The IPv4 address, where it is one.
    #[must_use]
    pub fn ipv4(&self) -> Option<Ipv4Addr> {
        std::net::Ipv6Addr::from(self.0).to_ipv4_mapped()
    }

    /// Whether it is link-local: `fe80::/10`.
    #[must_use]
    pub fn is_link_local(&self) -> bool {
        self.0[0] == 0xfe && self.0[1] & 0xc0 == 0x80
    }
}

impl fmt::Display for Gid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        std::net::Ipv6Addr::from(self.0).fmt(f)
    }
}

impl fmt::Debug for Gid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gid({self})")
    }
}

/// A queue pair's number on its device: 24 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Qpn(u32);

impl Qpn {
    /// The largest.
    pub const MAX: u32 = 0xff_ffff;

    /// A number of 1 to [`Self::MAX`].
    #[must_use]
    pub fn new(number: u32) -> Option<Qpn> {
        (1..=Self::MAX).contains(&number).then_some(Qpn(number))
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }
}

/// The packet sequence number that a queue pair sends first: 24 bits. 0 is legal for a fabric, but not in the
/// protocols here, so it is not representable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Psn(u32);

impl Psn {
    /// The largest.
    pub const MAX: u32 = 0xff_ffff;

    /// A number of 1 to [`Self::MAX`].
    #[must_use]
    pub fn new(number: u32) -> Option<Psn> {
        (1..=Self::MAX).contains(&number).then_some(Psn(number))
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }
}

/// Bytes of payload in a packet. Both ends of a connection must have the same; nobody negotiates it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mtu {
    /// 256 bytes.
    B256,
    /// 512 bytes.
    B512,
    /// 1,024 bytes: what an Ethernet MTU of 1,500 leaves.
    B1024,
    /// 2,048 bytes.
    B2048,
    /// 4,096 bytes: needs an Ethernet MTU of 4,200.
    B4096,
}

impl Mtu {
    /// All, in order.
    pub const ALL: [Mtu; 5] = [Mtu::B256, Mtu::B512, Mtu::B1024, Mtu::B2048, Mtu::B4096];

    /// In bytes.
    #[must_use]
    pub fn bytes(self) -> u32 {
        256 << (self as u32)
    }

    /// The one of so many bytes.
    #[must_use]
    pub fn from_bytes(bytes: u32) -> Option<Mtu> {
        Self::ALL.into_iter().find(|mtu| mtu.bytes() == bytes)
    }
}

/// The far end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its queue pair.
    pub qpn: Qpn,
    /// Its port.
    pub gid: Gid,
    /// Its local identifier; 0 on RoCE.
    pub lid: u16,
    /// The sequence number that it sends first.
    pub psn: Psn,
}

/// Memory of a peer that it has opened to us, or of ours that is open to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteWindow {
    /// Where it begins in its owner's address space.
    pub address: u64,
    /// Bytes.
    pub size: u64,
    /// The key that opens it.
    pub rkey: u32,
}

impl RemoteWindow {
    /// The rest of it from `offset` on. None when that is beyond its end.
    #[must_use]
    pub fn from_offset(&self, offset: u64) -> Option<RemoteWindow> {
        let size = self.size.checked_sub(offset)?;
        let address = self.address.checked_add(offset)?;
        Some(RemoteWindow { address, size, rkey: self.rkey })
    }
}
