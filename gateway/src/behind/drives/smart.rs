//! What `smartctl` (smartmontools) says of a drive, where it is installed and allowed to. The drive
//! itself is asked by an ioctl of its driver, which needs privileges that this process should not
//! have and code that is not safe.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde::Deserialize;

use super::DriveReport;
use crate::limits::{DRIVE_SMART_BYTES_MAX, DRIVE_SMART_TIME};

const PROGRAM: &str = "smartctl";

/// Runs the program, as long as there is one.
#[derive(Debug, Default)]
pub(super) struct Smart {
    /// It is not installed, or may not be run.
    absent: bool,
    /// Runs that were killed and have not ended: a drive that hangs keeps them. Such a drive is not
    /// asked again before.
    stuck: BTreeMap<String, Child>,
    /// Drives of which it was said already that they say nothing.
    silent: BTreeMap<String, ()>,
}

impl Smart {
    /// What the drive of that name in `/dev` says.
    pub(super) fn ask(&mut self, disk: &str) -> Option<DriveReport> {
        if self.absent || self.is_stuck(disk) {
            return None;
        }
        let mut command = Command::new(PROGRAM);
        command.args(["--json", "--all"]).arg(format!("/dev/{disk}"));
        let report = match run(&mut command, DRIVE_SMART_TIME) {
            Ok(Ran::Ended(output)) => parse(&output),
            Ok(Ran::Stuck(child)) => {
                tracing::debug!(disk, "{PROGRAM} did not end in {DRIVE_SMART_TIME:?}");
                self.stuck.insert(disk.to_owned(), child);
                return None;
            }
            Err(error) => {
                let denied = [io::ErrorKind::NotFound, io::ErrorKind::PermissionDenied];
                self.absent = denied.contains(&error.kind());
                tracing::debug!(%error, "{PROGRAM} cannot be run: no wear of drives is known");
                return None;
            }
        };
        if report.is_none() && self.silent.insert(disk.to_owned(), ()).is_none() {
            tracing::debug!(disk, "{PROGRAM} says nothing of this drive's wear");
        }
        report
    }

    fn is_stuck(&mut self, disk: &str) -> bool {
        let waits = |child: &mut Child| matches!(child.try_wait(), Ok(None));
        let stuck = self.stuck.get_mut(disk).is_some_and(waits);
        if !stuck {
            self.stuck.remove(disk);
        }
        stuck
    }
}

enum Ran {
    /// What it wrote; its exit status tells of the drive's health, not of its own.
    Ended(Vec<u8>),
    /// It was killed, and the kernel may keep it for as long as the drive hangs.
    Stuck(Child),
}

/// Runs a program for `time` at most, and takes [`DRIVE_SMART_BYTES_MAX`] of its output at most.
fn run(command: &mut Command, time: Duration) -> io::Result<Ran> {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    let Some(output) = child.stdout.take() else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    let (ended, awaited) = mpsc::channel();
    // Read on a thread of its own, which ends when the pipe does: here it could not be given up.
    let reader = thread::Builder::new().name("drive-output".to_owned()).spawn(move || {
        let mut bytes = Vec::new();
        let read = output.take(DRIVE_SMART_BYTES_MAX).read_to_end(&mut bytes);
        let _ = ended.send(read.map(|_| bytes));
    });
    // Without a reader the sender is gone, and there is no output.
    let output = awaited.recv_timeout(time);
    // What has closed its output is about to end by itself.
    if reader.is_ok()
        && let Ok(output) = output
        && ends(&mut child)?
    {
        return output.map(Ran::Ended);
    }
    child.kill()?;
    ends(&mut child)?;
    reader.map(|_| Ran::Stuck(child))
}

/// Whether a child that is about to end does so.
fn ends(child: &mut Child) -> io::Result<bool> {
    for _ in 0..END_LOOKS {
        if child.try_wait()?.is_some() {
            return Ok(true);
        }
        thread::sleep(END_LOOK);
    }
    Ok(false)
}

/// How long an end may take: 500 ms in all, in looks of 5 ms.
const END_LOOKS: usize = 100;
const END_LOOK: Duration = Duration::from_millis(5);

#[derive(Debug, Default, Deserialize)]
struct Answer {
    nvme_smart_health_information_log: Option<Health>,
    temperature: Option<Temperature>,
    endurance_used: Option<Percent>,
    spare_available: Option<Percent>,
}

