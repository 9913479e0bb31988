//! Who it is: the busiest buckets, users and clients.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;

use super::super::super::amounts::{byte_rate, rate};
use super::super::parts::{Cells, draw_table, number, words};
use crate::admin::state::{State, TenantState};

/// Draws it.
pub(super) fn draw(state: &State, row: usize, frame: &mut Frame<'_>, area: Rect) {
    let third = Constraint::Fill(1);
    let areas: [Rect; 3] = Layout::vertical([third; 3]).spacing(1).areas(area);
    let lists =
        [("bucket", &state.buckets), ("access key", &state.users), ("client", &state.clients)];
    for ((name, tenants), area) in lists.into_iter().zip(areas) {
        let columns = [
            words(name),
            number("requests/s", 10),
            number("errors/s", 8),
            number("in", 11),
            number("out", 11),
        ];
        let rows: Vec<Cells> = tenants.iter().map(cells).collect();
        let from = row.min(rows.len().saturating_sub(1));
        draw_table(&columns, rows, from, frame, area);
    }
}

fn cells(tenant: &TenantState) -> Cells {
    let cells = vec![
        tenant.name.clone(),
        rate(tenant.requests),
        rate(tenant.errors),
        byte_rate(tenant.received_bytes),
        byte_rate(tenant.sent_bytes),
    ];
    (cells, Style::new())
}
