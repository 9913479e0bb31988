//! The lifecycle's thread: rounds over all buckets, page by page.
//!
//! It never holds more than a page of the index ([`limits::LIFECYCLE_PAGE`] entries) and a batch of deletions, looks and
//! deletes no faster than `lifecycle.keys_per_second` and `lifecycle.deletes_per_second` say, and runs below the lanes'
//! priority. Every deletion is conditional on the row that was looked at, so an object that was replaced meanwhile stays;
//! object lock is the store's, and what is locked is counted and stays.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use datapath::{
    Bucket, Deletion, EngineKind, LaneStore, ListUploads, ListVersions, StoreError, StoreHandle,
    UploadEntry, VersionEntry, VersionId,
};
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use super::pace::Pace;
use super::rules::Rules;
use super::sweep::{Action, Sweep, Task};
use crate::config::LifecyclePlan;
use crate::limits;
use crate::metrics::{Figure, Figures, table};
use crate::notify::Notifier;
use crate::notify::event::{Doer, Event, EventKind};
use crate::s3::background::{self, BackgroundError, Kept};

/// What the lifecycle has done, for metrics.
#[derive(Debug, Default)]
pub struct Worker {
    running: AtomicBool,
    looked_at: AtomicU64,
    actions: [AtomicU64; ACTIONS.len()],
    spared: [AtomicU64; SPARED.len()],
    round_ms: AtomicU64,
    buckets: AtomicU64,
}

/// Labels of what is done; an upload's is the last.
const ACTIONS: [&str; 4] = ["expire", "noncurrent", "marker", "abort"];

/// Why something that is due stays.
const SPARED: [&str; 3] = ["locked", "changed", "failed"];
const LOCKED: usize = 0;
const CHANGED: usize = 1;
const FAILED: usize = 2;

/// Ends the thread.
#[derive(Debug)]
pub struct Closing {
    stop: oneshot::Sender<()>,
    ended: Receiver<()>,
}

impl Closing {
    /// Ends the round, and waits for the deletions in flight a bounded time. Call before the store is closed.
    pub fn close(self) {
        // Nobody listens when the thread has ended.
        let _ = self.stop.send(());
        let ended = self.ended.recv_timeout(limits::LIFECYCLE_CLOSE_TIME);
        if ended == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the lifecycle did not end in time");
        }
    }
}

impl Worker {
    /// Starts the thread. `number` is that of its lane: one that no other has.
    ///
    /// # Errors
    /// One line for the operator.
    pub fn start(
        store: StoreHandle,
        number: usize,
        plan: &LifecyclePlan,
        notifier: Arc<Notifier>,
    ) -> Result<(Arc<Worker>, Closing), String> {
        let failed = |error: std::io::Error| format!("cannot start the lifecycle: {error}");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            // Reads pages of the index.
            .max_blocking_threads(1)
            .build()
            .map_err(failed)?;
        let worker = Arc::new(Worker::default());
        let (stop, stopped) = oneshot::channel();
        let (alive, ended) = sync_channel(0);
        let (shared, plan) = (worker.clone(), plan.clone());
        thread::Builder::new()
            .name("lifecycle".into())
            .spawn(move || {
                yield_to_lanes();
                let _alive: SyncSender<()> = alive;
                let local = LocalSet::new();
                local.block_on(&runtime, async move {
                    let lane = store.lane(EngineKind::Blocking, number);
                    let mut rounds = Rounds {
                        keys: Pace::new(plan.keys_per_second),
                        deletes: Pace::new(plan.deletes_per_second),
                        lane,
                        plan,
                        worker: shared,
                        notifier,
                        complained: None,
                    };
                    tokio::select! {
                        biased;
                        _ = stopped => {}
                        () = rounds.run() => {}
                    }
                });
            })
            .map_err(failed)?;
        Ok((worker, Closing { stop, ended }))
    }
}

