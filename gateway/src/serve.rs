//! `penstock serve`: everything is opened in order, then watched over, then closed in reverse.
//!
//! Owns: the order of the start (cheap checks first: addresses before a store that may take
//! minutes), the start message, and the exit code.
//! Not here: what is behind the door; it comes in as [`Behind`].

use std::cell::RefCell;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::task::LocalSet;

use crate::admin::access::{Access, is_loopback};
use crate::admin::control::{self, End, KeyWatch, Signals};
use crate::admin::files::{Contents, FileWatch};
use crate::admin::pass::{Pass, Token};
use crate::admin::state::SettingState;
use crate::admin::state::keeper::{self, Keeper, Sources};
use crate::admin::{self, Administration, Health};
use crate::config::{Plan, Preference};
use crate::credentials::AccessKey;
use crate::credentials::document::Document;
use crate::credentials::file;
use crate::door::{DoorSettings, request_id};
use crate::iam::{Iam, Places};
use crate::lane::{
    Application, LanePlan, Lanes, Pinning, SecureListeners, Settled, engine, listener,
};
use crate::limits;
use crate::metrics::export::Observed;
use crate::metrics::{Exporter, Figures};
use crate::observe;
use crate::tls::Tls;
use crate::tls::kernel::Kernel;
use crate::tls::self_signed::{self, SelfSigned};

/// Everything behind the door.
pub struct Behind<A> {
    /// Opens its part on each lane.
    pub application: Arc<A>,
    /// Its paragraph of the start message.
    pub introduction: String,
    /// What it reports to metrics.
    pub figures: Arc<dyn Figures>,
    /// What it reports to `/readyz`.
    pub health: Arc<dyn Health>,
    /// Closes it, after all lanes have ended.
    pub close: Close,
}

/// Serves until stopped. The answer is how it ended.
///
/// # Errors
/// One line for the operator, with the remedy, when it does not come to serving.
pub fn run<A: Application>(
    plan: &Plan,
    cores: usize,
    open: impl FnOnce(&Plan, &Settled, Arc<Iam>) -> Result<Behind<A>, String>,
) -> Result<End, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let local = LocalSet::new();
    let mut close = None;
    let outcome = local.block_on(&runtime, start(plan, cores, open, &mut close));
    // Closing waits for threads, which a runtime's thread may not.
    drop(local);
    drop(runtime);
    if let (Some(close), true) = (close, outcome != Ok(End::Impatient)) {
        close();
    }
    outcome
}

/// How to close what was opened, once it was.
type Close = Box<dyn FnOnce()>;

