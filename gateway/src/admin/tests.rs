//! The routes over a real socket, the token, and the watch over keys.

use std::cell::RefCell;
use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::LocalSet;

use super::*;
use crate::admin::control::KeyWatch;
use crate::admin::pass::{Pass, Token};
use crate::credentials::file::{self, Stamp};
use crate::credentials::{AccessKey, KeyRing};
use crate::metrics::export::Observed;

#[derive(Default)]
struct Troubled(Mutex<Vec<String>>);

impl Health for Troubled {
    fn troubles(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

struct Running;

impl state::StateSource for Running {
    fn state(&self) -> state::State {
        state::State { uptime_seconds: 7.5, ..state::State::default() }
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
    async fn start() -> Site {
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
            exporter: Exporter::new(observed, Vec::new()).unwrap(),
            health: health.clone(),
            state: Arc::new(Running),
            draining: draining.clone(),
            orders: sender,
            token: token.clone(),
        };
        tokio::task::spawn_local(serve(listener, Rc::new(administration)));
        Site { address, token, draining, health, orders: RefCell::new(Some(orders)) }
    }

    async fn ask(&self, line: &str, token: Option<&Token>) -> String {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        let shown = token.map_or(String::new(), |it| format!("Authorization: {}\r\n", it.header()));
        let request = format!("{line} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{shown}\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).await.unwrap();
        text
    }
}

fn on_site(test: impl AsyncFnOnce(Site)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async { test(Site::start().await).await });
}

#[test]
fn metrics_health_and_nothing_else() {
    on_site(async |site| {
        let metrics = site.ask("GET /metrics", None).await;
        assert!(metrics.starts_with("HTTP/1.1 200"), "{metrics}");
        assert!(metrics.contains("version=0.0.4") && metrics.contains("penstock_build_info"));
        let state = site.ask("GET /api/v1/state", None).await;
        assert!(state.contains("application/json") && state.contains("\"uptime_seconds\":7.5"));
        assert!(site.ask("PUT /api/v1/state", None).await.contains("405"));
        assert!(site.ask("GET /healthz", None).await.contains("{\"status\":\"ok\"}"));
        assert!(site.ask("GET /secrets", None).await.starts_with("HTTP/1.1 404"));
        assert!(site.ask("POST /metrics", None).await.starts_with("HTTP/1.1 405"));
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
    let pass = Pass { address: "127.0.0.1:9001".parse().unwrap(), token };
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
    let ring = Arc::new(KeyRing::new([first.clone()]));
    let stamp = Stamp::of(&path);
    let mut watch =
        KeyWatch { path: path.clone(), environment_key: None, ring: ring.clone(), stamp };
    let second = AccessKey::generate().unwrap();
    file::add(&path, second.clone()).unwrap();
    watch.look();
    assert_eq!(ring.secret(&second.id), Some(second.secret.clone()));
    file::remove(&path, &first.id).unwrap();
    watch.look();
    assert_eq!(ring.ids(), std::slice::from_ref(&second.id));
    std::fs::write(&path, "rubbish").unwrap();
    watch.look();
    std::fs::remove_file(&path).unwrap();
    watch.look();
    assert_eq!(ring.ids(), std::slice::from_ref(&second.id), "the old keys stay");
    watch.environment_key = Some(first.clone());
    watch.reload();
    assert_eq!(ring.ids(), std::slice::from_ref(&first.id));
}
