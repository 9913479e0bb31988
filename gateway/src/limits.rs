//! Every bound of the gateway that belongs to connections, requests, configuration and administration.
//!
//! Owns: the numbers, each with its reason. What an operator may change has a key in
//! `config/keys.rs`, and the number here is its default or its range.
//! Not here: the store's bounds (`datapath/src/limits.rs`).

use std::time::Duration;

// ----- memory that connections may take -------------------------------------------------------

/// Bytes of one HTTP/1.1 read buffer at most, and of a response head that waits to be written.
///
/// hyper starts at 8 KiB and grows while reads fill the buffer, so an idle connection holds 8 KiB
/// and only an upload reaches this. 64 KiB a read is 16 system calls a MiB, about 2 % of the cost
/// of receiving that MiB; twice the size would halve those 2 % and double every connection's share.
pub const HTTP1_BUFFER_BYTES_MAX: usize = 64 << 10;

/// Bytes that one connection is accounted with in the memory plan: its read buffer, 8 KiB of head
/// and queue, and 8 KiB for the task, the request's headers and the two timers.
pub const CONNECTION_BYTES: u64 = HTTP1_BUFFER_BYTES_MAX as u64 + (16 << 10);

/// How many connections of [`CONNECTION_BYTES`] one HTTP/2 connection counts for.
pub const HTTP2_CONNECTION_WEIGHT: usize = 10;

/// Bytes that a client may send on one HTTP/2 connection before they are consumed. They are held
/// in memory until a handler takes them, so this is memory, not only flow.
pub const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 256 << 10;

/// Bytes that a client may send on one HTTP/2 stream before they are consumed: two streams can
/// fill the connection's window, one cannot starve the other.
pub const HTTP2_STREAM_WINDOW_BYTES: u32 = 128 << 10;

/// Concurrent requests on one HTTP/2 connection. Clients queue what is over it.
pub const HTTP2_STREAMS_MAX: u32 = 32;

/// Bytes of response data queued per HTTP/2 stream before the handler is asked for no more.
pub const HTTP2_SEND_BUFFER_BYTES: usize = 64 << 10;

/// The largest piece of response data handed to HTTP/2 at once. A stream's progress is seen only
/// when it asks for the next piece; at the slowest rate that is served (1 KiB/s) a piece takes
/// 64 s, well under [`SEND_STALL_DEFAULT`].
pub const HTTP2_PIECE_BYTES: usize = 64 << 10;

/// Streams a client may reset before the server has handed them to a handler ("rapid reset",
/// CVE-2023-44487). hyper's own default, stated so that an update cannot change it.
pub const HTTP2_PENDING_RESETS_MAX: usize = 20;

/// Streams that the server resets for the client's errors before it ends the connection
/// ("MadeYouReset", CVE-2025-8671).
pub const HTTP2_ERROR_RESETS_MAX: usize = 64;

/// Pieces of a response's body that are written together; the store gives blocks of 64 KiB.
///
/// A client that stops reading holds as many, of memory that its stream has reserved.
pub const BATCH_PIECES_MAX: usize = 4;

// ----- heads of requests ----------------------------------------------------------------------

/// Bytes of a request's head: request line and all headers (HTTP/2: the decoded header list).
///
/// Amazon S3 accepts 8 KiB of headers, of which 2 KiB user metadata; a presigned request line
/// adds up to 3 KiB of percent-encoded key and a session token of a few KiB.
pub const HEAD_BYTES_MAX: usize = 16 << 10;

/// Headers in one request. S3's user metadata is 2 KiB in all, which one-letter names could spread
/// over many; SDKs send 10 to 25.
pub const HEADERS_MAX: usize = 100;

/// Bytes of the request target: a key of 1,024 bytes is 3 KiB when every byte is percent-encoded,
/// and a presigned query with a session token is up to 8 KiB.
pub const TARGET_BYTES_MAX: usize = 12 << 10;

/// Bytes of one request identifier as shown: 16 upper-case hexadecimal digits, as S3's are.
pub const REQUEST_ID_CHARS: usize = 16;

// ----- times ----------------------------------------------------------------------------------

/// From the first byte of a request's head (or from the accept) to its last.
pub const HEADER_TIME_DEFAULT: Duration = Duration::from_secs(20);

