//! One request from its head to the end of its response: what is counted, and who is told, however
//! it ends.
//!
//! Not here: what is gathered on the way (`record`), the body itself (`outgoing.rs`).

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use http::Response;

use super::refused::ErrorCode;
use crate::lane::LaneContext;
use crate::lane::pulse::Pulse;
use crate::metrics::{Copying, Delivery, Stage, StatusClass};
use crate::record::{Account, Record, Watch, redacted};

/// One request from its head to the end of its response. Counts itself, and tells of itself, when
/// dropped.
#[derive(Debug)]
pub struct Exchange {
    pub(super) context: Rc<LaneContext>,
    pub(super) pulse: Rc<Pulse>,
    pub(super) account: Rc<Account>,
    /// What had been waited for the store when it was answered; none once sending has ended.
    sending: Cell<Option<Duration>>,
}

impl Exchange {
    /// A request's head is complete.
    pub fn begin(context: Rc<LaneContext>, pulse: Rc<Pulse>, account: Rc<Account>) -> Exchange {
        pulse.request_started(context.clock.now());
        context.cells.request_started(account.asked.operation);
        Exchange { context, pulse, account, sending: Cell::new(None) }
    }

    /// The answer's head is known, and with it the error's code if it is one.
    pub fn answer<B>(&self, response: &Response<B>) {
        let (status, account) = (response.status(), &self.account);
        let code = response.extensions().get::<ErrorCode>().map(|code| &*code.0);
        account.answer(status);
        let is_error = status.as_u16() >= 400;
        if let Some(code) = code.filter(|_| is_error && account.watch() > Watch::Not) {
            // There is one answer to a request.
            let _ = account.code.set(code.into());
        }
        if !account.is_measured() {
            return;
        }
        self.sending.set(Some(account.waited_for_store()));
        if is_error {
            self.context.cells.error_answered(code.unwrap_or_default());
        } else if let Some(took) = account.answered() {
            self.context.cells.answered_after(account.asked.operation, took);
        }
    }

    /// Bytes of the response's body leave.
    pub fn leave(&self, bytes: u64) {
        let Exchange { account, context, .. } = self;
        account.send(bytes);
        if !account.is_measured() || bytes == 0 {
            return;
        }
        let parts = account.next_sources(bytes);
        account.left(&parts);
        account.copy(Copying::SocketSend, bytes);
        let (cells, delivery) = (&context.cells, self.pulse.delivery());
        let responses = &cells.responses[delivery as usize];
        for (cell, bytes) in responses.iter().zip(parts).filter(|(_, bytes)| *bytes > 0) {
            cell.add(bytes);
        }
        cells.copied[Copying::SocketSend as usize].add(bytes);
        if delivery == Delivery::Tls {
            account.copy(Copying::Tls, bytes);
            cells.copied[Copying::Tls as usize].add(bytes);
        }
        cells.sent[account.asked.operation as usize].add(bytes);
    }

    /// The response's body has ended, so long after the request began.
    pub fn end_sending(&self, took: Duration) {
        let account = &self.account;
        if let (Some(before), Some(answered)) = (self.sending.take(), account.answered())
            && account.sent() > 0
        {
            let waited = account.waited_for_store().saturating_sub(before);
            account.spent(Stage::Send, took.saturating_sub(answered + waited));
        }
    }

    /// Counts the request, which has ended.
    fn count(&self, class: StatusClass, took: Duration) {
        let (account, cells) = (&self.account, &self.context.cells);
        let operation = account.asked.operation;
        if !account.is_measured() {
            cells.request_left(operation, class);
            return;
        }
        cells.request_ended(operation, class, took);
        for stage in Stage::ALL {
            if let Some(took) = account.stage(*stage) {
                cells.stage_took(*stage, operation.group(), took);
            }
        }
        if account.copied(Copying::Frame) > 0 {
            cells.copied[Copying::Frame as usize].add(account.copied(Copying::Frame));
        }
        if account.is_broken_off() {
            cells.aborted.add(1);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let account = &self.account;
        let took = match account.watch() {
            Watch::Not => Duration::ZERO,
            Watch::Ends | Watch::Stages => account.began.elapsed(),
        };
        self.end_sending(took);
        // Without a status the client went before there was one; 4xx is the nearest class.
        let class = account.status().map_or(StatusClass::ClientError, StatusClass::of);
        self.count(class, took);
        self.pulse.request_ended(self.context.clock.now());
        if !self.context.sinks.is_empty() {
            self.context.sinks.ended(&Record { account, ended: SystemTime::now(), took });
        }
        tracing::debug!(
            id = account.asked.id.as_str(),
            method = %account.asked.method,
            // The query may carry a signature, which is a credential for its lifetime.
            path = redacted::path(account.asked.uri.path()),
            operation = account.asked.operation.label(),
            status = account.status().map_or(0, |status| status.as_u16()),
            sent = account.sent(),
            microseconds = took.as_micros() as u64,
            broken_off = account.is_broken_off(),
            "request"
        );
    }
}
