//! The gateway: from a client's socket to the store and back.
//!
//! Modules stand in the order in which a request meets them. `lane` owns sockets and threads,
//! `door` everything about a request that is decided before it is an S3 operation.

pub mod cli;
pub mod config;
pub mod credentials;
pub mod limits;

pub mod lane;

pub mod door;

pub mod admin;
pub mod metrics;
pub mod serve;
