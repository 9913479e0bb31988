//! Owns: running commands in the second guest. `tests/vm/peer.sh` there looks for them in the
//! folder that both guests share, so that giving them puts no byte on the link between the two.
//!
//! A command NAME is three files: NAME.command (made whole, then renamed to its name), NAME.output
//! while and NAME.status after it runs. The peer runs commands beside each other.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::limits;

/// The second guest.
#[derive(Debug)]
pub struct Peer {
    folder: PathBuf,
}

/// A command that was given to it.
#[derive(Debug)]
pub struct PeerCommand {
    stem: PathBuf,
    text: String,
}

/// What a command gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerOutput {
    /// Its exit status; 128 and the signal's number when a signal ended it.
    pub status: i32,
    /// Output and errors together.
    pub text: String,
}

impl Peer {
    /// Waits until the second guest is up.
    ///
    /// # Panics
    /// When it is not within `PEER_READY_WITHIN`.
    pub fn ready() -> Self {
        let shared = std::env::var("GUEST_SHARED").expect("GUEST_SHARED is set in a guest");
        let peer = Self { folder: PathBuf::from(shared).join("peer2") };
        let deadline = Instant::now() + limits::PEER_READY_WITHIN;
        while !peer.folder.join("ready").exists() {
            assert!(Instant::now() < deadline, "no second guest: tests/vm/guest.sh --peer");
            std::thread::sleep(limits::POLL_EVERY);
        }
        peer
    }

    /// Its address on the link.
    pub fn address(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, 2)
    }

    /// Starts a shell command there.
    ///
    /// # Panics
    /// When the shared folder cannot be written.
    pub fn start(&self, command: &str) -> PeerCommand {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let stem = self.folder.join(format!("{}-{number}", std::process::id()));
        let written = stem.with_extension("part");
        fs::write(&written, command).expect("the shared folder can be written");
        fs::rename(&written, stem.with_extension("command")).expect("and its files renamed");
        PeerCommand { stem, text: command.to_owned() }
    }

    /// Runs a shell command there to its end.
    ///
    /// # Panics
    /// When it takes longer than `within`.
    pub fn run(&self, command: &str, within: Duration) -> PeerOutput {
        self.start(command).wait(within)
    }

    /// The same, and it must succeed. Gives its output.
    ///
    /// # Panics
    /// When its status is not 0.
    pub fn succeed(&self, command: &str, within: Duration) -> String {
        let output = self.run(command, within);
        assert_eq!(output.status, 0, "in the second guest: {command}\n{}", output.text);
        output.text
    }
}

impl PeerCommand {
    /// Waits for its end.
    ///
    /// # Panics
    /// When it takes longer than `within`.
    pub fn wait(self, within: Duration) -> PeerOutput {
        let deadline = Instant::now() + within;
        let status = self.stem.with_extension("status");
        while !status.exists() {
            let late = Instant::now() >= deadline;
            assert!(!late, "not within {within:?}: {}\n{}", self.text, self.output());
            std::thread::sleep(limits::POLL_EVERY);
        }
        let text = fs::read_to_string(&status).expect("the status can be read");
        let status = text.trim().parse().unwrap_or_else(|_| panic!("the status reads {text:?}"));
        PeerOutput { status, text: self.output() }
    }

    /// Ends it with SIGKILL, and waits for that.
    ///
    /// # Panics
    /// When it runs still after `EXIT_WITHIN`.
    pub fn kill(self) -> PeerOutput {
        fs::write(self.stem.with_extension("kill"), "").expect("the shared folder can be written");
        self.wait(limits::EXIT_WITHIN)
    }

    /// What it has written so far.
    pub fn output(&self) -> String {
        let bytes = fs::read(self.stem.with_extension("output")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
