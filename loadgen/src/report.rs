//! Owns what a run is told as: the table for people, the same figures as JSON.

use std::fmt::Write as _;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::cpu::CpuCost;
use crate::operation::Plan;
use crate::quantity::{GIB, MIB, grouped, microseconds};
use crate::rdma::{Rdma, Tally};
use crate::record::{KindRecord, Record};
use crate::run::{Ended, Load, Outcome};
use crate::verify::Damage;

/// The figures of one run. Field names are those of the JSON, with their units.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) command: String,
    pub(crate) endpoint: String,
    pub(crate) bucket: String,
    /// How requests are made, in words.
    pub(crate) client: String,
    /// What is asked, in words.
    pub(crate) scenario: String,
    /// How much load, in words.
    pub(crate) load: String,
    pub(crate) ended: Ended,
    pub(crate) elapsed_s: f64,
    pub(crate) total: Totals,
    pub(crate) operations: Vec<OperationReport>,
    pub(crate) errors: Vec<ErrorReport>,
    pub(crate) damage: Damage,
    pub(crate) connections_opened: u64,
    /// Only when payloads were to go by RDMA.
    pub(crate) rdma: Option<RdmaReport>,
    /// Only of an open loop.
    pub(crate) open_loop: Option<OpenLoopReport>,
    /// Only when processes were named.
    pub(crate) server_cpu: Option<CpuCost>,
    /// Why there is no CPU cost although processes were named.
    pub(crate) server_cpu_error: Option<String>,
    pub(crate) client_cpu: CpuCost,
}

/// Sums over all kinds of operations.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Totals {
    /// Operations that succeeded; a put in parts is one.
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    /// Bytes of objects, both directions.
    pub(crate) bytes: u64,
    pub(crate) requests_per_second: f64,
    pub(crate) mib_per_second: f64,
}

/// One kind of operation.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct OperationReport {
    pub(crate) operation: &'static str,
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) bytes: u64,
    pub(crate) requests_per_second: f64,
    pub(crate) mib_per_second: f64,
    /// From the start meant to the last byte.
    pub(crate) latency_us: Percentiles,
    /// From the start meant to the first byte.
    pub(crate) first_byte_us: Percentiles,
    /// From sending to the last byte; only of an open loop, where it differs.
    pub(crate) service_us: Option<Percentiles>,
}

/// Of a distribution of times, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p99_9: f64,
    pub(crate) max: f64,
}

/// Errors of one kind.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ErrorReport {
    pub(crate) kind: String,
    pub(crate) count: u64,
    pub(crate) example: String,
}

/// Whether an open loop kept its rate.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct OpenLoopReport {
    pub(crate) rate_asked: f64,
    /// Left over 1 ms after their time, since all connections were busy.
    pub(crate) sent_late: u64,
    /// Were due and never left: they are in no latency.
    pub(crate) never_sent: u64,
}

/// How payloads went that were to go by RDMA. One is an object, a range, or a part of an upload.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RdmaReport {
    pub(crate) protocol: &'static str,
    pub(crate) device: String,
    pub(crate) port: u8,
    pub(crate) gid: String,
    pub(crate) path_mtu: u32,
    pub(crate) by_rdma: u64,
    pub(crate) by_rdma_bytes: u64,
    pub(crate) by_http: u64,
    pub(crate) by_http_bytes: u64,
    /// Why some went by HTTP.
    pub(crate) declines: Vec<DeclineReport>,
    /// On this side: writes and receives of sessions. With pooled connections the server posts all.
    pub(crate) work_requests: u64,
    /// Requests that were sent again, since the server was busy or a connection was lost.
    pub(crate) retries: u64,
    pub(crate) queue_pairs_before: u64,
    pub(crate) queue_pairs_made: u64,
    pub(crate) buffers_registered: u64,
    pub(crate) buffers_reused: u64,
    /// Whether it is no failure that nothing went by RDMA.
    pub(crate) fallback_allowed: bool,
}

/// One reason.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct DeclineReport {
    pub(crate) reason: String,
    pub(crate) count: u64,
}

