//! The one table of configuration keys.
//!
//! Owns: each key's name, shape, default and documentation. The TOML name, the environment
//! variable and the flag all derive from the name, so the three cannot drift apart:
//! `limits.header_time` is `--limits-header-time` and `PENSTOCK_LIMITS_HEADER_TIME`.
//! Not here: how values are gathered (`raw.rs`) and what they resolve to (`plan.rs`).

/// What a key's values look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A path, absolute or relative to the working directory.
    Path,
    /// A number of bytes: `512M`, `64GiB`, `4096`.
    Bytes,
    /// A whole number.
    Count,
    /// A length of time: `30s`, `500ms`, `2m`, `1h`.
    Time,
    /// `ADDRESS:PORT`.
    Address,
    /// Free text.
    Text,
    /// `on` or `off`.
    Switch,
    /// One of the listed words.
    Choice(&'static [&'static str]),
}

impl Shape {
    /// The word that stands for the value in `--help`.
    pub fn placeholder(self) -> &'static str {
        match self {
            Shape::Path => "PATH",
            Shape::Bytes => "BYTES",
            Shape::Count => "N",
            Shape::Time => "TIME",
            Shape::Address => "ADDR:PORT",
            Shape::Text => "TEXT",
            Shape::Switch => "on|off",
            Shape::Choice(_) => "WORD",
        }
    }
}

/// What holds when nobody has written a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Default {
    /// This text, read as if somebody had written it.
    Is(&'static str),
    /// Worked out from the machine; the text says how.
    WorkedOut(&'static str),
    /// Nothing; the text says what that means.
    Nothing(&'static str),
}

/// Where a key may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Places {
    /// File, environment and flag.
    All,
    /// The environment alone: secrets do not belong on a command line, which every user of the
    /// machine can read, nor in a configuration file, which is copied around.
    Environment,
}

/// One configuration key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The name in the TOML file. A dot is a table.
    pub name: &'static str,
    /// What its values look like.
    pub shape: Shape,
    /// Whether it takes several values: an array in TOML, a comma-separated list in the
    /// environment, the flag repeated.
    pub several: bool,
    /// What holds when nothing is written.
    pub default: Default,
    /// Where it may be written.
    pub places: Places,
    /// Whether its value is never shown.
    pub secret: bool,
    /// One to three sentences for `--help` and the documentation.
    pub help: &'static str,
}

impl Key {
    /// The environment variable: `PENSTOCK_` and the name in capitals, dots as underscores.
    pub fn environment(&self) -> String {
        format!("PENSTOCK_{}", self.name.replace('.', "_").to_uppercase())
    }

    /// The flag without its dashes: the name with dots and underscores as dashes.
    pub fn flag(&self) -> String {
        self.name.replace(['.', '_'], "-")
    }

    const fn new(name: &'static str, shape: Shape, default: Default, help: &'static str) -> Key {
        Key { name, shape, several: false, default, places: Places::All, secret: false, help }
    }

    const fn several(mut self) -> Key {
        self.several = true;
        self
    }

    const fn environment_only(mut self) -> Key {
        self.places = Places::Environment;
        self
    }

    const fn secret(mut self) -> Key {
        self.secret = true;
        self
    }
}

/// Where the store lives.
pub const DATA: Key = Key::new(
    "data",
    Shape::Path,
    Default::Nothing("has to be given"),
    "Directory of the store: index, credentials and, unless devices are listed, the extent file. \
     Created at the first start.",
);

/// Raw devices or files.
pub const DEVICES: Key = Key::new(
    "devices",
    Shape::Path,
    Default::Nothing("the extent file in the data directory"),
    "Block devices or files that hold the extents, in place of the extent file in the data \
     directory. Run `penstock format` on them first.",
)
.several();

/// Size of the embedded extent file.
pub const EXTENT_FILE: Key = Key::new(
    "extent_file",
    Shape::Bytes,
    Default::Nothing("the present size; for a new store the size stated at start"),
    "Size of the extent file in the data directory. It is really allocated. A size above the \
     present one grows the file; it never shrinks.",
);

/// LMDB's map.
pub const INDEX_MAP: Key = Key::new(
    "index_map",
    Shape::Bytes,
    Default::Is("256GiB"),
    "Address space for the index, and so its largest size on disk. Costs no memory and no disk \
     until it is used; lower it where address space is limited (ulimit -v).",
);

