//! Prometheus's text form of everything that is counted, made when it is asked for.
//!
//! Owns: the registry (a value, never the global one) and the collector that adds the lanes up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use prometheus::core::{Collector, Desc};
use prometheus::proto;
use prometheus::{Registry, TextEncoder};

use super::process;
use super::{
    ABORTED, ACCEPTED, BUILD, Cell, DRAINING, DURATION, DURATION_BOUNDS_US, IN_FLIGHT, Kind, LANES,
    LIMIT, LaneCells, METRICS, Metric, OPEN, Operation, RECEIVED, REFUSED, REQUESTS, Refusal, SENT,
    StatusClass,
};

/// One value that another part of the process reports when asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Name with its unit; the same name always comes with the same help and kind.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// Counter or gauge.
    pub kind: Kind,
    /// Names and values of labels, bounded in number by what they name.
    pub labels: Vec<(&'static str, String)>,
    /// The value now.
    pub value: f64,
}

/// A part of the process that reports figures, such as the store.
pub trait Figures: Send + Sync {
    /// Everything it has to report now.
    fn figures(&self) -> Vec<Figure>;
}

/// What is exported besides the figures of others.
#[derive(Debug)]
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
#[derive(Debug)]
pub struct Exporter {
    registry: Registry,
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
        let descriptions = METRICS
            .iter()
            .map(|metric| {
                let labels = metric.labels.iter().map(|label| (*label).to_owned()).collect();
                Desc::new(metric.name.into(), metric.help.into(), labels, Default::default())
            })
            .collect::<Result<Vec<_>, _>>()?;
        let registry = Registry::new();
        registry.register(Box::new(Everything { observed, others, descriptions }))?;
        Ok(Exporter { registry })
    }

    /// The text form, version 0.0.4.
    ///
    /// # Errors
    /// When a figure of another part has no valid name.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

struct Everything {
    observed: Observed,
    others: Vec<Arc<dyn Figures>>,
    descriptions: Vec<Desc>,
}

impl Collector for Everything {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let mut families = self.observed.families();
        let mut figures = process::figures();
        figures.extend(self.others.iter().flat_map(|other| other.figures()));
        families.extend(figures_as_families(figures));
        families
    }
}

impl Observed {
    fn sum(&self, cell: impl Fn(&LaneCells) -> u64) -> f64 {
        self.lanes.iter().map(|lane| cell(lane)).sum::<u64>() as f64
    }

    fn families(&self) -> Vec<proto::MetricFamily> {
        let draining = f64::from(u8::from(self.draining.load(Ordering::Relaxed)));
        vec![
            single(&BUILD, [(&[("version", env!("CARGO_PKG_VERSION"))][..], 1.0)]),
            single(&LANES, [(&[("engine", self.engine)][..], self.lanes.len() as f64)]),
            single(&DRAINING, [(&[][..], draining)]),
            self.requests(),
            self.durations(),
            single(&IN_FLIGHT, [(&[][..], self.sum(LaneCells::in_flight))]),
            single(&RECEIVED, [(&[][..], self.sum(|lane| lane.received.value()))]),
            single(&SENT, [(&[][..], self.sum(|lane| lane.sent.value()))]),
            single(&ABORTED, [(&[][..], self.sum(|lane| lane.aborted.value()))]),
            single(
                &ACCEPTED,
                [
                    (&[("protocol", "http1")][..], self.sum(|lane| lane.accepted[0].value())),
                    (&[("protocol", "http2")][..], self.sum(|lane| lane.accepted[1].value())),
                ],
            ),
            single(&OPEN, [(&[][..], self.sum(LaneCells::open))]),
            single(&LIMIT, [(&[][..], self.connections_limit as f64)]),
            self.refusals(),
        ]
    }

    /// Only what has happened: 27 operations of 5 classes would be 135 lines of zeros.
    fn requests(&self) -> proto::MetricFamily {
        let mut metrics = Vec::new();
        for operation in Operation::ALL {
            for class in StatusClass::ALL {
                let count = self.sum(|lane| lane.answered(*operation, *class));
                if count > 0.0 || *class == StatusClass::Success {
                    let labels = [("operation", operation.label()), ("status", class.label())];
                    metrics.push(sample(Kind::Counter, &labels, count));
                }
            }
        }
        family(REQUESTS.name, REQUESTS.help, REQUESTS.kind, metrics)
    }

    fn durations(&self) -> proto::MetricFamily {
        let metrics = Operation::ALL.iter().map(|operation| self.duration(*operation)).collect();
        family(DURATION.name, DURATION.help, DURATION.kind, metrics)
    }

    fn duration(&self, operation: Operation) -> proto::Metric {
        let row = operation as usize;
        let mut cumulated = 0;
        let mut buckets = Vec::with_capacity(DURATION_BOUNDS_US.len());
        let count_of = |index: usize| -> u64 {
            self.lanes.iter().map(|lane| lane.durations[row][index].value()).sum()
        };
        for (index, bound) in DURATION_BOUNDS_US.iter().enumerate() {
            cumulated += count_of(index);
            let mut bucket = proto::Bucket::default();
            bucket.set_cumulative_count(cumulated);
            bucket.set_upper_bound(*bound as f64 / 1e6);
            buckets.push(bucket);
        }
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(cumulated + count_of(DURATION_BOUNDS_US.len()));
        histogram.set_sample_sum(self.sum(|lane| lane.duration_sums_us[row].value()) / 1e6);
        let mut metric = proto::Metric::from_label(pairs(&[("operation", operation.label())]));
        metric.set_histogram(histogram);
        metric
    }

