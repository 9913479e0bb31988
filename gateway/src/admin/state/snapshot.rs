//! Figures at one moment, and what happened between two.
//!
//! Owns: finding a figure by metric and labels, and the difference of two moments as rates and
//! histograms. What is absent counts 0: a series appears with its first event.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::metrics::table::Metric;
use crate::metrics::{Figure, Histogram, Value};

/// Figures at one moment.
#[derive(Debug)]
pub struct Snapshot {
    /// When that was.
    pub at: Instant,
    /// The same in seconds since 1970.
    pub time: f64,
    figures: BTreeMap<&'static str, Vec<Figure>>,
}

impl Snapshot {
    /// Those figures at that moment.
    pub fn new(at: Instant, time: f64, all: Vec<Figure>) -> Snapshot {
        let mut figures: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for figure in all {
            figures.entry(figure.metric.name).or_default().push(figure);
        }
        Snapshot { at, time, figures }
    }

    /// All figures of a metric.
    pub fn of(&self, metric: &Metric) -> &[Figure] {
        self.figures.get(metric.name).map_or(&[], Vec::as_slice)
    }

    /// The value with exactly these labels; `None` where there is none.
    pub fn value(&self, metric: &Metric, labels: &[&str]) -> Option<f64> {
        let found = self.of(metric).iter().find(|figure| figure.labels == labels);
        found.map(Figure::number)
    }

    /// The sum over the figures whose labels begin with these.
    pub fn sum(&self, metric: &Metric, labels: &[&str]) -> f64 {
        self.of(metric).iter().filter(|it| begins(it, labels)).map(Figure::number).sum()
    }

    /// The same as a whole number.
    pub fn count(&self, metric: &Metric, labels: &[&str]) -> u64 {
        self.sum(metric, labels) as u64
    }

    /// The distinct values of a metric's first label, in the order of the figures.
    pub fn names(&self, metric: &Metric) -> Vec<&str> {
        let mut names = Vec::new();
        for figure in self.of(metric) {
            match figure.labels.first() {
                Some(name) if !names.contains(&name.as_ref()) => names.push(name.as_ref()),
                _ => {}
            }
        }
        names
    }

    /// The histograms that are wanted, added up; `None` without observations.
    fn histogram(&self, metric: &Metric, wanted: &dyn Fn(&Figure) -> bool) -> Option<Histogram> {
        let mut sum: Option<Histogram> = None;
        for figure in self.of(metric).iter().filter(|figure| wanted(figure)) {
            let Value::Histogram(histogram) = &figure.value else { continue };
            match &mut sum {
                Some(sum) => sum.add(histogram),
                None => sum = Some(histogram.clone()),
            }
        }
        sum
    }
}

/// Whether a figure's first labels are these.
fn begins(figure: &Figure, labels: &[&str]) -> bool {
    figure.labels.len() >= labels.len()
        && figure.labels.iter().zip(labels).all(|(mine, wanted)| mine == wanted)
}

/// Two moments, and the time between them.
#[derive(Debug, Clone, Copy)]
pub struct Window<'a> {
    /// The later.
    pub now: &'a Snapshot,
    /// The earlier.
    pub then: &'a Snapshot,
}

impl Window<'_> {
    /// Seconds from one to the other.
    pub fn seconds(&self) -> f64 {
        self.now.at.duration_since(self.then.at).as_secs_f64()
    }

    /// How much a counter grew, over all figures whose labels begin with these.
    pub fn growth(&self, metric: &Metric, labels: &[&str]) -> f64 {
        // What a part of the process counts could be read between two of its additions.
        (self.now.sum(metric, labels) - self.then.sum(metric, labels)).max(0.0)
    }

    /// The same a second.
    pub fn rate(&self, metric: &Metric, labels: &[&str]) -> f64 {
        self.per_second(self.growth(metric, labels))
    }

    /// An amount of the window, a second.
    pub fn per_second(&self, amount: f64) -> f64 {
        match self.seconds() {
            seconds if seconds > 0.0 => amount / seconds,
            _ => 0.0,
        }
    }

    /// What was observed in between, over all figures that are wanted.
    pub fn histogram(
        &self,
        metric: &Metric,
        wanted: impl Fn(&Figure) -> bool,
    ) -> Option<Histogram> {
        let now = self.now.histogram(metric, &wanted)?;
        Some(match self.then.histogram(metric, &wanted) {
            Some(then) => now.since(&then),
            None => now,
        })
    }

    /// A quantile of what was observed in between, over all figures whose labels begin with these.
    pub fn quantile(&self, metric: &Metric, labels: &[&str], quantile: f64) -> Option<f64> {
        self.histogram(metric, |figure| begins(figure, labels))?.quantile(quantile)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::metrics::table;
    use std::borrow::Cow;
    use std::time::Duration;

    /// Two moments ten seconds apart.
    pub(crate) fn moments(then: Vec<Figure>, now: Vec<Figure>) -> (Snapshot, Snapshot) {
        let start = Instant::now();
        let later = start + Duration::from_secs(10);
        (Snapshot::new(start, 1000.0, then), Snapshot::new(later, 1010.0, now))
    }

    fn reads(device: &'static str, value: f64) -> Figure {
        Figure::labelled(&table::DEVICE_READS, [device], value)
    }

    fn took(counts: [u64; 3]) -> Figure {
        let bounds = Cow::Borrowed(&[1.0, 2.0][..]);
        let histogram = Histogram { bounds, counts: counts.into(), sum: 1.0 };
        Figure::histogram(&table::DEVICE_READ_SECONDS, ["a"], histogram)
    }

    #[test]
    fn growth_is_by_labels_and_what_was_absent_was_nothing() {
        let (then, now) = moments(vec![reads("a", 5.0)], vec![reads("a", 25.0), reads("b", 30.0)]);
        let window = Window { now: &now, then: &then };
        assert_eq!(window.rate(&table::DEVICE_READS, &["a"]), 2.0);
        assert_eq!(window.rate(&table::DEVICE_READS, &["b"]), 3.0);
        assert_eq!(window.rate(&table::DEVICE_READS, &[]), 5.0);
        assert_eq!(window.rate(&table::DEVICE_WRITES, &[]), 0.0);
        assert_eq!(now.names(&table::DEVICE_READS), ["a", "b"]);
        assert_eq!(now.value(&table::DEVICE_READS, &["c"]), None);
    }

    #[test]
    fn quantiles_are_of_what_came_in_between() {
        let (then, now) = moments(vec![took([100, 0, 0])], vec![took([100, 10, 0])]);
        let window = Window { now: &now, then: &then };
        let quantile = window.quantile(&table::DEVICE_READ_SECONDS, &["a"], 0.5);
        assert_eq!(quantile, Some(1.5));
        let idle = Window { now: &now, then: &now };
        assert_eq!(idle.quantile(&table::DEVICE_READ_SECONDS, &["a"], 0.5), None);
        assert_eq!(idle.rate(&table::DEVICE_READ_SECONDS, &[]), 0.0);
    }
}
