//! The exposition, piece by piece.
//!
//! Owns: the order of what is exposed (metrics by name, each with its series together), and how much
//! is written at once. What is exposed has been taken down when the exposition is made; writing it
//! is most of the work, and whoever does that can do something else between two pieces.
//! Not here: what lines look like (`form.rs`).

use super::exemplar::ExemplarRow;
use super::figure::{Figure, Many, Value};
use super::form::{self, Form};
use super::table::Metric;
use crate::limits;

/// The pieces of one exposition, none of them empty.
#[derive(Debug)]
pub struct Exposition {
    form: Form,
    parts: Vec<Part>,
    /// What is written next.
    next: Place,
    exemplars: Vec<ExemplarRow>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Place {
    part: usize,
    /// Of a part that has many.
    row: usize,
}

#[derive(Debug)]
enum Part {
    Head(&'static Metric),
    Figure(Figure),
    Many(Many),
    End,
}

impl Exposition {
    /// Of these series, and of exemplars where the form has a place for them.
    pub fn new(
        form: Form,
        figures: Vec<Figure>,
        many: Vec<Many>,
        exemplars: Vec<ExemplarRow>,
    ) -> Exposition {
        let figures = figures.into_iter().map(|figure| (figure.metric, Part::Figure(figure)));
        let many = many.into_iter().filter(|many| many.rows > 0);
        let many = many.map(|many| (many.metric, Part::Many(many)));
        let mut all: Vec<_> = figures.chain(many).collect();
        all.sort_by_key(|(metric, _)| metric.name);
        let mut parts = Vec::with_capacity(all.len() + all.len() / 4);
        let mut previous = None;
        for (metric, part) in all {
            if previous != Some(metric.name) {
                parts.push(Part::Head(metric));
            }
            previous = Some(metric.name);
            parts.push(part);
        }
        parts.push(Part::End);
        Exposition { form, parts, next: Place::default(), exemplars }
    }

    fn write(&self, out: &mut String, part: &Part) {
        match part {
            Part::Head(metric) => self.form.head(out, metric),
            Part::Figure(figure) => self.figure(out, figure),
            Part::Many(many) => many.row(self.next.row, &mut |labels, value| {
                form::line(out, many.metric, "", labels, value);
            }),
            Part::End => out.push_str(self.form.end()),
        }
    }

    fn figure(&self, out: &mut String, figure: &Figure) {
        let labels: Vec<&str> = figure.labels.iter().map(|label| &**label).collect();
        match &figure.value {
            Value::Number(value) => form::line(out, figure.metric, "", &labels, *value),
            Value::Histogram(histogram) => {
                let of = |row: &&ExemplarRow| {
                    std::ptr::eq(row.metric, figure.metric) && row.labels == labels
                };
                let found = self.exemplars.iter().find(of).map(|row| &*row.buckets);
                let exemplars = found.unwrap_or_default();
                self.form.histogram(out, figure.metric, &labels, histogram, exemplars);
            }
        }
    }
}

impl Iterator for Exposition {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        if self.next.part == self.parts.len() {
            return None;
        }
        let room = limits::EXPOSITION_PIECE_BYTES + limits::EXPOSITION_PART_BYTES;
        let mut out = String::with_capacity(room);
        while out.len() < limits::EXPOSITION_PIECE_BYTES
            && let Some(part) = self.parts.get(self.next.part)
        {
            self.write(&mut out, part);
            let Place { part: next, row } = self.next;
            self.next = match part {
                Part::Many(many) if row + 1 < many.rows => Place { part: next, row: row + 1 },
                _ => Place { part: next + 1, row: 0 },
            };
        }
        (!out.is_empty()).then_some(out)
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::metrics::exemplar::Exemplar;
    use crate::metrics::figure::Histogram;
    use crate::metrics::table;

    fn figures() -> Vec<Figure> {
        let histogram =
            Histogram { bounds: Cow::Borrowed(&[0.00005, 1.0]), counts: vec![2, 3, 1], sum: 1.5 };
        vec![
            Figure::labelled(&table::REQUESTS, ["GetObject", "2xx"], 6.0),
            Figure::histogram(&table::DURATION, ["GetObject", "2xx"], histogram),
            Figure::labelled(&table::BUILD, ["1 \"quoted\"\\\n"], 1.0),
            Figure::of(&table::CPU_SECONDS, 0.25),
        ]
    }

