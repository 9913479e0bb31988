//! The operations as a client meets them: requests through s3s to a real store in a temporary directory, and back.
//! Signatures and framing are the door's, so requests come in as the door leaves them.

mod buckets;
mod copies;
mod listings;
mod multipart;
mod objects;
mod rdma;
mod refusals;

use std::sync::Arc;

use bytes::Bytes;
use datapath::arena::Arena;
use datapath::{EngineKind, LaneStore, Store, StoreOptions};
use http::header::{CONTENT_LENGTH, HOST};
use http::request::Builder;
use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt as _;
use s3s::Body;

use super::{S3Settings, Service, service};
use crate::auth::Identity;
use crate::body::checksum::{Algorithm, Digests, Selection, Value};
use crate::body::{Promised, PromisedValue, TrailerSlot};
use crate::crypt::Crypt;
use crate::crypt::ring::Keys;
use crate::iam::Caller;

/// A client on a lane of its own.
struct Client {
    service: Service,
    lane: LaneStore,
    settings: Arc<S3Settings>,
}

/// What came back.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The text of the first element of a name.
    fn element(&self, name: &str) -> &str {
        self.elements(name).into_iter().next().unwrap_or_default()
    }

    fn elements(&self, name: &str) -> Vec<&str> {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let pieces = self.text().split(&*open).skip(1);
        pieces.filter_map(|piece| piece.split_once(&*close).map(|(text, _)| text)).collect()
    }

    #[track_caller]
    fn assert_code(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.element("Code")), (status, code), "{}", self.text());
    }

    #[track_caller]
    fn assert_ok(&self) -> &Self {
        assert_eq!(self.status, 200, "{}", self.text());
        self
    }
}

/// Runs a test on a store of its own with the bucket `bucket`.
fn with_client(test: impl AsyncFnOnce(&Client)) {
    with_client_and_arena(async |client, _| test(client).await);
}

/// The same, with the store's memory.
fn with_client_and_arena(test: impl AsyncFnOnce(&Client, &Arena)) {
    let directory = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        data_dir: directory.path().to_owned(),
        devices: Vec::new(),
        extent_file_bytes: Some(96 << 20),
        index_map_bytes: 256 << 20,
        memory_bytes: 256 << 20,
        memory_elsewhere: Vec::new(),
        lanes: 1,
        connections_max: 64,
        create: true,
        huge_pages: false,
        lock_memory: false,
    };
    let store = Store::open(&options).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let lane = store.handle().lane(EngineKind::Blocking, 0);
        let keys = Keys::open(&directory.path().join("encryption.toml"), Vec::new()).unwrap();
        let crypt = Crypt::new(keys, true, crate::limits::DECRYPTED_BYTES_MIN);
        let settings = S3Settings::new("us-east-1", ["s3.test"], Default::default());
        let settings = Arc::new(settings.with_encryption(crypt));
        let service = service(lane.clone(), settings.clone());
        let client = Client { service, lane: lane.clone(), settings };
        client.put("/bucket", "").await.assert_ok();
        test(&client, store.handle().arena()).await;
        drop(client);
        lane.quiesce().await;
    });
    store.close();
}

impl Client {
    async fn send(&self, request: Builder, body: impl Into<Bytes>) -> Answer {
        let signed = Identity::Key("AKIDEXAMPLE".into());
        self.send_as(signed, Promised::default(), request, body).await
    }

    async fn send_as(
        &self,
        identity: Identity,
        promised: Promised,
        request: Builder,
        body: impl Into<Bytes>,
    ) -> Answer {
        let body = body.into();
        let request = request
            .header(HOST, "127.0.0.1:9000")
            .header(CONTENT_LENGTH, body.len())
            .extension(Caller::from(&identity))
            .extension(identity)
            .extension(promised)
            .extension(TrailerSlot::default());
        let response = self.service.call(request.body(Body::from(body)).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = received(body).await;
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    async fn anonymous(&self, method: Method, uri: &str) -> Answer {
        let request = Request::builder().method(method).uri(uri);
        self.send_as(Identity::Anonymous, Promised::default(), request, "").await
    }

    async fn get(&self, uri: &str) -> Answer {
        self.send(Request::get(uri), "").await
    }

    async fn get_with(&self, uri: &str, name: &str, value: &str) -> Answer {
        self.send(Request::get(uri).header(name, value), "").await
    }

    async fn head(&self, uri: &str) -> Answer {
        self.send(Request::head(uri), "").await
    }

    async fn put(&self, uri: &str, body: impl Into<Bytes>) -> Answer {
        self.send(Request::put(uri), body).await
    }

    async fn put_with(&self, uri: &str, name: &str, value: &str, body: impl Into<Bytes>) -> Answer {
        self.send(Request::put(uri).header(name, value), body).await
    }

    async fn post(&self, uri: &str, body: impl Into<Bytes>) -> Answer {
        self.send(Request::post(uri), body).await
    }

    async fn delete(&self, uri: &str) -> Answer {
        self.send(Request::delete(uri), "").await
    }

    /// Sends a body with a checksum that the door has read from a header.
    async fn vouched(
        &self,
        request: Builder,
        algorithm: Algorithm,
        value: Value,
        body: impl Into<Bytes>,
    ) -> Answer {
        let promised = Promised {
            checksum: Some((algorithm, PromisedValue::Header(value))),
            ..Promised::default()
        };
        self.send_as(Identity::Key("AKIDEXAMPLE".into()), promised, request, body).await
    }
}

/// All of a body, piece by piece copied and let go, as a socket does: pieces are frames of the store's memory, and a
/// stream waits until some of its own are free again.
async fn received(body: Body) -> Bytes {
    let mut body = std::pin::pin!(body);
    let mut bytes = Vec::new();
    while let Some(frame) = body.as_mut().frame().await {
        bytes.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    bytes.into()
}

fn digest(algorithm: Algorithm, bytes: &[u8]) -> Value {
    let mut digests = Digests::new(Selection::none().with(algorithm));
    digests.update(bytes);
    digests.finish().value(algorithm).unwrap()
}

fn content(size: usize, seed: u8) -> Bytes {
    (0..size)
        .map(|at| {
            (at as u64).wrapping_mul(31).wrapping_add(u64::from(seed)).to_le_bytes()[0] ^ seed
        })
        .collect()
}

/// The MD5 of a body as an entity tag.
fn tag(bytes: &[u8]) -> String {
    let mut digests = Digests::new(Selection::none().with_md5());
    digests.update(bytes);
    format!("\"{}\"", super::entity_tag::of_content(&digests.finish().md5.unwrap()))
}

#[test]
fn an_answer_is_a_status_and_a_document() {
    with_client(async |client| {
        let missing = client.get("/bucket/missing").await;
        missing.assert_code(404, "NoSuchKey");
        assert_eq!(missing.header("content-type"), "application/xml");
    });
}
