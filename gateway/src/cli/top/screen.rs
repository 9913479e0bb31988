//! The screen: what is shown, which keys change it, and the frame around the views.
//!
//! Owns: [`Screen`]. It never asks and never draws by itself, so tests press its keys and read its
//! frames.

use std::time::{Duration, Instant};

use ratatui::Frame;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::super::amounts::{age, clock};
use super::super::server::Untold;
use super::parts::{alarm, faint, strong};
use super::views::View;
use crate::admin::state::State;

/// Whether to go on after a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// Go on.
    On,
    /// The user has had enough.
    End,
}

/// Everything that a frame is drawn from.
#[derive(Debug)]
pub(super) struct Screen {
    view: View,
    place: String,
    interval: Duration,
    paused: bool,
    /// Rows scrolled past; in the view of requests the chosen one.
    row: usize,
    /// Whether the view of requests shows errors.
    errors: bool,
    state: State,
    answered: Option<Instant>,
    trouble: Option<String>,
}

impl Screen {
    /// A screen that has nothing to show yet.
    pub(super) fn new(view: View, place: String, interval: Duration) -> Screen {
        Screen {
            view,
            place,
            interval,
            paused: false,
            row: 0,
            errors: false,
            state: State::default(),
            answered: None,
            trouble: None,
        }
    }

    /// Takes the server's answer, or why there is none; the last one stays then.
    pub(super) fn take(&mut self, answer: Result<State, Untold>, now: Instant) {
        match answer {
            Ok(_) if self.paused => {}
            Ok(state) => {
                self.state = state;
                self.answered = Some(now);
                self.trouble = None;
            }
            Err(untold) => self.trouble = Some(untold.text().to_owned()),
        }
    }

