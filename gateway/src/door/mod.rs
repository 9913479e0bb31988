//! The door: everything about a request that is decided before it is an S3 operation, and the
//! finish of every response.
//!
//! In the order of a request: its identifier, the checks that need no store, verification and the
//! plan of its body (behind [`Backend`]), the operation, the headers of the response.
//! Not here: signatures (`auth`), framing (`body`), operations (`s3`).

pub mod batch;
mod cross_origin;
pub mod exchange;
pub mod host;
pub mod operation;
pub mod outgoing;
pub mod paced;
pub mod receipt;
pub mod refused;
pub mod request_id;
pub mod unwind;

use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http::header::{CONNECTION, EXPECT, HOST, HeaderName, REFERER, SERVER, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use hyper::body::Incoming;

pub use batch::Batch;
pub use outgoing::Outgoing;
pub use paced::{BodyFault, PacedBody};
pub use refused::{ErrorCode, Refused};
pub use request_id::RequestId;

use crate::config::Receipts;
use crate::lane::pulse::Pulse;
use crate::lane::{LaneContext, OrderError};
use crate::limits;
use crate::metrics::{Operation, Refusal, Stage};
use crate::rdma::Concern;
use crate::record::account::Asked;
use crate::record::{Account, AccountSlot, Watch};
use crate::s3::{CrossOrigin, OriginVerdict};
use exchange::Exchange;
use outgoing::Content;
use paced::LeftoverSlot;
use receipt::Telling;
use request_id::RequestIds;

/// The body of a request as it comes from the socket.
pub type RequestBody = PacedBody<Incoming>;

/// What is behind the door on one lane: verification, the body's decoding, the operations.
pub trait Backend: 'static {
    /// What verification found out, carried to [`Backend::frame`].
    type Admission;

    /// Verifies who sent the request and plans its body. The request is as it was sent.
    ///
    /// # Errors
    /// The refusal; nothing of the body has been read.
    fn admit(&self, parts: &Parts, now: SystemTime) -> Result<Self::Admission, Refused>;

    /// Removes what verification has used up (signature, framing), puts what operations need into
    /// the extensions and decodes the body. The request has exactly one `Host` header, but HTTP/1.0
    /// may have none.
    ///
    /// # Errors
    /// The refusal; nothing of the body has been read.
    fn frame(
        &self,
        parts: &mut Parts,
        admission: Self::Admission,
        body: RequestBody,
    ) -> Result<s3s::Body, Refused>;

    /// Carries the operation out. Its failures are responses.
    ///
    /// # Errors
    /// When no response could be made at all.
    fn call(
        &self,
        request: Request<s3s::Body>,
    ) -> impl Future<Output = Result<Response<s3s::Body>, Refused>>;

    /// What a bucket's rules say to the script of another origin; adds the headers that tell it to an
    /// answer's.
    fn cross_origin(
        &self,
        bucket: &str,
        asked: &CrossOrigin,
        answer: &mut HeaderMap,
    ) -> OriginVerdict;

    /// Lets anybody read the objects of a bucket, or not.
    fn set_public_read(
        &self,
        bucket: &str,
        on: bool,
    ) -> impl Future<Output = Result<(), OrderError>>;

    /// Ready when this lane has no operation in flight in the kernel and will start none. Called
    /// once, after the last request has ended or was cut off.
    fn quiesce(&self) -> impl Future<Output = ()>;
}

/// What the doors of all lanes have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoorSettings {
    /// Virtual-host domains, lower case.
    pub domains: Vec<String>,
    /// `x-amz-id-2`.
    pub host_id: HeaderValue,
    /// Which responses carry a receipt.
    pub receipts: Receipts,
}

/// The door of one lane.
#[derive(Debug)]
pub struct Door<B> {
    context: Rc<LaneContext>,
    settings: Arc<DoorSettings>,
    ids: RequestIds,
    backend: B,
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const HOST_ID: HeaderName = HeaderName::from_static("x-amz-id-2");
const PRODUCT: HeaderValue = HeaderValue::from_static("Penstock");
const CLOSE: HeaderValue = HeaderValue::from_static("close");

impl<B: Backend> Door<B> {
    /// A door before that backend.
    ///
    /// # Errors
    /// When the system has no random numbers to give.
    pub fn new(
        context: Rc<LaneContext>,
        settings: Arc<DoorSettings>,
        backend: B,
    ) -> Result<Door<B>, String> {
        let ids = RequestIds::new().map_err(|error| format!("no random numbers: {error}"))?;
        Ok(Door { context, settings, ids, backend })
    }

    /// The lane's state.
    pub fn context(&self) -> &Rc<LaneContext> {
        &self.context
    }

