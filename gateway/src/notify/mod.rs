//! Event notifications: what happens to objects of a bucket is told to files and webhooks that the server's configuration
//! names and the bucket's chooses.
//!
//! ```text
//!  lane ── message ──▶ the target's queue, bounded by bytes ──▶ its thread ──▶ file or webhook
//! ```
//!
//! What is promised: a message is queued after the change is durable and before its client is answered, and is delivered
//! at least once, in the order of queueing, for as long as the process lives; a stop in order keeps what is left in
//! `DATA/events`, and the next start delivers it first. A killed process loses what its queues hold, and a queue that is
//! full drops what comes, which is counted and logged. No request waits for any of it.
//!
//! `event` is the message, `rules` who wants it, `queue` one target's queue, `target` its thread, `file` and `webhook` the
//! two kinds of delivery. Limits: `EVENTS_*`.
//! Not here: the operations that set a bucket's configuration (`s3/notification.rs`).

pub mod event;
mod file;
mod queue;
pub mod rules;
mod target;
mod webhook;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use s3s::dto::{Timestamp, TimestampFormat};

use crate::config::{EventTarget, EventsPlan};
use crate::metrics::{Figure, Figures, table};
use event::{Doer, Event};
use queue::Queue;
use rules::Destinations;
pub use target::Closing;

/// Everybody who can be told. Shared by all lanes.
#[derive(Debug, Default)]
pub struct Notifier {
    region: Box<str>,
    host: Box<str>,
    queues: Vec<Arc<Queue>>,
}

/// The bucket in which something happened.
#[derive(Debug, Clone, Copy)]
pub struct Bucket<'a> {
    /// Its name.
    pub name: &'a str,
    /// The canonical id of its owner.
    pub owner: &'a str,
}

/// The name of the target that an ARN names: `arn:penstock:events:REGION:ACCOUNT:NAME`.
pub fn target_of(arn: &str) -> Option<&str> {
    let mut parts = arn.strip_prefix("arn:penstock:events:")?.splitn(3, ':');
    let (_region, _account) = (parts.next()?, parts.next()?);
    parts.next().filter(|name| !name.is_empty())
}

impl Notifier {
    /// Starts the targets' threads. `host` is the process's `x-amz-id-2`.
    ///
    /// # Errors
    /// One line for the operator.
    pub fn start(
        plan: &EventsPlan,
        region: &str,
        host: &str,
        data: &Path,
    ) -> Result<(Notifier, Closing), String> {
        let mut queues = Vec::new();
        let mut closing = Closing::default();
        let folder = data.join("events");
        if !plan.targets.is_empty() {
            fs::create_dir_all(&folder)
                .map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        }
        for EventTarget { name, place } in &plan.targets {
            let queue = Arc::new(Queue::new(name, plan.queue_bytes));
            let left = folder.join(format!("{name}.left"));
            closing.add(target::start(queue.clone(), place, plan, left)?);
            queues.push(queue);
        }
        Ok((Notifier { region: region.into(), host: host.into(), queues }, closing))
    }

    /// Whether there is a target of that name.
    pub fn has(&self, name: &str) -> bool {
        self.queues.iter().any(|queue| &*queue.name == name)
    }

    /// Queues the message for every destination that wants it.
    pub fn tell(
        &self,
        bucket: &Bucket<'_>,
        destinations: &Destinations,
        event: &Event<'_>,
        doer: &Doer<'_>,
    ) {
        let mut time = None;
        for destination in destinations.wanting(event.kind, event.key) {
            let Some(queue) = self.queue(&destination.arn) else {
                continue;
            };
            let time = time.get_or_insert_with(now);
            let place = self.place(bucket, time);
            queue.put(event::message(event, doer, &place, &destination.id));
        }
    }

    /// Queues the message that tells a destination that it was named.
    pub fn test(&self, bucket: &Bucket<'_>, destinations: &Destinations, request: &str) {
        let time = now();
        for destination in destinations.iter() {
            if let Some(queue) = self.queue(&destination.arn) {
                queue.put(event::test_message(&self.place(bucket, &time), request));
            }
        }
    }

    /// The queue of a target; none where the configuration has lost it since the bucket named it.
    fn queue(&self, arn: &str) -> Option<&Arc<Queue>> {
        let name = target_of(arn)?;
        self.queues.iter().find(|queue| &*queue.name == name)
    }

    fn place<'a>(&'a self, bucket: &Bucket<'a>, time: &'a str) -> event::Place<'a> {
        event::Place {
            region: &self.region,
            host: &self.host,
            bucket: bucket.name,
            owner: bucket.owner,
            time,
        }
    }
}

impl Figures for Notifier {
    fn figures(&self) -> Vec<Figure> {
        let mut figures = Vec::new();
        for queue in &self.queues {
            let name = queue.name.to_string();
            for (outcome, count) in queue.counts() {
                let labels = [name.clone(), outcome.to_owned()];
                figures.push(Figure::labelled(&table::EVENTS, labels, count as f64));
            }
            let waiting = queue.waiting() as f64;
            figures.push(Figure::labelled(&table::EVENTS_QUEUED, [name.clone()], waiting));
            let bytes = queue.bytes() as f64;
            figures.push(Figure::labelled(&table::EVENTS_QUEUED_BYTES, [name], bytes));
        }
        figures
    }
}

/// Now in ISO 8601 with milliseconds.
fn now() -> String {
    let mut text = Vec::with_capacity(32);
    let written = Timestamp::from(SystemTime::now()).format(TimestampFormat::DateTime, &mut text);
    written.ok().and_then(|()| String::from_utf8(text).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_name_targets() {
        for (arn, expected) in [
            ("arn:penstock:events:::hook", Some("hook")),
            ("arn:penstock:events:us-east-1:123456789012:hook", Some("hook")),
            ("arn:penstock:events:::", None),
            ("arn:penstock:events:hook", None),
            ("arn:aws:sqs:us-east-1:1:hook", None),
        ] {
            assert_eq!(target_of(arn), expected, "{arn}");
        }
    }

    #[test]
    fn the_time_has_milliseconds() {
        let now = now();
        assert_eq!((now.len(), &now[19..20], &now[23..]), (24, ".", "Z"), "{now}");
    }
}
