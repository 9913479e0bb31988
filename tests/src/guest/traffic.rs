//! Owns: counting traffic from outside the product, so that its own counters can be held against
//! something: TCP bytes of one port, packets and resources of an RDMA device, bytes of a link.
//!
//! Where RDMA packets go depends on who talks. Within one device they are looped inside it and
//! appear on no interface; between two guests they are UDP datagrams on eth0. TCP within a guest is
//! on `lo`, whatever local address it is for.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Packets of InfiniBand carry at most this payload on the guests' devices, whose MTU is 9000.
pub const RDMA_PACKET_PAYLOAD_BYTES: u64 = 4096;

/// Counts every byte of IPv4 packets, headers included, that TCP carries to and from one port over
/// one interface: filters of tc-flower(8) that let everything pass. One at a time on an interface.
#[derive(Debug)]
pub struct TcpBytes {
    interface: String,
    /// At `lo` each packet leaves and arrives, and is counted when it leaves; elsewhere what is for
    /// the port arrives.
    towards: &'static str,
}

impl TcpBytes {
    /// Starts counting.
    ///
    /// # Panics
    /// When tc refuses.
    pub fn on(interface: &str, port: u16) -> Self {
        let towards = if interface == "lo" { "egress" } else { "ingress" };
        let counted = Self { interface: interface.to_owned(), towards };
        tc(&["qdisc", "add", "dev", interface, "clsact"]);
        counted.filter("egress", "1", "src_port", port);
        counted.filter(towards, "2", "dst_port", port);
        counted
    }

    /// Bytes so far: to the port, and from it.
    pub fn moved(&self) -> (u64, u64) {
        (self.bytes(self.towards, 2), self.bytes("egress", 1))
    }

    /// Bytes so far in both directions.
    pub fn total(&self) -> u64 {
        let (to, from) = self.moved();
        to + from
    }

    fn filter(&self, hook: &str, preference: &str, field: &str, port: u16) {
        let port = port.to_string();
        tc(&[
            &["filter", "add", "dev", &self.interface, hook, "pref", preference][..],
            &["protocol", "ip", "flower", "ip_proto", "tcp", field, &port, "action", "ok"],
        ]
        .concat());
    }

    fn bytes(&self, hook: &str, preference: u64) -> u64 {
        let text = tc(&["-j", "-s", "filter", "show", "dev", &self.interface, hook]);
        let filters: serde_json::Value = serde_json::from_str(&text).expect("tc -j writes JSON");
        filters
            .as_array()
            .into_iter()
            .flatten()
            .filter(|filter| filter["pref"] == preference)
            .find_map(|filter| filter["options"]["actions"][0]["stats"]["bytes"].as_u64())
            .unwrap_or_else(|| panic!("no filter {preference} at {}: {text}", self.interface))
    }
}

impl Drop for TcpBytes {
    fn drop(&mut self) {
        // In a panic too: the next test counts on the same interface.
        let _ =
            Command::new("tc").args(["qdisc", "del", "dev", &self.interface, "clsact"]).output();
    }
}

fn tc(arguments: &[&str]) -> String {
    let output = Command::new("tc").args(arguments).output().expect("tc is installed");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "tc {}: {errors}", arguments.join(" "));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Counters of an RDMA device since it was made: those of soft-RoCE, by their names in hw_counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RdmaPackets(BTreeMap<String, u64>);

impl RdmaPackets {
    /// The present counters.
    ///
    /// # Panics
    /// When there is no such device.
    pub fn of(device: &str) -> Self {
        let folder = format!("/sys/class/infiniband/{device}/ports/1/hw_counters");
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder}: {error}"));
        let counter = |entry: std::io::Result<fs::DirEntry>| {
            let path = entry.ok()?.path();
            let value = fs::read_to_string(&path).ok()?.trim().parse().ok()?;
            Some((path.file_name()?.to_string_lossy().into_owned(), value))
        };
        Self(entries.filter_map(counter).collect())
    }

    /// One counter.
    ///
    /// # Panics
    /// When the device has none of that name.
    pub fn value(&self, name: &str) -> u64 {
        *self.0.get(name).unwrap_or_else(|| panic!("no counter {name} among {:?}", self.0.keys()))
    }

    /// Packets sent: requests, answers and acknowledgements. `n` bytes of payload are at least
    /// `n / RDMA_PACKET_PAYLOAD_BYTES` of them.
    pub fn sent(&self) -> u64 {
        self.value("sent_pkts")
    }
}

/// What the kernel holds for all users of an RDMA device, by rdma-resource(8): the number of each kind
/// (`qp`, `mr`, `cq`, `pd`, `ctx`). Those of an idle device are the kernel's own. Two looks are equal
/// when nothing has been left behind in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RdmaResources(BTreeMap<String, u64>);

impl RdmaResources {
    /// The present numbers.
    ///
    /// # Panics
    /// When there is no such device.
    pub fn of(device: &str) -> Self {
        let output = Command::new("rdma").args(["-j", "resource", "show", device]).output();
        let output = output.expect("rdma is installed");
        let text = String::from_utf8_lossy(&output.stdout);
        let shown: serde_json::Value = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("rdma resource show {device}: {error}: {text:?}"));
        let numbers = shown[0].as_object().expect("one device is shown");
        let number = |(name, value): (&String, &serde_json::Value)| {
            (name != "ifindex").then_some(())?;
            Some((name.clone(), value.as_u64()?))
        };
        Self(numbers.iter().filter_map(number).collect())
    }

    /// The number of one kind.
    ///
    /// # Panics
    /// When the kernel does not count that kind.
    pub fn value(&self, kind: &str) -> u64 {
        *self.0.get(kind).unwrap_or_else(|| panic!("no {kind} among {:?}", self.0))
    }
}

/// Bytes of Ethernet frames that an interface has received and sent since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkBytes {
    /// Received.
    pub received: u64,
    /// Sent.
    pub sent: u64,
}

impl LinkBytes {
    /// The present counters.
    ///
    /// # Panics
    /// When there is no such interface.
    pub fn of(interface: &str) -> Self {
        let folder = Path::new("/sys/class/net").join(interface).join("statistics");
        let counter = |name: &str| {
            let path = folder.join(name);
            let text = fs::read_to_string(&path);
            text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or_else(|| {
                panic!("no counter {}", path.display());
            })
        };
        Self { received: counter("rx_bytes"), sent: counter("tx_bytes") }
    }

    /// What was moved since an earlier look.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self { received: self.received - earlier.received, sent: self.sent - earlier.sent }
    }
}
