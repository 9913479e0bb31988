//! Requests as tests need them.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use http::{Method, StatusCode, Uri, Version};

use super::account::Asked;
use super::{Account, Record, Sink};
use crate::door::request_id::RequestIds;
use crate::metrics::Operation;

/// What a GET of that target says of itself.
pub(crate) fn asked(target: &str) -> Asked {
    Asked {
        id: RequestIds::new().unwrap().next(),
        operation: Operation::GetObject,
        method: Method::GET,
        uri: target.parse::<Uri>().unwrap(),
        version: Version::HTTP_11,
        host: None,
        bucket_in_host: None,
        user_agent: None,
        referer: None,
        traceparent: None,
        tracestate: None,
        peer: Some(IpAddr::from([127, 0, 0, 1])),
    }
}

/// A GET of that target on that lane.
pub(crate) fn account(lane: usize, target: &str) -> Account {
    Account::new(lane, asked(target))
}

/// Its end, answered with that status, after so many microseconds.
pub(crate) fn ended(sink: &dyn Sink, account: &Account, status: u16, microseconds: u64) {
    account.answer(StatusCode::from_u16(status).unwrap());
    let took = Duration::from_micros(microseconds);
    sink.ended(&Record { account, ended: SystemTime::now(), took });
}
