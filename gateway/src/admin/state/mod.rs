//! `/api/v1/state`: everything that the console, `penstock top` and `penstock status` show, as one
//! JSON document.
//!
//! Owns: the document. Rates and quantiles are over the last [`Rates::window_seconds`]; counts are
//! since the start. Times are seconds, sizes bytes, shares 0 to 1. Quantiles are absent without
//! observations. Additions may come; nothing is renamed or taken away within `v1`.

pub mod filling;
pub mod keeper;
pub mod machine;
pub mod requests;
pub mod snapshot;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The whole document.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The server's version.
    pub version: String,
    /// When this was true, in seconds since 1970.
    pub now: f64,
    /// Seconds since the start.
    pub uptime_seconds: f64,
    /// Whether it is ready, as `/readyz` says.
    pub ready: bool,
    /// Why not.
    pub reasons: Vec<String>,
    /// What an operator should look at though all is served well, such as certificates that cannot be
    /// read.
    pub warnings: Vec<String>,
    /// Whether it is about to stop.
    pub draining: bool,
    /// All requests together.
    pub rates: Rates,
    /// The last minutes, one point a second.
    pub history: History,
    /// Each operation that was ever asked for.
    pub operations: Vec<OperationState>,
    /// Where the time of requests goes.
    pub stages: Vec<StageState>,
    /// Which path moved responses' bytes.
    pub paths: Vec<PathState>,
    /// What processors copied.
    pub copied: Vec<CopiedState>,
    /// Each lane.
    pub lanes: Vec<LaneState>,
    /// Each device.
    pub devices: Vec<DeviceState>,
    /// Memory and cache.
    pub memory: MemoryState,
    /// Space.
    pub capacity: CapacityState,
    /// The commit thread.
    pub commit: CommitState,
    /// RDMA.
    pub rdma: RdmaState,
    /// The busiest buckets, busiest first.
    pub buckets: Vec<TenantState>,
    /// The busiest users.
    pub users: Vec<TenantState>,
    /// The busiest clients' addresses.
    pub clients: Vec<TenantState>,
    /// The last errors, newest first.
    pub errors: Vec<RequestState>,
    /// The slowest requests of the last minutes, slowest first.
    pub slow: Vec<RequestState>,
    /// What runs beside requests.
    pub background: Vec<BackgroundState>,
    /// Effective configuration, without secrets.
    pub configuration: Vec<SettingState>,
}

/// Somebody who can say all that.
pub trait StateSource: Send + Sync {
    /// How it is now.
    fn state(&self) -> State;
}

/// Rates over the window, and what is now.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Over how many seconds rates and quantiles are.
    pub window_seconds: f64,
    /// Requests a second.
    pub requests: f64,
    /// Answers of 5xx a second.
    pub server_errors: f64,
    /// Answers of 4xx a second.
    pub client_errors: f64,
    /// Bytes of request bodies, and of uploads by RDMA, a second.
    pub received_bytes: f64,
    /// Bytes of response bodies, and of downloads by RDMA, a second.
    pub sent_bytes: f64,
    /// Of these, by RDMA.
    pub rdma_bytes: f64,
    /// Half of requests took no longer.
    pub p50_seconds: Option<f64>,
    /// 99 of 100 requests took no longer.
    pub p99_seconds: Option<f64>,
    /// 99 of 100 answers had begun by then.
    pub first_byte_p99_seconds: Option<f64>,
    /// Requests in flight now.
    pub in_flight: u64,
    /// Connections now.
    pub connections: u64,
    /// Connections that may be.
    pub connections_limit: u64,
    /// Processor time of the process, in seconds a second.
    pub cpu: f64,
    /// Resident memory now.
    pub resident_bytes: u64,
}

/// The last minutes. Every list has one entry a point, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// Seconds between points.
    pub interval_seconds: f64,
    /// When the newest point was, in seconds since 1970.
    pub newest: f64,
    /// Requests a second.
    pub requests: Vec<f64>,
    /// Answers of 5xx a second.
    pub server_errors: Vec<f64>,
    /// Bytes in a second.
    pub received_bytes: Vec<f64>,
    /// Bytes out a second.
    pub sent_bytes: Vec<f64>,
    /// Bytes by RDMA, both ways, a second.
    pub rdma_bytes: Vec<f64>,
    /// Median of the duration, 0 without requests.
    pub p50_seconds: Vec<f64>,
    /// 99th percentile of the duration, 0 without requests.
    pub p99_seconds: Vec<f64>,
    /// Bytes that devices read a second.
    pub device_read_bytes: Vec<f64>,
    /// Bytes that devices wrote a second.
    pub device_written_bytes: Vec<f64>,
}

/// One operation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct OperationState {
    /// S3's name.
    pub operation: String,
    /// Requests a second.
    pub per_second: f64,
    /// Requests since the start.
    pub requests: u64,
    /// Of these, answered with 4xx and 5xx.
    pub errors: u64,
    /// In flight now.
    pub in_flight: u64,
    /// Median of the duration.
    pub p50_seconds: Option<f64>,
    /// 99th percentile of the duration.
    pub p99_seconds: Option<f64>,
}

/// One stage of one kind of requests.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StageState {
    /// `accept`, `parse`, `auth`, `receive`, `index`, `queue`, `device`, `verify`, `commit`, `send`.
    pub stage: String,
    /// `read`, `write`, `list`, `other`.
    pub group: String,
    /// Share of the time that requests of the kind took in the window.
    pub share: f64,
    /// Median.
    pub p50_seconds: Option<f64>,
    /// 99th percentile.
    pub p99_seconds: Option<f64>,
}

/// Bytes of responses by one path.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PathState {
    /// `cache`, `device`, `joined`, `record`, `document`.
    pub source: String,
    /// `socket`, `rdma`.
    pub delivery: String,
    /// Since the start.
    pub bytes: u64,
    /// A second.
    pub per_second: f64,
}

