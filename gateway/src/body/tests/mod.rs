//! Tests of the body as a whole: framing however it is cut, plans, promises, stripping, memory.

mod framing;
mod memory;
mod plans;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Request;
use http::request::Parts;
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use sha2::{Digest as _, Sha256};

use super::checksum::Digests;
use super::*;
use crate::auth::{ChunkChain, Identity, Mechanism, Payload, SignedHeaders, Verified};
use crate::iam::Caller;

/// A body that comes in the given pieces.
struct Pieces(VecDeque<Bytes>);

impl Pieces {
    fn of(pieces: impl IntoIterator<Item = Bytes>) -> Pieces {
        Pieces(pieces.into_iter().collect())
    }

    fn whole(body: &[u8]) -> Pieces {
        Pieces::of([Bytes::copy_from_slice(body)])
    }

    /// `body` in pieces of at most `size`.
    fn cut(body: &[u8], size: usize) -> Pieces {
        Pieces::of(body.chunks(size).map(Bytes::copy_from_slice))
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }
}

fn head(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request").into_parts().0
}

fn verified(mechanism: Mechanism, payload: Payload) -> Verified {
    let identity = match mechanism {
        Mechanism::Anonymous => Identity::Anonymous,
        _ => Identity::Key("AKID".into()),
    };
    let caller = Caller::from(&identity);
    Verified { identity, caller, mechanism, signed_headers: SignedHeaders::default(), payload }
}

fn sha256(data: &[u8]) -> [u8; 32] {
    Sha256::digest(data).into()
}

/// Everything the decoder gives, in order: the content until its end, and the error if it had one.
async fn drain(
    body: impl Body<Data = Bytes, Error = BodyError> + Unpin,
) -> (Vec<u8>, Option<BodyError>) {
    let mut body = body;
    let mut content = Vec::new();
    assert!(!body.is_end_stream(), "something is to be checked");
    let mut announced = body.size_hint().exact();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => {
                let data = frame.into_data().expect("a data frame");
                assert!(!data.is_empty(), "an empty frame");
                content.extend_from_slice(&data);
                if let Some(announced) = &mut announced {
                    *announced -= data.len() as u64;
                    assert_eq!(body.size_hint().exact(), Some(*announced));
                }
            }
            Err(error) => {
                assert!(body.frame().await.is_none(), "nothing follows an error");
                return (content, Some(error));
            }
        }
    }
    assert!(body.is_end_stream());
    (content, None)
}

/// [`drain`] on a runtime of its own.
fn drained(
    body: impl Body<Data = Bytes, Error = BodyError> + Unpin,
) -> (Vec<u8>, Option<BodyError>) {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(drain(body))
}

/// As [`drained`], with the check of the promises that readers make at the end.
fn checked(source: Pieces, plan: &BodyPlan) -> (Vec<u8>, Option<BodyError>) {
    let (content, error) = drained(Decoded::new(source, plan));
    let mut digests = Digests::new(plan.promised.selection());
    digests.update(&content);
    let check = || plan.promised.check(&digests.finish(), &plan.trailer).err();
    (content, error.or_else(check))
}

/// A client that frames content as aws-chunked.
struct Framer {
    chain: Option<ChunkChain>,
    out: Vec<u8>,
}

const SEED: &str = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";

impl Framer {
    fn unsigned() -> Framer {
        Framer { chain: None, out: Vec::new() }
    }

    fn signed() -> Framer {
        Framer { chain: Some(ChunkChain::example(SEED)), out: Vec::new() }
    }

    fn header(&mut self, data: &[u8]) {
        self.out.extend_from_slice(format!("{:x}", data.len()).as_bytes());
        if let Some(chain) = &mut self.chain {
            let signature = chain.sign_chunk(&sha256(data));
            self.out.extend_from_slice(format!(";chunk-signature={signature}").as_bytes());
        }
        self.out.extend_from_slice(b"\r\n");
    }

    fn chunk(mut self, data: &[u8]) -> Framer {
        self.header(data);
        self.out.extend_from_slice(data);
        self.out.extend_from_slice(b"\r\n");
        self
    }

    fn last(mut self) -> Framer {
        self.header(b"");
        self
    }

    /// The trailer's lines, its signature if chunks are signed.
    fn trailer(mut self, name: &str, value: &str) -> Framer {
        self.out.extend_from_slice(format!("{name}:{value}\r\n").as_bytes());
        if let Some(chain) = &mut self.chain {
            let signature = chain.sign_trailer(&sha256(format!("{name}:{value}\n").as_bytes()));
            self.out
                .extend_from_slice(format!("x-amz-trailer-signature:{signature}\r\n").as_bytes());
        }
        self
    }

    fn raw(mut self, text: &str) -> Framer {
        self.out.extend_from_slice(text.as_bytes());
        self
    }

    fn end(self) -> Vec<u8> {
        self.raw("\r\n").out
    }
}

/// The plan of an upload of `length` bytes whose framing is signed or not, with a trailer or not.
fn framed(signed: bool, trailer: Option<&str>, length: u64) -> BodyPlan {
    let length = length.to_string();
    let mut headers =
        vec![("x-amz-decoded-content-length", length.as_str()), ("content-length", "1")];
    headers.extend(trailer.map(|name| ("x-amz-trailer", name)));
    let chain = signed.then(|| Box::new(ChunkChain::example(SEED)));
    // Unsigned framing always allows a trailer; of signed framing there are two kinds.
    let payload = Payload::Chunked { chain, trailer: !signed || trailer.is_some() };
    plan(&head("PUT", "/b/k", &headers), &verified(Mechanism::Header, payload)).expect("a plan")
}