/// A connection without a request. Longer than the SDKs' pools keep theirs idle (boto3 and the Go
/// SDK 90 s or less), so that the client closes first and never sends into a closing connection.
pub const IDLE_TIME_DEFAULT: Duration = Duration::from_secs(120);

/// Time spent waiting for the client, within which [`BODY_BYTES_DEFAULT`] must arrive.
pub const BODY_WINDOW_DEFAULT: Duration = Duration::from_secs(30);

/// Bytes of request body per [`BODY_WINDOW_DEFAULT`]: 1 KiB/s over 30 s. Slower than any modem,
/// and fast enough that an upload holds its buffers for a bounded time.
pub const BODY_BYTES_DEFAULT: u64 = 30 << 10;

/// A client that takes nothing of a response for so long is closed. A client that reads 1 KiB/s
/// opens its window by one loopback segment (64 KiB) every 64 s, so it is safe by a factor of 2.8.
pub const SEND_STALL_DEFAULT: Duration = Duration::from_secs(180);

/// From the signal to stop until requests still running are cut off.
pub const DRAIN_DEADLINE_DEFAULT: Duration = Duration::from_secs(30);

/// The longest time any of the configurable durations may state: a day. Beyond it a typing error
/// is likelier than an intention.
pub const CONFIGURED_TIME_MAX: Duration = Duration::from_secs(86_400);

/// How often a lane looks at its connections' times. Every configured time is kept to this much.
pub const SWEEP_PERIOD: Duration = Duration::from_millis(250);

/// After the last response, how long the server reads what the client still sends, so that the
/// response is not lost to a TCP reset (RFC 9112, 9.6).
pub const LINGER_TIME: Duration = Duration::from_secs(2);

/// Bytes discarded while lingering. More than a socket buffer holds by default; a client that
/// sends more has not looked at its response.
pub const LINGER_BYTES_MAX: u64 = 4 << 20;

/// An unread request body up to this size is read before the refusal is sent, so that the
/// connection lives on: cheaper than a new connection for the small requests that are refused often.
pub const REFUSED_BODY_DRAIN_BYTES: u64 = 64 << 10;

/// How long the reading of [`REFUSED_BODY_DRAIN_BYTES`] may hold up the refusal.
pub const REFUSED_BODY_DRAIN_TIME: Duration = Duration::from_millis(500);

/// How long a connection on which nothing has come has to bring its request once the drain has begun: its client may
/// have sent it before it could know, and losing it to a reset looks like a failure. A round trip between continents.
pub const DRAIN_GRACE_TIME: Duration = Duration::from_millis(200);

/// After the drain deadline has cut connections off, how long their tasks have to end.
pub const CUT_OFF_TIME: Duration = Duration::from_secs(5);

// ----- TLS -------------------------------------------------------------------------------------

/// How many connections of [`CONNECTION_BYTES`] one under TLS counts for: what is read ahead and what
/// waits to be sent, encrypted (64 KiB, rustls's own bound), come on top.
pub const TLS_CONNECTION_WEIGHT: usize = 2;

/// Bytes read from a socket at once for TLS: two records of 16 KiB, with which an upload takes a system
/// call for each 32 KiB.
pub const TLS_READ_BYTES: usize = 32 << 10;

/// Bytes of one record with its protection, at most (RFC 8446, 5.2; RFC 5246 allows 2 KiB of it).
pub const TLS_RECORD_BYTES_MAX: usize = (16 << 10) + 2048;

/// Bytes of a client's flight that are read before its handshake goes on: rustls takes messages of up
/// to 64 KiB, which come in records of their own.
pub const TLS_HELLO_BYTES_MAX: usize = 128 << 10;

/// Records that the kernel may send with one key: half of the 2^24 full ones up to which AES-GCM is
/// safe by a margin of 2^-60 (RFC 8446, 5.5); 128 GiB on one connection.
pub const KTLS_RECORDS_MAX: u64 = 1 << 23;

/// TLS handshakes that may be configured to run at a time. Each holds a descriptor and some 30 KiB.
pub const TLS_HANDSHAKES_MAX: usize = 1 << 16;

/// Certificates of virtual hosts.
pub const TLS_CERTIFICATES_MAX: usize = 1000;

/// Rows of `tls.client_users`; each handshake with a certificate looks through them.
pub const TLS_CLIENT_USERS_MAX: usize = 1000;

