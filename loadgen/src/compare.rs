//! Owns the comparison of endpoints: rounds in which each is loaded in turn, so that what disturbs
//! the machine disturbs all; medians; and ratios to the first endpoint, taken within each round.

use std::fmt::Write as _;

use serde::Serialize;

use crate::report::Report;

/// One figure of a run that endpoints are compared by.
struct Metric {
    name: &'static str,
    /// Key in the JSON.
    key: &'static str,
    decimals: usize,
    of: fn(&Report) -> Option<f64>,
}

const METRICS: [Metric; 10] = [
    Metric {
        name: "requests/s",
        key: "requests_per_second",
        decimals: 1,
        of: |report| Some(report.total.requests_per_second),
    },
    Metric {
        name: "MiB/s",
        key: "mib_per_second",
        decimals: 1,
        of: |report| Some(report.total.mib_per_second),
    },
    Metric {
        name: "latency p50, µs",
        key: "latency_p50_us",
        decimals: 1,
        of: |report| Some(report.operations.first()?.latency_us.p50),
    },
    Metric {
        name: "latency p99, µs",
        key: "latency_p99_us",
        decimals: 1,
        of: |report| Some(report.operations.first()?.latency_us.p99),
    },
    Metric {
        name: "latency p99.9, µs",
        key: "latency_p99_9_us",
        decimals: 1,
        of: |report| Some(report.operations.first()?.latency_us.p99_9),
    },
    Metric {
        name: "first byte p50, µs",
        key: "first_byte_p50_us",
        decimals: 1,
        of: |report| Some(report.operations.first()?.first_byte_us.p50),
    },
    Metric {
        name: "server CPU, µs/request",
        key: "server_cpu_us_per_request",
        decimals: 2,
        of: |report| report.server_cpu?.us_per_request,
    },
    Metric {
        name: "server CPU, s/GiB",
        key: "server_cpu_s_per_gib",
        decimals: 3,
        of: |report| report.server_cpu?.s_per_gib,
    },
    Metric {
        name: "client CPU, µs/request",
        key: "client_cpu_us_per_request",
        decimals: 2,
        of: |report| report.client_cpu.us_per_request,
    },
    Metric {
        name: "client CPU, s/GiB",
        key: "client_cpu_s_per_gib",
        decimals: 3,
        of: |report| report.client_cpu.s_per_gib,
    },
];

/// The rounds of several endpoints, in words and figures.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Comparison {
    pub(crate) scenario: String,
    pub(crate) load: String,
    pub(crate) rounds: usize,
    /// Names, the first being what the others are measured by.
    pub(crate) endpoints: Vec<String>,
    pub(crate) metrics: Vec<MetricComparison>,
    pub(crate) errors: u64,
    /// Every run, by endpoint and round.
    pub(crate) runs: Vec<Vec<Report>>,
}

/// One figure of all endpoints. An endpoint has none when it was not measured in every round.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct MetricComparison {
    pub(crate) metric: &'static str,
    #[serde(skip)]
    name: &'static str,
    #[serde(skip)]
    decimals: usize,
    pub(crate) values: Vec<Option<Spread>>,
    /// Of each round's value to the first endpoint's of the same round.
    pub(crate) ratios: Vec<Option<Spread>>,
}

/// The middle of several rounds and their ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Of at least one value, all of them numbers; `None` else.
    fn of(mut values: Vec<f64>) -> Option<Spread> {
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let upper = *values.get(middle)?;
        let lower = values[(values.len() - 1) / 2];
        let (min, max) = (*values.first()?, *values.last()?);
        (min.is_finite() && max.is_finite()).then_some(Spread {
            median: f64::midpoint(lower, upper),
            min,
            max,
        })
    }
}

impl Comparison {
    /// Of runs by endpoint and round; every endpoint has the same number of rounds, at least one.
    pub(crate) fn new(names: &[String], runs: Vec<Vec<Report>>) -> Comparison {
        let first = &runs[0][0];
        Comparison {
            scenario: first.scenario.clone(),
            load: first.load.clone(),
            rounds: runs[0].len(),
            endpoints: names.to_vec(),
            metrics: METRICS.iter().map(|metric| compare(metric, &runs)).collect(),
            errors: runs.iter().flatten().map(|report| report.total.errors).sum(),
            runs,
        }
    }

    /// Whether every run did what it should.
    pub(crate) fn is_success(&self) -> bool {
        self.runs.iter().flatten().all(Report::is_success)
    }

