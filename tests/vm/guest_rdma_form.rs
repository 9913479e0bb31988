//! What RDMA looks like from outside on a machine that has a device: what is announced, every header
//! of the exchanges, and what is answered to each kind of token.

use penstock_tests::client::{Client as HttpClient, expect};
use penstock_tests::content::{content, pages};
use penstock_tests::guest::{DriveStore, Guest};
use penstock_tests::http::Response;
use penstock_tests::rdma::{
    Asker, DEVICE, Exchange, Host, Objects, Protocol, Raw, RdmaFigures, Transcript,
    assert_nothing_left,
};
use penstock_tests::sign::{Request, Signer};
use rdma::client::{Get, Put};
use rdma::fabric::RemoteAccess;

const BUCKET: &str = "form";
const STAGING: u64 = 16 << 20;

#[test]
fn the_device_is_announced() {
    let Some(guest) = Guest::here("the_device_is_announced") else {
        return;
    };
    let store = DriveStore::new(&guest);
    let server = store.rdma_options(STAGING).start(&store.site);
    let log = server.log();
    assert!(log.contains("RDMA: rxe0 port 1 (Ethernet), GID "), "{log}");
    assert!(log.contains("packets of 4096"), "{log}");
    assert!(log.contains("hipobj-rc-v2 and pooled connections"), "{log}");
    let metrics = server.metrics();
    assert_eq!(metrics.value("penstock_rdma_enabled", &[]), 1.0);
    let device = ["device=\"rxe0\"", "port=\"1\"", "kind=\"verbs\""];
    assert_eq!(metrics.value("penstock_rdma_device_info", &device), 1.0);
    assert_eq!(metrics.value("penstock_rdma_path_mtu_bytes", &[]), 4096.0);
    assert!(metrics.value("penstock_rdma_registered_bytes", &[]) > 0.0);
    let (header, document) = capabilities(server.client(), &Asker::of(&server));
    assert_eq!(header.as_deref(), Some("hipobj-rc-v2,pooled-rc,mp,armed"));
    assert_eq!(document["enabled"], true);
    assert_eq!(document["capabilities"], "hipobj-rc-v2,pooled-rc,mp,armed");
    assert_eq!((&document["device"], &document["port"]), (&"rxe0".into(), &1.into()));
    assert_eq!(
        (&document["path_mtu"], &document["link_layer"]),
        (&4096.into(), &"Ethernet".into())
    );
    assert_eq!(document["limits"]["upload_bytes"], STAGING);
    let gid = document["gid"].as_str().unwrap_or_default();
    assert!(log.contains(&format!("GID {gid},")), "{gid}, {log}");
    store.stop(server);
}

#[test]
fn rdma_can_be_switched_off_where_there_is_a_device() {
    let Some(guest) = Guest::here("rdma_can_be_switched_off_where_there_is_a_device") else {
        return;
    };
    let store = DriveStore::new(&guest);
    let server = store.options().argument("--rdma-mode").argument("off").start(&store.site);
    assert!(server.log().contains("RDMA: none: rdma.mode = off"), "{}", server.log());
    assert_eq!(server.metrics().value("penstock_rdma_enabled", &[]), 0.0);
    let (header, document) = capabilities(server.client(), &Asker::of(&server));
    assert_eq!(header.as_deref(), Some("off"));
    assert_eq!(
        (&document["enabled"], &document["reason"]),
        (&false.into(), &"rdma.mode = off".into())
    );
    store.stop(server);
    // The client half finds that out by itself, and nothing is stored or got wrong for it.
    let server = store.options().argument("--rdma-mode").argument("off").start(&store.site);
    let body = content(1, 70_001);
    Host::run(DEVICE, async |host| {
        let objects = Objects::new(&host, Asker::of(&server));
        let put = Put::object(BUCKET, "object", body.len() as u64);
        let done = objects.try_put(Protocol::Session, &put, host.filled(&body)).await.unwrap();
        let expected = rdma::client::Path::Http(rdma::client::Decline::NotImplemented);
        assert_eq!(done.outcome.path, expected);
        let get = Get::object(BUCKET, "object");
        let done = objects.try_get(Protocol::Session, &get, host.blank(70_001)).await.unwrap();
        assert_eq!(done.outcome.path, expected);
        assert!(done.memory.as_slice() == body);
    });
    store.stop(server);
}