/// How long a self-signed certificate is valid: as long as browsers take one at most, 398 days.
pub const SELF_SIGNED_TIME: Duration = Duration::from_secs(397 * 86_400);

/// How long before its making it is valid already: clocks differ.
pub const SELF_SIGNED_SKEW: Duration = Duration::from_secs(3600);

// ----- listeners ------------------------------------------------------------------------------

/// Connections the kernel holds for a listener before they are accepted; the kernel lowers it to
/// `net.core.somaxconn` (4,096 on current kernels).
pub const BACKLOG: i32 = 4096;

/// Connections taken from one listener before the lane's other tasks get their turn.
pub const ACCEPTS_PER_TURN: usize = 64;

/// Pause after an accept failed for want of descriptors or memory. The connection stays in the
/// kernel's queue, so an immediate retry would spin.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Addresses to listen on.
pub const LISTEN_ADDRESSES_MAX: usize = 16;

/// Threads that a lane's runtime keeps for work that may wait: reading listings, as many as there are turns at that in
/// the whole process, and registering and giving back the memory of large RDMA uploads, 50 ms a GiB.
pub const HELPER_THREADS_MAX: usize = crate::s3::limits::LISTINGS_READ_AT_ONCE + 4;

/// Lanes of one process; machines with more cores run several processes.
pub const LANES_MAX: usize = 512;

/// Connections of one process at most, whatever is configured: 16 times what the default asks for
/// on a large machine.
pub const CONNECTIONS_MAX: usize = 1 << 18;

/// Connections when nothing is configured, at most.
pub const CONNECTIONS_DEFAULT_MAX: u64 = 16_384;

/// Connections when nothing is configured, at least.
pub const CONNECTIONS_DEFAULT_MIN: u64 = 64;

/// The default number of connections takes this share of the memory budget.
pub const CONNECTIONS_MEMORY_DIVISOR: u64 = 4;

/// File descriptors kept for devices, index, rings, listeners and administration when the limit on
/// descriptors is compared with the limit on connections.
pub const DESCRIPTORS_RESERVED: u64 = 256;

// ----- configuration --------------------------------------------------------------------------

/// Bytes of a configuration file.
pub const CONFIGURATION_FILE_BYTES_MAX: u64 = 1 << 20;

/// The memory budget when nothing is configured, at most.
pub const MEMORY_DEFAULT_MAX: u64 = 8 << 30;

/// The default memory budget is this share of the machine's (or control group's) memory.
pub const MEMORY_DEFAULT_DIVISOR: u64 = 4;

/// The smallest memory budget with which the store's reserves and one lane fit.
pub const MEMORY_MIN: u64 = 64 << 20;

/// The smallest extent file that is worth formatting.
pub const EXTENT_FILE_BYTES_MIN: u64 = 64 << 20;

/// The smallest address space for the index.
pub const INDEX_MAP_BYTES_MIN: u64 = 16 << 20;

/// The largest address space for the index: a quarter of what 47 bits can address.
pub const INDEX_MAP_BYTES_MAX: u64 = 32 << 40;

/// Devices in one store.
pub const DEVICES_MAX: usize = 64;

/// Domains for virtual-host addressing.
pub const DOMAINS_MAX: usize = 16;

/// Buckets listed as publicly readable in the configuration.
pub const PUBLIC_READ_MAX: usize = 1000;

// ----- credentials ----------------------------------------------------------------------------

/// Access keys in one credentials file.
pub const ACCESS_KEYS_MAX: usize = 10_000;

/// Accounts, users and roles in one credentials file.
pub const PRINCIPALS_MAX: usize = 10_000;

/// Access keys that the message at start lists.
pub const KEYS_SHOWN_MAX: usize = 20;

/// Access keys of one user (AWS: 2, which leaves none for a third machine while one is exchanged).
pub const ACCESS_KEYS_PER_USER_MAX: usize = 10;

/// Policies of one user or role.
pub const POLICIES_PER_PRINCIPAL_MAX: usize = 10;

/// Tags of one user, role or session (AWS: 50).
pub const PRINCIPAL_TAGS_MAX: usize = 50;

/// Bytes of a credentials file, or of a file of users: 10,000 users with a policy of 1 KiB each.
pub const CREDENTIALS_FILE_BYTES_MAX: u64 = 16 << 20;

