//! Several pieces of a response's body that go to the socket together.
//!
//! Owns: the buffer that hyper gets for each frame.
//! Not here: which pieces there are (`outgoing.rs`).
//!
//! hyper writes as soon as it holds [`limits::HTTP1_BUFFER_BYTES_MAX`], which one block of the store
//! fills. A frame of several blocks is one `writev(2)`, uncopied, and on loopback and fast networks
//! the peer is woken once for it instead of once a block.

use std::io::IoSlice;

use bytes::{Buf, Bytes};

use crate::limits;

/// Up to [`limits::BATCH_PIECES_MAX`] pieces, in order; none of them empty.
#[derive(Debug, Default)]
pub struct Batch {
    pieces: [Bytes; limits::BATCH_PIECES_MAX],
    /// Those before are written.
    first: usize,
    /// Those from here on are free.
    end: usize,
}

impl Batch {
    /// Adds a piece. The batch has room: see [`Batch::is_full`].
    pub fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.pieces[self.end] = piece;
            self.end += 1;
        }
    }

    /// Whether there is no room for another piece.
    pub fn is_full(&self) -> bool {
        self.end == self.pieces.len()
    }

    fn rest(&self) -> &[Bytes] {
        &self.pieces[self.first..self.end]
    }
}

impl From<Bytes> for Batch {
    fn from(piece: Bytes) -> Batch {
        let mut batch = Batch::default();
        batch.push(piece);
        batch
    }
}

impl Buf for Batch {
    fn remaining(&self) -> usize {
        self.rest().iter().map(Bytes::len).sum()
    }

    fn chunk(&self) -> &[u8] {
        self.rest().first().map_or(&[], |piece| piece)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let pairs = slices.iter_mut().zip(self.rest());
        pairs.map(|(slice, piece)| *slice = IoSlice::new(piece)).count()
    }

    fn advance(&mut self, mut count: usize) {
        while count > 0 {
            assert!(self.first < self.end, "advanced past the end");
            let piece = &mut self.pieces[self.first];
            if count < piece.len() {
                piece.advance(count);
                return;
            }
            count -= piece.len();
            // What is written is let go of at once: it is memory that other requests wait for.
            *piece = Bytes::new();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> Batch {
        let mut batch = Batch::from(Bytes::from_static(b"one"));
        batch.push(Bytes::new());
        batch.push(Bytes::from_static(b"three"));
        batch
    }

    #[test]
    fn it_reads_as_its_pieces_one_after_another() {
        for step in 1..=8 {
            let (mut batch, mut read) = (batch(), Vec::new());
            assert_eq!(batch.remaining(), 8);
            while batch.has_remaining() {
                let count = batch.chunk().len().min(step);
                read.extend_from_slice(&batch.chunk()[..count]);
                batch.advance(count);
            }
            assert_eq!(read, b"onethree", "{step}");
        }
    }

    #[test]
    fn it_is_written_in_one_call() {
        let mut batch = batch();
        let mut slices = [IoSlice::new(&[]); 4];
        assert_eq!(batch.chunks_vectored(&mut slices), 2);
        assert_eq!((&*slices[0], &*slices[1]), (&b"one"[..], &b"three"[..]));
        batch.advance(4);
        let mut slices = [IoSlice::new(&[]); 1];
        assert_eq!((batch.chunks_vectored(&mut slices), &*slices[0]), (1, &b"hree"[..]));
        batch.advance(4);
        assert!(!batch.has_remaining() && batch.chunk().is_empty());
    }

    #[test]
    fn it_is_full_at_its_bound() {
        let mut batch = Batch::default();
        while !batch.is_full() {
            batch.push(Bytes::from_static(b"x"));
        }
        assert_eq!(batch.remaining(), limits::BATCH_PIECES_MAX);
    }
}
