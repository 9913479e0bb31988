//! The wire of `tests/vm/netem.sh`: RDMA between two soft-RoCE devices while packets are lost and
//! late. What is proved of the wire itself here, tests of transfers build on.

use std::process::{Command, Output};

use penstock_tests::guest::{Guest, text};

const NETEM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/vm/netem.sh");

/// Runs a shell command on a wire.
fn on_wire(options: &[&str], command: &str) -> Output {
    Command::new(NETEM)
        .args(options)
        .args(["--", "bash", "-c", command])
        .output()
        .expect("netem.sh can be started")
}

/// 300 messages of 4096 bytes each way, content compared, from wire1 to wire0.
const PINGPONG: &str = "
    pong='ibv_rc_pingpong -g 1 -e -c -s 4096 -n 300'
    $pong -d wire0 & sleep 1
    $pong -d wire1 10.78.0.1 && wait $! || exit 1
    echo crossed $(cat /sys/class/net/wire1/statistics/tx_packets)
    for end in 0 1; do
        echo retries $(cat /sys/class/infiniband/wire$end/ports/1/hw_counters/completer_retry_err)
    done
    tc -s qdisc show dev wire1";

/// Sum of the numbers on lines that begin with `word`.
fn sum(said: &str, word: &str) -> u64 {
    let lines = said.lines().filter_map(|line| line.strip_prefix(word));
    lines.filter_map(|rest| rest.trim().parse::<u64>().ok()).sum()
}

#[test]
fn rdma_crosses_the_wire() {
    let Some(_) = Guest::here("rdma_crosses_the_wire") else {
        return;
    };
    let output = on_wire(&[], PINGPONG);
    let said = text(&output);
    assert!(output.status.success(), "{}\n{said}", output.status);
    assert!(sum(&said, "crossed") >= 300, "RDMA did not go over the interface:\n{said}");
}

#[test]
fn lost_and_late_packets_are_sent_again() {
    let Some(_) = Guest::here("lost_and_late_packets_are_sent_again") else {
        return;
    };
    let output = on_wire(&["--loss", "2%", "--delay", "1ms"], PINGPONG);
    let said = text(&output);
    assert!(output.status.success(), "{}\n{said}", output.status);
    assert!(!said.contains("dropped 0,"), "nothing was lost:\n{said}");
    assert!(sum(&said, "retries") > 0, "nothing was sent again:\n{said}");
}

#[test]
fn the_wire_is_taken_away() {
    let Some(_) = Guest::here("the_wire_is_taken_away") else {
        return;
    };
    let state = || {
        let show = |program: &str, arguments: &[&str]| {
            text(&Command::new(program).args(arguments).output().expect("iproute2 is installed"))
        };
        show("ip", &["rule"]) + &show("rdma", &["link"]) + &show("ip", &["-br", "link"])
    };
    let before = state();
    let output = on_wire(&["--loss", "1%"], "exit 7");
    assert_eq!(output.status.code(), Some(7), "{}", text(&output));
    assert_eq!(state(), before);
}
