//! The commands that ask a running server: `status`, `top`, `debug bundle`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use penstock_tests::client::expect;
use penstock_tests::content::content;
use penstock_tests::server::{Options, Server, Site, binary, without_settings};

/// A server that has stored one object and given it out three times.
fn at_work(site: &Site) -> Server {
    let server = Options::default().start(site);
    let mut client = server.client();
    expect(client.create_bucket("models").unwrap(), 200).unwrap();
    let body = content(3, 300_000);
    expect(client.put("models", "shard-1", &body).unwrap(), 200).unwrap();
    for _ in 0..3 {
        expect(client.get("models", "shard-1").unwrap(), 200).unwrap();
    }
    server
}

fn penstock(site: &Site, arguments: &[&str]) -> Output {
    without_settings(Command::new("timeout"))
        .args(["60"])
        .arg(binary())
        .args(arguments)
        .arg("--data")
        .arg(site.data())
        .output()
        .expect("penstock can be started")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Asks until the answer has that in it: what a request did is counted when it has ended, which is
/// after its client has read the answer, and rates are taken once a second.
fn asked_until(site: &Site, arguments: &[&str], wanted: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let output = penstock(site, arguments);
        let said = text(&output);
        if said.contains(wanted) {
            assert_eq!(output.status.code(), Some(0), "{said}");
            return said;
        }
        assert!(Instant::now() < deadline, "{arguments:?} never says {wanted:?}:\n{said}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn status_says_how_the_server_is_and_exits_with_it() {
    let site = Site::new();
    let mut server = at_work(&site);
    let output = penstock(&site, &["status"]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for part in [format!("at {}: ready, up ", server.admin), "devices      1 ok of 1".to_owned()] {
        assert!(said.contains(&part), "{part:?} is missing:\n{said}");
    }
    let output = penstock(&site, &["status", "--json"]);
    let state: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(state["ready"], true);
    assert_eq!(state["devices"].as_array().unwrap().len(), 1);
    let memory = state["configuration"].as_array().unwrap();
    let memory = memory.iter().find(|setting| setting["name"] == "memory").unwrap();
    assert_eq!(memory["value"], "256M");
    let slow = asked_until(&site, &["status", "--slow"], "GetObject models/shard-1");
    assert!(slow.contains(&site.credentials().access_key), "{slow}");

    let remote = server.admin.to_string();
    let output =
        without_settings(Command::new(binary())).args(["status", "--admin", &remote]).output();
    assert_eq!(output.unwrap().status.code(), Some(0), "found without the data directory");
    server.terminate();
    let output = penstock(&site, &["status"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("no server runs on"), "{}", text(&output));
}

#[test]
fn a_killed_server_is_not_taken_for_a_running_one() {
    let site = Site::new();
    let mut server = Options::default().start(&site);
    server.kill();
    for arguments in [&["status"][..], &["status", "--json"], &["top", "--once"]] {
        let output = penstock(&site, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output));
        assert!(text(&output).contains("no server answers on"), "{}", text(&output));
    }
}

#[test]
fn every_view_of_top_is_one_plain_frame() {
    let site = Site::new();
    let server = at_work(&site);
    for (view, said) in [
        ("overview", "GetObject"),
        ("time", "share of their time"),
        ("drives", "extents"),
        ("memory", "arena"),
        ("tenants", "models"),
        ("requests", "models/shard-1"),
    ] {
        let frame = asked_until(&site, &["top", "--once", "--view", view], said);
        assert!(frame.contains(&server.admin.to_string()) && frame.contains("ready"), "{frame}");
        assert_eq!(frame.lines().count(), 24, "{frame}");
        assert!(frame.lines().all(|line| line.chars().count() <= 80), "{frame}");
        assert!(!frame.contains('\u{1b}'), "{frame}");
    }
}

#[test]
fn top_gives_the_terminal_back_at_q() {
    let site = Site::new();
    let server = at_work(&site);
    // A terminal that nobody looks at has no size.
    let (binary, data) = (binary(), site.data());
    let command =
        format!("stty cols 80 rows 24 && exec {} top --data {}", binary.display(), data.display());
    let mut script = without_settings(Command::new("timeout"))
        .args(["60", "script", "-qefc", &command, "/dev/null"])
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script can be started");
    let mut keys = script.stdin.take().unwrap();
    for key in ["3", "6", "q"] {
        std::thread::sleep(Duration::from_millis(700));
        keys.write_all(key.as_bytes()).unwrap();
        keys.flush().unwrap();
    }
    let output = script.wait_with_output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{shown:?}");
    let (entered, left) = ("\u{1b}[?1049h", "\u{1b}[?1049l");
    assert!(shown.contains(entered) && shown.contains(left), "{shown:?}");
    assert!(shown.contains(&server.admin.to_string()), "{shown:?}");
    drop(server);
}

#[test]
fn a_bundle_has_what_support_asks_for_and_no_secret() {
    let site = Site::new();
    let mut server = at_work(&site);
    let pass = fs::read_to_string(site.data().join("admin.json")).unwrap();
    let pass: serde_json::Value = serde_json::from_str(&pass).unwrap();
    let generated = site.add_key();
    let file = site.path().join("bundle.tar.gz");
    let arguments = ["debug", "bundle", "--output", file.to_str().unwrap()];
    let output = penstock(&site, &arguments);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let again = penstock(&site, &arguments);
    assert_eq!(again.status.code(), Some(2), "overwritten: {}", text(&again));

    let unpacked = unpack(&file, &site.path().join("unpacked"));
    for name in [
        "README.txt",
        "server/metrics.txt",
        "server/readyz.json",
        "server/state.json",
        "server/configuration.txt",
        "server/log.txt",
        "command/configuration.txt",
        "machine/kernel.txt",
        "machine/mounts.txt",
        "machine/io-uring-probe.txt",
        "machine/process/limits.txt",
        "machine/process/threads.txt",
    ] {
        assert!(unpacked.iter().any(|path| path.ends_with(name)), "{name}: {unpacked:?}");
    }
    let secrets = [
        site.credentials().secret_key.as_str(),
        generated.secret_key.as_str(),
        pass["token"].as_str().unwrap(),
    ];
    for path in &unpacked {
        let content = String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
        for secret in secrets {
            assert!(!content.contains(secret), "a secret is in {}", path.display());
        }
    }
    server.terminate();
    fs::remove_file(&file).unwrap();
    let output = penstock(&site, &arguments);
    assert_eq!(output.status.code(), Some(0), "none without a server: {}", text(&output));
}

/// All files of the archive, unpacked there.
fn unpack(archive: &Path, into: &Path) -> Vec<PathBuf> {
    fs::create_dir(into).unwrap();
    let status = Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(into).status();
    assert!(status.expect("tar can be started").success());
    let (mut files, mut folders) = (Vec::new(), vec![into.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => files.push(entry.path()),
            }
        }
    }
    files
}
