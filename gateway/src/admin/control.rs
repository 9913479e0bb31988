//! The process from "all lanes serve" to its exit code.
//!
//! Owns: signals, the drain, taking up changed credentials and certificates.
//!
//! ```text
//!  serving ──SIGTERM, SIGINT──▶ draining ──all lanes ended──▶ exit 0
//!     │                            └──second signal──▶ exit 1 at once
//!     └──a lane ended by itself──▶ draining, at once ──▶ exit 1
//! ```
//! A lane that ends by itself ends the process: a supervisor restarts it, where a process that goes
//! on with a lane less would never be whole again.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use crate::credentials::file::Stamp;
use crate::iam::{Iam, Places};
use crate::lane::Lanes;
use crate::limits;
use crate::tls::Tls;

/// The signals this process listens to. Made before anything else starts, so that none is lost.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Listens from now on. Needs a tokio runtime.
    ///
    /// # Errors
    /// What the system said.
    pub fn listen() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next signal.
    pub async fn next(&mut self) -> Request {
        tokio::select! {
            _ = self.terminate.recv() => Request::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Request::Stop("SIGINT"),
            _ = self.hangup.recv() => Request::Reload,
        }
    }
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// To stop; the signal's name.
    Stop(&'static str),
    /// To read credentials and certificates again (SIGHUP).
    Reload,
}

/// Keeps everyone that verification knows like the files.
#[derive(Debug)]
pub struct KeyWatch {
    iam: Arc<Iam>,
    stamps: Stamps,
}

/// The states of the credentials file and of the file of users.
pub type Stamps = [Option<Stamp>; 2];

/// The states that the files are in.
pub fn stamps(places: &Places) -> Stamps {
    [Stamp::of(&places.credentials), places.users.as_deref().and_then(Stamp::of)]
}

impl KeyWatch {
    /// Keeps `iam`, which knows the files in these states, like them.
    pub fn new(iam: Arc<Iam>, stamps: Stamps) -> KeyWatch {
        KeyWatch { iam, stamps }
    }

    /// Looks whether a file has changed since the last look.
    pub fn look(&mut self) {
        let present = self.iam.places().map(stamps).unwrap_or_default();
        if present != self.stamps {
            self.stamps = present;
            self.reload();
        }
    }

    /// Reads the files. When they can't be read or leave nobody who could sign, everyone stays as before,
    /// and the log says what is wrong.
    pub fn reload(&mut self) {
        match self.iam.reload() {
            Ok(keys) => tracing::info!(keys, "keys, users and policies read again"),
            Err(error) => tracing::error!(%error, "the old access keys and users stay valid"),
        }
    }
}

/// How the process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Drained after a signal.
    Drained,
    /// A lane ended by itself.
    LaneFailed(String),
    /// A second signal came.
    Impatient,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Drained => f.write_str("stopped"),
            End::LaneFailed(reason) => write!(f, "stopped because {reason}"),
            End::Impatient => f.write_str("stopped at once by a second signal"),
        }
    }
}

/// Watches over the lanes until all have ended, or a second signal comes.
pub async fn watch(
    lanes: &mut Lanes,
    signals: &mut Signals,
    keys: &mut KeyWatch,
    tls: Option<&Tls>,
    draining: &AtomicBool,
    deadline: Duration,
) -> End {
    let mut looks = interval(limits::CREDENTIALS_POLL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut left = lanes.cells().len();
    let mut end = End::Drained;
    while left > 0 {
        tokio::select! {
            request = signals.next() => match request {
                Request::Stop(_) if draining.swap(true, Ordering::Relaxed) => {
                    return End::Impatient;
                }
                Request::Stop(signal) => {
                    tracing::info!(signal, ?deadline, "draining");
                    lanes.drain(deadline);
                }
                Request::Reload => {
                    keys.reload();
                    tls.inspect(|tls| tls.reload());
                }
            },
            _ = looks.tick() => {
                keys.look();
                tls.inspect(|tls| tls.look());
            }
            ended = lanes.ends.recv() => match ended {
                Some((_, Ok(()))) => left -= 1,
                Some((_, Err(reason))) => {
                    left -= 1;
                    tracing::error!(reason, "a lane ended");
                    end = End::LaneFailed(reason);
                    draining.store(true, Ordering::Relaxed);
                    lanes.drain(Duration::ZERO);
                }
                None => left = 0,
            },
        }
    }
    end
}
