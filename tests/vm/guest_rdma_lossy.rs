//! Objects by RDMA over a wire that loses and delays packets (`tests/vm/netem.sh`): slower, and whole.

use std::process::Command;

use penstock_tests::client::expect;
use penstock_tests::content::pages;
use penstock_tests::guest::{DriveStore, Guest, text};
use penstock_tests::rdma::{Asker, Host, Objects, Protocol, RdmaFigures, assert_nothing_left};
use rdma::client::{Get, Put, Verification};

const NETEM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/vm/netem.sh");
const BUCKET: &str = "lossy";

/// The test that runs beside the wire: it is no test of its own.
const ON_THE_WIRE: &str = "on_the_wire";

fn beside_a_wire(name: &str, options: &[&str]) {
    let Some(guest) = Guest::here(name) else {
        return;
    };
    let this = std::env::current_exe().expect("the test knows its own path");
    let output = Command::new(NETEM)
        .args(options)
        .arg("--")
        .arg(this)
        .args(["--exact", ON_THE_WIRE, "--ignored", "--nocapture"])
        .output()
        .expect("netem.sh can be started");
    let said = text(&output);
    guest.record(&format!("rdma-{name}.txt"), &said);
    assert!(output.status.success() && said.contains("1 passed"), "{}\n{said}", output.status);
    // Something was lost, and something was sent again; without loss nothing was.
    let number = |word: &str| {
        let rest = said.split(word).nth(1).and_then(|rest| rest.split_whitespace().next());
        rest.and_then(|text| text.parse::<u64>().ok()).expect(word)
    };
    assert!(number("packets sent:") > 5000, "RDMA did not cross the wire:\n{said}");
    if options.contains(&"--loss") {
        assert!(number("sent again:") > 0, "nothing was lost:\n{said}");
    }
}

#[test]
fn objects_cross_a_wire() {
    beside_a_wire("objects_cross_a_wire", &[]);
}

#[test]
fn objects_cross_a_wire_that_loses_and_delays() {
    let options = ["--loss", "0.5%", "--delay", "1ms"];
    beside_a_wire("objects_cross_a_wire_that_loses_and_delays", &options);
}

#[test]
#[ignore = "runs beside the wire that the others make"]
fn on_the_wire() {
    let Some(guest) = Guest::here(ON_THE_WIRE) else {
        return;
    };
    let store = DriveStore::new(&guest);
    let options = store.rdma_options(16 << 20);
    let server = options.argument("--rdma-device").argument("wire0").start(&store.site);
    assert!(server.log().contains("RDMA: wire0 port 1"), "{}", server.log());
    let mut http = server.client();
    expect(http.create_bucket(BUCKET).unwrap(), 200).unwrap();
    let counted = |name: &str| -> u64 {
        let of = |device: &str| {
            let path = format!("/sys/class/infiniband/{device}/ports/1/hw_counters/{name}");
            let text = std::fs::read_to_string(&path).expect("soft-RoCE counts");
            text.trim().parse::<u64>().expect("a number")
        };
        of("wire0") + of("wire1")
    };
    let mut moved = 0;
    Host::run("wire1", async |host| {
        let objects = Objects::new(&host, Asker::of(&server));
        for protocol in Protocol::ALL {
            for bytes in [1_u64, 4096, 70_001, 1 << 20, 4 << 20] {
                let expected = pages(bytes, bytes as usize);
                let key = format!("{}-{bytes}", protocol.name());
                let put = Put::object(BUCKET, &key, bytes);
                objects.put(protocol, &put, host.filled(&expected)).await;
                let got = expect(http.get(BUCKET, &key).unwrap(), 200).unwrap();
                assert!(got.body == expected, "{key} is different by HTTP");
                let get = Get::object(BUCKET, &key);
                let blank = host.blank(bytes as usize);
                let (memory, outcome) = objects.get(protocol, &get, bytes, blank).await;
                assert!(memory.as_slice() == expected, "{key} came back different");
                assert_eq!(outcome.checksum, Verification::Verified);
                moved += bytes;
            }
        }
        objects.disconnect().await;
    });
    let figures = RdmaFigures::of(&server);
    assert_eq!((figures.collected, figures.delivered, figures.copied), (moved, moved, 0));
    println!("packets sent: {}", counted("sent_pkts"));
    println!("sent again: {}", counted("completer_retry_err") + counted("rcvd_seq_err"));
    assert_nothing_left(&server);
    store.stop(server);
}
