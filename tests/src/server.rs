//! Owns: the real binary as a child process: its ports, its data directory, its log, its end.
//!
//! States of a [`Server`]: running from [`Options::start`] until [`Server::kill`],
//! [`Server::terminate`] or its drop, which kills what still runs. The data directory lives as long
//! as its [`Site`], so a server can be started again on what an earlier one left.
//!
//! Limits: `READY_WITHIN`, `EXIT_WITHIN`.

mod memory;
mod metrics;
mod ports;

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::client::Client;
use crate::http::{Connection, Response};
use crate::limits;
use crate::sign::{Credentials, Request};

pub use memory::{MemoryUse, MemoryWatch};
pub use metrics::Metrics;
pub use ports::free_port;

/// A place for one store and its logs; removed at the end unless `GATEWAY_TEST_KEEP` is set.
#[derive(Debug)]
pub struct Site {
    folder: tempfile::TempDir,
    credentials: Credentials,
}

/// What a server is started with. The defaults: 256 MiB of memory, an extent file of 1 GiB, free
/// ports, known credentials.
#[derive(Debug, Clone)]
pub struct Options {
    /// `--memory`.
    pub memory: String,
    /// More arguments of `serve`.
    pub arguments: Vec<String>,
    /// More environment.
    pub environment: Vec<(String, String)>,
    /// Command that the binary and its arguments are appended to: strace, setpriv, valgrind.
    pub launcher: Vec<String>,
    /// The binary; `None` is the one under test.
    pub binary: Option<PathBuf>,
    /// How long the start may take.
    pub ready_within: Duration,
    /// Whether the credentials come from the environment or from the store's own file.
    pub give_credentials: bool,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// The process that serves: the child itself, or what its launcher forked.
    served_by: Option<u32>,
    /// S3 endpoint.
    pub address: SocketAddr,
    /// Admin endpoint.
    pub admin: SocketAddr,
    credentials: Credentials,
    log: PathBuf,
}

impl Site {
    /// An empty place under `GATEWAY_TEST_DIR`, or the system's temporary folder. It must be on a
    /// file system that takes O_DIRECT.
    pub fn new() -> Self {
        let parent =
            std::env::var_os("GATEWAY_TEST_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let mut folder = tempfile::Builder::new()
            .prefix("penstock-test-")
            .tempdir_in(&parent)
            .unwrap_or_else(|error| panic!("a test folder in {}: {error}", parent.display()));
        folder.disable_cleanup(std::env::var_os("GATEWAY_TEST_KEEP").is_some());
        let credentials = Credentials {
            access_key: "TESTACCESSKEY0000001".to_owned(),
            secret_key: "test/secret+key000000000000000000000000001".to_owned(),
        };
        Self { folder, credentials }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The store's directory.
    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// The credentials that servers on this site are started with.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Adds another access key to the store's file, beside the one that servers are started with.
    ///
    /// # Panics
    /// When `penstock keys add` fails.
    pub fn add_key(&self) -> Credentials {
        let output = without_settings(Command::new(binary()))
            .args(["keys", "add", "--data"])
            .arg(self.data())
            .output()
            .expect("penstock keys can be started");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.unwrap_or_else(|| panic!("penstock keys add ({}): {text}", output.status))
        };
        Credentials {
            access_key: value("AWS_ACCESS_KEY_ID").to_owned(),
            secret_key: value("AWS_SECRET_ACCESS_KEY").to_owned(),
        }
    }

    /// Runs `penstock check --data` to its end.
    pub fn check(&self) -> Output {
        without_settings(Command::new(binary()))
            .arg("check")
            .arg("--data")
            .arg(self.data())
            .output()
            .expect("penstock check can be started")
    }

    /// Runs `penstock check` and fails when it finds anything.
    pub fn assert_consistent(&self) {
        let output = self.check();
        assert!(
            output.status.success(),
            "penstock check found something ({}):\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            memory: "256M".to_owned(),
            arguments: Vec::new(),
            environment: vec![("PENSTOCK_EXTENT_FILE".to_owned(), "1GiB".to_owned())],
            launcher: Vec::new(),
            binary: None,
            ready_within: limits::READY_WITHIN,
            give_credentials: true,
        }
    }
}

impl Options {
    /// Sets the memory budget, as `--memory` takes it.
    #[must_use]
    pub fn memory(mut self, memory: &str) -> Self {
        memory.clone_into(&mut self.memory);
        self
    }

    /// Adds an argument.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn environment(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Sets the size of the embedded extent file.
    #[must_use]
    pub fn extent_bytes(self, bytes: u64) -> Self {
        self.environment("PENSTOCK_EXTENT_FILE", bytes.to_string())
    }

    /// Sets the launcher.
    #[must_use]
    pub fn launcher<T: Into<String>>(mut self, launcher: impl IntoIterator<Item = T>) -> Self {
        self.launcher = launcher.into_iter().map(Into::into).collect();
        self
    }

    /// Starts a server and waits until it is ready.
    ///
    /// # Panics
    /// When it ends or is not ready in time; the message carries its log.
    pub fn start(&self, site: &Site) -> Server {
        let mut server = self.spawn(site);
        server.wait_ready(self.ready_within);
        server
    }

    /// Starts a server without waiting.
    pub fn spawn(&self, site: &Site) -> Server {
        let (port, admin_port) = (free_port(), free_port());
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let admin = SocketAddr::from(([127, 0, 0, 1], admin_port));
        let log = site.path().join(format!("server-{port}.log"));
        let mut command = self.command(site, address, admin);
        let file = File::create(&log).expect("the log can be created");
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("the log can be shared"))
            .stderr(file);
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{:?} does not start: {error}", command.get_program()));
        let credentials = site.credentials.clone();
        Server { child, served_by: None, address, admin, credentials, log }
    }

