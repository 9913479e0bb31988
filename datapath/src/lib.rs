//! The store.

pub mod limits;

pub mod error;
pub mod id;

pub mod index;

pub mod commit;
pub mod pin;
