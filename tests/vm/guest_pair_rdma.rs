//! Objects by RDMA between two guests: the server here, its client in the other. The payload is on
//! the link and not in the server's TCP.

use std::net::SocketAddr;
use std::time::Duration;

use penstock_tests::client::expect;
use penstock_tests::content::pages;
use penstock_tests::guest::{DriveStore, Guest, LinkBytes, Peer, TcpBytes};
use penstock_tests::rdma::{Protocol, RdmaFigures, assert_nothing_left};
use penstock_tests::server::{Options, Server, free_port};

const BUCKET: &str = "pair";
const MIB: u64 = 1 << 20;

/// For one command in the other guest: emulated, on one CPU.
const COMMAND_WITHIN: Duration = Duration::from_secs(120);

/// What the server's TCP may carry for one object, in both directions, headers of packets included.
const TCP_BYTES_PER_OBJECT: u64 = 64 << 10;

/// One request of the client in the other guest, with the meters before and after it.
struct Crossing<'a> {
    server: &'a Server,
    peer: &'a Peer,
    tcp: &'a TcpBytes,
    table: String,
}

impl Crossing<'_> {
    fn cross(
        &mut self,
        what: &str,
        key: &str,
        bytes: u64,
        protocol: Protocol,
        offset: Option<u64>,
    ) {
        let credentials = self.server.client().credentials().clone();
        let command = format!(
            "AWS_ACCESS_KEY_ID='{}' AWS_SECRET_ACCESS_KEY='{}' exec '{}' {what} {} {BUCKET} {key} {bytes} {} {}",
            credentials.access_key,
            credentials.secret_key,
            env!("CARGO_BIN_EXE_rdma-client"),
            self.server.address,
            protocol.name(),
            offset.map(|offset| offset.to_string()).unwrap_or_default()
        );
        let before = (LinkBytes::of("eth0"), self.tcp.total(), RdmaFigures::of(self.server));
        self.peer.succeed(&command, COMMAND_WITHIN);
        let link = LinkBytes::of("eth0").since(before.0);
        let tcp = self.tcp.total() - before.1;
        let moved = RdmaFigures::of(self.server).since(before.2);
        let name = protocol.name();
        self.table += &format!(
            "| {what} | {name} | {} | {bytes} | {} | {} | {tcp} | {} | {} | {} |\n",
            offset.map(|offset| offset.to_string()).unwrap_or_default(),
            link.received,
            link.sent,
            moved.collected + moved.delivered,
            moved.copied,
            moved.staging_copied
        );
        let (counted, on_the_link) = match what {
            "put" => (moved.collected, link.received),
            _ => (moved.delivered, link.sent),
        };
        assert_eq!((counted, moved.copied), (bytes, 0), "{what} {key}: {moved:?}");
        assert!(on_the_link >= bytes, "{what} {key}: {link:?}");
        assert!(tcp < TCP_BYTES_PER_OBJECT, "{what} {key}: {tcp} bytes of TCP");
    }
}

#[test]
fn objects_cross_the_link_by_rdma() {
    let Some(guest) = Guest::here("objects_cross_the_link_by_rdma") else {
        return;
    };
    assert_eq!(guest.nodes, 2, "the suite's second boot");
    let full = std::env::var_os("GATEWAY_TEST_FULL").is_some();
    let largest = if full { 1 << 30 } else { 64 * MIB };
    let store = DriveStore::new(&guest);
    let address = SocketAddr::from((guest.address, free_port()));
    let listen = ["--listen".to_owned(), address.to_string()];
    let options = listen.into_iter().fold(store.rdma_options(largest), Options::argument);
    let mut server = options.start(&store.site);
    server.address = address;
    let mut http = server.client();
    expect(http.create_bucket(BUCKET).unwrap(), 200).unwrap();
    let peer = Peer::ready();
    let tcp = TcpBytes::on("eth0", address.port());
    let head = "| request | protocol | offset | payload | link received | link sent | TCP | by RDMA | \
                copied | copied from staging |\n|---|---|---|---|---|---|---|---|---|---|\n";
    let mut crossing = Crossing { server: &server, peer: &peer, tcp: &tcp, table: head.to_owned() };
    let mut sizes = vec![1, 4096, MIB, 64 * MIB];
    sizes.extend(full.then_some(1 << 30));
    for bytes in sizes {
        for protocol in Protocol::ALL {
            let key = format!("{}-{bytes}", protocol.name());
            crossing.cross("put", &key, bytes, protocol, None);
            // What was written here is what the other guest has sent.
            if bytes <= 64 * MIB {
                let got = expect(http.get(BUCKET, &key).unwrap(), 200).unwrap();
                assert!(got.body == pages(key.len() as u64, bytes as usize), "{key} is different");
            }
            crossing.cross("get", &key, bytes, protocol, None);
        }
    }
    for protocol in Protocol::ALL {
        for (offset, bytes) in [(1, 4095), (65_537, 70_001), (1_048_575 - 4096, 4097)] {
            crossing.cross("get", "session-1048576", bytes, protocol, Some(offset));
        }
    }
    guest.record("rdma-pair.md", &crossing.table);
    assert_nothing_left(&server);
    store.stop(server);
}