async fn start<A: Application>(
    plan: &Plan,
    cores: usize,
    open: impl FnOnce(&Plan, &Settled, Arc<Iam>) -> Result<Behind<A>, String>,
    close: &mut Option<Close>,
) -> Result<End, String> {
    let mut signals = Signals::listen().map_err(|error| format!("no signals: {error}"))?;
    raise_descriptor_limit(plan.limits.connections);
    let settled = engine::settle(plan.io_engine)?;
    // Looked at before reading: a change in between is then seen at the first look.
    let files = FileWatch::new(plan.admin.clone());
    let admin = Contents::read(&plan.admin).map_err(|error| error.to_string())?;
    let bound = Bound::to(plan)?;
    make_directory(&plan.data)?;
    let secure = Secure::open(plan)?;
    let mut keys = Keys::open(plan)?;
    let behind = open(plan, &settled, keys.ring.clone()).inspect_err(|_| keys.take_back())?;
    *close = Some(behind.close);
    let token = Token::generate().map_err(|error| format!("no random numbers: {error}"))?;
    let certificate = match &plan.admin.tls {
        Some(tls) => {
            Some(std::path::absolute(&tls.certificate).map_err(|error| error.to_string())?)
        }
        None => None,
    };
    let pass = Pass { address: bound.admin_address, token: token.clone(), certificate };
    // There for as long as the server runs.
    let _left = pass
        .leave(&plan.data)
        .map_err(|error| format!("cannot write into {}: {error}", plan.data.display()))?;
    let pinning = Pinning::choose(plan.pin_lanes, plan.lanes, cores);
    let message = StartMessage {
        plan,
        settled: &settled,
        pinned: !pinning.cores.is_empty(),
        introduction: &behind.introduction,
        bound: &bound,
        secure: secure.as_ref(),
        keys: &keys,
    }
    .to_text();
    let host_id = request_id::host_id().map_err(|error| format!("no random numbers: {error}"))?;
    let observation = observe::start(plan, &host_id)?;
    let lane_plan = LanePlan {
        engine: settled.engine,
        pinning,
        limits: plan.limits.clone(),
        door: Arc::new(DoorSettings {
            domains: plan.domains.clone(),
            host_id,
            receipts: plan.measuring.receipts,
        }),
        listeners: bound.lanes,
        secure: secure.as_ref().map(|secure| SecureListeners {
            tls: secure.tls.clone(),
            listeners: bound.secure_lanes,
        }),
        measures: plan.measuring.requests,
        sinks: observation.sinks,
    };
    let mut lanes = Lanes::start(lane_plan, behind.application)?;
    // The message comes when everything it says is true. A closed standard output is no reason to
    // stop serving.
    let _ = std::io::Write::write_all(&mut std::io::stdout(), message.as_bytes());
    yield_to_lanes();
    let draining = Arc::new(AtomicBool::new(false));
    let observed = Observed {
        lanes: lanes.cells().to_vec(),
        engine: settled.engine.label(),
        connections_limit: plan.limits.connections,
        draining: draining.clone(),
    };
    let mut figures = vec![behind.figures, lanes.loads().clone()];
    let tls = secure.map(|secure| secure.tls);
    figures.extend(tls.clone().map(|tls| tls as Arc<dyn Figures>));
    let health: Arc<dyn Health> = Arc::new(WholeHealth { behind: behind.health, tls: tls.clone() });
    let keeper = Arc::new(Keeper::new(Sources {
        exporter: Exporter::new(observed.clone(), figures.clone()),
        health: health.clone(),
        draining: draining.clone(),
        remembered: observation.remembered,
        settings: plan.settings.iter().map(SettingState::from).collect(),
    }));
    figures.push(keeper.clone());
    figures.extend(observation.figures);
    let administration = Administration {
        exporter: Exporter::new(observed, figures).with_exemplars(observation.exemplars),
        health,
        state: keeper.clone(),
        draining: draining.clone(),
        orders: lanes.orders.clone(),
        access: RefCell::new(Access::new(bound.admin_address, token, admin.tokens)),
    };
    let keeping = tokio::task::spawn_local(keeper::run(keeper));
    let serving = admin::serve(bound.admin, Rc::new(administration), files, admin.tls);
    let administering = tokio::task::spawn_local(serving);
    let deadline = plan.drain_deadline;
    let tls = tls.as_deref();
    let end =
        control::watch(&mut lanes, &mut signals, &mut keys.watch, tls, &draining, deadline).await;
    tracing::info!("{end}");
    if end != End::Impatient {
        lanes.join();
        observation.closing.close();
    }
    administering.abort();
    keeping.abort();
    Ok(end)
}

/// Lets lanes go first from now on: this thread writes 50,000 series in some 10 ms when it is asked
/// for them, and would have half a core to itself meanwhile that a lane is bound to. Lanes and what
/// they wait for have threads already, which keep their priority.
fn yield_to_lanes() {
    let this_thread = Some(rustix::thread::gettid());
    if let Err(error) = rustix::process::setpriority_process(this_thread, limits::ADMIN_NICENESS) {
        tracing::debug!(%error, "administration has the priority of lanes");
    }
}

/// All sockets, before anything that takes long.
struct Bound {
    lanes: Vec<Vec<std::net::TcpListener>>,
    addresses: Vec<SocketAddr>,
    secure_lanes: Vec<Vec<std::net::TcpListener>>,
    secure_addresses: Vec<SocketAddr>,
    admin: tokio::net::TcpListener,
    admin_address: SocketAddr,
}

impl Bound {
    fn to(plan: &Plan) -> Result<Bound, String> {
        let (lanes, addresses) = bind(&plan.listen, plan.lanes)?;
        let secure = plan.tls.as_ref().map_or(&[][..], |tls| &tls.listen);
        let (secure_lanes, secure_addresses) = bind(secure, plan.lanes)?;
        let address = plan.admin_listen;
        let admin = listener::listen(address, false)
            .map_err(|error| listener::ListenError { address, error }.to_string())?;
        let admin = tokio::net::TcpListener::from_std(admin).map_err(|error| error.to_string())?;
        let admin_address = admin.local_addr().map_err(|error| error.to_string())?;
        Ok(Bound { lanes, addresses, secure_lanes, secure_addresses, admin, admin_address })
    }
}