/// Bytes of the body of a request of IAM or STS (AWS: policies of at most 10,240 characters, each of
/// which takes up to three bytes in a form).
pub const QUERY_BODY_BYTES_MAX: usize = 64 << 10;

/// Requests of IAM and STS at a time on one lane; more are told to come back.
pub const QUERY_REQUESTS_MAX: usize = 32;

/// Seconds of a session of S3 Express (AWS: 5 minutes).
pub const EXPRESS_SESSION_SECONDS: i64 = 300;

/// Bytes of a session token: claims, session policy and tags, in base 64.
pub const SESSION_TOKEN_BYTES_MAX: usize = 8 << 10;

/// Sessions whose tokens a lane keeps opened.
pub const SESSIONS_KEPT_MAX: usize = 256;

/// Seconds after which sessions are sealed with a new key.
pub const SEAL_ROTATION_SECONDS: u64 = 7 * 24 * 3_600;

/// Seconds of the longest session (AWS: 36 hours, of GetSessionToken): how long an old key still opens.
pub const SESSION_SECONDS_MAX: u64 = 36 * 3_600;

/// Characters of an access key id: AWS documents 16 to 128.
pub const ACCESS_KEY_CHARS_MAX: usize = 128;

/// Fewest characters of an access key id that is taken over from outside.
pub const ACCESS_KEY_CHARS_MIN: usize = 3;

/// Characters of a secret that is taken over from outside, at least. MinIO's and others' minimum.
pub const SECRET_CHARS_MIN: usize = 8;

/// Characters of a secret, at most.
pub const SECRET_CHARS_MAX: usize = 128;

/// How often the running server looks whether the credentials file has changed.
pub const CREDENTIALS_POLL: Duration = Duration::from_secs(2);

// ----- administration -------------------------------------------------------------------------

/// Niceness of the thread that administers: a tenth of the time of a core that a lane needs whole
/// (`sched(7)`: each step is a factor of 1.25). Ten times 10 ms for a scrape of 50,000 series is well
/// under Prometheus's time limit of 10 s, and `/healthz` answers where lanes fill every core.
pub const ADMIN_NICENESS: i32 = 10;

/// Concurrent connections to the administration address. Scrapers and probes are few.
pub const ADMIN_CONNECTIONS_MAX: usize = 32;

/// From accept to the complete head of an administration request, and its idle time.
pub const ADMIN_HEADER_TIME: Duration = Duration::from_secs(10);

/// Bytes of the exposition that are written at once, and then handed to the connection: some 700
/// series in 150 µs, after which others on this thread, and lanes on its core, have their turn.
pub const EXPOSITION_PIECE_BYTES: usize = 64 << 10;

/// Room for what a piece is over that size by: it ends with a whole series, and a histogram with
/// traces is the longest.
pub const EXPOSITION_PART_BYTES: usize = 8 << 10;

/// Bytes of buffer of an administration connection.
pub const ADMIN_BUFFER_BYTES: usize = 16 << 10;

/// Administration commands that wait for lane 0.
pub const ADMIN_COMMANDS_MAX: usize = 16;

/// How long an administration command may take, and how long the command line waits for it.
pub const ADMIN_COMMAND_TIME: Duration = Duration::from_secs(10);

/// Bytes of an administration response that the command line reads: 50,000 series of metrics are
/// 10 MiB of text.
pub const ADMIN_RESPONSE_BYTES_MAX: u64 = 64 << 20;

/// Addresses of one host that the command line tries to connect to.
pub const ADMIN_ADDRESSES_TRIED: usize = 4;

// ----- the command line's view of a running server ---------------------------------------------

/// Lines of the log that are kept in memory. At level `info` a quiet server logs tens a day.
pub const RECENT_LOG_LINES_MAX: usize = 1000;

/// How often `penstock top` may ask: a document takes the server under a millisecond of its main
/// thread.
pub const TOP_INTERVAL_MIN: Duration = Duration::from_millis(200);

/// The longest time between two looks that can still be called live.
pub const TOP_INTERVAL_MAX: Duration = Duration::from_secs(3600);

/// How long `penstock top` waits for a key before it looks whether anything has come: short enough
/// that the age of the last answer is right to the tenth of a second.
pub const TOP_KEY_WAIT: Duration = Duration::from_millis(100);