/// The memory budget.
pub const MEMORY: Key = Key::new(
    "memory",
    Shape::Bytes,
    Default::WorkedOut("the smaller of 8GiB and a quarter of the memory of machine or container"),
    "Memory that the whole server may take. The start message shows how it is divided.",
);

/// Lanes.
pub const LANES: Key = Key::new(
    "lanes",
    Shape::Count,
    Default::WorkedOut("the cores that affinity and container allow"),
    "Threads that serve requests, each with its own sockets and its own io_uring.",
);

/// Whether lanes are bound to cores.
pub const PIN_LANES: Key = Key::new(
    "pin_lanes",
    Shape::Choice(&["auto", "on", "off"]),
    Default::Is("auto"),
    "Binds each lane to one core. `auto` binds them unless the container has a quota of fewer \
     cores than it may run on, where neighbours would choose the same ones.",
);

/// S3 addresses.
pub const LISTEN: Key = Key::new(
    "listen",
    Shape::Address,
    Default::Is("127.0.0.1:9000"),
    "Addresses that S3 is served on without TLS. HTTP/1.1 and HTTP/2 with prior knowledge. `off` \
     leaves those of tls.listen alone.",
)
.several();

/// Addresses of TLS.
pub const TLS_LISTEN: Key = Key::new(
    "tls.listen",
    Shape::Address,
    Default::Nothing("no HTTPS"),
    "Addresses that S3 is served on by TLS, beside those of listen. HTTP/1.1 and HTTP/2, as the \
     client chooses (ALPN).",
)
.several();

/// The certificate.
pub const TLS_CERTIFICATE: Key = Key::new(
    "tls.certificate",
    Shape::Path,
    Default::Nothing("none"),
    "The server's certificate in PEM, with those up to its authority behind it. Read again when it \
     changes and at SIGHUP; one that cannot be used leaves the old one in force.",
);

/// Its key.
pub const TLS_KEY: Key = Key::new(
    "tls.key",
    Shape::Path,
    Default::Nothing("none"),
    "The certificate's private key in PEM, readable by its owner (and group) alone.",
);

/// Further certificates.
pub const TLS_CERTIFICATES: Key = Key::new(
    "tls.certificates",
    Shape::Path,
    Default::Nothing("one certificate"),
    "Folder of further certificates: each NAME.crt or NAME.pem with its NAME.key. Which one a client \
     sees is chosen by the name that it asks for (SNI).",
);

/// A certificate for a first try.
pub const TLS_SELF_SIGNED: Key = Key::new(
    "tls.self_signed",
    Shape::Switch,
    Default::Is("off"),
    "Makes a certificate for a first try, in place of tls.certificate: DATA/tls/self-signed.crt, \
     which clients have to be told to trust. Its fingerprint is printed at start.",
);

/// Authorities of clients.
pub const TLS_CLIENT_CA: Key = Key::new(
    "tls.client_ca",
    Shape::Path,
    Default::Nothing("clients are not asked for certificates"),
    "Authorities of clients' certificates, in PEM. A client that shows a certificate of another \
     authority is turned away; one that shows none is served unless tls.client_required is on.",
);

/// Whose certificates they are.
pub const TLS_CLIENT_USERS: Key = Key::new(
    "tls.client_users",
    Shape::Text,
    Default::Nothing("certificates stand for nobody"),
    "Users whom clients' certificates stand for: KIND:NAME=USER with CN, DNS, EMAIL or URI as the \
     kind, for example CN:loader=training. CN:* is the user of the very name. The first that fits \
     counts.",
)
.several();

/// Whether certificates of clients are needed.
pub const TLS_CLIENT_REQUIRED: Key = Key::new(
    "tls.client_required",
    Shape::Switch,
    Default::Is("off"),
    "Turns away clients that show no certificate of tls.client_ca.",
);

/// The oldest version.
pub const TLS_MIN_VERSION: Key = Key::new(
    "tls.min_version",
    Shape::Choice(&["1.2", "1.3"]),
    Default::Is("1.2"),
    "The oldest version of TLS that is spoken. Of 1.2 only suites with forward secrecy and \
     authenticated encryption.",
);

