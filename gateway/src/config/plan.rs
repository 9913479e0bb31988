//! What the process will do: every key resolved, checked and typed.
//!
//! Owns: the meaning of each key's text, the worked-out defaults, and the checks between keys.
//! Pure: what the machine has comes in as [`Machine`].
//! Not here: what only the store can judge (whether a device is one, whether the budget suffices).

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::access_log::AccessLogPlan;
use super::admin::AdminPlan;
use super::amount::{parse_bytes, parse_time, print_bytes, print_time};
use super::events::EventsPlan;
use super::keys::{self, Default as Standard, Key, Shape};
use super::lifecycle::LifecyclePlan;
use super::metrics::MetricsPlan;
use super::print::{self, Setting};
use super::rdma::RdmaPlan;
use super::receipts::MeasuringPlan;
use super::tls::{HandshakePlan, TlsPlan};
use super::trace::TracePlan;
use super::{Finding, Raw, Source};
use crate::credentials::{AccessKey, Secret};
use crate::limits;

/// What the machine has, as far as defaults depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Memory of the machine or of the control group, whichever is smaller.
    pub memory_bytes: u64,
    /// Cores that affinity and the control group's quota allow.
    pub cores: usize,
}

/// A choice that the machine may settle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preference {
    /// Take it where it works.
    Auto,
    /// Refuse to start without it.
    On,
    /// Do without.
    Off,
}

/// Which engine devices are to be driven by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineChoice {
    /// io_uring where it is allowed.
    Auto,
    /// io_uring or nothing.
    IoUring,
    /// pread and pwrite on threads.
    Blocking,
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line per event.
    Text,
    /// One JSON object per event.
    Json,
}

/// What a new bucket has where its request says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BucketDefaults {
    /// ACLs count, and nothing is blocked: what tools expect that set the stage by ACLs.
    #[default]
    Acl,
    /// What Amazon S3 gives since April 2023: BucketOwnerEnforced, and all of Public Access Block.
    Aws,
}

/// Bounds that an operator may set; `limits.rs` has the reasons for the defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time over all lanes.
    pub connections: usize,
    /// For the head of a request.
    pub header_time: Duration,
    /// For a connection without a request.
    pub idle_time: Duration,
    /// Time spent waiting for a request body.
    pub body_window: Duration,
    /// Bytes that have to arrive per window.
    pub body_bytes: u64,
    /// For a client that takes nothing of a response.
    pub send_stall: Duration,
    /// Of TLS.
    pub handshakes: HandshakePlan,
}

/// Everything the process needs to know before it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Directory of the store.
    pub data: PathBuf,
    /// Devices; empty for the extent file in `data`.
    pub devices: Vec<PathBuf>,
    /// Size of the extent file; `None` keeps it.
    pub extent_file_bytes: Option<u64>,
    /// Address space of the index.
    pub index_map_bytes: u64,
    /// Budget of the whole process.
    pub memory_bytes: u64,
    /// Number of lanes.
    pub lanes: usize,
    /// Whether lanes are bound to cores.
    pub pin_lanes: Preference,
    /// S3 addresses without TLS; together with those of TLS at least one.
    pub listen: Vec<SocketAddr>,
    /// TLS for S3; `None` for none.
    pub tls: Option<TlsPlan>,
    /// Administration address.
    pub admin_listen: SocketAddr,
    /// Who may come to it.
    pub admin: AdminPlan,
    /// Virtual-host domains, lower case.
    pub domains: Vec<String>,
    /// Region reported to clients.
    pub region: String,
    /// Publicly readable buckets.
    pub public_read: BTreeSet<String>,
    /// What new buckets have.
    pub bucket_defaults: BucketDefaults,
    /// Engine for devices.
    pub io_engine: EngineChoice,
    /// Huge pages for buffers.
    pub huge_pages: Preference,
    /// Locked memory for buffers.
    pub lock_memory: Preference,
    /// Credentials file.
    pub credentials: PathBuf,
    /// File of users beside it.
    pub users_file: Option<PathBuf>,
    /// Access key from the environment.
    pub environment_key: Option<AccessKey>,
    /// Time to finish after SIGTERM.
    pub drain_deadline: Duration,
    /// Log filter.
    pub log_level: String,
    /// Log form.
    pub log_format: LogFormat,
    /// Measuring requests.
    pub measuring: MeasuringPlan,
    /// Bounds on clients.
    pub limits: Limits,
    /// RDMA.
    pub rdma: RdmaPlan,
    /// Access log.
    pub access_log: AccessLogPlan,
    /// Traces.
    pub trace: TracePlan,
    /// Metrics of tenants.
    pub metrics: MetricsPlan,
    /// Event notifications.
    pub events: EventsPlan,
    /// Lifecycle.
    pub lifecycle: LifecyclePlan,
    /// Every key with what it comes to, to be shown. Secrets are hidden.
    pub settings: Vec<Setting>,
}

