//! `penstock debug bundle`: one archive for whoever is asked for help.
//!
//! Owns: what is in it, and its first page, which says so and says what could not be had and why. A
//! part that cannot be had is no failure: bundles are wanted most when something does not work, also
//! when no server runs.
//! No secret is in it: settings come without their values where they are secret; credentials,
//! tokens, the environment and stored bytes are never read.
//! Not here: what the machine says (`machine.rs`), the archive's form (`archive.rs`).

mod archive;
mod machine;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::ArgMatches;

use self::archive::Archive;
use super::server::Unfound;
use super::{FAILURE, MISUSE, SUCCESS, amounts, fail, keys, server, show};
use crate::admin::client::Client;
use crate::admin::pass;
use crate::admin::state::State;
use crate::config::{Given, Machine, Plan, Raw, keys as settings, print};

/// One file of the bundle: its name, and its text or why there is none.
type Part = (String, Result<String, String>);

/// Writes the bundle.
pub(super) fn run(given: Given, matches: &ArgMatches) -> u8 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let name = format!("penstock-bundle-{}", stamp(now));
    let path = match matches.get_one::<PathBuf>("output") {
        Some(path) => path.clone(),
        None => PathBuf::from(format!("{name}.tar.gz")),
    };
    // Made first: a name that is taken should not cost the collecting.
    let archive = match Archive::create(&path, &name, now) {
        Ok(archive) => archive,
        Err(error) => return fail(&cannot_make(&path, &error), MISUSE),
    };
    let parts = collect(given, matches);
    let written = write(archive, &parts, now);
    if let Err(error) = written {
        // Half a bundle would pass for a whole one. What cannot be removed either is named.
        let left = match std::fs::remove_file(&path) {
            Ok(()) => "",
            Err(_) => "; an incomplete file is left",
        };
        return fail(&format!("{}: {error}{left}", path.display()), FAILURE);
    }
    let missing: Vec<_> =
        parts.iter().filter_map(|(name, part)| Some((name, part.as_ref().err()?))).collect();
    show(&format!("{}: {} files\n", path.display(), parts.len() - missing.len() + 1));
    for (name, why) in missing {
        show(&format!("  without {name}: {why}\n"));
    }
    show(
        "It names buckets, keys, access keys and clients of slow and failed requests. No secrets.\n",
    );
    SUCCESS
}

fn cannot_make(path: &Path, error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::AlreadyExists => format!(
            "{} exists already and is not overwritten; name another file with --output",
            path.display()
        ),
        _ => format!("cannot make {}: {error}; name another file with --output", path.display()),
    }
}

/// `20261120T154459Z`.
fn stamp(seconds: u64) -> String {
    let day = keys::day(seconds).replace('-', "");
    format!("{day}T{}Z", amounts::clock(seconds as f64).replace(':', ""))
}

fn write(mut archive: Archive, parts: &[Part], now: u64) -> std::io::Result<()> {
    archive.add("README.txt", first_page(parts, now).as_bytes())?;
    for (name, part) in parts {
        if let Ok(text) = part {
            archive.add(name, text.as_bytes())?;
        }
    }
    archive.finish()
}

fn first_page(parts: &[Part], now: u64) -> String {
    let mut text = format!(
        "Support bundle of penstock {}, made {} {} UTC.\n\n\
         server/   what the server says of itself\n\
         command/  the settings as the command reads them where it was run\n\
         machine/  the machine on which the command was run, and the server's process there\n\n\
         It has no secrets: no secret keys, no tokens, no environment, no stored bytes. It does name\n\
         buckets, objects' keys, access key ids and clients' addresses of slow and failed requests.\n\n",
        env!("CARGO_PKG_VERSION"),
        keys::day(now),
        amounts::clock(now as f64),
    );
    for (name, part) in parts {
        // Writing to a String cannot fail.
        let _ = match part {
            Ok(content) => writeln!(text, "{name:<34} {:>10} bytes", content.len()),
            Err(why) => writeln!(text, "{name:<34} missing: {why}"),
        };
    }
    text
}

fn collect(given: Given, matches: &ArgMatches) -> Vec<Part> {
    let (raw, mut findings) = Raw::gather(given);
    let observed = Machine::observe();
    if let Err(more) = Plan::resolve(&raw, &observed) {
        findings.extend(more);
    }
    let data = raw.written(&settings::DATA).and_then(|written| written.values.first());
    let data = data.map(PathBuf::from);
    // Found by the directory alone: another setting that is wrong should be in the bundle, not in
    // its way.
    let (client, process) = match (server::named(matches), &data) {
        // That server need not be on this machine.
        (Some(client), _) => (client, None),
        (None, Some(data)) => (server::at(data), pass::process(data)),
        (None, None) => {
            (Err(Unfound::Unusable("neither --data nor --admin is given".into())), None)
        }
    };
    let mut parts = match client {
        Ok(client) => from_server(&client),
        Err(unfound) => vec![("server/".to_owned(), Err(unfound.text()))],
    };
    let mut text = print::as_text(&raw, &observed);
    for finding in findings {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "finding: {finding}");
    }
    parts.push(("command/configuration.txt".to_owned(), Ok(text)));
    parts.extend(machine::parts(data.as_deref(), process));
    parts
}

/// What the server says of itself.
fn from_server(client: &Client) -> Vec<Part> {
    let mut parts = Vec::new();
    for (name, target, statuses) in [
        ("server/metrics.txt", "/metrics", &[200][..]),
        ("server/readyz.json", "/readyz", &[200, 503]),
        ("server/log.txt", "/api/v1/log", &[200]),
        ("server/state.json", "/api/v1/state", &[200]),
    ] {
        let part = match client.read(target) {
            Ok(reply) if statuses.contains(&reply.status) => Ok(reply.text()),
            Ok(reply) if reply.status == 404 => Err(format!("the server has no {target}: too old")),
            Ok(reply) => Err(format!("{target}: {} {}", reply.status, reply.text().trim())),
            Err(error) => Err(error.to_string()),
        };
        parts.push((name.to_owned(), part));
    }
    let state = parts.last().and_then(|(_, part)| part.as_ref().ok());
    if let Some(state) = state.and_then(|text| serde_json::from_str::<State>(text).ok()) {
        let mut text = format!("penstock {}\n", state.version);
        for setting in state.configuration {
            let _ = writeln!(text, "{} = {}  ({})", setting.name, setting.value, setting.source);
        }
        parts.push(("server/configuration.txt".to_owned(), Ok(text)));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_page_lists_what_is_there_and_what_is_not() {
        let parts = [
            ("server/metrics.txt".to_owned(), Ok("x 1\n".to_owned())),
            ("server/state.json".to_owned(), Err("too old".to_owned())),
        ];
        let page = first_page(&parts, 1_767_225_599);
        assert!(page.contains("made 2025-12-31 23:59:59 UTC"), "{page}");
        assert!(page.contains("server/metrics.txt") && page.contains("4 bytes"), "{page}");
        assert!(page.contains("missing: too old"), "{page}");
        assert_eq!(stamp(1_767_225_599), "20251231T235959Z");
    }
}