/// kTLS.
pub const TLS_KERNEL: Key = Key::new(
    "tls.kernel",
    Shape::Choice(&["auto", "on", "off"]),
    Default::Is("auto"),
    "Lets the kernel encrypt and decrypt (kTLS), so that responses are written without a copy in our \
     memory. `auto` does where the kernel can, and the start message says so.",
);

/// Time for a handshake.
pub const TLS_HANDSHAKE_TIME: Key = Key::new(
    "tls.handshake_time",
    Shape::Time,
    Default::Is("10s"),
    "From accept to the end of the handshake.",
);

/// Handshakes at a time.
pub const TLS_HANDSHAKES: Key = Key::new(
    "tls.handshakes",
    Shape::Count,
    Default::Is("4096"),
    "Handshakes under way at a time, over all lanes, and at most half of limits.connections. One \
     more displaces the oldest.",
);

/// Administration address.
pub const ADMIN_LISTEN: Key = Key::new(
    "admin_listen",
    Shape::Address,
    Default::Is("127.0.0.1:9001"),
    "Address of the console, /metrics, /healthz and /readyz. On a loopback address reading is open; \
     any other needs admin.token_file or admin.client_ca.",
);

/// Tokens of the administration.
pub const ADMIN_TOKEN_FILE: Key = Key::new(
    "admin.token_file",
    Shape::Path,
    Default::Nothing("the token of admin.json in the data directory alone"),
    "File of tokens that may read and change things at the administration address, one a line, 32 \
     characters at least, mode 0640 or stricter. Changes are taken up within ten seconds.",
);

/// Certificate of the administration.
pub const ADMIN_TLS_CERTIFICATE: Key = Key::new(
    "admin.tls_certificate",
    Shape::Path,
    Default::Nothing("the administration speaks plain HTTP"),
    "The certificate, with those up to its authority, in PEM, that the administration address \
     speaks TLS 1.3 with. Changes are taken up within ten seconds.",
);

/// Its key.
pub const ADMIN_TLS_KEY: Key = Key::new(
    "admin.tls_key",
    Shape::Path,
    Default::Nothing("the administration speaks plain HTTP"),
    "The private key of admin.tls_certificate, in PEM, mode 0640 or stricter.",
);

/// Authorities of clients of the administration.
pub const ADMIN_CLIENT_CA: Key = Key::new(
    "admin.client_ca",
    Shape::Path,
    Default::Nothing("clients of the administration show tokens"),
    "Authorities, in PEM, whose clients may read and change things at the administration address \
     without a token.",
);

/// Virtual-host domains.
pub const DOMAINS: Key = Key::new(
    "domains",
    Shape::Text,
    Default::Nothing("buckets are addressed in the path alone"),
    "Domains under which buckets are host names: with `s3.example.com`, \
     http://photos.s3.example.com/cat.jpg is the key cat.jpg in the bucket photos.",
)
.several();

/// Region.
pub const REGION: Key = Key::new(
    "region",
    Shape::Text,
    Default::Is("us-east-1"),
    "Region that GetBucketLocation reports. Requests may be signed for any region.",
);

/// Publicly readable buckets.
pub const PUBLIC_READ: Key = Key::new(
    "public_read",
    Shape::Text,
    Default::Nothing("no bucket beyond those set by `penstock bucket public-read`"),
    "Buckets whose objects anybody may read without a signature (GET and HEAD of objects, no \
     listing), as if their policies said so. In addition to those whose policies do, which is what \
     `penstock bucket public-read` writes.",
)
.several();

/// What new buckets have.
pub const BUCKET_DEFAULTS: Key = Key::new(
    "bucket_defaults",
    Shape::Choice(&["acl", "aws"]),
    Default::Is("acl"),
    "What a new bucket has where its request says nothing. `acl`: ACLs count and nothing is blocked, \
     which tools expect that set the stage by canned ACLs. `aws`: as Amazon S3 has it since April \
     2023, no ACLs (BucketOwnerEnforced) and all of Public Access Block.",
);

/// IO engine.
pub const IO_ENGINE: Key = Key::new(
    "io_engine",
    Shape::Choice(&["auto", "io_uring", "blocking"]),
    Default::Is("auto"),
    "How devices are read and written. `auto` takes io_uring where the system allows it and says \
     why where it does not; `io_uring` refuses to start without it.",
);