impl RdmaReport {
    fn new(rdma: &Rdma, tally: &Tally) -> RdmaReport {
        let facts = rdma.fabric.facts();
        let declines = tally.declines.iter();
        RdmaReport {
            protocol: rdma.protocol.name(),
            device: facts.device.clone(),
            port: facts.port,
            gid: facts.gid.to_string(),
            path_mtu: facts.path_mtu.bytes(),
            by_rdma: tally.rdma,
            by_rdma_bytes: tally.rdma_bytes,
            by_http: tally.http,
            by_http_bytes: tally.http_bytes,
            declines: declines
                .map(|(reason, count)| DeclineReport { reason: reason.clone(), count: *count })
                .collect(),
            work_requests: tally.work_requests,
            retries: tally.retries,
            queue_pairs_before: tally.queue_pairs_before,
            queue_pairs_made: tally.queue_pairs,
            buffers_registered: tally.registrations,
            buffers_reused: tally.reuses,
            fallback_allowed: rdma.fallback,
        }
    }

    /// Everything went by HTTP, and that was not what was asked for.
    fn is_all_declined(&self) -> bool {
        self.by_rdma == 0 && self.by_http > 0 && !self.fallback_allowed
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "{}", row("", &["payloads", "GiB", "posted work", "retries"]))?;
        let gib = |bytes: u64| format!("{:.3}", bytes as f64 / GIB);
        let (work, retries) = (grouped(self.work_requests), grouped(self.retries));
        let cells = [grouped(self.by_rdma), gib(self.by_rdma_bytes), work, retries];
        writeln!(text, "{}", row("by RDMA", &cells))?;
        writeln!(text, "{}", row("by HTTP", &[grouped(self.by_http), gib(self.by_http_bytes)]))?;
        for DeclineReport { reason, count } in &self.declines {
            writeln!(text, "{:>12}  by HTTP: {reason}", grouped(*count))?;
        }
        writeln!(
            text,
            "queue pairs: {} before, {} made meanwhile; buffers: {} registered, {} reused",
            grouped(self.queue_pairs_before),
            grouped(self.queue_pairs_made),
            grouped(self.buffers_registered),
            grouped(self.buffers_reused)
        )?;
        writeln!(text)
    }
}

impl Percentiles {
    fn of(histogram: &Histogram<u64>) -> Percentiles {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        Percentiles {
            mean: histogram.mean() / 1e3,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: at(1.0),
        }
    }
}

impl Report {
    /// What `command` gave.
    pub(crate) fn new(command: &str, plan: &Plan, load: &Load, outcome: &Outcome) -> Report {
        let record = &outcome.record;
        let elapsed = outcome.elapsed;
        let total = Totals::of(record, elapsed);
        let cost = |used| CpuCost::new(used, elapsed, total.requests, total.bytes);
        let (server_cpu, server_cpu_error) = match &outcome.server_cpu {
            None => (None, None),
            Some(Ok(used)) => (Some(cost(*used)), None),
            Some(Err(error)) => (None, Some(error.to_string())),
        };
        let errors = record.failures().iter().map(|(kind, failures)| ErrorReport {
            kind: kind.clone(),
            count: failures.count,
            example: failures.example.clone(),
        });
        Report {
            command: command.to_owned(),
            endpoint: plan.endpoint.url.clone(),
            bucket: plan.endpoint.bucket.clone(),
            client: match &plan.rdma {
                Some(rdma) => format!("{}; {}", plan.endpoint.describe(), rdma.describe()),
                None => plan.endpoint.describe(),
            },
            scenario: plan.scenario.describe(),
            load: load.describe(),
            ended: outcome.ended,
            elapsed_s: elapsed.as_secs_f64(),
            total,
            operations: record
                .kinds()
                .map(|(kind, record)| {
                    OperationReport::new(kind.name(), record, elapsed, load.rate.is_some())
                })
                .collect(),
            errors: errors.collect(),
            damage: record.damage.clone(),
            connections_opened: record.connections_opened,
            rdma: plan.rdma.as_ref().map(|rdma| {
                RdmaReport::new(rdma, record.rdma.as_ref().unwrap_or(&Tally::default()))
            }),
            open_loop: load.rate.map(|rate_asked| OpenLoopReport {
                rate_asked,
                sent_late: record.sent_late,
                never_sent: record.never_sent,
            }),
            server_cpu,
            server_cpu_error,
            client_cpu: cost(outcome.client_cpu),
        }
    }

    /// Whether everything asked was done and found right.
    pub(crate) fn is_success(&self) -> bool {
        self.total.errors == 0
            && self.damage.count == 0
            && self.ended != Ended::TooManyErrors
            && !self.rdma.as_ref().is_some_and(RdmaReport::is_all_declined)
    }

