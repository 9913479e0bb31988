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
use crate::metrics::{Figure, Figures, Kind};

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
        figures.gauge(
            "penstock_rdma_enabled",
            "1 where objects' bytes may go by RDMA.",
            u64::from(self.rdma.server().is_some()),
        );
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
    fn gauge(&mut self, name: &'static str, help: &'static str, value: u64) {
        self.add(Kind::Gauge, name, help, Vec::new(), value as f64);
    }

    fn add(
        &mut self,
        kind: Kind,
        name: &'static str,
        help: &'static str,
        labels: Vec<(&'static str, String)>,
        value: f64,
    ) {
        self.0.push(Figure { name, help, kind, labels, value });
    }

    fn declines(&mut self, rdma: &Rdma) {
        for reason in Reason::ALL {
            let labels = vec![("reason", reason.label().to_owned())];
            let help = "Requests whose bytes went by HTTP, or were to, instead of RDMA.";
            let count = rdma.declines.of(reason) as f64;
            self.counter("penstock_rdma_declines_total", help, labels, count);
        }
    }

    fn receipts(&mut self, rdma: &Rdma) {
        let receipts = &rdma.receipts;
        for (way, bytes) in
            [("get", receipts.delivered_bytes()), ("put", receipts.collected_bytes())]
        {
            let labels = vec![("operation", way.to_owned())];
            let help = "Bytes of objects and parts that went by RDMA.";
            self.counter("penstock_rdma_object_bytes_total", help, labels, bytes as f64);
        }
        for (path, bytes) in
            [("rdma", receipts.copied_bytes()), ("rdma_staging", receipts.staging_copied_bytes())]
        {
            let labels = vec![("path", path.to_owned())];
            let help = "Bytes of objects that were copied in memory on their way.";
            self.counter("penstock_copied_bytes_total", help, labels, bytes as f64);
        }
    }

    fn fabric(&mut self, facts: &rdma::fabric::FabricFacts) {
        let labels = vec![
            ("device", facts.device.clone()),
            ("port", facts.port.to_string()),
            ("kind", facts.kind.to_owned()),
        ];
        let help = "Always 1; the labels are the RDMA device.";
        self.add(Kind::Gauge, "penstock_rdma_device_info", help, labels, 1.0);
        let help = "Bytes of the arena registered with the RDMA device.";
        self.gauge("penstock_rdma_registered_bytes", help, facts.registered_bytes);
        let help = "Bytes per RDMA packet.";
        self.gauge("penstock_rdma_path_mtu_bytes", help, u64::from(facts.path_mtu.bytes()));
    }

    fn health(&mut self, health: &FabricHealth) {
        let help = "1 while the RDMA device works and its port has a link.";
        let is_well = health.failed.is_none() && health.port_active;
        self.gauge("penstock_rdma_device_up", help, u64::from(is_well));
        for (event, count) in [
            ("port_lost", health.port_losses),
            ("address_changed", health.address_changes),
            ("queue_pair_error", health.queue_pair_errors),
            ("completion_queue_error", health.completion_queue_errors),
        ] {
            let labels = vec![("event", event.to_owned())];
            let help = "What the RDMA device has told of itself.";
            self.counter("penstock_rdma_device_events_total", help, labels, count as f64);
        }
    }

    fn server(&mut self, stats: &ServerStats) {
        self.gauge("penstock_rdma_sessions", "Sessions of hipobj-rc-v2 now.", stats.sessions);
        self.gauge("penstock_rdma_connections", "Pooled RDMA connections now.", stats.connections);
        self.gauge("penstock_rdma_queue_pairs", "RDMA queue pairs now.", stats.queue_pairs);
        let help = "Memory that clients may write to now.";
        self.gauge("penstock_rdma_staging_bytes", help, stats.staging_bytes);
        let help = "RDMA transfers that are not settled.";
        self.gauge("penstock_rdma_transfers_in_flight", help, stats.transfers_active);
        for (name, help, value) in [
            (
                "penstock_rdma_sessions_prepared_total",
                "Sessions of hipobj-rc-v2 that were prepared.",
                stats.sessions_prepared,
            ),
            (
                "penstock_rdma_connections_made_total",
                "Pooled RDMA connections that were made.",
                stats.connections_made,
            ),
            (
                "penstock_rdma_refused_busy_total",
                "Sessions, connections and requests that a limit refused.",
                stats.refused_busy,
            ),
            (
                "penstock_rdma_rearmed_total",
                "Sessions whose client did not answer and may try again.",
                stats.rearmed,
            ),
            (
                "penstock_rdma_work_requests_total",
                "RDMA work requests posted.",
                stats.work_requests,
            ),
            ("penstock_rdma_fences_total", "Queue pairs fenced.", stats.fences),
            (
                "penstock_rdma_leaked_total",
                "Queue pairs and memory that the device did not give back.",
                stats.leaked,
            ),
        ] {
            self.counter(name, help, Vec::new(), value as f64);
        }
        let help = "Time that fences took.";
        let seconds = stats.fence_time.as_secs_f64();
        self.counter("penstock_rdma_fence_seconds_total", help, Vec::new(), seconds);
        self.ends(stats);
        self.transfers(stats);
    }

    fn ends(&mut self, stats: &ServerStats) {
        for outcome in SessionOutcome::ALL {
            let labels = || vec![("outcome", outcome.name().to_owned())];
            let sessions = stats.sessions_ended[outcome.index()] as f64;
            let help = "Sessions of hipobj-rc-v2 that have ended.";
            self.counter("penstock_rdma_sessions_ended_total", help, labels(), sessions);
            let connections = stats.connections_ended[outcome.index()] as f64;
            let help = "Pooled RDMA connections that have ended.";
            self.counter("penstock_rdma_connections_ended_total", help, labels(), connections);
        }
    }

    fn transfers(&mut self, stats: &ServerStats) {
        for protocol in Protocol::ALL {
            for operation in [Operation::Get, Operation::Put] {
                for outcome in TransferOutcome::ALL {
                    let labels = vec![
                        ("protocol", protocol.name().to_owned()),
                        ("operation", operation.to_string().to_ascii_lowercase()),
                        ("outcome", outcome.name().to_owned()),
                    ];
                    let count = stats.transfers_of(protocol, operation, outcome) as f64;
                    let help = "RDMA transfers that were settled.";
                    self.counter("penstock_rdma_transfers_total", help, labels, count);
                }
            }
        }
        for (verb, bytes) in [
            ("write", stats.bytes_written),
            ("read", stats.bytes_read),
            ("written_by_peer", stats.bytes_written_by_peers),
        ] {
            let labels = vec![("verb", verb.to_owned())];
            let help =
                "Payload moved by RDMA, by who did it: our WRITEs, our READs, peers' WRITEs.";
            self.counter("penstock_rdma_bytes_total", help, labels, bytes as f64);
        }
        for (status, count) in FAILURE_NAMES.iter().zip(stats.failures) {
            let labels = vec![("status", (*status).to_owned())];
            let help = "RDMA transfers that ended in a failed completion.";
            self.counter("penstock_rdma_completion_errors_total", help, labels, count as f64);
        }
    }

    fn counter(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: Vec<(&'static str, String)>,
        value: f64,
    ) {
        self.add(Kind::Counter, name, help, labels, value);
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
            figures.0.iter().map(|figure| (figure.name, figure.labels.clone())).collect();
        assert_eq!(samples.len(), figures.0.len());
        let value = |name: &str, labels: &[(&'static str, &str)]| {
            let labels: Vec<_> =
                labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
            let found = figures.0.iter().find(|it| it.name == name && it.labels == labels);
            found.map(|figure| figure.value)
        };
        assert_eq!(value("penstock_rdma_fence_seconds_total", &[]), Some(1.5));
        let pooled = [("protocol", "pooled-rc"), ("operation", "put"), ("outcome", "deadline")];
        assert_eq!(value("penstock_rdma_transfers_total", &pooled), Some(7.0));
        let status = [("status", "retry_exceeded")];
        assert_eq!(value("penstock_rdma_completion_errors_total", &status), Some(3.0));
    }
}
