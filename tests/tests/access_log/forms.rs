//! Owns: requests in all the ways in which clients show who they are, right and wrong, with what of
//! each must not be in a log.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use penstock_tests::chunked;
use penstock_tests::server::Server;
use penstock_tests::sign::{Credentials, Request, Signer};

/// One request and its secrets.
pub(crate) struct Form {
    /// What it is.
    pub(crate) name: &'static str,
    /// As it is sent.
    pub(crate) request: Request,
    /// What must not be in a log.
    pub(crate) secrets: Vec<String>,
}

const BODY: &[u8] = b"what is stored";

impl Form {
    fn new(name: &'static str, request: Request, credentials: &Credentials) -> Form {
        let text = String::from_utf8_lossy(&request.bytes()).into_owned();
        let mut secrets = vec![credentials.secret_key.clone()];
        // Signatures are the only words of 64 hexadecimal digits besides hashes of bodies, which
        // nobody logs either. One may stand behind an encoded character.
        let words = text.split(|c: char| !c.is_ascii_alphanumeric());
        secrets
            .extend(words.filter_map(|word| Some(word[word.len().checked_sub(64)?..].to_owned())));
        Form { name, request, secrets }
    }

    fn hiding(mut self, secret: &str) -> Form {
        self.secrets.push(secret.to_owned());
        self
    }

    /// Sends it over HTTP/1.1 and over HTTP/2; what is answered does not matter here.
    pub(crate) fn send(&self, server: &Server) {
        let mut connection = server.connect().unwrap();
        connection.send(&self.request.bytes()).unwrap();
        let answer = connection.receive(self.request.method != "HEAD").unwrap();
        assert!(is_expected(answer.status), "{}: {}", self.name, answer.text());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
            let (mut sender, connection) =
                http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
            let driver = tokio::spawn(connection);
            let answer = sender.send_request(self.for_http2(server)).await.unwrap();
            assert!(is_expected(answer.status().as_u16()), "{}", self.name);
            answer.into_body().collect().await.unwrap();
            drop(sender);
            driver.await.unwrap().unwrap();
        });
    }

    fn for_http2(&self, server: &Server) -> hyper::Request<Full<Bytes>> {
        let uri = format!("http://{}{}", server.address, self.request.target());
        let mut builder = hyper::Request::builder().method(self.request.method.as_str()).uri(uri);
        for (name, value) in &self.request.headers {
            if !name.eq_ignore_ascii_case("host") {
                builder = builder.header(name, value);
            }
        }
        builder.body(Full::new(Bytes::from(self.request.body.clone()))).unwrap()
    }
}

/// All of them.
pub(crate) fn all(server: &Server, credentials: &Credentials) -> Vec<Form> {
    let host = server.address.to_string();
    let mut forms = signed(&host, credentials);
    forms.extend(presigned(&host, credentials));
    forms.extend(streamed(&host, credentials));
    for form in &forms {
        assert!(form.secrets.len() > 1, "{} has no signature", form.name);
    }
    forms.extend(foreign(&host, credentials));
    forms
}

fn put(host: &str) -> Request {
    Request::new("PUT", "/forms/key").header("Host", host).body(BODY)
}

fn signed(host: &str, credentials: &Credentials) -> Vec<Form> {
    let signer = Signer::new(credentials);
    let mut good = put(host);
    signer.sign(&mut good);
    let mut unsigned_payload = put(host);
    signer.sign_as(&mut unsigned_payload, "UNSIGNED-PAYLOAD");
    let mut broken = put(host);
    signer.sign(&mut broken);
    broken.path = "/forms/another".into();
    let mut old = put(host);
    signer.clone().ago(Duration::from_secs(86_400)).sign(&mut old);
    let mut tokened = put(host).header("x-amz-security-token", "TheSessionTokenOfSomebody");
    signer.sign(&mut tokened);
    let mut rdma = put(host).header("x-amz-rdma-token", "TheMemoryKeyOfSomebody");
    signer.sign(&mut rdma);
    let stranger = Credentials { access_key: "NOBODY00000000000000".into(), ..credentials.clone() };
    let mut unknown = put(host);
    Signer::new(&stranger).sign(&mut unknown);
    vec![
        Form::new("signed", good, credentials),
        Form::new("signed, unsigned payload", unsigned_payload, credentials),
        Form::new("wrong signature", broken, credentials),
        Form::new("signed yesterday", old, credentials),
        Form::new("session token", tokened, credentials).hiding("TheSessionTokenOfSomebody"),
        Form::new("RDMA token", rdma, credentials).hiding("TheMemoryKeyOfSomebody"),
        Form::new("unknown key", unknown, credentials),
    ]
}