    /// The table.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        _ = self.write_table(&mut text);
        text
    }

    fn write_table(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "{} {}/{}", self.command, self.endpoint, self.bucket)?;
        for line in [&self.scenario, &self.load, &self.client] {
            writeln!(text, "  {line}")?;
        }
        let ended = match self.ended {
            Ended::Complete => "",
            Ended::Interrupted => ", interrupted",
            Ended::TooManyErrors => ", ended by --errors-max",
        };
        let opened = match self.connections_opened {
            0 => String::new(),
            more => format!(", {} connections opened meanwhile", grouped(more)),
        };
        writeln!(text, "  {:.2} s measured{ended}{opened}\n", self.elapsed_s)?;
        self.write_rates(text)?;
        self.write_latencies(text)?;
        if let Some(rdma) = &self.rdma {
            rdma.write(text)?;
        }
        self.write_costs(text)?;
        self.write_errors(text)
    }

    /// Says that nothing went by RDMA, and why, where that is a failure.
    pub(crate) fn nothing_by_rdma(&self) -> Option<String> {
        let rdma = self.rdma.as_ref().filter(|rdma| rdma.is_all_declined())?;
        let most = rdma.declines.iter().max_by_key(|decline| decline.count);
        let why = most.map_or("no reason was counted", |decline| decline.reason.as_str());
        Some(format!(
            "nothing went by RDMA: {why}. Ask what is in the way with penstock-loadgen rdma-probe {}, or \
             allow plain HTTP with --rdma-fallback",
            self.endpoint
        ))
    }

    fn write_rates(&self, text: &mut String) -> std::fmt::Result {
        let head = ["requests", "errors", "requests/s", "MiB/s"];
        writeln!(text, "{}", row("", &head))?;
        for operation in &self.operations {
            writeln!(text, "{}", row(operation.operation, &operation.rates()))?;
        }
        if self.operations.len() > 1 {
            writeln!(text, "{}", row("total", &self.total.rates()))?;
        }
        if let Some(open) = &self.open_loop {
            writeln!(
                text,
                "asked: {} requests/s; {} sent over 1 ms late, {} never sent",
                grouped(open.rate_asked as u64),
                grouped(open.sent_late),
                grouped(open.never_sent)
            )?;
        }
        writeln!(text)
    }

    fn write_latencies(&self, text: &mut String) -> std::fmt::Result {
        let head = ["p50", "p90", "p99", "p99.9", "max"];
        writeln!(text, "{}", row("", &head))?;
        for operation in &self.operations {
            let name = operation.operation;
            let latency = operation.latency_us.cells();
            writeln!(text, "{}", row(&format!("{name} latency"), &latency))?;
            let first_byte = operation.first_byte_us.cells();
            writeln!(text, "{}", row(&format!("{name} first byte"), &first_byte))?;
            if let Some(service) = operation.service_us {
                writeln!(text, "{}", row(&format!("{name} service"), &service.cells()))?;
            }
        }
        writeln!(text)
    }

    fn write_costs(&self, text: &mut String) -> std::fmt::Result {
        let head = ["µs/request", "s/GiB", "cores", "seconds"];
        writeln!(text, "{}", row("", &head))?;
        if let Some(cost) = &self.server_cpu {
            writeln!(text, "{}", row("server CPU", &cost_cells(cost)))?;
        }
        if let Some(error) = &self.server_cpu_error {
            writeln!(text, "server CPU: {error}")?;
        }
        writeln!(text, "{}", row("client CPU", &cost_cells(&self.client_cpu)))
    }

    fn write_errors(&self, text: &mut String) -> std::fmt::Result {
        if !self.errors.is_empty() {
            writeln!(text, "\nerrors")?;
        }
        for error in &self.errors {
            let count = grouped(error.count);
            writeln!(text, "{count:>12}  {}; the first: {}", error.kind, error.example)?;
        }
        if self.damage.count > 0 {
            writeln!(text, "\nnot as derived: {}", grouped(self.damage.count))?;
            for key in &self.damage.first {
                writeln!(text, "  {key}")?;
            }
        }
        if let Some(line) = self.nothing_by_rdma() {
            writeln!(text, "\n{line}")?;
        }
        Ok(())
    }
}

