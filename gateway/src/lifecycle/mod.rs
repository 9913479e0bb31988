//! The lifecycle: what the rules of buckets say is due is deleted in the background.
//!
//! `calendar` knows when days have passed, `rules` what a configuration says of one object, `sweep` goes through the
//! versions of a bucket in their order, `worker` is the thread that does it for all buckets, at a bounded rate, below the
//! lanes' priority, again and again.
//! Not here: the operations that set a bucket's rules and the headers that speak of them (`s3/lifecycle.rs`).

pub mod calendar;
mod pace;
pub mod rules;
mod sweep;
mod worker;

pub use worker::{Closing, Worker};
