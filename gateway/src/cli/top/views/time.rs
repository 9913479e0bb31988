//! Where the time goes: stages of each kind of requests; and which path moved the bytes.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;

use super::super::super::amounts::{byte_rate, bytes, maybe, share, time};
use super::super::parts::{bar, draw_table, narrow, number, words};
use crate::admin::state::{StageState, State};

/// Stages that took any time.
pub(super) fn shown(state: &State) -> impl Iterator<Item = &StageState> {
    state.stages.iter().filter(|stage| stage.share > 0.0 || stage.p99_seconds.is_some())
}

/// Draws it.
pub(super) fn draw(state: &State, row: usize, frame: &mut Frame<'_>, area: Rect) {
    let paths: Vec<_> = state.paths.iter().filter(|path| path.bytes > 0).collect();
    let rows = paths.len().max(state.copied.len()) as u16;
    // A third of the screen at most: ten paths can be.
    let below = (rows + 2).min(area.height / 3 + 2);
    let [above, below] =
        Layout::vertical([Constraint::Fill(1), Constraint::Length(below)]).areas(area);
    draw_stages(state, row, frame, above);
    let [_, below] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(below);
    let [left, right] =
        Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).spacing(3).areas(below);
    let columns = [words("out from"), narrow("by", 6), number("now", 10), number("in all", 8)];
    let paths = paths.into_iter().map(|path| {
        let cells = vec![
            path.source.clone(),
            path.delivery.clone(),
            byte_rate(path.per_second),
            bytes(path.bytes as f64),
        ];
        (cells, Style::new())
    });
    draw_table(&columns, paths.collect(), 0, frame, left);
    let columns = [words("copied in"), number("now", 10), number("in all", 8)];
    let copied = state.copied.iter().map(|copied| {
        let cells =
            vec![copied.path.clone(), byte_rate(copied.per_second), bytes(copied.bytes as f64)];
        (cells, Style::new())
    });
    draw_table(&columns, copied.collect(), 0, frame, right);
}

fn draw_stages(state: &State, row: usize, frame: &mut Frame<'_>, area: Rect) {
    const BAR: u16 = 30;
    let columns = [
        narrow("requests", 9),
        narrow("stage", 9),
        words("share of their time"),
        number("share", 6),
        number("p50", 9),
        number("p99", 9),
    ];
    let width = usize::from(BAR.min(area.width.saturating_sub(48)));
    let rows = shown(state).map(|stage| {
        let cells = vec![
            stage.group.clone(),
            stage.stage.clone(),
            bar(stage.share, width),
            share(stage.share),
            maybe(stage.p50_seconds, time),
            maybe(stage.p99_seconds, time),
        ];
        (cells, Style::new())
    });
    draw_table(&columns, rows.collect(), row, frame, area);
}