impl Totals {
    fn of(record: &Record, elapsed: Duration) -> Totals {
        let sum = |field: fn(&KindRecord) -> u64| record.kinds().map(|(_, kind)| field(kind)).sum();
        let (requests, bytes) = (sum(|kind| kind.requests), sum(|kind| kind.bytes));
        Totals {
            requests,
            errors: sum(|kind| kind.failed),
            bytes,
            requests_per_second: per_second(requests as f64, elapsed),
            mib_per_second: per_second(bytes as f64 / MIB, elapsed),
        }
    }

    fn rates(&self) -> [String; 4] {
        [
            grouped(self.requests),
            grouped(self.errors),
            format!("{:.1}", self.requests_per_second),
            format!("{:.1}", self.mib_per_second),
        ]
    }
}

impl OperationReport {
    fn new(
        operation: &'static str,
        record: &KindRecord,
        elapsed: Duration,
        open: bool,
    ) -> OperationReport {
        OperationReport {
            operation,
            requests: record.requests,
            errors: record.failed,
            bytes: record.bytes,
            requests_per_second: per_second(record.requests as f64, elapsed),
            mib_per_second: per_second(record.bytes as f64 / MIB, elapsed),
            latency_us: Percentiles::of(&record.latency),
            first_byte_us: Percentiles::of(&record.first_byte),
            service_us: open.then(|| Percentiles::of(&record.service)),
        }
    }

    fn rates(&self) -> [String; 4] {
        let totals = Totals {
            requests: self.requests,
            errors: self.errors,
            bytes: self.bytes,
            requests_per_second: self.requests_per_second,
            mib_per_second: self.mib_per_second,
        };
        totals.rates()
    }
}

impl Percentiles {
    fn cells(&self) -> [String; 5] {
        [self.p50, self.p90, self.p99, self.p99_9, self.max].map(microseconds)
    }
}

impl Load {
    fn describe(&self) -> String {
        let plural = |count: usize, noun| crate::quantity::counted(count as u64, noun);
        let connections = plural(self.connections, "connection");
        let threads = plural(self.threads, "thread");
        let shape = match self.rate {
            None => "closed loop".to_owned(),
            Some(rate) => format!("open loop at {rate} requests/s"),
        };
        let warmup = match self.warmup.is_zero() {
            true => String::new(),
            false => format!(", {:?} of warm-up", self.warmup),
        };
        format!("{shape}, {connections}, {threads}{warmup}")
    }
}

fn cost_cells(cost: &CpuCost) -> [String; 4] {
    let known = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.3}"));
    [
        known(cost.us_per_request),
        known(cost.s_per_gib),
        format!("{:.2}", cost.cores),
        format!("{:.2}", cost.seconds),
    ]
}

fn per_second(count: f64, elapsed: Duration) -> f64 {
    let seconds = elapsed.as_secs_f64();
    if seconds > 0.0 { count / seconds } else { 0.0 }
}