/// Columns and rows that `penstock top --once` can be asked for, at least: the frame and one row.
pub const TOP_SIDE_MIN: u16 = 4;

/// The same, at most.
pub const TOP_SIDE_MAX: u16 = 1000;

/// Bytes of one file of the kernel in a support bundle: `/proc/cpuinfo` of 512 processors is 800 KiB.
pub const BUNDLE_FILE_BYTES_MAX: u64 = 4 << 20;

/// Entries of one folder that a support bundle looks at: devices, threads, files of the store.
pub const BUNDLE_ENTRIES_MAX: usize = 4096;

/// Bytes of one kept line; with [`RECENT_LOG_LINES_MAX`] they are 1 MiB at most.
pub const RECENT_LOG_LINE_BYTES_MAX: usize = 1000;

/// Characters of a token of `admin.token_file`, at least: 128 bits in hexadecimal digits, which
/// nobody finds by trying.
pub const ADMIN_TOKEN_CHARS_MIN: usize = 32;

/// The same, at most; a head of [`ADMIN_BUFFER_BYTES`] has room for it.
pub const ADMIN_TOKEN_CHARS_MAX: usize = 512;

/// Tokens in `admin.token_file`. Each answer compares all.
pub const ADMIN_TOKENS_MAX: usize = 64;

/// How often the running server looks whether files of tokens and certificates have changed.
pub const ADMIN_FILES_POLL: Duration = Duration::from_secs(10);

/// How long one connection to the administration address may last: a place of
/// [`ADMIN_CONNECTIONS_MAX`] comes free of whoever takes nothing of an answer. Scrapers and browsers
/// connect anew; the answer that runs then has [`ADMIN_COMMAND_TIME`] more.
pub const ADMIN_CONNECTION_TIME: Duration = Duration::from_secs(300);

// ----- RDMA -----------------------------------------------------------------------------------

/// Memory for uploads that clients write: a share of the memory budget when nothing is configured.
pub const RDMA_STAGING_DEFAULT_DIVISOR: u64 = 16;

/// The same, at most. Uploads over it go by HTTP, or over a pooled connection, which needs none.
pub const RDMA_STAGING_DEFAULT_MAX: u64 = 256 << 20;

/// The smallest that is useful: one part of a multipart upload has 5 MiB at least, and most have
/// 8 MiB. A sixteenth of [`MEMORY_MIN`] is 4 MiB.
pub const RDMA_STAGING_BYTES_MIN: u64 = 4 << 20;

/// The largest: more than anybody has in one network card's locked memory.
pub const RDMA_STAGING_BYTES_MAX: u64 = 1 << 40;

/// Of the memory budget at least this share is left: the store cannot work with less.
pub const RDMA_STAGING_DIVISOR_MIN: u64 = 2;

/// Sessions, and pooled connections, that may be configured. Each has a queue pair, of which
/// network cards have 2^17 and more, and soft-RoCE 2^20.
pub const RDMA_SESSIONS_MAX: usize = 1 << 16;

/// Transfers that wait for another lane's turn. A lane takes them between two completions, in
/// microseconds; a queue of this length means that it is stuck, and that clients should go elsewhere.
pub const RDMA_MAILBOX_JOBS_MAX: usize = 256;

/// Transfers that one lane carries out at a time. Each is at most 16 KiB of head, tasks and
/// futures: 16 MiB a lane when all are busy.
pub const RDMA_JOBS_AT_ONCE: usize = 1024;

/// How long a lane that has nothing to do any more waits for those that still send it transfers,
/// beyond the drain's deadline.
pub const RDMA_FAREWELL_TIME: Duration = Duration::from_secs(6);

// ----- what drives say of themselves ----------------------------------------------------------

/// How often the kernel is asked for drives' temperatures: one read of a file each.
pub const DRIVE_LOOK: Duration = Duration::from_secs(30);

/// How often `smartctl` is run for each drive. Wear changes over months; each run is a few commands
/// that the drive answers beside its work.
pub const DRIVE_SMART_PERIOD: Duration = Duration::from_secs(600);

/// How long one run may take. Drives answer in milliseconds; one that hangs never does.
pub const DRIVE_SMART_TIME: Duration = Duration::from_secs(10);

/// Bytes of its output that are read; a drive with full logs makes it write some 50 KiB.
pub const DRIVE_SMART_BYTES_MAX: u64 = 1 << 20;

