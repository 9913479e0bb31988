//! Timing the stages of an operation, one after another.
//!
//! Owns: the one look at the clock between two stages, and what an operation tells the account of
//! its request. For a request that has no account, or is not measured, all of it does nothing.

use std::rc::Rc;
use std::time::{Duration, Instant};

use datapath::meter::{Meter, Origin, Wait};
use http::Extensions;

use super::{Account, AccountSlot};
use crate::metrics::Stage;

/// See the module.
#[derive(Debug)]
pub struct Laps(Option<Running>);

#[derive(Debug)]
struct Running {
    account: Rc<Account>,
    since: Instant,
    /// What had been waited for the store by then.
    waited: Duration,
}

impl Laps {
    /// The first stage of the request with these extensions begins now.
    pub fn begin(extensions: &Extensions) -> Laps {
        let account = extensions.get::<AccountSlot>().map(AccountSlot::account);
        let measured = account.filter(|account| account.is_measured());
        Laps(measured.map(|account| Running {
            since: Instant::now(),
            waited: account.waited_for_store(),
            account: account.clone(),
        }))
    }

    /// A stage ends now, and the next begins. What was waited for the store meanwhile has stages of
    /// its own.
    pub fn lap(&mut self, stage: Stage) {
        if let Some(running) = &mut self.0 {
            let took = running.turn();
            running.account.spent(stage, took);
        }
    }

    /// The same, of what has just come out.
    pub fn ends<T>(&mut self, stage: Stage, outcome: T) -> T {
        self.lap(stage);
        outcome
    }

    /// What has passed belongs to no stage, or to others that were told of it; the next begins now.
    pub fn skip(&mut self) {
        if let Some(running) = &mut self.0 {
            running.turn();
        }
    }

    /// Who is told what reading for the response, or writing what was received, costs.
    pub fn meter(&self) -> Option<Rc<dyn Meter>> {
        self.0.as_ref().map(|running| running.account.clone() as Rc<dyn Meter>)
    }

    /// Who is told what reading costs that is not for the response.
    pub fn waits(&self) -> Option<Rc<dyn Meter>> {
        self.0.as_ref().map(|running| Rc::new(Waits(running.account.clone())) as Rc<dyn Meter>)
    }

    /// The account.
    pub fn account(&self) -> Option<&Account> {
        self.0.as_ref().map(|running| &*running.account)
    }

    /// The account, for those who count when the operation has answered.
    pub fn counted(&self) -> Option<Rc<Account>> {
        self.0.as_ref().map(|running| running.account.clone())
    }

    /// The request is about an object of that size.
    pub fn object(&self, bytes: u64) {
        if let Some(account) = self.account() {
            account.object_bytes.set(Some(bytes));
        }
    }
}

impl Running {
    /// How long it was since the last turn, less the waiting for the store.
    fn turn(&mut self) -> Duration {
        let (now, waited) = (Instant::now(), self.account.waited_for_store());
        let took = (now - self.since).saturating_sub(waited - self.waited);
        (self.since, self.waited) = (now, waited);
        took
    }
}

/// Tells of all but bytes that are given: they leave in no response.
#[derive(Debug)]
struct Waits(Rc<Account>);

impl Meter for Waits {
    fn waited(&self, wait: Wait, took: Duration) {
        Meter::waited(&*self.0, wait, took);
    }

    fn gave(&self, _: Origin, _: u64) {}

    fn copied(&self, bytes: u64) {
        Meter::copied(&*self.0, bytes);
    }
}
