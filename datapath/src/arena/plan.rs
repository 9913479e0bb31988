//! *Owns:* the memory budget of the whole process: a sum of named reasons, the rest being the
//! arena.
//!
//! What counts is what the kernel reports as `RssAnon + RssShmem + HugetlbPages` in
//! `/proc/self/status` (proc(5)). The index's map and the binary are pages of files: the kernel
//! takes those back when it needs them, and they do not count.
//!
//! *Not here:* getting the memory (`mapping.rs`).

use std::fmt;

use super::{ArenaOptions, Size};
use crate::limits;

/// What the budget must serve.
#[derive(Debug, Clone, Copy)]
pub struct MemoryDemand<'a> {
    /// Budget of the whole process in bytes.
    pub total_bytes: u64,
    /// Lanes: threads with a ring or runtime each.
    pub lanes: usize,
    /// Connections admitted at a time, over all lanes.
    pub connections_max: usize,
    /// Reasons known only to the caller, its connections among them, each with its bytes.
    pub more: &'a [(String, u64)],
    /// Ask for huge pages.
    pub huge_pages: bool,
    /// Ask for locking.
    pub lock_memory: bool,
}

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryPart {
    /// What for, as shown at start.
    pub reason: String,
    /// Bytes.
    pub bytes: u64,
}

/// The budget as a sum. `Display` gives one line for each reason, with the arena's shares.
#[derive(Debug, Clone)]
pub struct MemoryPlan {
    /// The budget.
    pub total_bytes: u64,
    /// Everything but the arena.
    pub parts: Vec<MemoryPart>,
    /// The arena, and what of it reads and writes may reserve.
    pub arena: ArenaOptions,
}

/// A budget that is too small for what it must serve.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "a memory budget of {} is too small, the least is {}: {}; raise the budget, or lower the \
     connections or the lanes",
    Size(*.total_bytes), Size(*.minimum_bytes), .sum
)]
pub struct MemoryTooSmall {
    /// What was given.
    pub total_bytes: u64,
    /// What is needed, rounded up to a MiB.
    pub minimum_bytes: u64,
    /// The reasons, as text.
    pub sum: String,
}

impl MemoryPlan {
    /// Takes the named parts off the budget and gives the arena the rest.
    pub fn derive(demand: &MemoryDemand<'_>) -> Result<MemoryPlan, MemoryTooSmall> {
        let mut parts = named_parts(demand);
        let named: u64 = parts.iter().map(|part| part.bytes).sum();
        let rest = demand.total_bytes.saturating_sub(named);
        let page = limits::FRAME_BYTES_MIN as u64;
        let map_per_page = limits::ARENA_MAP_BYTES_PER_PAGE as u64;
        let arena = (rest / (page + map_per_page)) * page;
        let arena = arena - arena % limits::ARENA_GRANULE_BYTES as u64;
        if arena < limits::ARENA_BYTES_MIN as u64 {
            return Err(too_small(demand.total_bytes, &parts, named));
        }
        parts.push(MemoryPart {
            reason: String::from("map of the arena"),
            bytes: arena / page * map_per_page,
        });
        let reads_bytes = reads_share(arena, demand.connections_max);
        let writes_bytes = arena / 100 * limits::SHARE_WRITES_PERCENT as u64;
        Ok(MemoryPlan {
            total_bytes: demand.total_bytes,
            parts,
            arena: ArenaOptions {
                bytes: arena,
                reads_bytes,
                reads_growth_bytes: reads_bytes
                    - kept_for_begins(reads_bytes, demand.connections_max),
                writes_bytes,
                writes_growth_bytes: writes_bytes / 2,
                huge_pages: demand.huge_pages,
                lock_memory: demand.lock_memory,
            },
        })
    }

    /// The budget less everything planned: what rounding left over.
    pub fn unplanned_bytes(&self) -> u64 {
        let parts: u64 = self.parts.iter().map(|part| part.bytes).sum();
        self.total_bytes - parts - self.arena.bytes
    }
}

