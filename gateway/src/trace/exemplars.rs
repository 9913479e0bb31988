//! The latest trace of each bucket of the histograms of whole requests.
//!
//! Owns: exemplars, by lane. Only requests that are traced come here; the lock is the lane's and
//! the scraper's.
//! Limits: one exemplar a bucket; 27 operations of 5 classes and 17 buckets are 120 KiB a lane when
//! all of them have happened.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Sampling;
use crate::metrics::cells::{self, DURATION_BOUNDS_US};
use crate::metrics::exemplar::{Exemplar, ExemplarRow, Exemplars};
use crate::metrics::table::{self, Metric};
use crate::metrics::{Operation, StatusClass};
use crate::record::{Record, Sink};

const BUCKETS: usize = DURATION_BOUNDS_US.len() + 1;

/// See the module.
#[derive(Debug)]
pub struct LatestTraces {
    sampling: Sampling,
    lanes: Box<[Mutex<Latest>]>,
}

/// One lane's, by series: with a class those of the duration, without those of the first byte.
type Latest = HashMap<(Operation, Option<StatusClass>), [Option<Exemplar>; BUCKETS]>;

impl LatestTraces {
    /// Of so many lanes.
    pub fn new(sampling: Sampling, lanes: usize) -> LatestTraces {
        LatestTraces { sampling, lanes: (0..lanes).map(|_| Mutex::default()).collect() }
    }
}

impl Sink for LatestTraces {
    fn ended(&self, record: &Record<'_>) {
        let account = record.account;
        let context = self.sampling.context(&account.asked).filter(|context| context.sampled);
        let (Some(context), Some(lane)) = (context, self.lanes.get(account.lane)) else {
            return;
        };
        let exemplar = |took: Duration| Exemplar {
            trace: context.trace,
            span: context.span,
            value: took.as_secs_f64(),
            at: record.ended,
        };
        let operation = account.asked.operation;
        // As the counters class it.
        let class = account.status().map_or(StatusClass::ClientError, StatusClass::of);
        let mut latest = lane.lock().unwrap_or_else(PoisonError::into_inner);
        let row = latest.entry((operation, Some(class))).or_insert([None; BUCKETS]);
        row[bucket(record.took)] = Some(exemplar(record.took));
        let good = account.status().is_some_and(|status| status.as_u16() < 400);
        if let Some(answered) = account.answered().filter(|_| good) {
            let row = latest.entry((operation, None)).or_insert([None; BUCKETS]);
            row[bucket(answered)] = Some(exemplar(answered));
        }
    }
}

/// The bucket that it is counted in.
fn bucket(took: Duration) -> usize {
    cells::bucket(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX))
}

impl Exemplars for LatestTraces {
    fn exemplars(&self) -> Vec<ExemplarRow> {
        let mut all = Latest::new();
        for lane in &self.lanes {
            let lane = lane.lock().unwrap_or_else(PoisonError::into_inner);
            for (series, row) in lane.iter() {
                let latest = all.entry(*series).or_insert([None; BUCKETS]);
                for (mine, theirs) in latest.iter_mut().zip(row) {
                    let newer = match (&*mine, theirs) {
                        (Some(mine), Some(theirs)) => theirs.at > mine.at,
                        (None, Some(_)) => true,
                        _ => false,
                    };
                    if newer {
                        *mine = *theirs;
                    }
                }
            }
        }
        let row = |((operation, class), buckets): (_, [_; BUCKETS])| {
            let (metric, labels) = series(operation, class);
            ExemplarRow { metric, labels, buckets: buckets.into() }
        };
        all.into_iter().map(row).collect()
    }
}

fn series(
    operation: Operation,
    class: Option<StatusClass>,
) -> (&'static Metric, Vec<&'static str>) {
    match class {
        Some(class) => (&table::DURATION, vec![operation.label(), class.label()]),
        None => (&table::FIRST_BYTE, vec![operation.label()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Account;
    use crate::trace::context::tests::asked;
    use http::StatusCode;
    use std::time::UNIX_EPOCH;

    const TRACED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_latest_traced_request_of_a_bucket_is_shown() {
        let latest = LatestTraces::new(Sampling::new(0).unwrap(), 2);
        let end = |lane, traceparent, took_us, at_s| {
            let account = Account::new(lane, asked(traceparent));
            account.answer(StatusCode::OK);
            let ended = UNIX_EPOCH + Duration::from_secs(at_s);
            let took = Duration::from_micros(took_us);
            latest.ended(&Record { account: &account, ended, took });
        };
        end(0, Some(TRACED), 60, 9);
        end(1, Some(TRACED), 70, 8);
        end(1, Some(TRACED), 300, 7);
        end(1, None, 99_000_000, 9);
        end(5, Some(TRACED), 99_000_000, 9);
        let rows = latest.exemplars();
        let duration = rows.iter().find(|row| row.metric == &table::DURATION).unwrap();
        assert_eq!(duration.labels, ["GetObject", "2xx"]);
        let found: Vec<_> = duration.buckets.iter().flatten().map(|it| it.value).collect();
        assert_eq!(found, [0.00006, 0.0003]);
        assert_eq!(duration.buckets[1].unwrap().trace, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert!(rows.iter().any(|row| row.metric == &table::FIRST_BYTE));
        assert_eq!(rows.len(), 2);
    }
}
