//! What an operator sees: start messages, credentials, refusals, and an orderly end.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use penstock_tests::client::{Client, expect};
use penstock_tests::content::{content, md5_hex};
use penstock_tests::server::{Options, Site, binary, free_port, without_settings};
use penstock_tests::sign::{Credentials, Signer};
use rustix::process::Signal;

#[test]
fn puts_and_gets_survive_a_restart() {
    let site = Site::new();
    let mut server = Options::default().start(&site);
    let mut client = server.client();
    expect(client.create_bucket("first").unwrap(), 200).unwrap();
    for (key, size) in [("empty", 0), ("tiny", 11), ("block", 65_536), ("large", 3_000_001)] {
        let body = content(size as u64, size);
        let put = expect(client.put("first", key, &body).unwrap(), 200).unwrap();
        assert_eq!(put.header("etag"), Some(format!("\"{}\"", md5_hex(&body)).as_str()));
    }
    assert_eq!(server.terminate().code(), Some(0), "{}", server.log());
    site.assert_consistent();

    let server = Options::default().start(&site);
    let mut client = server.client();
    assert_eq!(client.keys("first").unwrap(), ["block", "empty", "large", "tiny"]);
    for (key, size) in [("empty", 0), ("tiny", 11), ("block", 65_536), ("large", 3_000_001)] {
        let got = expect(client.get("first", key).unwrap(), 200).unwrap();
        assert!(got.body == content(size as u64, size), "{key} came back different");
    }
}

#[test]
fn the_start_message_states_the_plan() {
    let site = Site::new();
    let server = Options::default().start(&site);
    let log = server.log();
    let address = server.address.to_string();
    for stated in [address.as_str(), "lane", "memory", "device"] {
        assert!(log.to_lowercase().contains(stated), "the start says nothing of {stated}:\n{log}");
    }
    assert!(!log.contains(&site.credentials().secret_key), "a given secret is printed:\n{log}");
}

#[test]
fn health_and_metrics_answer() {
    let site = Site::new();
    let server = Options::default().start(&site);
    assert_eq!(server.admin("/healthz").unwrap().status, 200);
    assert_eq!(server.admin("/readyz").unwrap().status, 200);
    assert_eq!(server.admin("/metrics").unwrap().status, 200);
    assert_eq!(server.admin("/no-such-page").unwrap().status, 404);
}

#[test]
fn a_second_server_on_the_store_is_refused() {
    let site = Site::new();
    let mut first = Options::default().start(&site);
    let mut second = Options::default().spawn(&site);
    let status = second.wait_exit(Duration::from_secs(30));
    assert!(!status.success(), "two servers on one store");
    let log = second.log();
    assert!(log.contains(&site.data().display().to_string()), "which store is in use?\n{log}");
    assert!(first.is_running());
    let check = site.check();
    assert!(!check.status.success(), "check read a store that a server is writing");
    expect(first.client().create_bucket("still-serving").unwrap(), 200).unwrap();
}

#[test]
fn generated_credentials_are_printed_once_and_kept_private() {
    let site = Site::new();
    let options = Options { give_credentials: false, ..Options::default() };
    let mut server = options.start(&site);
    let printed = server.log();
    let files: Vec<_> = files_below(&site.data())
        .into_iter()
        .filter(|path| {
            path.file_name().is_some_and(|name| {
                let name = name.to_string_lossy();
                name.contains("credential") || name.contains("keys")
            })
        })
        .collect();
    let [file] = files.as_slice() else { panic!("one credentials file expected: {files:?}") };
    let mode = fs::metadata(file).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode, 0o600, "{} has mode {mode:o}", file.display());

    let stored = fs::read_to_string(file).unwrap();
    let credentials = credentials_in_both(&stored, &printed);
    let mut client = Client::new(server.address, credentials.clone());
    expect(client.create_bucket("by-generated-key").unwrap(), 200).unwrap();
    server.terminate();

    let server = options.start(&site);
    assert!(!server.log().contains(&credentials.secret_key), "the secret is printed again");
    let mut client = Client::new(server.address, credentials);
    expect(client.head("by-generated-key", "").unwrap(), 200).unwrap();
}

