//! Making a store, so that being killed at any moment leaves a store, or something from which the
//! next start makes one.
//!
//! A store exists when its index has its name. The order:
//!
//! 1. all devices are looked at, none is changed;
//! 2. an index is made under another name, with the id of the store to be;
//! 3. the extent file is made, under another name until it is allocated;
//! 4. the devices get superblocks with that id;
//! 5. the index gets its name.
//!
//! An index that never got its name never had an object, so devices that bear its id hold nothing:
//! a start that finds both goes on. Devices that bear any other id, or anything else, are destroyed
//! by `force` only, also when no index is there: it may come back.
//!
//! *Not here*: opening what was made ([`super::open`]).

use std::{fs::File, io, path::Path};

use super::{
    StoreOptions,
    open::{EXTENT_FILE, INDEX_DIRECTORY, OpenError, cannot, device_specs, index_options},
    options::DEFAULT_EXTENT_FILE_BYTES,
};
use crate::{
    device::{self, DeviceError, FormatReport, MayReplace, Uuid},
    index::{Index, IndexOpenError, IndexOptions},
    limits::DEVICE_BYTES_MIN,
};

/// Names until they are finished.
const INDEX_UNFINISHED: &str = "index.unfinished";
const EXTENT_FILE_UNFINISHED: &str = "extents.unfinished";

/// Makes a store in a directory that is locked.
pub(super) fn create(options: &StoreOptions, force: bool) -> Result<FormatReport, OpenError> {
    let place = index_options(options);
    if !force && Index::made_for(&place)?.is_some() {
        return Err(OpenError::Index(IndexOpenError::Present(place.path)));
    }
    let unfinished =
        IndexOptions { path: options.data_dir.join(INDEX_UNFINISHED), ..place.clone() };
    let begun = Index::made_for(&unfinished)?.map(Uuid);
    let store = match begun {
        Some(store) => store,
        None => Uuid::random()?,
    };
    let replace = match force {
        true => MayReplace::Anything,
        false => MayReplace::Unfinished,
    };
    look_at_devices(options, store, replace)?;
    if begun.is_none() {
        remove_directory(&unfinished.path)?;
        drop(Index::create(&unfinished, store.0)?);
    }
    if options.devices.is_empty() {
        create_extent_file(options)?;
    }
    let paths: Vec<_> = device_specs(options).into_iter().map(|spec| spec.path).collect();
    let report = device::format_as(&paths, store, replace)?;
    remove_directory(&place.path)?;
    rename(&unfinished.path, &options.data_dir.join(INDEX_DIRECTORY))?;
    Ok(report)
}

/// Refuses what can't be had or must not be destroyed, before anything is changed.
fn look_at_devices(
    options: &StoreOptions,
    store: Uuid,
    replace: MayReplace,
) -> Result<(), OpenError> {
    let embedded = options.devices.is_empty();
    let bytes = extent_file_bytes(options);
    for spec in device_specs(options) {
        let path = spec.path;
        if embedded && bytes < DEVICE_BYTES_MIN {
            return Err(DeviceError::TooSmall { path, bytes }.into());
        }
        if embedded && !path.exists() {
            continue;
        }
        match device::inspect(&path) {
            // Of no use to anybody, and not used: a new one takes its place.
            Err(DeviceError::TooSmall { .. }) if embedded && replace == MayReplace::Anything => {}
            Err(error) => return Err(error.into()),
            Ok(found) if replace.allows(&found, store) => {}
            Ok(found) => {
                return Err(DeviceError::HoldsSomething { path, what: found.to_string() }.into());
            }
        }
    }
    Ok(())
}

/// What is asked, or [`DEFAULT_EXTENT_FILE_BYTES`], or half of what the file system has left when
/// that is less, in whole MiB: a first try must not fill somebody's disk.
fn extent_file_bytes(options: &StoreOptions) -> u64 {
    const MIB: u64 = 1 << 20;
    options.extent_file_bytes.unwrap_or_else(|| {
        let left = rustix::fs::statvfs(&options.data_dir)
            .map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        DEFAULT_EXTENT_FILE_BYTES.min(left / 2 / MIB * MIB)
    })
}

/// A blank extent file in place of what is there, which may go.
fn create_extent_file(options: &StoreOptions) -> Result<(), OpenError> {
    let path = options.data_dir.join(EXTENT_FILE);
    let unfinished = options.data_dir.join(EXTENT_FILE_UNFINISHED);
    // First, since there may be no room for both.
    for path in [&path, &unfinished] {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(cannot(path, "remove")(error));
            }
            _ => {}
        }
    }
    let bytes = extent_file_bytes(options);
    device::create_extent_file(&unfinished, bytes)?;
    rename(&unfinished, &path)
}

/// Removes what was half made, or what `force` gives up.
fn remove_directory(path: &Path) -> Result<(), OpenError> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(cannot(path, "remove")(error)),
        _ => Ok(()),
    }
}