    fn refusals(&self) -> proto::MetricFamily {
        let metrics = Refusal::ALL
            .iter()
            .map(|reason| {
                let count = self.sum(|lane| lane.refusals(*reason));
                sample(Kind::Counter, &[("reason", reason.label())], count)
            })
            .collect();
        family(REFUSED.name, REFUSED.help, REFUSED.kind, metrics)
    }
}

/// Figures of the same name become one family.
fn figures_as_families(figures: Vec<Figure>) -> Vec<proto::MetricFamily> {
    let mut families: Vec<proto::MetricFamily> = Vec::new();
    for figure in figures {
        let labels: Vec<_> =
            figure.labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let metric = sample(figure.kind, &labels, figure.value);
        match families.iter_mut().find(|family| family.name() == figure.name) {
            Some(present) => present.mut_metric().push(metric),
            None => families.push(family(figure.name, figure.help, figure.kind, vec![metric])),
        }
    }
    families
}

fn single<const N: usize>(
    metric: &Metric,
    samples: [(&[(&str, &str)], f64); N],
) -> proto::MetricFamily {
    let metrics =
        samples.iter().map(|(labels, value)| sample(metric.kind, labels, *value)).collect();
    family(metric.name, metric.help, metric.kind, metrics)
}

fn family(name: &str, help: &str, kind: Kind, metrics: Vec<proto::Metric>) -> proto::MetricFamily {
    let mut family = proto::MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(match kind {
        Kind::Counter => proto::MetricType::COUNTER,
        Kind::Gauge => proto::MetricType::GAUGE,
        Kind::Histogram => proto::MetricType::HISTOGRAM,
    });
    family.set_metric(metrics);
    family
}

fn sample(kind: Kind, labels: &[(&str, &str)], value: f64) -> proto::Metric {
    let mut metric = proto::Metric::from_label(pairs(labels));
    match kind {
        Kind::Counter => {
            let mut counter = proto::Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        }
        Kind::Gauge | Kind::Histogram => {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
    }
    metric
}

fn pairs(labels: &[(&str, &str)]) -> Vec<proto::LabelPair> {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = proto::LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    labels.iter().map(pair).collect()
}

/// Adds up one cell over lanes; for those who show a total outside the exposition.
pub fn total(lanes: &[Arc<LaneCells>], cell: impl Fn(&LaneCells) -> &Cell) -> u64 {
    lanes.iter().map(|lane| cell(lane).value()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    struct Store;

    impl Figures for Store {
        fn figures(&self) -> Vec<Figure> {
            let of = |device: &str, value| Figure {
                name: "penstock_store_free_bytes",
                help: "Free bytes.",
                kind: Kind::Gauge,
                labels: vec![("device", device.to_owned())],
                value,
            };
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
        Exporter::new(observed, vec![Arc::new(Store)]).unwrap()
    }

    #[test]
    fn lanes_are_added_up() {
        let lanes = [Arc::new(LaneCells::default()), Arc::new(LaneCells::default())];
        for lane in &lanes {
            lane.request_started();
            lane.request_ended(
                Operation::GetObject,
                StatusClass::Success,
                Duration::from_micros(60),
            );
            lane.sent.add(10);
        }
        lanes[0].request_started();
        lanes[0].refused(Refusal::HeaderTime);
        let text = exporter(lanes.to_vec()).text().unwrap();
        for line in [
            "penstock_requests_total{operation=\"GetObject\",status=\"2xx\"} 2",
            "penstock_requests_in_flight 1",
            "penstock_sent_body_bytes_total 20",
            "penstock_refused_total{reason=\"header_time\"} 1",
            "penstock_request_duration_seconds_bucket{operation=\"GetObject\",le=\"0.00005\"} 0",
            "penstock_request_duration_seconds_bucket{operation=\"GetObject\",le=\"0.0001\"} 2",
            "penstock_request_duration_seconds_count{operation=\"GetObject\"} 2",
            "penstock_lanes{engine=\"blocking\"} 2",
            "penstock_store_free_bytes{device=\"0\"} 7",
            "penstock_store_free_bytes{device=\"1\"} 9",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} in\n{text}");
        }
        assert_eq!(text.matches("# TYPE penstock_store_free_bytes gauge").count(), 1);
    }

    #[test]
    fn every_metric_of_the_table_is_exported_and_the_other_way_round() {
        let text = exporter(vec![Arc::default()]).text().unwrap();
        for metric in METRICS {
            assert!(text.contains(&format!("# TYPE {} ", metric.name)), "{}", metric.name);
        }
        let known = |name: &str| {
            METRICS.iter().any(|metric| metric.name == name)
                || name.starts_with("process_")
                || name.starts_with("penstock_store_")
        };
        for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let name = line.split(' ').next().unwrap();
            assert!(known(name), "{name}");
        }
    }

    #[test]
    fn a_duration_on_the_bound_counts_below_it() {
        let lane = LaneCells::default();
        for us in [50, 51, u64::MAX] {
            lane.request_ended(Operation::Other, StatusClass::Success, Duration::from_micros(us));
        }
        let row = &lane.durations[Operation::Other as usize];
        assert_eq!([row[0].value(), row[1].value(), row[16].value()], [1, 1, 1]);
    }
}