/// Bytes that a processor copied.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CopiedState {
    /// Where.
    pub path: String,
    /// Since the start.
    pub bytes: u64,
    /// A second.
    pub per_second: f64,
}

/// One lane.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LaneState {
    /// Which, from 0.
    pub lane: u64,
    /// Share of time that it was busy.
    pub busy: f64,
    /// Requests a second.
    pub requests: f64,
    /// Wake-ups a second.
    pub wakeups: f64,
    /// Operations given to its ring a second.
    pub submissions: f64,
    /// Connections now.
    pub connections: u64,
}

/// One device.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DeviceState {
    /// Its path.
    pub device: String,
    /// `ok`, `suspect`, `failed`.
    pub state: String,
    /// Reads a second.
    pub reads: f64,
    /// Writes a second.
    pub writes: f64,
    /// Bytes read a second.
    pub read_bytes: f64,
    /// Bytes written a second.
    pub written_bytes: f64,
    /// 99th percentile of reads' time.
    pub read_p99_seconds: Option<f64>,
    /// 99th percentile of writes' time.
    pub write_p99_seconds: Option<f64>,
    /// Operations in flight now.
    pub in_flight: u64,
    /// Operations that failed since the start, blocks of a wrong checksum included.
    pub errors: u64,
    /// Share of its rated writes used, where the drive says.
    pub wear: Option<f64>,
}

/// Memory and cache.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MemoryState {
    /// Size of the arena.
    pub arena_bytes: u64,
    /// Bytes of it in no frame.
    pub arena_free_bytes: u64,
    /// Bytes of frames cached.
    pub cache_bytes: u64,
    /// Share of blocks found in memory in the window; absent without lookups.
    pub cache_hit_ratio: Option<f64>,
    /// Blocks evicted a second.
    pub evictions: f64,
    /// What readers have reserved.
    pub read_reserved_bytes: u64,
    /// What they may reserve.
    pub read_share_bytes: u64,
    /// What writers have reserved.
    pub write_reserved_bytes: u64,
    /// What they may reserve.
    pub write_share_bytes: u64,
    /// Requests that wait for memory now.
    pub waiting: u64,
}

/// Space.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CapacityState {
    /// For extents.
    pub bytes: u64,
    /// In no extent.
    pub free_bytes: u64,
    /// The largest extent that could be made.
    pub longest_free_run_bytes: u64,
    /// Used by the index.
    pub index_bytes: u64,
    /// What it may use.
    pub index_limit_bytes: u64,
    /// Seconds until it is full, were it to fill as in the last minutes; absent while it does not.
    pub full_in_seconds: Option<f64>,
    /// Whether a fault has stopped all writing.
    pub read_only: bool,
}

/// The commit thread.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CommitState {
    /// Mutations that wait.
    pub queued: u64,
    /// Mutations a second.
    pub mutations: f64,
    /// Mutations a transaction, on average; absent without one.
    pub batch: Option<f64>,
    /// 99th percentile of a mutation's time.
    pub p99_seconds: Option<f64>,
}

/// RDMA.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RdmaState {
    /// Whether objects' bytes may go by RDMA.
    pub enabled: bool,
    /// Whether the device works; absent without one.
    pub up: Option<bool>,
    /// Name of the device; absent without one.
    pub device: Option<String>,
    /// Sessions and pooled connections now.
    pub peers: u64,
    /// Transfers a second.
    pub transfers: f64,
    /// Bytes a second, both ways.
    pub bytes: f64,
    /// Requests declined since the start, by reason; only those that there were.
    pub declines: BTreeMap<String, u64>,
}

/// A bucket, a user or a client's address.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TenantState {
    /// Its name; `other` stands for all that are not listed.
    pub name: String,
    /// Requests a second.
    pub requests: f64,
    /// Errors a second.
    pub errors: f64,
    /// Bytes in a second.
    pub received_bytes: f64,
    /// Bytes out a second.
    pub sent_bytes: f64,
}

/// One request that has ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RequestState {
    /// When it ended, in seconds since 1970.
    pub time: f64,
    /// `x-amz-request-id`.
    pub id: String,
    /// S3's name of the operation.
    pub operation: String,
    /// HTTP status; 0 when the client went before there was one.
    pub status: u16,
    /// S3's code, of errors.
    pub code: Option<String>,
    /// Bucket.
    pub bucket: Option<String>,
    /// Key, percent-encoded as it was sent.
    pub key: Option<String>,
    /// Access key.
    pub user: Option<String>,
    /// Address.
    pub client: Option<String>,
    /// How long it took.
    pub seconds: f64,
    /// When its answer began.
    pub first_byte_seconds: Option<f64>,
    /// Bytes in.
    pub received_bytes: u64,
    /// Bytes out.
    pub sent_bytes: u64,
    /// How long its stages took; only those that it came to.
    pub stages: BTreeMap<String, f64>,
    /// Bytes by source; only those that there were.
    pub sources: BTreeMap<String, u64>,
    /// `socket` or `rdma`.
    pub delivery: String,
    /// Trace id, if it has one.
    pub trace: Option<String>,
}

/// Something that runs beside requests.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BackgroundState {
    /// Which.
    pub job: String,
    /// What it does.
    pub about: String,
    /// Whether it has work to do.
    pub pending: bool,
    /// Items done since the start.
    pub items: u64,
    /// Items a second.
    pub per_second: f64,
}

/// One setting.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SettingState {
    /// The key in the configuration.
    pub name: String,
    /// Its value; `(hidden)` where it must not be shown.
    pub value: String,
    /// Where it comes from: `default`, `file`, `environment`, `flag`.
    pub source: String,
}
