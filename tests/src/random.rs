//! Owns: the only source of chance in the tests. Every run prints its seed; the same seed in
//! `GATEWAY_TEST_SEED` makes the same choices again.

use std::time::{SystemTime, UNIX_EPOCH};

/// SplitMix64 (Steele, Lea, Flood 2014): one multiplication chain per 8 bytes, any seed is good.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A generator that always gives the same sequence for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0..bound`. The bias of the remainder is below 2^-32 for every bound used here.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "an empty range has no number to choose");
        self.bits() % bound
    }

    /// True in `percent` of a hundred cases.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Overwrites `bytes` with the sequence.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        let mut words = bytes.chunks_exact_mut(8);
        for word in &mut words {
            word.copy_from_slice(&self.bits().to_le_bytes());
        }
        let rest = words.into_remainder();
        let last = self.bits().to_le_bytes();
        rest.copy_from_slice(&last[..rest.len()]);
    }
}

/// The seed of this run: `GATEWAY_TEST_SEED` when set, the clock otherwise. Printed either way.
pub fn seed(test: &str) -> u64 {
    let seed = match std::env::var("GATEWAY_TEST_SEED") {
        Ok(text) => text.parse().expect("GATEWAY_TEST_SEED is a decimal number"),
        Err(_) => {
            SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_nanos()
                as u64
        }
    };
    println!("{test}: GATEWAY_TEST_SEED={seed}");
    seed
}
