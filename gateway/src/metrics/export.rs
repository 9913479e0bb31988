//! The exposition of everything that is counted, made when it is asked for.
//!
//! Owns: the registry (a value, never the global one) and the collector that adds the lanes up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use prometheus::core::{Collector, Desc};
use prometheus::proto;
use prometheus::{Registry, TextEncoder};

use super::cells::LaneCells;
use super::codes;
use super::figure::{Figure, Figures, Histogram, Value};
use super::labels::{
    Agreed, Copying, Delivery, Group, Handshake, Operation, Protocol, Refusal, Source, Stage,
    StatusClass, TlsMode, TlsVersion,
};
use super::openmetrics::{self, Exemplars};
use super::process;
use super::table::{self, Kind, Metric};

/// What is exported besides the figures of others.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The cells of each lane.
    pub lanes: Vec<Arc<LaneCells>>,
    /// What lanes run on: `io_uring` or `blocking`.
    pub engine: &'static str,
    /// The limit on connections.
    pub connections_limit: usize,
    /// Set at the start of the drain.
    pub draining: Arc<AtomicBool>,
}

/// Turns counts into text.
pub struct Exporter {
    registry: Registry,
    everything: Arc<Everything>,
    exemplars: Option<Arc<dyn Exemplars>>,
}

impl Exporter {
    /// An exporter of the lanes' cells, of the process and of whatever `others` report.
    ///
    /// # Errors
    /// When a name of the table is not a metric's name, which the tests rule out.
    pub fn new(
        observed: Observed,
        others: Vec<Arc<dyn Figures>>,
    ) -> Result<Exporter, prometheus::Error> {
        let everything = Arc::new(Everything { observed, others });
        let descriptions = table::all().map(describe).collect::<Result<Vec<_>, _>>()?;
        let registry = Registry::new();
        registry.register(Box::new(Collected { everything: everything.clone(), descriptions }))?;
        Ok(Exporter { registry, everything, exemplars: None })
    }

    /// The same with traces next to the buckets of histograms, where the form has a place for them.
    #[must_use]
    pub fn with_exemplars(mut self, exemplars: Option<Arc<dyn Exemplars>>) -> Exporter {
        self.exemplars = exemplars;
        self
    }

    /// The text form, version 0.0.4.
    ///
    /// # Errors
    /// When a figure of another part has no valid name.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    /// OpenMetrics' text form, version 1.0.0.
    pub fn open_metrics(&self) -> String {
        let exemplars = self.exemplars.as_ref().map(|it| it.exemplars()).unwrap_or_default();
        openmetrics::text(&self.everything.scraped(), &exemplars)
    }

    /// Everything but what takes long, for those who look every second.
    pub fn figures(&self) -> Vec<Figure> {
        self.everything.figures()
    }
}

impl std::fmt::Debug for Exporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}

fn describe(metric: &Metric) -> Result<Desc, prometheus::Error> {
    let labels = metric.labels.iter().map(|label| (*label).to_owned()).collect();
    Desc::new(metric.name.into(), metric.help.into(), labels, Default::default())
}

struct Everything {
    observed: Observed,
    others: Vec<Arc<dyn Figures>>,
}

impl Everything {
    fn figures(&self) -> Vec<Figure> {
        let mut figures = self.observed.figures();
        figures.extend(process::figures());
        figures.extend(self.others.iter().flat_map(|other| other.figures()));
        figures
    }

    fn scraped(&self) -> Vec<Figure> {
        let mut figures = self.figures();
        figures.extend(process::descriptors());
        figures
    }
}

struct Collected {
    everything: Arc<Everything>,
    descriptions: Vec<Desc>,
}

impl Collector for Collected {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        families(self.everything.scraped())
    }
}

impl Observed {
    fn sum(&self, cell: impl Fn(&LaneCells) -> u64) -> f64 {
        self.lanes.iter().map(|lane| cell(lane)).sum::<u64>() as f64
    }

    /// The lanes' histograms added up; `None` without lanes or observations.
    fn times(&self, cells: impl Fn(&LaneCells) -> Histogram) -> Option<Histogram> {
        let mut lanes = self.lanes.iter();
        let mut sum = cells(lanes.next()?);
        lanes.for_each(|lane| sum.add(&cells(lane)));
        (sum.count() > 0).then_some(sum)
    }

