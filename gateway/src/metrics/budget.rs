//! The number of series stays within its budget, whatever clients ask for.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::behind::testing::store;

use super::export::Observed;
use super::form::Form;
use super::*;
use crate::behind::figures::StoreFigures;
use crate::config::MetricsPlan;
use crate::limits;
use crate::record::Tenants;
use crate::record::sample::{account, ended};

const LANES: usize = 64;

/// A lane on which everything has happened that can be told apart.
fn busy_lane() -> Arc<LaneCells> {
    let cells = Arc::new(LaneCells::default());
    let took = Duration::from_micros(60);
    for operation in Operation::ALL {
        for class in StatusClass::ALL {
            cells.request_started(*operation);
            cells.request_ended(*operation, *class, took);
        }
        cells.answered_after(*operation, took);
    }
    for stage in Stage::ALL {
        Group::ALL.iter().for_each(|group| cells.stage_took(*stage, *group, took));
    }
    codes::ALL.iter().for_each(|code| cells.error_answered(code));
    for number in 0..10_000 {
        cells.error_answered(&format!("Garbage{number}"));
    }
    cells
}

/// 10,000 buckets, users, keys and clients, and as many names of nothing.
fn many_tenants(tenants: &Tenants) {
    for number in 0..10_000_u32 {
        let lane = number as usize % LANES;
        for status in [200, 301, 404, 503] {
            let mut account = account(lane, &format!("/bucket{number}/key{number}?x={number}"));
            account.asked.peer = Some(IpAddr::from((0x0a00_0000 + number).to_be_bytes()));
            account.user.set(format!("user{number}").into()).unwrap();
            ended(tenants, &account, status, 100);
        }
        ended(tenants, &account(lane, &format!("/nothing{number}/{number}")), 404, 100);
        ended(tenants, &account(lane, &format!("/%41{number}/{number}")), 200, 100);
        if number % 1000 == 0 {
            tenants.end_second();
        }
    }
}

#[test]
fn series_stay_within_the_budget_of_the_default_settings() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory);
    let tenants = Arc::new(Tenants::new(LANES, &MetricsPlan { buckets: 50, users: 50 }));
    many_tenants(&tenants);
    let observed = Observed {
        lanes: (0..LANES).map(|_| busy_lane()).collect(),
        engine: "io_uring",
        connections_limit: 100,
        draining: Arc::default(),
    };
    let figures: Vec<Arc<dyn Figures>> = vec![Arc::new(StoreFigures::new(store.handle())), tenants];
    let text = Exporter::new(observed, figures).exposition(Form::Text).collect::<String>();
    let series = |with: &str| {
        text.lines().filter(|line| !line.starts_with('#') && line.contains(with)).count()
    };
    let all = series("");
    // Each further device, and a lane's runtime and ring, which this process does not have.
    let devices = (limits::DEVICES_MAX - 1) * series("device=\"");
    let most = all + devices + LANES * 4;
    assert!(all > 4000, "{all}: what can happen has not happened");
    assert!(most <= limits::SERIES_DEFAULT_MAX, "{most} series, {all} of them here");
    assert_eq!(series("bucket=\"bucket"), 50 * 7, "four classes, time, bytes in and out");
    store.close();
}
