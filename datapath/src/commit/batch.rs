//! Batches: what the commit thread does with what has queued.
//!
//! Owns: the thread's loop and its state.
//! States: writable → read-only, once, after a fault of a device or of the index.
//! Limits: `COMMIT_BATCH_MAX`, `INDEX_TRANSACTION_BYTES`, `RECLAIM_ROWS_PER_TRANSACTION`, `PIN_POLL`, `RECLAIM_RETRY*`.
//! Not here: the queue's other end (`mod`).

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};

use super::holds::Holds;
use super::{Change, CommitOptions, DataFlush, Job, Shared};
use crate::error::StoreError;
use crate::id::BucketId;
use crate::index::{
    ApplyError, Delete, Effects, IndexError, IndexWriter, Mutation, Outcome, WriteTransaction,
};
use crate::limits::{
    COMMIT_BATCH_MAX, INDEX_TRANSACTION_BYTES, PIN_POLL, RECLAIM_RETRY, RECLAIM_RETRY_DAMAGED,
    RECLAIM_ROWS_PER_TRANSACTION,
};

type Answer = Result<Outcome, StoreError>;

struct Committer<'s> {
    writer: IndexWriter,
    devices: Vec<Box<dyn DataFlush>>,
    holds: Holds,
    shared: &'s Shared,
    reclaim: Reclaim,
    settling: Vec<oneshot::Sender<Result<(), StoreError>>>,
}

/// Whether reclaiming has something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reclaim {
    /// Nothing, or only what readers hold.
    Idle,
    /// There may be work.
    Due,
    /// There is work, but the index had no free page for it.
    Later(Instant),
}

/// The thread's body.
pub(super) fn run(
    options: CommitOptions,
    shared: &Shared,
    mut queue: mpsc::Receiver<Job>,
    clock: &Runtime,
) {
    let _report = ReportPanic(shared);
    let mut committer = Committer {
        writer: IndexWriter::new(&options.index),
        devices: options.devices,
        holds: Holds::new(options.pins, options.free),
        shared,
        // A restart may have interrupted it.
        reclaim: Reclaim::Due,
        settling: Vec::new(),
    };
    // The writer has its own handle; the environment must close with the thread.
    drop(options.index);
    let mut jobs = Vec::with_capacity(COMMIT_BATCH_MAX);
    loop {
        let taken = clock.block_on(async {
            let take = queue.recv_many(&mut jobs, COMMIT_BATCH_MAX);
            match committer.idle_limit() {
                Some(limit) => tokio::time::timeout(limit, take).await.ok(),
                None => Some(take.await),
            }
        });
        if taken == Some(0) {
            return;
        }
        let mut changes = Vec::with_capacity(jobs.len());
        for job in jobs.drain(..) {
            match job {
                Job::Change(change) => changes.push(*change),
                Job::Settle(answer) => committer.settling.push(answer),
                Job::Close => queue.close(),
            }
        }
        committer.turn(changes);
    }
}