/// The header of HEAD bucket, and the document.
fn capabilities(mut client: HttpClient, asker: &Asker) -> (Option<String>, serde_json::Value) {
    expect(client.create_bucket(BUCKET).unwrap(), 200).unwrap();
    let head = expect(client.head(BUCKET, "").unwrap(), 200).unwrap();
    let words = head.header("x-amz-rdma-capabilities").map(str::to_owned);
    let document = asker.ask(asker.request("GET", "/.s3rdma-rc/capabilities")).unwrap();
    let document = expect(document, 200).unwrap();
    (words, serde_json::from_slice(&document.body).expect("JSON"))
}

// ----- Headers ----------------------------------------------------------------------------------

/// A header and what its value must look like: a literal after `=`, or one of [`suits`]'s forms. A
/// name that ends with `?` may be absent.
type Form = (&'static str, &'static str);

const PREPARE: &[Form] = &[
    ("x-amz-rdma-protocol", "=hipobj-rc-v2"),
    ("x-amz-rdma-token", "hex88"),
    ("x-amz-rdma-psn", "hex6"),
    ("x-amz-rdma-cookie", "hex8"),
    ("x-amz-rdma-op", "=GET"),
    ("x-amz-rdma-target", "=/form/object"),
    ("x-amz-rdma-size", "=70001"),
    ("x-amz-rdma-offset", "=0"),
    ("x-amz-rdma-qpn", "hex"),
    ("x-amz-rdma-mr-addr?", "hex"),
    ("x-amz-rdma-mr-rkey?", "hex"),
];
const PREPARED_GET: &[Form] = &[
    ("x-amz-rdma-protocol", "=hipobj-rc-v2"),
    ("x-amz-rdma-reply", "reply88"),
    ("x-amz-rdma-session", "hex32"),
    ("x-amz-rdma-psn", "hex6"),
    ("x-amz-rdma-qpn", "hex"),
    ("x-amz-rdma-capabilities?", "=armed"),
];
const PREPARED_PUT: &[Form] = &[
    ("x-amz-rdma-protocol", "=hipobj-rc-v2"),
    ("x-amz-rdma-reply", "reply88"),
    ("x-amz-rdma-session", "hex32"),
    ("x-amz-rdma-psn", "hex6"),
    ("x-amz-rdma-qpn", "hex"),
    ("x-amz-rdma-mr-addr", "hex"),
    ("x-amz-rdma-mr-rkey", "hex"),
    ("x-amz-rdma-capabilities?", "=armed"),
];
const READY_GET: &[Form] = &[
    ("x-amz-rdma-protocol", "=hipobj-rc-v2"),
    ("x-amz-rdma-session", "hex32"),
    ("x-amz-rdma-cookie", "hex8"),
    ("x-amz-rdma-qpn", "hex"),
    ("x-amz-rdma-mr-addr", "hex"),
    ("x-amz-rdma-mr-rkey", "hex"),
];
const READY_PUT: &[Form] = &[
    ("x-amz-rdma-protocol", "=hipobj-rc-v2"),
    ("x-amz-rdma-session", "hex32"),
    ("x-amz-rdma-cookie", "hex8"),
    ("x-amz-rdma-qpn", "hex"),
    ("x-amz-rdma-mr-addr?", "hex"),
    ("x-amz-rdma-mr-rkey?", "hex"),
];
const FINAL: &[Form] = &[
    ("x-amz-rdma-protocol", "=hipobj-rc-v2"),
    ("x-amz-rdma-cookie", "hex8"),
    ("x-amz-rdma-bytes-transferred", "=70001"),
    ("x-amz-rdma-etag", "tag"),
    ("etag", "tag"),
    ("x-amz-rdma-checksum?", "named"),
    ("x-amz-rdma-checksum-crc64nvme?", "crc"),
    ("x-amz-rdma-capabilities?", "=mp"),
];
const CONNECT: &[Form] = &[("x-amz-rdma-token", "hex88"), ("x-amz-rdma-psn", "hex6")];
const CONNECTED: &[Form] = &[
    ("x-amz-rdma-session", "hex32"),
    ("x-amz-rdma-reply", "reply88"),
    ("x-amz-rdma-psn", "hex6"),
    // Ours on top; clients of the form pass over it.
    ("x-amz-rdma-capabilities?", "=hipobj-rc-v2,pooled-rc,mp,armed"),
];
const POOLED_GET: &[Form] =
    &[("x-amz-rdma-token", "pooled"), ("x-amz-content-sha256", "=UNSIGNED-PAYLOAD")];
