//! `docs/METRICS.md`, written from the table.

use std::fmt::Write;

use super::table::{Kind, Metric, SECTIONS};

/// The whole document.
pub fn text() -> String {
    let mut text = String::from(
        "# Metrics\n\n\
         What `/metrics` on the administration address shows. Written by `penstock debug metrics`\n\
         from the table in `gateway/src/metrics/table.rs`; `make check` fails when it differs.\n\n\
         Counters begin at 0 when the server starts. A series appears with its first event, but for\n\
         those that are always there. Histograms have `_bucket`, `_sum` and `_count`.\n",
    );
    for section in SECTIONS {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n## {}\n\n{}\n\n", section.title, section.about);
        text.push_str("| metric | kind | labels | |\n|---|---|---|---|\n");
        section.metrics.iter().for_each(|metric| row(&mut text, metric));
    }
    text
}

fn row(text: &mut String, metric: &Metric) {
    let kind = match metric.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
    // Writing to a String cannot fail.
    let _ =
        writeln!(text, "| `{}` | {kind} | {} | {} |", metric.name, labels.join(", "), metric.help);
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_document_is_the_tables() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/METRICS.md");
        let present = std::fs::read_to_string(path).unwrap_or_default();
        assert!(present == super::text(), "docs/METRICS.md differs; run `make docs`");
    }
}
