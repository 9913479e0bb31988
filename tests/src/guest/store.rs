//! Owns: a store on the guest's NVMe drives. A store in a file would lie in the guest's memory.

use std::process::{Command, Output};

use super::{Drive, Guest};
use crate::loadgen::Loadgen;
use crate::server::{Options, Server, Site, binary, without_settings};

/// A store on two drives (8 GiB in all). The drives are the same for every test of a boot; each makes
/// its store anew.
#[derive(Debug)]
pub struct DriveStore {
    /// Data directory (index and credentials, in the guest's memory) and logs.
    pub site: Site,
    /// Where the extents are.
    pub drives: Vec<Drive>,
}

impl DriveStore {
    /// Makes a new one, over whatever an earlier test left on the drives.
    ///
    /// # Panics
    /// When `penstock format` fails.
    pub fn new(guest: &Guest) -> Self {
        let store = Self { site: Site::new(), drives: guest.drives(2).to_vec() };
        let output = store.command("format", &["--force"]);
        assert!(output.status.success(), "format: {}", text(&output));
        store
    }

    /// Options that name the drives; more can be added.
    pub fn options(&self) -> Options {
        let options = Options { environment: Vec::new(), ..Options::default() };
        self.drives.iter().fold(options, |options, drive| {
            options.argument("--devices").argument(drive.path().display().to_string())
        })
    }

    /// Options of a server that takes uploads of `staging` bytes by hipobj-rc-v2, in 1 GiB more.
    pub fn rdma_options(&self, staging: u64) -> Options {
        let memory = (staging + (1 << 30)).to_string();
        self.options().memory(&memory).argument("--rdma-staging").argument(staging.to_string())
    }

    /// Starts a server on it.
    pub fn start(&self) -> Server {
        self.options().start(&self.site)
    }

    /// Ends a server in an orderly way and checks what it leaves.
    ///
    /// # Panics
    /// When it does not end with 0, or `penstock check` finds something.
    pub fn stop(&self, mut server: Server) {
        assert_eq!(server.terminate().code(), Some(0), "{}", server.log());
        self.assert_consistent();
    }

    /// Runs `penstock COMMAND` on data directory and drives.
    pub fn command(&self, command: &str, more: &[&str]) -> Output {
        let mut penstock = without_settings(Command::new(binary()));
        penstock.arg(command).arg("--data").arg(self.site.data()).args(more);
        for drive in &self.drives {
            penstock.arg("--devices").arg(drive.path());
        }
        penstock.output().expect("penstock can be started")
    }

    /// Runs `penstock check` while no server runs.
    ///
    /// # Panics
    /// When it finds anything.
    pub fn assert_consistent(&self) {
        let output = self.command("check", &[]);
        assert!(output.status.success(), "check ({}): {}", output.status, text(&output));
    }

    /// Bytes read from and written to all drives since the boot.
    pub fn moved_bytes(&self) -> (u64, u64) {
        let moved = self.drives.iter().map(Drive::moved_bytes);
        moved.fold((0, 0), |sum, drive| (sum.0 + drive.0, sum.1 + drive.1))
    }

    /// Load on a server of it.
    pub fn loadgen(&self, server: &Server, bucket: &str) -> Loadgen {
        let credentials = self.site.credentials().clone();
        Loadgen { address: server.address, bucket: bucket.to_owned(), credentials }
    }
}

/// All that a command has said.
pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
