//! `penstock status`: how the server is, for people and for programs.
//!
//! Owns: the text and the exit code: 0 ready, 1 not ready, 2 not running or not saying.
//! Not here: what is shown live (`top/`).

use std::fmt::Write as _;

use clap::ArgMatches;
use serde::Deserialize;

use super::amounts::{
    NOTHING, age, byte_rate, bytes, clock, count, maybe, part, plural, printable, rate, share, time,
};
use super::server::{Unfound, Untold};
use super::{FAILURE, MISUSE, SUCCESS, fail, print_findings, server, show};
use crate::admin::client::Client;
use crate::admin::state::{DeviceState, RequestState, State};
use crate::config::Given;

/// Shows how the server is.
pub(super) fn run(given: Given, matches: &ArgMatches) -> u8 {
    let client = match server::find(matches, given) {
        Ok(client) => client,
        Err(Unfound::Configuration(findings)) => {
            print_findings(&findings);
            return MISUSE;
        }
        Err(Unfound::NotRunning(problem) | Unfound::Unusable(problem)) => {
            return fail(&problem, MISUSE);
        }
    };
    let as_json = matches.get_flag("json");
    match server::state(&client) {
        Ok((document, state)) => {
            let place = client.place().to_string();
            match (as_json, matches.get_flag("slow")) {
                (true, _) => show(&indented(&document)),
                (false, true) => show(&slow_requests(&state.slow)),
                (false, false) => show(&text(&state, &place)),
            }
            if state.ready { SUCCESS } else { FAILURE }
        }
        Err(Untold::TooOld(problem)) if !as_json => by_readiness(&client, &problem),
        Err(untold) => fail(untold.text(), MISUSE),
    }
}

/// The document as it was sent, also what a newer server has added to it.
fn indented(document: &[u8]) -> String {
    match serde_json::from_slice::<serde_json::Value>(document) {
        Ok(value) => format!("{value:#}\n"),
        // It has been read as a state before.
        Err(_) => String::from_utf8_lossy(document).into_owned(),
    }
}

/// What `/readyz` says.
#[derive(Deserialize)]
struct Readiness {
    ready: bool,
    #[serde(default)]
    reasons: Vec<String>,
}

/// For a server that can say no more than whether it is ready.
fn by_readiness(client: &Client, problem: &str) -> u8 {
    let reply = match client.read("/readyz") {
        Ok(reply) => reply,
        Err(error) => return fail(&error.to_string(), MISUSE),
    };
    let Ok(readiness) = serde_json::from_slice::<Readiness>(&reply.body) else {
        return fail(problem, MISUSE);
    };
    show(&verdict(
        readiness.ready,
        &readiness.reasons,
        &format!("penstock at {}", client.place()),
        "",
    ));
    eprintln!("penstock: {problem}");
    if readiness.ready { SUCCESS } else { FAILURE }
}

fn verdict(ready: bool, reasons: &[String], who: &str, since: &str) -> String {
    let mut text = format!("{who}: {}{since}\n", if ready { "ready" } else { "NOT READY" });
    for reason in reasons {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  because: {reason}");
    }
    text
}