impl Plan {
    /// Works the plan out of what was written.
    ///
    /// # Errors
    /// All findings, in the order of the table.
    pub fn resolve(raw: &Raw, machine: &Machine) -> Result<Plan, Vec<Finding>> {
        let mut reader = Reader { raw, machine, findings: Vec::new() };
        let plan = reader.plan();
        let findings = reader.findings;
        match plan {
            Some(plan) if findings.is_empty() => Ok(plan),
            _ => Err(findings),
        }
    }
}

/// The texts that a key comes to, written or by default; none for a key without a default.
pub fn effective(raw: &Raw, key: &Key, machine: &Machine) -> (Vec<String>, Source) {
    if let Some(written) = raw.written(key) {
        return (written.values.clone(), written.source.clone());
    }
    let values = match key.default {
        Standard::Is(text) => vec![text.to_owned()],
        Standard::Nothing(_) => Vec::new(),
        Standard::WorkedOut(_) => worked_out(raw, key, machine).into_iter().collect(),
    };
    (values, Source::Default)
}

/// The defaults that depend on the machine or on another key.
fn worked_out(raw: &Raw, key: &Key, machine: &Machine) -> Option<String> {
    if *key == keys::MEMORY {
        let share = machine.memory_bytes / limits::MEMORY_DEFAULT_DIVISOR;
        let budget = share.clamp(limits::MEMORY_MIN, limits::MEMORY_DEFAULT_MAX);
        Some(print_bytes(budget & !((1 << 20) - 1)))
    } else if *key == keys::LANES {
        Some(machine.cores.clamp(1, limits::LANES_MAX).to_string())
    } else if *key == keys::CREDENTIALS {
        let data = raw.written(&keys::DATA)?.values.first()?;
        Some(PathBuf::from(data).join("credentials").display().to_string())
    } else if *key == keys::LIMIT_CONNECTIONS {
        let memory = effective(raw, &keys::MEMORY, machine).0;
        let memory = parse_bytes(memory.first()?).ok()?;
        let count = memory / limits::CONNECTIONS_MEMORY_DIVISOR / limits::CONNECTION_BYTES;
        let count = count.clamp(limits::CONNECTIONS_DEFAULT_MIN, limits::CONNECTIONS_DEFAULT_MAX);
        Some(count.to_string())
    } else if *key == keys::RDMA_STAGING {
        let memory = effective(raw, &keys::MEMORY, machine).0;
        let share = parse_bytes(memory.first()?).ok()? / limits::RDMA_STAGING_DEFAULT_DIVISOR;
        let staging = share.clamp(limits::RDMA_STAGING_BYTES_MIN, limits::RDMA_STAGING_DEFAULT_MAX);
        Some(print_bytes(staging & !((1 << 20) - 1)))
    } else {
        None
    }
}

/// Reads keys one by one and keeps every finding on the way.
pub(super) struct Reader<'a> {
    pub(super) raw: &'a Raw,
    machine: &'a Machine,
    findings: Vec<Finding>,
}

