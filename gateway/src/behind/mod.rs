//! What is behind the door: verification, decoding, S3's operations and the store, put together.
//!
//! Owns: the one place where these parts meet on a lane and in the process.
//! Not here: what any of them does; the commands that need the store (`commands.rs`).

pub mod capabilities;
pub mod commands;
pub mod figures;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::Bytes;
use datapath::{EngineKind, LaneStore, StoreError, StoreHandle};
use http::request::Parts;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use send_wrapper::SendWrapper;

use crate::auth::{AuthError, Secret, Secrets, Verified, Verifier};
use crate::body::{self, BodyError, BodyPlan, Decoded};
use crate::credentials::KeyRing;
use crate::door::{Backend, Refused, RequestBody};
use crate::lane::{Application, Engine, OrderError};
use crate::s3::{self, S3Settings};

impl Secrets for KeyRing {
    fn secret(&self, access_key: &str) -> Option<Secret> {
        KeyRing::secret(self, access_key)
    }
}

/// The process's part.
pub struct Gateway {
    /// The open store.
    pub store: StoreHandle,
    /// Who may sign.
    pub keys: Arc<KeyRing>,
    /// What operations are told.
    pub settings: Arc<S3Settings>,
}

impl Application for Gateway {
    type Backend = LaneBackend;

    fn open(&self, engine: Engine, index: usize) -> Result<LaneBackend, String> {
        let kind = match engine {
            Engine::IoUring => EngineKind::IoUring,
            Engine::Blocking => EngineKind::Blocking,
        };
        let store = self.store.lane(kind, index);
        Ok(LaneBackend {
            verifier: Verifier::new(self.keys.clone(), &["s3"]),
            service: s3::service(store.clone(), self.settings.clone()),
            store,
        })
    }
}

/// A lane's part.
pub struct LaneBackend {
    verifier: Verifier,
    service: s3::Service,
    store: LaneStore,
}

impl Backend for LaneBackend {
    type Admission = (Verified, BodyPlan);

    fn admit(&self, parts: &Parts, now: SystemTime) -> Result<Self::Admission, Refused> {
        let verified = self.verifier.verify(parts, now).map_err(refused_by_auth)?;
        let plan = body::plan(parts, &verified).map_err(refused_by_body)?;
        Ok((verified, plan))
    }

    fn frame(
        &self,
        parts: &mut Parts,
        (verified, plan): Self::Admission,
        body: RequestBody,
    ) -> Result<s3s::Body, Refused> {
        body::strip(parts, &plan);
        parts.extensions.insert(verified.identity);
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

    async fn call(&self, request: Request<s3s::Body>) -> Result<Response<s3s::Body>, Refused> {
        self.service.call(request).await.map_err(|error| {
            let error = s3s::StdError::from(error);
            tracing::error!(%error, "s3s could not write a response");
            Refused::internal()
        })
    }

    async fn set_public_read(&self, bucket: &str, on: bool) -> Result<(), OrderError> {
        self.store.set_public_read(bucket, on).await.map_err(|error| match error {
            StoreError::NoSuchBucket => OrderError::NoSuchBucket(bucket.to_owned()),
            other => OrderError::Failed(other.to_string()),
        })
    }

    async fn quiesce(&self) {
        self.store.quiesce().await;
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

fn refused_by_auth(error: AuthError) -> Refused {
    Refused {
        code: error.code().into(),
        status: error.status(),
        message: error.message().into(),
        further: error.details().into_iter().map(|(name, value)| (name.into(), value)).collect(),
    }
}

fn refused_by_body(error: BodyError) -> Refused {
    Refused::new(error.status(), error.code(), error.message())
}