    fn figures(&self) -> Vec<Figure> {
        let draining = f64::from(u8::from(self.draining.load(Ordering::Relaxed)));
        let mut figures = vec![
            Figure::labelled(&table::BUILD, [env!("CARGO_PKG_VERSION")], 1.0),
            Figure::labelled(&table::LANES, [self.engine], self.lanes.len() as f64),
            Figure::of(&table::DRAINING, draining),
            Figure::of(&table::ABORTED, self.sum(|lane| lane.aborted.value())),
            Figure::of(&table::OPEN, self.sum(LaneCells::open)),
            Figure::of(&table::LIMIT, self.connections_limit as f64),
        ];
        figures.extend(Operation::ALL.iter().flat_map(|operation| self.of_operation(*operation)));
        figures.extend(self.stages());
        figures.extend(self.errors());
        figures.extend(self.bytes());
        figures.extend(self.tls());
        for protocol in Protocol::ALL {
            let count = self.sum(|lane| lane.spoken(*protocol));
            figures.push(Figure::labelled(&table::ACCEPTED, [protocol.label()], count));
        }
        for reason in Refusal::ALL {
            let count = self.sum(|lane| lane.refusals(*reason));
            figures.push(Figure::labelled(&table::REFUSED, [reason.label()], count));
        }
        for (index, lane) in self.lanes.iter().enumerate() {
            let answered = lane.answered_in_all() as f64;
            figures.push(Figure::labelled(&table::LANE_REQUESTS, [index.to_string()], answered));
            let in_flight = lane.in_flight() as f64;
            figures.push(Figure::labelled(&table::LANE_IN_FLIGHT, [index.to_string()], in_flight));
            let open = lane.open() as f64;
            figures.push(Figure::labelled(&table::LANE_CONNECTIONS, [index.to_string()], open));
        }
        figures
    }

    /// Only what has happened: 27 operations of 5 classes would be 2,400 lines of zeros.
    fn of_operation(&self, operation: Operation) -> Vec<Figure> {
        let (row, name) = (operation as usize, operation.label());
        let mut figures = Vec::new();
        for class in StatusClass::ALL {
            let labels = || [name, class.label()];
            let count = self.sum(|lane| lane.answered(operation, *class));
            if count > 0.0 || *class == StatusClass::Success {
                figures.push(Figure::labelled(&table::REQUESTS, labels(), count));
            }
            let took = self.times(|lane| lane.durations(operation, *class));
            figures.extend(took.map(|it| Figure::histogram(&table::DURATION, labels(), it)));
        }
        let began = self.times(|lane| lane.first_bytes(operation));
        figures.extend(began.map(|it| Figure::histogram(&table::FIRST_BYTE, [name], it)));
        let in_flight = self.sum(|lane| lane.in_flight_of(operation));
        figures.push(Figure::labelled(&table::IN_FLIGHT, [name], in_flight));
        let received = self.sum(|lane| lane.received[row].value());
        figures.push(Figure::labelled(&table::RECEIVED, [name], received));
        let sent = self.sum(|lane| lane.sent[row].value());
        figures.push(Figure::labelled(&table::SENT, [name], sent));
        figures
    }

    fn stages(&self) -> Vec<Figure> {
        let mut figures = Vec::new();
        for stage in Stage::ALL {
            for group in Group::ALL {
                let labels = [stage.label(), group.label()];
                let took = self.times(|lane| lane.stages(*stage, *group));
                figures.extend(took.map(|it| Figure::histogram(&table::STAGES, labels, it)));
            }
        }
        figures
    }

    fn errors(&self) -> Vec<Figure> {
        let counts = codes::ALL
            .iter()
            .enumerate()
            .map(|(index, code)| (*code, self.sum(|lane| lane.errors(index))));
        counts
            .filter(|(_, count)| *count > 0.0)
            .map(|(code, count)| Figure::labelled(&table::ERRORS, [code], count))
            .collect()
    }

    fn tls(&self) -> Vec<Figure> {
        let mut figures = Vec::new();
        for version in TlsVersion::ALL {
            for outcome in Handshake::ALL {
                let count = self.sum(|lane| lane.tls.handshakes(*version, *outcome));
                let labels = [version.label(), outcome.label()];
                if count > 0.0 {
                    figures.push(Figure::labelled(&table::TLS_HANDSHAKES, labels, count));
                }
            }
        }
        let took = self.times(|lane| lane.tls.took.histogram());
        let none: [&str; 0] = [];
        figures.extend(took.map(|it| Figure::histogram(&table::TLS_HANDSHAKE_SECONDS, none, it)));
        for agreed in Agreed::ALL {
            let count = self.sum(|lane| lane.tls.agreed[*agreed as usize].value());
            figures.push(Figure::labelled(&table::TLS_AGREED, [agreed.label()], count));
        }
        for mode in TlsMode::ALL {
            let count = self.sum(|lane| lane.tls.modes[*mode as usize].value());
            figures.push(Figure::labelled(&table::TLS_CONNECTIONS, [mode.label()], count));
        }
        figures
    }

    fn bytes(&self) -> Vec<Figure> {
        let mut figures = Vec::new();
        // What RDMA delivers and copies, `rdma::receipts` counts.
        for delivery in Delivery::BY_TCP {
            for source in Source::ALL {
                let cell = (delivery as usize, *source as usize);
                let bytes = self.sum(|lane| lane.responses[cell.0][cell.1].value());
                let labels = [source.label(), delivery.label()];
                figures.push(Figure::labelled(&table::RESPONSE_BYTES, labels, bytes));
            }
        }
        for path in [Copying::SocketSend, Copying::SocketReceive, Copying::Tls, Copying::Frame] {
            let bytes = self.sum(|lane| lane.copied[path as usize].value());
            figures.push(Figure::labelled(&table::COPIED, [path.label()], bytes));
        }
        figures
    }
}

