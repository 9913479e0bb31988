//! Two guests on one link: the server here, its client in the other. What is between them is
//! counted on the link itself.

use std::net::SocketAddr;
use std::time::Duration;

use penstock_tests::guest::{DriveStore, Guest, LinkBytes, Peer, RdmaPackets, TcpBytes};
use penstock_tests::loadgen::Loadgen;
use penstock_tests::server::{Options, free_port};

/// For one command in the other guest: emulated, on one CPU.
const COMMAND_WITHIN: Duration = Duration::from_secs(90);

#[test]
fn objects_cross_the_link_and_are_counted_there() {
    let Some(guest) = Guest::here("objects_cross_the_link_and_are_counted_there") else {
        return;
    };
    assert_eq!(guest.nodes, 2, "the suite's second boot");
    let store = DriveStore::new(&guest);
    let address = SocketAddr::from((guest.address, free_port()));
    let listen = ["--listen".to_owned(), address.to_string()];
    let server = listen.into_iter().fold(store.options(), Options::argument).start(&store.site);
    let peer = Peer::ready();
    let loads = Loadgen { address, ..store.loadgen(&server, "pair") };
    let tcp = TcpBytes::on("eth0", address.port());
    let objects = ["-n", "8", "-s", "1MiB", "-c", "2"];
    let bytes = 8 << 20;

    let before = LinkBytes::of("eth0");
    peer.succeed(
        &loads.shell("put", &[&objects[..], &["--create-bucket"]].concat()),
        COMMAND_WITHIN,
    );
    let put = LinkBytes::of("eth0").since(before);
    assert!(put.received >= bytes, "{put:?} on the link for a put of {bytes} bytes");
    let (to, _) = tcp.moved();
    assert!(to >= bytes && to <= put.received, "{to} bytes of TCP among {put:?}");

    let before = LinkBytes::of("eth0");
    peer.succeed(&loads.shell("verify", &objects), COMMAND_WITHIN);
    let got = LinkBytes::of("eth0").since(before);
    assert!(got.sent >= bytes, "{got:?} on the link for reading {bytes} bytes");
    assert!(server.metrics().value("penstock_sent_body_bytes_total", &[]) >= bytes as f64);
    store.stop(server);
}

#[test]
fn rdma_crosses_the_link() {
    let Some(guest) = Guest::here("rdma_crosses_the_link") else {
        return;
    };
    let peer = Peer::ready();
    let (link, packets) = (LinkBytes::of("eth0"), RdmaPackets::of("rxe0"));
    let pong = "ibv_rc_pingpong -d rxe0 -g 1 -e -c -s 65536 -n 50";
    let server = peer.start(pong);
    std::thread::sleep(Duration::from_secs(2));
    let client = format!("{pong} {}", peer.address());
    let status = std::process::Command::new("bash").args(["-c", &client]).status().unwrap();
    assert!(status.success(), "the client at {}: {status}", guest.address);
    let output = server.wait(COMMAND_WITHIN);
    assert_eq!(output.status, 0, "{}", output.text);
    let moved = LinkBytes::of("eth0").since(link);
    let bytes = 50 * 65_536;
    assert!(moved.sent >= bytes && moved.received >= bytes, "{moved:?} for {bytes} each way");
    assert!(RdmaPackets::of("rxe0").sent() > packets.sent());
}

#[test]
fn a_command_in_the_other_guest_can_be_killed() {
    let Some(_) = Guest::here("a_command_in_the_other_guest_can_be_killed") else {
        return;
    };
    let peer = Peer::ready();
    assert_eq!(peer.run("echo heard; exit 3", COMMAND_WITHIN).status, 3);
    let output = peer.start("sleep 1000").kill();
    assert_eq!(output.status, 128 + 9, "{}", output.text);
}