/// Gives something its name, durably. Both names are in the same directory.
fn rename(from: &Path, to: &Path) -> Result<(), OpenError> {
    std::fs::rename(from, to).map_err(cannot(from, "rename"))?;
    let directory = to.parent().unwrap_or(Path::new("."));
    let sync = File::open(directory).and_then(|directory| directory.sync_all());
    sync.map_err(cannot(directory, "make names durable in"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use tempfile::TempDir;

    use super::super::{Store, testing};
    use super::*;
    use crate::device::Finding;

    fn fresh() -> (TempDir, StoreOptions) {
        let directory = tempfile::tempdir().unwrap();
        let options = testing::options(&directory);
        (directory, options)
    }

    fn opens_new(options: &StoreOptions) {
        let store = Store::open(options).unwrap();
        assert!(store.plan().created);
        store.close();
        let store = Store::open(options).unwrap();
        assert!(!store.plan().created);
        store.close();
    }

    fn names(directory: &TempDir) -> Vec<String> {
        let entries = std::fs::read_dir(directory.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// What LMDB leaves when it is killed before the first commit.
    fn empty_environment(path: &Path) {
        std::fs::create_dir_all(path).unwrap();
        let index = IndexOptions { path: path.to_owned(), map_bytes: 1 << 28, skip_flush: false };
        std::fs::write(path.join("data.mdb"), []).unwrap();
        assert_eq!(Index::made_for(&index).unwrap(), None);
        assert!(path.join("data.mdb").metadata().unwrap().len() > 0, "opening has made it");
    }

    #[test]
    fn a_start_killed_at_any_step_is_followed_by_one_that_succeeds() {
        let (directory, options) = fresh();
        opens_new(&options);
        assert_eq!(names(&directory), ["extents", "index", "lock"]);

        let (_directory, options) = fresh();
        empty_environment(&options.data_dir.join(INDEX_DIRECTORY));
        opens_new(&options);

        let (directory, options) = fresh();
        empty_environment(&options.data_dir.join(INDEX_UNFINISHED));
        std::fs::write(options.data_dir.join(EXTENT_FILE_UNFINISHED), b"half").unwrap();
        opens_new(&options);
        assert_eq!(names(&directory), ["extents", "index", "lock"]);

        // Everything but the last name.
        let (directory, options) = fresh();
        Store::open(&options).unwrap().close();
        let index = options.data_dir.join(INDEX_DIRECTORY);
        std::fs::rename(&index, options.data_dir.join(INDEX_UNFINISHED)).unwrap();
        opens_new(&options);
        assert_eq!(names(&directory), ["extents", "index", "lock"]);
    }

    #[test]
    fn what_may_hold_something_is_kept() {
        let (_directory, options) = fresh();
        Store::open(&options).unwrap().close();
        let index = options.data_dir.join(INDEX_DIRECTORY);
        let extents = options.data_dir.join(EXTENT_FILE);
        // The index is gone, or an unfinished one is there that is of another store.
        std::fs::rename(&index, options.data_dir.join("elsewhere")).unwrap();
        for another in [false, true] {
            if another {
                let path = options.data_dir.join(INDEX_UNFINISHED);
                let index = IndexOptions { path, ..index_options(&options) };
                drop(Index::create(&index, [7; 16]).unwrap());
            }
            let refused = Store::open(&options).map(drop).unwrap_err();
            assert!(
                matches!(&refused, OpenError::Device(DeviceError::HoldsSomething { .. })),
                "{refused}"
            );
            assert!(matches!(device::inspect(&extents).unwrap(), Finding::Store(_)));
        }
        std::fs::rename(options.data_dir.join("elsewhere"), &index).unwrap();
        Store::open(&options).unwrap().close();
        let refused = Store::format(&options, false).map(drop).unwrap_err();
        assert!(matches!(refused, OpenError::Index(IndexOpenError::Present(_))), "{refused}");
        let report = Store::format(&options, true).unwrap();
        assert!(matches!(report.devices[0].replaced, Finding::Blank), "a new file");
        Store::open(&options).unwrap().close();
    }

    #[test]
    fn forcing_keeps_the_store_when_a_device_cannot_be_had() {
        let (directory, mut options) = fresh();
        let device = directory.path().join("device");
        device::create_extent_file(&device, DEVICE_BYTES_MIN).unwrap();
        options.devices = vec![device.clone()];
        Store::format(&options, false).unwrap();
        let mut wrong = options.clone();
        wrong.devices.push(directory.path().join("absent"));
        assert!(Store::format(&wrong, true).is_err());
        let too_small = directory.path().join("small");
        std::fs::write(&too_small, [0; 4096]).unwrap();
        *wrong.devices.last_mut().unwrap() = too_small;
        assert!(Store::format(&wrong, true).is_err());
        let store = Store::open(&options).unwrap();
        assert!(!store.plan().created);
        store.close();
        // The embedded file is looked at before it goes, too.
        let (_directory, mut options) = fresh();
        Store::open(&options).unwrap().close();
        options.extent_file_bytes = Some(4096);
        assert!(Store::format(&options, true).is_err());
        options.extent_file_bytes = None;
        Store::open(&options).unwrap().close();
    }

    #[test]
    fn foreign_data_in_the_extent_file_is_kept() {
        let (_directory, options) = fresh();
        let extents = options.data_dir.join(EXTENT_FILE);
        device::create_extent_file(&extents, DEVICE_BYTES_MIN).unwrap();
        let file = File::options().write(true).open(&extents).unwrap();
        file.write_all_at(b"precious", 5000).unwrap();
        let refused = Store::open(&options).map(drop).unwrap_err();
        assert!(matches!(&refused, OpenError::Device(DeviceError::HoldsSomething { .. })));
        assert!(!options.data_dir.join(INDEX_UNFINISHED).exists(), "nothing was begun");
    }
}