/// Layers of logical volumes and encryption between a device and its drive.
pub const DRIVE_LAYERS_MAX: usize = 8;

// ----- access log and traces ------------------------------------------------------------------

/// "One of so many" at most: of a million requests a second it leaves one.
pub const SAMPLE_MAX: usize = 1_000_000;

/// A request that took longer is logged whatever the sample is.
pub const ACCESS_LOG_SLOW: Duration = Duration::from_secs(1);

/// Bytes of lines that wait for the disk, over all lanes: 5,000 lines of 800 bytes, which a busy
/// machine writes in 50 ms. Twice as much is held while the writer has the other half.
pub const ACCESS_LOG_QUEUE_BYTES: usize = 4 << 20;

/// Bytes of lines of one lane that wait, at least: the longest line has room.
pub const ACCESS_LOG_LANE_BYTES_MIN: usize = 64 << 10;

/// How long a line waits for the writer at most when there are few.
pub const ACCESS_LOG_PERIOD: Duration = Duration::from_millis(200);

/// Bytes of what a client says of itself (agent, referrer, host, trace state) in a line or a span;
/// what is over it is cut off.
pub const LOGGED_FIELD_BYTES_MAX: usize = 1024;

/// Bytes of a request's target in a line or a span. Keys have up to 3 KiB when every byte is
/// percent-encoded; what is over it is a query.
pub const LOGGED_TARGET_BYTES_MAX: usize = 4096;

/// The smallest file that is put aside.
pub const ACCESS_LOG_ROTATE_BYTES_MIN: u64 = 64 << 10;

/// Files of the access log that may be kept: each is renamed at every rotation.
pub const ACCESS_LOG_KEEP_MAX: usize = 1000;

/// How often the log says that the access log cannot be written, or spans sent.
pub const OBSERVATION_COMPLAINT_PERIOD: Duration = Duration::from_secs(60);

/// How long the end of the process waits for lines and spans that are on their way.
pub const OBSERVATION_CLOSE_TIME: Duration = Duration::from_secs(3);

/// Requests whose spans wait for the exporter. Each has up to 12 KiB of texts.
pub const TRACE_QUEUE_REQUESTS: usize = 512;

/// Requests whose spans are sent together: at most 10 spans each.
pub const TRACE_BATCH_REQUESTS: usize = 128;

/// How long a span waits for others at most.
pub const TRACE_PERIOD: Duration = Duration::from_secs(1);

/// For one batch, with the repetitions that OTLP asks for.
pub const TRACE_EXPORT_TIME: Duration = Duration::from_secs(10);

/// Bytes of a collector's answer that are read.
pub const TRACE_ANSWER_BYTES_MAX: usize = 64 << 10;

const _: () = assert!(ACCESS_LOG_ROTATE_BYTES_MIN >= ACCESS_LOG_LANE_BYTES_MIN as u64);
// The longest line of the access log: its texts, each byte as three characters, and 4 KiB of the rest.
const _: () = assert!(
    3 * (2 * LOGGED_TARGET_BYTES_MAX + 4 * LOGGED_FIELD_BYTES_MAX) + (4 << 10)
        <= ACCESS_LOG_LANE_BYTES_MIN
);

// ----- tenants --------------------------------------------------------------------------------

/// Buckets, and access keys, that may be configured to have series of their own. Each has about
/// five series, so both at this bound are 100,000, which Prometheus takes in a second.
pub const TENANT_SERIES_MAX: usize = 10_000;

/// Buckets, users and clients without series that one lane tells apart until it is asked, once a
/// second. What comes beyond adds up under `other`; 1,024 names of 63 bytes are 100 KiB a lane.
pub const TENANT_NEWCOMERS_MAX: usize = 1024;

/// Tenants without series whose load is remembered from minute to minute, so that one that becomes
/// busy is found: 2 MiB.
pub const TENANT_CANDIDATES_MAX: usize = 16_384;

/// Of all series, the share that may change hands in a minute, at least one series: a Prometheus
/// keeps what has left for hours, so 50 series cost it 300 of them an hour at most.
pub const TENANT_CHANGES_DIVISOR: usize = 10;

/// How often it is looked who deserves a series.
pub const TENANT_TURN: Duration = Duration::from_secs(60);