/// Huge pages.
pub const HUGE_PAGES: Key = Key::new(
    "huge_pages",
    Shape::Choice(&["auto", "on", "off"]),
    Default::Is("auto"),
    "Whether buffers live in huge pages. `auto` takes them where there are enough, `on` refuses \
     to start without them.",
);

/// Memory locking.
pub const LOCK_MEMORY: Key = Key::new(
    "lock_memory",
    Shape::Choice(&["auto", "on", "off"]),
    Default::Is("auto"),
    "Whether buffers are locked into memory. `auto` locks them where the limit (ulimit -l) allows \
     it, `on` refuses to start where it does not.",
);

/// Credentials file.
pub const CREDENTIALS: Key = Key::new(
    "credentials",
    Shape::Path,
    Default::WorkedOut("`credentials` in the data directory"),
    "File of access keys, mode 0600. Written at the first start, edited by `penstock key`, `user` and `policy`; the \
     running server takes up changes within two seconds.",
);

/// File of users.
pub const USERS_FILE: Key = Key::new(
    "users_file",
    Shape::Path,
    Default::Nothing("none"),
    "File of accounts, users, roles, keys and policies beside the credentials file, for containers: \
     TOML, or JSON when its name ends in .json. Read at the start and within two seconds of a change.",
);

/// Access key from outside.
pub const ACCESS_KEY: Key = Key::new(
    "access_key",
    Shape::Text,
    Default::Nothing("the keys of the credentials file"),
    "An access key in addition to those of the credentials file; none is generated then. Needs \
     PENSTOCK_SECRET_KEY beside it.",
)
.environment_only();

/// Its secret.
pub const SECRET_KEY: Key = Key::new(
    "secret_key",
    Shape::Text,
    Default::Nothing("the keys of the credentials file"),
    "The secret of PENSTOCK_ACCESS_KEY.",
)
.environment_only()
.secret();

/// File of encryption keys.
pub const ENCRYPTION_KEY_FILE: Key = Key::new(
    "encryption.key_file",
    Shape::Path,
    Default::WorkedOut("`encryption.toml` in the data directory"),
    "File of the keys that seal encrypted objects' keys, mode 0600. Written when the first object \
     is encrypted, added to by `penstock encryption`. Without it no such object can be read: keep a \
     copy.",
);

/// Master keys from outside.
pub const ENCRYPTION_MASTER_KEY: Key = Key::new(
    "encryption.master_key",
    Shape::Text,
    Default::Nothing("the master keys of the key file"),
    "Master keys for SSE-S3, 32 bytes each in base64, in addition to those of the key file; the \
     last one seals, all open.",
)
.several()
.environment_only()
.secret();

/// KMS keys from outside.
pub const ENCRYPTION_KMS_KEYS: Key = Key::new(
    "encryption.kms_keys",
    Shape::Text,
    Default::Nothing("the KMS keys of the key file"),
    "Keys for SSE-KMS as NAME=KEY, a name or ARN and 32 bytes in base64, in addition to those of \
     the key file; of several with one name the last one seals, all open.",
)
.several()
.environment_only()
.secret();

/// SSE-C without TLS.
pub const ENCRYPTION_CUSTOMER_KEYS_OVER_HTTP: Key = Key::new(
    "encryption.customer_keys_over_http",
    Shape::Switch,
    Default::Is("on"),
    "Whether requests without TLS may carry keys of clients (SSE-C). Amazon S3 refuses them; turn it \
     off where anybody could listen.",
);

/// Drain deadline.
pub const DRAIN_DEADLINE: Key = Key::new(
    "drain_deadline",
    Shape::Time,
    Default::Is("30s"),
    "After SIGTERM, how long running requests may take to finish before they are cut off.",
);

/// Log level.
pub const LOG_LEVEL: Key = Key::new(
    "log_level",
    Shape::Text,
    Default::Is("info"),
    "What is logged: error, warn, info, debug, trace, or a filter such as \
     `info,gateway::door=debug` (debug shows each request).",
);

/// Log format.
pub const LOG_FORMAT: Key = Key::new(
    "log_format",
    Shape::Choice(&["text", "json"]),
    Default::Is("text"),
    "Form of the log on standard error.",
);

