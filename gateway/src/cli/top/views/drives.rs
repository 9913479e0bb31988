//! Which drive, which lane.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;

use super::super::super::amounts::{bytes, count, maybe, rate, share, time};
use super::super::parts::{Cells, alarm, bar, draw_table, number, tail, words};
use crate::admin::state::{DeviceState, State};

/// Draws it.
pub(super) fn draw(state: &State, row: usize, frame: &mut Frame<'_>, area: Rect) {
    // Two thirds for devices when there are many.
    let devices = (state.devices.len() as u16 + 2).min(area.height * 2 / 3);
    let [above, below] =
        Layout::vertical([Constraint::Length(devices), Constraint::Fill(1)]).areas(area);
    draw_devices(state, row, frame, above);
    draw_lanes(state, row, frame, below);
}

fn draw_devices(state: &State, row: usize, frame: &mut Frame<'_>, area: Rect) {
    // The drive's wear is worth a column where there is room for it.
    let wide = area.width >= 90;
    let mut columns = vec![
        words("drive"),
        number("state", 7),
        number("reads", 6),
        number("writes", 6),
        number("read/s", 8),
        number("written", 8),
        number("r p99", 7),
        number("w p99", 7),
        number("now", 3),
        number("errors", 6),
    ];
    if wide {
        columns.push(number("wear", 5));
    }
    let width = usize::from(area.width.saturating_sub(if wide { 73 } else { 67 }));
    let rows: Vec<Cells> = state.devices.iter().map(|device| cells(device, width, wide)).collect();
    let from = row.min(rows.len().saturating_sub(1));
    draw_table(&columns, rows, from, frame, area);
}

fn cells(device: &DeviceState, width: usize, wide: bool) -> Cells {
    let mut cells = vec![
        tail(&device.device, width),
        device.state.clone(),
        rate(device.reads),
        rate(device.writes),
        bytes(device.read_bytes),
        bytes(device.written_bytes),
        maybe(device.read_p99_seconds, time),
        maybe(device.write_p99_seconds, time),
        count(device.in_flight),
        count(device.errors),
    ];
    if wide {
        cells.push(maybe(device.wear, share));
    }
    let style = if device.state == "ok" { Style::new() } else { alarm() };
    (cells, style)
}

fn draw_lanes(state: &State, row: usize, frame: &mut Frame<'_>, area: Rect) {
    let columns = [
        number("lane", 4),
        words("busy"),
        number("busy", 5),
        number("requests/s", 10),
        number("wake-ups/s", 10),
        number("ring ops/s", 10),
        number("connections", 11),
    ];
    let width = usize::from(area.width.saturating_sub(58).min(30));
    let rows: Vec<Cells> = state
        .lanes
        .iter()
        .map(|lane| {
            let cells = vec![
                lane.lane.to_string(),
                bar(lane.busy, width),
                share(lane.busy),
                rate(lane.requests),
                rate(lane.wakeups),
                rate(lane.submissions),
                count(lane.connections),
            ];
            (cells, Style::new())
        })
        .collect();
    let from = row.min(rows.len().saturating_sub(1));
    draw_table(&columns, rows, from, frame, area);
}
