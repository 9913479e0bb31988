//! `penstock top`: the running server, live in a terminal.
//!
//! Owns: the command, the terminal while it is ours, and the thread that asks the server. `--once`
//! draws one frame as plain text instead.
//! Limits: `TOP_INTERVAL_MIN`, `TOP_INTERVAL_MAX`, `TOP_KEY_WAIT`.
//! Not here: what is drawn (`screen.rs`, `views/`).

mod parts;
mod screen;
mod views;

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use clap::ArgMatches;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use ratatui::{DefaultTerminal, Terminal};

use self::screen::{Flow, Screen};
pub(super) use self::views::View;
use super::server::{Unfound, Untold};
use super::{FAILURE, MISUSE, SUCCESS, fail, print_findings, server, show};
use crate::admin::client::Client;
use crate::admin::control::Signals;
use crate::admin::state::State;
use crate::config::Given;
use crate::config::amount::parse_time;
use crate::limits;

/// Shows the server until `q`.
pub(super) fn run(given: Given, matches: &ArgMatches) -> u8 {
    let text = |name| matches.get_one::<String>(name).map(String::as_str);
    let interval = match interval(text("interval").unwrap_or("1s")) {
        Ok(interval) => interval,
        Err(problem) => return fail(&problem, MISUSE),
    };
    let size = match size(text("size").unwrap_or("80x24")) {
        Ok(size) => size,
        Err(problem) => return fail(&problem, MISUSE),
    };
    let view = text("view").and_then(View::named).unwrap_or_default();
    let once = matches.get_flag("once");
    let terminal = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    if !once && !terminal {
        return fail("this is no terminal; --once prints one frame as plain text", MISUSE);
    }
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
    // Asked before the terminal is taken over, so that what is wrong stands in plain text.
    let state = match server::state(&client) {
        Ok((_, state)) => state,
        Err(untold) => return fail(untold.text(), MISUSE),
    };
    let mut screen = Screen::new(view, client.place().to_string(), interval);
    screen.take(Ok(state), Instant::now());
    if once {
        show(&plain_frame(&screen, size));
        return SUCCESS;
    }
    match live(&mut screen, client, interval) {
        Ok(()) => SUCCESS,
        Err(error) => fail(&format!("the terminal: {error}"), FAILURE),
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    let (least, most) = (limits::TOP_INTERVAL_MIN, limits::TOP_INTERVAL_MAX);
    match parse_time(text) {
        Ok(time) if (least..=most).contains(&time) => Ok(time),
        Ok(_) => {
            Err(format!("--interval {text}: not from {least:?} to {most:?}; write such as 2s"))
        }
        Err(problem) => Err(format!("--interval {text}: {problem}; write such as 2s")),
    }
}

fn size(text: &str) -> Result<(u16, u16), String> {
    let (least, most) = (limits::TOP_SIDE_MIN, limits::TOP_SIDE_MAX);
    let read = |side: &str| side.parse().ok().filter(|side| (least..=most).contains(side));
    text.split_once('x')
        .and_then(|(width, height)| Some((read(width)?, read(height)?)))
        .ok_or_else(|| format!("--size {text}: write COLUMNSxROWS, each from {least} to {most}"))
}

/// One frame as text, without what stands empty at the ends of lines.
fn plain_frame(screen: &Screen, (width, height): (u16, u16)) -> String {
    // A test backend draws into memory and cannot fail.
    let Ok(mut terminal) = Terminal::new(TestBackend::new(width, height));
    let Ok(frame) = terminal.draw(|frame| screen.draw(frame, Instant::now()));
    let buffer = frame.buffer;
    let mut text = String::new();
    for row in 0..height {
        let line: String = (0..width).map(|column| buffer[(column, row)].symbol()).collect();
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// Draws what comes until the user or a signal ends it.
fn live(screen: &mut Screen, client: Client, interval: Duration) -> std::io::Result<()> {
    let ended = end_by_signal()?;
    let (sender, states) = sync_channel(1);
    // Ends with the process: it may be waiting for a server that does not answer.
    thread::Builder::new()
        .name("top-asks".into())
        .spawn(move || ask(&client, interval, &sender))?;
    let mut terminal = ratatui::try_init()?;
    let outcome = draw_until_end(screen, &mut terminal, &states, &ended);
    let restored = ratatui::try_restore();
    outcome.and(restored)
}

fn draw_until_end(
    screen: &mut Screen,
    terminal: &mut DefaultTerminal,
    states: &Receiver<Result<State, Untold>>,
    ended: &AtomicBool,
) -> std::io::Result<()> {
    while !ended.load(Ordering::Relaxed) {
        match states.try_recv() {
            Ok(state) => screen.take(state, Instant::now()),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return Err(std::io::ErrorKind::BrokenPipe.into()),
        }
        terminal.draw(|frame| screen.draw(frame, Instant::now()))?;
        if !event::poll(limits::TOP_KEY_WAIT)? {
            continue;
        }
        if let Event::Key(key) = event::read()?
            && key.kind == KeyEventKind::Press
            && screen.press(key) == Flow::End
        {
            return Ok(());
        }
    }
    Ok(())
}

/// Asks the server again and again, until nobody listens.
fn ask(client: &Client, interval: Duration, states: &SyncSender<Result<State, Untold>>) {
    loop {
        thread::sleep(interval);
        let state = server::state(client).map(|(_, state)| state);
        if states.send(state).is_err() {
            return;
        }
    }
}

/// Set at the first signal to stop, so that the terminal is given back as it was.
fn end_by_signal() -> std::io::Result<Arc<AtomicBool>> {
    let ended = Arc::new(AtomicBool::new(false));
    let noted = ended.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut signals = runtime.block_on(async { Signals::listen() })?;
    thread::Builder::new().name("top-signals".into()).spawn(move || {
        runtime.block_on(signals.next());
        noted.store(true, Ordering::Relaxed);
    })?;
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    fn frame(view: View, size: (u16, u16), state: State) -> String {
        let mut screen = Screen::new(view, "127.0.0.1:9001".into(), Duration::from_secs(1));
        screen.take(Ok(state), Instant::now());
        plain_frame(&screen, size)
    }

    #[test]
    fn every_view_fits_80_by_24_and_shows_what_it_is_for() {
        for (view, said) in [
            (
                View::Overview,
                &["requests", "1,234/s", "GetObject", "read: device 70 %, send 28 %"][..],
            ),
            (View::Time, &["device", "70 %", "12.5", "cache", "socket_send", "954 MiB/s"]),
            (View::Drives, &["/dev/nvme1n1", "suspect", "120 ms", "lane", "100 %"]),
            (
                View::Memory,
                &["arena", "hits", "400 GiB", "12 d 5 h", "mlx5_0", "no_session 7", "cleaning"],
            ),
            (View::Tenants, &["models", "AKIATRAINER000000001", "10.0.0.7", "477 MiB"]),
            (View::Requests, &["1.40 s", "GetObject", "models/llama%2Fshard-1", "device 1.20 s"]),
        ] {
            let text = frame(view, (80, 24), fixture::state());
            for part in said.iter().chain(&["127.0.0.1:9001", "ready", "3 h 12 min", "q quits"]) {
                // Quantiles of the fixture's stages are 100 µs and 10 ms.
                let part = if *part == "12.5" { "10.0 ms" } else { part };
                assert!(text.contains(part), "{view:?} lacks {part:?}:\n{text}");
            }
            assert_eq!(text.lines().count(), 24);
            assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        }
    }

    #[test]
    fn any_size_and_an_empty_state_can_be_drawn() {
        for view in View::ALL {
            for size in [(1, 1), (20, 5), (80, 24), (300, 100)] {
                frame(view, size, State::default());
                let text = frame(view, size, fixture::state());
                assert!(!text.contains("NaN"), "{text}");
            }
        }
    }

    #[test]
    fn wrong_intervals_and_sizes_say_what_is_right() {
        assert_eq!(interval("2s"), Ok(Duration::from_secs(2)));
        for text in ["2", "1ms", "2h", "often"] {
            assert!(interval(text).unwrap_err().contains("2s"), "{text}");
        }
        assert_eq!(size("120x40"), Ok((120, 40)));
        for text in ["", "80", "80x", "1x1", "80x99999", "-80x24"] {
            assert!(size(text).unwrap_err().contains("COLUMNSxROWS"), "{text}");
        }
    }

    #[test]
    fn what_a_client_named_cannot_control_the_terminal() {
        let mut state = fixture::state();
        state.slow[0].bucket = Some("\u{1b}[2Jmodels\u{7}".into());
        state.buckets[0].name = "\u{1b}]0;owned\u{7}".into();
        for view in [View::Requests, View::Tenants] {
            let text = frame(view, (80, 24), state.clone());
            assert!(!text.contains(['\u{1b}', '\u{7}']), "{text:?}");
        }
    }
}