/// Whether requests are measured.
pub const METRICS_REQUESTS: Key = Key::new(
    "metrics.requests",
    Shape::Switch,
    Default::Is("on"),
    "Whether requests are measured: their times by stage, bytes by path, tenants, the slowest of \
     them. Off leaves what serving itself needs, and what of logs and traces is turned on.",
);

/// Receipts.
pub const RECEIPTS: Key = Key::new(
    "receipts",
    Shape::Choice(&["on_request", "always", "off"]),
    Default::Is("on_request"),
    "Which responses say by which path their bytes went and where time was spent: those to requests \
     with `x-penstock-receipt: 1`, all, or none. Whoever may read an object then learns whether it \
     was cached.",
);

/// Connections.
pub const LIMIT_CONNECTIONS: Key = Key::new(
    "limits.connections",
    Shape::Count,
    Default::WorkedOut("a quarter of the memory budget, 80 KiB each, from 64 to 16384"),
    "Connections at a time; one over it is closed at once. An HTTP/2 connection counts for ten.",
);

/// Header time.
pub const LIMIT_HEADER_TIME: Key = Key::new(
    "limits.header_time",
    Shape::Time,
    Default::Is("20s"),
    "Time for the head of a request to arrive.",
);

/// Idle time.
pub const LIMIT_IDLE_TIME: Key = Key::new(
    "limits.idle_time",
    Shape::Time,
    Default::Is("120s"),
    "How long a connection without a request is kept.",
);

/// Body window.
pub const LIMIT_BODY_WINDOW: Key = Key::new(
    "limits.body_window",
    Shape::Time,
    Default::Is("30s"),
    "A request body is refused when less than limits.body_bytes arrive in this much waiting.",
);

/// Body bytes.
pub const LIMIT_BODY_BYTES: Key = Key::new(
    "limits.body_bytes",
    Shape::Bytes,
    Default::Is("30KiB"),
    "Bytes of a request body that have to arrive per limits.body_window.",
);

/// Send stall.
pub const LIMIT_SEND_STALL: Key = Key::new(
    "limits.send_stall",
    Shape::Time,
    Default::Is("180s"),
    "A client that takes nothing of a response for this long is closed. A client that reads \
     1 KiB/s is served.",
);

/// Whether requests may have their bytes delivered by RDMA.
pub const RDMA_MODE: Key = Key::new(
    "rdma.mode",
    Shape::Choice(&["auto", "on", "off"]),
    Default::Is("auto"),
    "RDMA for objects' bytes. `auto` uses a device where there is one and says so at start, `on` \
     refuses to start without one. Without RDMA clients are told to use HTTP.",
);

/// RDMA device.
pub const RDMA_DEVICE: Key = Key::new(
    "rdma.device",
    Shape::Text,
    Default::Nothing("the device that has rdma.address, else the first with an active port"),
    "RDMA device, as `ibv_devices` lists it: mlx5_0, rxe0.",
);

/// RDMA port.
pub const RDMA_PORT: Key = Key::new(
    "rdma.port",
    Shape::Count,
    Default::Nothing("the first active one"),
    "Port of the RDMA device, from 1.",
);

/// GID index.
pub const RDMA_GID_INDEX: Key = Key::new(
    "rdma.gid_index",
    Shape::Count,
    Default::Nothing("the entry of each client's address family"),
    "Index in the port's GID table, for all clients. Without it each client gets the entry of its \
     own family (IPv4, link-local), RoCE v2 first.",
);

/// Address of the RDMA interface.
pub const RDMA_ADDRESS: Key = Key::new(
    "rdma.address",
    Shape::Text,
    Default::Nothing("the device's first"),
    "IP address of the RDMA interface, which chooses device, port and GID by it.",
);

/// Path MTU.
pub const RDMA_PATH_MTU: Key = Key::new(
    "rdma.path_mtu",
    Shape::Choice(&["256", "512", "1024", "2048", "4096"]),
    Default::Nothing("the port's active MTU"),
    "Bytes per RDMA packet. Nobody negotiates it: clients must use the same.",
);

