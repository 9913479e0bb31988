//! What TLS reports to metrics, beyond what lanes count.

use std::sync::atomic::Ordering;

use super::Tls;
use crate::metrics::{Figure, Figures, table};

impl Figures for Tls {
    fn figures(&self) -> Vec<Figure> {
        let reads = |outcome, count| Figure::labelled(&table::TLS_RELOADS, [outcome], count);
        let mut figures = vec![
            reads("taken", self.taken.load(Ordering::Relaxed) as f64),
            reads("rejected", self.rejected.load(Ordering::Relaxed) as f64),
        ];
        figures.push(Figure::of(&table::TLS_KERNEL, f64::from(u8::from(self.current().kernel))));
        // The operator names the files, and their number is bounded.
        figures.extend(self.current().shown.iter().map(|one| {
            let file = one.file.display().to_string();
            Figure::labelled(&table::TLS_CERTIFICATE_END, [file], one.not_after as f64)
        }));
        figures
    }
}