/// A line of the table: a name and cells set to the right.
fn row(name: &str, cells: &[impl AsRef<str>]) -> String {
    let mut line = format!("{name:<16}");
    for cell in cells {
        // Width counts characters, so that µ does not shift the column.
        _ = write!(line, "{:>13}", cell.as_ref());
    }
    line
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn histogram(nanoseconds: impl Iterator<Item = u64>) -> Histogram<u64> {
        let mut histogram = Histogram::new_with_bounds(1, 3_600_000_000_000, 3).expect("bounds");
        nanoseconds.for_each(|value| histogram.saturating_record(value));
        histogram
    }

    pub(crate) fn report() -> Report {
        let times = Percentiles::of(&histogram((1..=1000).map(|us| us * 1000)));
        let total = Totals {
            requests: 1000,
            errors: 2,
            bytes: 4 << 20,
            requests_per_second: 100.0,
            mib_per_second: 0.4,
        };
        Report {
            command: "get".to_owned(),
            endpoint: "http://127.0.0.1:9000".to_owned(),
            bucket: "bench".to_owned(),
            client: "anonymous".to_owned(),
            scenario: "10 objects".to_owned(),
            load: "closed loop".to_owned(),
            ended: Ended::Complete,
            elapsed_s: 10.0,
            total,
            operations: vec![OperationReport {
                operation: "get",
                requests: 1000,
                errors: 2,
                bytes: 4 << 20,
                requests_per_second: 100.0,
                mib_per_second: 0.4,
                latency_us: times,
                first_byte_us: times,
                service_us: None,
            }],
            errors: vec![ErrorReport {
                kind: "503 SlowDown".to_owned(),
                count: 2,
                example: "get k: answered 503 SlowDown".to_owned(),
            }],
            damage: Damage::default(),
            connections_opened: 0,
            rdma: None,
            open_loop: None,
            server_cpu: Some(CpuCost::new(
                Duration::from_millis(10),
                Duration::from_secs(10),
                1000,
                4 << 20,
            )),
            server_cpu_error: None,
            client_cpu: CpuCost::new(Duration::ZERO, Duration::from_secs(10), 1000, 0),
        }
    }

    #[test]
    fn percentiles_are_those_of_the_distribution() {
        let times = Percentiles::of(&histogram((1..=1000).map(|us| us * 1000)));
        let near = |value: f64, expected: f64| (value / expected - 1.0).abs() < 0.002;
        assert!(near(times.p50, 500.0), "{times:?}");
        assert!(near(times.p90, 900.0) && near(times.p99, 990.0));
        assert!(near(times.p99_9, 999.0) && near(times.max, 1000.0) && near(times.mean, 500.5));
    }

    #[test]
    fn the_table_shows_every_figure() {
        let table = report().table();
        let line = |name: &str| {
            let line = table.lines().find(|line| line.starts_with(name));
            let line = line.unwrap_or_else(|| panic!("no line \"{name}\" in\n{table}"));
            line[name.len()..].split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(line("get  "), "1,000 2 100.0 0.4");
        assert_eq!(line("get latency"), "500 µs 900 µs 990 µs 999 µs 1.00 ms");
        assert_eq!(line("server CPU"), "10.000 2.560 0.00 0.01");
        assert_eq!(line("client CPU"), "0.000 - 0.00 0.00");
        assert!(table.contains("2  503 SlowDown; the first: get k: answered 503 SlowDown"));
    }

    #[test]
    fn json_carries_the_same_under_names_with_units() {
        let json = serde_json::to_value(report()).expect("JSON");
        assert_eq!(json["total"]["requests"], 1000);
        assert_eq!(json["server_cpu"]["us_per_request"], 10.0);
        assert_eq!(json["operations"][0]["operation"], "get");
        assert!(json["operations"][0]["latency_us"]["p99_9"].as_f64() > Some(990.0));
        assert_eq!(json["ended"], "complete");
        assert!(json["client_cpu"]["s_per_gib"].is_null());
    }

    #[test]
    fn a_run_without_rdma_that_asked_for_it_is_no_success() {
        let mut report = report();
        report.total.errors = 0;
        report.rdma = Some(RdmaReport {
            protocol: "pooled",
            device: "rxe0".to_owned(),
            port: 1,
            gid: "::ffff:10.0.0.1".to_owned(),
            path_mtu: 1024,
            by_rdma: 0,
            by_rdma_bytes: 0,
            by_http: 1000,
            by_http_bytes: 4 << 20,
            declines: vec![DeclineReport { reason: "declined".to_owned(), count: 1000 }],
            work_requests: 0,
            retries: 3,
            queue_pairs_before: 16,
            queue_pairs_made: 0,
            buffers_registered: 16,
            buffers_reused: 984,
            fallback_allowed: false,
        });
        assert!(!report.is_success());
        let table = report.table();
        assert!(table.contains("nothing went by RDMA: declined. Ask"), "{table}");
        assert!(table.contains("1,000  by HTTP: declined\n"), "{table}");
        let rdma = report.rdma.as_mut().expect("it was set");
        rdma.fallback_allowed = true;
        assert!(report.is_success() && report.nothing_by_rdma().is_none());
        let rdma = report.rdma.as_mut().expect("it was set");
        (rdma.fallback_allowed, rdma.by_rdma) = (false, 1);
        assert!(report.is_success());
        let json = serde_json::to_value(&report).expect("JSON");
        assert_eq!(json["rdma"]["declines"][0]["count"], 1000);
        assert_eq!(json["rdma"]["queue_pairs_before"], 16);
    }

    #[test]
    fn errors_and_damage_are_no_success() {
        let mut good = report();
        good.total.errors = 0;
        assert!(good.is_success());
        assert!(!report().is_success());
        good.damage.count = 1;
        assert!(!good.is_success());
    }
}
