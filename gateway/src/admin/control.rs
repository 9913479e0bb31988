//! The process from "all lanes serve" to its exit code.
//!
//! Owns: signals, the drain, taking up changed credentials.
//!
//! ```text
//!  serving ──SIGTERM, SIGINT──▶ draining ──all lanes ended──▶ exit 0
//!     │                            └──second signal──▶ exit 1 at once
//!     └──a lane ended by itself──▶ draining, at once ──▶ exit 1
//! ```
//! A lane that ends by itself ends the process: a supervisor restarts it, where a process that goes
//! on with a lane less would never be whole again.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use crate::credentials::file::Stamp;
use crate::credentials::{AccessKey, file};
use crate::iam::Iam;
use crate::lane::Lanes;
use crate::limits;

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
    /// To read the credentials again (SIGHUP).
    Reload,
}

/// Keeps the ring of keys like the file.
#[derive(Debug)]
pub struct KeyWatch {
    /// The file.
    pub path: PathBuf,
    /// A key that is valid whatever the file says.
    pub environment_key: Option<AccessKey>,
    /// What verification asks.
    pub ring: Arc<Iam>,
    /// The state of the file that the ring has.
    pub stamp: Option<Stamp>,
}

impl KeyWatch {
    /// Looks whether the file has changed since the last look.
    pub fn look(&mut self) {
        let present = Stamp::of(&self.path);
        if present != self.stamp {
            self.stamp = present;
            self.reload();
        }
    }

    /// Reads the file. A file that cannot be read or has no keys leaves the ring as it is: locking
    /// everybody out is the worse mistake, and the log says what is wrong.
    pub fn reload(&mut self) {
        match file::read(&self.path) {
            Ok(Some(keys)) if !keys.is_empty() || self.environment_key.is_some() => {
                let count = keys.len();
                let keys = keys.into_iter().map(|stored| stored.key);
                self.ring.replace(keys.chain(self.environment_key.clone()));
                tracing::info!(keys = count, "access keys read again");
            }
            Ok(_) if self.environment_key.is_some() => {
                self.ring.replace(self.environment_key.clone());
                tracing::info!("the access key of the environment alone is valid now");
            }
            Ok(_) => tracing::warn!(path = %self.path.display(), "no access keys; the old stay"),
            Err(error) => tracing::error!(%error, "the old access keys stay valid"),
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
                Request::Reload => keys.reload(),
            },
            _ = looks.tick() => keys.look(),
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
