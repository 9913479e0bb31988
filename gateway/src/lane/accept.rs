//! Taking connections from a listener.
//!
//! Owns: the limit on connections, the pause when the process is out of descriptors or memory, and
//! emptying the kernel's queue before a listener is closed, since closing resets what is in it.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use rustix::io::Errno;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::connection::{self, Protocols};
use super::{Phase, context::LaneContext};
use crate::door::{Backend, Door};
use crate::limits;
use crate::metrics::Refusal;
use crate::tls::Tls;

/// Accepts until the drain begins; with `tls`, for HTTPS.
pub async fn run<B: Backend>(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    protocols: Rc<Protocols>,
    door: Rc<Door<B>>,
    mut phase: watch::Receiver<Phase>,
) {
    let context = door.context().clone();
    let mut in_turn = 0;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = phase.wait_for(|phase| *phase != Phase::Serving) => break,
        };
        match accepted {
            Ok((socket, _)) => admit(socket, tls.as_ref(), &protocols, &door),
            Err(error) => pause_after(&error, &context).await,
        }
        in_turn += 1;
        if in_turn >= limits::ACCEPTS_PER_TURN {
            in_turn = 0;
            tokio::task::yield_now().await;
        }
    }
    for socket in queued(listener) {
        admit(socket, tls.as_ref(), &protocols, &door);
    }
}

/// What the kernel has queued for the listener. The kernel itself is asked: the runtime learns of
/// connections in its next turn only, and these are the ones that come at the last moment.
fn queued(listener: TcpListener) -> impl Iterator<Item = TcpStream> {
    let listener = listener.into_std().ok();
    let next = move || {
        let (socket, _) = listener.as_ref()?.accept().ok()?;
        socket.set_nonblocking(true).ok()?;
        TcpStream::from_std(socket).ok()
    };
    std::iter::from_fn(next).take(limits::BACKLOG as usize)
}

fn admit<B: Backend>(
    socket: TcpStream,
    tls: Option<&Arc<Tls>>,
    protocols: &Rc<Protocols>,
    door: &Rc<Door<B>>,
) {
    let weight = if tls.is_some() { limits::TLS_CONNECTION_WEIGHT } else { 1 };
    match door.context().connections.take(weight) {
        Some(share) => {
            let accepted = door.context().measures().then(Instant::now);
            let arrival = connection::Arrival { socket, tls: tls.cloned(), accepted };
            let serving = connection::serve(arrival, share, protocols.clone(), door.clone());
            tokio::task::spawn_local(serving);
        }
        // Dropped, and so closed: an answer would need the memory that is being protected.
        None => door.context().cells.refused(Refusal::Connections),
    }
}

/// Errors of the connection that was about to be accepted concern nobody else (accept(2) lists
/// them); those of the process would come again at once.
async fn pause_after(error: &io::Error, context: &LaneContext) {
    let ours = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    if Errno::from_io_error(error).is_some_and(|errno| ours.contains(&errno)) {
        context.cells.refused(Refusal::Accept);
        tracing::warn!(lane = context.index, %error, "cannot accept; raise ulimit -n");
        tokio::time::sleep(limits::ACCEPT_PAUSE).await;
    } else {
        tracing::debug!(lane = context.index, %error, "accept");
    }
}
