//! OpenMetrics 1.0, which has exemplars: next to a bucket's count, a trace that fell into it.
//!
//! Owns: the text form, and when a client wants it. The `prometheus` crate writes the older text
//! form alone (`export.rs`). What OpenMetrics wants differently: families of counters are named
//! without `_total`, units have a line, bounds are floating-point numbers, the end is marked.
//! Source: openmetrics.io, "OpenMetrics, a cloud-native, highly scalable metrics protocol", 1.0.0.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderValue;

use super::figure::{Figure, Histogram, Value};
use super::table::{Kind, Metric};

/// What the answer's `Content-Type` is.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// One observation that a trace shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exemplar {
    /// The trace.
    pub trace: u128,
    /// The span in it.
    pub span: u64,
    /// What was observed, in the metric's unit.
    pub value: f64,
    /// When.
    pub at: SystemTime,
}

/// The exemplars of one series of a histogram.
#[derive(Debug, Clone, PartialEq)]
pub struct ExemplarRow {
    /// The row of the table.
    pub metric: &'static Metric,
    /// The values of its labels, in the table's order.
    pub labels: Vec<&'static str>,
    /// One for each bucket, the one over the last bound behind the others.
    pub buckets: Vec<Option<Exemplar>>,
}

/// Somebody who keeps exemplars.
pub trait Exemplars: Send + Sync {
    /// The latest of each bucket.
    fn exemplars(&self) -> Vec<ExemplarRow>;
}

/// Whether a client would rather have this form, by its `Accept`.
pub fn is_wanted(accept: Option<&HeaderValue>) -> bool {
    let Some(accept) = accept.and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let (mut open_metrics, mut text) = (0.0, 0.0);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let (mut quality, mut known) = (1.0f64, true);
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim() {
                "q" => quality = value.trim().parse().unwrap_or(0.0),
                "version" => known = matches!(value.trim(), "1.0.0" | "0.0.1"),
                _ => {}
            }
        }
        if kind.eq_ignore_ascii_case("application/openmetrics-text") && known {
            open_metrics = quality.max(open_metrics);
        } else if kind.eq_ignore_ascii_case("text/plain") {
            text = quality.max(text);
        }
    }
    open_metrics > 0.0 && open_metrics >= text
}

/// The whole text.
pub fn text(figures: &[Figure], exemplars: &[ExemplarRow]) -> String {
    let mut families: BTreeMap<&str, Vec<&Figure>> = BTreeMap::new();
    for figure in figures {
        families.entry(figure.metric.name).or_default().push(figure);
    }
    let exemplars: HashMap<_, _> = exemplars
        .iter()
        .map(|row| ((row.metric.name, row.labels.as_slice()), row.buckets.as_slice()))
        .collect();
    // A line of a histogram has about 110 bytes.
    let mut out = String::with_capacity(figures.len() * 128);
    for figures in families.into_values() {
        head(&mut out, figures[0].metric);
        for figure in figures {
            let labels: Vec<&str> = figure.labels.iter().map(|label| &**label).collect();
            let series = Series { metric: figure.metric, labels: labels_text(figure) };
            match &figure.value {
                Value::Number(value) => series.line(&mut out, "", None, *value),
                Value::Histogram(histogram) => {
                    let found = exemplars.get(&(figure.metric.name, labels.as_slice()));
                    series.histogram(&mut out, histogram, found.copied().unwrap_or_default());
                }
            }
        }
    }
    out.push_str("# EOF\n");
    out
}

/// The name of a family.
fn family(metric: &Metric) -> &'static str {
    match metric.kind {
        Kind::Counter => metric.name.strip_suffix("_total").unwrap_or(metric.name),
        Kind::Gauge | Kind::Histogram => metric.name,
    }
}

