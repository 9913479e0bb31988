//! Who gets a name, and that nothing is lost or counted twice.

use std::collections::BTreeMap;

use super::*;
use crate::record::sample::{account, ended};

fn tenants(buckets: usize, users: usize) -> Tenants {
    Tenants::new(2, &MetricsPlan { buckets, users })
}

fn values(tenants: &Tenants, metric: &Metric) -> BTreeMap<Vec<String>, f64> {
    let mut listed: Vec<(Vec<String>, f64)> = Vec::new();
    for many in tenants.many().iter().filter(|many| many.metric == metric) {
        for row in 0..many.rows {
            many.row(row, &mut |labels, value| {
                listed.push((labels.iter().map(|it| it.to_string()).collect(), value));
            });
        }
    }
    for figure in tenants.figures().iter().filter(|figure| figure.metric == metric) {
        let labels = figure.labels.iter().map(|it| it.to_string()).collect();
        listed.push((labels, figure.number()));
    }
    let map: BTreeMap<_, _> = listed.iter().cloned().collect();
    assert_eq!(map.len(), listed.len(), "labels twice in {listed:?}");
    map
}

fn requests(tenants: &Tenants, metric: &Metric, name: &str, class: &str) -> Option<f64> {
    values(tenants, metric).get(&vec![name.to_owned(), class.to_owned()]).copied()
}

#[test]
fn lanes_add_up_by_bucket_and_user() {
    let tenants = tenants(50, 50);
    for (lane, user) in [(0, None), (0, Some("alice")), (1, Some("alice"))] {
        let account = account(lane, "/photos/a/b?x=1");
        if let Some(user) = user {
            account.user.set(user.into()).unwrap();
        }
        account.receive(5);
        account.send(7);
        ended(&tenants, &account, 200, 1500);
    }
    ended(&tenants, &account(1, "/photos/missing"), 404, 500);
    let photos = |class| requests(&tenants, &table::BUCKET_REQUESTS, "photos", class);
    assert_eq!((photos("2xx"), photos("4xx"), photos("5xx")), (Some(3.0), Some(1.0), None));
    let users = values(&tenants, &table::USER_RECEIVED);
    let of = |name: &str| users.get(&vec![name.to_owned()]).copied();
    assert_eq!((of("alice"), of("anonymous"), of("other")), (Some(10.0), Some(5.0), Some(0.0)));
    let seconds = values(&tenants, &table::BUCKET_SECONDS);
    assert!((seconds[&vec!["photos".to_owned()]] - 0.005).abs() < 1e-12);
    let sent = values(&tenants, &table::BUCKET_SENT);
    assert_eq!(sent[&vec!["photos".to_owned()]], 21.0);
}

#[test]
fn what_does_not_exist_gets_no_name() {
    let tenants = tenants(50, 50);
    for number in 0..3000 {
        ended(&tenants, &account(0, &format!("/scan{number}/x")), 404, 10);
        ended(&tenants, &account(1, &format!("/scan{number}/x")), 403, 10);
    }
    // What succeeds under a name that is none is a bucket's name with escapes in it.
    ended(&tenants, &account(0, "/%70hotos/x"), 200, 10);
    ended(&tenants, &account(0, "/"), 200, 10);
    let all = values(&tenants, &table::BUCKET_REQUESTS);
    assert!(all.keys().all(|labels| labels[0] == OTHER), "{all:?}");
    assert_eq!(all.values().sum::<f64>(), 6002.0);
    assert_eq!(requests(&tenants, &table::USER_REQUESTS, ANONYMOUS, "4xx"), Some(6000.0));
    // It has failed before it was there; from then on all of it counts.
    ended(&tenants, &account(0, "/scan7/x"), 200, 10);
    ended(&tenants, &account(1, "/scan7/x"), 200, 10);
    let _ = tenants.many();
    ended(&tenants, &account(0, "/scan7/x"), 503, 10);
    let of = |class| requests(&tenants, &table::BUCKET_REQUESTS, "scan7", class);
    assert_eq!((of("2xx"), of("4xx"), of("5xx")), (Some(2.0), None, Some(1.0)));
}

#[test]
fn reserved_names_belong_to_nobody() {
    let tenants = tenants(50, 50);
    for user in [OTHER, ANONYMOUS] {
        let account = account(0, "/other/x");
        account.user.set(user.into()).unwrap();
        ended(&tenants, &account, 200, 10);
    }
    ended(&tenants, &account(0, "/photos/x"), 200, 10);
    assert_eq!(requests(&tenants, &table::BUCKET_REQUESTS, OTHER, "2xx"), Some(2.0));
    assert_eq!(requests(&tenants, &table::USER_REQUESTS, OTHER, "2xx"), Some(2.0));
    assert_eq!(requests(&tenants, &table::USER_REQUESTS, ANONYMOUS, "2xx"), Some(1.0));
}

#[test]
fn ten_thousand_of_everything_stay_within_the_limits() {
    let tenants = tenants(50, 20);
    let mut told = 0.0;
    for number in 0..10_000_u32 {
        let mut account = account((number % 2) as usize, &format!("/bucket{number}/key{number}"));
        account.asked.peer = Some(IpAddr::from((number + 0x0a00_0000).to_be_bytes()));
        account.user.set(format!("user{number}").into()).unwrap();
        ended(&tenants, &account, 200, 100);
        told += 1.0;
        if number % 3000 == 0 {
            tenants.end_second();
        }
    }
    tenants.end_second();
    for (metric, limit) in [(&table::BUCKET_REQUESTS, 50), (&table::USER_REQUESTS, 20)] {
        let all = values(&tenants, metric);
        assert_eq!(all.len(), limit + 1);
        assert_eq!(all.values().sum::<f64>(), told);
    }
    let tracked = values(&tenants, &table::TENANTS_TRACKED);
    assert_eq!(tracked.values().sum::<f64>(), 70.0);
    let busiest = tenants.busiest();
    for list in [&busiest.buckets, &busiest.users, &busiest.clients] {
        assert_eq!(list.len(), limits::TENANTS_SHOWN_MAX + 1);
        assert_eq!(list.last().unwrap().0, OTHER);
        let sum: u64 = list.iter().map(|(_, counts)| counts.requests()).sum();
        assert_eq!(sum, 10_000);
    }
}

#[test]
fn the_busiest_of_the_last_seconds_come_first() {
    let tenants = tenants(1, 1);
    for (bucket, count) in [("quiet", 1), ("busy", 9)] {
        for _ in 0..count {
            let account = account(0, &format!("/{bucket}/k"));
            account.send(1000);
            ended(&tenants, &account, 200, 100);
        }
    }
    tenants.end_second();
    let busiest = tenants.busiest();
    let names: Vec<_> = busiest.buckets.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["busy", "quiet"]);
    assert_eq!(busiest.buckets[0].1.sent_bytes, 9000);
    assert_eq!(busiest.clients[0].0, "127.0.0.1");
}
