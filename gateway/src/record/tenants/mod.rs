//! Whose requests they are: buckets, users, clients.
//!
//! Owns: what lanes count by tenant (`tally.rs`), whose counts become series of their own
//! (`series.rs`), and who was busiest in the last seconds (`recent.rs`).
//!
//! A lane counts in a table of its own, whose lock is free but for the nanoseconds in which another
//! table takes its place, once a second and at each scrape. Everything else happens then.
//!
//! Nobody gets a name of their own by asking for it: a bucket is told apart once a request to it has
//! succeeded, a user once a signature was verified. All other names count under `other`.

pub mod counts;
pub mod recent;
pub mod series;
pub mod tally;
#[cfg(test)]
mod tests;

use std::mem;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

pub use counts::Counts;
use recent::Recent;
use series::Series;
use tally::Tally;

use super::{Record, Sink};
use crate::config::MetricsPlan;
use crate::config::plan::is_bucket_name;
use crate::limits;
use crate::metrics::table::{self, Metric};
use crate::metrics::{Figure, Figures, Many, StatusClass};

/// The label of all who have no series of their own. A tenant of that name has none either.
pub const OTHER: &str = "other";

/// The label of requests without an access key that was verified. An access key of that name has no
/// series.
pub const ANONYMOUS: &str = "anonymous";

/// See the module.
#[derive(Debug)]
pub struct Tenants {
    lanes: Box<[Mutex<LaneTallies>]>,
    process: Mutex<Process>,
}

/// What one lane counts.
#[derive(Debug)]
struct LaneTallies {
    buckets: Tally<Arc<str>>,
    users: Tally<Arc<str>>,
    clients: Tally<IpAddr>,
    anonymous: Arc<str>,
}

impl Default for LaneTallies {
    fn default() -> Self {
        LaneTallies {
            buckets: Tally::default(),
            users: Tally::default(),
            clients: Tally::default(),
            anonymous: ANONYMOUS.into(),
        }
    }
}

/// What all lanes have counted.
#[derive(Debug)]
struct Process {
    /// The table that takes the place of a lane's, one for each.
    spares: Vec<LaneTallies>,
    buckets: Kind<Arc<str>>,
    users: Kind<Arc<str>>,
    clients: Recent<IpAddr>,
    turned: Instant,
}

#[derive(Debug)]
struct Kind<N> {
    series: Series,
    recent: Recent<N>,
}

/// Who was busiest in the last seconds, each list with its busiest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Busiest {
    /// Buckets.
    pub buckets: Vec<(String, Counts)>,
    /// Users.
    pub users: Vec<(String, Counts)>,
    /// Clients' addresses.
    pub clients: Vec<(String, Counts)>,
}

impl Tenants {
    /// For so many lanes.
    pub fn new(lanes: usize, plan: &MetricsPlan) -> Tenants {
        let kind = |limit| Kind { series: Series::new(limit), recent: Recent::default() };
        Tenants {
            lanes: (0..lanes).map(|_| Mutex::default()).collect(),
            process: Mutex::new(Process {
                spares: (0..lanes).map(|_| LaneTallies::default()).collect(),
                buckets: kind(plan.buckets),
                users: kind(plan.users),
                clients: Recent::default(),
                turned: Instant::now(),
            }),
        }
    }

    /// A second is over. Called once a second; what comes later is counted all the same.
    pub fn end_second(&self) {
        let mut process = self.collected();
        process.buckets.recent.end_second();
        process.users.recent.end_second();
        process.clients.end_second();
        if process.turned.elapsed() >= limits::TENANT_TURN {
            process.turned = Instant::now();
            process.buckets.series.turn();
            process.users.series.turn();
        }
    }

    /// Who was busiest in the last ten seconds that are over.
    pub fn busiest(&self) -> Busiest {
        let process = lock(&self.process);
        Busiest {
            buckets: listed(process.buckets.recent.busiest()),
            users: listed(process.users.recent.busiest()),
            clients: listed(process.clients.busiest()),
        }
    }

    /// The process's counts with those of all lanes up to now.
    fn collected(&self) -> MutexGuard<'_, Process> {
        let mut process = lock(&self.process);
        let before = process.generations();
        self.collect(&mut process);
        if process.generations() != before {
            // Lanes have the names of before: what fails for a newcomer would not be its own.
            self.collect(&mut process);
        }
        process
    }

    fn collect(&self, process: &mut Process) {
        let Process { spares, buckets, users, clients, .. } = process;
        for (lane, spare) in self.lanes.iter().zip(spares) {
            spare.buckets.begin(buckets.series.generation(), buckets.series.names());
            spare.users.begin(users.series.generation(), users.series.names());
            spare.clients.begin(0, [].into_iter());
            mem::swap(&mut *lock(lane), spare);
            buckets.add(&spare.buckets);
            users.add(&spare.users);
            spare.clients.counted().for_each(|(name, counts)| clients.add(name, counts));
            clients.add_other(spare.clients.other());
        }
    }
}

