//! Owns: reading the Prometheus text format, as far as the tests compare numbers.

/// One scrape.
#[derive(Debug, Clone)]
pub struct Metrics(Vec<(String, f64)>);

impl Metrics {
    /// Parses the text format; lines that are no sample are passed over.
    pub fn parse(text: &str) -> Self {
        let samples = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| {
                let (series, value) = line.rsplit_once(' ')?;
                Some((series.to_owned(), value.parse().ok()?))
            })
            .collect();
        Self(samples)
    }

    /// Sum over all series of a name whose label set contains every one of `labels`
    /// (`lane="0"`). Nothing when there is no such series.
    pub fn sum(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let values: Vec<f64> = self
            .0
            .iter()
            .filter(|(series, _)| {
                let (found, set) = series.split_once('{').unwrap_or((series, ""));
                found == name && labels.iter().all(|label| set.contains(label))
            })
            .map(|(_, value)| *value)
            .collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// The same, when it must be there.
    ///
    /// # Panics
    /// When there is no such series: a renamed metric must not make a test pass.
    pub fn value(&self, name: &str, labels: &[&str]) -> f64 {
        self.sum(name, labels).unwrap_or_else(|| {
            let names: Vec<&str> = self.0.iter().map(|(series, _)| series.as_str()).collect();
            panic!("no metric {name}{labels:?} among {names:#?}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_summed_by_label() {
        let text = "# HELP a b\na{lane=\"0\",x=\"1\"} 2\na{lane=\"1\"} 3\nab 9\nc 1.5e3\n";
        let metrics = Metrics::parse(text);
        assert_eq!(metrics.sum("a", &[]), Some(5.0));
        assert_eq!(metrics.sum("a", &["lane=\"0\""]), Some(2.0));
        assert_eq!(metrics.sum("a", &["lane=\"7\""]), None);
        assert_eq!(metrics.value("c", &[]), 1500.0);
    }
}
