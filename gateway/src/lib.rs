//! The gateway: from a client's socket to the store and back.
//!
//! Modules stand in the order in which a request meets them: `lane` owns threads and sockets, `door`
//! what is decided before a request is an S3 operation, `behind` puts the rest together. What no
//! request meets comes first and last.

pub mod cli;
pub mod config;
pub mod credentials;
pub mod limits;
pub mod recent_log;
pub mod serve;
pub mod tls;

pub mod lane;

pub mod door;
pub mod record;
pub mod trace;

pub mod behind;

pub mod auth;
pub mod body;
pub mod iam;
pub mod rdma;
pub mod rescue;
pub mod s3;

pub mod lifecycle;
pub mod notify;

pub mod admin;
pub mod metrics;
pub mod observe;
