//! Owns every bound of the load generator: buffers, counts, waits and what is shown.
//!
//! Not here: defaults of the command line (`cli.rs`), which are choices and not bounds.

use std::time::Duration;

/// Connections of one run, over all threads. Each costs a socket and about 2 KiB here.
pub(crate) const CONNECTIONS_MAX: usize = 16_384;

/// Threads of one run. One asks for about 90,000 objects of 4 KiB a second (nginx on loopback).
pub(crate) const THREADS_MAX: usize = 256;

/// HTTP/2 streams in flight on one connection.
pub(crate) const STREAMS_MAX: usize = 1_000;

/// Objects of one scenario. Sequential ranges keep 8 bytes for each: 512 MiB at the limit.
pub(crate) const OBJECTS_MAX: u64 = 64 << 20;

/// Weighted sizes in one `--size` list.
pub(crate) const SIZES_MAX: usize = 64;

/// URLs signed before the run and kept; each is about 400 bytes, 400 MiB at the limit.
pub(crate) const PRESIGNED_URLS_MAX: u64 = 1 << 20;

/// Seconds a presigned URL is good for: long enough for every run, and below S3's week.
pub(crate) const PRESIGNED_SECONDS: u64 = 24 * 3600;

/// Bytes of one read of a body that is looked at. Shared by the connections of a thread, so that it
/// stays in the second-level cache.
pub(crate) const READ_BYTES: usize = 256 << 10;

/// Bytes of the first read of a response whose body is only counted: its head and a small body in
/// one call, while little of a large body is copied.
pub(crate) const FIRST_READ_BYTES: usize = 16 << 10;

/// Bytes dropped in the kernel by one call when a body is only counted.
pub(crate) const DISCARD_BYTES: usize = 4 << 20;

/// Bytes of one write of an upload, and of one HTTP/2 data frame handed to hyper.
pub(crate) const WRITE_BYTES: usize = 256 << 10;

/// Bytes of a response's head; more is refused as malformed.
pub(crate) const RESPONSE_HEAD_BYTES_MAX: usize = 64 << 10;

/// Bytes of a chunk-size line of a chunked response, extensions included.
pub(crate) const CHUNK_LINE_BYTES_MAX: usize = 1 << 10;

/// Bytes kept of the body of an error answer, enough for the `<Code>` of S3's XML.
pub(crate) const ERROR_BODY_BYTES_MAX: usize = 4 << 10;

/// Bytes kept of an answer that is read as XML (multipart uploads).
pub(crate) const XML_BODY_BYTES_MAX: usize = 64 << 10;

/// Interim (1xx) responses accepted before the final one.
pub(crate) const INTERIM_RESPONSES_MAX: usize = 8;

/// Bytes of data in one chunk of an aws-chunked upload; the SDKs use 64 KiB to 1 MiB.
pub(crate) const AWS_CHUNK_BYTES: u64 = 64 << 10;

/// The most parts of a multipart upload (S3's limit).
pub(crate) const PARTS_MAX: u64 = 10_000;

/// HTTP/2 flow-control window of a stream and of a connection: no round trip at 1 GiB/s and 4 ms.
pub(crate) const HTTP2_STREAM_WINDOW_BYTES: u32 = 4 << 20;
/// See [`HTTP2_STREAM_WINDOW_BYTES`]; shared by the streams of a connection.
pub(crate) const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// Largest HTTP/2 data frame accepted.
pub(crate) const HTTP2_FRAME_BYTES: u32 = 256 << 10;

/// Wait for a connection to be accepted.
pub(crate) const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// Beyond the time of an operation: what one by RDMA gets to take its memory back from the server
/// before it is dropped. A fence may take 5 s, the end of a session 1 s more.
pub(crate) const RDMA_SETTLE_WAIT: Duration = Duration::from_secs(10);

/// For telling a server that a connection or session is over. The client library's own 1 s is too
/// short for a server that is loaded on purpose: what it is not told, it keeps for minutes.
pub(crate) const RDMA_DISCONNECT_WAIT: Duration = Duration::from_secs(5);

/// At the end of a run: what the RDMA connections of a thread get to be ended at the server too.
pub(crate) const RDMA_CLOSE_WAIT: Duration = Duration::from_secs(20);

/// Bytes of the object that a probe moves: several packets of every path MTU.
pub(crate) const PROBE_OBJECT_BYTES: usize = 64 << 10;

/// What the keys of a probe's objects start with.
pub(crate) const PROBE_PREFIX: &str = "penstock-rdma-probe/";

/// Bytes of one transfer by RDMA (both protocols): 2 GiB less 1.
pub(crate) const RDMA_TRANSFER_BYTES_MAX: u64 = rdma::limits::CLIENT_TRANSFER_BYTES_MAX;

/// First and longest pause of a worker that failed to connect; doubled each time. Without it a
/// closed loop against a dead server would spin.
pub(crate) const RECONNECT_PAUSE: Duration = Duration::from_millis(10);
/// See [`RECONNECT_PAUSE`].
pub(crate) const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Time that requests in flight get to finish after an interrupt.
pub(crate) const INTERRUPT_GRACE: Duration = Duration::from_millis(500);
/// The same for transfers by RDMA: one that is dropped midway leaves its connection at the server
/// for minutes, where it counts against the user's 64.
pub(crate) const RDMA_INTERRUPT_GRACE: Duration = Duration::from_secs(4);

/// Time that an answer already sent is waited for, when the server stopped reading an upload.
pub(crate) const EARLY_ANSWER_WAIT: Duration = Duration::from_secs(2);

/// An open-loop request that leaves this much after its time counts as sent late.
pub(crate) const LATE_AFTER: Duration = Duration::from_millis(1);

/// Distinct kinds of error counted; one more becomes "other".
pub(crate) const ERROR_KINDS_MAX: usize = 64;

/// Bytes kept of the first example of an error.
pub(crate) const ERROR_EXAMPLE_BYTES_MAX: usize = 400;

/// Keys that `verify` names when they are not as derived; the others are only counted.
pub(crate) const DAMAGED_KEYS_SHOWN_MAX: usize = 20;

/// Latencies above are recorded as this one.
pub(crate) const LATENCY_MAX: Duration = Duration::from_secs(3600);

/// Processes whose CPU is added up, children included.
pub(crate) const PROCESSES_MAX: usize = 65_536;

/// Endpoints and rounds of one comparison.
pub(crate) const ENDPOINTS_MAX: usize = 16;
/// See [`ENDPOINTS_MAX`].
pub(crate) const ROUNDS_MAX: usize = 1_000;

const _: () = assert!(FIRST_READ_BYTES <= READ_BYTES);
const _: () = assert!(ERROR_BODY_BYTES_MAX <= FIRST_READ_BYTES);
const _: () = assert!(HTTP2_STREAM_WINDOW_BYTES <= HTTP2_CONNECTION_WINDOW_BYTES);
const _: () = assert!(PRESIGNED_SECONDS <= 7 * 24 * 3600);
const _: () = assert!(THREADS_MAX <= CONNECTIONS_MAX);