    fn exemplars() -> Vec<ExemplarRow> {
        let exemplar = Exemplar {
            trace: 0xABC,
            span: 0xD,
            value: 0.5,
            at: UNIX_EPOCH + Duration::from_millis(1_520_879_607_789),
        };
        vec![ExemplarRow {
            metric: &table::DURATION,
            labels: vec!["GetObject", "2xx"],
            buckets: vec![None, Some(exemplar), None],
        }]
    }

    fn whole(form: Form) -> String {
        Exposition::new(form, figures(), Vec::new(), exemplars()).collect()
    }

    #[test]
    fn open_metrics_has_types_units_and_exemplars() {
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
        assert_eq!(whole(Form::OpenMetrics), expected);
    }

    #[test]
    fn the_older_form_has_names_as_they_are_and_plain_bounds() {
        let expected = "\
# TYPE penstock_build_info gauge
# HELP penstock_build_info Always 1; the label is the version.
penstock_build_info{version=\"1 \\\"quoted\\\"\\\\\\n\"} 1
# TYPE penstock_request_duration_seconds histogram
# HELP penstock_request_duration_seconds From the complete head of a request to the last byte of its response handed to TCP.
penstock_request_duration_seconds_bucket{operation=\"GetObject\",status=\"2xx\",le=\"0.00005\"} 2
penstock_request_duration_seconds_bucket{operation=\"GetObject\",status=\"2xx\",le=\"1\"} 5
penstock_request_duration_seconds_bucket{operation=\"GetObject\",status=\"2xx\",le=\"+Inf\"} 6
penstock_request_duration_seconds_count{operation=\"GetObject\",status=\"2xx\"} 6
penstock_request_duration_seconds_sum{operation=\"GetObject\",status=\"2xx\"} 1.5
# TYPE penstock_requests_total counter
# HELP penstock_requests_total Requests answered, by S3 operation and class of HTTP status.
penstock_requests_total{operation=\"GetObject\",status=\"2xx\"} 6
# TYPE process_cpu_seconds_total counter
# HELP process_cpu_seconds_total Processor time, user and system.
process_cpu_seconds_total 0.25
";
        assert_eq!(whole(Form::Text), expected);
    }

    #[test]
    fn many_rows_come_in_pieces_with_one_head_and_in_order() {
        let many = Many::new(&table::BUCKET_REQUESTS, 5000, |row, series| {
            series(&[&format!("b{row}"), "2xx"], row as f64);
            if row % 2 == 0 {
                series(&[&format!("b{row}"), "5xx"], 0.5);
            }
        });
        let none = Many::new(&table::USER_SENT, 0, |_, _| unreachable!("it has no rows"));
        let pieces: Vec<_> =
            Exposition::new(Form::OpenMetrics, figures(), vec![none, many], Vec::new()).collect();
        assert!(pieces.len() > 2, "{}", pieces.len());
        for piece in &pieces {
            let most = limits::EXPOSITION_PIECE_BYTES + limits::EXPOSITION_PART_BYTES;
            assert!(piece.len() <= most && piece.capacity() <= most, "{}", piece.len());
            assert!(piece.ends_with('\n'));
        }
        let text = pieces.concat();
        assert_eq!(text.matches("# TYPE penstock_bucket_requests counter").count(), 1);
        let mut rows = text.lines().filter(|line| line.starts_with("penstock_bucket_requests_"));
        for row in 0..5000 {
            let line =
                format!("penstock_bucket_requests_total{{bucket=\"b{row}\",status=\"2xx\"}} {row}");
            assert_eq!(rows.next(), Some(&*line));
            if row % 2 == 0 {
                let line = format!(
                    "penstock_bucket_requests_total{{bucket=\"b{row}\",status=\"5xx\"}} 0.5"
                );
                assert_eq!(rows.next(), Some(&*line));
            }
        }
        assert_eq!(rows.next(), None);
        assert!(!text.contains("penstock_user_sent"));
        assert!(text.ends_with("process_cpu_seconds_total 0.25\n# EOF\n"));
    }
}
