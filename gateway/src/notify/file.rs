//! A target that is a file: one message a line, appended, made durable batch by batch. The file is opened for each batch,
//! so that it can be rotated by renaming.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::target::Attempt;

#[derive(Debug)]
pub(super) struct FileTarget {
    path: PathBuf,
}

impl FileTarget {
    /// Makes the file where it is not there.
    ///
    /// # Errors
    /// One line for the operator.
    pub(super) fn open(path: &Path) -> Result<FileTarget, String> {
        let target = FileTarget { path: path.to_owned() };
        target.file().map_err(|error| {
            let path = path.display();
            format!(
                "cannot write events into {path}: {error}; choose another file in events.targets"
            )
        })?;
        Ok(target)
    }

    fn file(&self) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).open(&self.path)
    }

    pub(super) fn append(&self, messages: &VecDeque<Vec<u8>>) -> Attempt {
        match self.try_append(messages) {
            Ok(()) => Attempt::Delivered(messages.len()),
            Err(error) => Attempt::Failed(error.to_string()),
        }
    }

    fn try_append(&self, messages: &VecDeque<Vec<u8>>) -> io::Result<()> {
        let mut file = self.file()?;
        let mut text = Vec::with_capacity(messages.iter().map(|it| it.len() + 1).sum());
        for message in messages {
            text.extend_from_slice(message);
            text.push(b'\n');
        }
        file.write_all(&text)?;
        // A pipe or a terminal has nothing to make durable.
        match file.sync_data() {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            other => other,
        }
    }
}