/// The whole text.
fn text(state: &State, place: &str) -> String {
    let who = format!("penstock {} at {place}", state.version);
    let since = format!(", up {}", age(state.uptime_seconds));
    let mut text = verdict(state.ready, &state.reasons, &who, &since);
    for warning in &state.warnings {
        let _ = writeln!(text, "  note: {warning}");
    }
    let mut row = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<12} {value}");
    };
    let rates = &state.rates;
    row(
        "requests",
        format!(
            "{}/s, {} in flight; failed (5xx) {}/s, refused (4xx) {}/s",
            rate(rates.requests),
            count(rates.in_flight),
            rate(rates.server_errors),
            rate(rates.client_errors)
        ),
    );
    row(
        "time",
        format!(
            "p50 {}, p99 {}; first byte p99 {}",
            maybe(rates.p50_seconds, time),
            maybe(rates.p99_seconds, time),
            maybe(rates.first_byte_p99_seconds, time)
        ),
    );
    row(
        "bytes",
        format!(
            "in {}, out {}, of it by RDMA {}",
            byte_rate(rates.received_bytes),
            byte_rate(rates.sent_bytes),
            byte_rate(rates.rdma_bytes)
        ),
    );
    let (now, limit) = (rates.connections, rates.connections_limit);
    row("connections", format!("{} of {} ({})", count(now), count(limit), part(now, limit)));
    row(
        "process",
        format!("{:.2} cores, {} resident", rates.cpu, bytes(rates.resident_bytes as f64)),
    );
    row("devices", devices(&state.devices));
    row("capacity", capacity(state));
    let capacity = &state.capacity;
    let (used, limit) = (capacity.index_bytes, capacity.index_limit_bytes);
    row(
        "index",
        format!("{} of {} ({})", bytes(used as f64), bytes(limit as f64), part(used, limit)),
    );
    let memory = &state.memory;
    row(
        "memory",
        format!(
            "cache {} of an arena of {}, hits {}; {} waiting for memory",
            bytes(memory.cache_bytes as f64),
            bytes(memory.arena_bytes as f64),
            maybe(memory.cache_hit_ratio, share),
            plural(memory.waiting, "request")
        ),
    );
    let commit = &state.commit;
    row(
        "commits",
        format!(
            "{}/s, {} queued, p99 {}",
            rate(commit.mutations),
            count(commit.queued),
            maybe(commit.p99_seconds, time)
        ),
    );
    row("rdma", rdma(state));
    text
}

fn devices(devices: &[DeviceState]) -> String {
    let in_state = |wanted: &str| devices.iter().filter(|it| it.state == wanted).count();
    let mut text = format!("{} ok of {}", in_state("ok"), devices.len());
    for device in devices.iter().filter(|device| device.state != "ok") {
        let _ = write!(
            text,
            "\n  {}: {}, {}, read p99 {}, write p99 {}",
            device.device,
            device.state.to_uppercase(),
            plural(device.errors, "error"),
            maybe(device.read_p99_seconds, time),
            maybe(device.write_p99_seconds, time)
        );
    }
    text
}

fn capacity(state: &State) -> String {
    let capacity = &state.capacity;
    let used = capacity.bytes.saturating_sub(capacity.free_bytes);
    let mut text = format!(
        "{} free of {} ({} used)",
        bytes(capacity.free_bytes as f64),
        bytes(capacity.bytes as f64),
        part(used, capacity.bytes)
    );
    if let Some(seconds) = capacity.full_in_seconds {
        let _ = write!(text, ", full in {}", age(seconds));
    }
    if capacity.read_only {
        text += ", READ-ONLY after a fault";
    }
    text
}

fn rdma(state: &State) -> String {
    let rdma = &state.rdma;
    let device = rdma.device.as_deref().unwrap_or(NOTHING);
    let declined = plural(rdma.declines.values().sum(), "request");
    match (rdma.enabled, rdma.up) {
        (false, _) => format!("off; {declined} declined"),
        (true, Some(true)) => format!(
            "up on {device}, {}, {}; {declined} declined",
            plural(rdma.peers, "peer"),
            byte_rate(rdma.bytes)
        ),
        (true, _) => format!("DOWN on {device}; {declined} declined"),
    }
}

/// The slowest requests with where their time went.
fn slow_requests(slow: &[RequestState]) -> String {
    if slow.is_empty() {
        return "no requests in the last minutes\n".to_owned();
    }
    let mut text = String::new();
    for request in slow {
        let name = |part: &Option<String>| part.as_deref().map(printable).unwrap_or_default();
        let _ = writeln!(
            text,
            "{} {:>9}  {} {} {}/{}  by {} from {}  id {}{}",
            clock(request.time),
            time(request.seconds),
            request.status,
            printable(&request.operation),
            name(&request.bucket),
            name(&request.key),
            printable(request.user.as_deref().unwrap_or("anonymous")),
            printable(request.client.as_deref().unwrap_or(NOTHING)),
            printable(&request.id),
            request
                .trace
                .as_deref()
                .map(|it| format!(" trace {}", printable(it)))
                .unwrap_or_default()
        );
        let _ = writeln!(text, "                    {}", whereabouts(request));
    }
    text
}