impl Committer<'_> {
    /// How long to wait for mutations before there is something else to do.
    fn idle_limit(&self) -> Option<Duration> {
        let reclaim = match self.reclaim {
            _ if self.shared.read_only.get().is_some() => None,
            Reclaim::Idle => None,
            Reclaim::Due => Some(Duration::ZERO),
            Reclaim::Later(at) => Some(at.saturating_duration_since(Instant::now())),
        };
        let pins = (self.holds.counts().0 > 0).then_some(PIN_POLL);
        reclaim.into_iter().chain(pins).min()
    }

    /// One turn of the loop: a batch, perhaps an empty one.
    fn turn(&mut self, changes: Vec<Change>) {
        if self.holds.look_again() && self.reclaim == Reclaim::Idle {
            self.reclaim = Reclaim::Due;
        }
        if let Reclaim::Later(at) = self.reclaim
            && at <= Instant::now()
        {
            self.reclaim = Reclaim::Due;
        }
        if let Some(reason) = self.shared.read_only.get() {
            refuse(self.shared, changes, &StoreError::ReadOnly(Arc::clone(reason)));
        } else if changes.is_empty() {
            self.reclaim_alone();
        } else {
            self.batch(changes);
        }
        self.answer_settling();
        let (rows, extents) = self.holds.counts();
        self.shared.stats.held_rows.set(rows as u64);
        self.shared.stats.held_extents.set(extents as u64);
        self.shared.stats.reclaim_pending.set(u64::from(self.reclaim != Reclaim::Idle));
    }

    fn batch(&mut self, changes: Vec<Change>) {
        let stats = &self.shared.stats;
        let begun = Instant::now();
        for change in &changes {
            stats.queue_wait_us.add_time(begun.saturating_duration_since(change.submitted));
        }
        // First the data, then the rows that say where it is: the other way round a power cut could
        // leave an acknowledged object without its bytes.
        let flushed = self.devices.iter_mut().try_for_each(|device| device.flush());
        stats.data_flush_us.add_time(begun.elapsed());
        if let Err(fault) = flushed {
            // After a failed flush the kernel may have dropped the dirty data and marked it clean,
            // so that the next flush succeeds without having written it (known as fsyncgate). No
            // later success would prove anything: writing ends here.
            self.stop_writing(&format!("{fault}; data written before it may be lost; restart"));
            refuse(self.shared, changes, &StoreError::Device(fault));
            return;
        }
        let begun = Instant::now();
        // One flush covers them all; a transaction takes as many as its memory allows.
        let mut changes = changes;
        while !changes.is_empty() {
            let later = changes.split_off(fitting_one_transaction(&changes));
            self.transaction(changes);
            changes = later;
            if let Some(reason) = self.shared.read_only.get() {
                let error = StoreError::ReadOnly(Arc::clone(reason));
                refuse(self.shared, std::mem::take(&mut changes), &error);
            }
        }
        self.shared.stats.index_commit_us.add_time(begun.elapsed());
    }

    /// All together, or each for itself where that fails.
    fn transaction(&mut self, changes: Vec<Change>) {
        self.shared.stats.batches.add(1);
        self.shared.stats.batch_sizes.add(changes.len() as u64);
        match self.together(&changes) {
            Ok(answers) => answer(self.shared, changes, answers),
            Err(error) if error.is_fault() => self.fault(changes, &error),
            Err(error) => {
                // Too little room for all, or one of them met a damaged row: each for itself, so
                // that deletes still succeed and one bad row fails one mutation.
                tracing::debug!(%error, mutations = changes.len(), "batch tried one by one");
                self.shared.stats.batches_split.add(1);
                self.one_by_one(changes);
            }
        }
    }

    /// All mutations in one transaction, with a step of reclaiming.
    fn together(&mut self, changes: &[Change]) -> Result<Vec<Answer>, IndexError> {
        let mut answers = Vec::with_capacity(changes.len());
        let mut txn = self.writer.begin(now_ms())?;
        let more = match self.reclaim {
            Reclaim::Due => reclaim_step(&mut txn, &self.holds, self.shared)?,
            Reclaim::Idle | Reclaim::Later(_) => false,
        };
        let waiting = txn.reclaim_waiting()?;
        for change in changes {
            match txn.apply(&change.staged.mutation) {
                Ok(outcome) => answers.push(Ok(outcome)),
                Err(ApplyError::Refused(error)) => answers.push(Err(error)),
                Err(ApplyError::Broken(error)) => return Err(error),
            }
        }
        let added = txn.reclaim_waiting()? > waiting;
        let effects = txn.commit()?;
        self.holds.after_commit(effects);
        self.reclaim = match self.reclaim {
            Reclaim::Later(at) => Reclaim::Later(at),
            Reclaim::Idle | Reclaim::Due if more || added => Reclaim::Due,
            Reclaim::Idle | Reclaim::Due => Reclaim::Idle,
        };
        Ok(answers)
    }

    fn one_by_one(&mut self, changes: Vec<Change>) {
        let mut changes = changes.into_iter();
        while let Some(change) = changes.next() {
            let outcome = match self.alone(&change.staged.mutation) {
                Err(error) if error.is_full() => match &change.staged.mutation {
                    Mutation::DeleteMany { bucket, deletes } => self.delete_each(*bucket, deletes),
                    _ => Err(error),
                },
                outcome => outcome,
            };
            match outcome {
                Ok(outcome) => answer(self.shared, vec![change], vec![outcome]),
                Err(error) if error.is_fault() => {
                    return self.fault(std::iter::once(change).chain(changes).collect(), &error);
                }
                Err(error) => refuse(self.shared, vec![change], &error.into()),
            }
        }
        if self.reclaim == Reclaim::Due {
            self.reclaim_alone();
        }
    }

    /// One mutation in its own transaction.
    fn alone(&mut self, mutation: &Mutation) -> Result<Answer, IndexError> {
        let attempt = |txn: &mut WriteTransaction<'_>| match txn.apply(mutation) {
            Ok(outcome) => Ok(Ok(outcome)),
            Err(ApplyError::Refused(error)) => Ok(Err(error)),
            Err(ApplyError::Broken(error)) => Err(error),
        };
        let mut txn = self.writer.begin(now_ms())?;
        let waiting = txn.reclaim_waiting()?;
        let answer = attempt(&mut txn)?;
        let added = txn.reclaim_waiting()? > waiting;
        match txn.commit() {
            Ok(effects) => self.holds.after_commit(effects),
            Err(error) if error.is_full() => {
                // Full while writing pages is harmless; full while writing the meta page makes LMDB
                // stop, which the next transaction tells.
                drop(self.writer.begin(now_ms())?);
                return Err(error);
            }
            Err(error) => return Err(error),
        }
        if added && self.reclaim == Reclaim::Idle {
            self.reclaim = Reclaim::Due;
        }
        Ok(answer)
    }

    /// A DeleteMany that does not fit one transaction: a full index must still allow it.
    fn delete_each(&mut self, bucket: BucketId, deletes: &[Delete]) -> Result<Answer, IndexError> {
        let mut outcomes = Vec::with_capacity(deletes.len());
        for delete in deletes {
            match self.alone(&Mutation::Delete { bucket, delete: delete.clone() }) {
                Ok(Ok(Outcome::Deleted(deletion))) => outcomes.push(Ok(deletion)),
                Ok(Ok(_)) => return Err(IndexError::Inconsistent("a delete answered otherwise")),
                Ok(Err(error)) => outcomes.push(Err(error)),
                Err(error) if error.is_fault() => return Err(error),
                Err(error) => outcomes.push(Err(error.into())),
            }
        }
        Ok(Ok(Outcome::DeletedMany(outcomes)))
    }

    /// A transaction of reclaiming only. It needs no data flush: it links nothing.
    fn reclaim_alone(&mut self) {
        if self.reclaim != Reclaim::Due {
            return;
        }
        let step = || {
            let mut txn = self.writer.begin(now_ms())?;
            let more = reclaim_step(&mut txn, &self.holds, self.shared)?;
            Ok((more, txn.commit()?))
        };
        let step: Result<(bool, Effects), IndexError> = { step }();
        match step {
            Ok((more, effects)) => {
                self.holds.after_commit(effects);
                self.reclaim = if more { Reclaim::Due } else { Reclaim::Idle };
            }
            Err(error) if error.is_fault() => self.fault(Vec::new(), &error),
            Err(error) => {
                tracing::warn!(%error, "freeing space is put off");
                let wait = if error.is_full() { RECLAIM_RETRY } else { RECLAIM_RETRY_DAMAGED };
                self.reclaim = Reclaim::Later(Instant::now() + wait);
            }
        }
    }

    /// The index failed while these were on their way. Whether they survive a restart is unknown,
    /// so their space must not be written again.
    fn fault(&mut self, changes: Vec<Change>, error: &IndexError) {
        self.stop_writing(&format!("the index failed: {error}; restart when the cause is gone"));
        let answers = changes.iter().map(|_| Err(StoreError::Index(error.to_string().into())));
        let answers: Vec<Answer> = answers.collect();
        let mut changes = changes;
        changes.iter_mut().for_each(|change| change.staged.keep());
        answer(self.shared, changes, answers);
    }

    fn stop_writing(&self, reason: &str) {
        tracing::error!(reason, "the store is read-only from here on");
        // Only this thread sets it; a second reason would add nothing.
        let _ = self.shared.read_only.set(reason.into());
    }

    fn answer_settling(&mut self) {
        if let Some(reason) = self.shared.read_only.get() {
            for waiting in self.settling.drain(..) {
                let _ = waiting.send(Err(StoreError::ReadOnly(Arc::clone(reason))));
            }
        } else if self.reclaim != Reclaim::Due {
            for waiting in self.settling.drain(..) {
                let _ = waiting.send(Ok(()));
            }
        }
    }
}