/// Staging memory.
pub const RDMA_STAGING: Key = Key::new(
    "rdma.staging",
    Shape::Bytes,
    Default::WorkedOut("the smaller of 256MiB and a sixteenth of the memory budget"),
    "Memory into which clients of the hipobj-rc-v2 protocol write their uploads, and so the most \
     that one of them may have. Part of the memory budget where there is an RDMA device.",
);

/// Staging memory of one user.
pub const RDMA_STAGING_PER_USER: Key = Key::new(
    "rdma.staging_per_user",
    Shape::Bytes,
    Default::Nothing("all of rdma.staging"),
    "Of rdma.staging, what the uploads of one access key may have together, so that there is some \
     for others; the largest upload must fit.",
);

/// Sessions in all.
pub const RDMA_SESSIONS: Key = Key::new(
    "rdma.sessions",
    Shape::Count,
    Default::Is("1024"),
    "Transfers of the hipobj-rc-v2 protocol at a time, prepared ones among them.",
);

/// Sessions of one user.
pub const RDMA_SESSIONS_PER_USER: Key = Key::new(
    "rdma.sessions_per_user",
    Shape::Count,
    Default::Is("64"),
    "The same of one access key.",
);

/// Pooled connections in all.
pub const RDMA_CONNECTIONS: Key = Key::new(
    "rdma.connections",
    Shape::Count,
    Default::Is("1024"),
    "Pooled RDMA connections at a time.",
);

/// Pooled connections of one user.
pub const RDMA_CONNECTIONS_PER_USER: Key = Key::new(
    "rdma.connections_per_user",
    Shape::Count,
    Default::Is("64"),
    "The same of one access key.",
);

/// The status of a declined upload.
pub const RDMA_PUT_DECLINE_STATUS: Key = Key::new(
    "rdma.put_decline_status",
    Shape::Choice(&["200", "501"]),
    Default::Is("200"),
    "HTTP status of an upload that RDMA is declined for: nothing is stored, and the client sends \
     the bytes by HTTP. 200 is what the base protocol says and NVIDIA's library retries after; \
     some servers answer 501.",
);

/// Connections of clients that do not sign.
pub const RDMA_ALLOW_UNSIGNED_CONNECT: Key = Key::new(
    "rdma.allow_unsigned_connect",
    Shape::Switch,
    Default::Is("off"),
    "Lets clients that do not sign make pooled connections, which anybody may use then. For tests \
     with elbencho: only where S3 listens on loopback addresses alone.",
);

/// Clients at the address that they connect from.
pub const RDMA_REQUIRE_SAME_ADDRESS: Key = Key::new(
    "rdma.require_same_address",
    Shape::Switch,
    Default::Is("off"),
    "Refuses clients whose RDMA address is another than that of their HTTP connection. Clients \
     with several network cards have good reasons for that.",
);

/// A read behind the last write.
pub const RDMA_STRICT_PLACEMENT: Key = Key::new(
    "rdma.strict_placement",
    Shape::Switch,
    Default::Is("off"),
    "Ends each download over a pooled connection with a read of its last byte, which proves that \
     the bytes are in memory and not only in the client's network card. Costs a round trip.",
);

/// Access log.
pub const ACCESS_LOG_FILE: Key = Key::new(
    "access_log.file",
    Shape::Path,
    Default::Nothing("no access log"),
    "File to which one line per request is appended, or `stdout`. Lines that the disk does not \
     keep up with are dropped and counted. Opened again on SIGHUP.",
);

/// Form of the access log.
pub const ACCESS_LOG_FORMAT: Key = Key::new(
    "access_log.format",
    Shape::Choice(&["json", "s3"]),
    Default::Is("json"),
    "Form of its lines: a JSON object, or the format of Amazon S3's server access logs with a few \
     fields more.",
);

/// Sampling of the access log.
pub const ACCESS_LOG_SAMPLE: Key = Key::new(
    "access_log.sample",
    Shape::Count,
    Default::Is("1"),
    "Of requests that succeed within a second, one of so many is logged. Errors and slow requests \
     always are.",
);

/// Rotation of the access log.
pub const ACCESS_LOG_ROTATE: Key = Key::new(
    "access_log.rotate",
    Shape::Bytes,
    Default::Is("256MiB"),
    "A file of this size is renamed to FILE.1, that one to FILE.2 and so on. 0 leaves rotation to \
     another program, which then sends SIGHUP.",
);