impl Reader<'_> {
    fn plan(&mut self) -> Option<Plan> {
        // Every field is read before the first `?`, so that one finding does not hide the next.
        let data = self.one(&keys::DATA, path);
        let devices = self.many(&keys::DEVICES, limits::DEVICES_MAX, path);
        let extent_file_bytes =
            self.optional(&keys::EXTENT_FILE, bytes(limits::EXTENT_FILE_BYTES_MIN, u64::MAX >> 1));
        let index_map_bytes = self
            .one(&keys::INDEX_MAP, bytes(limits::INDEX_MAP_BYTES_MIN, limits::INDEX_MAP_BYTES_MAX));
        let memory_bytes = self.one(&keys::MEMORY, bytes(limits::MEMORY_MIN, u64::MAX >> 1));
        let lanes = self.one(&keys::LANES, count(1, limits::LANES_MAX));
        let pin_lanes = self.one(&keys::PIN_LANES, preference);
        let listen = self.listen();
        let tls = self.tls(data.as_deref());
        let admin_listen = self.one(&keys::ADMIN_LISTEN, address);
        let admin = self.admin();
        if let (Some(admin), Some(address)) = (&admin, admin_listen) {
            self.admin_checks(admin, address);
        }
        let domains = self.many(&keys::DOMAINS, limits::DOMAINS_MAX, domain);
        let region = self.one(&keys::REGION, region);
        let public_read = self.many(&keys::PUBLIC_READ, limits::PUBLIC_READ_MAX, bucket);
        let bucket_defaults = self.one(&keys::BUCKET_DEFAULTS, bucket_defaults);
        let io_engine = self.one(&keys::IO_ENGINE, engine);
        let huge_pages = self.one(&keys::HUGE_PAGES, preference);
        let lock_memory = self.one(&keys::LOCK_MEMORY, preference);
        let environment_key = self.environment_key();
        let drain_deadline = self.one(&keys::DRAIN_DEADLINE, time);
        let log_level = self.one(&keys::LOG_LEVEL, log_level);
        let log_format = self.one(&keys::LOG_FORMAT, log_format);
        let measuring = self.measuring();
        let limits = self.limits();
        let rdma = self.rdma();
        let access_log = self.access_log();
        let trace = self.trace();
        let secure = tls.as_ref().map(|tls| tls.as_ref().map_or(&[][..], |it| &it.listen));
        let addresses =
            listen.as_deref().zip(secure).map(|(plain, secure)| [plain, secure].concat());
        if let Some(rdma) = &rdma {
            self.rdma_checks(rdma, addresses.as_deref(), memory_bytes);
        }
        let metrics = self.metrics();
        let events = self.events();
        let lifecycle = self.lifecycle();
        self.cross_checks(addresses.as_deref(), admin_listen, devices.as_deref());
        let data = data?;
        let credentials = match self.raw.written(&keys::CREDENTIALS) {
            Some(_) => self.one(&keys::CREDENTIALS, path)?,
            None => data.join("credentials"),
        };
        let users_file = match self.raw.written(&keys::USERS_FILE) {
            Some(_) => Some(self.one(&keys::USERS_FILE, path)?),
            None => None,
        };
        Some(Plan {
            data,
            devices: devices?,
            extent_file_bytes: extent_file_bytes?,
            index_map_bytes: index_map_bytes?,
            memory_bytes: memory_bytes?,
            lanes: lanes?,
            pin_lanes: pin_lanes?,
            listen: listen?,
            tls: tls?,
            admin_listen: admin_listen?,
            admin: admin?,
            domains: domains?,
            region: region?,
            public_read: public_read?.into_iter().collect(),
            bucket_defaults: bucket_defaults?,
            io_engine: io_engine?,
            huge_pages: huge_pages?,
            lock_memory: lock_memory?,
            credentials,
            users_file,
            environment_key: environment_key?,
            drain_deadline: drain_deadline?,
            log_level: log_level?,
            log_format: log_format?,
            measuring: measuring?,
            limits: limits?,
            rdma: rdma?,
            access_log: access_log?,
            trace: trace?,
            metrics: metrics?,
            events: events?,
            lifecycle: lifecycle?,
            settings: print::settings(self.raw, self.machine),
        })
    }

    /// Addresses without TLS; the word `off` stands for none.
    fn listen(&mut self) -> Option<Vec<SocketAddr>> {
        match effective(self.raw, &keys::LISTEN, self.machine).0.as_slice() {
            [word] if word == "off" => Some(Vec::new()),
            _ => self.many(&keys::LISTEN, limits::LISTEN_ADDRESSES_MAX, address),
        }
    }

    fn limits(&mut self) -> Option<Limits> {
        let connections = self.one(&keys::LIMIT_CONNECTIONS, count(1, limits::CONNECTIONS_MAX));
        let header_time = self.one(&keys::LIMIT_HEADER_TIME, time);
        let idle_time = self.one(&keys::LIMIT_IDLE_TIME, time);
        let body_window = self.one(&keys::LIMIT_BODY_WINDOW, time);
        let body_bytes = self.one(&keys::LIMIT_BODY_BYTES, bytes(1, 1 << 30));
        let send_stall = self.one(&keys::LIMIT_SEND_STALL, time);
        let handshakes = self.handshakes();
        Some(Limits {
            connections: connections?,
            header_time: header_time?,
            idle_time: idle_time?,
            body_window: body_window?,
            body_bytes: body_bytes?,
            send_stall: send_stall?,
            handshakes: handshakes?,
        })
    }

    /// Checks that no single key can make.
    fn cross_checks(
        &mut self,
        listen: Option<&[SocketAddr]>,
        admin: Option<SocketAddr>,
        devices: Option<&[PathBuf]>,
    ) {
        if let (Some(listen), Some(admin)) = (listen, admin) {
            if listen.is_empty() {
                let remedy = "write an address such as 127.0.0.1:9000, or set tls.listen";
                self.fault(&keys::LISTEN, Some("off".into()), "S3 would be served nowhere", remedy);
            }
            if admin.port() != 0 && listen.contains(&admin) {
                self.fault(
                    &keys::ADMIN_LISTEN,
                    Some(admin.to_string()),
                    "S3 is served on that address too",
                    "choose another port",
                );
            }
            let distinct: BTreeSet<_> = listen.iter().filter(|one| one.port() != 0).collect();
            if distinct.len() != listen.iter().filter(|one| one.port() != 0).count() {
                let problem = "the same address is given twice";
                self.fault(&keys::LISTEN, None, problem, "give each address once");
            }
        }
        let devices = devices.unwrap_or_default();
        if devices.iter().collect::<BTreeSet<_>>().len() != devices.len() {
            let problem = "the same device is given twice";
            self.fault(&keys::DEVICES, None, problem, "give each device once");
        }
        if !devices.is_empty() && self.raw.written(&keys::EXTENT_FILE).is_some() {
            self.fault(
                &keys::EXTENT_FILE,
                None,
                "there is no extent file when devices are listed",
                "remove extent_file or devices",
            );
        }
    }

    /// The pair from the environment: both or neither.
    fn environment_key(&mut self) -> Option<Option<AccessKey>> {
        let id = self.optional(&keys::ACCESS_KEY, access_key_id);
        let secret = self.optional(&keys::SECRET_KEY, secret);
        match (id?, secret?) {
            (Some(id), Some(secret)) => Some(Some(AccessKey { id: id.into(), secret })),
            (None, None) => Some(None),
            (present, _) => {
                let (has, lacks) = match present {
                    Some(_) => (keys::ACCESS_KEY, keys::SECRET_KEY),
                    None => (keys::SECRET_KEY, keys::ACCESS_KEY),
                };
                let problem = format!("set without {}", lacks.environment());
                let remedy = format!("set both, or neither; {} is missing", lacks.environment());
                self.fault(&has, None, &problem, &remedy);
                None
            }
        }
    }

    /// A key that always has exactly one value.
    pub(super) fn one<T>(
        &mut self,
        key: &'static Key,
        parse: impl Fn(&str) -> Parsed<T>,
    ) -> Option<T> {
        match self.optional(key, parse)? {
            Some(value) => Some(value),
            // Worked out from a key that has a finding of its own.
            None if matches!(key.default, Standard::WorkedOut(_)) => None,
            None => {
                let remedy = format!(
                    "give --{} or set {}, for example --{} {}",
                    key.flag(),
                    key.environment(),
                    key.flag(),
                    example(key.shape)
                );
                self.fault(key, None, "not given", &remedy);
                None
            }
        }
    }

    /// A key that may have no value. The outer `None` says that a finding was kept.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static Key,
        parse: impl Fn(&str) -> Parsed<T>,
    ) -> Option<Option<T>> {
        let (values, _) = effective(self.raw, key, self.machine);
        match values.as_slice() {
            [] => Some(None),
            [value] => match parse(value) {
                Ok(parsed) => Some(Some(parsed)),
                Err((problem, remedy)) => {
                    self.fault(key, Some(value.clone()), &problem, &remedy);
                    None
                }
            },
            several => {
                let listed = several.join(", ");
                self.fault(key, Some(listed), "takes one value", "give it once");
                None
            }
        }
    }

    /// A key with any number of values up to a bound.
    pub(super) fn many<T>(
        &mut self,
        key: &'static Key,
        most: usize,
        parse: impl Fn(&str) -> Parsed<T>,
    ) -> Option<Vec<T>> {
        let (values, _) = effective(self.raw, key, self.machine);
        if values.len() > most {
            let problem = format!("{} values, at most {most} are allowed", values.len());
            self.fault(key, None, &problem, "give fewer");
            return None;
        }
        let mut all = Vec::with_capacity(values.len());
        for value in &values {
            match parse(value) {
                Ok(parsed) => all.push(parsed),
                Err((problem, remedy)) => {
                    self.fault(key, Some(value.clone()), &problem, &remedy);
                }
            }
        }
        (all.len() == values.len()).then_some(all)
    }

    pub(super) fn fault(&mut self, key: &Key, value: Option<String>, problem: &str, remedy: &str) {
        let source = self.raw.written(key).map_or(Source::Default, |it| it.source.clone());
        self.findings.push(Finding {
            key: key.name.to_owned(),
            value: value.filter(|_| !key.secret),
            source: source.to_string(),
            problem: problem.to_owned(),
            remedy: remedy.to_owned(),
        });
    }
}

