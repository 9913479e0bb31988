//! The gateway beside a soft-RoCE device, and the meters that RDMA tests hold its counters against:
//! each is shown here to see what it is for and nothing else.

use std::process::Command;
use std::time::{Duration, Instant};

use penstock_tests::client::expect;
use penstock_tests::content::content;
use penstock_tests::guest::{DriveStore, Guest, RdmaPackets, RdmaResources, TcpBytes};

const DEVICE: &str = "rxe0";

#[test]
fn the_device_is_usable() {
    let Some(guest) = Guest::here("the_device_is_usable") else {
        return;
    };
    let port = format!("/sys/class/infiniband/{DEVICE}/ports/1");
    let read = |name: &str| std::fs::read_to_string(format!("{port}/{name}")).unwrap();
    assert_eq!(read("state").trim(), "4: ACTIVE");
    assert_eq!(read("gid_attrs/types/1").trim(), "RoCE v2");
    let gid = guest.address.to_ipv6_mapped().segments().map(|part| format!("{part:04x}")).join(":");
    assert_eq!(read("gids/1").trim(), gid, "the GID of the guest's address");
    assert!(std::path::Path::new("/dev/infiniband/uverbs0").exists());
}

#[test]
fn soft_roce_moves_bytes_and_the_packet_counter_sees_them() {
    let Some(_) = Guest::here("soft_roce_moves_bytes_and_the_packet_counter_sees_them") else {
        return;
    };
    let before = RdmaPackets::of(DEVICE);
    // 200 messages of 4096 bytes in each direction; -c compares their content.
    pingpong(DEVICE, DEVICE, "10.77.0.1", 200);
    let sent = RdmaPackets::of(DEVICE).sent() - before.sent();
    assert!(sent >= 400, "{sent} packets for 400 messages");
}

#[test]
fn resources_of_a_process_are_seen_and_their_end_too() {
    let Some(_) = Guest::here("resources_of_a_process_are_seen_and_their_end_too") else {
        return;
    };
    let idle = RdmaResources::of(DEVICE);
    let waiting = ["-d", DEVICE, "-g", "1"];
    let mut process = Command::new("ibv_rc_pingpong").args(waiting).spawn().unwrap();
    let wait_until = |what: &str, reached: &dyn Fn(&RdmaResources) -> bool| {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !reached(&RdmaResources::of(DEVICE)) {
            assert!(Instant::now() < deadline, "{what}: {:?}", RdmaResources::of(DEVICE));
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    wait_until("no queue pair and region of the process are shown", &|now| {
        now.value("qp") == idle.value("qp") + 1 && now.value("mr") == idle.value("mr") + 1
    });
    process.kill().unwrap();
    process.wait().unwrap();
    wait_until("something of a killed process is left", &|now| *now == idle);
}

#[test]
fn http_is_counted_as_tcp_and_not_as_rdma() {
    let Some(guest) = Guest::here("http_is_counted_as_tcp_and_not_as_rdma") else {
        return;
    };
    let store = DriveStore::new(&guest);
    let server = store.start();
    let mut client = server.client();
    expect(client.create_bucket("meters").unwrap(), 200).unwrap();
    let tcp = TcpBytes::on("lo", server.address.port());
    let rdma = RdmaPackets::of(DEVICE);
    let bytes = 8 << 20;
    let body = content(1, bytes as usize);
    expect(client.put("meters", "object", &body).unwrap(), 200).unwrap();
    let (to, from) = tcp.moved();
    assert!(to >= bytes && to < bytes + bytes / 8, "{to} bytes to the server for a PUT of {bytes}");
    assert!(from < bytes / 8, "{from} bytes from the server for a PUT of {bytes}");
    let got = expect(client.get("meters", "object").unwrap(), 200).unwrap();
    assert!(got.body == body, "the object came back different");
    let (_, from) = tcp.moved();
    assert!(
        from >= bytes && from < bytes + bytes / 4,
        "{from} bytes from the server, {bytes} read"
    );
    assert_eq!(RdmaPackets::of(DEVICE).sent(), rdma.sent(), "HTTP went over RDMA");
    // The admin port is no object traffic and must not be counted as such.
    let before = tcp.total();
    assert_eq!(server.admin("/metrics").unwrap().status, 200);
    assert_eq!(tcp.total(), before);
    store.stop(server);
}

/// `ibv_rc_pingpong` between two devices of this guest: messages of 4096 bytes, content compared.
fn pingpong(server: &str, client: &str, server_address: &str, messages: u32) {
    let messages = messages.to_string();
    let common = ["-g", "1", "-e", "-c", "-s", "4096", "-n", &messages];
    let mut listening = Command::new("ibv_rc_pingpong")
        .args(["-d", server])
        .args(common)
        .spawn()
        .expect("ibv_rc_pingpong is installed");
    std::thread::sleep(Duration::from_secs(1));
    let status = Command::new("ibv_rc_pingpong")
        .args(["-d", client])
        .args(common)
        .arg(server_address)
        .status()
        .expect("ibv_rc_pingpong is installed");
    assert!(status.success(), "the client: {status}");
    let status = listening.wait().expect("the server can be awaited");
    assert!(status.success(), "the server: {status}");
}
