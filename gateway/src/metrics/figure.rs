//! One value of one metric, as the part that counts it reports it when asked; and many of one.

use std::borrow::Cow;
use std::fmt;

use super::table::{Kind, Metric};

/// One value with its labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// The row of the table.
    pub metric: &'static Metric,
    /// Values of its labels, in the table's order.
    pub labels: Vec<Cow<'static, str>>,
    /// The value now.
    pub value: Value,
}

/// What a figure says.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Of a counter or a gauge.
    Number(f64),
    /// Of a histogram.
    Histogram(Histogram),
}

/// Counts by upper bound.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram {
    /// Upper bounds, ascending, in the metric's unit.
    pub bounds: Cow<'static, [f64]>,
    /// How many there were up to each bound and over the one before; one more at the end, for what
    /// is over the last bound.
    pub counts: Vec<u64>,
    /// The sum of what was observed, in the metric's unit.
    pub sum: f64,
}

/// What takes a series: the values of its labels in the table's order, and its value.
pub type TakeSeries<'a> = dyn FnMut(&[&str], f64) + 'a;

/// What tells the series of one row.
type Tell = dyn Fn(usize, &mut TakeSeries<'_>);

/// So many series of one metric, a counter or a gauge, that a [`Figure`] for each would take longer
/// than writing them: they stay with whoever counts them, and are told row by row.
pub struct Many {
    /// The row of the table.
    pub metric: &'static Metric,
    /// How many rows there are.
    pub rows: usize,
    tell: Box<Tell>,
}

impl Many {
    /// Rows of that metric; `tell` tells all series of the row with that number.
    pub fn new(
        metric: &'static Metric,
        rows: usize,
        tell: impl Fn(usize, &mut TakeSeries<'_>) + 'static,
    ) -> Many {
        debug_assert!(metric.kind != Kind::Histogram, "{}", metric.name);
        Many { metric, rows, tell: Box::new(tell) }
    }

    /// Tells the series of one row, which must be below `rows`.
    pub fn row(&self, row: usize, take: &mut TakeSeries<'_>) {
        (self.tell)(row, take);
    }
}

impl fmt::Debug for Many {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Many { metric, rows, .. } = self;
        f.debug_struct("Many").field("metric", &metric.name).field("rows", rows).finish()
    }
}

impl Figure {
    /// A counter's or a gauge's value, without labels.
    pub fn of(metric: &'static Metric, value: f64) -> Figure {
        Figure::labelled::<&'static str>(metric, [], value)
    }

    /// A counter's or a gauge's value.
    pub fn labelled<L: Into<Cow<'static, str>>>(
        metric: &'static Metric,
        labels: impl IntoIterator<Item = L>,
        value: f64,
    ) -> Figure {
        debug_assert!(metric.kind != Kind::Histogram, "{}", metric.name);
        Figure::new(metric, labels, Value::Number(value))
    }

    /// A histogram's value.
    pub fn histogram<L: Into<Cow<'static, str>>>(
        metric: &'static Metric,
        labels: impl IntoIterator<Item = L>,
        value: Histogram,
    ) -> Figure {
        debug_assert!(metric.kind == Kind::Histogram, "{}", metric.name);
        debug_assert_eq!(value.counts.len(), value.bounds.len() + 1, "{}", metric.name);
        Figure::new(metric, labels, Value::Histogram(value))
    }

    fn new<L: Into<Cow<'static, str>>>(
        metric: &'static Metric,
        labels: impl IntoIterator<Item = L>,
        value: Value,
    ) -> Figure {
        let labels: Vec<_> = labels.into_iter().map(Into::into).collect();
        debug_assert_eq!(labels.len(), metric.labels.len(), "{}", metric.name);
        Figure { metric, labels, value }
    }

    /// The value of a counter or a gauge; how many observations a histogram has.
    pub fn number(&self) -> f64 {
        match &self.value {
            Value::Number(number) => *number,
            Value::Histogram(histogram) => histogram.count() as f64,
        }
    }
}

impl Histogram {
    /// How many observations there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Adds the observations of another with the same bounds.
    pub fn add(&mut self, other: &Histogram) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.sum += other.sum;
    }

    /// What has been observed since `earlier`, which is a former state of this one.
    pub fn since(&self, earlier: &Histogram) -> Histogram {
        let pairs = self.counts.iter().zip(&earlier.counts);
        Histogram {
            bounds: self.bounds.clone(),
            counts: pairs.map(|(now, then)| now.saturating_sub(*then)).collect(),
            sum: self.sum - earlier.sum,
        }
    }

    /// The value that the share `quantile` of observations does not exceed, interpolated within its
    /// bucket as Prometheus does; `None` without observations. What is over the last bound counts
    /// as the last bound.
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let rank = quantile * self.count() as f64;
        let mut below = 0.0;
        for (index, count) in self.counts.iter().enumerate() {
            let count = *count as f64;
            if count > 0.0 && below + count >= rank {
                let lower = index.checked_sub(1).map_or(0.0, |index| self.bounds[index]);
                let upper = *self.bounds.get(index).unwrap_or(&lower);
                return Some(lower + (upper - lower) * ((rank - below) / count).clamp(0.0, 1.0));
            }
            below += count;
        }
        None
    }
}

/// A part of the process that reports figures, such as the store.
pub trait Figures: Send + Sync {
    /// Everything it has to report now, but for what is [`Many`].
    fn figures(&self) -> Vec<Figure>;

    /// What it has many of, as it is now.
    fn many(&self) -> Vec<Many> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(counts: [u64; 4]) -> Histogram {
        Histogram { bounds: Cow::Borrowed(&[1.0, 2.0, 4.0]), counts: counts.into(), sum: 7.0 }
    }

    #[test]
    fn quantiles_lie_within_their_bucket() {
        let spread = histogram([10, 10, 0, 0]);
        assert_eq!(spread.quantile(0.25), Some(0.5));
        assert_eq!(spread.quantile(0.5), Some(1.0));
        assert_eq!(spread.quantile(1.0), Some(2.0));
        assert_eq!(histogram([0, 0, 0, 3]).quantile(0.5), Some(4.0));
        assert_eq!(histogram([0; 4]).quantile(0.5), None);
    }

    #[test]
    fn what_came_since_is_the_difference() {
        let mut later = histogram([1, 2, 3, 4]);
        later.add(&histogram([1, 0, 0, 1]));
        let since = later.since(&histogram([1, 2, 3, 4]));
        assert_eq!((since.counts, since.sum), (vec![1, 0, 0, 1], 7.0));
    }
}