    /// The table.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        _ = self.write_table(&mut text);
        text
    }

    fn write_table(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "compare\n  {}\n  {}", self.scenario, self.load)?;
        for (name, runs) in self.endpoints.iter().zip(&self.runs) {
            if let Some(run) = runs.first() {
                writeln!(text, "  {name}: {}/{}, {}", run.endpoint, run.bucket, run.client)?;
            }
        }
        let rounds = self.rounds;
        writeln!(
            text,
            "  medians of {rounds} interleaved rounds (smallest … largest); ratios to {}\n",
            self.endpoints[0]
        )?;
        for metric in &self.metrics {
            if metric.values.iter().any(Option::is_some) {
                self.write_metric(metric, text)?;
            }
        }
        for (name, runs) in self.endpoints.iter().zip(&self.runs) {
            if let Some(line) = runs.iter().find_map(Report::nothing_by_rdma) {
                writeln!(text, "{name}: {line}")?;
            }
            for error in runs.iter().flat_map(|run| &run.errors) {
                let (count, kind) = (error.count, &error.kind);
                writeln!(text, "{name}: {count} × {kind}; the first: {}", error.example)?;
            }
        }
        Ok(())
    }

    fn write_metric(&self, metric: &MetricComparison, text: &mut String) -> std::fmt::Result {
        writeln!(text, "{}", metric.name)?;
        let width = self.endpoints.iter().map(String::len).max().unwrap_or(0);
        let figures = metric.values.iter().zip(&metric.ratios);
        for (name, (value, ratio)) in self.endpoints.iter().zip(figures) {
            let value = value.map_or("not measured".to_owned(), |value| {
                let of = |value: f64| format!("{value:.*}", metric.decimals);
                let range = format!("({} … {})", of(value.min), of(value.max));
                format!("{:>12}  {range:<28}", of(value.median))
            });
            let ratio = ratio.map_or(String::new(), |ratio| {
                format!("{:.3} × ({:.3} … {:.3})", ratio.median, ratio.min, ratio.max)
            });
            writeln!(text, "{}", format!("  {name:<width$}  {value}  {ratio}").trim_end())?;
        }
        Ok(())
    }
}

fn compare(metric: &Metric, runs: &[Vec<Report>]) -> MetricComparison {
    let of_rounds =
        |reports: &Vec<Report>| -> Option<Vec<f64>> { reports.iter().map(metric.of).collect() };
    let values: Vec<Option<Vec<f64>>> = runs.iter().map(of_rounds).collect();
    let ratio = |mine: &Option<Vec<f64>>| {
        let pairs = mine.as_ref()?.iter().zip(values[0].as_ref()?);
        Spread::of(pairs.map(|(mine, first)| mine / first).collect())
    };
    let ratios = values.iter().enumerate();
    MetricComparison {
        metric: metric.key,
        name: metric.name,
        decimals: metric.decimals,
        ratios: ratios.map(|(at, mine)| if at == 0 { None } else { ratio(mine) }).collect(),
        values: values.iter().cloned().map(|values| Spread::of(values?)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    fn run(requests_per_second: f64) -> Report {
        let mut report = report();
        report.total.requests_per_second = requests_per_second;
        report.total.errors = 0;
        report
    }

    #[test]
    fn medians_and_ratios_are_taken_within_rounds() {
        // The machine halves its speed in the second round: the ratios do not see it.
        let first = vec![run(100.0), run(50.0), run(110.0)];
        let second = vec![run(150.0), run(75.0), run(176.0)];
        let names = ["nginx".to_owned(), "penstock".to_owned()];
        let comparison = Comparison::new(&names, vec![first, second]);
        let metric = &comparison.metrics[0];
        let spread = |median, min, max| Some(Spread { median, min, max });
        assert_eq!(metric.values, [spread(100.0, 50.0, 110.0), spread(150.0, 75.0, 176.0)]);
        assert_eq!(metric.ratios, [None, spread(1.5, 1.5, 1.6)]);
        assert!(comparison.is_success());
        let table = comparison.table();
        assert!(table.contains("1.500 × (1.500 … 1.600)"), "{table}");
    }

    #[test]
    fn a_figure_that_one_endpoint_lacks_has_no_ratio() {
        let mut other = run(1.0);
        other.server_cpu = None;
        let names = ["a".to_owned(), "b".to_owned()];
        let comparison = Comparison::new(&names, vec![vec![run(1.0)], vec![other]]);
        let metric = &comparison.metrics[6];
        assert_eq!(metric.metric, "server_cpu_us_per_request");
        assert!(metric.values[0].is_some());
        assert_eq!((metric.values[1], metric.ratios[1]), (None, None));
        assert!(comparison.table().contains("not measured"));
    }

    #[test]
    fn medians_of_even_and_of_no_values() {
        let middle = Spread::of(vec![4.0, 1.0, 2.0, 3.0]).map(|spread| spread.median);
        assert_eq!(middle, Some(2.5));
        assert_eq!(Spread::of(Vec::new()), None);
        assert_eq!(Spread::of(vec![f64::INFINITY]), None);
    }
}
