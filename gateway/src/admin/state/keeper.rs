//! Who can say how the server is: looks at the figures once a second and answers from what it saw.
//!
//! Owns: the figures of the last ten seconds, a point for each second of the last five minutes, how
//! full the store was in the last hour.
//! Limits: `limits.rs`, "the state document". Tenants' series are not among the figures that are
//! looked at, so that a look costs the same however many there are.
//! Not here: what is made of the figures (`requests.rs`, `machine.rs`).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use super::filling::Filling;
use super::requests::Point;
use super::snapshot::{Snapshot, Window};
use super::{History, SettingState, State, StateSource, TenantState};
use crate::admin::Health;
use crate::config::print::Setting;
use crate::limits;
use crate::metrics::table::{self, Metric};
use crate::metrics::{Exporter, Figure, Figures};
use crate::observe::Remembered;
use crate::record::remembered::since_1970;
use crate::record::tenants::Counts;

/// Where a keeper has it from.
pub struct Sources {
    /// Figures of lanes, process and store; without tenants'.
    pub exporter: Exporter,
    /// What is wrong with the store.
    pub health: Arc<dyn Health>,
    /// Set at the start of the drain.
    pub draining: Arc<AtomicBool>,
    /// What is remembered of requests.
    pub remembered: Option<Remembered>,
    /// The effective configuration.
    pub settings: Vec<SettingState>,
}

/// See the module.
pub struct Keeper {
    sources: Sources,
    started: Instant,
    seen: Mutex<Seen>,
}

/// What it has seen.
#[derive(Debug)]
struct Seen {
    /// Oldest first; never empty.
    snapshots: VecDeque<Snapshot>,
    points: VecDeque<Point>,
    data: Filling,
    index: Filling,
    samples: u64,
}

impl Keeper {
    /// A keeper that has looked once.
    pub fn new(sources: Sources) -> Keeper {
        let started = Instant::now();
        let seen = Seen {
            snapshots: VecDeque::from([snapshot(&sources, started)]),
            points: VecDeque::new(),
            data: Filling::default(),
            index: Filling::default(),
            samples: 0,
        };
        Keeper { sources, started, seen: Mutex::new(seen) }
    }

    /// Looks again. Called once a second.
    pub fn look(&self) {
        let now = Instant::now();
        if let Some(remembered) = &self.sources.remembered {
            remembered.tenants.end_second();
            remembered.slowest.collect(now);
            remembered.errors.collect();
        }
        let newest = snapshot(&self.sources, now);
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).add(newest);
    }
}

/// Looks once a second until dropped.
pub async fn run(keeper: Arc<Keeper>) {
    let mut seconds = tokio::time::interval(limits::SAMPLE_PERIOD);
    // After a pause of the process one look is enough: rates are over the time that has passed.
    seconds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // The first comes at once, and the keeper has looked when it was made.
    seconds.tick().await;
    loop {
        seconds.tick().await;
        keeper.look();
    }
}

fn snapshot(sources: &Sources, now: Instant) -> Snapshot {
    Snapshot::new(now, since_1970(SystemTime::now()), sources.exporter.figures())
}

impl Seen {
    fn add(&mut self, newest: Snapshot) {
        if let Some(then) = self.snapshots.back() {
            let point = Window { now: &newest, then }.point();
            if self.points.len() == limits::HISTORY_POINTS_MAX {
                self.points.pop_front();
            }
            self.points.push_back(point);
        }
        if self.samples.is_multiple_of(limits::FILLING_SAMPLES) {
            let used = |all: &Metric, free: &Metric| newest.sum(all, &[]) - newest.sum(free, &[]);
            self.data.add(newest.time, used(&table::STORE_BYTES, &table::STORE_FREE));
            self.index.add(newest.time, newest.sum(&table::INDEX_BYTES, &[]));
        }
        self.samples += 1;
        if self.snapshots.len() > limits::RATE_SAMPLES {
            self.snapshots.pop_front();
        }
        self.snapshots.push_back(newest);
    }

