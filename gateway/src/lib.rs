//! The gateway.

pub mod auth;
pub mod body;
