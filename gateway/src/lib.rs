//! The gateway.

pub mod auth;
pub mod body;
pub mod rescue;
pub mod s3;
