//! One target's thread: takes messages, delivers them in order, repeats what fails, and leaves on disk what a stop in
//! order finds undelivered.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::file::FileTarget;
use super::queue::Queue;
use super::webhook::Webhook;
use crate::config::{EventPlace, EventsPlan};
use crate::limits;

/// What became of an attempt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// The target has so many of the messages.
    Delivered(usize),
    /// It will never take the first of them; says why.
    Refused(String),
    /// It may take them later; says why not now.
    Failed(String),
}

/// How a target is reached.
enum Delivery {
    File(FileTarget),
    Webhook(Box<Webhook>),
}

impl Delivery {
    async fn attempt(&mut self, messages: &VecDeque<Vec<u8>>) -> Attempt {
        match self {
            Delivery::File(file) => file.append(messages),
            Delivery::Webhook(webhook) => webhook.post(messages).await,
        }
    }
}

/// Ends one target's thread.
#[derive(Debug)]
pub(super) struct Ending {
    stop: oneshot::Sender<()>,
    ended: Receiver<()>,
}

/// Ends all threads.
#[derive(Debug, Default)]
pub struct Closing(Vec<Ending>);

impl Closing {
    pub(super) fn add(&mut self, ending: Ending) {
        self.0.push(ending);
    }

    /// Has what is undelivered left on disk, and waits for it a bounded time. Call when no lane runs any more.
    pub fn close(self) {
        let ended: Vec<_> = self
            .0
            .into_iter()
            .map(|Ending { stop, ended }| {
                // Nobody listens when the thread has ended.
                let _ = stop.send(());
                ended
            })
            .collect();
        let deadline = Instant::now() + limits::EVENTS_CLOSE_TIME;
        for ended in ended {
            let wait = deadline.saturating_duration_since(Instant::now());
            if ended.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                tracing::warn!("events that were not delivered could not be kept in time");
            }
        }
    }
}

