//! The account of one request, from its head to the end of its response.
//!
//! Owns: what the parts of the way write down: who and what, stages' times, bytes by source, copies.
//! One per request, on its lane alone: writing is a store. Parts behind the door find it in the
//! request's extensions ([`AccountSlot`]); operations time themselves with [`super::Laps`].

use std::cell::{Cell, OnceCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datapath::meter::{Meter, Origin, Wait};
use http::StatusCode;
use send_wrapper::SendWrapper;

use super::Tally;
pub use super::asked::Asked;
use crate::metrics::{Copying, Delivery, Source, Stage};

/// How closely a request is watched. Serving needs none of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Watch {
    /// Not at all.
    Not,
    /// When it begins, is answered and ends: for those who are told of it.
    Ends,
    /// All of it: stages' times, bytes by source, copies.
    Stages,
}

/// See the module.
#[derive(Debug)]
pub struct Account {
    /// Which lane has it.
    pub lane: usize,
    /// What the request says of itself.
    pub asked: Asked,
    /// When its head was complete. Right to one sweep of the lane where nobody watches.
    pub began: Instant,
    /// The access key it was signed with, once verified; none for anonymous requests.
    pub user: OnceCell<Arc<str>>,
    /// S3's code of the error that was answered.
    pub code: OnceCell<Box<str>>,
    /// The size of the whole object, where there is one.
    pub object_bytes: Cell<Option<u64>>,
    status: Cell<Option<StatusCode>>,
    answered: Cell<Option<Duration>>,
    delivery: Cell<Delivery>,
    received: Cell<u64>,
    sent: Cell<u64>,
    moved: Cell<u64>,
    watch: Watch,
    stages: [Cell<Option<Duration>>; Stage::COUNT],
    /// Bytes that the store has given.
    given: [Cell<u64>; Source::COUNT],
    /// Where the last of them came from.
    given_last: Cell<Source>,
    /// Bytes that have left.
    sources: [Cell<u64>; Source::COUNT],
    copied: [Cell<u64>; Copying::COUNT],
    broken_off: Cell<bool>,
}

impl Account {
    /// A request whose head is complete now, closely watched.
    pub fn new(lane: usize, asked: Asked) -> Account {
        Account::watched(lane, asked, Watch::Stages, Instant::now())
    }

    /// A request whose head was complete at that moment.
    pub fn watched(lane: usize, asked: Asked, watch: Watch, began: Instant) -> Account {
        Account {
            lane,
            asked,
            began,
            user: OnceCell::new(),
            code: OnceCell::new(),
            object_bytes: Cell::new(None),
            status: Cell::new(None),
            answered: Cell::new(None),
            delivery: Cell::new(Delivery::Socket),
            received: Cell::new(0),
            sent: Cell::new(0),
            moved: Cell::new(0),
            watch,
            stages: Default::default(),
            given: Default::default(),
            given_last: Cell::new(Source::Document),
            sources: Default::default(),
            copied: Default::default(),
            broken_off: Cell::new(false),
        }
    }

    /// How closely it is watched.
    pub fn watch(&self) -> Watch {
        self.watch
    }

    /// Whether stages' times and bytes by source are written down.
    pub fn is_measured(&self) -> bool {
        self.watch == Watch::Stages
    }

    /// A stage took that long; several times add up.
    pub fn spent(&self, stage: Stage, took: Duration) {
        let cell = &self.stages[stage as usize];
        cell.set(Some(cell.get().unwrap_or_default() + took));
    }

    /// A stage began then and ends now. Gives the moment, with which the next stage can begin.
    pub fn spent_since(&self, stage: Stage, began: Instant) -> Instant {
        let now = Instant::now();
        self.spent(stage, now - began);
        now
    }

    /// How long a stage took; `None` when the request did not come to it.
    pub fn stage(&self, stage: Stage) -> Option<Duration> {
        self.stages[stage as usize].get()
    }

    /// What the request has waited for the store so far.
    pub fn waited_for_store(&self) -> Duration {
        let waits = [Stage::Queue, Stage::Device, Stage::Verify];
        waits.into_iter().filter_map(|stage| self.stage(stage)).sum()
    }

    /// The answer's head is known.
    pub fn answer(&self, status: StatusCode) {
        self.status.set(Some(status));
        if self.watch > Watch::Not {
            self.answered.set(Some(self.began.elapsed()));
        }
    }

    /// The status answered; `None` when the client went before there was one.
    pub fn status(&self) -> Option<StatusCode> {
        self.status.get()
    }

    /// From the complete head of the request to the head of its answer; `None` before that, and
    /// where nobody watches.
    pub fn answered(&self) -> Option<Duration> {
        self.answered.get()
    }

    /// Bytes of the request's body have come.
    pub fn receive(&self, bytes: u64) {
        self.received.set(self.received.get() + bytes);
    }

    /// Bytes of the request's body that came.
    pub fn received(&self) -> u64 {
        self.received.get()
    }

    /// Bytes of the response's body were handed to TCP.
    pub fn send(&self, bytes: u64) {
        self.sent.set(self.sent.get() + bytes);
    }

