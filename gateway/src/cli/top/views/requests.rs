//! Which request: the slowest of the last minutes, or the last errors, and where one's time went.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Wrap};

use super::super::super::amounts::{NOTHING, bytes, clock, maybe, time};
use super::super::super::status::whereabouts;
use super::super::parts::{draw_table, faint, narrow, number, words};
use crate::admin::state::RequestState;

/// Rows of the chosen request's particulars.
const PARTICULARS: u16 = 6;

/// Draws it; the request at `row` is the chosen one.
pub(super) fn draw(
    kind: &str,
    requests: &[RequestState],
    row: usize,
    frame: &mut Frame<'_>,
    area: Rect,
) {
    let [list, below] =
        Layout::vertical([Constraint::Fill(1), Constraint::Length(PARTICULARS)]).areas(area);
    let Some(chosen) = requests.get(row) else {
        frame.render_widget(Paragraph::new(format!("no {kind} requests yet")), list);
        return;
    };
    let columns = [
        narrow("ended", 8),
        number("took", 9),
        number("status", 6),
        narrow("operation", 20),
        words("object"),
    ];
    let rows = requests.iter().enumerate().map(|(place, request)| {
        let cells = vec![
            clock(request.time),
            time(request.seconds),
            request.status.to_string(),
            request.operation.clone(),
            object(request),
        ];
        let style = match place == row {
            true => Style::new().add_modifier(Modifier::REVERSED),
            false => Style::new(),
        };
        (cells, style)
    });
    // The chosen one stays in sight, under the titles.
    let rows: Vec<_> = rows.collect();
    let room = usize::from(list.height.saturating_sub(1)).max(1);
    draw_table(&columns, rows, (row + 1).saturating_sub(room), frame, list);
    let particulars = Paragraph::new(particulars(chosen)).wrap(Wrap { trim: true });
    frame.render_widget(particulars, below);
}

/// `bucket/key`, as far as there are any.
fn object(request: &RequestState) -> String {
    match (&request.bucket, &request.key) {
        (Some(bucket), Some(key)) => format!("{bucket}/{key}"),
        (Some(bucket), None) => bucket.clone(),
        _ => NOTHING.to_owned(),
    }
}

fn particulars(request: &RequestState) -> Vec<Line<'static>> {
    let code = request.code.as_ref().map(|code| format!(" {code}")).unwrap_or_default();
    let trace = request.trace.as_ref().map(|trace| format!("   trace {trace}")).unwrap_or_default();
    vec![
        Line::raw(""),
        Line::raw(format!(
            "{}{code} {}   first byte {}   in {}, out {}",
            request.status,
            request.operation,
            maybe(request.first_byte_seconds, time),
            bytes(request.received_bytes as f64),
            bytes(request.sent_bytes as f64),
        )),
        Line::raw(whereabouts(request)),
        Line::styled(
            format!(
                "by {} from {}   id {}{trace}",
                request.user.as_deref().unwrap_or("anonymous"),
                request.client.as_deref().unwrap_or(NOTHING),
                request.id
            ),
            faint(),
        ),
    ]
}
