//! Which running server a command is about.
//!
//! Owns: the choice between the server of a data directory, found by the pass in it, and one
//! anywhere, by `--admin`; and the flags for it.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches};

use crate::admin::client::{AskError, Client, Place};
use crate::admin::pass::Pass;
use crate::admin::state::State;
use crate::admin::trust::Trust;
use crate::config::{self, Finding, Given, Machine};

/// Why no server can be asked.
#[derive(Debug)]
pub(super) enum Unfound {
    /// The configuration that should name the data directory is wrong.
    Configuration(Vec<Finding>),
    /// No server runs on the data directory.
    NotRunning(String),
    /// The pass, the address or the token cannot be used.
    Unusable(String),
}

impl Unfound {
    /// One line for people.
    pub(super) fn text(self) -> String {
        match self {
            Unfound::NotRunning(text) | Unfound::Unusable(text) => text,
            Unfound::Configuration(findings) => {
                let findings: Vec<_> = findings.iter().map(ToString::to_string).collect();
                findings.join("; ")
            }
        }
    }
}

/// The flags by which a server is named instead of by its data directory.
pub(super) fn flags() -> [Arg; 5] {
    let admin = Arg::new("admin").long("admin").value_name("HOST:PORT").help(
        "Asks the server at this administration address, over TLS with https:// before it \
         [default: the one that runs on the data directory]",
    );
    let token = Arg::new("token-file")
        .long("token-file")
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .requires("admin")
        .help("File with the token that this address wants");
    let file = |name: &'static str, help: &'static str| {
        let path = clap::value_parser!(PathBuf);
        Arg::new(name).long(name).value_name("FILE").value_parser(path).requires("admin").help(help)
    };
    let ca = file("ca", "Authorities of the server's certificate, in PEM [default: the system's]");
    let certificate = file("certificate", "Certificate to show to the server, in PEM");
    let key = file("key", "Private key of --certificate, in PEM");
    [admin, token, ca, certificate.requires("key"), key.requires("certificate")]
}

/// The client for the server that the arguments mean.
pub(super) fn find(matches: &ArgMatches, given: Given) -> Result<Client, Unfound> {
    if let Some(client) = named(matches) {
        return client;
    }
    let (_, plan) = config::load(given, &Machine::observe()).map_err(Unfound::Configuration)?;
    at(&plan.data)
}

/// The client for the server of `--admin`, if that was given.
pub(super) fn named(matches: &ArgMatches) -> Option<Result<Client, Unfound>> {
    let unusable = |error: AskError| Unfound::Unusable(error.to_string());
    let place = matches.get_one::<String>("admin")?;
    let file = |name| matches.get_one::<PathBuf>(name);
    let token = file("token-file").map(PathBuf::as_path);
    let identity = file("certificate").cloned().zip(file("key").cloned());
    let trust = Trust { ca: file("ca").cloned(), identity };
    let place = match Place::parse(place) {
        Ok(place) => place,
        Err(error) => return Some(Err(unusable(error))),
    };
    if token.is_some() && !place.is_private() {
        eprintln!(
            "penstock: the token goes to {place} unencrypted; set admin.tls_certificate and \
             admin.tls_key there, and write https://{place}"
        );
    }
    Some(Client::remote(place, token, &trust).map_err(unusable))
}

/// The client for the server that runs on that directory.
pub(super) fn at(data: &Path) -> Result<Client, Unfound> {
    match Pass::find(data) {
        Ok(pass) => Client::with_pass(&pass).map_err(|error| Unfound::Unusable(error.to_string())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Unfound::NotRunning(format!("no server runs on {}", data.display())))
        }
        Err(error) => Err(Unfound::Unusable(format!("{}/admin.json: {error}", data.display()))),
    }
}

/// Why a running server does not say how it is.
#[derive(Debug)]
pub(super) enum Untold {
    /// It does not run.
    Absent(String),
    /// It has no such document.
    TooOld(String),
    /// Anything else, in one line.
    Failed(String),
}

impl Untold {
    /// One line for people.
    pub(super) fn text(&self) -> &str {
        let (Untold::Absent(text) | Untold::TooOld(text) | Untold::Failed(text)) = self;
        text
    }
}

/// The document of `/api/v1/state`, as it was sent and as this version understands it.
pub(super) fn state(client: &Client) -> Result<(Vec<u8>, State), Untold> {
    let place = client.place();
    let reply = client.read("/api/v1/state").map_err(|error| match error.is_absence() {
        true => Untold::Absent(error.to_string()),
        false => Untold::Failed(error.to_string()),
    })?;
    match reply.status {
        200 => {
            let state = serde_json::from_slice(&reply.body).map_err(|error| {
                Untold::Failed(format!(
                    "the state of the server on {place} cannot be read: {error}; use the \
                     penstock of the server's own version"
                ))
            })?;
            Ok((reply.body, state))
        }
        404 => Err(Untold::TooOld(format!(
            "the server on {place} is too old for this: it has no /api/v1/state; update it"
        ))),
        401 | 403 => Err(Untold::Failed(format!(
            "the server on {place} wants a token: give --token-file a file with one of its \
             admin.token_file"
        ))),
        status => Err(Untold::Failed(format!(
            "the server on {place} answers {status}: {}",
            reply.text().trim()
        ))),
    }
}
