//! Owns the way of content into chunks: pieces of any size go in, sealed chunks come out.
//!
//! Not here: where they are written (`crate::s3`).

use super::Forged;
use super::chunk::{ChunkKey, PLAIN_CHUNK_BYTES, SEALED_CHUNK_BYTES, sealed_size};

/// Seals one content whose size is known. Holds one chunk.
pub struct Sealer {
    key: ChunkKey,
    number: u64,
    /// Bytes that have yet to come.
    left: u64,
    chunk: Vec<u8>,
    finished: bool,
}

impl Sealer {
    /// For content of `size` bytes.
    pub fn new(key: ChunkKey, size: u64) -> Self {
        let room = sealed_size(size).min(SEALED_CHUNK_BYTES);
        // At most 64 KiB.
        Self {
            key,
            number: 0,
            left: size,
            chunk: Vec::with_capacity(room as usize),
            finished: false,
        }
    }

    /// Takes bytes off the front of `piece`; gives a sealed chunk when they have filled one. To be asked until `piece` is
    /// empty, and once more without bytes when all has come, since the last chunk is given only when [`Self::is_done`].
    ///
    /// # Errors
    /// [`Forged`] for more bytes than were announced.
    pub fn push<'a>(&'a mut self, piece: &mut &[u8]) -> Result<Option<&'a [u8]>, Forged> {
        if self.finished {
            return if piece.is_empty() { Ok(None) } else { Err(Forged) };
        }
        if self.chunk.len() as u64 > PLAIN_CHUNK_BYTES {
            // Given with the last call.
            self.chunk.clear();
        }
        if piece.len() as u64 > self.left {
            return Err(Forged);
        }
        let room = PLAIN_CHUNK_BYTES as usize - self.chunk.len();
        let (taken, rest) = piece.split_at(piece.len().min(room));
        self.chunk.extend_from_slice(taken);
        self.left -= taken.len() as u64;
        *piece = rest;
        let last = self.left == 0;
        if !last && self.chunk.len() as u64 != PLAIN_CHUNK_BYTES {
            return Ok(None);
        }
        self.key.seal(self.number, last, &mut self.chunk)?;
        self.number += 1;
        self.finished = last;
        Ok(Some(&self.chunk))
    }

    /// Whether the last chunk was given.
    pub fn is_done(&self) -> bool {
        self.finished
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The content sealed, handed over in pieces of `step` bytes.
    pub(crate) fn seal_all(key: ChunkKey, content: &[u8], step: usize) -> Vec<u8> {
        let mut sealer = Sealer::new(key, content.len() as u64);
        let mut sealed = Vec::new();
        for mut piece in content.chunks(step) {
            while !piece.is_empty() {
                sealed.extend_from_slice(sealer.push(&mut piece).unwrap().unwrap_or_default());
            }
        }
        if !sealer.is_done() {
            sealed.extend_from_slice(sealer.push(&mut &[][..]).unwrap().unwrap_or_default());
        }
        assert!(sealer.is_done());
        sealed
    }

    #[test]
    fn pieces_do_not_show_in_what_is_stored() {
        for size in [0, 1, 65_519, 65_520, 65_521, 131_040, 200_000] {
            let content: Vec<u8> = (0..size).map(|at| at as u8).collect();
            let key = || ChunkKey::new(&[3; 32]);
            let whole = seal_all(key(), &content, 1 << 20);
            assert_eq!(whole.len() as u64, sealed_size(size as u64));
            for step in [1_000, 65_520, 65_536] {
                assert_eq!(seal_all(key(), &content, step), whole, "{size} by {step}");
            }
        }
    }

    #[test]
    fn more_than_was_announced_is_refused() {
        let mut sealer = Sealer::new(ChunkKey::new(&[3; 32]), 2);
        assert!(sealer.push(&mut &b"abc"[..]).is_err());
        let mut sealer = Sealer::new(ChunkKey::new(&[3; 32]), 2);
        assert!(sealer.push(&mut &b"ab"[..]).unwrap().is_some() && sealer.is_done());
        assert!(sealer.push(&mut &b"c"[..]).is_err());
    }
}
