//! Is it well: rates with their last minutes, where the time goes in one line, operations.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::super::super::amounts::{byte_rate, bytes, count, maybe, rate, share, time};
use super::super::parts::{alarm, curve, draw_table, faint, number, strong, words};
use crate::admin::state::State;

/// Characters before the curves.
const LABELS: u16 = 27;

/// Draws it.
pub(super) fn draw(state: &State, row: usize, frame: &mut Frame<'_>, area: Rect) {
    let curves = curves(state, usize::from(area.width.saturating_sub(LABELS)));
    let facts = facts(state);
    let [above, between, below] = Layout::vertical([
        Constraint::Length(curves.len() as u16),
        Constraint::Length(facts.len() as u16),
        Constraint::Fill(1),
    ])
    .areas(area);
    frame.render_widget(Paragraph::new(curves), above);
    frame.render_widget(Paragraph::new(facts), between);
    let columns = [
        words("operation"),
        number("per s", 9),
        number("in flight", 9),
        number("p50", 8),
        number("p99", 8),
        number("requests", 14),
        number("errors", 9),
    ];
    let rows = state.operations.iter().map(|operation| {
        let cells = vec![
            operation.operation.clone(),
            rate(operation.per_second),
            count(operation.in_flight),
            maybe(operation.p50_seconds, time),
            maybe(operation.p99_seconds, time),
            count(operation.requests),
            count(operation.errors),
        ];
        (cells, Style::new())
    });
    draw_table(&columns, rows.collect(), row, frame, below);
}

fn curves(state: &State, width: usize) -> Vec<Line<'static>> {
    let (rates, history) = (&state.rates, &state.history);
    let last = |values: &[f64]| values.last().copied().unwrap_or_default();
    let row = |name: &str, value: String, points: &[f64]| {
        Line::from(vec![
            Span::styled(format!("{name:<14}"), faint()),
            Span::styled(format!("{value:>11}  "), strong()),
            Span::raw(curve(points, width)),
        ])
    };
    let errors = format!("{}/s", rate(rates.server_errors));
    let mut failed = row("failed (5xx)", errors, &history.server_errors);
    if rates.server_errors > 0.0 {
        failed = failed.style(alarm());
    }
    let refused = format!("{}/s", rate(rates.client_errors));
    let device = |values: &[f64]| byte_rate(last(values));
    vec![
        row("requests", format!("{}/s", rate(rates.requests)), &history.requests),
        failed,
        row("refused (4xx)", refused, &[]),
        row("p50", maybe(rates.p50_seconds, time), &history.p50_seconds),
        row("p99", maybe(rates.p99_seconds, time), &history.p99_seconds),
        row("bytes out", byte_rate(rates.sent_bytes), &history.sent_bytes),
        row("bytes in", byte_rate(rates.received_bytes), &history.received_bytes),
        row("by RDMA", byte_rate(rates.rdma_bytes), &history.rdma_bytes),
        row("drives read", device(&history.device_read_bytes), &history.device_read_bytes),
        row("drives write", device(&history.device_written_bytes), &history.device_written_bytes),
    ]
}

/// What is now, and the answer to the first question: what do requests wait for?
fn facts(state: &State) -> Vec<Line<'static>> {
    let rates = &state.rates;
    let now = format!(
        "{} in flight   {} of {} connections   {:.2} cores   {} resident",
        count(rates.in_flight),
        count(rates.connections),
        count(rates.connections_limit),
        rates.cpu,
        bytes(rates.resident_bytes as f64),
    );
    let mut lines = vec![Line::raw(""), Line::raw(now)];
    for group in ["read", "write"] {
        let mut stages: Vec<_> = state.stages.iter().filter(|it| it.group == group).collect();
        stages.retain(|stage| stage.share >= 0.01);
        stages.sort_by(|left, right| right.share.total_cmp(&left.share));
        let named: Vec<_> = stages
            .iter()
            .take(5)
            .map(|stage| format!("{} {}", stage.stage, share(stage.share)))
            .collect();
        if !named.is_empty() {
            lines.push(Line::raw(format!("where time goes, {group}: {}", named.join(", "))));
        }
    }
    lines.push(Line::raw(""));
    lines
}