    /// What is behind.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// Answers one request, always.
    pub async fn handle(
        self: Rc<Self>,
        request: Request<Incoming>,
        pulse: Rc<Pulse>,
    ) -> Response<Outgoing> {
        let id = self.ids.next();
        let (mut parts, body) = request.into_parts();
        let seen = Seen::of(&parts, &self.settings.domains);
        let bucket_in_host = seen.bucket_in_host.as_ref().ok().copied().flatten();
        let operation = operation::name(&parts, bucket_in_host.is_some());
        if let Some(concern) = Concern::of(operation, &parts.headers, pulse.peer()) {
            parts.extensions.insert(concern);
        }
        if let Some(secured) = pulse.secured() {
            parts.extensions.insert(secured.clone());
        }
        let telling = Telling::of(self.settings.receipts, &parts);
        let account = Rc::new(self.account(id, operation, &parts, bucket_in_host, &pulse));
        parts.extensions.insert(AccountSlot::new(account.clone()));
        let exchange = Exchange::begin(self.context.clone(), pulse.clone(), account.clone());
        // hyper sends `100 Continue` when the body is read, and an empty one never is. botocore, which
        // asks before every PUT, takes the next answer on such a connection for the missing 100 and
        // waits for ever; Amazon S3 sends it. So the connection ends with the answer.
        let unanswered = seen.expects && parts.version == Version::HTTP_11 && body.is_end_stream();
        let cross_origin = CrossOrigin::of(&parts.method, &parts.headers);
        let (body, leftover) = PacedBody::new(body, self.context.clone(), account.clone());
        let outcome = {
            let answer = pin!(self.answer(parts, body, &seen, &account, cross_origin.as_ref()));
            unwind::caught(answer).await
        };
        let head_only = seen.method == Method::HEAD;
        let refuse = |refused: &Refused| {
            refused.response(seen.uri.path(), &id, &self.settings.host_id, head_only)
        };
        let mut response = match outcome {
            Ok(Ok(response)) => {
                let host_id = &self.settings.host_id;
                refused::identify(response, seen.uri.path(), &id, host_id).map(Content::Streamed)
            }
            Ok(Err(refused)) => refuse(&refused),
            Err(panic) => {
                self.context.cells.refused(Refusal::Panic);
                tracing::error!(id = id.as_str(), panic, "a request's handler panicked");
                refuse(&Refused::internal())
            }
        };
        if let Some(asked) = &cross_origin {
            self.tell_origin(asked, &account, &seen.method, response.headers_mut());
        }
        if !self.settle(&leftover, &seen, &pulse).await {
            pulse.leaves_unread();
            response.headers_mut().insert(CONNECTION, CLOSE);
        } else if unanswered {
            response.headers_mut().insert(CONNECTION, CLOSE);
        }
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, id.header());
        headers.insert(HOST_ID, self.settings.host_id.clone());
        headers.insert(SERVER, PRODUCT);
        exchange.answer(&response);
        let trailer = telling
            .filter(|_| account.is_measured())
            .is_some_and(|it| receipt::write_head(it, &account, &mut response, head_only));
        response.map(|content| Outgoing::new(content, exchange, head_only, trailer))
    }

    fn account(
        &self,
        id: RequestId,
        operation: Operation,
        parts: &Parts,
        bucket_in_host: Option<usize>,
        pulse: &Pulse,
    ) -> Account {
        let watch = self.context.watch;
        let began = match watch {
            Watch::Not => self.context.clock.instant(),
            Watch::Ends | Watch::Stages => Instant::now(),
        };
        let mut asked = asked(id, operation, parts, bucket_in_host, pulse.peer());
        if watch > Watch::Not {
            asked.traceparent = parts.headers.get(TRACEPARENT).cloned();
        }
        if self.context.sinks.tell_headers() {
            tell_headers(&mut asked, parts);
        }
        let account = Account::watched(self.context.index, asked, watch, began);
        account.deliver_by(pulse.delivery());
        if let Some(took) = pulse.heads.take_served_after() {
            account.spent(Stage::Accept, took);
        }
        if let Some(head) = pulse.heads.take_beginning() {
            account.spent(Stage::Parse, began.saturating_duration_since(head));
        }
        account
    }

    async fn answer(
        &self,
        mut parts: Parts,
        body: RequestBody,
        seen: &Seen,
        account: &Account,
        cross_origin: Option<&CrossOrigin>,
    ) -> Result<Response<s3s::Body>, Refused> {
        if parts.method == Method::OPTIONS {
            let answer = self.preflight(&parts, account, cross_origin);
            return answer.map_err(|refused| self.counted(Refusal::Request, refused));
        }
        let admitted = self.admit(&mut parts, body, seen);
        if account.is_measured() {
            account.spent_since(Stage::Auth, account.began);
        }
        self.backend.call(Request::from_parts(parts, admitted?)).await
    }

