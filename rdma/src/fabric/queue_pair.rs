//! Owns the life of a reliable-connected queue pair, in types:
//!
//! ```text
//!  QueuePair<Initialised> ── connect() ──▶ QueuePair<Connected> ── rearm() ──▶ QueuePair<Initialised>
//!      INIT: receives may be posted            RTS: work may be posted             (its peer never answered)
//!            └────────────── fence() ──────────────────┘
//!                              ▼  ERR, everything flushed, destroyed
//!                            Fenced
//! ```
//!
//! One that is dropped unfenced is fenced by a task of its thread; where the thread's tasks have ended, it is destroyed
//! at once.

use std::marker::PhantomData;
use std::rc::Rc;

use super::address::{Gid, Mtu, Peer, Psn, Qpn};
use super::driver::{QueuePairShape, RemoteAccess, Transition};
use super::endpoint::{Endpoint, Fenced, Line};
use super::error::FabricError;
use super::work::{Completion, Work};

/// State INIT.
#[derive(Debug)]
pub enum Initialised {}

/// State RTS.
#[derive(Debug)]
pub enum Connected {}

/// What a queue pair is made for.
#[derive(Clone, Copy, Debug)]
pub struct QueuePairOptions {
    /// Its depths.
    pub shape: QueuePairShape,
    /// What the peer may do through it.
    pub access: RemoteAccess,
}

/// How to reach the far end.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    /// The far end.
    pub peer: Peer,
    /// Our address towards it.
    pub local: Gid,
    /// What we send first.
    pub psn: Psn,
    /// Bytes per packet.
    pub path_mtu: Mtu,
}

/// A reliable-connected queue pair, in a state. Belongs to one thread.
pub struct QueuePair<S> {
    line: Option<Rc<Line>>,
    access: RemoteAccess,
    state: PhantomData<S>,
}

impl Endpoint {
    /// A queue pair in state INIT.
    ///
    /// # Errors
    /// When the device has no more, or the completion queue has failed.
    pub fn queue_pair(
        &self,
        options: &QueuePairOptions,
    ) -> Result<QueuePair<Initialised>, FabricError> {
        if let Some(error) = self.shared().broken() {
            return Err(error);
        }
        let driver = self.shared().driver().queue_pair(&options.shape)?;
        let line = Line::new(self.shared(), driver);
        let made = QueuePair { line: Some(line), access: options.access, state: PhantomData };
        made.line().step(&Transition::Init { access: options.access })?;
        Ok(made)
    }
}

impl<S> QueuePair<S> {
    /// Its number.
    #[must_use]
    pub fn number(&self) -> Qpn {
        self.line().number
    }

    /// Posts a receive without memory, for the peer's WRITE WITH IMMEDIATE.
    ///
    /// # Errors
    /// When the queue is full.
    pub fn post_receive(&self) -> Result<(), FabricError> {
        let line = self.line();
        let posted = line.with_driver(|driver| driver.post_receive());
        posted
            .unwrap_or_else(|| Err(FabricError::new("ibv_post_recv", "the queue pair is gone")))
            .map_err(|error| error.in_state(line.state.get()))?;
        line.posted();
        Ok(())
    }

    /// Work requests and receives that have not completed.
    #[must_use]
    pub fn outstanding(&self) -> u64 {
        self.line().outstanding()
    }

    /// Ends it: after this nothing that was posted touches any memory, here or at the peer.
    pub async fn fence(mut self) -> Fenced {
        let line = self.line.take().expect("taken only here and when dropped");
        let guard = FenceOnDrop(Some(line));
        let fenced = guard.line().fence().await;
        drop(guard);
        fenced
    }

    fn line(&self) -> &Rc<Line> {
        self.line.as_ref().expect("taken only by what consumes the queue pair")
    }

    fn into_state<T>(mut self) -> QueuePair<T> {
        QueuePair { line: self.line.take(), access: self.access, state: PhantomData }
    }
}

impl QueuePair<Initialised> {
    /// INIT → RTR → RTS.
    ///
    /// # Errors
    /// When the device refuses the peer's address, the MTU or the state; the queue pair is fenced then.
    pub fn connect(self, to: &Connection) -> Result<QueuePair<Connected>, FabricError> {
        let Connection { peer, local, psn, path_mtu } = *to;
        let line = self.line();
        line.step(&Transition::ReadyToReceive { peer, local, path_mtu })?;
        line.step(&Transition::ReadyToSend { psn })?;
        Ok(self.into_state())
    }
}

impl QueuePair<Connected> {
    /// Posts work. Unless it is `signalled`, its completion comes with that of a later one that is.
    ///
    /// # Errors
    /// The work back when it can't be posted.
    pub fn post(&self, work: Work, signalled: bool) -> Result<(), (FabricError, Work)> {
        let line = self.line();
        let mut work = Some(work);
        let posted = line.with_driver(|driver| match work.take() {
            Some(work) => driver.post(work, signalled),
            None => Ok(()),
        });
        match (posted, work) {
            (Some(Ok(())), _) => {
                line.posted();
                Ok(())
            }
            (Some(Err((error, work))), _) => Err((error.in_state(line.state.get()), work)),
            (None, Some(work)) => {
                Err((FabricError::new("ibv_post_send", "the queue pair is gone"), work))
            }
            (None, None) => Ok(()),
        }
    }

    /// The next completion.
    ///
    /// # Errors
    /// When there will be none: the completion queue has failed.
    pub async fn completion(&self) -> Result<Completion, FabricError> {
        self.line().next().await
    }

    /// The next completion, if it is there.
    #[must_use]
    pub fn completed(&self) -> Option<Completion> {
        self.line().take()
    }

    /// After its peer never answered: ERR, drained, RESET, INIT. Receives have to be posted anew.
    ///
    /// # Errors
    /// When the device refuses a step or doesn't flush in time; the queue pair is fenced then.
    pub async fn rearm(self) -> Result<QueuePair<Initialised>, FabricError> {
        let line = self.line();
        line.step(&Transition::Error)?;
        if !line.drain().await {
            let late = || FabricError::new("ibv_modify_qp", "its work was not flushed in time");
            return Err(line.broken().unwrap_or_else(late).in_state(line.state.get()));
        }
        while line.take().is_some() {}
        line.step(&Transition::Reset)?;
        line.step(&Transition::Init { access: self.access })?;
        Ok(self.into_state())
    }
}

impl<S> Drop for QueuePair<S> {
    fn drop(&mut self) {
        drop(FenceOnDrop(self.line.take()));
    }
}

/// Sees to the fence of a queue pair whose owner went away, also in the middle of fencing.
struct FenceOnDrop(Option<Rc<Line>>);

impl FenceOnDrop {
    fn line(&self) -> &Rc<Line> {
        self.0.as_ref().expect("taken only when dropped")
    }
}

impl Drop for FenceOnDrop {
    fn drop(&mut self) {
        if let Some(line) = self.0.take().filter(|line| !line.is_gone()) {
            line.abandon();
        }
    }
}
