//! Owns: RDMA's figures for metrics, from the server half, from what was delivered and from what was declined.
//!
//! All names begin with `penstock_rdma_`, but the bytes that were copied, which other paths have too.

use std::sync::Arc;

use rdma::fabric::FabricHealth;
use rdma::server::{
    FAILURE_NAMES, Operation, Protocol, ServerStats, SessionOutcome, TransferOutcome,
};

use super::decline::Reason;
use super::process::Rdma;
use crate::metrics::table::{self, Metric};
use crate::metrics::{Copying, Delivery, Figure, Figures, Source};

/// Reads the figures whenever somebody asks.
pub struct RdmaFigures {
    rdma: Arc<Rdma>,
}

impl RdmaFigures {
    /// The figures of this.
    pub fn new(rdma: Arc<Rdma>) -> RdmaFigures {
        RdmaFigures { rdma }
    }
}

impl Figures for RdmaFigures {
    fn figures(&self) -> Vec<Figure> {
        let mut figures = Collected(Vec::new());
        figures.add(&table::RDMA_ENABLED, u64::from(self.rdma.server().is_some()));
        figures.declines(&self.rdma);
        figures.receipts(&self.rdma);
        if let Some(server) = self.rdma.server() {
            figures.fabric(server.facts());
            figures.health(&server.health());
            figures.server(&server.stats());
        }
        figures.0
    }
}

struct Collected(Vec<Figure>);

impl Collected {
    fn add(&mut self, metric: &'static Metric, value: u64) {
        self.0.push(Figure::of(metric, value as f64));
    }

    fn add_labelled(&mut self, metric: &'static Metric, label: &'static str, value: u64) {
        self.0.push(Figure::labelled(metric, [label], value as f64));
    }

    fn declines(&mut self, rdma: &Rdma) {
        for reason in Reason::ALL {
            self.add_labelled(&table::RDMA_DECLINES, reason.label(), rdma.declines.of(reason));
        }
    }

    fn receipts(&mut self, rdma: &Rdma) {
        let receipts = &rdma.receipts;
        self.add_labelled(&table::RDMA_OBJECT_BYTES, "get", receipts.delivered_bytes());
        self.add_labelled(&table::RDMA_OBJECT_BYTES, "put", receipts.collected_bytes());
        self.add_labelled(&table::COPIED, Copying::Rdma.label(), receipts.copied_bytes());
        for source in Source::ALL {
            let labels = [source.label(), Delivery::Rdma.label()];
            let bytes = receipts.delivered_from(*source) as f64;
            self.0.push(Figure::labelled(&table::RESPONSE_BYTES, labels, bytes));
        }
        let staging = receipts.staging_copied_bytes();
        self.add_labelled(&table::COPIED, Copying::RdmaStaging.label(), staging);
    }

    fn fabric(&mut self, facts: &rdma::fabric::FabricFacts) {
        let labels = [facts.device.clone(), facts.port.to_string(), facts.kind.to_owned()];
        self.0.push(Figure::labelled(&table::RDMA_DEVICE, labels, 1.0));
        self.add(&table::RDMA_REGISTERED, facts.registered_bytes);
        self.add(&table::RDMA_MTU, u64::from(facts.path_mtu.bytes()));
    }

    fn health(&mut self, health: &FabricHealth) {
        let is_well = health.failed.is_none() && health.port_active;
        self.add(&table::RDMA_DEVICE_UP, u64::from(is_well));
        for (event, count) in [
            ("port_lost", health.port_losses),
            ("address_changed", health.address_changes),
            ("queue_pair_error", health.queue_pair_errors),
            ("completion_queue_error", health.completion_queue_errors),
        ] {
            self.add_labelled(&table::RDMA_EVENTS, event, count);
        }
    }

    fn server(&mut self, stats: &ServerStats) {
        for (metric, value) in [
            (&table::RDMA_SESSIONS, stats.sessions),
            (&table::RDMA_CONNECTIONS, stats.connections),
            (&table::RDMA_QUEUE_PAIRS, stats.queue_pairs),
            (&table::RDMA_STAGING, stats.staging_bytes),
            (&table::RDMA_IN_FLIGHT, stats.transfers_active),
            (&table::RDMA_PREPARED, stats.sessions_prepared),
            (&table::RDMA_MADE, stats.connections_made),
            (&table::RDMA_BUSY, stats.refused_busy),
            (&table::RDMA_REARMED, stats.rearmed),
            (&table::RDMA_WORK_REQUESTS, stats.work_requests),
            (&table::RDMA_FENCES, stats.fences),
            (&table::RDMA_LEAKED, stats.leaked),
        ] {
            self.add(metric, value);
        }
        let seconds = stats.fence_time.as_secs_f64();
        self.0.push(Figure::of(&table::RDMA_FENCE_SECONDS, seconds));
        self.ends(stats);
        self.transfers(stats);
    }

    fn ends(&mut self, stats: &ServerStats) {
        for outcome in SessionOutcome::ALL {
            let sessions = stats.sessions_ended[outcome.index()];
            self.add_labelled(&table::RDMA_SESSIONS_ENDED, outcome.name(), sessions);
            let connections = stats.connections_ended[outcome.index()];
            self.add_labelled(&table::RDMA_CONNECTIONS_ENDED, outcome.name(), connections);
        }
    }

    fn transfers(&mut self, stats: &ServerStats) {
        for protocol in Protocol::ALL {
            for operation in [Operation::Get, Operation::Put] {
                for outcome in TransferOutcome::ALL {
                    let way = operation.to_string().to_ascii_lowercase();
                    let labels = [protocol.name().to_owned(), way, outcome.name().to_owned()];
                    let count = stats.transfers_of(protocol, operation, outcome) as f64;
                    self.0.push(Figure::labelled(&table::RDMA_TRANSFERS, labels, count));
                }
            }
        }
        for (verb, bytes) in [
            ("write", stats.bytes_written),
            ("read", stats.bytes_read),
            ("written_by_peer", stats.bytes_written_by_peers),
        ] {
            self.add_labelled(&table::RDMA_BYTES, verb, bytes);
        }
        for (status, count) in FAILURE_NAMES.iter().zip(stats.failures) {
            self.add_labelled(&table::RDMA_COMPLETION_ERRORS, status, count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::time::Duration;

    #[test]
    fn every_figure_has_its_name_once_with_its_labels() {
        let mut stats =
            ServerStats { fence_time: Duration::from_millis(1500), ..Default::default() };
        stats.transfers[Protocol::Pooled.index()][1][TransferOutcome::Deadline.index()] = 7;
        stats.failures[8] = 3;
        let mut figures = Collected(Vec::new());
        figures.server(&stats);
        let samples: BTreeSet<_> =
            figures.0.iter().map(|it| (it.metric.name, it.labels.clone())).collect();
        assert_eq!(samples.len(), figures.0.len());
        let value = |metric: &Metric, labels: &[&str]| {
            let found = figures.0.iter().find(|it| it.metric == metric && it.labels == labels);
            found.map(Figure::number)
        };
        assert_eq!(value(&table::RDMA_FENCE_SECONDS, &[]), Some(1.5));
        let pooled = ["pooled-rc", "put", "deadline"];
        assert_eq!(value(&table::RDMA_TRANSFERS, &pooled), Some(7.0));
        let status = ["retry_exceeded"];
        assert_eq!(value(&table::RDMA_COMPLETION_ERRORS, &status), Some(3.0));
    }
}
