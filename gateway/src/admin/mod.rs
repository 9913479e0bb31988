//! The administration address: metrics, health, readiness, state, the console, and orders.
//!
//! In the order of a request: who may what (`access.rs`), the routes (`routes.rs`) and what they
//! show: the console (`console/`), the state (`state/`), the exposition (`crate::metrics`); the form
//! of answers (`answer.rs`). Before it: TLS (`tls.rs`), the files of tokens and certificates
//! (`files.rs`).
//! Owns: the HTTP server on the process's main thread.
//! Not here: signals and the end of the process (`control.rs`), how the command line finds the
//! server (`pass.rs`), whom it trusts (`trust.rs`) and how it asks (`client.rs`).

pub mod access;
pub mod answer;
pub mod client;
pub mod console;
pub mod control;
pub mod files;
pub mod pass;
mod routes;
pub mod state;
#[cfg(test)]
mod tests;
pub mod tls;
pub mod trust;

use std::cell::RefCell;
use std::convert::Infallible;
use std::fmt;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_rustls::TlsAcceptor;

use crate::admin::access::Access;
use crate::admin::files::FileWatch;
use crate::admin::state::StateSource;
use crate::lane::Order;
use crate::limits;
use crate::metrics::Exporter;

/// Tells what keeps the process from serving well, beyond the drain.
pub trait Health: Send + Sync {
    /// One line per trouble; none when all is well. Called on every look at `/readyz`.
    fn troubles(&self) -> Vec<String>;

    /// One line for each thing that an operator should look at though all is served well.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What the administration answers from.
pub struct Administration {
    /// Metrics.
    pub exporter: Exporter,
    /// What is wrong with the store.
    pub health: Arc<dyn Health>,
    /// What the console shows.
    pub state: Arc<dyn StateSource>,
    /// Set at the start of the drain.
    pub draining: Arc<AtomicBool>,
    /// The way to lane 0.
    pub orders: mpsc::Sender<Order>,
    /// Who may what. Changes when tokens do.
    pub access: RefCell<Access>,
}

impl fmt::Debug for Administration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Administration").finish_non_exhaustive()
    }
}

/// Serves until dropped. Runs inside a `LocalSet`.
pub async fn serve(
    listener: TcpListener,
    administration: Rc<Administration>,
    mut files: FileWatch,
    mut tls: Option<TlsAcceptor>,
) {
    let places = Arc::new(Semaphore::new(limits::ADMIN_CONNECTIONS_MAX));
    let mut looks = interval(limits::ADMIN_FILES_POLL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            _ = looks.tick() => {
                if let Some(contents) = files.look() {
                    administration.access.borrow_mut().replace(contents.tokens);
                    tls = contents.tls;
                }
                continue;
            }
        };
        match accepted {
            Ok((socket, _)) => {
                let (administration, tls) = (administration.clone(), tls.clone());
                tokio::task::spawn_local(async move {
                    converse(socket, tls, administration).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept on the administration address");
                tokio::time::sleep(limits::ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn converse(socket: TcpStream, tls: Option<TlsAcceptor>, administration: Rc<Administration>) {
    let Some(tls) = tls else {
        return exchange(socket, administration, false).await;
    };
    match timeout(limits::ADMIN_HEADER_TIME, tls.accept(socket)).await {
        Ok(Ok(stream)) => {
            // What is there has been verified; without one there is none.
            let certified = stream.get_ref().1.peer_certificates().is_some();
            exchange(stream, administration, certified).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "no TLS on the administration address"),
        Err(_) => tracing::debug!("no TLS in time on the administration address"),
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    administration: Rc<Administration>,
    certified: bool,
) {
    let service = service_fn(|request| {
        let administration = administration.clone();
        async move { Ok::<_, Infallible>(administration.answer(request, certified).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::ADMIN_HEADER_TIME)
        .max_buf_size(limits::ADMIN_BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let outcome = match timeout(limits::ADMIN_CONNECTION_TIME, connection.as_mut()).await {
        Ok(outcome) => outcome,
        Err(_) => {
            connection.as_mut().graceful_shutdown();
            timeout(limits::ADMIN_COMMAND_TIME, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "administration connection ended");
    }
}
