//! Which running server a command is about.
//!
//! Owns: the choice between the server of a data directory, found by the pass in it, and one
//! anywhere, by `--admin`; and the flags for it.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches};

use crate::admin::client::{AskError, Client, Place};
use crate::admin::pass::Pass;
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

/// The flags by which a server is named instead of by its data directory.
pub(super) fn flags() -> [Arg; 2] {
    let admin = Arg::new("admin").long("admin").value_name("HOST:PORT").help(
        "Asks the server at this administration address [default: the one that runs on the data \
         directory]",
    );
    let token = Arg::new("token-file")
        .long("token-file")
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .requires("admin")
        .help("File with the token that this address wants");
    [admin, token]
}

/// The client for the server that the arguments mean.
pub(super) fn find(matches: &ArgMatches, given: Given) -> Result<Client, Unfound> {
    let unusable = |error: AskError| Unfound::Unusable(error.to_string());
    if let Some(place) = matches.get_one::<String>("admin") {
        let place = Place::parse(place).map_err(unusable)?;
        let token = matches.get_one::<PathBuf>("token-file");
        return Client::remote(place, token.map(PathBuf::as_path)).map_err(unusable);
    }
    let (_, plan) = config::load(given, &Machine::observe()).map_err(Unfound::Configuration)?;
    at(&plan.data)
}

/// The client for the server that runs on that directory.
pub(super) fn at(data: &Path) -> Result<Client, Unfound> {
    match Pass::find(data) {
        Ok(pass) => Ok(Client::with_pass(&pass)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Unfound::NotRunning(format!("no server runs on {}", data.display())))
        }
        Err(error) => Err(Unfound::Unusable(format!("{}/admin.json: {error}", data.display()))),
    }
}
