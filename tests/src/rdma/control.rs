//! Owns: the HTTP client that the product's RDMA client half is given in these tests.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use rdma::client::{AnswerBody, AnswerHead, Control, ControlError, ControlRequest};

use super::exchange::{Asker, Pending};
use super::transcript::Transcript;
use crate::http::Connection;
use crate::sign::{Request, Signer};

/// How long a connection without requests is used again: servers close them after 120 s, and to checksum a gibibyte in
/// an emulated guest takes longer.
const KEPT_TIME: Duration = Duration::from_secs(30);

/// Signed HTTP/1.1. Connections are kept and used again, one request on each at a time.
#[derive(Debug)]
pub struct HttpControl {
    asker: Asker,
    /// With the time since when nothing was on them.
    kept: RefCell<Vec<(Instant, Connection)>>,
    transcript: Option<Transcript>,
}

impl HttpControl {
    /// For this server and principal.
    pub fn new(asker: Asker) -> Self {
        Self { asker, kept: RefCell::default(), transcript: None }
    }

    /// The same, and all exchanges are written down.
    #[must_use]
    pub fn recorded(mut self, transcript: &Transcript) -> Self {
        self.transcript = Some(transcript.clone());
        self
    }

    fn signed(&self, asked: &ControlRequest) -> Request {
        let mut request = self.asker.request(asked.method.as_str(), &asked.target);
        for (name, value) in &asked.headers {
            request = request.header(name, value);
        }
        request.body = asked.body.to_vec();
        let payload = asked.headers.iter().find(|(name, _)| *name == "x-amz-content-sha256");
        let signer = Signer::new(&self.asker.credentials);
        match payload.map(|(_, value)| value.clone()) {
            Some(payload) => signer.sign_as(&mut request, &payload),
            None => signer.sign(&mut request),
        };
        request
    }
}

impl Control for HttpControl {
    async fn exchange(
        &self,
        asked: ControlRequest,
        body: &mut dyn AnswerBody,
    ) -> Result<AnswerHead, ControlError> {
        let request = self.signed(&asked);
        self.kept.borrow_mut().retain(|(since, _)| since.elapsed() < KEPT_TIME);
        let kept = if asked.fresh_connection { None } else { self.kept.borrow_mut().pop() };
        let connection = match kept {
            Some((_, connection)) => connection,
            None => Connection::open(self.asker.address)
                .map_err(|error| ControlError::NotSent(error.to_string()))?,
        };
        let mut pending = Pending::new(connection, &request)
            .map_err(|error| ControlError::NotSent(error.to_string()))?;
        let answer = pending.finish().await;
        if let Some(transcript) = &self.transcript {
            transcript.add(&request, answer.as_ref().ok().map(|(answer, _)| answer));
        }
        let (answer, connection) = answer.map_err(|error| ControlError::Lost(error.to_string()))?;
        if answer.keep_alive && !asked.fresh_connection {
            self.kept.borrow_mut().push((Instant::now(), connection));
        }
        let head = AnswerHead { status: answer.status, headers: answer.headers };
        if !answer.body.is_empty() && body.accept(&head, &answer.body).is_err() {
            return Err(ControlError::BodyRefused);
        }
        Ok(head)
    }
}