/// Writing to a String cannot fail: the outcomes of `write!` are not looked at here.
fn head(out: &mut String, metric: &Metric) {
    let name = family(metric);
    let kind = match metric.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    let _ = writeln!(out, "# TYPE {name} {kind}");
    let unit = ["seconds", "bytes", "celsius", "ratio"]
        .into_iter()
        .find(|unit| name.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_')));
    if let Some(unit) = unit {
        let _ = writeln!(out, "# UNIT {name} {unit}");
    }
    let _ = write!(out, "# HELP {name} ");
    escape(out, metric.help);
    out.push('\n');
}

/// One series: its metric and its labels as text, without braces.
struct Series {
    metric: &'static Metric,
    labels: String,
}

impl Series {
    fn line(&self, out: &mut String, suffix: &str, bound: Option<&str>, value: f64) {
        self.open(out, suffix, bound);
        number(out, value);
        out.push('\n');
    }

    /// Name and labels, and the space behind them.
    fn open(&self, out: &mut String, suffix: &str, bound: Option<&str>) {
        out.push_str(self.metric.name);
        out.push_str(suffix);
        if !self.labels.is_empty() || bound.is_some() {
            out.push('{');
            out.push_str(&self.labels);
            if let Some(bound) = bound {
                let comma = if self.labels.is_empty() { "" } else { "," };
                let _ = write!(out, "{comma}le=\"{bound}\"");
            }
            out.push('}');
        }
        out.push(' ');
    }

    fn histogram(&self, out: &mut String, histogram: &Histogram, exemplars: &[Option<Exemplar>]) {
        let mut below = 0;
        for (index, count) in histogram.counts.iter().enumerate() {
            below += count;
            let bound = histogram.bounds.get(index).map_or("+Inf".into(), |it| canonical(*it));
            self.open(out, "_bucket", Some(&bound));
            let _ = write!(out, "{below}");
            if let Some(Some(exemplar)) = exemplars.get(index) {
                exemplar.write(out);
            }
            out.push('\n');
        }
        self.line(out, "_count", None, below as f64);
        self.line(out, "_sum", None, histogram.sum);
    }
}

impl Exemplar {
    fn write(&self, out: &mut String) {
        let Exemplar { trace, span, value, at } = self;
        let at = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let _ = write!(out, " # {{trace_id=\"{trace:032x}\",span_id=\"{span:016x}\"}} ");
        number(out, *value);
        let _ = write!(out, " {}.{:03}", at.as_secs(), at.subsec_millis());
    }
}

fn labels_text(figure: &Figure) -> String {
    let mut text = String::new();
    for (name, value) in figure.metric.labels.iter().zip(&figure.labels) {
        let comma = if text.is_empty() { "" } else { "," };
        let _ = write!(text, "{comma}{name}=\"");
        escape(&mut text, value);
        text.push('"');
    }
    text
}

/// Strings of labels and help texts.
fn escape(out: &mut String, text: &str) {
    if !text.contains(['\\', '"', '\n']) {
        return out.push_str(text);
    }
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}

fn number(out: &mut String, value: f64) {
    // Counts are exact up to 2^53, and much faster as whole numbers.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let _ = match value {
        _ if value.is_nan() => write!(out, "NaN"),
        _ if value.is_infinite() => write!(out, "{}Inf", if value > 0.0 { '+' } else { '-' }),
        _ if value.fract() == 0.0 && value.abs() < EXACT => write!(out, "{}", value as i64),
        _ => write!(out, "{value}"),
    };
}