/// As the administration does: lanes go first.
fn yield_to_lanes() {
    let this_thread = Some(rustix::thread::gettid());
    if let Err(error) = rustix::process::setpriority_process(this_thread, limits::ADMIN_NICENESS) {
        tracing::debug!(%error, "the lifecycle has the priority of lanes");
    }
}

impl Figures for Worker {
    fn figures(&self) -> Vec<Figure> {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        let task = ["lifecycle"];
        let pending = f64::from(u8::from(self.running.load(Ordering::Relaxed)));
        let mut figures = vec![
            Figure::labelled(&table::BACKGROUND_PENDING, task, pending),
            Figure::labelled(&table::BACKGROUND_ITEMS, task, count(&self.looked_at)),
            Figure::of(&table::LIFECYCLE_ROUND, count(&self.round_ms) / 1e3),
            Figure::of(&table::LIFECYCLE_BUCKETS, count(&self.buckets)),
        ];
        for (label, counter) in ACTIONS.into_iter().zip(&self.actions) {
            figures.push(Figure::labelled(&table::LIFECYCLE_ACTIONS, [label], count(counter)));
        }
        for (label, counter) in SPARED.into_iter().zip(&self.spared) {
            figures.push(Figure::labelled(&table::LIFECYCLE_SPARED, [label], count(counter)));
        }
        figures
    }
}

/// The thread's work.
struct Rounds {
    lane: LaneStore,
    plan: LifecyclePlan,
    worker: Arc<Worker>,
    notifier: Arc<Notifier>,
    keys: Pace,
    deletes: Pace,
    complained: Option<Instant>,
}

/// Why a bucket's turn ends early; the next round tries again.
enum Broken {
    Store(StoreError),
    Setting(BackgroundError),
    /// The bucket's settings are not what they were when its turn began; the next turn reads them.
    Changed,
}

impl From<StoreError> for Broken {
    fn from(error: StoreError) -> Broken {
        Broken::Store(error)
    }
}

impl From<BackgroundError> for Broken {
    fn from(error: BackgroundError) -> Broken {
        Broken::Setting(error)
    }
}

impl Rounds {
    async fn run(&mut self) {
        let period = self.plan.calendar.day() / limits::LIFECYCLE_ROUNDS_PER_DAY;
        let period = period.max(limits::LIFECYCLE_ROUND_MIN);
        tokio::time::sleep(period.min(limits::LIFECYCLE_FIRST_ROUND)).await;
        loop {
            let began = Instant::now();
            self.worker.running.store(true, Ordering::Relaxed);
            self.round().await;
            self.worker.running.store(false, Ordering::Relaxed);
            let took = began.elapsed();
            let round_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            self.worker.round_ms.store(round_ms, Ordering::Relaxed);
            // A round that takes longer than its time is followed by a pause all the same.
            let pause = period.saturating_sub(took).max(limits::LIFECYCLE_ROUND_MIN);
            tokio::time::sleep(pause).await;
        }
    }

    async fn round(&mut self) {
        let buckets = match self.lane.buckets() {
            Ok(buckets) => buckets,
            Err(error) => return self.complain(None, &Broken::Store(error)),
        };
        let mut with_rules = 0;
        for bucket in buckets {
            match self.bucket(&bucket).await {
                Ok(has_rules) => with_rules += u64::from(has_rules),
                Err(broken) => {
                    self.worker.spared[FAILED].fetch_add(1, Ordering::Relaxed);
                    self.complain(Some(&bucket.name), &broken);
                }
            }
        }
        self.worker.buckets.store(with_rules, Ordering::Relaxed);
    }