const POOLED_GOT: &[Form] = &[
    ("x-amz-rdma-reply", "=200"),
    ("x-amz-rdma-bytes-transferred", "=70001"),
    ("etag", "tag"),
    ("x-amz-rdma-checksum-crc64nvme", "crc"),
];
const DISCONNECT: &[Form] = &[("x-amz-rdma-session", "hex32")];

fn suits(form: &str, value: &str) -> bool {
    let hex = |text: &str, digits: std::ops::RangeInclusive<usize>| {
        digits.contains(&text.len())
            && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let crc = |text: &str| text.len() == 12 && text.ends_with('=') && !text.ends_with("==");
    match form {
        "hex" => hex(value, 1..=16) && !value.starts_with('0'),
        "hex6" => hex(value, 6..=6) && value != "000000",
        "hex8" => hex(value, 8..=8) && value != "00000000",
        "hex32" => hex(value, 32..=32),
        "hex88" => hex(value, 88..=88) && value.starts_with("01"),
        "reply88" => value.strip_prefix("200:01").is_some_and(|rest| hex(rest, 86..=86)),
        "pooled" => {
            let fields: Vec<&str> = value.split(':').collect();
            fields.len() == 5
                && value.len() == 70
                && fields[0] == "rc"
                && [(1, 32), (2, 16), (3, 8), (4, 8)]
                    .into_iter()
                    .all(|(place, digits)| hex(fields[place], digits..=digits))
        }
        "tag" => value.len() > 2 && value.starts_with('"') && value.ends_with('"'),
        "crc" => crc(value),
        "named" => value.strip_prefix("CRC64NVME ").is_some_and(crc),
        literal => literal.strip_prefix('=') == Some(value),
    }
}

#[track_caller]
fn assert_form(what: &str, headers: &[(String, String)], forms: &[Form]) {
    for (name, form) in forms {
        let (name, optional) = match name.strip_suffix('?') {
            Some(name) => (name, true),
            None => (*name, false),
        };
        let values: Vec<&str> = headers
            .iter()
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| &**value)
            .collect();
        match values[..] {
            [] if optional => {}
            [value] => assert!(suits(form, value), "{what}: {name}: {value:?} is no {form}"),
            _ => panic!("{what}: {name} is there {} times: {headers:?}", values.len()),
        }
    }
    for (name, value) in headers.iter().filter(|(name, _)| name.starts_with("x-amz-rdma-")) {
        let known = forms.iter().any(|(form, _)| form.trim_end_matches('?') == name);
        assert!(known, "{what}: {name}: {value} is not the protocol's");
    }
}

