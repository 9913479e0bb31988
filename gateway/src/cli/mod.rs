//! The command line of `penstock`.
//!
//! Owns: commands and flags, made from the table of keys, and the exit codes: 0 for success, 1 for
//! a failure, 2 for a command or configuration that is wrong (`check`: 1 for findings, 2 when it
//! could not run; `status`: 1 when not ready, 2 when no server says how it is).
//! Not here: what commands do with the store; that comes in as [`StoreCommands`].

mod amounts;
mod bucket;
mod bundle;
#[cfg(test)]
mod fixture;
mod flags;
pub mod keys;
mod log;
mod people;
mod server;
mod status;
#[cfg(test)]
mod tests;
mod top;
mod users;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{ArgMatches, Command};

use crate::config::{self, Given, Machine, Plan, Raw, print};
use crate::metrics;

/// Success.
pub const SUCCESS: u8 = 0;
/// It was tried and failed.
pub const FAILURE: u8 = 1;
/// It could not be tried.
pub const MISUSE: u8 = 2;

/// The commands that need the store.
pub trait StoreCommands {
    /// Serves until stopped; the answer is the exit code.
    fn serve(&self, plan: &Plan, machine: &Machine) -> u8;
    /// Makes the store, or with `force` makes it anew.
    fn format(&self, plan: &Plan, force: bool) -> u8;
    /// Checks the store while no server runs on it.
    fn check(&self, plan: &Plan) -> u8;
}

/// Runs the command that the arguments name.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    store: &dyn StoreCommands,
) -> ExitCode {
    let matches = match flags::command().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) => {
            // Help and version come as errors too, with code 0. Nothing is left to do when
            // standard output is closed.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(MISUSE));
        }
    };
    ExitCode::from(dispatch(&matches, environment.into_iter().collect(), store))
}

fn dispatch(
    matches: &ArgMatches,
    environment: Vec<(OsString, OsString)>,
    store: &dyn StoreCommands,
) -> u8 {
    let machine = Machine::observe();
    let (name, inner) = innermost(matches);
    let given = flags::given(inner, environment);
    if name == "config print" {
        return print_config(given, &machine, inner.get_flag("json"));
    }
    if name == "debug metrics" {
        show(&metrics::document::text());
        return SUCCESS;
    }
    // These ask a running server, which may be on another machine: no plan is needed, and none that
    // is wrong for this machine shall be in the way.
    match name.as_str() {
        "bucket public-read" => return bucket::public_read(given, inner),
        "status" => return status::run(given, inner),
        "top" => return top::run(given, inner),
        "debug bundle" => return bundle::run(given, inner),
        "policy check" => return users::check_policy(inner),
        _ => {}
    }
    let plan = match config::load(given, &machine) {
        Ok((_, plan)) => plan,
        Err(findings) => {
            print_findings(&findings);
            return MISUSE;
        }
    };
    log::start(&plan);
    match name.as_str() {
        "serve" => store.serve(&plan, &machine),
        "format" => store.format(&plan, inner.get_flag("force")),
        "check" => store.check(&plan),
        "key create" => keys::add(&plan, inner),
        "key list" => keys::list(&plan, inner),
        "key disable" => keys::set_disabled(&plan, inner, true),
        "key enable" => keys::set_disabled(&plan, inner, false),
        "key remove" => keys::remove(&plan, inner),
        "user add" => users::add(&plan, inner),
        "user list" => users::list(&plan, inner),
        "user show" => users::show_one(&plan, inner),
        "user disable" => users::set_disabled(&plan, inner, true),
        "user enable" => users::set_disabled(&plan, inner, false),
        "user remove" => users::remove(&plan, inner),
        "role add" => users::add_role(&plan, inner),
        "role list" => users::list_roles(&plan),
        "role remove" => users::remove_role(&plan, inner),
        "policy put" => users::put_policy(&plan, inner),
        "policy get" => users::get_policy(&plan, inner),
        "policy remove" => users::remove_policy(&plan, inner),
        // clap asks for a command that is in the table.
        other => fail(&format!("no command {other:?}"), MISUSE),
    }
}

/// The command's full name and its own matches.
fn innermost(matches: &ArgMatches) -> (String, &ArgMatches) {
    let (mut name, mut matches) = (String::new(), matches);
    while let Some((next, inner)) = matches.subcommand() {
        if !name.is_empty() {
            name.push(' ');
        }
        name.push_str(next);
        matches = inner;
    }
    (name, matches)
}

/// Prints what is written, right or wrong; the findings follow on standard error.
fn print_config(given: Given, machine: &Machine, as_json: bool) -> u8 {
    let (raw, mut findings) = Raw::gather(given);
    if let Err(more) = Plan::resolve(&raw, machine) {
        // A listing of what would hold is wanted before there is a data directory.
        let unset = |finding: &config::Finding| {
            finding.key == config::keys::DATA.name && raw.written(&config::keys::DATA).is_none()
        };
        findings.extend(more.into_iter().filter(|finding| !unset(finding)));
    }
    let text = match as_json {
        true => format!("{:#}\n", print::as_json(&raw, machine)),
        false => print::as_text(&raw, machine),
    };
    show(&text);
    print_findings(&findings);
    if findings.is_empty() { SUCCESS } else { MISUSE }
}

fn print_findings(findings: &[config::Finding]) {
    if findings.is_empty() {
        return;
    }
    eprintln!("penstock: the configuration has {} error(s):", findings.len());
    for finding in findings {
        eprintln!("  {finding}");
    }
}

/// Prints to standard output; a closed one (`| head`) is no error.
pub fn show(text: &str) {
    let _ = std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes());
}

/// Prints one line to standard error and passes the exit code on.
pub fn fail(problem: &str, code: u8) -> u8 {
    eprintln!("penstock: {problem}");
    code
}

/// The whole command tree, for documentation and completion.
pub fn command() -> Command {
    flags::command()
}
