//! Is anything short: memory, space, the commit thread, RDMA; and what runs beside requests.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::super::super::amounts::{
    NOTHING, age, byte_rate, bytes, count, maybe, part, rate, share, time,
};
use super::super::parts::{alarm, bar, draw_table, faint, number, title, words};
use crate::admin::state::State;

/// Characters of a bar.
const BAR: usize = 24;

/// Draws it.
pub(super) fn draw(state: &State, row: usize, frame: &mut Frame<'_>, area: Rect) {
    let mut lines = memory(state);
    lines.extend(space(state));
    lines.extend(work(state));
    let [above, below] =
        Layout::vertical([Constraint::Length(lines.len() as u16), Constraint::Fill(1)]).areas(area);
    frame.render_widget(Paragraph::new(lines), above);
    let columns =
        [words("background work"), number("state", 8), number("per s", 9), number("done", 13)];
    let rows = state.background.iter().map(|job| {
        let standing = if job.pending { "at work" } else { "idle" };
        let cells =
            vec![job.job.clone(), standing.to_owned(), rate(job.per_second), count(job.items)];
        (cells, Style::new())
    });
    draw_table(&columns, rows.collect(), row, frame, below);
}

/// `name  ████░░░░  12 MiB of 1 GiB (1 %)  note`.
fn filled(name: &str, of: u64, whole: u64, note: &str) -> Line<'static> {
    let filled = if whole == 0 { 0.0 } else { of as f64 / whole as f64 };
    Line::from(vec![
        Span::styled(format!("{name:<15}"), faint()),
        Span::raw(bar(filled, BAR)),
        Span::raw(format!(
            "  {} of {} ({}){note}",
            bytes(of as f64),
            bytes(whole as f64),
            part(of, whole)
        )),
    ])
}

fn memory(state: &State) -> Vec<Line<'static>> {
    let memory = &state.memory;
    let held = memory.arena_bytes.saturating_sub(memory.arena_free_bytes);
    let waiting = format!("{} requests wait for memory", count(memory.waiting));
    let style = if memory.waiting > 0 { alarm() } else { Style::new() };
    vec![
        title("memory"),
        filled("arena", held, memory.arena_bytes, ""),
        filled("cached", memory.cache_bytes, memory.arena_bytes, ""),
        filled("for readers", memory.read_reserved_bytes, memory.read_share_bytes, ""),
        filled("for writers", memory.write_reserved_bytes, memory.write_share_bytes, ""),
        Line::from(vec![
            Span::raw(format!(
                "hits {}   evictions {}/s   ",
                maybe(memory.cache_hit_ratio, share),
                rate(memory.evictions)
            )),
            Span::styled(waiting, style),
        ]),
    ]
}

fn space(state: &State) -> Vec<Line<'static>> {
    let capacity = &state.capacity;
    let used = capacity.bytes.saturating_sub(capacity.free_bytes);
    let full = match capacity.full_in_seconds {
        Some(seconds) => format!("   full in {}", age(seconds)),
        None => String::new(),
    };
    let mut free = vec![Span::raw(format!(
        "{} free, the largest run of it {}{full}",
        bytes(capacity.free_bytes as f64),
        bytes(capacity.longest_free_run_bytes as f64),
    ))];
    if capacity.read_only {
        free.push(Span::styled("   READ-ONLY after a fault", alarm()));
    }
    vec![
        title("space"),
        filled("extents", used, capacity.bytes, ""),
        filled("index", capacity.index_bytes, capacity.index_limit_bytes, ""),
        Line::from(free),
    ]
}

fn work(state: &State) -> Vec<Line<'static>> {
    let commit = &state.commit;
    let commits = format!(
        "{} mutations/s   {} queued   {} a transaction   p99 {}",
        rate(commit.mutations),
        count(commit.queued),
        maybe(commit.batch, |batch| format!("{batch:.1}")),
        maybe(commit.p99_seconds, time)
    );
    let rdma = &state.rdma;
    let standing = match (rdma.enabled, rdma.up) {
        (false, _) => Span::raw("off"),
        (true, Some(true)) => Span::raw("up"),
        (true, _) => Span::styled("DOWN", alarm()),
    };
    let moved = format!(
        " on {}   {} peers   {} transfers/s   {}",
        rdma.device.as_deref().unwrap_or(NOTHING),
        count(rdma.peers),
        rate(rdma.transfers),
        byte_rate(rdma.bytes)
    );
    let declines: Vec<_> =
        rdma.declines.iter().map(|(reason, times)| format!("{reason} {times}")).collect();
    let declines = match declines.is_empty() {
        true => "none".to_owned(),
        false => declines.join(", "),
    };
    vec![
        title("commits"),
        Line::raw(commits),
        title("RDMA"),
        Line::from(vec![standing, Span::raw(moved)]),
        Line::raw(format!("declined: {declines}")),
        Line::raw(""),
    ]
}