/// Starts a target's thread; `left` is the file of what an earlier process has left.
///
/// # Errors
/// One line for the operator.
pub(super) fn start(
    queue: Arc<Queue>,
    place: &EventPlace,
    plan: &EventsPlan,
    left: PathBuf,
) -> Result<Ending, String> {
    let delivery = match place {
        EventPlace::File(path) => Delivery::File(FileTarget::open(path)?),
        EventPlace::Webhook(uri) => {
            Delivery::Webhook(Box::new(Webhook::new(uri, plan.ca.as_deref())?))
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // Looks names up.
        .max_blocking_threads(1)
        .build()
        .map_err(|error| format!("cannot start the events' thread: {error}"))?;
    let waiting = read_left(&left)?;
    let (stop, stopped) = oneshot::channel();
    let (alive, ended) = sync_channel(0);
    let carried = waiting.len();
    let thread = Thread { queue, delivery, left, waiting, carried, _alive: alive };
    thread::Builder::new()
        .name("events".into())
        .spawn(move || runtime.block_on(thread.run(stopped)))
        .map_err(|error| format!("cannot start the events' thread: {error}"))?;
    Ok(Ending { stop, ended })
}

/// Messages that an earlier process has left, one a line.
fn read_left(path: &Path) -> Result<VecDeque<Vec<u8>>, String> {
    match fs::read(path) {
        Ok(text) => {
            let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            Ok(lines.map(<[u8]>::to_vec).collect())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(VecDeque::new()),
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
    }
}

struct Thread {
    queue: Arc<Queue>,
    delivery: Delivery,
    left: PathBuf,
    /// What is being delivered.
    waiting: VecDeque<Vec<u8>>,
    /// How many of these, the first, stand in the file of an earlier process.
    carried: usize,
    /// Dropped with the thread's end.
    _alive: SyncSender<()>,
}

impl Thread {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        loop {
            tokio::select! {
                biased;
                // The stop, or that nobody is left who could.
                _ = &mut stopped => break,
                () = self.deliver() => {}
            }
        }
        self.leave();
    }

    /// Delivers one batch, and repeats it until it is. May be dropped at any of its waits.
    async fn deliver(&mut self) {
        if self.waiting.is_empty() {
            self.waiting = self.queue.take(limits::EVENTS_BATCH).await.into();
        }
        let mut pause = limits::EVENTS_RETRY_MIN;
        let mut complained: Option<Instant> = None;
        while !self.waiting.is_empty() {
            let counts = self.queue.tally();
            match self.delivery.attempt(&self.waiting).await {
                Attempt::Delivered(count) => {
                    counts.delivered.fetch_add(count as u64, Ordering::Relaxed);
                    self.done(count);
                    pause = limits::EVENTS_RETRY_MIN;
                }
                Attempt::Refused(error) => {
                    counts.refused.fetch_add(1, Ordering::Relaxed);
                    let target = &*self.queue.name;
                    tracing::warn!(target, error, "an event was refused by its target");
                    self.done(1);
                }
                Attempt::Failed(error) => {
                    counts.failed.fetch_add(1, Ordering::Relaxed);
                    let lately = |at: Instant| at.elapsed() < limits::OBSERVATION_COMPLAINT_PERIOD;
                    if !complained.is_some_and(lately) {
                        complained = Some(Instant::now());
                        let target = &*self.queue.name;
                        tracing::warn!(
                            target,
                            error,
                            "events cannot be delivered; will be repeated"
                        );
                    }
                    tokio::time::sleep(pause).await;
                    pause = (2 * pause).min(limits::EVENTS_RETRY_MAX);
                }
            }
        }
    }

    fn done(&mut self, count: usize) {
        self.waiting.drain(..count);
        if self.carried > 0 {
            self.carried = self.carried.saturating_sub(count);
            if self.carried == 0 {
                self.forget();
            }
        }
    }

    fn forget(&self) {
        if let Err(error) = fs::remove_file(&self.left)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            // They are delivered once more by the next start.
            tracing::warn!(%error, path = %self.left.display(), "delivered events are still kept");
        }
    }

    fn leave(mut self) {
        self.waiting.extend(self.queue.take_now(usize::MAX));
        if self.waiting.is_empty() {
            return;
        }
        let count = self.waiting.len();
        match write_left(&self.left, &self.waiting) {
            Ok(()) => tracing::info!(count, "events that were not delivered are kept"),
            Err(error) => {
                let path = self.left.display();
                tracing::error!(%error, %path, count, "events that were not delivered are lost");
            }
        }
    }
}

/// Writes messages so that the file is whole or not there.
fn write_left(path: &Path, messages: &VecDeque<Vec<u8>>) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    let mut text = Vec::new();
    for message in messages {
        text.extend_from_slice(message);
        text.push(b'\n');
    }
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

/// The time that a target has to answer.
pub(super) const ANSWER_TIME: Duration = limits::EVENTS_ANSWER_TIME;

#[cfg(test)]
mod tests {
    use super::*;

    fn started(queue: &Arc<Queue>, folder: &Path, to: &Path) -> Ending {
        let plan = EventsPlan { targets: Vec::new(), queue_bytes: 1 << 20, ca: None };
        let place = EventPlace::File(to.to_owned());
        start(queue.clone(), &place, &plan, folder.join("t.left")).unwrap()
    }

    fn wait_for(what: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !what() {
            assert!(Instant::now() < deadline, "it never came");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_file_gets_a_line_an_event() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("events.jsonl");
        let queue = Arc::new(Queue::new("t", 1 << 20));
        let ending = started(&queue, folder.path(), &to);
        queue.put(b"{\"a\":1}".to_vec());
        queue.put(b"{\"a\":2}".to_vec());
        wait_for(|| fs::read(&to).unwrap() == b"{\"a\":1}\n{\"a\":2}\n");
        wait_for(|| queue.counts()[0] == ("delivered", 2));
        Closing(vec![ending]).close();
        assert!(!folder.path().join("t.left").exists());
    }

    #[test]
    fn what_cannot_be_delivered_is_kept_and_delivered_by_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("events.jsonl");
        let queue = Arc::new(Queue::new("t", 1 << 20));
        let ending = started(&queue, folder.path(), &to);
        // From now on opening it fails.
        fs::remove_file(&to).unwrap();
        fs::create_dir(&to).unwrap();
        queue.put(b"one".to_vec());
        wait_for(|| queue.counts()[1].1 > 0);
        queue.put(b"two".to_vec());
        Closing(vec![ending]).close();
        assert_eq!(fs::read(folder.path().join("t.left")).unwrap(), b"one\ntwo\n");
        fs::remove_dir(&to).unwrap();
        let queue = Arc::new(Queue::new("t", 1 << 20));
        let ending = started(&queue, folder.path(), &to);
        wait_for(|| fs::read(&to).unwrap() == b"one\ntwo\n");
        wait_for(|| !folder.path().join("t.left").exists());
        Closing(vec![ending]).close();
    }
}