/// `device 12.1 ms, send 3 ms; 1.00 MiB from device by socket`.
pub(super) fn whereabouts(request: &RequestState) -> String {
    let mut stages: Vec<_> = request.stages.iter().collect();
    stages.sort_by(|left, right| right.1.total_cmp(left.1));
    let stages: Vec<_> =
        stages.into_iter().map(|(name, seconds)| format!("{name} {}", time(*seconds))).collect();
    let sources: Vec<_> = request
        .sources
        .iter()
        .map(|(name, count)| format!("{} from {name}", bytes(*count as f64)))
        .collect();
    let mut text = match stages.is_empty() {
        true => "no stages known".to_owned(),
        false => stages.join(", "),
    };
    if !sources.is_empty() {
        let _ = write!(text, "; {} by {}", sources.join(", "), request.delivery);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn a_healthy_server_is_a_dozen_lines() {
        let text = text(&fixture::state(), "127.0.0.1:9001");
        for said in [
            "penstock 0.1.0 at 127.0.0.1:9001: ready, up 3 h 12 min\n",
            "requests     1,234/s, 12 in flight; failed (5xx) 0.5/s, refused (4xx) 2.0/s\n",
            "time         p50 120 µs, p99 12.5 ms; first byte p99 9.00 ms\n",
            "bytes        in 12.0 MiB/s, out 1.50 GiB/s, of it by RDMA 512 MiB/s\n",
            "connections  48 of 1,024 (5 %)\n",
            "devices      1 ok of 2\n  /dev/nvme1n1: SUSPECT, 3 errors, read p99 120 ms, write p99 –\n",
            "capacity     400 GiB free of 1.00 TiB (61 % used), full in 12 d 5 h\n",
            "rdma         up on mlx5_0, 3 peers, 512 MiB/s; 7 requests declined\n",
        ] {
            assert!(text.contains(said), "{said:?} is missing:\n{text}");
        }
        assert!(text.lines().count() < 16, "{text}");
    }

    #[test]
    fn what_is_wrong_comes_first_and_in_capitals() {
        let mut state = fixture::state();
        state.ready = false;
        state.reasons = vec!["device /dev/nvme0n1 failed".into()];
        state.capacity.read_only = true;
        state.rdma.up = Some(false);
        let text = text(&state, "h:1");
        let mut lines = text.lines();
        assert!(lines.next().unwrap().contains("NOT READY"), "{text}");
        assert_eq!(lines.next().unwrap(), "  because: device /dev/nvme0n1 failed");
        assert!(text.contains("READ-ONLY") && text.contains("DOWN on mlx5_0"), "{text}");
    }

    #[test]
    fn an_empty_state_has_no_numbers_that_are_none() {
        let text = text(&State::default(), "h:1");
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        assert_eq!(slow_requests(&[]), "no requests in the last minutes\n");
    }

    #[test]
    fn names_that_clients_chose_cannot_control_the_terminal() {
        let mut slow = fixture::state().slow;
        slow[0].bucket = Some("\u{1b}[2Jm".into());
        assert!(!slow_requests(&slow).contains('\u{1b}'));
    }

    #[test]
    fn slow_requests_say_where_their_time_went() {
        let text = slow_requests(&fixture::state().slow);
        assert!(text.contains("GetObject models/llama%2Fshard-1"), "{text}");
        assert!(text.contains("device 1.20 s, send 200 ms, index 100 µs"), "{text}");
        assert!(text.contains("8.00 MiB from device by socket"), "{text}");
        assert!(
            text.contains("id 0123456789ABCDEF trace 4bf92f3577b34da6a3ce929d0e0e4736"),
            "{text}"
        );
    }
}