/// Listeners of each lane, and the addresses that they came to.
type BoundLanes = (Vec<Vec<std::net::TcpListener>>, Vec<SocketAddr>);

fn bind(addresses: &[SocketAddr], lanes: usize) -> Result<BoundLanes, String> {
    let lanes = listener::bind(addresses, lanes).map_err(|error| error.to_string())?;
    let first = lanes.iter().take(1).flatten();
    let addresses = first.map(|one| one.local_addr().map_err(|error| error.to_string()));
    let addresses = addresses.collect::<Result<Vec<_>, _>>()?;
    Ok((lanes, addresses))
}

/// TLS at start.
struct Secure {
    tls: Arc<Tls>,
    self_signed: Option<SelfSigned>,
    /// Why the kernel does not encrypt; none where it does.
    without: Option<String>,
}

impl Secure {
    fn open(plan: &Plan) -> Result<Option<Secure>, String> {
        let Some(tls) = &plan.tls else { return Ok(None) };
        let self_signed = match tls.self_signed {
            true => {
                let names = self_signed::names(&tls.listen, &plan.domains);
                Some(self_signed::ensure(tls, &names)?)
            }
            false => None,
        };
        let asked = match tls.kernel {
            Preference::Off => Err("tls.kernel = off".to_owned()),
            Preference::Auto | Preference::On => Kernel::probe(),
        };
        let (kernel, without) = match (asked, tls.kernel) {
            (Ok(kernel), _) => (Some(kernel), None),
            (Err(reason), Preference::On) => return Err(format!("tls.kernel = on: {reason}")),
            (Err(reason), _) => (None, Some(reason)),
        };
        let tls = Tls::open(tls, kernel).map_err(|error| error.to_string())?;
        Ok(Some(Secure { tls: Arc::new(tls), self_signed, without }))
    }
}

/// What is behind the door, and certificates.
struct WholeHealth {
    behind: Arc<dyn Health>,
    tls: Option<Arc<Tls>>,
}

impl Health for WholeHealth {
    fn troubles(&self) -> Vec<String> {
        self.behind.troubles()
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.behind.warnings();
        warnings.extend(self.tls.iter().flat_map(|tls| tls.warnings()));
        warnings
    }
}

/// The keys at start.
struct Keys {
    ring: Arc<Iam>,
    watch: KeyWatch,
    /// What was made just now, and the file it was written to.
    generated: Option<(AccessKey, PathBuf)>,
}

impl Keys {
    fn open(plan: &Plan) -> Result<Keys, String> {
        let places = Places {
            credentials: plan.credentials.clone(),
            users: plan.users_file.clone(),
            environment_key: plan.environment_key.clone(),
        };
        let declared = plan.users_file.as_deref().map(file::read_users).transpose();
        let declared = declared.map_err(|error| error.to_string())?.unwrap_or_default();
        let generate = plan.environment_key.is_none() && declared.keys.is_empty();
        let opened = file::open(&plan.credentials, generate).map_err(|error| error.to_string())?;
        // Looked at before reading: a change in between is then seen at the first look.
        let states = control::stamps(&places);
        let seal = plan.data.join("session-keys");
        let ring = Arc::new(Iam::open(places, seal).map_err(|error| error.to_string())?);
        let watch = KeyWatch::new(ring.clone(), states);
        let generated = opened.generated.map(|key| (key, plan.credentials.clone()));
        Ok(Keys { ring, watch, generated })
    }

    /// Removes what was generated for a start that failed: its secret was never shown, and the next
    /// start shows the one that it generates.
    fn take_back(&self) {
        if let Some((_, path)) = &self.generated
            && let Err(error) = fs::remove_file(path)
        {
            tracing::warn!(%error, path = %path.display(), "keys nobody has seen are left");
        }
    }
}

fn make_directory(data: &Path) -> Result<(), String> {
    // Objects of all users are in there: the owner's alone.
    fs::DirBuilder::new().recursive(true).mode(0o700).create(data).map_err(|error| {
        format!(
            "cannot make the data directory {}: {error}; choose another with --data, or have it \
             made for this user",
            data.display()
        )
    })
}

/// Raises the soft limit on descriptors to the hard one, and says when that is not enough.
fn raise_descriptor_limit(connections: usize) {
    let present = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: present.maximum, maximum: present.maximum };
    if present.current != present.maximum && setrlimit(Resource::Nofile, wanted).is_err() {
        tracing::warn!("the limit on file descriptors could not be raised");
    }
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let needed = connections as u64 + limits::DESCRIPTORS_RESERVED;
    if limit < needed {
        tracing::warn!(limit, needed, "fewer file descriptors than connections; raise ulimit -n");
    }
}

