//! *Owns:* the arena's address range: mapping it, asking for huge pages and for locking, and the
//! turn from an offset into an address.
//!
//! *Not here:* who may touch which part (`frame.rs`).
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::fmt;
use std::io;
use std::ptr::{self, NonNull};

use rustix::mm::{Advice, MapFlags, ProtFlags};

use crate::limits;

/// Which pages back the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageKind {
    /// From the kernel's reserved pool (`vm.nr_hugepages`).
    Huge,
    /// Ordinary pages that the kernel may join to huge ones.
    Transparent,
    /// Ordinary pages.
    Normal,
}

/// Whether the arena is kept in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locking {
    /// Not asked for.
    NotAsked,
    /// Locked, and thereby all of it present.
    Locked,
    /// The kernel refused with this errno.
    Refused(i32),
}

/// What was got for what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MappingReport {
    /// Bytes mapped.
    pub bytes: u64,
    /// Regions that these make.
    pub regions: usize,
    /// Pages behind them.
    pub pages: PageKind,
    /// The errno with which the reserved pool of huge pages refused, when it was asked.
    pub huge_refused: Option<i32>,
    /// Locked or not.
    pub locking: Locking,
}

/// The address range, unmapped when dropped.
pub(super) struct Mapping {
    /// What mmap returned: one granule longer than what is used where alignment needed it.
    raw: NonNull<c_void>,
    raw_bytes: usize,
    /// Aligned to [`limits::ARENA_GRANULE_BYTES`].
    base: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the type is an address range that any thread may use; it hands out no references, and
// exclusive access to a part of it is `Frame`'s to prove. Until drop.
unsafe impl Send for Mapping {}
// SAFETY: as above; all methods take `&self` and only compute addresses.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `bytes` of zeroed memory; `bytes` is a multiple of the granule.
    pub(super) fn new(
        bytes: usize,
        huge: bool,
        lock: bool,
    ) -> io::Result<(Mapping, MappingReport)> {
        assert!(bytes > 0 && bytes.is_multiple_of(limits::ARENA_GRANULE_BYTES));
        let mut huge_refused = None;
        let mut got = None;
        if huge {
            match map(bytes, MapFlags::HUGETLB) {
                Ok(raw) => got = Some((raw, bytes, PageKind::Huge)),
                Err(errno) => huge_refused = Some(errno.raw_os_error()),
            }
        }
        let (raw, raw_bytes, mut pages) = match got {
            Some(got) => got,
            None => {
                let raw_bytes = bytes + limits::ARENA_GRANULE_BYTES;
                (map(raw_bytes, MapFlags::empty())?, raw_bytes, PageKind::Normal)
            }
        };
        let skip = raw.cast::<u8>().align_offset(limits::ARENA_GRANULE_BYTES);
        assert!(skip + bytes <= raw_bytes, "the mapping holds an aligned range");
        // SAFETY: skip + bytes lie in the range just mapped, as asserted. Held by `Mapping`.
        let base = unsafe { raw.cast::<u8>().add(skip) };
        let mapping = Mapping { raw, raw_bytes, base, bytes };
        if huge && pages == PageKind::Normal && mapping.advise(Advice::LinuxHugepage).is_ok() {
            pages = PageKind::Transparent;
        }
        // Users' data stay out of core dumps, and a dump stays small. Refusal changes nothing else.
        let _ = mapping.advise(Advice::LinuxDontDump);
        let locking = match lock {
            false => Locking::NotAsked,
            true => mapping.lock(),
        };
        let report = MappingReport {
            bytes: bytes as u64,
            regions: bytes.div_ceil(limits::REGION_BYTES_MAX),
            pages,
            huge_refused,
            locking,
        };
        Ok((mapping, report))
    }

    /// Usable bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The address of an offset below [`Mapping::bytes`].
    pub(super) fn pointer(&self, offset: usize) -> *mut u8 {
        assert!(offset < self.bytes, "offset {offset} is outside the arena");
        // SAFETY: the offset is inside the mapping, as asserted. Held by `self`. Until drop.
        unsafe { self.base.add(offset).as_ptr() }
    }

    fn advise(&self, advice: Advice) -> rustix::io::Result<()> {
        // SAFETY: the range is ours, and the two kinds of advice given here keep its contents.
        unsafe { rustix::mm::madvise(self.base.as_ptr().cast(), self.bytes, advice) }
    }

    fn lock(&self) -> Locking {
        // SAFETY: the range is ours; locking changes no contents. Until munmap, which unlocks.
        match unsafe { rustix::mm::mlock(self.base.as_ptr().cast(), self.bytes) } {
            Ok(()) => Locking::Locked,
            Err(errno) => Locking::Refused(errno.raw_os_error()),
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is the range that mmap returned, unmapped once. Every frame holds the arena
        // that holds this, so that no reference into it is left.
        let unmapped = unsafe { rustix::mm::munmap(self.raw.as_ptr(), self.raw_bytes) };
        debug_assert!(unmapped.is_ok());
    }
}

fn map(bytes: usize, flags: MapFlags) -> rustix::io::Result<NonNull<c_void>> {
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    let flags = MapFlags::PRIVATE | flags;
    // SAFETY: no address is asked for, so that nothing existing is replaced.
    let raw = unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), bytes, protection, flags) }?;
    Ok(NonNull::new(raw).expect("the kernel maps nothing at address zero unless asked to"))
}

impl fmt::Display for MappingReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {} region(s), ", super::Size(self.bytes), self.regions)?;
        match (self.pages, self.huge_refused) {
            (PageKind::Huge, _) => f.write_str("huge pages")?,
            (PageKind::Transparent, _) => f.write_str(
                "transparent huge pages (none reserved: raise vm.nr_hugepages for certain ones)",
            )?,
            (PageKind::Normal, None) => f.write_str("4 KiB pages")?,
            (PageKind::Normal, Some(errno)) => write!(
                f,
                "4 KiB pages (huge pages refused: {})",
                io::Error::from_raw_os_error(errno)
            )?,
        }
        match self.locking {
            Locking::NotAsked => f.write_str(", not locked"),
            Locking::Locked => f.write_str(", locked"),
            Locking::Refused(errno) => write!(
                f,
                ", not locked ({}): raise LimitMEMLOCK= of the unit, or ulimit -l",
                io::Error::from_raw_os_error(errno)
            ),
        }
    }
}