/// A parsed value, or what is wrong and what to write.
pub(super) type Parsed<T> = Result<T, (String, String)>;

pub(super) fn wrong<T>(problem: impl Into<String>, remedy: impl Into<String>) -> Parsed<T> {
    Err((problem.into(), remedy.into()))
}

/// What a value of that shape looks like.
fn example(shape: Shape) -> &'static str {
    match shape {
        Shape::Path => "/var/lib/penstock",
        Shape::Bytes => "512M",
        Shape::Count => "4",
        Shape::Time => "30s",
        Shape::Address => "127.0.0.1:9000",
        Shape::Text => "TEXT",
        Shape::Switch => "on",
        Shape::Choice(words) => words[0],
    }
}

pub(super) fn path(text: &str) -> Parsed<PathBuf> {
    match text.is_empty() || text.contains('\0') {
        true => wrong("not a path", "write a path such as /var/lib/penstock"),
        false => Ok(PathBuf::from(text)),
    }
}

pub(super) fn bytes(least: u64, most: u64) -> impl Fn(&str) -> Parsed<u64> {
    move |text| match parse_bytes(text) {
        Ok(bytes) if bytes < least => {
            wrong("too small", format!("write at least {}", print_bytes(least)))
        }
        Ok(bytes) if bytes > most => {
            wrong("too large", format!("write at most {}", print_bytes(most)))
        }
        Ok(bytes) => Ok(bytes),
        Err(problem) => wrong(problem, "write for example 512M or 64GiB"),
    }
}