    /// A key was pressed.
    pub(super) fn press(&mut self, key: KeyEvent) -> Flow {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if control => return Flow::End,
            KeyCode::Char('q') | KeyCode::Esc => return Flow::End,
            KeyCode::Char('p') | KeyCode::Char(' ') => self.paused = !self.paused,
            KeyCode::Char('e') => (self.view, self.errors, self.row) = (View::Requests, true, 0),
            KeyCode::Char('s') => (self.view, self.errors, self.row) = (View::Requests, false, 0),
            KeyCode::Tab | KeyCode::Right => self.show(self.view.next()),
            KeyCode::BackTab | KeyCode::Left => self.show(self.view.previous()),
            KeyCode::Down | KeyCode::Char('j') => self.scroll(1),
            KeyCode::Up | KeyCode::Char('k') => self.scroll(-1),
            KeyCode::PageDown => self.scroll(10),
            KeyCode::PageUp => self.scroll(-10),
            KeyCode::Home => self.row = 0,
            KeyCode::Char(digit) => {
                if let Some(view) = View::numbered(digit) {
                    self.show(view);
                }
            }
            _ => {}
        }
        Flow::On
    }

    fn show(&mut self, view: View) {
        (self.view, self.row) = (view, 0);
    }

    fn scroll(&mut self, by: isize) {
        let last = self.view.rows(&self.state, self.errors).saturating_sub(1);
        self.row = self.row.saturating_add_signed(by).min(last);
    }

    /// Draws all of it.
    pub(super) fn draw(&self, frame: &mut Frame<'_>, now: Instant) {
        let one = Constraint::Length(1);
        let [head, tabs, body, foot] =
            Layout::vertical([one, one, Constraint::Fill(1), one]).areas(frame.area());
        frame.render_widget(Paragraph::new(self.head(now)), head);
        frame.render_widget(Paragraph::new(self.tabs()), tabs);
        self.draw_body(frame, body);
        frame.render_widget(Paragraph::new(self.foot(now)), foot);
    }

    fn draw_body(&self, frame: &mut Frame<'_>, body: Rect) {
        // The list may have become shorter since it was scrolled.
        let last = self.view.rows(&self.state, self.errors).saturating_sub(1);
        self.view.draw(&self.state, self.row.min(last), self.errors, frame, body);
    }

    fn head(&self, now: Instant) -> Line<'static> {
        let state = &self.state;
        let who = format!("penstock {} at {}  ", state.version, self.place);
        let verdict = match (state.ready, state.reasons.first()) {
            (true, _) => Span::styled("ready", strong()),
            (false, Some(reason)) => Span::styled(format!("NOT READY: {reason}"), alarm()),
            (false, None) => Span::styled("NOT READY", alarm()),
        };
        let mut parts = vec![Span::raw(who), verdict];
        parts.push(Span::raw(format!("  up {}", age(state.uptime_seconds))));
        parts.push(Span::raw(format!("  {} UTC", clock(state.now))));
        if self.paused {
            parts.push(Span::styled("  PAUSED", strong()));
        } else if self.is_stale(now) {
            parts.push(Span::styled("  STALE", alarm()));
        }
        Line::from(parts)
    }

    /// Whether two answers are missing.
    fn is_stale(&self, now: Instant) -> bool {
        let old = self.answered.map(|answered| now.saturating_duration_since(answered));
        old.is_none_or(|old| old > self.interval * 3)
    }

    fn tabs(&self) -> Line<'static> {
        let tab = |view: &View| {
            let style = match *view == self.view {
                true => Style::new().add_modifier(Modifier::REVERSED),
                false => Style::new(),
            };
            [Span::styled(format!(" {} {} ", view.number(), view.name()), style), Span::raw(" ")]
        };
        Line::from_iter(View::ALL.iter().flat_map(tab))
    }

    fn foot(&self, now: Instant) -> Line<'static> {
        let Some(trouble) = &self.trouble else {
            let keys = match self.view {
                View::Requests => "1-6 view   ↑↓ choose   s slow   e errors   p pause   q quits",
                _ => "1-6 Tab view   ↑↓ scroll   p pause   q quits",
            };
            return Line::styled(keys, faint());
        };
        let since = match self.answered {
            Some(answered) => {
                let old = now.saturating_duration_since(answered);
                format!("last answer {} ago: ", age(old.as_secs_f64()))
            }
            None => String::new(),
        };
        Line::styled(format!("{since}{trouble}"), alarm())
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture;
    use super::super::plain_frame;
    use super::*;

    fn screen() -> Screen {
        let mut screen = Screen::new(View::Overview, "h:1".into(), Duration::from_secs(1));
        screen.take(Ok(fixture::state()), Instant::now());
        screen
    }

    fn press(screen: &mut Screen, code: KeyCode) -> Flow {
        screen.press(KeyEvent::new(code, KeyModifiers::NONE))
    }

    #[test]
    fn digits_and_tabs_choose_views() {
        let mut screen = screen();
        for (digit, view) in ('1'..='6').zip(View::ALL) {
            assert_eq!(press(&mut screen, KeyCode::Char(digit)), Flow::On);
            assert_eq!(screen.view, view);
        }
        press(&mut screen, KeyCode::Tab);
        assert_eq!(screen.view, View::Overview);
        press(&mut screen, KeyCode::Left);
        assert_eq!(screen.view, View::Requests);
        press(&mut screen, KeyCode::Char('9'));
        assert_eq!(screen.view, View::Requests);
        assert_eq!(press(&mut screen, KeyCode::Char('q')), Flow::End);
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(screen.press(interrupt), Flow::End);
    }

    #[test]
    fn errors_are_one_key_away_and_chosen_by_arrows() {
        let mut screen = screen();
        screen.state.errors.push(screen.state.errors[0].clone());
        screen.state.errors[1].code = Some("NoSuchKey".into());
        press(&mut screen, KeyCode::Char('e'));
        assert!(plain_frame(&screen, (80, 24)).contains("SlowDown"));
        for _ in 0..5 {
            press(&mut screen, KeyCode::Down);
        }
        assert_eq!(screen.row, 1, "no further than the last");
        press(&mut screen, KeyCode::PageUp);
        assert_eq!(screen.row, 0);
    }

    #[test]
    fn a_server_that_stops_answering_is_said_and_its_last_state_stays() {
        let mut screen = screen();
        let later = Instant::now() + Duration::from_secs(42);
        screen.take(Err(Untold::Absent("no server answers on h:1".into())), later);
        let Ok(mut terminal) = ratatui::Terminal::new(ratatui::backend::TestBackend::new(100, 24));
        let Ok(frame) = terminal.draw(|frame| screen.draw(frame, later));
        let text: String = frame.buffer.content.iter().map(|cell| cell.symbol()).collect();
        for said in ["STALE", "last answer 42 s ago: no server answers on h:1", "1,234"] {
            assert!(text.contains(said), "{said}: {text}");
        }
    }

    #[test]
    fn a_paused_screen_does_not_move() {
        let mut screen = screen();
        press(&mut screen, KeyCode::Char('p'));
        screen.take(Ok(State::default()), Instant::now());
        let text = plain_frame(&screen, (80, 24));
        assert!(text.contains("PAUSED") && text.contains("1,234"), "{text}");
        press(&mut screen, KeyCode::Char('p'));
        screen.take(Ok(State::default()), Instant::now());
        assert!(!plain_frame(&screen, (80, 24)).contains("1,234"));
    }
}
