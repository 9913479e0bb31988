//! The last errors that were answered.
//!
//! Owns: the last of the client's errors (4xx) and of the server's (5xx), apart. A lane keeps what it
//! answers in a second in a list of its own, up to a bound, so that clients who get nothing but
//! errors cost no more than others.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::remembered::remembered;
use super::{Record, Sink};
use crate::admin::state::RequestState;
use crate::limits;
use crate::trace::context::Sampling;

/// See the module.
#[derive(Debug)]
pub struct Errors {
    lanes: Box<[Mutex<Blame<Vec<RequestState>>>]>,
    /// Oldest first.
    last: Mutex<Blame<VecDeque<RequestState>>>,
    traces: Option<Sampling>,
}

/// Errors by whose they are.
#[derive(Debug, Default)]
struct Blame<L> {
    client: L,
    server: L,
}

impl Errors {
    /// For so many lanes; `traces` says which requests are traced.
    pub fn new(lanes: usize, traces: Option<Sampling>) -> Errors {
        let lanes = (0..lanes).map(|_| Mutex::default()).collect();
        Errors { lanes, last: Mutex::default(), traces }
    }

    /// Collects what lanes have kept. Called once a second: a lane keeps nothing more until then
    /// once it has kept [`limits::ERRORS_KEPT_MAX`].
    pub fn collect(&self) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        for lane in &self.lanes {
            let kept = std::mem::take(&mut *lane.lock().unwrap_or_else(PoisonError::into_inner));
            last.client.extend(kept.client);
            last.server.extend(kept.server);
        }
        let Blame { client, server } = &mut *last;
        for list in [client, server] {
            // Lanes' lists are each in order of time, all together are not.
            list.make_contiguous().sort_by(|a, b| a.time.total_cmp(&b.time));
            let excess = list.len().saturating_sub(limits::ERRORS_KEPT_MAX);
            list.drain(..excess);
        }
    }

    /// The last errors, newest first: up to half of them the server's, however many the client's
    /// are, and the other way round.
    pub fn last(&self) -> Vec<RequestState> {
        self.collect();
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let half = limits::ERRORS_KEPT_MAX / 2;
        let servers = last.server.len();
        let clients = last.client.len().min(limits::ERRORS_KEPT_MAX - servers.min(half));
        let servers = servers.min(limits::ERRORS_KEPT_MAX - clients);
        let newest = |list: &VecDeque<RequestState>, count| {
            list.iter().rev().take(count).cloned().collect::<Vec<_>>()
        };
        let mut all = newest(&last.client, clients);
        all.extend(newest(&last.server, servers));
        all.sort_by(|a, b| b.time.total_cmp(&a.time));
        all
    }
}

impl Sink for Errors {
    fn ended(&self, record: &Record<'_>) {
        let Some(status) = record.account.status().filter(|status| status.as_u16() >= 400) else {
            return;
        };
        let Some(lane) = self.lanes.get(record.account.lane) else { return };
        let mut kept = lane.lock().unwrap_or_else(PoisonError::into_inner);
        let list = match status.is_server_error() {
            true => &mut kept.server,
            false => &mut kept.client,
        };
        if list.len() < limits::ERRORS_KEPT_MAX {
            list.push(remembered(record, self.traces.as_ref()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::sample::{account, ended};

    fn statuses(errors: &Errors) -> Vec<u16> {
        errors.last().iter().map(|error| error.status).collect()
    }

    #[test]
    fn the_last_errors_of_all_lanes_come_newest_first() {
        let errors = Errors::new(2, None);
        for (lane, status) in [(0, 404), (1, 200), (1, 503), (0, 304), (0, 403)] {
            ended(&errors, &account(lane, "/b/k"), status, 10);
        }
        assert_eq!(statuses(&errors), [403, 503, 404]);
    }

    #[test]
    fn many_of_one_kind_do_not_wash_out_the_other() {
        let errors = Errors::new(1, None);
        ended(&errors, &account(0, "/b/k"), 500, 10);
        for _ in 0..1000 {
            ended(&errors, &account(0, "/b/k"), 404, 10);
        }
        assert_eq!(errors.lanes[0].lock().unwrap().client.len(), limits::ERRORS_KEPT_MAX);
        let listed = statuses(&errors);
        assert_eq!(listed.len(), limits::ERRORS_KEPT_MAX);
        assert_eq!(listed.last(), Some(&500), "it is the oldest");
        for _ in 0..100 {
            ended(&errors, &account(0, "/b/k"), 500, 10);
        }
        let listed = statuses(&errors);
        assert_eq!(listed.len(), limits::ERRORS_KEPT_MAX);
        assert_eq!(listed.iter().filter(|status| **status == 500).count(), 32);
    }
}