#[track_caller]
fn assert_exchange(
    exchange: &Exchange,
    line: &str,
    asked: &[Form],
    status: u16,
    answered: &[Form],
) {
    let (request, answer) = exchange;
    assert_eq!(format!("{} {}", request.method, request.target()), line);
    let fixed = |forms: &[Form]| -> Vec<Form> {
        let op = |(name, form): &Form| match (*name, line) {
            ("x-amz-rdma-op", "PUT") => ("x-amz-rdma-op", "=PUT"),
            _ => (*name, *form),
        };
        forms.iter().map(op).collect()
    };
    assert_form(line, &request.headers, &fixed(asked));
    let signed = request.headers.iter().find(|(name, _)| name == "Authorization");
    let signed = &signed.expect("it is signed").1;
    let list = signed.split("SignedHeaders=").nth(1).and_then(|rest| rest.split(',').next());
    let list: Vec<&str> = list.expect("signed headers").split(';').collect();
    for (name, _) in request.headers.iter().filter(|(name, _)| name.starts_with("x-amz-rdma-")) {
        assert!(list.contains(&&**name), "{line}: {name} is not signed");
    }
    let answer = answer.as_ref().expect("it was answered");
    assert_eq!(answer.status, status, "{line}: {}", answer.text());
    assert_form(line, &answer.headers, answered);
    assert_eq!(answer.header("transfer-encoding"), None, "{line}");
    if status != 204 {
        assert_eq!(answer.header("content-length"), Some("0"), "{line}");
    }
    assert!(answer.body.is_empty());
}

#[test]
fn every_header_is_as_the_protocols_have_it() {
    let Some(guest) = Guest::here("every_header_is_as_the_protocols_have_it") else {
        return;
    };
    let store = DriveStore::new(&guest);
    let server = store.rdma_options(STAGING).start(&store.site);
    expect(server.client().create_bucket(BUCKET).unwrap(), 200).unwrap();
    let body = content(1, 70_001);
    let [put, got, pooled] = [Transcript::default(), Transcript::default(), Transcript::default()];
    Host::run(DEVICE, async |host| {
        let asker = Asker::of(&server);
        let objects = |transcript| Objects::recorded(&host, asker.clone(), transcript);
        let order = Put::object(BUCKET, "object", body.len() as u64);
        objects(&put).put(Protocol::Session, &order, host.filled(&body)).await;
        for (transcript, protocol) in [(&got, Protocol::Session), (&pooled, Protocol::Pooled)] {
            let objects = objects(transcript);
            let get = Get::object(BUCKET, "object");
            let blank = host.blank(body.len());
            let (memory, _) = objects.get(protocol, &get, body.len() as u64, blank).await;
            assert!(memory.as_slice() == body);
            objects.disconnect().await;
        }
    });
    let text = format!(
        "hipobj-rc-v2 PUT\n\n{}\nhipobj-rc-v2 GET\n\n{}\npooled GET\n\n{}",
        put.text(),
        got.text(),
        pooled.text()
    );
    guest.record("rdma-transcripts.txt", &text);

    let upload: Vec<Form> = PREPARE
        .iter()
        .map(|(name, form)| (*name, if *name == "x-amz-rdma-op" { "=PUT" } else { *form }))
        .collect();
    let exchanges = put.exchanges();
    assert_eq!(exchanges.len(), 2, "{text}");
    let prepare = "POST /.hipobj-rc/prepare";
    assert_exchange(&exchanges[0], prepare, &upload, 200, PREPARED_PUT);
    assert_exchange(&exchanges[1], "POST /.hipobj-rc/ready", READY_PUT, 200, FINAL);
    let exchanges = got.exchanges();
    assert_eq!(exchanges.len(), 2, "{text}");
    assert_exchange(&exchanges[0], prepare, PREPARE, 200, PREPARED_GET);
    assert_exchange(&exchanges[1], "POST /.hipobj-rc/ready", READY_GET, 200, FINAL);
    let exchanges = pooled.exchanges();
    assert_eq!(exchanges.len(), 3, "{text}");
    assert_exchange(&exchanges[0], "POST /.s3rdma-rc/connect", CONNECT, 200, CONNECTED);
    assert_exchange(&exchanges[1], "GET /form/object", POOLED_GET, 200, POOLED_GOT);
    assert_exchange(&exchanges[2], "POST /.s3rdma-rc/disconnect", DISCONNECT, 204, &[]);
    assert_nothing_left(&server);
    store.stop(server);
}