/// Tenants of one kind that one second's counts are kept of, over all lanes.
pub const TENANTS_PER_SECOND_MAX: usize = 4096;

/// Tenants of one kind that are listed as the busiest.
pub const TENANTS_SHOWN_MAX: usize = 50;

/// Bytes that count as much as one request when tenants are compared: one block of the store.
pub const TENANT_LOAD_BYTES: u64 = 64 << 10;

/// Series that `/metrics` may have with the default settings, whatever clients ask for: every
/// operation with every class of status, every stage, 50 buckets and 50 users make 5,200 on 64
/// lanes, and each device 90. A Prometheus keeps millions; this leaves room for 64 devices.
pub const SERIES_DEFAULT_MAX: usize = 12_000;

// ----- requests that are remembered -----------------------------------------------------------

/// Requests that are listed as the slowest, and that are kept of each minute.
pub const SLOW_REQUESTS_MAX: usize = 64;

/// Minutes of which the slowest are kept.
pub const SLOW_REQUESTS_MINUTES: usize = 15;

/// Errors that are listed. As many are kept of 4xx and of 5xx, so that a client's errors do not
/// wash the server's out. A lane keeps as many between two collections, a second apart.
pub const ERRORS_KEPT_MAX: usize = 64;

/// Characters of a key, or of any other text of the client's, that are kept of a request. A key of
/// 1,024 bytes is whole unless many of them are percent-encoded. With this, 64 requests are 100 KiB.
pub const REMEMBERED_CHARS_MAX: usize = 1024;

// ----- the state document ---------------------------------------------------------------------

/// How often figures are looked at.
pub const SAMPLE_PERIOD: Duration = Duration::from_secs(1);

/// Samples that rates and quantiles are over: ten seconds.
pub const RATE_SAMPLES: usize = 10;

/// Points of the history: five minutes of seconds.
pub const HISTORY_POINTS_MAX: usize = 300;

/// Samples between two points of the filling, and how many are kept: an hour.
pub const FILLING_SAMPLES: u64 = 10;

/// See [`FILLING_SAMPLES`].
pub const FILLING_POINTS_MAX: usize = 360;

/// Fewest points that a prediction is made of: a minute.
pub const FILLING_POINTS_MIN: usize = 7;

/// Predictions beyond this are as good as none: a year.
pub const FILLING_SECONDS_MAX: f64 = 365.0 * 86_400.0;

// ----- encryption -----------------------------------------------------------------------------

/// Keys of a key file: rotated each day for two years, or a KMS key for each of many users. With the
/// longest names they fill the file's megabyte.
pub const ENCRYPTION_KEYS_MAX: usize = 1000;

/// Bytes of a KMS key's name. An ARN has 75 to 100, an alias up to 256; AWS takes 2,048.
pub const KMS_KEY_NAME_BYTES_MAX: usize = 512;

/// Bytes of an encryption context, as JSON: a quarter of the headers that Amazon S3 takes.
pub const ENCRYPTION_CONTEXT_BYTES_MAX: usize = 2048;

/// Decrypted chunks of 64 KiB that each stream gets: one that the client is being sent, and the next.
pub const STREAM_BUFFERS: usize = 2;

/// The same where they are free: as many as are written to a socket at once.
pub const STREAM_BUFFERS_MAX: usize = 4;

/// Memory for decrypted chunks in the whole process, at least: 32 streams.
pub const DECRYPTED_BYTES_MIN: usize = 4 << 20;

/// The same at most: 8,192 streams.
pub const DECRYPTED_BYTES_MAX: usize = 1 << 30;

/// The share of the memory budget that decrypted chunks get between these two.
pub const DECRYPTED_MEMORY_DIVISOR: u64 = 16;

/// Memory for decrypted chunks under a memory budget.
pub fn decrypted_bytes(memory_bytes: u64) -> usize {
    let share = usize::try_from(memory_bytes / DECRYPTED_MEMORY_DIVISOR).unwrap_or(usize::MAX);
    share.clamp(DECRYPTED_BYTES_MIN, DECRYPTED_BYTES_MAX)
}

/// How long a stream waits for its share of it before `SlowDown`, as streams wait for the store's memory.
pub const DECRYPTED_BUFFERS_WAIT_MAX: Duration = Duration::from_secs(5);

