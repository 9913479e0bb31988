//! *Owns:* `rdma-probe`: whether objects can move by RDMA between this machine and a server, and what is in the way.
//!
//! | file | looks at |
//! |---|---|
//! | `local.rs` | devices, ports, addresses, the right to lock memory |
//! | `server.rs` | what the server says that it can do |
//! | `trip.rs` | one small object by each protocol, there and back |
//! | `text.rs` | the findings for people |
//!
//! It never fails because something is missing: that is a finding. *Not here:* load.

mod local;
mod server;
mod text;
mod trip;

use std::sync::Arc;

use rdma::fabric::{Fabric, Gid};
use serde::Serialize;

use crate::cli::{AccessArgs, Auth, RdmaProbeCommand};
use crate::client::Shared;
use crate::endpoint::{Access, Endpoint, Protocol};
use crate::rdma::HttpControl;
use crate::setup::{self, SetupError};
use local::Local;
use server::Server;
use trip::Trip;

/// What was found. Field names are those of the JSON.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Findings {
    pub(crate) endpoint: String,
    pub(crate) bucket: Option<String>,
    /// Objects can move by RDMA by at least one protocol, as far as was tried.
    pub(crate) usable: bool,
    /// What is in the way, each with its remedy.
    pub(crate) problems: Vec<String>,
    pub(crate) local: Local,
    pub(crate) server: Server,
    /// Round trips; only with a bucket, and where both sides have a fabric.
    pub(crate) trips: Vec<Trip>,
}

/// Looks at everything.
///
/// # Errors
/// When the options make no sense.
pub(crate) async fn probe(command: &RdmaProbeCommand) -> Result<Findings, SetupError> {
    let endpoint = Arc::new(endpoint(command)?);
    let (local, fabric) = Local::look(&command.device.options());
    let control = HttpControl::new(endpoint, Shared::new());
    let server = Server::ask(&control, command.bucket.as_deref(), command.timeout).await;
    let mut problems = Vec::from_iter(local.problem());
    problems.extend(server.problems());
    if let Some(fabric) = &fabric {
        problems.extend(mismatches(fabric, &server));
    }
    let mut trips = Vec::new();
    if let (Some(fabric), Some(bucket), true) = (&fabric, &command.bucket, server.can_be_tried()) {
        let place = trip::Place { control: &control, bucket, fabric, time: command.timeout };
        trips = place.try_all(&server).await;
    }
    problems.extend(trips.iter().filter_map(Trip::problem));
    let usable = match command.bucket {
        Some(_) => trips.iter().any(Trip::is_good),
        None => problems.is_empty(),
    };
    Ok(Findings {
        endpoint: command.endpoint.clone(),
        bucket: command.bucket.clone(),
        usable,
        problems,
        local,
        server,
        trips,
    })
}

fn endpoint(command: &RdmaProbeCommand) -> Result<Endpoint, SetupError> {
    let AccessArgs { auth, .. } = &command.access;
    let access = match auth {
        Auth::Header => Access::Header(setup::signer(&command.access)?),
        Auth::Presigned | Auth::Anonymous => {
            let why = "tokens are signed with each request; choose --auth header";
            return Err(SetupError::Rdma(why.to_owned()));
        }
    };
    let bucket = command.bucket.as_deref().unwrap_or_default();
    Ok(Endpoint::new(&command.endpoint, bucket, access, Protocol::Http1, true)?)
}

/// What both ends must have alike, and have not.
fn mismatches(fabric: &Arc<dyn Fabric>, server: &Server) -> Vec<String> {
    let mut problems = Vec::new();
    let Some(document) = &server.document else { return problems };
    let ours = fabric.facts().path_mtu.bytes();
    if let Some(theirs) = document.path_mtu.filter(|theirs| *theirs != ours) {
        problems.push(format!(
            "the path MTU is {ours} here and {theirs} at the server, and nothing negotiates it: give \
             --rdma-path-mtu {smaller} here and set rdma.path_mtu = {smaller} there, or raise the lower \
             interface's MTU",
            smaller = ours.min(theirs)
        ));
    }
    let layer = fabric.facts().link_layer;
    if let Some(theirs) = document.link_layer.as_deref().filter(|theirs| *theirs != layer) {
        problems.push(format!("the link is {layer} here and {theirs} at the server"));
    }
    let gid = document.gid.as_deref().and_then(|gid| gid.parse::<std::net::Ipv6Addr>().ok());
    if let Some(gid) = gid
        && let Err(error) = fabric.local_gid(Gid(gid.octets()))
    {
        problems.push(format!("no address here that reaches {gid}: {error}"));
    }
    problems
}