    /// Bytes of the response's body handed to TCP.
    pub fn sent(&self) -> u64 {
        self.sent.get()
    }

    /// The store gave bytes for the response, which leave in this order.
    pub fn gave(&self, source: Source, bytes: u64) {
        let cell = &self.given[source as usize];
        cell.set(cell.get() + bytes);
        self.given_last.set(source);
    }

    /// Where the next so many bytes that leave come from, by source; what the store has not given was
    /// written for the response. The sum is `bytes`.
    pub fn next_sources(&self, bytes: u64) -> [u64; Source::COUNT] {
        // Of documents more has left than the store gave, which is none.
        let waits = |row: usize| self.given[row].get().saturating_sub(self.sources[row].get());
        let mut parts: [u64; Source::COUNT] = std::array::from_fn(waits);
        let waiting: u64 = parts.iter().sum();
        // What the store gave last is what stays: at most a piece, cut for HTTP/2's flow control.
        let mut stays = waiting.saturating_sub(bytes);
        let last = self.given_last.get() as usize;
        for row in std::iter::once(last).chain((0..Source::COUNT).rev()) {
            let cut = parts[row].min(stays);
            parts[row] -= cut;
            stays -= cut;
        }
        parts[Source::Document as usize] = bytes.saturating_sub(waiting);
        parts
    }

    /// So many bytes leave, of these sources.
    pub fn left(&self, parts: &[u64; Source::COUNT]) {
        for (cell, bytes) in self.sources.iter().zip(parts) {
            cell.set(cell.get() + bytes);
        }
    }

    /// Bytes that the store has given.
    pub fn given(&self) -> u64 {
        self.given.iter().map(Cell::get).sum()
    }

    /// All that the store gave has left.
    pub fn all_left(&self) {
        for (cell, given) in self.sources.iter().zip(&self.given) {
            cell.set(given.get());
        }
    }

    /// Bytes of the response that have left and come from there.
    pub fn source(&self, source: Source) -> u64 {
        self.sources[source as usize].get()
    }

    /// A processor copied bytes there.
    pub fn copy(&self, path: Copying, bytes: u64) {
        let cell = &self.copied[path as usize];
        cell.set(cell.get() + bytes);
    }

    /// Bytes that a processor copied there.
    pub fn copied(&self, path: Copying) -> u64 {
        self.copied[path as usize].get()
    }

    /// The object's bytes leave in this way rather than in the response's body.
    pub fn deliver_by(&self, delivery: Delivery) {
        self.delivery.set(delivery);
    }

    /// How the object's bytes leave.
    pub fn delivery(&self) -> Delivery {
        self.delivery.get()
    }

    /// RDMA has moved bytes of the object, one way or the other.
    pub fn move_by_rdma(&self, bytes: u64) {
        self.moved.set(self.moved.get() + bytes);
    }

    /// Bytes of the object that RDMA has moved.
    pub fn moved(&self) -> u64 {
        self.moved.get()
    }

    /// What was measured, as it can go to another lane.
    pub fn tally(&self) -> Tally {
        Tally {
            stages: std::array::from_fn(|row| self.stages[row].get()),
            sources: std::array::from_fn(|row| self.sources[row].get()),
            copied: std::array::from_fn(|row| self.copied[row].get()),
            object_bytes: self.object_bytes.get(),
            moved: self.moved.get(),
        }
    }

    /// Adds what another lane has measured for the request.
    pub fn add(&self, tally: &Tally) {
        for (stage, took) in Stage::ALL.iter().zip(&tally.stages) {
            if let Some(took) = took {
                self.spent(*stage, *took);
            }
        }
        self.left(&tally.sources);
        for (given, bytes) in self.given.iter().zip(&tally.sources) {
            given.set(given.get() + bytes);
        }
        for (path, bytes) in Copying::ALL.iter().zip(&tally.copied) {
            self.copy(*path, *bytes);
        }
        if tally.object_bytes.is_some() {
            self.object_bytes.set(tally.object_bytes);
        }
        if tally.moved > 0 {
            self.move_by_rdma(tally.moved);
            self.deliver_by(Delivery::Rdma);
        }
    }

    /// The response ended before its end.
    pub fn break_off(&self) {
        self.broken_off.set(true);
    }

    /// Whether it did, or there never was one.
    pub fn is_broken_off(&self) -> bool {
        self.broken_off.get() || self.status.get().is_none()
    }

    /// The bucket as it was sent (a bucket's name needs no escapes); `None` where the request has
    /// none.
    pub fn bucket(&self) -> Option<&str> {
        match self.asked.bucket_in_host {
            Some(length) => self.asked.host()?.get(..length),
            None => self.path().0,
        }
    }

    /// The key, percent-encoded as it was sent; `None` where the request has none.
    pub fn key(&self) -> Option<&str> {
        match self.asked.bucket_in_host {
            Some(_) => self.asked.uri.path().strip_prefix('/').filter(|key| !key.is_empty()),
            None => self.path().1,
        }
    }