// ----- Tokens -----------------------------------------------------------------------------------

const RC: &str =
    "011201000000000000000000000000ffff0a4d00010000000000000000000000000000000000000000010000";
const DC: &str =
    "00007f00deadb000:00400000:000018ff:0000:0001a7:1:00000000000000000000ffff0a4d0001";

/// What is declined: the token's name, the token, and whether its client is told that it speaks an
/// unsupported protocol.
fn declined() -> Vec<(&'static str, String, bool)> {
    vec![
        ("DC", DC.to_owned(), false),
        ("DC with its window", format!("{DC}:00007f00deadb000:0000000000400000"), false),
        ("DC with a semicolon", format!("{DC};"), false),
        ("libfabric", "7f00dead0000:1000:ofi1:verbs;ofi_rxm:0a0b0c0d:1f".to_owned(), false),
        ("hipObject", RC.to_owned(), true),
        ("hipObject with its buffer", format!("{RC}:00007f00deadb000:10000"), true),
    ]
}

fn malformed() -> Vec<(&'static str, String)> {
    vec![
        ("junk", "junk".to_owned()),
        ("DC of six fields", DC.rsplit_once(':').expect("fields").0.to_owned()),
        ("DC of size 0", DC.replace(":00400000:", ":00000000:")),
        ("DC, a digit too few", DC.replace(":0001a7:", ":001a7:")),
        ("DC that wraps", DC.replace("00007f00deadb000", "ffffffffffffffff")),
        ("libfabric, broken", "7f00dead0000:1000:ofi1:tcp:0a0:1f".to_owned()),
        ("libfabric, a field too few", "7f00dead0000:1000:ofi1:tcp:0a".to_owned()),
        ("hipObject, transport 2", format!("02{}", &RC[2..])),
        ("hipObject, 87 digits", RC[..87].to_owned()),
        (
            "pooled, four fields",
            "rc:0123456789abcdef0123456789abcdef:7f12a4000000:10000".to_owned(),
        ),
        ("pooled, a short name", "rc:0123456789abcdef:7f12a4000000:10000:1".to_owned()),
        ("pooled, no hexadecimal", "rc:0123456789abcdef0123456789abcdef:x:10000:1".to_owned()),
        ("1025 bytes", "a".repeat(1025)),
    ]
}

struct Tokens {
    asker: Asker,
    http: HttpClient,
    table: String,
    body: Vec<u8>,
    upload: String,
}

impl Tokens {
    fn ask(&mut self, method: &str, target: &str, token: &str) -> Response {
        let request = self.asker.request(method, target).header("x-amz-rdma-token", token);
        self.asker.ask(request).unwrap_or_else(|error| panic!("{method} {target}: {error}"))
    }

    fn note(&mut self, name: &str, what: &str, answer: &Response) {
        let reply = answer.header("x-amz-rdma-reply").unwrap_or("none");
        let status = answer.header("x-amz-rdma-protocol-status").unwrap_or("none");
        let (outcome, tag) = (answer.outcome(), answer.header("etag").is_some());
        let body = answer.body.len();
        self.table +=
            &format!("| {name} | {what} | {outcome} | {reply} | {status} | {tag} | {body} |\n");
    }

    /// Nothing but `object` is there, and it is what it was.
    fn assert_unchanged(&mut self, name: &str) {
        assert_eq!(self.http.keys(BUCKET).unwrap(), ["object"], "{name}");
        let got = expect(self.http.get(BUCKET, "object").unwrap(), 200).unwrap();
        assert!(got.body == self.body, "{name} changed the object");
        let list = self.http.request("GET", BUCKET, "parts").query("uploadId", &self.upload);
        let parts = expect(self.http.run(list).unwrap(), 200).unwrap();
        assert!(!parts.text().contains("<Part>"), "{name}: {}", parts.text());
    }