    fn command(&self, site: &Site, address: SocketAddr, admin: SocketAddr) -> Command {
        let program = self.binary.clone().unwrap_or_else(binary);
        let mut words: Vec<std::ffi::OsString> =
            self.launcher.iter().map(std::ffi::OsString::from).collect();
        words.push(program.into());
        let mut command = without_settings(Command::new(&words[0]));
        command
            .args(&words[1..])
            .arg("serve")
            .arg("--data")
            .arg(site.data())
            .args(["--listen", &address.to_string(), "--admin-listen", &admin.to_string()])
            .args(["--memory", &self.memory])
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        if self.give_credentials {
            command
                .env("PENSTOCK_ACCESS_KEY", &site.credentials.access_key)
                .env("PENSTOCK_SECRET_KEY", &site.credentials.secret_key);
        }
        command
    }
}

impl Server {
    /// A new client with the site's credentials.
    pub fn client(&self) -> Client {
        Client::new(self.address, self.credentials.clone())
    }

    /// A bare connection to the S3 endpoint.
    pub fn connect(&self) -> io::Result<Connection> {
        Connection::open(self.address)
    }

    /// Process id of the server itself, also under a launcher that forks (strace).
    pub fn pid(&self) -> u32 {
        self.served_by.unwrap_or_else(|| self.child.id())
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// GET on the admin endpoint.
    pub fn admin(&self, path: &str) -> io::Result<Response> {
        let mut connection = Connection::open(self.admin)?;
        let request = Request::new("GET", path)
            .header("Host", &self.admin.to_string())
            .header("Connection", "close");
        connection.send(&request.bytes())?;
        connection.receive(true)
    }

    /// The present metrics.
    pub fn metrics(&self) -> Metrics {
        let response = self.admin("/metrics").expect("/metrics answers");
        assert_eq!(response.status, 200, "/metrics: {}", response.text());
        Metrics::parse(&response.text())
    }

    /// Memory of the process now.
    pub fn memory(&self) -> MemoryUse {
        MemoryUse::of(self.pid()).expect("the server runs")
    }

    /// Waits until no request holds a share of the arena any more.
    ///
    /// # Panics
    /// When something is still held after `EXIT_WITHIN`: a reserve has leaked.
    pub fn assert_nothing_reserved(&self) {
        let deadline = Instant::now() + limits::EXIT_WITHIN;
        loop {
            let held = self.metrics().value("penstock_store_share_reserved_bytes", &[]);
            if held == 0.0 {
                return;
            }
            assert!(Instant::now() < deadline, "{held} bytes of the arena are still reserved");
            std::thread::sleep(limits::POLL_EVERY);
        }
    }

    /// Starts watching the process's memory.
    pub fn watch_memory(&self) -> MemoryWatch {
        MemoryWatch::start(self.pid())
    }

    /// Waits until `/readyz` says yes.
    pub fn wait_ready(&mut self, within: Duration) {
        let deadline = Instant::now() + within;
        while !self.admin("/readyz").is_ok_and(|response| response.status == 200) {
            if let Some(status) = self.child.try_wait().expect("the child can be asked") {
                panic!("the server ended at its start ({status}):\n{}", self.log());
            }
            assert!(Instant::now() < deadline, "not ready in {within:?}:\n{}", self.log());
            std::thread::sleep(limits::POLL_EVERY);
        }
        self.served_by = served_by(self.child.id());
    }

    /// Waits for the end of a server that is expected to end by itself.
    pub fn wait_exit(&mut self, within: Duration) -> ExitStatus {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().expect("the child can be asked") {
                return status;
            }
            assert!(Instant::now() < deadline, "still running after {within:?}:\n{}", self.log());
            std::thread::sleep(limits::POLL_EVERY);
        }
    }

    /// kill -9 of the server itself, and waits for its end.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        let status = self.child.wait().expect("a killed child can be awaited");
        let killed = status.signal() == Some(9) || status.code() == Some(128 + 9);
        assert!(killed, "it had ended before the kill ({status}):\n{}", self.log());
    }

    /// SIGTERM, then waits for the end.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait_exit(limits::EXIT_WITHIN)
    }

    /// Sends a signal to the process that serves.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a process id");
        rustix::process::kill_process(pid, signal).expect("the server can be signalled");
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("the child can be asked").is_none()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            if self.served_by.is_some_and(|pid| pid != self.child.id()) {
                self.signal(Signal::KILL);
            }
            // The child may end between the question and the kill: then there is nothing to do.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let shown = lines.len().saturating_sub(limits::LOG_LINES_SHOWN);
            eprintln!("--- log of the server ---\n{}", lines[shown..].join("\n"));
        }
    }
}

/// The binary under test: `GATEWAY_TEST_BIN`, or the one beside the test in the target directory.
///
/// # Panics
/// When there is none: the tests never build it themselves.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("GATEWAY_TEST_BIN") {
        let path = PathBuf::from(path);
        assert!(path.is_file(), "GATEWAY_TEST_BIN={} is not a file", path.display());
        return path;
    }
    let test = std::env::current_exe().expect("the test knows its own path");
    let folder = test.parent().and_then(Path::parent).expect("tests live in target/PROFILE/deps");
    let path = folder.join("penstock");
    assert!(path.is_file(), "{} is missing: cargo build -p gateway", path.display());
    path
}

/// The command without the settings of whoever runs the tests: the server reads every variable that
/// starts with `PENSTOCK_`, and refuses those it does not know.
pub fn without_settings(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PENSTOCK_") {
            command.env_remove(name);
        }
    }
    command
}

/// The only child of a launcher that forks and waits (strace), or nothing.
fn served_by(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}