/// Everything that does not depend on the arena's size.
fn named_parts(demand: &MemoryDemand<'_>) -> Vec<MemoryPart> {
    let part = |reason: String, bytes: u64| MemoryPart { reason, bytes };
    let times = |count: usize, each: usize| count as u64 * each as u64;
    let each = |bytes: usize| Size(bytes as u64);
    let lanes = demand.lanes;
    let mut parts = vec![
        part(String::from("process"), limits::BASE_BYTES as u64),
        part(
            format!("{lanes} lanes × {}", each(limits::LANE_BYTES)),
            times(lanes, limits::LANE_BYTES),
        ),
        part(String::from("commit queue"), limits::COMMIT_QUEUE_BYTES as u64),
        part(String::from("index transaction"), limits::INDEX_TRANSACTION_BYTES as u64),
        part(String::from("checksums of open writers"), limits::WRITER_CHECKSUM_BYTES as u64),
    ];
    parts.extend(demand.more.iter().map(|(reason, bytes)| part(reason.clone(), *bytes)));
    parts
}

/// One guaranteed frame for every connection, within the limits of the share.
fn reads_share(arena: u64, connections_max: usize) -> u64 {
    let (least, most) = limits::SHARE_READS_PERCENT;
    let one_each = connections_max as u64 * limits::FRAME_BYTES_GUARANTEED as u64;
    one_each.clamp(arena / 100 * least as u64, arena / 100 * most as u64)
}

/// Of the reads' share, one guaranteed frame for every connection, at most three quarters.
fn kept_for_begins(reads_bytes: u64, connections_max: usize) -> u64 {
    (connections_max as u64 * limits::FRAME_BYTES_GUARANTEED as u64).min(reads_bytes / 4 * 3)
}

fn too_small(total_bytes: u64, parts: &[MemoryPart], named: u64) -> MemoryTooSmall {
    const MIB: u64 = 1 << 20;
    let arena = limits::ARENA_BYTES_MIN as u64;
    let map = arena / limits::FRAME_BYTES_MIN as u64 * limits::ARENA_MAP_BYTES_PER_PAGE as u64;
    let mut sum: Vec<String> =
        parts.iter().map(|part| format!("{} ({})", part.reason, Size(part.bytes))).collect();
    sum.push(format!("arena with its map ({})", Size(arena + map)));
    MemoryTooSmall {
        total_bytes,
        minimum_bytes: (named + arena + map).next_multiple_of(MIB),
        sum: sum.join(" + "),
    }
}

impl fmt::Display for MemoryPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = |bytes: u64| Size(bytes).to_string();
        writeln!(f, "memory {:>11}", size(self.total_bytes))?;
        for part in &self.parts {
            writeln!(f, "     = {:>11}  {}", size(part.bytes), part.reason)?;
        }
        writeln!(f, "     + {:>11}  rounding", size(self.unplanned_bytes()))?;
        let ArenaOptions { bytes, reads_bytes, writes_bytes, .. } = self.arena;
        write!(
            f,
            "     + {:>11}  arena: {} reads, {} writes, {} cache",
            size(bytes),
            size(reads_bytes),
            size(writes_bytes),
            size(bytes - reads_bytes - writes_bytes)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derive(total_mib: u64) -> Result<MemoryPlan, MemoryTooSmall> {
        MemoryPlan::derive(&MemoryDemand {
            total_bytes: total_mib << 20,
            lanes: 2,
            connections_max: 2048,
            more: &[(String::from("2048 connections × 32 KiB"), 64 << 20)],
            huge_pages: false,
            lock_memory: false,
        })
    }

    #[test]
    fn the_parts_add_up_to_the_budget() {
        let plan = derive(512).unwrap();
        let parts: u64 = plan.parts.iter().map(|part| part.bytes).sum();
        assert_eq!(parts + plan.arena.bytes + plan.unplanned_bytes(), 512 << 20);
        assert!(plan.unplanned_bytes() < 3 << 20, "only rounding is left over");
        // 512 MiB hold a frame for each of 2,048 slow readers.
        assert!(plan.arena.reads_bytes >= 2048 * limits::FRAME_BYTES_GUARANTEED as u64);
        let text = plan.to_string();
        for needle in ["512 MiB", "2 lanes × 4 MiB", "2048 connections", "cache"] {
            assert!(text.contains(needle), "{needle} is not in:\n{text}");
        }
    }

    #[test]
    fn too_small_a_budget_names_the_least() {
        let error = derive(64).unwrap_err();
        assert!(error.to_string().contains("2048 connections"), "{error}");
        let least = error.minimum_bytes >> 20;
        assert!(derive(least).is_ok());
        assert!(derive(least - 2).is_err());
    }

    #[test]
    fn the_reads_share_stays_in_its_limits() {
        let arena = 100 << 20;
        assert_eq!(reads_share(arena, 1), 40 << 20);
        assert_eq!(reads_share(arena, 800), 50 << 20);
        assert_eq!(reads_share(arena, 1_000_000), 60 << 20);
    }
}
