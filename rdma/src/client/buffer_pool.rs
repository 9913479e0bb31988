//! Owns registered memory that is not in use: registration costs more than a small transfer (it pins pages and talks
//! to the device), so buffers are kept for the next one that needs their size and right.
//!
//! *Limits:* [`BufferPoolLimits`]; what is beyond them is deregistered, the longest unused first.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::fabric::{Buffer, Fabric, FabricError, RemoteAccess};
use crate::limits::{
    CLIENT_BUFFER_BYTES_LEAST, CLIENT_BUFFER_POOL_BYTES, CLIENT_BUFFER_POOL_COUNT,
};

/// Idle buffers by size class (powers of two from 4 KiB) and right.
///
/// A buffer keeps its key while it is opened with the same right again; that is why GET ([`RemoteAccess::Write`]) and
/// PUT ([`RemoteAccess::Read`]) are kept apart.
pub struct BufferPool {
    fabric: Arc<dyn Fabric>,
    limits: BufferPoolLimits,
    /// The longest unused first.
    idle: VecDeque<Idle>,
    stats: BufferPoolStats,
}

struct Idle {
    buffer: Buffer,
    access: RemoteAccess,
}

/// How much is kept. Buffers that are in use are their users', and count for nothing here.
#[derive(Clone, Copy, Debug)]
pub struct BufferPoolLimits {
    /// Bytes. 1 GiB.
    pub bytes: usize,
    /// Buffers. 1,024.
    pub count: usize,
}

impl Default for BufferPoolLimits {
    fn default() -> BufferPoolLimits {
        BufferPoolLimits { bytes: CLIENT_BUFFER_POOL_BYTES, count: CLIENT_BUFFER_POOL_COUNT }
    }
}

/// What a pool holds and has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BufferPoolStats {
    /// Buffers that are kept.
    pub idle: usize,
    /// Their bytes.
    pub idle_bytes: usize,
    /// Buffers that were there when they were needed.
    pub hits: u64,
    /// Buffers that had to be made.
    pub misses: u64,
    /// Buffers that were given up for others.
    pub evictions: u64,
}

impl BufferPool {
    /// An empty one.
    #[must_use]
    pub fn new(fabric: Arc<dyn Fabric>, limits: BufferPoolLimits) -> BufferPool {
        BufferPool { fabric, limits, idle: VecDeque::new(), stats: BufferPoolStats::default() }
    }

    /// A buffer of at least `bytes`, and less than four times as many (or 4 KiB), for this use. Its contents are what
    /// its last user left there.
    ///
    /// # Errors
    /// When the memory or its registration is refused.
    pub fn take(&mut self, bytes: usize, access: RemoteAccess) -> Result<Buffer, FabricError> {
        let class = size_class(bytes).ok_or_else(|| {
            FabricError::new("ibv_reg_mr", format!("{bytes} bytes are more than memory can have"))
        })?;
        // The last used first: its pages are the warmest.
        let found = self.idle.iter().rposition(|idle| {
            idle.access == access && (class..class.saturating_mul(2)).contains(&idle.buffer.size())
        });
        if let Some(idle) = found.and_then(|at| self.idle.remove(at)) {
            self.stats.hits += 1;
            self.stats.idle_bytes -= idle.buffer.size();
            return Ok(idle.buffer);
        }
        self.stats.misses += 1;
        Buffer::allocate(&*self.fabric, class)
    }

    /// Keeps a buffer that was used so, made here or not. Others go where there are too many.
    pub fn give(&mut self, buffer: Buffer, access: RemoteAccess) {
        let bytes = buffer.size();
        if bytes > self.limits.bytes || self.limits.count == 0 {
            self.stats.evictions += 1;
            return;
        }
        while self.idle.len() >= self.limits.count
            || self.stats.idle_bytes > self.limits.bytes - bytes
        {
            let Some(oldest) = self.idle.pop_front() else { break };
            self.stats.idle_bytes -= oldest.buffer.size();
            self.stats.evictions += 1;
        }
        self.stats.idle_bytes += bytes;
        self.idle.push_back(Idle { buffer, access });
    }

    /// What it holds and has done.
    #[must_use]
    pub fn stats(&self) -> BufferPoolStats {
        BufferPoolStats { idle: self.idle.len(), ..self.stats }
    }
}

/// The power of two that is enough.
fn size_class(bytes: usize) -> Option<usize> {
    bytes.max(CLIENT_BUFFER_BYTES_LEAST).checked_next_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fabric::{Gid, loopback};

    fn pool(bytes: usize, count: usize) -> BufferPool {
        let network = loopback::Network::new();
        let fabric = network.fabric(Gid::from_ipv4([10, 0, 0, 1].into()), None);
        BufferPool::new(fabric, BufferPoolLimits { bytes, count })
    }

    #[test]
    fn a_buffer_is_found_again_with_its_key() {
        let mut pool = pool(1 << 20, 8);
        let buffer = pool.take(5000, RemoteAccess::Write).expect("memory");
        assert_eq!(buffer.size(), 8192);
        let window = buffer.expose(RemoteAccess::Write).expect("registered");
        let key = window.remote();
        pool.give(window.reclaim(), RemoteAccess::Write);
        let other_right = pool.take(5000, RemoteAccess::Read).expect("memory");
        let again = pool.take(8000, RemoteAccess::Write).expect("memory");
        assert_eq!(again.expose(RemoteAccess::Write).expect("registered").remote(), key);
        let stats = pool.stats();
        assert_eq!((stats.hits, stats.misses, stats.idle, stats.idle_bytes), (1, 2, 0, 0));
        drop(other_right);
    }

    #[test]
    fn a_small_request_gets_no_large_buffer() {
        let mut pool = pool(1 << 20, 8);
        let large = pool.take(1 << 16, RemoteAccess::Write).expect("memory");
        pool.give(large, RemoteAccess::Write);
        assert_eq!(pool.take(1, RemoteAccess::Write).expect("memory").size(), 4096);
        assert_eq!(pool.stats().hits, 0);
        assert!(pool.take(usize::MAX, RemoteAccess::Write).is_err());
    }

    #[test]
    fn the_longest_unused_goes_first() {
        for (bytes, count) in [(3 * 4096, 100), (1 << 20, 3)] {
            let mut pool = pool(bytes, count);
            let taken: Vec<_> =
                (0..4).map(|_| pool.take(1, RemoteAccess::Write).expect("memory")).collect();
            for (at, mut buffer) in taken.into_iter().enumerate() {
                buffer.as_mut_slice().expect("not lent")[0] = at as u8;
                pool.give(buffer, RemoteAccess::Write);
            }
            let stats = pool.stats();
            assert_eq!((stats.idle, stats.idle_bytes, stats.evictions), (3, 3 * 4096, 1));
            let left: Vec<_> = (0..3)
                .map(|_| pool.take(1, RemoteAccess::Write).expect("memory").as_slice()[0])
                .collect();
            assert_eq!(left, [3, 2, 1]);
        }
        let mut none = pool(4096, 0);
        let buffer = none.take(1, RemoteAccess::Write).expect("memory");
        none.give(buffer, RemoteAccess::Write);
        assert_eq!(none.stats().idle, 0);
        let mut small = pool(4096, 9);
        let buffer = small.take(4097, RemoteAccess::Write).expect("memory");
        small.give(buffer, RemoteAccess::Write);
        assert_eq!((small.stats().idle, small.stats().idle_bytes), (0, 0));
    }
}