#[test]
fn sigterm_finishes_a_running_download() {
    let site = Site::new();
    let mut server = Options::default().start(&site);
    let mut client = server.client();
    expect(client.create_bucket("drain").unwrap(), 200).unwrap();
    // More than the socket buffers hold, so that the download is really running at the signal.
    let body = content(7, 24 << 20);
    expect(client.put("drain", "big", &body).unwrap(), 200).unwrap();
    client.disconnect();

    let mut request = client.request("GET", "drain", "big");
    Signer::new(site.credentials()).sign(&mut request);
    let mut download = server.connect().unwrap();
    download.send(&request.bytes()).unwrap();
    assert_eq!(download.receive_head().unwrap().status, 200);

    server.signal(Signal::TERM);
    let refused = Instant::now() + Duration::from_secs(10);
    while server.connect().is_ok() {
        assert!(Instant::now() < refused, "still accepting 10 s after SIGTERM");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(server.is_running(), "it left a download behind:\n{}", server.log());
    let mut got = Vec::new();
    while got.len() < body.len() {
        let piece = download.receive_some(1 << 20).unwrap();
        assert!(!piece.is_empty(), "cut after {} of {} bytes", got.len(), body.len());
        got.extend(piece);
    }
    assert!(got == body, "the drained download is different");
    assert_eq!(server.wait_exit(Duration::from_secs(40)).code(), Some(0), "{}", server.log());
    site.assert_consistent();
}

#[test]
fn every_configuration_error_is_reported_at_once() {
    let site = Site::new();
    let file = site.path().join("bad.toml");
    fs::write(&file, "no_such_key = 1\nmemory = \"lots\"\n").unwrap();
    let output = penstock(&["serve", "--config", &file.display().to_string()]);
    assert!(!output.status.success(), "it started with a bad configuration");
    let said = text(&output);
    assert!(said.contains("no_such_key"), "the unknown key is not named:\n{said}");
    assert!(said.contains("lots"), "the bad value is not shown:\n{said}");
}

#[test]
fn bad_arguments_are_refused_with_a_reason() {
    let site = Site::new();
    let data = site.data().display().to_string();
    let (listen, admin) =
        (format!("127.0.0.1:{}", free_port()), format!("127.0.0.1:{}", free_port()));
    let serve = ["serve", "--listen", &listen, "--admin-listen", &admin, "--data"];
    for (arguments, named) in [
        ([&serve[..], &[&data, "--memory", "1"]].concat(), "memory"),
        (vec!["serve", "--data", &data, "--listen", "nonsense"], "nonsense"),
        ([&serve[..], &["/proc/no-such-place"]].concat(), "/proc/no-such-place"),
        (vec!["check", "--data", "/no/such/store"], "/no/such/store"),
    ] {
        let output = penstock(&arguments);
        let said = text(&output);
        assert!(!output.status.success(), "{arguments:?} was accepted");
        assert!(
            said.to_lowercase().contains(named),
            "{arguments:?}: {named} is not named:\n{said}"
        );
        assert!(!said.contains("panicked"), "{arguments:?} panics:\n{said}");
    }
}

#[test]
fn an_address_in_use_is_refused() {
    let site = Site::new();
    let held = std::net::TcpListener::bind(("127.0.0.1", free_port())).unwrap();
    let address = held.local_addr().unwrap().to_string();
    let mut server = Options::default().argument("--listen").argument(&address).spawn(&site);
    let status = server.wait_exit(Duration::from_secs(30));
    assert!(!status.success(), "it serves on a port that another process holds");
    assert!(server.log().contains(&address), "which address?\n{}", server.log());
}

fn penstock(arguments: &[&str]) -> Output {
    let mut command = without_settings(Command::new("timeout"));
    command.arg("30").arg(binary()).args(arguments);
    command.output().expect("penstock can be started")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn files_below(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            files.extend(files_below(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files
}

/// The key pair that stands in the file and in what was printed: two words of at least 16 and 32
/// characters, whatever the format around them.
fn credentials_in_both(stored: &str, printed: &str) -> Credentials {
    let words: Vec<&str> = stored
        .split(|c: char| !(c.is_ascii_alphanumeric() || "/+-_".contains(c)))
        .filter(|word| word.len() >= 16 && printed.contains(word))
        .collect();
    let access = words.iter().find(|word| word.len() < 32);
    let secret = words.iter().find(|word| word.len() >= 32);
    let (Some(access), Some(secret)) = (access, secret) else {
        panic!("no key pair is both stored and printed:\n{printed}")
    };
    Credentials { access_key: (*access).to_owned(), secret_key: (*secret).to_owned() }
}
