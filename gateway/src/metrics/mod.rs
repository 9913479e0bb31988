//! What the gateway counts.
//!
//! Owns: the table of metrics (name, help, kind), the bounded labels as enums, and the cells each
//! lane counts in.
//! A lane is the only writer of its cells, so counting is a load and a store on a line that no
//! other lane writes, about 1 ns; they are added up when somebody asks.
//! Not here: the exposition (`export.rs`), the process's own figures (`process.rs`).

pub mod export;
pub mod process;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use export::{Exporter, Figure, Figures};

/// How a metric's values relate over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows while the process lives.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by upper bound, with sum and count.
    Histogram,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Name with its unit, as Prometheus wants it.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// Label names, all of them bounded by enums.
    pub labels: &'static [&'static str],
}

macro_rules! metrics {
    ($($constant:ident: $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(#[doc = $help]
        pub const $constant: Metric =
            Metric { name: $name, help: $help, kind: Kind::$kind, labels: &[$($label),*] };)*
        /// All metrics of the gateway.
        pub const METRICS: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    BUILD: Gauge "penstock_build_info" ["version"] "Always 1; the label is the version.";
    LANES: Gauge "penstock_lanes" ["engine"] "Lanes that serve, by their IO engine.";
    DRAINING: Gauge "penstock_draining" [] "1 from the signal to stop until the end.";
    REQUESTS: Counter "penstock_requests_total" ["operation", "status"]
        "Requests answered, by S3 operation and class of HTTP status.";
    DURATION: Histogram "penstock_request_duration_seconds" ["operation"]
        "From the complete head of a request to the last byte of its response handed to TCP.";
    IN_FLIGHT: Gauge "penstock_requests_in_flight" [] "Requests between head and end of response.";
    RECEIVED: Counter "penstock_received_body_bytes_total" [] "Bytes of request bodies received.";
    SENT: Counter "penstock_sent_body_bytes_total" [] "Bytes of response bodies handed to TCP.";
    ABORTED: Counter "penstock_responses_aborted_total" []
        "Responses whose body ended early, by the client's going or by a failed read.";
    ACCEPTED: Counter "penstock_connections_accepted_total" ["protocol"]
        "Connections that spoke the protocol.";
    OPEN: Gauge "penstock_connections" [] "Connections open now.";
    LIMIT: Gauge "penstock_connections_limit" [] "Connections allowed at a time.";
    REFUSED: Counter "penstock_refused_total" ["reason"]
        "Connections and requests ended by a limit or a fault, before or beside S3's own answers.";
}

macro_rules! labels {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $label:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(usize)]
        pub enum $name { $($(#[$variant_doc])* $variant),* }

        impl $name {
            /// All values, in order.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// The value of the label.
            pub fn label(self) -> &'static str {
                match self { $($name::$variant => $label),* }
            }
        }
    };
}

labels! {
    /// S3's operations as far as they are told apart in metrics, and the requests of RDMA's control path.
    Operation {
        /// `GET /`
        ListBuckets = "ListBuckets",
        /// `PUT /bucket`
        CreateBucket = "CreateBucket",
        /// `HEAD /bucket`
        HeadBucket = "HeadBucket",
        /// `DELETE /bucket`
        DeleteBucket = "DeleteBucket",
        /// `GET /bucket?location`
        GetBucketLocation = "GetBucketLocation",
        /// `GET /bucket`
        ListObjects = "ListObjects",
        /// `GET /bucket?list-type=2`
        ListObjectsV2 = "ListObjectsV2",
        /// `GET /bucket?uploads`
        ListMultipartUploads = "ListMultipartUploads",
        /// `POST /bucket?delete`
        DeleteObjects = "DeleteObjects",
        /// `GET /bucket/key`
        GetObject = "GetObject",
        /// `HEAD /bucket/key`
        HeadObject = "HeadObject",
        /// `PUT /bucket/key`
        PutObject = "PutObject",
        /// `PUT /bucket/key` with `x-amz-copy-source`
        CopyObject = "CopyObject",
        /// `DELETE /bucket/key`
        DeleteObject = "DeleteObject",
        /// `POST /bucket/key?uploads`
        CreateMultipartUpload = "CreateMultipartUpload",
        /// `PUT /bucket/key?partNumber&uploadId`
        UploadPart = "UploadPart",
        /// The same with `x-amz-copy-source`
        UploadPartCopy = "UploadPartCopy",
        /// `POST /bucket/key?uploadId`
        CompleteMultipartUpload = "CompleteMultipartUpload",
        /// `DELETE /bucket/key?uploadId`
        AbortMultipartUpload = "AbortMultipartUpload",
        /// `GET /bucket/key?uploadId`
        ListParts = "ListParts",
        /// `POST /.hipobj-rc/prepare`
        RdmaPrepare = "RdmaPrepare",
        /// `POST /.hipobj-rc/ready`
        RdmaReady = "RdmaReady",
        /// `POST /.hipobj-rc/cancel`
        RdmaCancel = "RdmaCancel",
        /// `POST /.s3rdma-rc/connect`
        RdmaConnect = "RdmaConnect",
        /// `POST /.s3rdma-rc/disconnect`
        RdmaDisconnect = "RdmaDisconnect",
        /// `GET /.s3rdma-rc/capabilities`
        RdmaCapabilities = "RdmaCapabilities",
        /// Anything else
        Other = "Other",
    }
}

labels! {
    /// Classes of HTTP status.
    StatusClass {
        /// 1xx, which only a defect could count here
        Informational = "1xx",
        /// 2xx
        Success = "2xx",
        /// 3xx
        Redirect = "3xx",
        /// 4xx
        ClientError = "4xx",
        /// 5xx
        ServerError = "5xx",
    }
}

impl StatusClass {
    /// The class of a status.
    pub fn of(status: http::StatusCode) -> StatusClass {
        match status.as_u16() / 100 {
            1 => StatusClass::Informational,
            2 => StatusClass::Success,
            3 => StatusClass::Redirect,
            4 => StatusClass::ClientError,
            _ => StatusClass::ServerError,
        }
    }
}

labels! {
    /// Why a connection or a request was ended by a limit or a fault.
    Refusal {
        /// Over the limit on connections
        Connections = "connections",
        /// Accepting failed for want of descriptors or memory
        Accept = "accept",
        /// The head did not arrive in time
        HeaderTime = "header_time",
        /// No request for too long
        IdleTime = "idle_time",
        /// The body did not arrive in time
        BodyTime = "body_time",
        /// The client took nothing of its response for too long
        SendStall = "send_stall",
        /// Not HTTP, or a head over its limits
        Protocol = "protocol",
        /// Refused by the door before verification: method, host, target
        Request = "request",
        /// Refused by verification or by the plan of the body
        Verification = "verification",
        /// Cut off at the drain deadline
        Drain = "drain",
        /// A defect: the request's handler panicked
        Panic = "panic",
    }
}

/// Which protocol a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0 and 1.1.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
}

/// Upper bounds of the duration histogram, in microseconds: from a hot 4 KiB read (tens of
/// microseconds) over a flush (milliseconds) to a large transfer.
pub const DURATION_BOUNDS_US: [u64; 16] = [
    50,
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    1_000_000,
    5_000_000,
    30_000_000,
    300_000_000,
];

/// One count with a single writer.
#[derive(Debug, Default)]
pub struct Cell(AtomicU64);

impl Cell {
    /// Adds. Only the owning lane may call this: it is a load and a store, not an atomic addition.
    pub fn add(&self, amount: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
    }

    /// The present value, from any thread.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one lane counts. Aligned so that two lanes never share a cache line (128 bytes: pairs of
/// lines are fetched together).
#[derive(Debug)]
#[repr(align(128))]
pub struct LaneCells {
    requests: [[Cell; StatusClass::ALL.len()]; Operation::ALL.len()],
    durations: [[Cell; DURATION_BOUNDS_US.len() + 1]; Operation::ALL.len()],
    duration_sums_us: [Cell; Operation::ALL.len()],
    started: Cell,
    /// Bytes of request bodies.
    pub received: Cell,
    /// Bytes of response bodies.
    pub sent: Cell,
    /// Responses that ended early.
    pub aborted: Cell,
    accepted: [Cell; 2],
    opened: Cell,
    closed: Cell,
    refused: [Cell; Refusal::ALL.len()],
}

impl Default for LaneCells {
    fn default() -> Self {
        LaneCells {
            requests: std::array::from_fn(|_| Default::default()),
            durations: std::array::from_fn(|_| Default::default()),
            duration_sums_us: Default::default(),
            started: Cell::default(),
            received: Cell::default(),
            sent: Cell::default(),
            aborted: Cell::default(),
            accepted: Default::default(),
            opened: Cell::default(),
            closed: Cell::default(),
            refused: Default::default(),
        }
    }
}

impl LaneCells {
    /// A request's head is complete.
    pub fn request_started(&self) {
        self.started.add(1);
    }

    /// A request's response has ended, in whatever way.
    pub fn request_ended(&self, operation: Operation, class: StatusClass, took: Duration) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = DURATION_BOUNDS_US.partition_point(|bound| *bound < took_us);
        self.requests[operation as usize][class as usize].add(1);
        self.durations[operation as usize][bucket].add(1);
        self.duration_sums_us[operation as usize].add(took_us);
    }

    /// A connection is open.
    pub fn connection_opened(&self) {
        self.opened.add(1);
    }

    /// A connection has spoken.
    pub fn connection_spoke(&self, protocol: Protocol) {
        self.accepted[protocol as usize].add(1);
    }

    /// A connection is closed.
    pub fn connection_closed(&self) {
        self.closed.add(1);
    }

    /// A limit or a fault ended something.
    pub fn refused(&self, reason: Refusal) {
        self.refused[reason as usize].add(1);
    }

    /// How often that was.
    pub fn refusals(&self, reason: Refusal) -> u64 {
        self.refused[reason as usize].value()
    }

    /// Requests answered for that operation with that class of status.
    pub fn answered(&self, operation: Operation, class: StatusClass) -> u64 {
        self.requests[operation as usize][class as usize].value()
    }

    /// Requests between head and end of response.
    pub fn in_flight(&self) -> u64 {
        let ended: u64 = self.requests.iter().flatten().map(Cell::value).sum();
        self.started.value().saturating_sub(ended)
    }

    /// Connections open now.
    pub fn open(&self) -> u64 {
        self.opened.value().saturating_sub(self.closed.value())
    }
}