/// A bound in the form that the specification names canonical ("Considerations: Canonical
/// Numbers"): `0.001`, `1.0`, `5e-05`, `1e+06`.
fn canonical(bound: f64) -> String {
    let scientific = format!("{bound:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..6).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", exponent.abs())
        }
        _ => format!("{bound:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::table;
    use std::borrow::Cow;
    use std::collections::BTreeSet;
    use std::time::Duration;

    #[test]
    fn who_asks_for_it_gets_it() {
        let wanted = |accept: &'static str| is_wanted(Some(&HeaderValue::from_static(accept)));
        // Prometheus 2.42.
        assert!(wanted(
            "application/openmetrics-text;version=1.0.0,\
             application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
        ));
        assert!(wanted("application/openmetrics-text"));
        assert!(wanted("application/openmetrics-text; version=1.0.0; charset=utf-8"));
        assert!(!wanted("text/plain;version=0.0.4;q=1,application/openmetrics-text;q=0.5"));
        assert!(!wanted("application/openmetrics-text;q=0"));
        assert!(!wanted("application/openmetrics-text;version=9.0.0"));
        assert!(!wanted("*/*"));
        assert!(!is_wanted(None));
    }

    #[test]
    fn bounds_are_canonical() {
        for (bound, text) in [
            (0.00005, "5e-05"),
            (0.0001, "0.0001"),
            (0.25, "0.25"),
            (1.0, "1.0"),
            (300.0, "300.0"),
            (1e6, "1e+06"),
            (2_500_000.0, "2.5e+06"),
        ] {
            assert_eq!(canonical(bound), text);
        }
    }

    #[test]
    fn families_have_types_units_and_exemplars() {
        let histogram =
            Histogram { bounds: Cow::Borrowed(&[0.00005, 1.0]), counts: vec![2, 3, 1], sum: 1.5 };
        let figures = [
            Figure::labelled(&table::REQUESTS, ["GetObject", "2xx"], 6.0),
            Figure::histogram(&table::DURATION, ["GetObject", "2xx"], histogram),
            Figure::labelled(&table::BUILD, ["1 \"quoted\"\\\n"], 1.0),
            Figure::of(&table::CPU_SECONDS, 0.25),
        ];
        let exemplar = Exemplar {
            trace: 0xABC,
            span: 0xD,
            value: 0.5,
            at: UNIX_EPOCH + Duration::from_millis(1_520_879_607_789),
        };
        let row = ExemplarRow {
            metric: &table::DURATION,
            labels: vec!["GetObject", "2xx"],
            buckets: vec![None, Some(exemplar), None],
        };
        let expected = "\
# TYPE penstock_build_info gauge
# HELP penstock_build_info Always 1; the label is the version.
penstock_build_info{version=\"1 \\\"quoted\\\"\\\\\\n\"} 1
# TYPE penstock_request_duration_seconds histogram
# UNIT penstock_request_duration_seconds seconds
# HELP penstock_request_duration_seconds From the complete head of a request to the last byte of its response handed to TCP.
penstock_request_duration_seconds_bucket{operation=\"GetObject\",status=\"2xx\",le=\"5e-05\"} 2
penstock_request_duration_seconds_bucket{operation=\"GetObject\",status=\"2xx\",le=\"1.0\"} 5 # {trace_id=\"00000000000000000000000000000abc\",span_id=\"000000000000000d\"} 0.5 1520879607.789
penstock_request_duration_seconds_bucket{operation=\"GetObject\",status=\"2xx\",le=\"+Inf\"} 6
penstock_request_duration_seconds_count{operation=\"GetObject\",status=\"2xx\"} 6
penstock_request_duration_seconds_sum{operation=\"GetObject\",status=\"2xx\"} 1.5
# TYPE penstock_requests counter
# HELP penstock_requests Requests answered, by S3 operation and class of HTTP status.
penstock_requests_total{operation=\"GetObject\",status=\"2xx\"} 6
# TYPE process_cpu_seconds counter
# UNIT process_cpu_seconds seconds
# HELP process_cpu_seconds Processor time, user and system.
process_cpu_seconds_total 0.25
# EOF
";
        assert_eq!(text(&figures, &[row]), expected);
    }

    #[test]
    fn no_two_families_of_the_table_clash() {
        let mut names = BTreeSet::new();
        for metric in table::all() {
            let family = family(metric);
            let suffixes: &[&str] = match metric.kind {
                Kind::Counter => &["", "_total", "_created"],
                Kind::Gauge => &[""],
                Kind::Histogram => &["", "_bucket", "_count", "_sum", "_created"],
            };
            for suffix in suffixes {
                assert!(names.insert(format!("{family}{suffix}")), "{family}{suffix} twice");
            }
        }
    }
}
