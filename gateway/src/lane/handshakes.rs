//! TLS handshakes under way on a lane.
//!
//! Owns: their bound. One more than it displaces the oldest: whoever opens connections and says
//! nothing is displaced by others before he displaces them, since a handshake that goes on takes
//! milliseconds and one that does not takes `tls.handshake_time`.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use super::pulse::{Command, Pulse};

/// See the module.
#[derive(Debug)]
pub struct Handshakes {
    most: usize,
    next: Cell<u64>,
    under_way: RefCell<BTreeMap<u64, Rc<Pulse>>>,
}

impl Handshakes {
    /// At most so many at a time.
    pub fn new(most: usize) -> Handshakes {
        Handshakes { most, next: Cell::new(0), under_way: RefCell::default() }
    }

    /// Enters one, and displaces the oldest if there are too many then; says whether it did. The
    /// number takes the new one out again.
    pub fn begin(&self, pulse: Rc<Pulse>) -> (u64, bool) {
        let number = self.next.get();
        self.next.set(number + 1);
        let mut under_way = self.under_way.borrow_mut();
        let oldest = if under_way.len() >= self.most { under_way.pop_first() } else { None };
        under_way.insert(number, pulse);
        if let Some((_, oldest)) = &oldest {
            oldest.tell(Command::Close);
        }
        (number, oldest.is_some())
    }

    /// Takes one out.
    pub fn end(&self, number: u64) {
        self.under_way.borrow_mut().remove(&number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::clock::Moment;

    #[test]
    fn the_oldest_makes_room() {
        let handshakes = Handshakes::new(2);
        let pulses: Vec<_> = (0..4).map(|_| Rc::new(Pulse::new(Moment::default()))).collect();
        let begin = |at: usize| handshakes.begin(pulses[at].clone());
        let (first, displaced) = begin(0);
        assert!(!displaced && !begin(1).1);
        handshakes.end(first);
        assert!(!begin(2).1);
        assert!(begin(3).1);
        let told: Vec<_> = pulses.iter().map(|pulse| pulse.command()).collect();
        assert_eq!(told, [Command::Serve, Command::Close, Command::Serve, Command::Serve]);
    }
}
