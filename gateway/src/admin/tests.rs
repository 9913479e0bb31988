//! The routes over a real socket, the token, and the watch over keys.

mod tls;

use std::cell::RefCell;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::LocalSet;

use super::*;
use crate::admin::control::{KeyWatch, stamps};
use crate::admin::files::Contents;
use crate::admin::pass::{Pass, Token};
use crate::admin::state::{RequestState, State};
use crate::config::AdminPlan;
use crate::credentials::AccessKey;
use crate::credentials::file;
use crate::iam::{Iam, Places};
use crate::lane::{OrderError, OrderKind};
use crate::metrics::export::Observed;

#[derive(Default)]
struct Troubled(Mutex<Vec<String>>);

impl Health for Troubled {
    fn troubles(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

struct Fixed;

impl StateSource for Fixed {
    fn state(&self) -> State {
        let slow = vec![RequestState { id: "SLOW".into(), ..RequestState::default() }];
        let errors = vec![RequestState { id: "WRONG".into(), ..RequestState::default() }];
        State { version: "9.9".into(), slow, errors, ..State::default() }
    }
}

struct Site {
    address: std::net::SocketAddr,
    token: Token,
    draining: Arc<AtomicBool>,
    health: Arc<Troubled>,
    orders: RefCell<Option<mpsc::Receiver<Order>>>,
}

impl Site {
    /// At an address of this machine, but treated as one at `bound`.
    async fn start(bound: &str, plan: &AdminPlan) -> Site {
        let files = FileWatch::new(plan.clone());
        let contents = Contents::read(plan).unwrap();
        let bound = bound.parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let draining = Arc::new(AtomicBool::new(false));
        let observed = Observed {
            lanes: vec![Arc::default()],
            engine: "blocking",
            connections_limit: 1,
            draining: draining.clone(),
        };
        let health = Arc::new(Troubled::default());
        let (sender, orders) = mpsc::channel(1);
        let token = Token::generate().unwrap();
        let administration = Administration {
            exporter: Exporter::new(observed, Vec::new()),
            health: health.clone(),
            draining: draining.clone(),
            state: Arc::new(Fixed),
            orders: sender,
            access: RefCell::new(Access::new(bound, token.clone(), contents.tokens)),
        };
        let serving = serve(listener, Rc::new(administration), files, contents.tls);
        tokio::task::spawn_local(serving);
        Site { address, token, draining, health, orders: RefCell::new(Some(orders)) }
    }

    async fn ask(&self, line: &str, token: Option<&Token>) -> String {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        let shown = token.map_or(String::new(), |it| format!("Authorization: {}\r\n", it.header()));
        let request =
            format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{shown}\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

fn on_site(test: impl AsyncFnOnce(Site)) {
    on_site_at("127.0.0.1:9001", test);
}

fn on_site_at(bound: &str, test: impl AsyncFnOnce(Site)) {
    on_site_with(bound, &AdminPlan::default(), test);
}

fn on_site_with(bound: &str, plan: &AdminPlan, test: impl AsyncFnOnce(Site)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async { test(Site::start(bound, plan).await).await });
}

#[test]
fn metrics_health_and_nothing_else() {
    on_site(async |site| {
        let metrics = site.ask("GET /metrics", None).await;
        assert!(metrics.starts_with("HTTP/1.1 200"), "{metrics}");
        assert!(metrics.contains("version=0.0.4") && metrics.contains("penstock_build_info"));
        // It comes in pieces, of which the last is empty.
        assert!(
            metrics.contains("transfer-encoding: chunked") && metrics.ends_with("\r\n0\r\n\r\n")
        );
        let head = site.ask("HEAD /metrics", None).await;
        assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
        assert!(head.contains("version=0.0.4") && !head.contains("penstock_build_info"), "{head}");
        let state = site.ask("GET /api/v1/state", None).await;
        assert!(state.contains("application/json") && state.contains("\"version\":\"9.9\""));
        assert!(site.ask("PUT /api/v1/state", None).await.contains("405"));
        assert!(site.ask("GET /healthz", None).await.contains("{\"status\":\"ok\"}"));
        assert!(site.ask("GET /secrets", None).await.starts_with("HTTP/1.1 404"));
        assert!(site.ask("POST /metrics", None).await.starts_with("HTTP/1.1 405"));
    });
}

#[test]
fn the_state_the_console_and_the_log() {
    on_site(async |site| {
        let state = site.ask("GET /api/v1/state", None).await;
        let (head, body) = state.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("application/json"), "{head}");
        assert_eq!(serde_json::from_str::<State>(body).unwrap(), Fixed.state());
        assert!(site.ask("GET /api/v1/slow", None).await.contains("\"id\":\"SLOW\""));
        assert!(site.ask("GET /api/v1/errors", None).await.contains("\"id\":\"WRONG\""));
        let page = site.ask("GET /", None).await;
        assert!(page.contains("content-security-policy: default-src 'none'; script-src 'self'"));
        assert!(page.contains("<!doctype html>"), "{page}");
        let moved = site.ask("GET /console", None).await;
        assert!(moved.starts_with("HTTP/1.1 307") && moved.contains("location: /\r\n"), "{moved}");
        for asset in console::ASSETS {
            let text = site.ask(&format!("GET {}", asset.path), None).await;
            assert!(
                text.starts_with("HTTP/1.1 200") && text.ends_with(asset.text),
                "{}",
                asset.path
            );
        }
        assert!(site.ask("GET /console/../main.js", None).await.starts_with("HTTP/1.1 404"));
        assert!(site.ask("GET /api/v1/log", None).await.starts_with("HTTP/1.1 401"));
        crate::recent_log::PROCESS.push("INFO a line");
        let log = site.ask("GET /api/v1/log", Some(&site.token)).await;
        assert!(log.contains("INFO a line"), "{log}");
    });
}

#[test]
fn from_elsewhere_nothing_is_open_but_health_and_the_page() {
    on_site_at("0.0.0.0:9001", async |site| {
        site.health.0.lock().unwrap().push("/dev/nvme0n1 has failed".into());
        let ready = site.ask("GET /readyz", None).await;
        assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("\"ready\":false"), "{ready}");
        assert!(!ready.contains("nvme0n1"), "reasons are for readers");
        assert!(site.ask("GET /readyz", Some(&site.token)).await.contains("nvme0n1"));
        assert!(site.ask("GET /healthz", None).await.starts_with("HTTP/1.1 200"));
        assert!(site.ask("GET /", None).await.starts_with("HTTP/1.1 200"));
        let data = ["/metrics", "/api/v1/state", "/api/v1/slow", "/api/v1/errors", "/api/v1/log"];
        for path in data {
            let line = format!("GET {path}");
            let refused = site.ask(&line, None).await;
            assert!(refused.starts_with("HTTP/1.1 401"), "{path}: {refused}");
            assert!(refused.contains("www-authenticate: Bearer"), "{path}: {refused}");
            assert!(site.ask(&line, Some(&site.token)).await.starts_with("HTTP/1.1 200"), "{path}");
        }
    });
}

#[test]
fn readiness_says_why_not() {
    on_site(async |site| {
        let ready = site.ask("GET /readyz", None).await;
        assert!(ready.starts_with("HTTP/1.1 200") && ready.contains("\"ready\":true"));
        site.health.0.lock().unwrap().push("the store is read-only".into());
        site.draining.store(true, Ordering::Relaxed);
        let not = site.ask("GET /readyz", None).await;
        assert!(not.starts_with("HTTP/1.1 503"), "{not}");
        assert!(not.contains("draining") && not.contains("read-only"), "{not}");
    });
}

#[test]
fn an_order_needs_the_token_and_reaches_the_lane() {
    on_site(async |site| {
        let line = "PUT /buckets/models/public-read?on";
        let wrong = Token::generate().unwrap();
        for token in [None, Some(&wrong)] {
            assert!(site.ask(line, token).await.starts_with("HTTP/1.1 401"));
        }
        for malformed in ["PUT /buckets/models/public-read?maybe", "PUT /buckets/m/public-read"] {
            assert!(site.ask(malformed, Some(&site.token)).await.starts_with("HTTP/1.1 400"));
        }
        let lane = async {
            let mut orders = site.orders.take().unwrap();
            let first = orders.recv().await.unwrap();
            let what = OrderKind::PublicRead { bucket: "models".into(), on: true };
            assert_eq!(first.what, what);
            first.answer.send(Ok(())).unwrap();
            let second = orders.recv().await.unwrap();
            second.answer.send(Err(OrderError::NoSuchBucket("models".into()))).unwrap();
        };
        let asks = async {
            assert!(site.ask(line, Some(&site.token)).await.starts_with("HTTP/1.1 200"));
            let missing = site.ask(line, Some(&site.token)).await;
            assert!(missing.starts_with("HTTP/1.1 404") && missing.contains("models"));
        };
        tokio::join!(lane, asks);
    });
}

#[test]
fn the_pass_is_private_while_the_server_runs_and_then_gone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let token = Token::generate().unwrap();
    let pass = Pass { address: "127.0.0.1:9001".parse().unwrap(), token, certificate: None };
    let left = pass.leave(folder.path()).unwrap();
    let file = folder.path().join("admin.json");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(Pass::find(folder.path()).unwrap(), pass);
    assert_eq!(crate::admin::pass::process(folder.path()), Some(std::process::id()));
    drop(left);
    assert!(Pass::find(folder.path()).is_err());
    assert!(!format!("{pass:?}").contains(&pass.token.header()[7..]));
}