/// Figures of the same metric become one family.
fn families(figures: Vec<Figure>) -> Vec<proto::MetricFamily> {
    let mut families: BTreeMap<&'static str, proto::MetricFamily> = BTreeMap::new();
    for figure in figures {
        let metric = figure.metric;
        let family = families.entry(metric.name).or_insert_with(|| empty_family(metric));
        family.mut_metric().push(sample(figure));
    }
    families.into_values().collect()
}

fn empty_family(metric: &Metric) -> proto::MetricFamily {
    let mut family = proto::MetricFamily::default();
    family.set_name(metric.name.to_owned());
    family.set_help(metric.help.to_owned());
    family.set_field_type(match metric.kind {
        Kind::Counter => proto::MetricType::COUNTER,
        Kind::Gauge => proto::MetricType::GAUGE,
        Kind::Histogram => proto::MetricType::HISTOGRAM,
    });
    family
}

fn sample(figure: Figure) -> proto::Metric {
    let mut metric = proto::Metric::from_label(pairs(&figure));
    match (figure.value, figure.metric.kind) {
        (Value::Histogram(histogram), _) => metric.set_histogram(buckets(&histogram)),
        (Value::Number(value), Kind::Counter) => {
            let mut counter = proto::Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        }
        (Value::Number(value), _) => {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
    }
    metric
}

fn buckets(histogram: &Histogram) -> proto::Histogram {
    let mut cumulated = 0;
    let bucket = |(bound, count): (&f64, &u64)| {
        cumulated += count;
        let mut bucket = proto::Bucket::default();
        bucket.set_cumulative_count(cumulated);
        bucket.set_upper_bound(*bound);
        bucket
    };
    let mut out = proto::Histogram::default();
    out.set_bucket(histogram.bounds.iter().zip(&histogram.counts).map(bucket).collect());
    out.set_sample_count(histogram.count());
    out.set_sample_sum(histogram.sum);
    out
}

fn pairs(figure: &Figure) -> Vec<proto::LabelPair> {
    let pair = |(name, value): (&&str, &std::borrow::Cow<'static, str>)| {
        let mut pair = proto::LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value(value.as_ref().to_owned());
        pair
    };
    figure.metric.labels.iter().zip(&figure.labels).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    struct Drives;

    impl Figures for Drives {
        fn figures(&self) -> Vec<Figure> {
            let of = |device, value| Figure::labelled(&table::DEVICE_READS, [device], value);
            vec![of("0", 7.0), of("1", 9.0)]
        }
    }

    fn exporter(lanes: Vec<Arc<LaneCells>>) -> Exporter {
        let observed = Observed {
            lanes,
            engine: "blocking",
            connections_limit: 100,
            draining: Arc::default(),
        };
        Exporter::new(observed, vec![Arc::new(Drives)]).unwrap()
    }

    #[test]
    fn lanes_are_added_up() {
        let lanes = [Arc::new(LaneCells::default()), Arc::new(LaneCells::default())];
        for lane in &lanes {
            lane.request_started(Operation::GetObject);
            lane.request_ended(
                Operation::GetObject,
                StatusClass::Success,
                Duration::from_micros(60),
            );
            lane.sent[Operation::GetObject as usize].add(10);
            lane.stage_took(Stage::Auth, Group::Read, Duration::from_millis(2));
        }
        lanes[0].request_started(Operation::PutObject);
        lanes[0].refused(Refusal::HeaderTime);
        lanes[1].error_answered("NoSuchKey");
        let text = exporter(lanes.to_vec()).text().unwrap();
        for line in [
            "penstock_requests_total{operation=\"GetObject\",status=\"2xx\"} 2",
            "penstock_requests_in_flight{operation=\"PutObject\"} 1",
            "penstock_sent_body_bytes_total{operation=\"GetObject\"} 20",
            "penstock_refused_total{reason=\"header_time\"} 1",
            "penstock_request_errors_total{code=\"NoSuchKey\"} 1",
            "penstock_request_duration_seconds_bucket{operation=\"GetObject\",status=\"2xx\",le=\"0.00005\"} 0",
            "penstock_request_duration_seconds_bucket{operation=\"GetObject\",status=\"2xx\",le=\"0.0001\"} 2",
            "penstock_request_duration_seconds_count{operation=\"GetObject\",status=\"2xx\"} 2",
            "penstock_request_stage_seconds_count{stage=\"auth\",group=\"read\"} 2",
            "penstock_lanes{engine=\"blocking\"} 2",
            "penstock_lane_requests_total{lane=\"1\"} 1",
            "penstock_lane_requests_in_flight{lane=\"0\"} 1",
            "penstock_store_device_reads_total{device=\"0\"} 7",
            "penstock_store_device_reads_total{device=\"1\"} 9",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} in\n{text}");
        }
        assert_eq!(text.matches("# TYPE penstock_store_device_reads_total counter").count(), 1);
        assert!(!text.contains("status=\"5xx\""), "nothing that has not happened");
    }
}