pub(super) fn count(least: usize, most: usize) -> impl Fn(&str) -> Parsed<usize> {
    move |text| match text.trim().parse::<usize>() {
        Ok(count) if (least..=most).contains(&count) => Ok(count),
        Ok(_) => wrong("out of range", format!("write a number from {least} to {most}")),
        Err(_) => wrong("not a whole number", format!("write a number from {least} to {most}")),
    }
}

pub(super) fn time(text: &str) -> Parsed<Duration> {
    match parse_time(text) {
        Ok(time) if time.is_zero() => wrong("too short", "write at least 1ms"),
        Ok(time) if time > limits::CONFIGURED_TIME_MAX => {
            let most = print_time(limits::CONFIGURED_TIME_MAX);
            wrong("too long", format!("write at most {most}"))
        }
        Ok(time) => Ok(time),
        Err(problem) => wrong(problem, "write for example 30s, 500ms, 2m or 1h"),
    }
}

pub(super) fn address(text: &str) -> Parsed<SocketAddr> {
    let remedy = "write ADDRESS:PORT, for example 127.0.0.1:9000, 0.0.0.0:9000 or [::]:9000";
    if let Ok(address) = text.trim().parse::<SocketAddr>() {
        return Ok(address);
    }
    if text.trim().parse::<IpAddr>().is_ok() {
        return wrong("the port is missing", remedy);
    }
    wrong("not an address (names are not looked up)", remedy)
}

