//! The access log of the real binary: a line for each request, in both forms, on a file that others
//! rename or whose disk is full; and no secret in any log, whatever the level and however the
//! client signs.

#[path = "access_log/forms.rs"]
mod forms;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use penstock_tests::client::expect;
use penstock_tests::content::content;
use penstock_tests::server::{Options, Server, Site};
use penstock_tests::skip::skip;
use rustix::process::Signal;
use serde_json::Value;

fn logging(site: &Site) -> (Options, PathBuf) {
    let path = site.path().join("access.log");
    let options =
        Options::default().environment("PENSTOCK_ACCESS_LOG_FILE", path.display().to_string());
    (options, path)
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "a piece of a line: {text}");
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

fn count(server: &Server, outcome: &str) -> f64 {
    let label = format!("outcome=\"{outcome}\"");
    server.metrics().value("penstock_access_log_lines_total", &[&label])
}

/// Waits until that many lines have come to that end.
fn wait_for(server: &Server, outcome: &str, least: f64) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while count(server, outcome) < least {
        assert!(Instant::now() < deadline, "{} {outcome}, not {least}", count(server, outcome));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn every_request_has_one_line() {
    let site = Site::new();
    let (options, path) = logging(&site);
    let mut server = options.start(&site);
    let mut client = server.client();
    let body = content(1, 200_000);
    expect(client.create_bucket("logged").unwrap(), 200).unwrap();
    expect(client.put("logged", "a key", &body).unwrap(), 200).unwrap();
    let range = client.request("GET", "logged", "a key").header("Range", "bytes=0-999");
    expect(client.run(range).unwrap(), 206).unwrap();
    let head = client.head("logged", "a key").unwrap();
    let missing = client.get("logged", "none").unwrap();
    let agent = client.request("GET", "", "").header("User-Agent", "a \"strange\" agent\\");
    expect(client.run(agent).unwrap(), 200).unwrap();
    assert!(server.terminate().success());
    let key = site.credentials().access_key.as_str();
    let lines = lines(&path);
    assert_eq!(lines.len(), 6, "what was told before the end is written: {lines:?}");
    let texts = |name: &str| -> Vec<_> {
        lines.iter().map(|line| line[name].as_str().unwrap_or("-").to_owned()).collect()
    };
    assert_eq!(
        texts("operation"),
        ["CreateBucket", "PutObject", "GetObject", "HeadObject", "GetObject", "ListBuckets"]
    );
    assert_eq!(texts("key"), ["-", "a%20key", "a%20key", "a%20key", "none", "-"]);
    assert_eq!(texts("remote"), ["127.0.0.1"; 6]);
    let ids: Vec<_> = [&head, &missing].map(|it| it.header("x-amz-request-id").unwrap()).into();
    assert_eq!(texts("id")[3..5], ids);
    let numbers = |name: &str| -> Vec<_> {
        lines.iter().map(|line| line[name].as_u64().unwrap_or_default()).collect()
    };
    assert_eq!(numbers("status"), [200, 200, 206, 200, 404, 200]);
    assert_eq!(numbers("bytes_received")[1], 200_000);
    assert_eq!(numbers("bytes_sent")[2..4], [1000, 0]);
    assert_eq!(numbers("bytes_sent")[4], missing.body.len() as u64);
    assert_eq!(lines[5]["user_agent"], "a \"strange\" agent\\");
    assert!(lines.iter().all(|line| line["total_us"].as_f64().unwrap() > 0.0));
    let stage = |line: usize, name: &str| lines[line]["stages_us"][name].as_f64().is_some();
    assert!(stage(1, "auth") && stage(1, "commit") && stage(2, "index"), "{lines:?}");
    assert_eq!(lines[2]["copied"]["socket_send"], 1000, "{}", lines[2]);
    let of_document = &lines[4]["sources"]["document"];
    assert_eq!(of_document.as_u64(), Some(missing.body.len() as u64));
    assert_eq!((&lines[4]["error"], &lines[0]["user"]), (&"NoSuchKey".into(), &key.into()));
}

#[test]
fn a_line_of_amazons_form_has_amazons_fields_in_their_order() {
    let site = Site::new();
    let (options, path) = logging(&site);
    let mut server = options.environment("PENSTOCK_ACCESS_LOG_FORMAT", "s3").start(&site);
    let mut client = server.client();
    expect(client.create_bucket("logged").unwrap(), 200).unwrap();
    let presigned = client.presigned_get("logged", "none");
    let missing = client.send(&presigned).unwrap();
    assert!(server.terminate().success());
    let text = fs::read_to_string(path).unwrap();
    let line = text.lines().nth(1).unwrap();
    // Quotes and brackets are the only places where a field has spaces.
    let mut quoted = line.split('"');
    let (before, request) = (quoted.next().unwrap(), quoted.next().unwrap());
    let before: Vec<_> = before.split_whitespace().collect();
    assert_eq!((before[0], before[1], before[4]), ("-", "logged", "127.0.0.1"));
    assert!(before[2].starts_with('[') && before[3] == "+0000]", "{line}");
    assert_eq!(Some(before[6]), missing.header("x-amz-request-id"));
    assert_eq!(before[7..], ["REST.GET.OBJECT", "none"]);
    assert!(request.starts_with("GET /logged/none?X-Amz-Algorithm="), "{line}");
    assert!(request.contains("X-Amz-Signature=REDACTED"), "{line}");
    let numbers: Vec<_> = quoted.next().unwrap().split_whitespace().collect();
    assert_eq!((numbers[0], numbers[2]), ("404", missing.body.len().to_string().as_str()));
    let host_id = missing.header("x-amz-id-2").unwrap();
    let rest: Vec<_> = line.rsplit('"').next().unwrap().split_whitespace().collect();
    let host = server.address.to_string();
    let known = ["-", host_id, "SigV4", "-", "QueryString", &host, "-", "-", "-"];
    assert_eq!(rest[..9], known, "{line}");
}

#[test]
fn of_successes_one_of_so_many_is_logged_and_all_errors_are() {
    let site = Site::new();
    let (options, path) = logging(&site);
    let mut server = options.environment("PENSTOCK_ACCESS_LOG_SAMPLE", "1000000").start(&site);
    let mut client = server.client();
    expect(client.create_bucket("sampled").unwrap(), 200).unwrap();
    for _ in 0..50 {
        expect(client.head("sampled", "").unwrap(), 200).unwrap();
    }
    for _ in 0..3 {
        expect(client.get("sampled", "none").unwrap(), 404).unwrap();
    }
    // The last may still be on its way out of the lane.
    drop(client);
    wait_for(&server, "written", 3.0);
    let (left_out, written) = (count(&server, "sampled_out"), count(&server, "written"));
    assert_eq!(left_out + written, 54.0);
    assert!(server.terminate().success());
    let lines = lines(&path);
    assert_eq!(lines.len() as f64, written);
    assert_eq!(lines.iter().filter(|line| line["status"] == 404).count(), 3);
}

#[test]
fn a_file_that_others_rename_is_opened_again_on_sighup() {
    let site = Site::new();
    let (options, path) = logging(&site);
    let mut server = options.environment("PENSTOCK_ACCESS_LOG_ROTATE", "0").start(&site);
    let mut client = server.client();
    expect(client.create_bucket("first").unwrap(), 200).unwrap();
    wait_for(&server, "written", 1.0);
    let aside = site.path().join("access.log-20261120");
    fs::rename(&path, &aside).unwrap();
    server.signal(Signal::HUP);
    let deadline = Instant::now() + Duration::from_secs(20);
    while !path.exists() {
        assert!(Instant::now() < deadline, "the file was not opened again:\n{}", server.log());
        std::thread::sleep(Duration::from_millis(10));
    }
    expect(client.create_bucket("second").unwrap(), 200).unwrap();
    assert!(server.terminate().success());
    assert_eq!(lines(&aside)[0]["bucket"], "first");
    assert_eq!(lines(&path)[0]["bucket"], "second");
}

#[test]
fn a_large_file_is_put_aside_and_the_oldest_are_removed() {
    let site = Site::new();
    let (options, path) = logging(&site);
    let mut server = options
        .environment("PENSTOCK_ACCESS_LOG_ROTATE", "64KiB")
        .environment("PENSTOCK_ACCESS_LOG_KEEP", "2")
        .start(&site);
    let mut client = server.client();
    let padding = "x".repeat(900);
    // 600 lines of 1.5 KiB are 14 files.
    for _ in 0..600 {
        let request = client.request("GET", "none", "key").header("User-Agent", &padding);
        assert_eq!(client.run(request).unwrap().status, 404);
    }
    assert!(server.terminate().success());
    let names: Vec<_> = fs::read_dir(site.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("access.log"))
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");
    for number in [1, 2] {
        let part = site.path().join(format!("access.log.{number}"));
        let length = fs::metadata(&part).unwrap().len();
        assert!((60_000..=65_536).contains(&length), "{length} bytes");
        assert!(lines(&part).len() > 30);
    }
    lines(&path);
}

/// A file system of a few pages, gone with the test.
struct Tiny(PathBuf);

impl Tiny {
    fn mount(at: &Path) -> Option<Tiny> {
        fs::create_dir(at).unwrap();
        let status =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(at).status();
        status.is_ok_and(|status| status.success()).then(|| Tiny(at.to_owned()))
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        // What stays mounted keeps the test's folder from being removed, which says so.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_costs_lines_and_no_request() {
    let site = Site::new();
    let folder = site.path().join("tiny");
    let Some(_tiny) = Tiny::mount(&folder) else {
        return skip("a_full_disk_costs_lines_and_no_request", "tmpfs cannot be mounted here");
    };
    let path = folder.join("access.log");
    let mut server = Options::default()
        .environment("PENSTOCK_ACCESS_LOG_FILE", path.display().to_string())
        .start(&site);
    let mut client = server.client();
    expect(client.create_bucket("full").unwrap(), 200).unwrap();
    let body = content(2, 1000);
    for number in 0..300 {
        expect(client.put("full", &number.to_string(), &body).unwrap(), 200).unwrap();
    }
    wait_for(&server, "failed", 1.0);
    expect(client.get("full", "299").unwrap(), 200).unwrap();
    // Whole lines alone are there, and when there is room again, lines go on.
    let before = lines(&path).len();
    assert!(before > 50, "{before} lines");
    fs::File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    let written = count(&server, "written");
    expect(client.get("full", "0").unwrap(), 200).unwrap();
    wait_for(&server, "written", written + 1.0);
    assert!(lines(&path).iter().any(|line| line["key"] == "0"), "{:?}", lines(&path));
    assert!(server.log().contains("access log cannot be written"), "{}", server.log());
    assert!(server.terminate().success());
}

#[test]
fn a_file_that_cannot_be_opened_is_said_at_the_start() {
    let site = Site::new();
    let path = site.path().join("none/access.log");
    let mut server = Options::default()
        .environment("PENSTOCK_ACCESS_LOG_FILE", path.display().to_string())
        .spawn(&site);
    assert!(!server.wait_exit(Duration::from_secs(30)).success());
    let log = server.log();
    assert!(log.contains("access_log.file") && log.contains("choose another file"), "{log}");
}

#[test]
fn standard_output_takes_lines_too() {
    let site = Site::new();
    let mut server =
        Options::default().environment("PENSTOCK_ACCESS_LOG_FILE", "stdout").start(&site);
    expect(server.client().create_bucket("out").unwrap(), 200).unwrap();
    assert!(server.terminate().success());
    let log = server.log();
    assert!(log.lines().any(|line| line.starts_with('{') && line.contains("\"CreateBucket\"")));
}

#[test]
fn no_secret_is_logged_at_any_level_however_clients_sign() {
    for format in ["json", "s3"] {
        let site = Site::new();
        let (options, path) = logging(&site);
        let mut server = options
            .environment("PENSTOCK_ACCESS_LOG_FORMAT", format)
            .environment("PENSTOCK_LOG_LEVEL", "trace")
            .start(&site);
        expect(server.client().create_bucket("forms").unwrap(), 200).unwrap();
        let forms = forms::all(&server, site.credentials());
        for form in &forms {
            form.send(&server);
        }
        assert!(server.terminate().success());
        let logs = [("log", server.log()), ("access log", fs::read_to_string(&path).unwrap())];
        // The test would prove nothing with logs that have nothing in them.
        assert!(logs[0].1.contains("TRACE"), "the level is not trace");
        assert!(logs[1].1.lines().count() > forms.len(), "each form was sent twice");
        for (name, log) in &logs {
            let log = log.to_lowercase();
            for form in &forms {
                for secret in &form.secrets {
                    assert!(
                        !log.contains(&secret.to_lowercase()),
                        "{}: {secret} in the {name} ({format}): {}",
                        form.name,
                        log.lines().find(|it| it.contains(&secret.to_lowercase())).unwrap()
                    );
                }
            }
        }
    }
}
