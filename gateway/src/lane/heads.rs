//! When a connection was first served and its heads began to come, for who measures requests.
//!
//! Owns: these times until the request that they belong to takes them. They are the system's clock,
//! where all other times of a connection are a sweep's (`clock.rs`).

use std::cell::Cell;
use std::time::{Duration, Instant};

/// The times of a connection's heads that are measured, each kept until its request takes it.
#[derive(Debug, Default)]
pub struct Heads {
    served_after: Cell<Option<Duration>>,
    began: Cell<Option<Instant>>,
}

impl Heads {
    /// The connection was first served so long after it was accepted.
    pub fn served_after(&self, took: Option<Duration>) {
        self.served_after.set(took);
    }

    /// The first byte of a head has come.
    pub fn begins(&self) {
        if self.began.get().is_none() {
            self.began.set(Some(Instant::now()));
        }
    }

    /// The connection speaks HTTP/2, whose heads come among others' data.
    pub fn forget(&self) {
        self.began.set(None);
    }

    /// How long it took to serve the connection, for its first request.
    pub fn take_served_after(&self) -> Option<Duration> {
        self.served_after.take()
    }

    /// When the present head began; none where it came together with what was before it.
    pub fn take_beginning(&self) -> Option<Instant> {
        self.began.take()
    }
}