/// RFC 1123 host names, kept in lower case: `Host` is compared without regard to case.
fn domain(text: &str) -> Parsed<String> {
    let name = text.trim().trim_end_matches('.').to_ascii_lowercase();
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    match name.len() <= 253 && name.split('.').all(label) && name.parse::<IpAddr>().is_err() {
        true => Ok(name),
        false => wrong("not a domain name", "write for example s3.example.com, without a port"),
    }
}

fn region(text: &str) -> Parsed<String> {
    let usual = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    match (1..=64).contains(&text.len()) && text.bytes().all(usual) {
        true => Ok(text.to_owned()),
        false => wrong("not a region's name", "write for example us-east-1"),
    }
}

/// Whether S3 could have a bucket of that name. Reserved prefixes are let through: what does not
/// exist is harmless.
pub fn is_bucket_name(text: &str) -> bool {
    let usual = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.'
    };
    (3..=63).contains(&text.len()) && text.bytes().all(usual)
}

fn bucket(text: &str) -> Parsed<String> {
    match is_bucket_name(text) {
        true => Ok(text.to_owned()),
        false => wrong(
            "not a bucket's name",
            "write 3 to 63 lower-case letters, digits, dots and dashes",
        ),
    }
}

pub(super) fn choice<T: Copy>(text: &str, words: &[(&str, T)]) -> Parsed<T> {
    match words.iter().find(|(word, _)| *word == text) {
        Some((_, value)) => Ok(*value),
        None => {
            let listed: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            wrong("not one of the choices", format!("write one of {}", listed.join(", ")))
        }
    }
}

pub(super) fn switch(text: &str) -> Parsed<bool> {
    choice(text, &[("on", true), ("off", false)])
}

pub(super) fn preference(text: &str) -> Parsed<Preference> {
    choice(text, &[("auto", Preference::Auto), ("on", Preference::On), ("off", Preference::Off)])
}

fn engine(text: &str) -> Parsed<EngineChoice> {
    choice(
        text,
        &[
            ("auto", EngineChoice::Auto),
            ("io_uring", EngineChoice::IoUring),
            ("blocking", EngineChoice::Blocking),
        ],
    )
}

fn bucket_defaults(text: &str) -> Parsed<BucketDefaults> {
    choice(text, &[("acl", BucketDefaults::Acl), ("aws", BucketDefaults::Aws)])
}

fn log_format(text: &str) -> Parsed<LogFormat> {
    choice(text, &[("text", LogFormat::Text), ("json", LogFormat::Json)])
}

fn log_level(text: &str) -> Parsed<String> {
    match text.parse::<tracing_subscriber::filter::EnvFilter>() {
        Ok(_) if !text.trim().is_empty() => Ok(text.to_owned()),
        _ => wrong("not a log filter", "write error, warn, info, debug or trace"),
    }
}

fn access_key_id(text: &str) -> Parsed<String> {
    AccessKey::check_id(text)
        .map(|()| text.to_owned())
        .or_else(|problem| wrong(problem, "choose another id, or unset the variable"))
}

fn secret(text: &str) -> Parsed<Secret> {
    Secret::from_text(text)
        .or_else(|problem| wrong(problem, "choose another secret, or unset the variable"))
}