/// How much of the access log is kept.
pub const ACCESS_LOG_KEEP: Key = Key::new(
    "access_log.keep",
    Shape::Count,
    Default::Is("8"),
    "How many files that were put aside are kept.",
);

/// Where traces go.
pub const TRACE_ENDPOINT: Key = Key::new(
    "trace.endpoint",
    Shape::Text,
    Default::Nothing("no traces"),
    "OpenTelemetry collector that spans are sent to by OTLP over HTTP, such as \
     http://127.0.0.1:4318. Requests whose `traceparent` is sampled are traced.",
);

/// Sampling of traces.
pub const TRACE_SAMPLE: Key = Key::new(
    "trace.sample",
    Shape::Count,
    Default::Is("0"),
    "Of requests that bring no sampled `traceparent`, one of so many is traced; 0 for none.",
);

/// Buckets with series.
pub const METRICS_BUCKETS: Key = Key::new(
    "metrics.buckets",
    Shape::Count,
    Default::Is("50"),
    "How many buckets have metrics of their own, the busiest; all others add up under `other`. \
     Each takes about five series.",
);

/// Access keys with series.
pub const METRICS_USERS: Key = Key::new(
    "metrics.users",
    Shape::Count,
    Default::Is("50"),
    "How many access keys have metrics of their own, the busiest; all others add up under `other`. \
     Each takes about five series.",
);

/// Who can be told of events.
pub const EVENTS_TARGETS: Key = Key::new(
    "events.targets",
    Shape::Text,
    Default::Nothing("nobody can be told of events"),
    "Who can be told of what happens to objects, as NAME=file:/PATH or NAME=http://HOST:PORT/PATH \
     (also https); buckets name them as arn:penstock:events:::NAME.",
)
.several();

/// Memory for events that wait.
pub const EVENTS_QUEUE: Key = Key::new(
    "events.queue",
    Shape::Bytes,
    Default::Is("16M"),
    "Memory for events that wait for one target; what has no room in it is dropped and counted. \
     An event takes about 1 KiB.",
);

/// Authorities of webhooks.
pub const EVENTS_CA: Key = Key::new(
    "events.ca",
    Shape::Path,
    Default::Nothing("the system's authorities"),
    "File of the authorities, in PEM, that webhooks over https have their certificates from.",
);

/// The length of a day.
pub const LIFECYCLE_DAY: Key = Key::new(
    "lifecycle.day",
    Shape::Time,
    Default::Is("24h"),
    "The length of a day in lifecycle rules, for tests and trials: with 10s, an object that expires \
     after one day is gone in 10 seconds. Another value than 24h deletes earlier than clients expect.",
);

/// How fast the lifecycle looks.
pub const LIFECYCLE_KEYS: Key = Key::new(
    "lifecycle.keys_per_second",
    Shape::Count,
    Default::Is("20000"),
    "How many versions and uploads the lifecycle looks at in a second, at most.",
);

/// How fast the lifecycle deletes.
pub const LIFECYCLE_DELETES: Key = Key::new(
    "lifecycle.deletes_per_second",
    Shape::Count,
    Default::Is("1000"),
    "How many versions and uploads the lifecycle deletes in a second, at most.",
);

