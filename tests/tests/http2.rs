//! HTTP/2 with prior knowledge: many requests at once on one connection, bodies both ways, and the
//! same answers as over HTTP/1.1.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use penstock_tests::client::expect;
use penstock_tests::content::{content, md5_hex};
use penstock_tests::server::{Options, Server, Site};
use penstock_tests::sign::{Request, Signer};

const STREAMS: usize = 32;

#[test]
fn many_streams_on_one_connection() {
    let site = Site::new();
    let server = Options::default().start(&site);
    expect(server.client().create_bucket("two").unwrap(), 200).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        let driver = tokio::spawn(connection);
        let tasks: Vec<_> = (0..STREAMS)
            .map(|number| {
                let put = signed(&server, "PUT", number);
                let get = signed(&server, "GET", number);
                tokio::spawn(put_and_get(sender.clone(), put, get, number))
            })
            .collect();
        for task in tasks {
            task.await.expect("a stream failed");
        }
        drop(sender);
        driver.await.unwrap().expect("the connection ends in order");
    });
    assert_eq!(server.client().keys("two").unwrap().len(), STREAMS);
}

#[test]
fn errors_are_the_same_over_http2() {
    let site = Site::new();
    let server = Options::default().start(&site);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = signed(&server, "GET", 0);
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status().as_u16(), 404);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&body).contains("<Code>NoSuchBucket</Code>"));
    });
}

async fn put_and_get(
    mut sender: http2::SendRequest<Full<Bytes>>,
    put: hyper::Request<Full<Bytes>>,
    get: hyper::Request<Full<Bytes>>,
    number: usize,
) {
    let body = body_of(number);
    let response = sender.send_request(put).await.expect("PUT is answered");
    assert_eq!(response.status().as_u16(), 200);
    let tag = response.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(tag, format!("\"{}\"", md5_hex(&body)));
    response.into_body().collect().await.expect("an empty body ends");
    let response = sender.send_request(get).await.expect("GET is answered");
    assert_eq!(response.status().as_u16(), 200);
    let got = response.into_body().collect().await.expect("the body arrives").to_bytes();
    assert!(got == body, "object {number} came back different");
}

fn body_of(number: usize) -> Vec<u8> {
    content(number as u64, number * 40_000)
}

fn signed(server: &Server, method: &str, number: usize) -> hyper::Request<Full<Bytes>> {
    let client = server.client();
    let mut request = client.request(method, "two", &format!("stream-{number}"));
    if method == "PUT" {
        request = request.body(body_of(number));
    }
    Signer::new(client.credentials()).sign(&mut request);
    let body = Bytes::from(std::mem::take(&mut request.body));
    hyper_request(&request, server, body)
}

fn hyper_request(request: &Request, server: &Server, body: Bytes) -> hyper::Request<Full<Bytes>> {
    let mut builder = hyper::Request::builder().method(request.method.as_str()).uri(format!(
        "http://{}{}",
        server.address,
        request.target()
    ));
    for (name, value) in request.headers.iter().filter(|(name, _)| name != "Host") {
        builder = builder.header(name, value);
    }
    builder.body(Full::new(body)).expect("a valid request")
}
