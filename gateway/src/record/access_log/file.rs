//! Where lines end up: a file that is put aside when it is large enough, or standard output.
//!
//! Owns: the file, its length, its former parts `FILE.1` (the youngest) to `FILE.KEEP`. A write
//! that fails leaves no piece of a line behind.
//! *Not here*: when anything is written (`writer.rs`).

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::config::AccessLogTarget;

/// See the module.
#[derive(Debug)]
pub(super) enum Output {
    /// Standard output.
    Stdout,
    /// A file.
    File(LogFile),
}

/// What became of a batch.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// Lines that were written.
    pub(super) lines: u64,
    /// Lines that were not.
    pub(super) lost: u64,
    /// Why not; or why the file was not put aside, where nothing is lost.
    pub(super) error: Option<String>,
}

/// An open file.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    rotate_bytes: Option<u64>,
    keep: usize,
}

impl Output {
    /// Opens what is configured.
    ///
    /// # Errors
    /// One line for the operator.
    pub(super) fn open(
        target: &AccessLogTarget,
        rotate_bytes: Option<u64>,
        keep: usize,
    ) -> Result<Output, String> {
        let path = match target {
            AccessLogTarget::Stdout => return Ok(Output::Stdout),
            AccessLogTarget::File(path) => path.clone(),
        };
        let file = append_to(&path).map_err(|error| {
            format!(
                "access_log.file = {:?}: {error}; choose another file, or have its folder made \
                 for this user",
                path.display().to_string()
            )
        })?;
        Ok(Output::File(LogFile { path, file, rotate_bytes, keep }))
    }

    /// Opens the file again by its name: somebody else has renamed it. The old one stays where that
    /// fails.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        if let Output::File(log) = self {
            log.file = append_to(&log.path)?;
        }
        Ok(())
    }

    /// Writes whole lines.
    pub(super) fn write(&mut self, lines: &[u8]) -> Written {
        match self {
            Output::Stdout => {
                let mut stdout = io::stdout().lock();
                let outcome = stdout.write_all(lines).and_then(|()| stdout.flush());
                let count = count_lines(lines);
                match outcome {
                    Ok(()) => Written { lines: count, ..Written::default() },
                    Err(error) => Written { lost: count, error: Some(error.to_string()), lines: 0 },
                }
            }
            Output::File(log) => log.write(lines),
        }
    }
}

impl LogFile {
    fn write(&mut self, lines: &[u8]) -> Written {
        let mut written = Written::default();
        let mut rest = lines;
        while !rest.is_empty() {
            // Asked rather than remembered: others may have truncated it.
            let length = self.file.metadata().map_or(0, |it| it.len());
            let fitting = self.fitting(length, rest);
            if fitting == 0 {
                if let Err(error) = self.put_aside() {
                    written.error = Some(format!("it cannot be put aside: {error}"));
                    // Better a file that is too large than lines lost.
                    rest = self.append(length, rest, &mut written);
                }
                continue;
            }
            let (now, later) = rest.split_at(fitting);
            let left = self.append(length, now, &mut written);
            if !left.is_empty() {
                written.lost += count_lines(later);
                break;
            }
            rest = later;
        }
        written
    }

    /// Bytes of whole lines that there is room for. An empty file has room for one line at least.
    fn fitting(&self, length: u64, lines: &[u8]) -> usize {
        let Some(most) = self.rotate_bytes else {
            return lines.len();
        };
        let room = usize::try_from(most.saturating_sub(length)).unwrap_or(usize::MAX);
        if room >= lines.len() {
            return lines.len();
        }
        let end = |index: usize| index + 1;
        let fits = lines[..room].iter().rposition(|byte| *byte == b'\n').map_or(0, end);
        match fits {
            0 if length == 0 => {
                lines.iter().position(|byte| *byte == b'\n').map_or(lines.len(), end)
            }
            fits => fits,
        }
    }