    /// Everything until the request is an operation: its body.
    fn admit(
        &self,
        parts: &mut Parts,
        body: RequestBody,
        seen: &Seen,
    ) -> Result<s3s::Body, Refused> {
        let counted = |reason| move |refused| self.counted(reason, refused);
        check(parts).map_err(counted(Refusal::Request))?;
        if let Err(refused) = &seen.bucket_in_host {
            return Err(self.counted(Refusal::Request, refused.clone()));
        }
        let admission =
            self.backend.admit(parts, SystemTime::now()).map_err(counted(Refusal::Verification))?;
        host::normalise(parts);
        self.backend.frame(parts, admission, body).map_err(counted(Refusal::Verification))
    }

    fn counted(&self, reason: Refusal, refused: Refused) -> Refused {
        self.context.cells.refused(reason);
        refused
    }

    /// Reads the small rest of a body that its operation did not want, so that the connection can
    /// be used again. Says whether it can.
    async fn settle(&self, leftover: &LeftoverSlot<Incoming>, seen: &Seen, pulse: &Pulse) -> bool {
        let (rest, asked) = {
            let mut leftover = leftover.borrow_mut();
            (leftover.body.take(), leftover.asked)
        };
        let Some(mut rest) = rest.filter(|rest| !rest.is_end_stream()) else {
            return true;
        };
        if pulse.is_http2() {
            // The stream alone is reset.
            return true;
        }
        // Asking for a body that waits for `100 Continue` would invite it.
        let invited = asked || !seen.expects;
        let small =
            rest.size_hint().upper().is_some_and(|most| most <= limits::REFUSED_BODY_DRAIN_BYTES);
        if !invited || !small {
            return false;
        }
        let drained = poll_fn(|cx| {
            loop {
                match std::task::ready!(Pin::new(&mut rest).poll_frame(cx)) {
                    Some(Ok(_)) => {}
                    Some(Err(_)) => return std::task::Poll::Ready(false),
                    None => return std::task::Poll::Ready(true),
                }
            }
        });
        tokio::time::timeout(limits::REFUSED_BODY_DRAIN_TIME, drained).await.unwrap_or(false)
    }
}

/// What is needed of a request after it has been given away. Clones count references.
struct Seen {
    method: Method,
    uri: http::Uri,
    /// The bucket that the host begins with, by its length.
    bucket_in_host: Result<Option<usize>, Refused>,
    /// Whether the client waits for `100 Continue`.
    expects: bool,
}

impl Seen {
    fn of(parts: &Parts, domains: &[String]) -> Seen {
        let host = host::host(parts);
        let named = |host: Option<&str>| host::bucket(host?, domains).map(str::len);
        Seen {
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            bucket_in_host: host.map(named),
            expects: parts.headers.contains_key(EXPECT),
        }
    }
}

/// What the account keeps of every request. Clones count references.
fn asked(
    id: RequestId,
    operation: Operation,
    parts: &Parts,
    bucket_in_host: Option<usize>,
    peer: Option<IpAddr>,
) -> Asked {
    Asked {
        id,
        operation,
        method: parts.method.clone(),
        uri: parts.uri.clone(),
        version: parts.version,
        host: bucket_in_host.and_then(|_| parts.headers.get(HOST).cloned()),
        bucket_in_host,
        user_agent: None,
        referer: None,
        traceparent: None,
        tracestate: None,
        peer,
    }
}

/// What the client says of itself, where somebody tells it on.
fn tell_headers(asked: &mut Asked, parts: &Parts) {
    let header = |name: &HeaderName| parts.headers.get(name).cloned();
    asked.host = header(&HOST);
    asked.user_agent = header(&USER_AGENT);
    asked.referer = header(&REFERER);
    asked.tracestate = asked.traceparent.is_some().then(|| header(&TRACESTATE)).flatten();
}

/// The checks that need nothing but the request.
fn check(parts: &Parts) -> Result<(), Refused> {
    const METHODS: [Method; 5] =
        [Method::GET, Method::HEAD, Method::PUT, Method::POST, Method::DELETE];
    if !METHODS.contains(&parts.method) {
        return Err(Refused::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            "The specified method is not allowed against this resource.",
        ));
    }
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    if target.len() > limits::TARGET_BYTES_MAX {
        return Err(Refused::new(
            StatusCode::URI_TOO_LONG,
            "URITooLong",
            "The request's target is longer than this server reads.",
        ));
    }
    if !target.starts_with('/') {
        return Err(Refused::new(
            StatusCode::BAD_REQUEST,
            "InvalidURI",
            "Couldn't parse the specified URI.",
        ));
    }
    let expect = parts.headers.get(EXPECT);
    if expect.is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        return Err(Refused::new(
            StatusCode::EXPECTATION_FAILED,
            "InvalidArgument",
            "The only expectation that is met is 100-continue.",
        ));
    }
    if parts.version == Version::HTTP_09 {
        return Err(Refused::new(
            StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            "InvalidRequest",
            "HTTP/1.0, HTTP/1.1 and HTTP/2 are spoken here.",
        ));
    }
    Ok(())
}