    fn path(&self) -> (Option<&str>, Option<&str>) {
        let path = self.asked.uri.path().strip_prefix('/').unwrap_or_default();
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        // What begins with a dot is no bucket but RDMA's control path.
        let bucket = Some(bucket).filter(|it| !it.is_empty() && !it.starts_with('.'));
        (bucket, bucket.and(Some(key).filter(|key| !key.is_empty())))
    }
}

impl Meter for Account {
    fn waited(&self, wait: Wait, took: Duration) {
        let stage = match wait {
            Wait::Queue => Stage::Queue,
            Wait::Device => Stage::Device,
            Wait::Verify => Stage::Verify,
        };
        self.spent(stage, took);
    }

    fn gave(&self, origin: Origin, bytes: u64) {
        let source = match origin {
            Origin::Cache => Source::Cache,
            Origin::Device => Source::Device,
            Origin::Joined => Source::Joined,
            Origin::Record => Source::Record,
        };
        Account::gave(self, source, bytes);
    }

    fn copied(&self, bytes: u64) {
        let path = match self.delivery() {
            Delivery::Socket | Delivery::Tls | Delivery::Ktls => Copying::Frame,
            Delivery::Rdma => Copying::Rdma,
        };
        self.copy(path, bytes);
    }
}

/// An account in a request's extensions, which have to be `Send`; it never leaves its lane.
#[derive(Debug, Clone)]
pub struct AccountSlot(SendWrapper<Rc<Account>>);

impl AccountSlot {
    /// A slot with that account.
    pub fn new(account: Rc<Account>) -> AccountSlot {
        AccountSlot(SendWrapper::new(account))
    }

    /// The account.
    pub fn account(&self) -> &Rc<Account> {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::sample;
    use http::HeaderValue;

    fn account(uri: &str, host: Option<(&'static str, usize)>) -> Account {
        let asked = Asked {
            host: host.map(|(name, _)| HeaderValue::from_static(name)),
            bucket_in_host: host.map(|(_, length)| length),
            ..sample::asked(uri)
        };
        Account::new(0, asked)
    }

    #[test]
    fn bucket_and_key_are_found_in_path_and_host() {
        let names = |uri, host| {
            let account = account(uri, host);
            (account.bucket().map(str::to_owned), account.key().map(str::to_owned))
        };
        let pair = |bucket: &str, key: &str| (Some(bucket.to_owned()), Some(key.to_owned()));
        assert_eq!(names("/photos/a/b%20c?x=1", None), pair("photos", "a/b%20c"));
        assert_eq!(names("/a/b", Some(("photos.s3.example.com:9000", 6))), pair("photos", "a/b"));
        assert_eq!(names("/photos", None), (Some("photos".into()), None));
        assert_eq!(names("/photos/", None), (Some("photos".into()), None));
        assert_eq!(names("/", None), (None, None));
        assert_eq!(names("/.hipobj-rc/prepare", None), (None, None));
    }

    #[test]
    fn stages_add_up_and_are_absent_when_not_reached() {
        let account = account("/", None);
        account.spent(Stage::Device, Duration::from_millis(2));
        account.spent(Stage::Device, Duration::from_millis(3));
        assert_eq!(account.stage(Stage::Device), Some(Duration::from_millis(5)));
        assert_eq!(account.stage(Stage::Auth), None);
    }

    #[test]
    fn bytes_leave_in_the_order_in_which_the_store_gave_them() {
        let account = account("/", None);
        account.gave(Source::Cache, 100);
        account.gave(Source::Device, 50);
        let parts = account.next_sources(120);
        assert_eq!((parts[Source::Cache as usize], parts[Source::Device as usize]), (100, 20));
        account.left(&parts);
        account.gave(Source::Joined, 7);
        let parts = account.next_sources(37);
        assert_eq!((parts[Source::Device as usize], parts[Source::Joined as usize]), (30, 7));
        account.left(&parts);
        let parts = account.next_sources(5);
        assert_eq!(parts[Source::Document as usize], 5, "what the store did not give");
        account.left(&parts);
        assert_eq!(account.next_sources(6)[Source::Document as usize], 6);
        assert_eq!(account.next_sources(6).iter().sum::<u64>(), 6);
    }

    #[test]
    fn what_another_lane_measured_adds_up() {
        let (here, there) = (account("/", None), account("/", None));
        here.spent(Stage::Index, Duration::from_millis(1));
        there.spent(Stage::Index, Duration::from_millis(2));
        there.gave(Source::Device, 9);
        there.deliver_by(Delivery::Rdma);
        there.move_by_rdma(9);
        Meter::copied(&there, 4);
        there.all_left();
        here.add(&there.tally());
        assert_eq!(here.stage(Stage::Index), Some(Duration::from_millis(3)));
        assert_eq!((here.delivery(), here.moved()), (Delivery::Rdma, 9));
        assert_eq!((here.source(Source::Device), here.copied(Copying::Rdma)), (9, 4));
        assert_eq!(here.next_sources(3)[Source::Document as usize], 3);
    }
}
