//! Everything wrong that a client can send, one row a case: what goes out, what must come back.
//! After the table the server still serves on every lane, holds exactly the objects it held
//! before, and has lost no space.
//!
//! The outcomes are written to `target/bad-input.md`.

#[path = "bad_input/bodies.rs"]
mod bodies;
#[path = "bad_input/http.rs"]
mod http;
#[path = "bad_input/requests.rs"]
mod requests;
#[path = "bad_input/signatures.rs"]
mod signatures;

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use penstock_tests::client::{Client, expect};
use penstock_tests::content::content;
use penstock_tests::http::Connection;
use penstock_tests::server::{Options, Server, Site};
use penstock_tests::sign::{Request, Signer};

const BUCKET: &str = "bad-input";
/// The one object that is there, and must stay as it is.
const KEY: &str = "good";
const SIZE: usize = 100_000;
/// Longer than any of the server's own time limits that a case meets.
const ANSWER_WITHIN: Duration = Duration::from_secs(90);

/// One row of the table.
struct Case {
    name: &'static str,
    wire: Vec<u8>,
    /// The client says that nothing more will come.
    ends: bool,
    /// Outcomes that are right, separated by ` | `: status, S3 code where there is one, `closed`
    /// for a connection closed without a response.
    expected: &'static str,
}

/// What the cases are built against.
struct Target {
    client: Client,
    /// An upload in progress of `KEY`, without parts.
    upload: String,
}

impl Case {
    fn new(name: &'static str, wire: impl Into<Vec<u8>>, expected: &'static str) -> Self {
        Self { name, wire: wire.into(), ends: false, expected }
    }

    /// The client half-closes after sending.
    fn ending(mut self) -> Self {
        self.ends = true;
        self
    }
}

impl Target {
    /// An unsigned request for the one object.
    fn request(&self, method: &str) -> Request {
        self.client.request(method, BUCKET, KEY)
    }

    /// Signs as it should be.
    fn sign(&self, mut request: Request) -> Request {
        self.signer().sign(&mut request);
        request
    }

    /// Signs without the body's hash.
    fn sign_unsigned(&self, mut request: Request) -> Request {
        self.signer().sign_as(&mut request, "UNSIGNED-PAYLOAD");
        request
    }

    fn signer(&self) -> Signer {
        Signer::new(self.client.credentials())
    }
}

#[test]
fn bad_input_is_refused_and_harms_nothing() {
    let site = Site::new();
    let mut server = Options::default().extent_bytes(512 << 20).start(&site);
    let mut client = server.client();
    expect(client.create_bucket(BUCKET).unwrap(), 200).unwrap();
    expect(client.put(BUCKET, KEY, &content(1, SIZE)).unwrap(), 200).unwrap();
    let upload = client.create_upload(BUCKET, KEY).unwrap();
    let free_before = free_bytes(&server);
    let target = Target { client: server.client(), upload: upload.clone() };
    let cases: Vec<Case> = [
        http::cases(&target),
        signatures::cases(&target),
        bodies::cases(&target),
        requests::cases(&target),
    ]
    .into_iter()
    .flatten()
    .collect();
    assert!(cases.len() >= 40, "only {} cases", cases.len());

    let mut table = String::from("| sent | came back | expected |\n|---|---|---|\n");
    let mut wrong = Vec::new();
    for case in &cases {
        let came = outcome(&server, case);
        let expected: Vec<&str> = case.expected.split(" | ").collect();
        writeln!(table, "| {} | {came} | {} |", case.name, expected.join(" or ")).unwrap();
        if !expected.contains(&came.as_str()) {
            wrong.push(format!("{}: {came}, expected {}", case.name, case.expected));
        }
        assert!(server.is_running(), "{} ended the server", case.name);
    }
    write_table(&table);
    println!("{} cases", cases.len());
    assert_unharmed(&server, &upload, free_before);
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert!(!server.log().contains("panicked"), "something panicked:\n{}", server.log());
    assert_eq!(server.terminate().code(), Some(0));
    site.assert_consistent();
}

fn outcome(server: &Server, case: &Case) -> String {
    match exchange(server, case) {
        Ok(outcome) => outcome,
        Err(error) => match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe => "closed".to_owned(),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "silence".to_owned(),
            _ => format!("{error}"),
        },
    }
}

fn exchange(server: &Server, case: &Case) -> io::Result<String> {
    let mut connection: Connection = server.connect()?;
    connection.stream().set_read_timeout(Some(ANSWER_WITHIN))?;
    // The server may answer and close before everything is sent; the answer counts.
    let sent = connection.send(&case.wire);
    if case.ends && sent.is_ok() {
        connection.finish_sending()?;
    }
    let response = connection.receive(!case.wire.starts_with(b"HEAD "))?;
    Ok(response.outcome())
}

fn assert_unharmed(server: &Server, upload: &str, free_before: f64) {
    // Connections are spread over the lanes by the kernel's hash: 64 of them miss one of two lanes
    // with a probability of 2^-63.
    for _ in 0..64 {
        let mut client = server.client();
        let got = expect(client.get(BUCKET, KEY).unwrap(), 200).unwrap();
        assert!(got.body == content(1, SIZE), "the stored object has changed");
    }
    let mut client = server.client();
    assert_eq!(client.keys(BUCKET).unwrap(), [KEY], "something wrong was stored");
    assert_eq!(client.uploads(BUCKET).unwrap(), [(KEY.to_owned(), upload.to_owned())]);
    let buckets = client.run(client.request("GET", "", "")).unwrap();
    assert_eq!(penstock_tests::http::elements(&buckets.text(), "Name"), [BUCKET]);
    let request = client.request("GET", BUCKET, KEY).query("uploadId", upload);
    let parts = expect(client.run(request).unwrap(), 200).unwrap();
    assert!(parts.element("PartNumber").is_none(), "a part was stored: {}", parts.text());
    assert_eq!(free_bytes(server), free_before, "space has leaked");
    server.assert_nothing_reserved();
}

fn free_bytes(server: &Server) -> f64 {
    server.metrics().value("penstock_store_free_bytes", &[])
}

fn write_table(table: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    fs::create_dir_all(&folder).expect("the target folder can be made");
    let text = format!("# Bad input: what was sent and what came back\n\n{table}");
    fs::write(folder.join("bad-input.md"), text).expect("the table can be written");
}