    /// Appends lines to the file, which has that length. Gives back what was not written: nothing,
    /// or, after a failure, which counts it as lost, whole lines.
    fn append<'a>(&mut self, length: u64, lines: &'a [u8], written: &mut Written) -> &'a [u8] {
        let mut done = 0;
        let failure = loop {
            match self.file.write(&lines[done..]) {
                Ok(0) => break io::Error::from(io::ErrorKind::WriteZero),
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break error,
            }
            if done == lines.len() {
                written.lines += count_lines(lines);
                return &[];
            }
        };
        let whole = lines[..done].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if whole < done
            && let Err(error) = self.file.set_len(length + whole as u64)
        {
            tracing::debug!(%error, "a piece of a line stays in the access log");
        }
        written.lines += count_lines(&lines[..whole]);
        written.lost += count_lines(&lines[whole..]);
        written.error = Some(failure.to_string());
        &lines[whole..]
    }

    /// `FILE.1` becomes `FILE.2` and so on, the oldest is overwritten, and a new file begins.
    fn put_aside(&mut self) -> io::Result<()> {
        for number in (1..self.keep).rev() {
            match fs::rename(self.part(number), self.part(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, self.part(1))?;
        self.file = append_to(&self.path)?;
        Ok(())
    }

    fn part(&self, number: usize) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }
}

/// Opens a file to append to, for the user and the group: lines name users and addresses.
fn append_to(path: &Path) -> io::Result<File> {
    if let Ok(found) = fs::metadata(path)
        && !found.is_file()
    {
        // Opening a pipe would wait for its reader.
        return Err(io::Error::other("it is there and is no regular file"));
    }
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

fn count_lines(lines: &[u8]) -> u64 {
    lines.iter().filter(|byte| **byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path, rotate_bytes: Option<u64>, keep: usize) -> Output {
        Output::open(&AccessLogTarget::File(path.to_owned()), rotate_bytes, keep).unwrap()
    }

    fn lines(from: usize, to: usize) -> Vec<u8> {
        (from..to).flat_map(|number| format!("line {number:04}\n").into_bytes()).collect()
    }

    #[test]
    fn a_file_is_put_aside_between_lines_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        // Ten lines of ten bytes, and half of one.
        let mut output = open(&path, Some(105), 2);
        let written = output.write(&lines(0, 35));
        assert_eq!((written.lines, written.lost), (35, 0));
        let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
        assert_eq!(read("access.log"), lines(30, 35));
        assert_eq!(read("access.log.1"), lines(20, 30));
        assert_eq!(read("access.log.2"), lines(10, 20));
        assert!(!folder.path().join("access.log.3").exists());
        drop(output);
        open(&path, Some(105), 2).write(&lines(35, 36));
        assert_eq!(read("access.log"), lines(30, 36), "appended to after a start");
    }

    #[test]
    fn a_line_longer_than_the_file_may_be_has_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let mut output = open(&path, Some(5), 9);
        assert_eq!(output.write(&lines(0, 3)).lines, 3);
        assert_eq!(fs::read(&path).unwrap(), lines(2, 3));
        assert_eq!(fs::read(folder.path().join("access.log.2")).unwrap(), lines(0, 1));
    }

    #[test]
    fn after_a_rename_by_others_it_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let (path, aside) = (folder.path().join("access.log"), folder.path().join("aside"));
        let mut output = open(&path, None, 1);
        output.write(&lines(0, 1));
        fs::rename(&path, &aside).unwrap();
        output.write(&lines(1, 2));
        output.reopen().unwrap();
        output.write(&lines(2, 3));
        assert_eq!(fs::read(&aside).unwrap(), lines(0, 2));
        assert_eq!(fs::read(&path).unwrap(), lines(2, 3));
    }

    #[test]
    fn what_cannot_be_put_aside_grows_and_nothing_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        fs::create_dir(folder.path().join("access.log.1")).unwrap();
        let mut output = open(&path, Some(25), 1);
        let written = output.write(&lines(0, 9));
        assert_eq!((written.lines, written.lost), (9, 0));
        assert!(written.error.unwrap().contains("put aside"));
        assert_eq!(fs::read(&path).unwrap(), lines(0, 9));
    }

    #[test]
    fn what_is_no_file_is_refused_with_a_remedy() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().to_owned(), folder.path().join("none/access.log")] {
            let refused = Output::open(&AccessLogTarget::File(path), None, 1).unwrap_err();
            assert!(refused.contains("access_log.file"), "{refused}");
            assert!(refused.contains("choose another file"), "{refused}");
        }
    }

    #[test]
    fn a_full_disk_costs_lines_and_leaves_no_piece_of_one() {
        let mut output = Output::File(LogFile {
            path: "/dev/full".into(),
            file: OpenOptions::new().append(true).open("/dev/full").unwrap(),
            rotate_bytes: None,
            keep: 1,
        });
        let written = output.write(&lines(0, 7));
        assert_eq!((written.lines, written.lost), (0, 7));
        assert!(written.error.is_some());
    }
}