/// NVMe's log page 2. The specification lets the percentage go over 100.
#[derive(Debug, Default, Deserialize)]
struct Health {
    percentage_used: Option<u32>,
    available_spare: Option<u32>,
    media_errors: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Temperature {
    current: Option<f64>,
}

/// What smartctl 7.4 and later say for drives of every kind.
#[derive(Debug, Deserialize)]
struct Percent {
    current_percent: Option<u32>,
}

/// None where nothing of it is said, or not in JSON.
fn parse(output: &[u8]) -> Option<DriveReport> {
    let answer: Answer = serde_json::from_slice(output).ok()?;
    let health = answer.nvme_smart_health_information_log.unwrap_or_default();
    let general = |percent: Option<Percent>| percent.and_then(|it| it.current_percent);
    let ratio = |percent: u32| f64::from(percent) / 100.0;
    let report = DriveReport {
        temperature_celsius: answer.temperature.and_then(|it| it.current),
        wear_ratio: health.percentage_used.or(general(answer.endurance_used)).map(ratio),
        spare_ratio: health.available_spare.or(general(answer.spare_available)).map(ratio),
        media_errors: health.media_errors,
    };
    (report != DriveReport::default()).then_some(report)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn what_drives_say_is_read() {
        // Fields as smartctl 7.3 and 7.4 name them.
        let nvme = br#"{"smartctl": {"exit_status": 0}, "temperature": {"current": 38},
            "nvme_smart_health_information_log": {"critical_warning": 0, "temperature": 38,
            "available_spare": 97, "available_spare_threshold": 10, "percentage_used": 104,
            "media_errors": 12, "power_on_hours": 31000}}"#;
        assert_eq!(
            parse(nvme),
            Some(DriveReport {
                temperature_celsius: Some(38.0),
                wear_ratio: Some(1.04),
                spare_ratio: Some(0.97),
                media_errors: Some(12),
            })
        );
        let sata = br#"{"temperature": {"current": 30}, "endurance_used": {"current_percent": 3}}"#;
        let said = parse(sata).unwrap();
        assert_eq!(
            (said.wear_ratio, said.spare_ratio, said.media_errors),
            (Some(0.03), None, None)
        );
    }

    #[test]
    fn what_is_no_answer_says_nothing() {
        let refused = br#"{"smartctl": {"exit_status": 2, "messages": [{"string": "denied"}]}}"#;
        let empty = br#"{"nvme_smart_health_information_log": {}}"#;
        let wrong = br#"{"nvme_smart_health_information_log": {"percentage_used": "much"}}"#;
        for output in [&refused[..], empty, wrong, b"", b"smartctl 7.3", b"[1, 2"] {
            assert_eq!(parse(output), None, "{}", String::from_utf8_lossy(output));
        }
    }

    #[test]
    fn a_program_is_run_for_a_bounded_time() {
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        };
        let Ok(Ran::Ended(output)) = run(&mut shell("echo said; exit 4"), DRIVE_SMART_TIME) else {
            panic!("it ended");
        };
        assert_eq!(output, b"said\n", "whatever its exit status is");
        let began = Instant::now();
        let Ok(Ran::Stuck(mut child)) =
            run(&mut shell("exec sleep 600"), Duration::from_millis(50))
        else {
            panic!("it was given up");
        };
        assert!(began.elapsed() < Duration::from_secs(60));
        assert!(!child.wait().unwrap().success(), "it was killed");
        assert!(run(&mut Command::new("/nowhere/smartctl"), DRIVE_SMART_TIME).is_err());
    }

    #[test]
    fn a_drive_that_hangs_is_asked_again_when_its_program_has_ended() {
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        let mut smart = Smart::default();
        smart.stuck.insert("nvme0n1".to_owned(), child);
        assert!(smart.is_stuck("nvme0n1"));
        assert!(!smart.is_stuck("nvme1n1"));
        smart.stuck.get_mut("nvme0n1").unwrap().kill().unwrap();
        smart.stuck.get_mut("nvme0n1").unwrap().wait().unwrap();
        assert!(!smart.is_stuck("nvme0n1"));
        assert!(smart.stuck.is_empty());
    }
}
