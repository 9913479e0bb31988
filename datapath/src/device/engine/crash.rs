//! *Owns:* a device in memory that can lose its power, for tests of durability.
//!
//! A write lies in a volatile layer until a flush that began after its completion. Reads see it
//! once it has completed. [`CrashDisk::crash`] decides for every write that was not flushed, the
//! unfinished ones included, and for every 4 KiB block of it: it is there, it is not, or each of
//! the block's 512-byte sectors is there or not, which is what a device promises at the least.
//!
//! Faults can be asked for: errors, short transfers, delays, and operations that stay in flight.
//!
//! *Not here:* devices that hold anything after the process ends.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::super::error::Operation;
use super::super::set::Backing;
use super::Step;
use super::port::Flight;
use crate::limits;

const BLOCK: usize = limits::DEVICE_BLOCK_BYTES;
const SECTOR: usize = 512;

/// A fault for the next operation of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Injection {
    /// The next read fails with this errno.
    ReadError(i32),
    /// The next write fails with this errno and writes nothing.
    WriteError(i32),
    /// The next read moves at most so many bytes.
    ShortRead(usize),
    /// The next write moves at most so many bytes.
    ShortWrite(usize),
    /// The next flush fails with this errno, and makes nothing durable.
    FlushError(i32),
}

impl Injection {
    fn operation(self) -> Operation {
        match self {
            Injection::ReadError(_) | Injection::ShortRead(_) => Operation::Read,
            Injection::WriteError(_) | Injection::ShortWrite(_) => Operation::Write,
            Injection::FlushError(_) => Operation::Flush,
        }
    }
}

/// The simulated device.
#[derive(Debug)]
pub struct CrashDisk {
    size: u64,
    state: Mutex<State>,
    held: watch::Sender<bool>,
}

type Block = Box<[u8; BLOCK]>;

#[derive(Debug, Default)]
struct State {
    durable: HashMap<u64, Block>,
    volatile: Vec<Write>,
    next_write: u64,
    injections: VecDeque<Injection>,
    delay: Duration,
    flushes: u64,
}

/// A write that a power cut may undo.
#[derive(Debug)]
struct Write {
    id: u64,
    first_block: u64,
    data: Vec<u8>,
    completed: bool,
}

impl CrashDisk {
    /// A blank one of `bytes`, whole blocks.
    ///
    /// # Panics
    /// Below [`limits::DEVICE_BYTES_MIN`].
    pub fn new(bytes: u64) -> Arc<CrashDisk> {
        CrashDisk::holding(bytes, HashMap::new())
    }

