//! Owns the HTTP side of transfers by RDMA: the client library's requests over the HTTP/1.1 client of this program,
//! signed by header.
//!
//! A worker's requests share one connection. A READY of hipobj-rc-v2 asks for a fresh one, which is closed after its
//! answer; so is every connection whose exchange failed or was dropped midway.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use rdma::client::{AnswerBody, AnswerHead, Control, ControlError, ControlRequest};

use crate::client::{Http1Client, Shared, Sink, Upload, WholeAnswer};
use crate::endpoint::Endpoint;
use crate::failure::Failure;

/// A worker's HTTP connection as the client library sees it.
pub(crate) struct HttpControl {
    endpoint: Arc<Endpoint>,
    shared: Rc<Shared>,
    /// Taken out while an exchange is in flight: one that is dropped takes its connection with it.
    idle: RefCell<Option<Http1Client>>,
}

impl HttpControl {
    /// Connects when there is something to ask.
    pub(crate) fn new(endpoint: Arc<Endpoint>, shared: Rc<Shared>) -> HttpControl {
        HttpControl { endpoint, shared, idle: RefCell::default() }
    }

    fn client(&self) -> Http1Client {
        Http1Client::new(self.endpoint.clone(), self.shared.clone())
    }

    /// Connects if there is no connection.
    pub(crate) async fn open(&self) -> Result<(), Failure> {
        let idle = self.idle.borrow_mut().take();
        let mut client = idle.unwrap_or_else(|| self.client());
        client.open().await?;
        *self.idle.borrow_mut() = Some(client);
        Ok(())
    }
}

impl Control for HttpControl {
    async fn exchange(
        &self,
        request: ControlRequest,
        body: &mut dyn AnswerBody,
    ) -> Result<AnswerHead, ControlError> {
        let ControlRequest { method, target, headers, body: upload, fresh_connection } = request;
        let head = self.endpoint.control_request(method.as_str(), &target, headers);
        let idle = if fresh_connection { None } else { self.idle.borrow_mut().take() };
        let mut client = idle.unwrap_or_else(|| self.client());
        let mut answer = Answer { head: AnswerHead::default(), body, refused: false };
        let sink = Sink::Whole(&mut answer);
        let result = client.exchange(&head, Upload::bytes(upload), sink).await;
        let Answer { head, refused, .. } = answer;
        match result {
            Ok(_) => {
                if !fresh_connection {
                    *self.idle.borrow_mut() = Some(client);
                }
                Ok(head)
            }
            Err(_) if refused => Err(ControlError::BodyRefused),
            Err(Failure::Connect { reason, .. }) => Err(ControlError::NotSent(reason)),
            Err(Failure::Disconnected(why)) => Err(ControlError::Lost(why)),
            Err(failure) => Err(ControlError::Lost(failure.to_string())),
        }
    }
}

/// An answer on its way to the client library.
struct Answer<'a> {
    head: AnswerHead,
    body: &'a mut dyn AnswerBody,
    refused: bool,
}

impl WholeAnswer for Answer<'_> {
    fn begin(&mut self, status: u16, headers: Vec<(String, String)>) {
        self.head = AnswerHead { status, headers };
    }

    fn accept(&mut self, piece: &[u8]) -> Result<(), Failure> {
        self.body.accept(&self.head, piece).map_err(|_| {
            self.refused = true;
            Failure::Malformed("a body that is not wanted".to_owned())
        })
    }
}
