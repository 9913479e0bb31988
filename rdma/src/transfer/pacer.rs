//! Owns the bytes that all transfers of a lane have on the wire at a time. Who wants to post waits in line for each
//! piece, so transfers take turns, whatever their sizes.
//!
//! Not every WRITE reports its completion, and what is not reported gives nothing back here until a later one is. So
//! that transfers can't starve each other that way, a piece may go unreported only while at most half of the bytes are
//! in use: of those that hold bytes without a report to come, the last was granted when all of them together held at
//! most half. The other half goes round, and a piece is never larger than it.

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::limits::{LANE_BYTES_IN_FLIGHT, PACER_UNIT_BYTES};

/// A lane's.
#[derive(Debug)]
pub(crate) struct Pacer {
    free: Semaphore,
    units: u32,
}

/// The right to have one piece on the wire, until dropped.
#[derive(Debug)]
#[must_use = "dropped, its bytes are another's"]
pub(crate) struct Turn<'a> {
    _units: SemaphorePermit<'a>,
    /// The piece must report its completion.
    pub(crate) scarce: bool,
}

impl Pacer {
    pub(crate) fn new() -> Pacer {
        Pacer::with_bytes(LANE_BYTES_IN_FLIGHT)
    }

    pub(crate) fn with_bytes(bytes: u64) -> Pacer {
        let units = u32::try_from(bytes / PACER_UNIT_BYTES).unwrap_or(u32::MAX).max(2);
        Pacer { free: Semaphore::new(units as usize), units }
    }

    /// A turn for a piece of so many bytes, in order of asking.
    pub(crate) async fn turn(&self, bytes: u64) -> Turn<'_> {
        let units = u32::try_from(bytes.div_ceil(PACER_UNIT_BYTES)).unwrap_or(u32::MAX);
        let units = units.clamp(1, self.units / 2);
        let granted = self.free.acquire_many(units).await.expect("a pacer is never closed");
        let scarce = self.free.available_permits() < (self.units / 2) as usize;
        Turn { _units: granted, scarce }
    }

    /// Bytes in use, rounded up.
    #[cfg(test)]
    pub(crate) fn bytes_in_flight(&self) -> u64 {
        (self.units as usize - self.free.available_permits()) as u64 * PACER_UNIT_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pieces_go_unreported_only_while_half_is_free() {
        let pacer = Pacer::with_bytes(8 * PACER_UNIT_BYTES);
        let first = pacer.turn(4 * PACER_UNIT_BYTES).await;
        assert!(!first.scarce);
        let second = pacer.turn(1).await;
        assert!(second.scarce, "five of eight units are in use");
        assert_eq!(pacer.bytes_in_flight(), 5 * PACER_UNIT_BYTES);
        drop((first, second));
        let huge = pacer.turn(1 << 40).await;
        assert_eq!(pacer.bytes_in_flight(), 4 * PACER_UNIT_BYTES, "never more than half");
        drop(huge);
    }

    #[tokio::test]
    async fn turns_come_in_the_order_of_asking() {
        let pacer = Pacer::with_bytes(4 * PACER_UNIT_BYTES);
        let order = std::cell::RefCell::new(Vec::new());
        let transfer = |name: char, bytes: u64| {
            let (pacer, order) = (&pacer, &order);
            async move {
                for _ in 0..3 {
                    let turn = pacer.turn(bytes).await;
                    order.borrow_mut().push(name);
                    tokio::task::yield_now().await;
                    drop(turn);
                }
            }
        };
        // Two that each want half, and one that wants little: nobody is passed over.
        let half = 2 * PACER_UNIT_BYTES;
        tokio::join!(transfer('a', half), transfer('b', half), transfer('c', 1));
        let order = order.into_inner();
        assert_eq!(order.len(), 9);
        let first_of_c = order.iter().position(|&name| name == 'c').expect("c had turns");
        assert!(first_of_c <= 2, "{order:?}");
        let last_of_c = order.iter().rposition(|&name| name == 'c').expect("c had turns");
        let last_of_a = order.iter().rposition(|&name| name == 'a').expect("a had turns");
        assert!(last_of_c.abs_diff(last_of_a) <= 3, "{order:?}");
    }
}
