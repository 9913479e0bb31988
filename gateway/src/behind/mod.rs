//! What is behind the door: verification, decoding, S3's operations and the store, put together.
//!
//! Owns: the one place where these parts meet on a lane and in the process.
//! Not here: what any of them does; the commands that need the store (`commands.rs`).

pub mod capabilities;
pub mod commands;
pub mod drives;
pub mod figures;
#[cfg(test)]
pub(crate) mod testing;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::Bytes;
use datapath::{EngineKind, LaneStore, StoreError, StoreHandle};
use http::request::Parts;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use send_wrapper::SendWrapper;

use crate::auth::{AuthError, Identity, Mechanism, Verified, Verifier};
use crate::body::{self, BodyError, BodyPlan, Decoded};
use crate::door::{Backend, Refused, RequestBody};
use crate::iam::query::{self, Query};
use crate::iam::{Caller, Iam, LaneKeys};
use crate::lane::{Application, Engine, OrderError};
use crate::metrics::Operation;
use crate::rdma::control::{self, Admitted};
use crate::rdma::lane::LaneRdma;
use crate::rdma::object;
use crate::rdma::process::Rdma;
use crate::rdma::{Concern, Route};
use crate::record::{AccountSlot, Watch};
use crate::s3::{self, CrossOrigin, OriginVerdict, S3Settings};
use crate::tls::Secured;

/// The process's part.
pub struct Gateway {
    /// The open store.
    pub store: StoreHandle,
    /// Who may sign.
    pub keys: Arc<Iam>,
    /// What operations are told.
    pub settings: Arc<S3Settings>,
    /// RDMA, or why there is none.
    pub rdma: Arc<Rdma>,
}

impl Application for Gateway {
    type Backend = LaneBackend;

    fn open(&self, engine: Engine, index: usize) -> Result<LaneBackend, String> {
        let kind = match engine {
            Engine::IoUring => EngineKind::IoUring,
            Engine::Blocking => EngineKind::Blocking,
        };
        let store = self.store.lane(kind, index);
        let service = s3::service(store.clone(), self.settings.clone());
        Ok(LaneBackend {
            verifier: Verifier::new(Arc::new(LaneKeys::new(self.keys.clone())), &["s3"]),
            query: Query::new(self.keys.clone()),
            keys: self.keys.clone(),
            rdma: LaneRdma::open(self.rdma.clone(), index, service.clone())?,
            service,
            store,
        })
    }
}

/// A lane's part.
pub struct LaneBackend {
    verifier: Verifier,
    query: Query,
    keys: Arc<Iam>,
    service: s3::Service,
    rdma: LaneRdma,
    store: LaneStore,
}

/// A request that has been let in.
pub enum Admission {
    /// One of S3's, with the token that counts, if it has one.
    S3(Box<(Verified, BodyPlan)>, Option<Box<object::Asked>>),
    /// One of RDMA's control path.
    Control(Admitted),
    /// One of IAM or STS, with the plan of its body. It is verified with the body.
    Query(Box<BodyPlan>),
}

/// How a request is to be called, in its extensions: nothing for most.
#[derive(Clone)]
enum Calling {
    Object(Box<object::Asked>),
    Control(Admitted),
    /// One of IAM or STS.
    Query,
    /// HEAD of a bucket, whose answer says what RDMA can do.
    Capabilities,
}

impl Backend for LaneBackend {
    type Admission = Admission;

    fn admit(&self, parts: &Parts, now: SystemTime) -> Result<Admission, Refused> {
        let concern = parts.extensions.get::<Concern>().copied();
        if let Some(concern) = concern
            && let Some(route) = Route::of_operation(concern.operation)
        {
            let admitted = control::admit(&self.rdma, route, concern, parts, now)?;
            if let Admitted::Caller(caller) = &admitted {
                note_user(parts, &Identity::from(&caller.signer));
            }
            return Ok(Admission::Control(admitted));
        }
        if query::concerns(parts) {
            let plan = body::plan(parts, &Verified::unsigned()).map_err(refused_by_body)?;
            return Ok(Admission::Query(Box::new(plan)));
        }
        let mut verified = self.verifier.verify(parts, now)?;
        if let Some(caller) = self.certified(parts, &verified.caller) {
            verified.identity = Identity::from(&caller);
            verified.caller = caller;
        }
        note_user(parts, &verified.identity);
        if verified.mechanism == Mechanism::Query {
            object::refuse_in_query(parts)?;
        }
        let asked = match concern {
            Some(concern) => object::admit(self.rdma.shared(), concern, parts, &verified)?,
            None => None,
        };
        let plan = body::plan(parts, &verified).map_err(refused_by_body)?;
        Ok(Admission::S3(Box::new((verified, plan)), asked.map(Box::new)))
    }

