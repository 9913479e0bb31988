//! Owns the bytes of every object: a function of the seed, the key and the position.
//!
//! Lane `i` (8 bytes at offset `8 i`) is the `i`-th output of splitmix64 (Steele, Lea, Flood 2014)
//! started at a base that seed and key determine. splitmix64 adds a constant per step, so any lane
//! is computed without the ones before it: a range is checked as cheaply as a whole object. Two
//! multiplications per 8 bytes reach several GiB/s on one core, and no compressor finds anything.
//!
//! Not here: sizes and names of objects (`scenario.rs`), what becomes of a mismatch (`verify.rs`).

/// The step of splitmix64: 2⁶⁴ divided by the golden ratio.
const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// Bytes of a lane.
const LANE: usize = 8;

/// Bytes compared before the result is looked at: the loop inside has no branch.
const BLOCK: usize = 4096;

/// splitmix64's output function: a bijection of 64-bit words in which every input bit flips about
/// half of the output bits.
#[inline]
pub(crate) fn mix64(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

/// The `index`-th pseudo-random word of the stream named by `seed`.
#[inline]
pub(crate) fn word_at(seed: u64, index: u64) -> u64 {
    mix64(seed.wrapping_add(index.wrapping_add(1).wrapping_mul(GAMMA)))
}

/// The endless byte sequence of one key. An object is its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    base: u64,
}

impl Content {
    /// The content of `key` under `seed`.
    pub(crate) fn new(seed: u64, key: &str) -> Content {
        let mut base = mix64(seed ^ GAMMA);
        for word in key.as_bytes().chunks(LANE) {
            let mut lane = [0; LANE];
            lane[..word.len()].copy_from_slice(word);
            base = mix64(base.wrapping_add(GAMMA) ^ u64::from_le_bytes(lane));
        }
        // The length parts keys that differ only in trailing NULs, which the padding would join.
        Content { base: mix64(base ^ key.len() as u64) }
    }

    /// Writes the bytes at `offset ..` over all of `out`.
    pub(crate) fn fill(&self, offset: u64, out: &mut [u8]) {
        let (mut lane, skip) = (offset / LANE as u64, (offset % LANE as u64) as usize);
        let mut out = out;
        if skip != 0 {
            let take = out.len().min(LANE - skip);
            let (head, rest) = out.split_at_mut(take);
            head.copy_from_slice(&self.lane(lane)[skip..skip + take]);
            lane += 1;
            out = rest;
        }
        let mut lanes = out.chunks_exact_mut(LANE);
        for chunk in &mut lanes {
            chunk.copy_from_slice(&self.lane(lane));
            lane = lane.wrapping_add(1);
        }
        let tail = lanes.into_remainder();
        let take = tail.len();
        tail.copy_from_slice(&self.lane(lane)[..take]);
    }

    /// The offset in the object of the first byte of `bytes`, found at `offset`, that is not as
    /// derived; `None` when all are.
    pub(crate) fn first_difference(&self, offset: u64, bytes: &[u8]) -> Option<u64> {
        let misaligned = (offset % LANE as u64) as usize;
        let head = bytes.len().min((LANE - misaligned) % LANE);
        let (head, body) = bytes.split_at(head);
        if let Some(at) = self.differs_bytewise(offset, head) {
            return Some(at);
        }
        let mut at = offset + head.len() as u64;
        for block in body.chunks(BLOCK) {
            if !self.equals_aligned(at / LANE as u64, block) {
                return self.differs_bytewise(at, block);
            }
            at += block.len() as u64;
        }
        None
    }

    /// Whether `block`, which starts at a lane's first byte, is as derived.
    fn equals_aligned(&self, first_lane: u64, block: &[u8]) -> bool {
        let mut lane = first_lane;
        let mut difference = 0;
        let (lanes, tail) = block.as_chunks::<LANE>();
        for chunk in lanes {
            difference |= u64::from_le_bytes(*chunk) ^ word_at(self.base, lane);
            lane = lane.wrapping_add(1);
        }
        difference == 0 && tail == &self.lane(lane)[..tail.len()]
    }

    fn differs_bytewise(&self, offset: u64, bytes: &[u8]) -> Option<u64> {
        (offset..)
            .zip(bytes)
            .find(|(at, byte)| self.lane(at / LANE as u64)[(at % LANE as u64) as usize] != **byte)
            .map(|(at, _)| at)
    }

    #[inline]
    fn lane(&self, index: u64) -> [u8; LANE] {
        word_at(self.base, index).to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_those_of_splitmix64() {
        // Outputs of the reference implementation (https://prng.di.unimi.it/splitmix64.c), seed 0.
        assert_eq!(word_at(0, 0), 0xE220_A839_7B1D_CDAF);
        assert_eq!(word_at(0, 1), 0x6E78_9E6A_A1B9_65F4);
        assert_eq!(word_at(0, 2), 0x06C4_5D18_8009_454F);
    }

    #[test]
    fn seed_and_key_and_its_length_matter() {
        let content = Content::new(1, "a");
        assert_ne!(content, Content::new(2, "a"));
        assert_ne!(content, Content::new(1, "b"));
        assert_ne!(content, Content::new(1, "a\0"));
        assert_ne!(Content::new(1, "abcdefgh-1"), Content::new(1, "abcdefgh-2"));
    }

    proptest! {
        #[test]
        fn a_range_equals_the_same_part_of_the_prefix(
            seed: u64, offset in 0_usize..9000, length in 0_usize..9000,
        ) {
            let content = Content::new(seed, "prefix/0000000001");
            let mut prefix = vec![0; offset + length];
            content.fill(0, &mut prefix);
            let mut range = vec![0; length];
            content.fill(offset as u64, &mut range);
            prop_assert_eq!(&range, &prefix[offset..]);
            prop_assert_eq!(content.first_difference(offset as u64, &range), None);
        }

        #[test]
        fn every_flipped_bit_is_found_where_it_is(
            offset in 0_u64..100, length in 1_usize..9000, at: prop::sample::Index, bit in 0_u32..8,
        ) {
            let content = Content::new(7, "key");
            let mut bytes = vec![0; length];
            content.fill(offset, &mut bytes);
            let at = at.index(length);
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(content.first_difference(offset, &bytes), Some(offset + at as u64));
        }
    }
}
