//! The server where the system gives it less: io_uring refused, little lockable memory, no root.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;

use penstock_tests::client::{Client, expect};
use penstock_tests::content::content;
use penstock_tests::server::{Options, Site, binary};
use penstock_tests::skip::{has_program, skip};

/// The user `nobody` of every Debian.
const NOBODY: u32 = 65_534;

#[test]
fn serves_without_io_uring_and_says_so() {
    if !has_program("python3") {
        return skip("serves_without_io_uring_and_says_so", "python3 is not installed");
    }
    let site = Site::new();
    let launcher = concat!(env!("CARGO_MANIFEST_DIR"), "/launch/refuse_io_uring.py");
    let server = Options::default().launcher(["python3", launcher]).start(&site);
    let log = server.log();
    assert!(log.contains("io_uring"), "the start does not speak of io_uring:\n{log}");
    assert!(log.contains("blocking"), "which engine runs instead?\n{log}");
    let metrics = server.metrics();
    assert!(metrics.value("penstock_lanes", &["engine=\"blocking\""]) >= 1.0);
    let engine = metrics.sum("penstock_lanes", &["engine=\"io_uring\""]);
    assert!(engine.unwrap_or(0.0) == 0.0, "the metric claims io_uring");
    round_trip(&mut server.client());
    drop(server);
    site.assert_consistent();
}

#[test]
fn the_filter_really_refuses_io_uring() {
    if !has_program("python3") {
        return skip("the_filter_really_refuses_io_uring", "python3 is not installed");
    }
    let launcher = concat!(env!("CARGO_MANIFEST_DIR"), "/launch/refuse_io_uring.py");
    let probe = "import ctypes, errno; libc = ctypes.CDLL(None, use_errno=True); \
                 print(libc.syscall(425, 1, 0), ctypes.get_errno() == errno.EPERM)";
    let output = std::process::Command::new("python3")
        .args([launcher, "python3", "-c", probe])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "-1 True");
}

#[test]
fn serves_as_an_ordinary_user_with_little_lockable_memory() {
    let name = "serves_as_an_ordinary_user_with_little_lockable_memory";
    if !rustix::process::geteuid().is_root() {
        return skip(name, "only root can become another user");
    }
    for program in ["setpriv", "prlimit"] {
        if !has_program(program) {
            return skip(name, &format!("{program} is not installed"));
        }
    }
    let site = Site::new();
    let mut options = Options::default().launcher([
        "prlimit",
        "--memlock=8388608:8388608",
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--inh-caps=-all",
        "--bounding-set=-all",
        "--no-new-privs",
    ]);
    options.binary = Some(give_to_nobody(&site));
    let server = options.start(&site);
    let log = server.log();
    for said in ["fixed buffers: refused", "LimitMEMLOCK=", "ulimit -l"] {
        assert!(log.contains(said), "the start says nothing of {said:?}:\n{log}");
    }
    round_trip(&mut server.client());
    drop(server);
    site.assert_consistent();
}

/// A copy of the binary and a store directory that `nobody` can use.
fn give_to_nobody(site: &Site) -> PathBuf {
    fs::set_permissions(site.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(site.data()).unwrap();
    chown(site.data(), Some(NOBODY), Some(NOBODY)).unwrap();
    let copy = site.path().join("penstock");
    fs::copy(binary(), &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    copy
}

fn round_trip(client: &mut Client) {
    expect(client.create_bucket("round").unwrap(), 200).unwrap();
    for size in [0, 100, 70_000, 5 << 20] {
        let body = content(size as u64, size);
        let key = format!("object-{size}");
        expect(client.put("round", &key, &body).unwrap(), 200).unwrap();
        let got = expect(client.get("round", &key).unwrap(), 200).unwrap();
        assert!(got.body == body, "{key} came back different");
    }
}
