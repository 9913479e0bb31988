//! What everything on a lane shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::clock::Clock;
use super::handshakes::Handshakes;
use super::pulse::Registry;
use crate::config::Limits;
use crate::metrics::LaneCells;
use crate::record::{Sinks, Watch};

/// Lane-local state, behind an `Rc`.
#[derive(Debug)]
pub struct LaneContext {
    /// Which lane, from 0.
    pub index: usize,
    /// Bounds on clients.
    pub limits: Limits,
    /// Coarse time.
    pub clock: Clock,
    /// Counts.
    pub cells: Arc<LaneCells>,
    /// How closely requests are watched.
    pub watch: Watch,
    /// Who is told of requests that have ended.
    pub sinks: Sinks,
    /// The process's share of connections.
    pub connections: Arc<ConnectionBudget>,
    /// This lane's connections.
    pub registry: Registry,
    /// This lane's TLS handshakes.
    pub handshakes: Handshakes,
}

impl LaneContext {
    /// Whether stages' times and bytes are counted.
    pub fn measures(&self) -> bool {
        self.watch == Watch::Stages
    }
}

/// How many connections the whole process may have open. Shared by all lanes, touched once or
/// twice a connection, so one counter serves.
#[derive(Debug)]
pub struct ConnectionBudget {
    taken: AtomicUsize,
    limit: usize,
}

impl ConnectionBudget {
    /// A budget of so many.
    pub fn new(limit: usize) -> ConnectionBudget {
        ConnectionBudget { taken: AtomicUsize::new(0), limit }
    }

    /// The limit.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Takes a share of that weight; `None` when it would go over the limit.
    pub fn take(self: &Arc<Self>, weight: usize) -> Option<Share> {
        let within = |taken: usize| (taken + weight <= self.limit).then_some(taken + weight);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within).ok()?;
        Some(Share { budget: self.clone(), weight })
    }
}

/// A share of the budget, given back when dropped.
#[derive(Debug)]
pub struct Share {
    budget: Arc<ConnectionBudget>,
    weight: usize,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.taken.fetch_sub(self.weight, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_taken_up_to_the_limit_and_given_back() {
        let budget = Arc::new(ConnectionBudget::new(10));
        let one = budget.take(1).unwrap();
        let nine = budget.take(9).unwrap();
        assert!(budget.take(1).is_none());
        drop(one);
        assert!(budget.take(2).is_none());
        drop(nine);
        assert!(budget.take(10).is_some());
    }
}
