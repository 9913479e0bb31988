//! The store.

pub mod limits;

#[cfg(not(loom))]
pub mod error;
pub mod id;

#[cfg(not(loom))]
pub mod index;

#[cfg(not(loom))]
pub mod commit;
pub mod pin;
