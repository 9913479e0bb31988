//! What the gateway counts, and how it shows it.
//!
//! In the order of a value: the table that every metric stands in (`table.rs`), the values that
//! labels can have (`labels.rs`, `codes.rs`), the cells that lanes count in (`cells.rs`), figures as
//! parts of the process report them (`figure.rs`, `process.rs`), the exposition in its two forms
//! (`export.rs`, `openmetrics.rs`), and the document about it all (`document.rs`).

#[cfg(test)]
mod budget;
pub mod cells;
pub mod codes;
pub mod document;
pub mod export;
pub mod figure;
pub mod labels;
pub mod openmetrics;
pub mod process;
pub mod table;

pub use cells::{Cell, LaneCells};
pub use export::Exporter;
pub use figure::{Figure, Figures, Histogram, Value};
pub use labels::{
    Agreed, Copying, Delivery, Group, Handshake, Operation, Protocol, Refusal, Source, Stage,
    StatusClass, TlsMode, TlsVersion,
};