    fn holding(bytes: u64, durable: HashMap<u64, Block>) -> Arc<CrashDisk> {
        assert!(bytes >= limits::DEVICE_BYTES_MIN && bytes.is_multiple_of(BLOCK as u64));
        let state = Mutex::new(State { durable, ..State::default() });
        Arc::new(CrashDisk { size: bytes, state, held: watch::Sender::new(false) })
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What is on the disk after the power failed now, chosen by `seed`. This disk is not changed.
    pub fn crash(&self, seed: u64) -> Arc<CrashDisk> {
        let state = self.state();
        let mut durable = state.durable.clone();
        let mut random = Random(seed);
        for write in &state.volatile {
            for (index, data) in write.data.chunks(BLOCK).enumerate() {
                let block = durable.entry(write.first_block + index as u64).or_insert_with(blank);
                match random.next() % 3 {
                    0 => {}
                    1 => block.copy_from_slice(data),
                    _ => tear(block, data, &mut random),
                }
            }
        }
        CrashDisk::holding(self.size, durable)
    }

    /// Makes every completed write durable.
    ///
    /// # Errors
    /// The errno of an injected fault.
    pub fn flush(&self) -> Result<(), i32> {
        let mut state = self.state();
        if let Some(Injection::FlushError(errno)) = state.injected(Operation::Flush) {
            return Err(errno);
        }
        state.flushes += 1;
        let (completed, unfinished) = std::mem::take(&mut state.volatile)
            .into_iter()
            .partition::<Vec<_>, _>(|write| write.completed);
        state.volatile = unfinished;
        for write in completed {
            for (index, data) in write.data.chunks(BLOCK).enumerate() {
                let block = write.first_block + index as u64;
                state.durable.entry(block).or_insert_with(blank).copy_from_slice(data);
            }
        }
        Ok(())
    }

    /// Adds a fault; those of one kind of operation happen in the order given.
    pub fn inject(&self, injection: Injection) {
        self.state().injections.push_back(injection);
    }

    /// Makes every operation take so long from now on.
    pub fn set_delay(&self, delay: Duration) {
        self.state().delay = delay;
    }

    /// Keeps operations in flight from now on, or lets them go.
    pub fn hold(&self, held: bool) {
        self.held.send_replace(held);
    }

    /// Writes that a power cut may undo, the unfinished ones included.
    pub fn unflushed_writes(&self) -> usize {
        self.state().volatile.len()
    }

    /// Flushes that were done.
    pub fn flushes(&self) -> u64 {
        self.state().flushes
    }

    /// What a read would find: whole blocks.
    pub fn peek(&self, offset: u64, out: &mut [u8]) {
        self.state().read(offset, out);
    }

    /// Changes the byte at `offset` of what is durable, as a medium that rots does.
    pub fn rot(&self, offset: u64) {
        let (block, byte) = (offset / BLOCK as u64, offset as usize % BLOCK);
        self.state().durable.entry(block).or_insert_with(blank)[byte] ^= 1;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when no test holds operations. The disk outlives the wait, so it always ends.
    async fn passage(&self) {
        let delay = self.state().delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let mut held = self.held.subscribe();
        let _ = held.wait_for(|held| !held).await;
    }
}

impl State {
    /// Takes the next fault for this operation.
    fn injected(&mut self, operation: Operation) -> Option<Injection> {
        let at = self.injections.iter().position(|one| one.operation() == operation)?;
        self.injections.remove(at)
    }

    fn read(&self, offset: u64, out: &mut [u8]) {
        assert!(offset.is_multiple_of(BLOCK as u64) && out.len().is_multiple_of(BLOCK));
        let first = offset / BLOCK as u64;
        for (index, chunk) in out.chunks_mut(BLOCK).enumerate() {
            match self.durable.get(&(first + index as u64)) {
                Some(block) => chunk.copy_from_slice(&block[..]),
                None => chunk.fill(0),
            }
        }
        // The volatile writes over it in order; few, since every batch flushes.
        for write in self.volatile.iter().filter(|write| write.completed) {
            for (index, data) in write.data.chunks(BLOCK).enumerate() {
                let block = write.first_block + index as u64;
                if let Some(at) = block.checked_sub(first).map(|at| at as usize * BLOCK)
                    && at < out.len()
                {
                    out[at..at + BLOCK].copy_from_slice(data);
                }
            }
        }
    }

    /// Notes a write as begun: from here on a power cut may leave any of it.
    fn begin_write(&mut self, offset: u64, data: &[u8]) -> u64 {
        let id = self.next_write;
        self.next_write += 1;
        let (first_block, data) = (offset / BLOCK as u64, data.to_vec());
        self.volatile.push(Write { id, first_block, data, completed: false });
        id
    }

    /// Moves the write behind those that completed before it.
    fn complete_write(&mut self, id: u64) {
        let at = self.volatile.iter().position(|write| write.id == id).expect("begun before");
        let mut write = self.volatile.remove(at);
        write.completed = true;
        self.volatile.push(write);
    }
}

/// Runs as a task of its own, so that it ends also when nobody waits for it.
pub(super) async fn submit<G: Send + 'static>(
    step: Step,
    mut flight: Flight<G>,
) -> (Result<usize, i32>, Flight<G>) {
    let (answer, answered) = oneshot::channel();
    let Backing::Crash(disk) = &flight.device().backing else {
        unreachable!("a port of this engine has simulated devices only");
    };
    let disk = Arc::clone(disk);
    tokio::spawn(async move {
        let part = step.start..step.start + step.length;
        let result = match step.operation {
            Operation::Read => {
                disk.passage().await;
                read(&disk, step.offset, &mut flight.frame().as_mut_slice()[part])
            }
            Operation::Write | Operation::Flush => {
                let begun = begin(&disk, step.offset, &flight.frame().as_mut_slice()[part]);
                disk.passage().await;
                begun.map(|(id, length)| {
                    disk.state().complete_write(id);
                    length
                })
            }
        };
        flight.landed(step.operation, result);
        let _ = answer.send((result, flight));
    });
    answered.await.expect("every operation answers")
}

fn read(disk: &CrashDisk, offset: u64, out: &mut [u8]) -> Result<usize, i32> {
    let mut state = disk.state();
    let length = match state.injected(Operation::Read) {
        Some(Injection::ReadError(errno)) => return Err(errno),
        Some(Injection::ShortRead(bytes)) => bytes.min(out.len()),
        _ => out.len(),
    };
    let mut whole = vec![0; out.len()];
    state.read(offset, &mut whole);
    out[..length].copy_from_slice(&whole[..length]);
    Ok(length)
}

fn begin(disk: &CrashDisk, offset: u64, data: &[u8]) -> Result<(u64, usize), i32> {
    let mut state = disk.state();
    let length = match state.injected(Operation::Write) {
        Some(Injection::WriteError(errno)) => return Err(errno),
        Some(Injection::ShortWrite(bytes)) => bytes.min(data.len()),
        _ => data.len(),
    };
    // Of a short write only whole blocks are written, the rest being asked for again.
    let id = state.begin_write(offset, &data[..length - length % BLOCK]);
    Ok((id, length))
}

fn blank() -> Block {
    Box::new([0; BLOCK])
}

fn tear(block: &mut [u8; BLOCK], data: &[u8], random: &mut Random) {
    let (old, new) = (block.chunks_mut(SECTOR), data.chunks(SECTOR));
    for (old, new) in old.zip(new) {
        if random.next().is_multiple_of(2) {
            old.copy_from_slice(new);
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): enough to choose by, and the same for the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIZE: u64 = limits::DEVICE_BYTES_MIN;

    fn block_of(disk: &CrashDisk, block: u64) -> Vec<u8> {
        let mut out = vec![0; BLOCK];
        disk.peek(block * BLOCK as u64, &mut out);
        out
    }

    fn write(disk: &CrashDisk, block: u64, value: u8, completed: bool) {
        let (id, _) = begin(disk, block * BLOCK as u64, &[value; BLOCK]).unwrap();
        if completed {
            disk.state().complete_write(id);
        }
    }

    #[test]
    fn all_outcomes_of_a_power_cut_happen() {
        let disk = CrashDisk::new(SIZE);
        write(&disk, 7, 1, true);
        disk.flush().unwrap();
        write(&disk, 7, 2, true);
        let (mut old, mut new, mut torn) = (0, 0, 0);
        for seed in 0..300 {
            let found = block_of(&disk.crash(seed), 7);
            match (found.contains(&1), found.contains(&2)) {
                (true, true) => torn += 1,
                (true, false) => old += 1,
                (false, true) => new += 1,
                (false, false) => panic!("neither old nor new"),
            }
        }
        assert!(old > 50 && new > 50 && torn > 50, "{old} old, {new} new, {torn} torn");
        assert_eq!(block_of(&disk.crash(1), 7), block_of(&disk.crash(1), 7), "same seed, same cut");
        assert_eq!(block_of(&disk, 7), [2; BLOCK], "the disk itself is unharmed");
    }

    #[derive(Debug, Clone)]
    enum Act {
        Write { block: u64, completed: bool },
        Flush,
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            4 => (0_u64..6, any::<bool>())
                .prop_map(|(block, completed)| Act::Write { block, completed }),
            1 => Just(Act::Flush),
        ]
    }

    proptest! {
        /// After a crash every sector of a block is its last flushed value or one of the values
        /// written since; with none written since, the block is intact.
        #[test]
        fn flushed_is_intact_the_rest_old_new_or_torn(
            acts in prop::collection::vec(act(), 0..60),
            seed in any::<u64>(),
        ) {
            let disk = CrashDisk::new(SIZE);
            let mut possible: HashMap<u64, Vec<u8>> = (0..6).map(|block| (block, vec![0])).collect();
            let mut unfinished: HashMap<u64, Vec<u8>> = HashMap::new();
            for (index, act) in acts.iter().enumerate() {
                let value = index as u8 + 1;
                match act {
                    Act::Write { block, completed } => {
                        write(&disk, *block, value, *completed);
                        if *completed {
                            possible.get_mut(block).unwrap().push(value);
                        } else {
                            unfinished.entry(*block).or_default().push(value);
                        }
                    }
                    Act::Flush => {
                        disk.flush().unwrap();
                        for values in possible.values_mut() {
                            *values = vec![*values.last().unwrap()];
                        }
                    }
                }
            }
            let after = disk.crash(seed);
            prop_assert_eq!(after.unflushed_writes(), 0);
            for (block, mut values) in possible {
                values.extend(unfinished.remove(&block).unwrap_or_default());
                for sector in block_of(&after, block).chunks(SECTOR) {
                    prop_assert!(values.contains(&sector[0]), "block {} {:?}", block, values);
                    prop_assert!(sector.iter().all(|byte| *byte == sector[0]), "sector torn");
                }
            }
        }
    }
}