    fn window(&self) -> Option<Window<'_>> {
        Some(Window { now: self.snapshots.back()?, then: self.snapshots.front()? })
    }

    /// Seconds until data or index have no room, whichever is first.
    fn full_in(&self) -> Option<f64> {
        let now = self.snapshots.back()?;
        let data = self.data.full_in(now.sum(&table::STORE_BYTES, &[]));
        let index = self.index.full_in(now.sum(&table::INDEX_LIMIT, &[]));
        [data, index].into_iter().flatten().min_by(f64::total_cmp)
    }

    fn history(&self) -> History {
        let each = |part: fn(&Point) -> f64| self.points.iter().map(part).collect();
        History {
            interval_seconds: limits::SAMPLE_PERIOD.as_secs_f64(),
            newest: self.snapshots.back().map_or(0.0, |snapshot| snapshot.time),
            requests: each(|point| point.requests),
            server_errors: each(|point| point.server_errors),
            received_bytes: each(|point| point.received_bytes),
            sent_bytes: each(|point| point.sent_bytes),
            rdma_bytes: each(|point| point.rdma_bytes),
            p50_seconds: each(|point| point.p50_seconds),
            p99_seconds: each(|point| point.p99_seconds),
            device_read_bytes: each(|point| point.device_read_bytes),
            device_written_bytes: each(|point| point.device_written_bytes),
        }
    }

    /// What the figures say.
    fn state(&self) -> State {
        let Some(window) = self.window() else { return State::default() };
        let mut capacity = window.capacity();
        capacity.full_in_seconds = self.full_in();
        State {
            now: window.now.time,
            rates: window.rates(),
            history: self.history(),
            operations: window.operations(),
            stages: window.stages(),
            paths: window.paths(),
            copied: window.copied(),
            lanes: window.lanes(),
            devices: window.devices(),
            memory: window.memory(),
            capacity,
            commit: window.commit(),
            rdma: window.rdma(),
            background: window.background(),
            ..State::default()
        }
    }
}

impl StateSource for Keeper {
    fn state(&self) -> State {
        let mut state = self.seen.lock().unwrap_or_else(PoisonError::into_inner).state();
        state.version = env!("CARGO_PKG_VERSION").to_owned();
        state.uptime_seconds = self.started.elapsed().as_secs_f64();
        state.draining = self.sources.draining.load(Ordering::Relaxed);
        state.reasons = reasons(&*self.sources.health, &self.sources.draining);
        state.ready = state.reasons.is_empty();
        state.warnings = self.sources.health.warnings();
        if let Some(remembered) = &self.sources.remembered {
            let busiest = remembered.tenants.busiest();
            let rate = |list| tenants(list, state.rates.window_seconds);
            state.buckets = rate(busiest.buckets);
            state.users = rate(busiest.users);
            state.clients = rate(busiest.clients);
            state.slow = remembered.slowest.slowest();
            state.errors = remembered.errors.last();
        }
        state.configuration = self.sources.settings.clone();
        state
    }
}

impl Figures for Keeper {
    fn figures(&self) -> Vec<Figure> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.full_in().map(|left| Figure::of(&table::STORE_FULL_IN, left)).into_iter().collect()
    }
}

impl From<&Setting> for SettingState {
    fn from(setting: &Setting) -> SettingState {
        SettingState {
            name: setting.name.to_owned(),
            value: setting.value.clone(),
            source: setting.source.kind().to_owned(),
        }
    }
}

/// Why the server is not ready; empty when it is.
pub fn reasons(health: &dyn Health, draining: &AtomicBool) -> Vec<String> {
    let mut reasons = health.troubles();
    if draining.load(Ordering::Relaxed) {
        reasons.insert(0, "draining: the server is about to stop".into());
    }
    reasons
}

fn tenants(list: Vec<(String, Counts)>, seconds: f64) -> Vec<TenantState> {
    let rate = |amount: u64| if seconds > 0.0 { amount as f64 / seconds } else { 0.0 };
    let tenant = |(name, counts): (String, Counts)| TenantState {
        name,
        requests: rate(counts.requests()),
        errors: rate(counts.errors()),
        received_bytes: rate(counts.received_bytes),
        sent_bytes: rate(counts.sent_bytes),
    };
    list.into_iter().map(tenant).collect()
}
