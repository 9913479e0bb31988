//! Which engine the lanes run on.
//!
//! Owns: the probe for io_uring, which decides once for all lanes before they start, and the making
//! of a lane's runtime. `tokio_uring::start` panics where io_uring is refused (container runtimes'
//! default system-call filters answer EPERM or ENOSYS), so the ring is asked for first.

use std::future::Future;
use std::io;
use std::os::fd::RawFd;
use std::sync::{Mutex, PoisonError};

use tokio::task::LocalSet;

use super::load::{self, Load};
use crate::config::plan::EngineChoice;
use crate::limits;

/// What lanes run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// tokio-uring: devices are read and written through each lane's ring.
    IoUring,
    /// A plain tokio runtime: devices are read and written on a pool of threads.
    Blocking,
}

impl Engine {
    /// The name in messages and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Engine::IoUring => "io_uring",
            Engine::Blocking => "blocking",
        }
    }
}

/// The engine that was settled on, and why when it is not io_uring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The engine.
    pub engine: Engine,
    /// Why it is not io_uring.
    pub reason: Option<String>,
}

/// Settles the engine by the configuration and by what the system allows.
///
/// # Errors
/// Why io_uring is refused, when the configuration insists on it.
pub fn settle(choice: EngineChoice) -> Result<Settled, String> {
    let blocking = |reason| Settled { engine: Engine::Blocking, reason: Some(reason) };
    match choice {
        EngineChoice::Blocking => Ok(blocking("io_engine = blocking".to_owned())),
        EngineChoice::Auto => Ok(match probe() {
            Ok(()) => Settled { engine: Engine::IoUring, reason: None },
            Err(reason) => blocking(reason),
        }),
        EngineChoice::IoUring => match probe() {
            Ok(()) => Ok(Settled { engine: Engine::IoUring, reason: None }),
            Err(reason) => Err(format!("io_engine = io_uring, but {reason}")),
        },
    }
}

/// Whether a ring can be made that knows what lanes need.
///
/// # Errors
/// Why not, with the remedy.
pub fn probe() -> Result<(), String> {
    datapath::device::probe_io_uring().map(drop).map_err(|refused| refused.to_string())
}

/// Runs a future to its end on a lane's runtime, with tasks that stay on this thread. `begun` is told
/// of the runtime's load when it runs.
///
/// # Errors
/// When the runtime cannot be made.
pub fn run<F: Future>(
    engine: Engine,
    begun: impl FnOnce(Load),
    future: F,
) -> io::Result<F::Output> {
    let observed = |ring| async move {
        begun(Load::here(ring));
        future.await
    };
    match engine {
        // This runtime cannot be told of a bound on its helper threads: the turns at reading listings are one.
        Engine::IoUring => {
            let (runtime, ring) = with_ring()?;
            Ok(runtime.block_on(observed(ring)))
        }
        Engine::Blocking => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .max_blocking_threads(limits::HELPER_THREADS_MAX)
                .build()?;
            let tasks = LocalSet::new();
            Ok(tasks.block_on(&runtime, observed(None)))
        }
    }
}

/// A runtime and its ring's descriptor, which it does not tell: it is the one that was not there
/// before. Lanes make theirs one after the other for that.
fn with_ring() -> io::Result<(tokio_uring::Runtime, Option<RawFd>)> {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let before = load::rings();
    let runtime = tokio_uring::Runtime::new(&tokio_uring::builder())?;
    let mut made = load::rings();
    made.retain(|ring| !before.contains(ring));
    // Without /proc, or when somebody else makes rings, the lane's is not known.
    let ring = <[RawFd; 1]>::try_from(made).ok().map(|[ring]| ring);
    Ok((runtime, ring))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocking_can_be_chosen_and_runs_local_tasks() {
        let settled = settle(EngineChoice::Blocking).unwrap();
        assert_eq!(settled.engine, Engine::Blocking);
        let task = async { tokio::task::spawn_local(async { 7 }).await.unwrap() };
        assert_eq!(run(Engine::Blocking, drop, task).unwrap(), 7);
    }

    #[test]
    fn auto_takes_what_the_probe_found() {
        let settled = settle(EngineChoice::Auto).unwrap();
        match probe() {
            Ok(()) => {
                assert_eq!(settled, Settled { engine: Engine::IoUring, reason: None });
                let task = async { tokio::task::spawn_local(async { 7 }).await.unwrap() };
                assert_eq!(run(Engine::IoUring, drop, task).unwrap(), 7);
            }
            Err(reason) => {
                assert_eq!(settled.reason, Some(reason.clone()));
                assert!(settle(EngineChoice::IoUring).unwrap_err().contains(&reason));
            }
        }
    }
}
