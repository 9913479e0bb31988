//! What views are made of: tables, curves and bars in characters, and the few styles.
//!
//! No meaning is in a colour alone: what is wrong is also said in words.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Cell, Row, Table};

/// Titles and what matters.
pub(super) fn strong() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

/// What is beside the matter.
pub(super) fn faint() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

/// What is wrong.
pub(super) fn alarm() -> Style {
    Style::new().fg(Color::Red).add_modifier(Modifier::BOLD)
}

/// A column's title and width; numbers stand right.
pub(super) struct Column(&'static str, Constraint, Alignment);

/// A column of words that takes what is left.
pub(super) const fn words(title: &'static str) -> Column {
    Column(title, Constraint::Fill(1), Alignment::Left)
}

/// A column of words of that width.
pub(super) const fn narrow(title: &'static str, width: u16) -> Column {
    Column(title, Constraint::Length(width), Alignment::Left)
}

/// A column of numbers of that width.
pub(super) const fn number(title: &'static str, width: u16) -> Column {
    Column(title, Constraint::Length(width), Alignment::Right)
}

/// One row: its cells, and how it looks.
pub(super) type Cells = (Vec<String>, Style);

/// Draws rows under their columns' titles, from row `from` on.
pub(super) fn draw_table(
    columns: &[Column],
    rows: Vec<Cells>,
    from: usize,
    frame: &mut Frame<'_>,
    area: Rect,
) {
    let cell = |text: String, column: &Column| Cell::from(Text::from(text).alignment(column.2));
    let titles = columns.iter().map(|column| cell(column.0.to_owned(), column));
    let rows = rows.into_iter().skip(from).map(|(cells, style)| {
        Row::new(cells.into_iter().zip(columns).map(|(text, column)| cell(text, column)))
            .style(style)
    });
    let table = Table::new(rows, columns.iter().map(|column| column.1))
        .header(Row::new(titles).style(strong()))
        .column_spacing(1);
    frame.render_widget(table, area);
}

/// A title.
pub(super) fn title(text: impl Into<String>) -> Line<'static> {
    Line::styled(text.into(), strong())
}

/// The newest values as a curve of so many characters, from zero to their maximum.
pub(super) fn curve(values: &[f64], width: usize) -> String {
    const STEPS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let shown = &values[values.len().saturating_sub(width)..];
    let most = shown.iter().copied().fold(0.0, f64::max);
    let step = |value: &f64| match (most > 0.0, *value > 0.0) {
        // Whatever is more than nothing can be seen.
        (true, true) => STEPS[((value / most * 8.0).round() as usize).clamp(1, 8)],
        _ => STEPS[0],
    };
    shown.iter().map(step).collect()
}

/// A share of one as a bar of so many characters.
pub(super) fn bar(share: f64, width: usize) -> String {
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    let full = (share * width as f64).round() as usize;
    let mut text = "█".repeat(full);
    text += &"░".repeat(width - full);
    text
}

/// Keeps the end of what is too long, where paths differ.
pub(super) fn tail(text: &str, width: usize) -> String {
    let length = text.chars().count();
    match length > width {
        true => {
            let rest = text.chars().skip(length + 1 - width.max(1));
            std::iter::once('…').chain(rest).collect()
        }
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_show_the_newest_and_hide_nothing() {
        assert_eq!(curve(&[9.0, 0.0, 0.01, 4.0, 8.0], 4), " ▁▄█");
        assert_eq!(curve(&[0.0, 0.0], 9), "  ");
        assert_eq!(curve(&[], 9), "");
    }

    #[test]
    fn bars_are_as_long_as_asked() {
        assert_eq!(bar(0.5, 4), "██░░");
        assert_eq!([bar(7.0, 2), bar(-1.0, 2), bar(f64::NAN, 2)], ["██", "░░", "░░"]);
    }

    #[test]
    fn the_end_of_a_path_is_kept() {
        assert_eq!(tail("/dev/nvme0n1", 12), "/dev/nvme0n1");
        assert_eq!(tail("/srv/penstock/extents", 8), "…extents");
        assert_eq!(tail("abc", 0), "…");
    }
}