    fn frame(
        &self,
        parts: &mut Parts,
        admission: Admission,
        body: RequestBody,
    ) -> Result<s3s::Body, Refused> {
        let concern = parts.extensions.remove::<Concern>();
        let (admitted, asked) = match admission {
            Admission::Control(admitted) => {
                let empty = body.is_end_stream();
                parts.extensions.insert(Calling::Control(admitted));
                return empty.then(s3s::Body::empty).ok_or_else(control::with_body);
            }
            Admission::Query(plan) => {
                parts.extensions.insert(Calling::Query);
                let decoded = Decoded::new(body, &plan);
                return Ok(s3s::Body::http_body(LaneBody(SendWrapper::new(decoded))));
            }
            Admission::S3(admitted, asked) => (admitted, asked),
        };
        let (verified, plan) = *admitted;
        if verified.mechanism == Mechanism::Query {
            parts.extensions.insert(s3::Presigned::of(&parts.uri));
        }
        body::strip(parts, &plan);
        parts.extensions.insert(verified.identity);
        parts.extensions.insert(verified.caller);
        if let Some(asked) = asked {
            // HTTP/2 brings a body without having announced one.
            if !body.is_end_stream() {
                return Err(object::with_body());
            }
            parts.extensions.insert(Calling::Object(asked));
        } else if concern.is_some_and(|concern| concern.operation == Operation::HeadBucket) {
            parts.extensions.insert(Calling::Capabilities);
        }
        // Most requests have no body and nothing that is promised of one; what was signed for it
        // is checked with the plan.
        let absent = body.is_end_stream() && !plan.is_chunked();
        let content = match absent {
            true => {
                plan.check_absent().map_err(refused_by_body)?;
                s3s::Body::empty()
            }
            false => s3s::Body::http_body(LaneBody(SendWrapper::new(Decoded::new(body, &plan)))),
        };
        parts.extensions.insert(plan.promised);
        parts.extensions.insert(plan.trailer);
        Ok(content)
    }

    async fn call(&self, mut request: Request<s3s::Body>) -> Result<Response<s3s::Body>, Refused> {
        match request.extensions_mut().remove::<Calling>() {
            None => self.plain(request).await,
            // Boxed: their futures are larger than that of every other request.
            Some(Calling::Object(asked)) => {
                Box::pin(object::call(&self.rdma, *asked, request)).await
            }
            Some(Calling::Control(admitted)) => {
                let (parts, _) = request.into_parts();
                Box::pin(control::answer(&self.rdma, admitted, parts)).await
            }
            Some(Calling::Query) => {
                let (parts, body) = request.into_parts();
                Ok(Box::pin(self.query.answer(parts, body)).await)
            }
            Some(Calling::Capabilities) => {
                let mut answer = self.plain(request).await?;
                self.rdma.say_capabilities(&mut answer);
                Ok(answer)
            }
        }
    }

    fn cross_origin(
        &self,
        bucket: &str,
        asked: &CrossOrigin,
        answer: &mut HeaderMap,
    ) -> OriginVerdict {
        self.service.cross_origin(bucket, asked, answer)
    }

    async fn set_public_read(&self, bucket: &str, on: bool) -> Result<(), OrderError> {
        s3::set_public_read(&self.store, bucket, on).await.map_err(|error| match error {
            StoreError::NoSuchBucket => OrderError::NoSuchBucket(bucket.to_owned()),
            other => OrderError::Failed(other.to_string()),
        })
    }

    async fn quiesce(&self) {
        self.rdma.close().await;
        self.store.quiesce().await;
    }
}

impl LaneBackend {
    /// Whom the certificate of the connection stands for, when nobody has signed: a signature counts
    /// more, since it is of this very request.
    fn certified(&self, parts: &Parts, caller: &Caller) -> Option<Caller> {
        if !matches!(caller, Caller::Anonymous) {
            return None;
        }
        let user = parts.extensions.get::<Secured>()?.user.as_deref()?;
        Caller::of_certificate(&self.keys, user)
    }

    async fn plain(&self, request: Request<s3s::Body>) -> Result<Response<s3s::Body>, Refused> {
        self.service.call(request).await.map_err(|error| {
            let error = s3s::StdError::from(error);
            tracing::error!(%error, "s3s could not write a response");
            Refused::internal()
        })
    }
}

/// Writes down who has signed, where somebody is told.
fn note_user(parts: &Parts, identity: &Identity) {
    let account = parts.extensions.get::<AccountSlot>().map(AccountSlot::account);
    if let (Some(account), Identity::Key(key)) = (account, identity)
        && account.watch() > Watch::Not
    {
        // A request is verified once.
        let _ = account.user.set(key.clone());
    }
}

/// A decoded body that never leaves its lane, as s3s wants it: able to be sent, which it never is.
struct LaneBody(SendWrapper<Decoded<RequestBody>>);

impl Body for LaneBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut *self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl From<AuthError> for Refused {
    fn from(error: AuthError) -> Refused {
        let further = error.details().into_iter().map(|(name, value)| (name.into(), value));
        Refused {
            code: error.code().into(),
            status: error.status(),
            message: error.message().into(),
            further: further.collect(),
            headers: None,
        }
    }
}

fn refused_by_body(error: BodyError) -> Refused {
    Refused::new(error.status(), error.code(), error.message())
}
