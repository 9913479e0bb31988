//! The six views, in the order of the questions: is it well, where does the time go, which drive,
//! is memory or space short, who is it, which request.

mod drives;
mod memory;
mod overview;
mod requests;
mod tenants;
mod time;

use ratatui::Frame;
use ratatui::layout::Rect;

use crate::admin::state::State;

/// One view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::cli) enum View {
    /// Rates, their last minutes, operations.
    #[default]
    Overview,
    /// Stages and paths.
    Time,
    /// Devices and lanes.
    Drives,
    /// Memory, space, commits, RDMA, what runs beside.
    Memory,
    /// Buckets, users, clients.
    Tenants,
    /// Slow requests and errors.
    Requests,
}

impl View {
    /// All, as they are numbered.
    pub(in crate::cli) const ALL: [View; 6] =
        [View::Overview, View::Time, View::Drives, View::Memory, View::Tenants, View::Requests];

    /// Its name, also that of `--view`.
    pub(in crate::cli) const fn name(self) -> &'static str {
        match self {
            View::Overview => "overview",
            View::Time => "time",
            View::Drives => "drives",
            View::Memory => "memory",
            View::Tenants => "tenants",
            View::Requests => "requests",
        }
    }

    /// The view of that name.
    pub(in crate::cli) fn named(name: &str) -> Option<View> {
        View::ALL.into_iter().find(|view| view.name() == name)
    }

    /// Its key, from 1.
    pub(in crate::cli::top) fn number(self) -> usize {
        View::ALL.iter().position(|view| *view == self).map_or(0, |place| place + 1)
    }

    /// The view of that key.
    pub(in crate::cli::top) fn numbered(key: char) -> Option<View> {
        let place = key.to_digit(10)?.checked_sub(1)?;
        View::ALL.get(place as usize).copied()
    }

    /// The one after it.
    pub(in crate::cli::top) fn next(self) -> View {
        View::ALL[self.number() % View::ALL.len()]
    }

    /// The one before it.
    pub(in crate::cli::top) fn previous(self) -> View {
        View::ALL[(self.number() + View::ALL.len() - 2) % View::ALL.len()]
    }

    /// How many rows its list has.
    pub(in crate::cli::top) fn rows(self, state: &State, errors: bool) -> usize {
        match self {
            View::Overview => state.operations.len(),
            View::Time => time::shown(state).count(),
            View::Drives => state.lanes.len().max(state.devices.len()),
            View::Memory => state.background.len(),
            View::Tenants => state.buckets.len().max(state.users.len()).max(state.clients.len()),
            View::Requests if errors => state.errors.len(),
            View::Requests => state.slow.len(),
        }
    }

    /// Draws it; its list begins at `row`, or has it chosen.
    pub(in crate::cli::top) fn draw(
        self,
        state: &State,
        row: usize,
        errors: bool,
        frame: &mut Frame<'_>,
        area: Rect,
    ) {
        match self {
            View::Overview => overview::draw(state, row, frame, area),
            View::Time => time::draw(state, row, frame, area),
            View::Drives => drives::draw(state, row, frame, area),
            View::Memory => memory::draw(state, row, frame, area),
            View::Tenants => tenants::draw(state, row, frame, area),
            View::Requests if errors => requests::draw("error", &state.errors, row, frame, area),
            View::Requests => requests::draw("slow", &state.slow, row, frame, area),
        }
    }
}