// ----- event notifications --------------------------------------------------------------------

/// Targets of events. Each has a thread and a queue.
pub const EVENTS_TARGETS_MAX: usize = 16;

/// Bytes of a target's name.
pub const EVENTS_NAME_BYTES_MAX: usize = 64;

/// The range of a target's queue: 60 of the largest events, or a million usual ones.
pub const EVENTS_QUEUE_BYTES_MIN: u64 = 256 << 10;

/// See [`EVENTS_QUEUE_BYTES_MIN`].
pub const EVENTS_QUEUE_BYTES_MAX: u64 = 1 << 30;

/// Bytes that an event takes beside its message: the allocation and its place in the queue, which
/// doubles as it grows.
pub const EVENT_OVERHEAD_BYTES: usize = 80;

/// Events that are taken from a queue at once; a file makes as many durable together.
pub const EVENTS_BATCH: usize = 256;

/// How long a webhook has to take an event.
pub const EVENTS_ANSWER_TIME: Duration = Duration::from_secs(10);

/// Bytes that are read of a webhook's answer, whose status alone counts.
pub const EVENTS_ANSWER_BYTES_MAX: usize = 64 << 10;

/// The pause after the first attempt that failed; each further one doubles it.
pub const EVENTS_RETRY_MIN: Duration = Duration::from_millis(100);

/// The longest such pause: what was away for a day hears of it within half a minute.
pub const EVENTS_RETRY_MAX: Duration = Duration::from_secs(30);

/// How long a stop waits for what is undelivered to be kept on disk.
pub const EVENTS_CLOSE_TIME: Duration = Duration::from_secs(5);

// ----- lifecycle ------------------------------------------------------------------------------

/// The largest rate that can be set: more than the index gives.
pub const LIFECYCLE_RATE_MAX: usize = 10_000_000;

/// Entries of an index page that the lifecycle looks at together: under 2 MiB.
pub const LIFECYCLE_PAGE: usize = 1000;

/// Deletions that the lifecycle has committed together; writers wait for no more than that.
pub const LIFECYCLE_BATCH: usize = 100;

/// Rounds over all buckets in a day.
pub const LIFECYCLE_ROUNDS_PER_DAY: u32 = 24;

/// The least time between the beginnings of two rounds, for short days.
pub const LIFECYCLE_ROUND_MIN: Duration = Duration::from_millis(250);

/// How long after the start the first round begins: what comes up after a fault serves first.
pub const LIFECYCLE_FIRST_ROUND: Duration = Duration::from_secs(60);

/// How long a stop waits for the deletions in flight.
pub const LIFECYCLE_CLOSE_TIME: Duration = Duration::from_secs(10);

const _: () = assert!(LIFECYCLE_BATCH <= LIFECYCLE_PAGE);
const _: () = assert!(RDMA_STAGING_BYTES_MIN <= MEMORY_MIN / RDMA_STAGING_DEFAULT_DIVISOR);
const _: () = assert!(RDMA_STAGING_BYTES_MIN <= RDMA_STAGING_DEFAULT_MAX);
// A lane outlives the moment when requests of other lanes are cut off.
const _: () = assert!(RDMA_FAREWELL_TIME.as_secs() > CUT_OFF_TIME.as_secs());
const _: () = assert!(MEMORY_MIN <= MEMORY_DEFAULT_MAX);
// An HTTP/2 connection's memory is what it is counted for: its window and the heads of its streams.
const _: () = assert!(
    HTTP2_CONNECTION_WINDOW_BYTES as u64 + HTTP2_STREAMS_MAX as u64 * HEAD_BYTES_MAX as u64
        <= HTTP2_CONNECTION_WEIGHT as u64 * CONNECTION_BYTES
);
const _: () = assert!(HTTP2_STREAM_WINDOW_BYTES <= HTTP2_CONNECTION_WINDOW_BYTES);
const _: () = assert!(HEAD_BYTES_MAX <= HTTP1_BUFFER_BYTES_MAX);
const _: () = assert!(TARGET_BYTES_MAX < HEAD_BYTES_MAX);
const _: () = assert!(HTTP2_PIECE_BYTES as u64 / 1024 * 2 < SEND_STALL_DEFAULT.as_secs());
const _: () = assert!(SWEEP_PERIOD.as_millis() * 4 <= LINGER_TIME.as_millis());