/// How many changes from the front one transaction takes: at least one.
fn fitting_one_transaction(changes: &[Change]) -> usize {
    let mut dirty = 0;
    let fits = |change: &&Change| {
        dirty += change.staged.mutation.dirty_bytes();
        dirty <= INDEX_TRANSACTION_BYTES
    };
    changes.iter().take_while(fits).count().max(1)
}

/// One bounded step of reclaiming. Answers whether more can be done.
fn reclaim_step(
    txn: &mut WriteTransaction<'_>,
    holds: &Holds,
    shared: &Shared,
) -> Result<bool, IndexError> {
    if txn.reclaim_waiting()? == 0 {
        return Ok(false);
    }
    let done = txn.reclaim(holds, RECLAIM_ROWS_PER_TRANSACTION)?;
    shared.stats.reclaimed_rows.add(done.rows as u64);
    Ok(done.more)
}

fn refuse(shared: &Shared, changes: Vec<Change>, error: &StoreError) {
    let answers = changes.iter().map(|_| Err(error.clone())).collect();
    answer(shared, changes, answers);
}

/// Tells each submitter its outcome. Space of what failed goes back first, so that it is there for
/// whoever reads the answer.
fn answer(shared: &Shared, changes: Vec<Change>, answers: Vec<Answer>) {
    assert_eq!(changes.len(), answers.len(), "one answer a mutation");
    let now = Instant::now();
    for (change, outcome) in changes.into_iter().zip(answers) {
        let Change { mut staged, submitted, answer, room } = change;
        if outcome.is_ok() {
            staged.keep();
        }
        drop(staged);
        drop(room);
        shared.stats.answer_times.add(now.saturating_duration_since(submitted));
        shared.stats.mutations.add(1);
        shared.stats.mutations_failed.add(u64::from(outcome.is_err()));
        // Nobody listens when the request is gone; the mutation stands all the same.
        let _ = answer.send(outcome);
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A panic of the thread (a bug) must not look like an orderly close.
struct ReportPanic<'s>(&'s Shared);

impl Drop for ReportPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.0.read_only.set("the commit thread panicked; restart".into());
        }
    }
}
