//! The two text forms of the exposition, line by line.
//!
//! Owns: what a line looks like in each form, and which form a client wants. The older one is
//! Prometheus's text form, version 0.0.4. OpenMetrics 1.0 has exemplars: next to a bucket's count, a
//! trace that fell into it. What it wants differently besides: families of counters are named without
//! `_total`, units have a line, bounds are floating-point numbers, the end is marked.
//! Sources: prometheus.io, "Exposition formats"; openmetrics.io, "OpenMetrics, a cloud-native, highly
//! scalable metrics protocol", 1.0.0.
//! Not here: which lines there are, and when they are written (`exposition.rs`).

use std::fmt::Write;
use std::time::UNIX_EPOCH;

use http::HeaderValue;

use super::exemplar::Exemplar;
use super::figure::Histogram;
use super::table::{Kind, Metric};

/// What the exposition is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Prometheus's text form.
    Text,
    /// OpenMetrics' text form.
    OpenMetrics,
}

// Writing to a String cannot fail: the outcomes of `write!` are not looked at here.
impl Form {
    /// The form that a client would rather have, by its `Accept`.
    pub fn wanted(accept: Option<&HeaderValue>) -> Form {
        match accept.and_then(|value| value.to_str().ok()) {
            Some(accept) if prefers_open_metrics(accept) => Form::OpenMetrics,
            _ => Form::Text,
        }
    }

    /// What the answer's `Content-Type` is.
    pub fn content_type(self) -> &'static str {
        match self {
            Form::Text => "text/plain; version=0.0.4; charset=utf-8",
            Form::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// What comes before a metric's series.
    pub fn head(self, out: &mut String, metric: &Metric) {
        let name = self.family(metric);
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let _ = writeln!(out, "# TYPE {name} {kind}");
        let unit = ["seconds", "bytes", "celsius", "ratio"]
            .into_iter()
            .find(|unit| name.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_')));
        if let (Form::OpenMetrics, Some(unit)) = (self, unit) {
            let _ = writeln!(out, "# UNIT {name} {unit}");
        }
        let _ = write!(out, "# HELP {name} ");
        escape(out, metric.help, self == Form::OpenMetrics);
        out.push('\n');
    }

    /// One series of a histogram. `exemplars` has none, or one place for each bucket.
    pub fn histogram(
        self,
        out: &mut String,
        metric: &Metric,
        labels: &[&str],
        histogram: &Histogram,
        exemplars: &[Option<Exemplar>],
    ) {
        let mut below = 0;
        for (index, count) in histogram.counts.iter().enumerate() {
            below += count;
            let bound = histogram.bounds.get(index).map_or("+Inf".into(), |it| self.bound(*it));
            open(out, metric, "_bucket", labels, Some(&bound));
            let _ = write!(out, "{below}");
            if let (Form::OpenMetrics, Some(Some(exemplar))) = (self, exemplars.get(index)) {
                write_exemplar(out, exemplar);
            }
            out.push('\n');
        }
        line(out, metric, "_count", labels, below as f64);
        line(out, metric, "_sum", labels, histogram.sum);
    }

    /// What comes after everything.
    pub fn end(self) -> &'static str {
        match self {
            Form::Text => "",
            Form::OpenMetrics => "# EOF\n",
        }
    }

    /// The name of a family.
    fn family(self, metric: &Metric) -> &'static str {
        match (self, metric.kind) {
            (Form::OpenMetrics, Kind::Counter) => {
                metric.name.strip_suffix("_total").unwrap_or(metric.name)
            }
            _ => metric.name,
        }
    }

    fn bound(self, bound: f64) -> String {
        match self {
            Form::Text => bound.to_string(),
            Form::OpenMetrics => canonical(bound),
        }
    }
}

fn prefers_open_metrics(accept: &str) -> bool {
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

/// One line, which both forms have alike.
pub fn line(out: &mut String, metric: &Metric, suffix: &str, labels: &[&str], value: f64) {
    open(out, metric, suffix, labels, None);
    number(out, value);
    out.push('\n');
}

/// Name and labels, and the space behind them.
fn open(out: &mut String, metric: &Metric, suffix: &str, labels: &[&str], bound: Option<&str>) {
    out.push_str(metric.name);
    out.push_str(suffix);
    let mut before = '{';
    let values = labels.iter().copied().chain(bound);
    for (name, value) in metric.labels.iter().copied().chain(["le"]).zip(values) {
        out.push(before);
        out.push_str(name);
        out.push_str("=\"");
        escape(out, value, true);
        out.push('"');
        before = ',';
    }
    if before == ',' {
        out.push('}');
    }
    out.push(' ');
}

fn write_exemplar(out: &mut String, exemplar: &Exemplar) {
    let Exemplar { trace, span, value, at } = exemplar;
    let at = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let _ = write!(out, " # {{trace_id=\"{trace:032x}\",span_id=\"{span:016x}\"}} ");
    number(out, *value);
    let _ = write!(out, " {}.{:03}", at.as_secs(), at.subsec_millis());
}

/// Strings of labels and help texts; the older form's help texts have quotes as they are.
fn escape(out: &mut String, text: &str, quotes: bool) {
    if !text.bytes().any(|byte| matches!(byte, b'\\' | b'"' | b'\n')) {
        return out.push_str(text);
    }
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' if quotes => out.push_str("\\\""),
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
        _ if value.abs() < EXACT && value as i64 as f64 == value => write!(out, "{}", value as i64),
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
    use std::collections::BTreeSet;

    #[test]
    fn who_asks_for_it_gets_it() {
        let wanted = |accept: &'static str| {
            Form::wanted(Some(&HeaderValue::from_static(accept))) == Form::OpenMetrics
        };
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
        assert_eq!(Form::wanted(None), Form::Text);
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
    fn no_two_families_of_the_table_clash() {
        let mut names = BTreeSet::new();
        for metric in table::all() {
            let family = Form::OpenMetrics.family(metric);
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
