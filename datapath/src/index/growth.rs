//! Disk space for the index, allocated ahead of LMDB's writes.
//!
//! Owns: the size of `data.mdb`.
//! Limits: `INDEX_HEADROOM_PAGES`.
//! Not here: the map's bound (`writer`).
//!
//! LMDB writes new pages at the end of its file. Where the file system is full it fails in the middle
//! of a commit, partly with `EIO`, which can't be told from a failing disk, and a delete needs pages
//! before it frees any. So there are always pages on the disk that only deletes may use, and what
//! would grow the index is refused when no more can be allocated.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use crate::limits::INDEX_HEADROOM_PAGES;

/// The index's file.
#[derive(Debug)]
pub(super) struct Growth {
    file: File,
    page_bytes: u64,
    /// Pages that the map holds.
    pages_max: u64,
    /// Pages that are on the disk.
    allocated: u64,
}

impl Growth {
    pub(super) fn of(directory: &Path, page_bytes: u64, pages_max: u64) -> io::Result<Growth> {
        let file = OpenOptions::new().write(true).open(directory.join("data.mdb"))?;
        Ok(Growth { file, page_bytes, pages_max, allocated: 0 })
    }

    /// Allocates beyond `last_page`, the highest page in use, and answers how many pages may be in
    /// use by what grows the index.
    pub(super) fn ahead_of(&mut self, last_page: u64) -> u64 {
        let needed = (last_page + INDEX_HEADROOM_PAGES).min(self.pages_max);
        if self.allocated < needed {
            // Twice, so that it is called once in so many pages; once, when that is all there is.
            let twice = (needed + INDEX_HEADROOM_PAGES).min(self.pages_max);
            for pages in [twice, needed] {
                match rustix::fs::fallocate(
                    &self.file,
                    FallocateFlags::empty(),
                    0,
                    pages * self.page_bytes,
                ) {
                    Ok(()) => self.allocated = pages,
                    // A file system that can't tell; nothing is known before LMDB writes.
                    Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.allocated = u64::MAX,
                    Err(_) => continue,
                }
                break;
            }
        }
        // At the map's own end, the map's reserve counts.
        if self.allocated >= self.pages_max {
            return u64::MAX;
        }
        self.allocated.saturating_sub(INDEX_HEADROOM_PAGES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_allocated_before_they_are_needed() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("data.mdb"), b"x").unwrap();
        let mut growth = Growth::of(directory.path(), 4096, 1 << 20).unwrap();
        assert_eq!(growth.ahead_of(10), 10 + INDEX_HEADROOM_PAGES);
        let length = || std::fs::metadata(directory.path().join("data.mdb")).unwrap().len();
        assert_eq!(length(), (10 + 2 * INDEX_HEADROOM_PAGES) * 4096);
        growth.ahead_of(11);
        assert_eq!(length(), (10 + 2 * INDEX_HEADROOM_PAGES) * 4096, "enough for a while");
    }
}