impl Process {
    fn generations(&self) -> (u64, u64) {
        (self.buckets.series.generation(), self.users.series.generation())
    }
}

impl Kind<Arc<str>> {
    fn add(&mut self, tally: &Tally<Arc<str>>) {
        for (name, counts) in tally.counted() {
            self.series.add(name, counts);
            self.recent.add(name, counts);
        }
        self.series.add_other(tally.other());
        self.recent.add_other(tally.other());
    }
}

impl Sink for Tenants {
    fn ended(&self, record: &Record<'_>) {
        let account = record.account;
        let Some(lane) = self.lanes.get(account.lane) else { return };
        let counts = Counts::of(record);
        let has_succeeded = account.status().is_some_and(|status| status.as_u16() < 400);
        let mut tallies = lock(lane);
        let LaneTallies { buckets, users, clients, anonymous } = &mut *tallies;
        match account.bucket() {
            Some(name) if name != OTHER => {
                // Names are looked up as they were sent; only what is a bucket's name is entered.
                let entered = || (has_succeeded && is_bucket_name(name)).then(|| name.into());
                buckets.count(name, &counts, entered);
            }
            _ => buckets.count_other(&counts),
        }
        match account.user.get() {
            None => users.count(ANONYMOUS, &counts, || Some(anonymous.clone())),
            Some(name) if **name == *OTHER || **name == *ANONYMOUS => users.count_other(&counts),
            Some(name) => users.count(&**name, &counts, || Some(name.clone())),
        }
        match &account.asked.peer {
            Some(peer) => clients.count(peer, &counts, || Some(*peer)),
            None => clients.count_other(&counts),
        }
    }
}

impl Figures for Tenants {
    fn figures(&self) -> Vec<Figure> {
        let process = lock(&self.process);
        let kinds = [("bucket", &process.buckets), ("user", &process.users)];
        let of = |(kind, Kind { series, .. }): (&'static str, &Kind<Arc<str>>)| {
            let (tracked, limit) = (series.names().len() as f64, series.limit() as f64);
            [
                Figure::labelled(&table::TENANTS_TRACKED, [kind], tracked),
                Figure::labelled(&table::TENANTS_LIMIT, [kind], limit),
            ]
        };
        kinds.into_iter().flat_map(of).collect()
    }

    fn many(&self) -> Vec<Many> {
        let mut process = self.collected();
        let mut many = BUCKETS.many(shown(&mut process.buckets.series));
        many.extend(USERS.many(shown(&mut process.users.series)));
        many
    }
}

/// Names and totals of those who have series, and of all others.
fn shown(series: &mut Series) -> Vec<(Arc<str>, Counts)> {
    let mut shown = series.show();
    shown.push((OTHER.into(), *series.other()));
    shown
}

/// The rows of one kind.
struct Rows {
    requests: &'static Metric,
    seconds: &'static Metric,
    received: &'static Metric,
    sent: &'static Metric,
}

static BUCKETS: Rows = Rows {
    requests: &table::BUCKET_REQUESTS,
    seconds: &table::BUCKET_SECONDS,
    received: &table::BUCKET_RECEIVED,
    sent: &table::BUCKET_SENT,
};

static USERS: Rows = Rows {
    requests: &table::USER_REQUESTS,
    seconds: &table::USER_SECONDS,
    received: &table::USER_RECEIVED,
    sent: &table::USER_SENT,
};

impl Rows {
    /// Metric by metric, all of them from one copy of the totals.
    fn many(&'static self, shown: Vec<(Arc<str>, Counts)>) -> Vec<Many> {
        let shown = Arc::new(shown);
        let column = |metric, value: fn(&Counts) -> f64| {
            let shown = shown.clone();
            Many::new(metric, shown.len(), move |row, take| {
                let (name, counts) = &shown[row];
                take(&[name], value(counts));
            })
        };
        let counted = shown.clone();
        let requests = Many::new(self.requests, shown.len(), move |row, take| {
            let (name, counts) = &counted[row];
            for class in StatusClass::ALL {
                let count = counts.requests[*class as usize];
                if count > 0 || *class == StatusClass::Success {
                    take(&[name, class.label()], count as f64);
                }
            }
        });
        vec![
            requests,
            column(self.seconds, |counts| counts.nanoseconds as f64 / 1e9),
            column(self.received, |counts| counts.received_bytes as f64),
            column(self.sent, |counts| counts.sent_bytes as f64),
        ]
    }
}

fn listed<N: ToString>((names, other): (Vec<(N, Counts)>, Counts)) -> Vec<(String, Counts)> {
    let mut listed: Vec<_> =
        names.into_iter().map(|(name, counts)| (name.to_string(), counts)).collect();
    if !other.is_empty() {
        listed.push((OTHER.to_owned(), other));
    }
    listed
}

/// Counts stay what they are when a thread has panicked between two of them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