fn presigned(host: &str, credentials: &Credentials) -> Vec<Form> {
    let signer = Signer::new(credentials);
    let presign = |expires, path: &str| {
        let mut request = Request::new("GET", path).header("Host", host);
        signer.presign(&mut request, Duration::from_secs(expires));
        request
    };
    let good = presign(60, "/forms/key");
    let mut broken = presign(60, "/forms/key");
    broken.query.push(("more".into(), "1".into()));
    let mut tokened = Request::new("GET", "/forms/key")
        .header("Host", host)
        .query("X-Amz-Security-Token", "TheSessionTokenOfAnother");
    signer.presign(&mut tokened, Duration::from_secs(60));
    // A page that was itself loaded by a presigned URL.
    let page = format!("https://example.com{}", presign(60, "/page").target());
    let mut linked = put(host).header("Referer", &page);
    signer.sign(&mut linked);
    // A whole URL where a key should be.
    let pasted = penstock_tests::sign::encode(&presign(60, "/forms/pasted").target(), false);
    let pasted_path = format!("/forms/{pasted}");
    let pasted = presign(60, &pasted_path);
    let lower = {
        let mut request = presign(60, "/forms/key");
        for (name, _) in &mut request.query {
            name.make_ascii_lowercase();
        }
        request
    };
    vec![
        Form::new("presigned", good, credentials),
        Form::new("presigned and changed", broken, credentials),
        Form::new("presigned with a token", tokened, credentials)
            .hiding("TheSessionTokenOfAnother"),
        Form::new("presigned referrer", linked, credentials),
        Form::new("presigned URL as a key", pasted, credentials),
        Form::new("presigned in lower case", lower, credentials),
    ]
}

fn streamed(host: &str, credentials: &Credentials) -> Vec<Form> {
    let body = vec![b'x'; 70_000];
    let signed = chunked::signed_put(credentials, host, "/forms/key", &body, 65_536);
    let mut trailing = Request::new("PUT", "/forms/key")
        .header("Host", host)
        .header("Content-Encoding", "aws-chunked")
        .header("x-amz-decoded-content-length", &body.len().to_string())
        .header("x-amz-trailer", "x-amz-checksum-crc32c");
    let seed = Signer::new(credentials).sign_as(&mut trailing, chunked::SIGNED_TRAILER);
    trailing.body = chunked::signed(&body, 65_536, &seed, &[("x-amz-checksum-crc32c", "AAAAAA==")]);
    let mut broken = chunked::signed_put(credentials, host, "/forms/key", &body, 65_536);
    let last = broken.body.len() - 100;
    broken.body[last] ^= 1;
    let unsigned = chunked::unsigned_put(
        credentials,
        host,
        "/forms/key",
        &body,
        65_536,
        ("x-amz-checksum-crc32c", "AAAAAA=="),
    );
    vec![
        Form::new("signed chunks", signed, credentials),
        Form::new("signed chunks and trailer", trailing, credentials),
        Form::new("a wrong chunk signature", broken, credentials),
        Form::new("unsigned chunks", unsigned, credentials),
    ]
}

/// What is not spoken here.
fn foreign(host: &str, credentials: &Credentials) -> Vec<Form> {
    let old = put(host).header("Authorization", "AWS AKIDOFSOMEBODY:OldSignature0123456789abcdef=");
    let old_url = Request::new("GET", "/forms/key")
        .header("Host", host)
        .query("AWSAccessKeyId", "AKIDOFSOMEBODY")
        .query("Expires", "2000000000")
        .query("Signature", "OldSignatureInAQuery=");
    let basic = put(host).header("Authorization", "Basic c29tZWJvZHk6cGFzc3dvcmQ=");
    let bearer = put(host).header("Authorization", "Bearer ATokenOfSomebody");
    let boundary = "----a-boundary";
    let fields = [
        ("key", "posted"),
        ("policy", "eyJleHBpcmF0aW9uIjoiMjAzMCJ9"),
        ("x-amz-signature", "PostedSignature0123456789"),
        ("file", "content"),
    ];
    let mut body = String::new();
    for (name, value) in fields {
        body.push_str(&format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        ));
    }
    body.push_str(&format!("--{boundary}--\r\n"));
    let posted = Request::new("POST", "/forms")
        .header("Host", host)
        .header("Content-Type", &format!("multipart/form-data; boundary={boundary}"))
        .body(body);
    let anonymous = Request::new("GET", "/forms/key").header("Host", host);
    vec![
        Form::new("SigV2", old, credentials).hiding("OldSignature0123456789abcdef"),
        Form::new("presigned SigV2", old_url, credentials).hiding("OldSignatureInAQuery"),
        Form::new("basic", basic, credentials).hiding("c29tZWJvZHk6cGFzc3dvcmQ"),
        Form::new("bearer", bearer, credentials).hiding("ATokenOfSomebody"),
        Form::new("form", posted, credentials)
            .hiding("PostedSignature0123456789")
            .hiding("eyJleHBpcmF0aW9uIjoiMjAzMCJ9"),
        Form::new("anonymous", anonymous, credentials),
    ]
}

/// A browser's form is not implemented; anything else of 5xx would be the server's failure.
fn is_expected(status: u16) -> bool {
    (200..500).contains(&status) || status == 501
}
