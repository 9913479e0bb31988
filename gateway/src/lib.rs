//! The gateway: from a client socket to the store and back.

pub mod auth;
pub mod body;
pub mod rescue;
pub mod s3;