    fn declined(&mut self, name: &str, token: &str, marked: bool) {
        let mark = marked.then_some("unsupported");
        let got = self.ask("GET", "/form/object", token);
        self.note(name, "GET", &got);
        assert_eq!((got.status, got.header("x-amz-rdma-reply")), (200, Some("501")), "{name}");
        assert_eq!(got.header("x-amz-rdma-protocol-status"), mark, "{name}");
        assert!(got.body == self.body, "{name}");
        let range = self.asker.request("GET", "/form/object").header("Range", "bytes=7-70");
        let got = self.asker.ask(range.header("x-amz-rdma-token", token)).unwrap();
        self.note(name, "GET of a range", &got);
        assert_eq!((got.status, got.header("x-amz-rdma-reply")), (206, Some("501")), "{name}");
        assert!(got.body == self.body[7..=70], "{name}");
        let part = format!("/form/parts?partNumber=1&uploadId={}", self.upload);
        for (what, target) in
            [("PUT", "/form/new"), ("PUT over an object", "/form/object"), ("UploadPart", &*part)]
        {
            let answer = self.ask("PUT", target, token);
            self.note(name, what, &answer);
            assert_eq!(answer.outcome(), "200 RDMANotSupported", "{name}: {what}");
            assert_eq!(answer.header("x-amz-rdma-reply"), Some("501"), "{name}: {what}");
            assert_eq!(answer.header("x-amz-rdma-protocol-status"), mark, "{name}");
            for absent in ["etag", "x-amz-version-id", "x-amz-rdma-bytes-transferred"] {
                assert_eq!(answer.header(absent), None, "{name}: {what}: {absent}");
            }
        }
        let head = self.ask("HEAD", "/form/object", token);
        self.note(name, "HEAD", &head);
        assert_eq!((head.status, head.header("x-amz-rdma-reply")), (200, None), "{name}");
        let length = self.body.len().to_string();
        assert_eq!(head.header("content-length"), Some(&*length), "{name}");
        self.assert_unchanged(name);
    }

    fn refused(&mut self, name: &str, token: &str, outcome: &str, reply: Option<&str>) {
        for (what, method, target) in [
            ("GET", "GET", "/form/object"),
            ("PUT", "PUT", "/form/new"),
            ("PUT over an object", "PUT", "/form/object"),
        ] {
            let answer = self.ask(method, target, token);
            self.note(name, what, &answer);
            assert_eq!(answer.outcome(), outcome, "{name}: {what}: {}", answer.text());
            assert_eq!(answer.header("x-amz-rdma-reply"), reply, "{name}: {what}");
            assert_eq!(answer.header("etag"), None, "{name}: {what}");
        }
        self.assert_unchanged(name);
    }
}

#[test]
fn every_kind_of_token_has_its_answer() {
    let Some(guest) = Guest::here("every_kind_of_token_has_its_answer") else {
        return;
    };
    let store = DriveStore::new(&guest);
    let server = store.rdma_options(STAGING).start(&store.site);
    let mut http = server.client();
    expect(http.create_bucket(BUCKET).unwrap(), 200).unwrap();
    let body = pages(1, 70_001);
    expect(http.put(BUCKET, "object", &body).unwrap(), 200).unwrap();
    let upload = http.create_upload(BUCKET, "parts").unwrap();
    let asker = Asker::of(&server);
    let table = "| token | request | answer | reply | protocol-status | ETag | body |\n|---|---|---|---|---|---|---|\n";
    let mut tokens = Tokens { asker, http, table: table.to_owned(), body, upload };
    for (name, token, marked) in declined() {
        tokens.declined(name, &token, marked);
    }
    for (name, token) in malformed() {
        tokens.refused(name, &token, "400 InvalidRDMAToken", None);
    }
    let unknown = "rc:0123456789abcdef0123456789abcdef:00007f12a4000000:00011171:0000189a";
    tokens.refused("pooled, unknown name", unknown, "404 NoSuchRdmaSession", Some("404"));
    let before = RdmaFigures::of(&server);
    Host::run(DEVICE, async |host| live_tokens(&mut tokens, host));
    assert_eq!(RdmaFigures::of(&server).since(before).written, 0, "something was written");
    guest.record("rdma-tokens.md", &tokens.table);
    assert_nothing_left(&server);
    store.stop(server);
}

