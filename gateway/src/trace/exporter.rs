//! Spans on their way to the collector.
//!
//! ```text
//!  lane ── a request's spans ──▶ queue ──▶ exporter's thread ── batch ──▶ collector
//! ```
//! Owns: the queue, the thread with a runtime of its own, and the counts of spans. A collector that
//! does not keep up costs spans, which are counted, and no lane's time.
//! Limits: `TRACE_QUEUE_REQUESTS`, `TRACE_BATCH_REQUESTS`, `TRACE_PERIOD`, `TRACE_EXPORT_TIME`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Instant;

use http::Uri;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tokio::sync::{mpsc, oneshot};

use super::client::CollectorClient;
use super::{Sampling, span};
use crate::limits;
use crate::metrics::{Figure, Figures, table};
use crate::record::{Record, Sink};

/// Makes spans of requests that are traced, and has them sent.
#[derive(Debug)]
pub struct Spans {
    sampling: Sampling,
    scope: InstrumentationScope,
    queue: mpsc::Sender<Vec<SpanData>>,
    counts: Arc<Counts>,
}

/// What became of spans.
#[derive(Debug, Default)]
struct Counts {
    exported: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

/// Ends the exporter.
#[derive(Debug)]
pub struct Closing {
    stop: oneshot::Sender<()>,
    ended: Receiver<()>,
}

impl Spans {
    /// Starts the exporter's thread.
    ///
    /// # Errors
    /// One line for the operator.
    pub fn start(endpoint: &Uri, sampling: Sampling) -> Result<(Arc<Spans>, Closing), String> {
        let mut exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(CollectorClient)
            .with_endpoint(endpoint.to_string())
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(limits::TRACE_EXPORT_TIME)
            .build()
            .map_err(|error| format!("trace.endpoint = {endpoint}: {error}"))?;
        exporter.set_resource(&resource());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            // Looks names up.
            .max_blocking_threads(1)
            .build()
            .map_err(|error| format!("cannot start the trace exporter: {error}"))?;
        let (queue, requests) = mpsc::channel(limits::TRACE_QUEUE_REQUESTS);
        let (stop, stopped) = oneshot::channel();
        let (alive, ended) = sync_channel(0);
        let counts = Arc::new(Counts::default());
        let sending =
            Sending { exporter, requests, counts: counts.clone(), complained: None, _alive: alive };
        thread::Builder::new()
            .name("trace-exporter".into())
            .spawn(move || runtime.block_on(sending.run(stopped)))
            .map_err(|error| format!("cannot start the trace exporter: {error}"))?;
        let scope = InstrumentationScope::builder("penstock")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        Ok((Arc::new(Spans { sampling, scope, queue, counts }), Closing { stop, ended }))
    }
}

/// Who sends: OpenTelemetry's resource.
fn resource() -> Resource {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let process = i64::from(std::process::id());
    Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", "penstock"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", format!("{host}:{process}")),
            KeyValue::new("host.name", host),
            KeyValue::new("process.pid", process),
        ])
        .build()
}

impl Sink for Spans {
    fn tells_headers(&self) -> bool {
        true
    }

    fn ended(&self, record: &Record<'_>) {
        let context = self.sampling.context(&record.account.asked);
        let Some(context) = context.filter(|context| context.sampled) else {
            return;
        };
        let dropped = |count| {
            self.counts.dropped.fetch_add(count, Ordering::Relaxed);
        };
        // Looked at first: spans that nobody takes are not made.
        let Ok(place) = self.queue.try_reserve() else {
            return dropped(span::count(record));
        };
        place.send(span::spans(record, &context, &self.sampling, &self.scope));
    }
}

impl Figures for Spans {
    fn figures(&self) -> Vec<Figure> {
        let Counts { exported, dropped, failed } = &*self.counts;
        [("exported", exported), ("dropped", dropped), ("failed", failed)]
            .map(|(outcome, count)| {
                let count = count.load(Ordering::Relaxed) as f64;
                Figure::labelled(&table::SPANS, [outcome], count)
            })
            .into()
    }
}

/// The thread.
struct Sending {
    exporter: opentelemetry_otlp::SpanExporter,
    requests: mpsc::Receiver<Vec<SpanData>>,
    counts: Arc<Counts>,
    complained: Option<Instant>,
    /// Dropped with the thread's end.
    _alive: SyncSender<()>,
}

impl Sending {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        let mut batch = Vec::with_capacity(limits::TRACE_BATCH_REQUESTS);
        loop {
            tokio::select! {
                biased;
                // The stop, or that nobody is left who could.
                _ = &mut stopped, if !self.requests.is_closed() => self.requests.close(),
                count = self.requests.recv_many(&mut batch, limits::TRACE_BATCH_REQUESTS) => {
                    if count == 0 {
                        return;
                    }
                    self.fill(&mut batch, &mut stopped).await;
                    self.send(batch.drain(..).flatten().collect()).await;
                }
            }
        }
    }

    /// Waits for more, a bounded time.
    async fn fill(&mut self, batch: &mut Vec<Vec<SpanData>>, stopped: &mut oneshot::Receiver<()>) {
        let period = tokio::time::sleep(limits::TRACE_PERIOD);
        tokio::pin!(period);
        while batch.len() < limits::TRACE_BATCH_REQUESTS && !self.requests.is_closed() {
            let most = limits::TRACE_BATCH_REQUESTS - batch.len();
            tokio::select! {
                biased;
                _ = &mut *stopped => self.requests.close(),
                () = &mut period => return,
                _ = self.requests.recv_many(batch, most) => {}
            }
        }
    }

    async fn send(&mut self, spans: Vec<SpanData>) {
        let count = spans.len() as u64;
        let export = self.exporter.export(spans);
        // The exporter repeats what the collector asks it to, within the time that it was given.
        let outcome = tokio::time::timeout(2 * limits::TRACE_EXPORT_TIME, export).await;
        let error = match outcome {
            Ok(Ok(())) => {
                self.counts.exported.fetch_add(count, Ordering::Relaxed);
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the collector takes too long".to_owned(),
        };
        self.counts.failed.fetch_add(count, Ordering::Relaxed);
        let lately = |at: Instant| at.elapsed() < limits::OBSERVATION_COMPLAINT_PERIOD;
        if !self.complained.is_some_and(lately) {
            self.complained = Some(Instant::now());
            tracing::warn!(error, spans = count, "spans cannot be sent to trace.endpoint");
        }
    }
}

impl Closing {
    /// Has everything sent that was told so far, and waits for it a bounded time.
    pub fn close(self) {
        // Nobody listens when the thread has ended.
        let _ = self.stop.send(());
        let ended = self.ended.recv_timeout(limits::OBSERVATION_CLOSE_TIME);
        if ended == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the last spans could not be sent in time");
        }
    }
}