    /// One bucket's turn; says whether it has rules.
    async fn bucket(&mut self, bucket: &Bucket) -> Result<bool, Broken> {
        let Some(kept) = background::kept(&self.lane, bucket)? else {
            return Ok(false);
        };
        if kept.lifecycle.rules.is_idle() {
            return Ok(true);
        }
        if let Some(prefix) = kept.lifecycle.rules.versions_prefix() {
            let prefix = Bytes::copy_from_slice(prefix);
            self.versions(bucket, &kept, prefix).await?;
        }
        if let Some(prefix) = kept.lifecycle.rules.uploads_prefix() {
            let prefix = Bytes::copy_from_slice(prefix);
            self.uploads(bucket, &kept.lifecycle.rules, prefix).await?;
        }
        Ok(true)
    }

    async fn versions(
        &mut self,
        bucket: &Bucket,
        kept: &Kept,
        prefix: Bytes,
    ) -> Result<(), Broken> {
        let mut sweep = Sweep::new(&kept.lifecycle.rules, self.plan.calendar, now_ms());
        let (mut key_after, mut version_after) = (None, None);
        let mut due = Vec::new();
        loop {
            let list = ListVersions {
                bucket: bucket.id,
                prefix: prefix.clone(),
                delimiter: None,
                key_after: key_after.take(),
                version_after: version_after.take(),
                limit: limits::LIFECYCLE_PAGE,
            };
            let page = self.lane.list_versions(list).await?;
            let count = page.entries.len();
            self.look(count).await;
            if let Some((key, version)) = page.entries.last().and_then(place) {
                (key_after, version_after) = (Some(key), Some(version));
            }
            let lane = self.lane.clone();
            let has_tag = |key: &[u8], version: VersionId, name: &str, value: &str| {
                background::has_tag(&lane, bucket.id, key, version, name, value)
            };
            for entry in page.entries {
                sweep.visit(entry, background::size, &has_tag, &mut due);
                if due.len() >= limits::LIFECYCLE_BATCH {
                    self.delete(bucket, kept, std::mem::take(&mut due)).await?;
                }
            }
            if !page.truncated {
                sweep.end_key(&mut due);
                return self.delete(bucket, kept, due).await;
            }
        }
    }

    async fn delete(&mut self, bucket: &Bucket, kept: &Kept, due: Vec<Task>) -> Result<(), Broken> {
        if due.is_empty() {
            return Ok(());
        }
        self.deletes.charge(due.len()).await;
        self.check_unchanged(bucket)?;
        let (actions, deletes): (Vec<_>, Vec<_>) =
            due.into_iter().map(|task| (task.action, task.delete)).unzip();
        let keys: Vec<_> = deletes.iter().map(|delete| delete.key.clone()).collect();
        let outcomes = self.lane.delete_many(bucket.id, deletes).await?;
        for ((action, key), outcome) in actions.into_iter().zip(keys).zip(outcomes) {
            match outcome {
                Ok(deletion) => self.deleted(bucket, kept, action, &key, &deletion),
                Err(error) => self.spare(bucket, &error),
            }
        }
        Ok(())
    }

    /// Whether the rules still are what they were when this turn began, which may be hours ago: who
    /// takes a wrong rule back wants what is left to stay.
    fn check_unchanged(&self, bucket: &Bucket) -> Result<(), Broken> {
        match self.lane.bucket(&bucket.name)? {
            Some(now) if now.id == bucket.id && now.revision == bucket.revision => Ok(()),
            _ => Err(Broken::Changed),
        }
    }

    fn deleted(
        &self,
        bucket: &Bucket,
        kept: &Kept,
        action: Action,
        key: &[u8],
        deletion: &Deletion,
    ) {
        let (kind, row, version) = match deletion {
            Deletion::Nothing => {
                self.worker.spared[CHANGED].fetch_add(1, Ordering::Relaxed);
                return;
            }
            Deletion::Removed(object) => (EventKind::Expired, object.row, object.version),
            Deletion::MarkerMade(marker) => {
                (EventKind::ExpiredMarkerMade, marker.row, marker.version)
            }
            Deletion::MarkerRemoved(marker) => (EventKind::Expired, marker.row, marker.version),
        };
        self.worker.actions[action as usize].fetch_add(1, Ordering::Relaxed);
        if let Some(notification) = &kept.notification {
            let version = background::version_text(bucket, version);
            let event = Event {
                kind,
                key,
                size: None,
                entity_tag: None,
                version: version.as_deref(),
                row: row.0,
            };
            let doer = Doer { principal: Some("s3.amazonaws.com"), ..Doer::default() };
            self.notifier.tell(&kept.place(bucket), &notification.destinations, &event, &doer);
        }
    }