#[test]
fn the_ring_follows_the_file_but_never_into_lockout() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credentials");
    let first = file::open(&path, true).unwrap().generated.unwrap();
    let open = |environment_key| {
        let places = Places { credentials: path.clone(), users: None, environment_key };
        let states = stamps(&places);
        let ring = Arc::new(Iam::open(places, folder.path().join("session-keys")).unwrap());
        (ring.clone(), KeyWatch::new(ring, states))
    };
    let (ring, mut watch) = open(None);
    let second = AccessKey::generate().unwrap();
    file::add(&path, &second).unwrap();
    watch.look();
    let known = ring.known(&second.id).map(|known| known.secret);
    assert_eq!(known, Some(second.secret.clone()));
    let removed: Result<(), file::CredentialsError> = file::update(&path, |document| {
        document.keys.retain(|key| *key.id != *first.id);
        Ok(())
    });
    removed.unwrap();
    watch.look();
    assert_eq!(ring.ids(), std::slice::from_ref(&second.id));
    std::fs::write(&path, "rubbish").unwrap();
    watch.look();
    std::fs::remove_file(&path).unwrap();
    watch.look();
    assert_eq!(ring.ids(), std::slice::from_ref(&second.id), "the old keys stay");
    let (ring, mut watch) = open(Some(first.clone()));
    watch.reload();
    assert_eq!(ring.ids(), std::slice::from_ref(&first.id));
}