/// All keys, in the order of the documentation.
pub const KEYS: &[&Key] = &[
    &DATA,
    &DEVICES,
    &EXTENT_FILE,
    &INDEX_MAP,
    &MEMORY,
    &LANES,
    &PIN_LANES,
    &LISTEN,
    &TLS_LISTEN,
    &TLS_CERTIFICATE,
    &TLS_KEY,
    &TLS_CERTIFICATES,
    &TLS_SELF_SIGNED,
    &TLS_CLIENT_CA,
    &TLS_CLIENT_USERS,
    &TLS_CLIENT_REQUIRED,
    &TLS_MIN_VERSION,
    &TLS_KERNEL,
    &TLS_HANDSHAKE_TIME,
    &TLS_HANDSHAKES,
    &ADMIN_LISTEN,
    &ADMIN_TOKEN_FILE,
    &ADMIN_TLS_CERTIFICATE,
    &ADMIN_TLS_KEY,
    &ADMIN_CLIENT_CA,
    &DOMAINS,
    &REGION,
    &PUBLIC_READ,
    &BUCKET_DEFAULTS,
    &IO_ENGINE,
    &HUGE_PAGES,
    &LOCK_MEMORY,
    &CREDENTIALS,
    &USERS_FILE,
    &ACCESS_KEY,
    &SECRET_KEY,
    &ENCRYPTION_KEY_FILE,
    &ENCRYPTION_MASTER_KEY,
    &ENCRYPTION_KMS_KEYS,
    &ENCRYPTION_CUSTOMER_KEYS_OVER_HTTP,
    &DRAIN_DEADLINE,
    &LOG_LEVEL,
    &LOG_FORMAT,
    &METRICS_REQUESTS,
    &RECEIPTS,
    &LIMIT_CONNECTIONS,
    &LIMIT_HEADER_TIME,
    &LIMIT_IDLE_TIME,
    &LIMIT_BODY_WINDOW,
    &LIMIT_BODY_BYTES,
    &LIMIT_SEND_STALL,
    &RDMA_MODE,
    &RDMA_DEVICE,
    &RDMA_PORT,
    &RDMA_GID_INDEX,
    &RDMA_ADDRESS,
    &RDMA_PATH_MTU,
    &RDMA_STAGING,
    &RDMA_STAGING_PER_USER,
    &RDMA_SESSIONS,
    &RDMA_SESSIONS_PER_USER,
    &RDMA_CONNECTIONS,
    &RDMA_CONNECTIONS_PER_USER,
    &RDMA_PUT_DECLINE_STATUS,
    &RDMA_ALLOW_UNSIGNED_CONNECT,
    &RDMA_REQUIRE_SAME_ADDRESS,
    &RDMA_STRICT_PLACEMENT,
    &ACCESS_LOG_FILE,
    &ACCESS_LOG_FORMAT,
    &ACCESS_LOG_SAMPLE,
    &ACCESS_LOG_ROTATE,
    &ACCESS_LOG_KEEP,
    &TRACE_ENDPOINT,
    &TRACE_SAMPLE,
    &METRICS_BUCKETS,
    &METRICS_USERS,
    &EVENTS_TARGETS,
    &EVENTS_QUEUE,
    &EVENTS_CA,
    &LIFECYCLE_DAY,
    &LIFECYCLE_KEYS,
    &LIFECYCLE_DELETES,
];

/// The environment variable that names the configuration file, as `--config` does.
pub const CONFIG_FILE_VARIABLE: &str = "PENSTOCK_CONFIG";

/// The key of that TOML name.
pub fn named(name: &str) -> Option<&'static Key> {
    KEYS.iter().copied().find(|key| key.name == name)
}

/// The known name closest to a mistyped one, when it is close enough to be meant.
pub fn nearest<'a>(mistyped: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|name| (edit_distance(mistyped, name), name))
        .filter(|(distance, name)| *distance * 3 <= name.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Levenshtein's distance over bytes; names are short ASCII words.
fn edit_distance(left: &str, right: &str) -> usize {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_flags_and_variables_are_distinct() {
        let names: BTreeSet<_> = KEYS.iter().map(|key| key.name).collect();
        let flags: BTreeSet<_> = KEYS.iter().map(|key| key.flag()).collect();
        let variables: BTreeSet<_> = KEYS.iter().map(|key| key.environment()).collect();
        assert_eq!([names.len(), flags.len(), variables.len()], [KEYS.len(); 3]);
        assert!(!variables.contains(CONFIG_FILE_VARIABLE));
    }

    #[test]
    fn the_three_spellings_of_a_key() {
        assert_eq!(LIMIT_HEADER_TIME.flag(), "limits-header-time");
        assert_eq!(LIMIT_HEADER_TIME.environment(), "PENSTOCK_LIMITS_HEADER_TIME");
        assert_eq!(named("limits.header_time"), Some(&LIMIT_HEADER_TIME));
    }

    #[test]
    fn a_near_miss_is_suggested_and_a_far_one_is_not() {
        let names = || KEYS.iter().map(|key| key.name);
        assert_eq!(nearest("memmory", names()), Some("memory"));
        assert_eq!(nearest("lsiten", names()), Some("listen"));
        assert_eq!(nearest("colour", names()), None);
    }
}
