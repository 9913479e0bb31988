//! Owns: RDMA's figures for metrics, from the server half, from what was delivered and from what was declined.
//!
//! All names begin with `penstock_rdma_`, but the bytes that were copied, which other paths have too.

use std::sync::Arc;

use rdma::server::ServerStats;

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
            self.add(Kind::Counter, "penstock_rdma_declines_total", help, labels, count);
        }
    }

    fn receipts(&mut self, rdma: &Rdma) {
        let receipts = &rdma.receipts;
        for (way, bytes) in
            [("get", receipts.delivered_bytes()), ("put", receipts.collected_bytes())]
        {
            let labels = vec![("operation", way.to_owned())];
            let help = "Bytes of objects and parts that went by RDMA.";
            self.add(Kind::Counter, "penstock_rdma_object_bytes_total", help, labels, bytes as f64);
        }
        for (path, bytes) in
            [("rdma", receipts.copied_bytes()), ("rdma_staging", receipts.staging_copied_bytes())]
        {
            let labels = vec![("path", path.to_owned())];
            let help = "Bytes of objects that were copied in memory on their way.";
            self.add(Kind::Counter, "penstock_copied_bytes_total", help, labels, bytes as f64);
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

    fn server(&mut self, stats: &ServerStats) {
        self.gauge("penstock_rdma_sessions", "Sessions of hipobj-rc-v2 now.", stats.sessions);
        let help = "Pooled RDMA connections now.";
        self.gauge("penstock_rdma_connections", help, stats.connections);
    }
}
