//! A tar archive, compressed, of texts in one folder.
//!
//! Owns: the file, which is the caller's alone (mode 0600) and was not there before.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, Header};

/// An archive that is being written.
pub(super) struct Archive {
    builder: Builder<GzEncoder<BufWriter<File>>>,
    folder: String,
    made: u64,
}

impl Archive {
    /// Makes the file. `folder` holds all entries; `made` is their time, in seconds since 1970.
    ///
    /// # Errors
    /// When there is a file of that name, or what the system said.
    pub(super) fn create(path: &Path, folder: &str, made: u64) -> io::Result<Archive> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        let packed = GzEncoder::new(BufWriter::new(file), Compression::default());
        Ok(Archive { builder: Builder::new(packed), folder: folder.to_owned(), made })
    }

    /// Adds a file.
    ///
    /// # Errors
    /// What the system said.
    pub(super) fn add(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(self.made);
        self.builder.append_data(&mut header, format!("{}/{name}", self.folder), content)
    }

    /// Writes the end and waits until all of it is on the disk.
    ///
    /// # Errors
    /// What the system said.
    pub(super) fn finish(self) -> io::Result<()> {
        let mut file = self.builder.into_inner()?.finish()?;
        file.flush()?;
        file.get_ref().sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_is_added_comes_out_and_nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.tar.gz");
        let mut archive = Archive::create(&path, "bundle", 1_767_225_599).unwrap();
        archive.add("a/empty.txt", b"").unwrap();
        archive.add("long.txt", &b"line\n".repeat(100_000)).unwrap();
        archive.finish().unwrap();
        let metadata = std::fs::metadata(&path).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        assert!(metadata.len() < 10_000, "not compressed");
        let again = Archive::create(&path, "bundle", 0).err().unwrap();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        let unpacked = flate2::read::GzDecoder::new(File::open(&path).unwrap());
        let mut archive = tar::Archive::new(unpacked);
        let sizes: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let mut content = Vec::new();
                entry.read_to_end(&mut content).unwrap();
                (entry.path().unwrap().display().to_string(), content.len())
            })
            .collect();
        let expected = [("bundle/a/empty.txt", 0), ("bundle/long.txt", 500_000)];
        assert_eq!(sizes, expected.map(|(name, size)| (name.to_owned(), size)));
    }
}
