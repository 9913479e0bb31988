//! *Owns:* the server half: who may transfer what through which queue pair, until when, and that nothing moves after
//! it was said to be over.
//!
//! *Not here:* HTTP, S3; how bytes cross a queue pair (`crate::transfer`).

mod error;
mod order;
mod settings;
mod skeleton;

pub use error::{Exhausted, SessionError};
pub use order::{Operation, Order, Protocol};
pub use settings::Settings;
pub use skeleton::*;