/// Tokens of a connection that is there.
fn live_tokens(tokens: &mut Tokens, host: Host) {
    let raw = Raw { host: host.clone(), asker: tokens.asker.clone() };
    let connection = raw.connect_pooled(RemoteAccess::ReadWrite).expect("connected");
    let window = host.window(70_001, RemoteAccess::ReadWrite);
    let remote = window.remote();
    let sized = |size| rdma::fabric::RemoteWindow { size, ..remote };
    let ask = |request: Request| raw.asker.ask(request).unwrap();

    let small = ask(connection.request("GET", "/form/object", sized(70_000)));
    tokens.note("pooled, window too small", "GET", &small);
    assert_eq!((small.status, small.header("x-amz-rdma-reply")), (200, Some("501")));
    assert!(small.body == tokens.body);
    let empty = ask(connection.request("PUT", "/form/new", sized(0)));
    tokens.note("pooled, window of 0", "PUT", &empty);
    assert_eq!((empty.status, empty.header("x-amz-rdma-reply")), (400, None), "{}", empty.text());
    let both = ask(connection.request("PUT", "/form/new", remote).body(b"a body".to_vec()));
    tokens.note("pooled, and a body", "PUT", &both);
    assert_eq!(both.outcome(), "400 InvalidArgument");
    let missing = ask(connection.request("GET", "/form/missing", remote));
    tokens.note("pooled", "GET of nothing", &missing);
    assert_eq!(missing.outcome(), "404 NoSuchKey");
    assert_eq!(missing.header("x-amz-rdma-reply"), None);

    // Signed, and the token added afterwards; signed twice over; not signed at all.
    let credentials = &raw.asker.credentials;
    let token = connection.request("GET", "/form/object", remote);
    let token = &token.headers.iter().find(|(name, _)| name == "x-amz-rdma-token").unwrap().1;
    let mut added = raw.asker.request("GET", "/form/object");
    Signer::new(credentials).sign_as(&mut added, "UNSIGNED-PAYLOAD");
    let added = added.header("x-amz-rdma-token", token);
    let anonymous = raw.asker.request("GET", "/form/object").header("x-amz-rdma-token", token);
    for (name, request) in [("pooled, not signed", added), ("pooled, nobody's", anonymous)] {
        let answer = tokens.http.send(&request).unwrap();
        tokens.note(name, "GET", &answer);
        assert_eq!(answer.outcome(), "403 AccessDenied", "{name}");
        assert_eq!(answer.header("x-amz-rdma-reply"), None, "{name}");
    }
    let twice = connection.request("GET", "/form/object", remote).header("x-amz-rdma-token", token);
    let twice = ask(twice);
    tokens.note("pooled, twice", "GET", &twice);
    assert_eq!((twice.status, twice.header("x-amz-rdma-reply")), (400, None), "{}", twice.text());
    let head = ask(connection.request("HEAD", "/form/object", remote));
    tokens.note("pooled", "HEAD", &head);
    assert_eq!((head.status, head.header("x-amz-rdma-reply")), (200, None));
    assert_eq!(connection.disconnect().unwrap().status, 204);
    assert_eq!(connection.disconnect().unwrap().status, 204);
    let gone = ask(connection.request("GET", "/form/object", remote));
    tokens.note("pooled, disconnected", "GET", &gone);
    assert_eq!(gone.outcome(), "404 NoSuchRdmaSession");
    let memory = window.reclaim();
    assert!(memory.as_slice().iter().all(|byte| *byte == 0), "something was written");
    tokens.assert_unchanged("tokens of a connection");
}