    async fn uploads(
        &mut self,
        bucket: &Bucket,
        rules: &Rules,
        prefix: Bytes,
    ) -> Result<(), Broken> {
        let now_ms = now_ms();
        let (mut key_after, mut upload_after) = (None, None);
        loop {
            let list = ListUploads {
                bucket: bucket.id,
                prefix: prefix.clone(),
                delimiter: None,
                key_after: key_after.take(),
                upload_after: upload_after.take(),
                limit: limits::LIFECYCLE_PAGE,
            };
            let page = self.lane.list_uploads(list).await?;
            let count = page.entries.len();
            self.look(count).await;
            for entry in page.entries {
                let UploadEntry::Upload(upload) = entry else { continue };
                let due = rules.abort(&upload.key, upload.initiated_ms, &self.plan.calendar);
                if due.is_some_and(|due| due.at_ms <= now_ms) {
                    self.deletes.charge(1).await;
                    self.check_unchanged(bucket)?;
                    match self.lane.abort(upload.id).await {
                        Ok(()) => {
                            let aborted = &self.worker.actions[ACTIONS.len() - 1];
                            aborted.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => self.spare(bucket, &error),
                    }
                }
                (key_after, upload_after) = (Some(upload.key), Some(upload.id));
            }
            if !page.truncated {
                return Ok(());
            }
        }
    }

    /// Counts what a page has, and waits for what the pages before may have cost.
    async fn look(&mut self, count: usize) {
        self.worker.looked_at.fetch_add(count as u64, Ordering::Relaxed);
        self.keys.charge(count).await;
    }

    fn spare(&mut self, bucket: &Bucket, error: &StoreError) {
        let reason = match error {
            StoreError::Locked(_) => LOCKED,
            StoreError::ConditionFailed
            | StoreError::NoSuchKey
            | StoreError::NoSuchVersion
            | StoreError::NoSuchUpload => CHANGED,
            _ => FAILED,
        };
        self.worker.spared[reason].fetch_add(1, Ordering::Relaxed);
        if reason == FAILED {
            self.say(Some(&bucket.name), &error.to_string());
        }
    }

    fn complain(&mut self, bucket: Option<&str>, broken: &Broken) {
        match broken {
            // Deleted since the round began, or the end.
            Broken::Store(StoreError::NoSuchBucket | StoreError::Closing) | Broken::Changed => {}
            Broken::Store(error) => self.say(bucket, &error.to_string()),
            Broken::Setting(error) => self.say(bucket, &error.to_string()),
        }
    }

    fn say(&mut self, bucket: Option<&str>, error: &str) {
        let lately = |at: Instant| at.elapsed() < limits::OBSERVATION_COMPLAINT_PERIOD;
        if !self.complained.is_some_and(lately) {
            self.complained = Some(Instant::now());
            let bucket = bucket.unwrap_or("-");
            tracing::warn!(bucket, error, "the lifecycle cannot go on here; will be tried again");
        }
    }
}

/// Where a page goes on behind an entry.
fn place(entry: &VersionEntry) -> Option<(Bytes, VersionId)> {
    match entry {
        VersionEntry::Version { key, object, .. } => Some((key.clone(), object.version)),
        VersionEntry::Marker { key, marker, .. } => Some((key.clone(), marker.version)),
        VersionEntry::Prefix(_) => None,
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
