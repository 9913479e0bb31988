//! Owns the check of what was read: every byte against the derived content, every length against
//! the scenario's, and the list of objects that failed it.
//!
//! Not here: the content itself (`content.rs`).

use serde::Serialize;

use crate::content::Content;
use crate::failure::Failure;
use crate::limits;

/// Compares a body, as it arrives, with what it should be.
pub(crate) struct Checker {
    content: Content,
    /// Offset in the object of the next byte.
    at: u64,
    difference: Option<u64>,
}

impl Checker {
    /// Checks a body that starts at `offset` of the object.
    pub(crate) fn new(content: Content, offset: u64) -> Checker {
        Checker { content, at: offset, difference: None }
    }

    /// Takes the next bytes. After a first difference nothing more is compared.
    pub(crate) fn accept(&mut self, bytes: &[u8]) {
        if self.difference.is_none() {
            self.difference = self.content.first_difference(self.at, bytes);
        }
        self.at += bytes.len() as u64;
    }

    /// The verdict on a body that should have been `expected` bytes long and was `got`.
    pub(crate) fn verdict(&self, expected: u64, got: u64) -> Result<(), Failure> {
        match self.difference {
            Some(offset) => Err(Failure::Differs { offset }),
            None if got != expected => Err(Failure::WrongSize { expected, got }),
            None => Ok(()),
        }
    }
}

/// The objects that are missing, of another length or of other bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Damage {
    /// How often one was met; an object read twice counts twice.
    pub(crate) count: u64,
    /// The first of them with what is wrong, at most [`limits::DAMAGED_KEYS_SHOWN_MAX`].
    pub(crate) first: Vec<String>,
}

impl Damage {
    /// Notes a damaged object.
    pub(crate) fn note(&mut self, key: &str, failure: &Failure) {
        self.count += 1;
        if self.first.len() < limits::DAMAGED_KEYS_SHOWN_MAX {
            self.first.push(format!("{key}: {failure}"));
        }
    }

    /// Adds another thread's.
    pub(crate) fn merge(&mut self, other: Damage) {
        self.count += other.count;
        let room = limits::DAMAGED_KEYS_SHOWN_MAX - self.first.len();
        self.first.extend(other.first.into_iter().take(room));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_in_pieces_is_checked_at_its_offset() {
        let content = Content::new(1, "k");
        let mut bytes = vec![0; 10_000];
        content.fill(3, &mut bytes);
        let mut checker = Checker::new(content, 3);
        bytes.chunks(777).for_each(|piece| checker.accept(piece));
        assert_eq!(checker.verdict(10_000, 10_000), Ok(()));
        assert_eq!(
            checker.verdict(10_001, 10_000),
            Err(Failure::WrongSize { expected: 10_001, got: 10_000 })
        );
    }

    #[test]
    fn the_first_difference_is_named() {
        let content = Content::new(1, "k");
        let mut bytes = vec![0; 10_000];
        content.fill(0, &mut bytes);
        bytes[7001] ^= 1;
        bytes[9000] ^= 1;
        let mut checker = Checker::new(content, 0);
        bytes.chunks(777).for_each(|piece| checker.accept(piece));
        assert_eq!(checker.verdict(1, 1), Err(Failure::Differs { offset: 7001 }));
    }

    #[test]
    fn the_list_of_damage_is_bounded() {
        let mut damage = Damage::default();
        for _ in 0..30 {
            damage.note("k", &Failure::Differs { offset: 1 });
        }
        let other = damage.clone();
        damage.merge(other);
        assert_eq!((damage.count, damage.first.len()), (60, limits::DAMAGED_KEYS_SHOWN_MAX));
    }
}