/// What is printed when everything serves.
struct StartMessage<'a> {
    plan: &'a Plan,
    settled: &'a Settled,
    pinned: bool,
    introduction: &'a str,
    bound: &'a Bound,
    secure: Option<&'a Secure>,
    keys: &'a Keys,
}

impl StartMessage<'_> {
    fn to_text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let plan = self.plan;
        writeln!(out, "Penstock {}", env!("CARGO_PKG_VERSION"))?;
        let pinned = if self.pinned { ", each on its core" } else { "" };
        let engine = self.settled.engine.label();
        writeln!(out, "lanes: {} on {engine}{pinned}", plan.lanes)?;
        if let Some(reason) = &self.settled.reason {
            writeln!(out, "  without io_uring: {reason}")?;
        }
        writeln!(out, "data: {}", plan.data.display())?;
        writeln!(out, "{}", self.introduction.trim_end())?;
        writeln!(out, "connections: at most {}", plan.limits.connections)?;
        for address in &self.bound.addresses {
            writeln!(out, "S3: http://{address} (region {})", plan.region)?;
        }
        let scheme = if plan.listen.is_empty() { "https" } else { "http" };
        self.write_tls(out)?;
        for domain in &plan.domains {
            writeln!(out, "  buckets also as {scheme}://BUCKET.{domain}")?;
        }
        self.write_administration(out)?;
        self.write_keys(out)
    }

    fn write_tls(&self, out: &mut String) -> std::fmt::Result {
        let Some(secure) = self.secure else { return Ok(()) };
        for address in &self.bound.secure_addresses {
            writeln!(out, "S3: https://{address} (region {})", self.plan.region)?;
        }
        match &secure.without {
            None => writeln!(out, "  encrypted by the kernel (kTLS)")?,
            Some(reason) => writeln!(out, "  encrypted in this process: {reason}")?,
        }
        let current = secure.tls.current();
        for one in &current.shown {
            let names = match one.names.as_slice() {
                [] => "no names".to_owned(),
                names => names.join(", "),
            };
            writeln!(out, "  certificate {} ({names})", one.file.display())?;
        }
        if let (Some(made), [first, ..]) = (&secure.self_signed, current.shown.as_slice()) {
            let made = if made.made { "made now" } else { "made before" };
            writeln!(out, "  self-signed, {made}; clients have to be told to trust that file")?;
            writeln!(out, "  SHA-256 {}", first.fingerprint)?;
        }
        for warning in secure.tls.warnings() {
            writeln!(out, "  {warning}")?;
        }
        Ok(())
    }

    fn write_administration(&self, out: &mut String) -> std::fmt::Result {
        let (address, admin) = (self.bound.admin_address, &self.plan.admin);
        let scheme = if admin.tls.is_some() { "https" } else { "http" };
        writeln!(out, "administration: {scheme}://{address} (console, /metrics, /readyz)")?;
        if !is_loopback(address.ip()) && admin.tls.is_none() {
            writeln!(
                out,
                "  without TLS: tokens can be read on the network; set admin.tls_certificate"
            )?;
        }
        Ok(())
    }

    fn write_keys(&self, out: &mut String) -> std::fmt::Result {
        let path = self.plan.credentials.display();
        if let Some((key, _)) = &self.keys.generated {
            writeln!(out, "access key made for this store, the secret is shown this once:")?;
            writeln!(out, "  AWS_ACCESS_KEY_ID={}", key.id)?;
            writeln!(out, "  AWS_SECRET_ACCESS_KEY={}", key.secret.reveal())?;
            return writeln!(out, "  kept in {path}");
        }
        let directory = self.keys.ring.directory();
        let of = |id: &str, document: &Document| document.keys.iter().any(|key| *key.id == *id);
        for (count, id) in directory.ids().enumerate() {
            if count == limits::KEYS_SHOWN_MAX {
                writeln!(out, "and {} more access keys", directory.ids().count() - count)?;
                break;
            }
            let from = match (&self.plan.environment_key, &self.plan.users_file) {
                (Some(key), _) if key.id == *id => "PENSTOCK_ACCESS_KEY".to_owned(),
                (_, Some(users)) if of(id, &directory.declared) => users.display().to_string(),
                _ => path.to_string(),
            };
            writeln!(out, "access key: {id} (from {from})")?;
        }
        Ok(())
    }
}
