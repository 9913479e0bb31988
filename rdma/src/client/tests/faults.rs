//! The client half on a fabric where everything goes wrong that can, by seed, over an HTTP that loses requests and
//! answers. Whatever an operation says when it ends is true then, and stays true: what it has delivered or stored is
//! right, the memory that it gives back is nobody else's, and no queue pair of it is left.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::end_to_end::Door;
use super::*;
use crate::fabric::simulated::{Faults, Network};

/// Seeds of a run where the environment says nothing.
const SEEDS: u64 = 300;

/// xorshift64*: the same numbers for the same seed, everywhere.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }
}

/// HTTP that one time in sixteen does not do what it should. The server is not told: it goes on as if nothing were.
struct Unreliable {
    door: Rc<Door>,
    dice: RefCell<Dice>,
}

/// A body, for later.
#[derive(Default)]
struct Kept(Vec<u8>);

impl AnswerBody for Kept {
    fn accept(&mut self, _head: &AnswerHead, piece: &[u8]) -> Result<(), BodyRefused> {
        self.0.extend_from_slice(piece);
        Ok(())
    }
}

impl Control for Unreliable {
    async fn exchange(
        &self,
        request: ControlRequest,
        body: &mut dyn AnswerBody,
    ) -> Result<AnswerHead, ControlError> {
        let (fault, after) = {
            let mut dice = self.dice.borrow_mut();
            (dice.below(64), Duration::from_millis(dice.below(60)))
        };
        let lost = || ControlError::Lost("reset".to_owned());
        if fault == 0 {
            return Err(ControlError::NotSent("refused".to_owned()));
        }
        let door = Rc::clone(&self.door);
        let serving = tokio::task::spawn_local(async move {
            let mut kept = Kept::default();
            let answer = door.exchange(request, &mut kept).await;
            (answer, kept)
        });
        let patience = if fault < 3 { after } else { Duration::from_secs(3600) };
        let served = tokio::time::timeout(patience, serving).await.map_err(|_| lost())?;
        let (answer, Kept(bytes)) = served.expect("the server does not panic");
        match fault {
            1 | 2 => Err(lost()),
            3 => std::future::pending().await,
            _ => {
                let head = answer?;
                if !bytes.is_empty() {
                    body.accept(&head, &bytes).map_err(|_| ControlError::BodyRefused)?;
                }
                Ok(head)
            }
        }
    }
}

/// What happened, over all seeds.
#[derive(Debug, Default)]
struct Findings {
    succeeded: u64,
    failed: u64,
    unknown: u64,
    dropped: u64,
}

/// One seed's network with both ends.
struct Trial<'a> {
    seed: u64,
    http: Unreliable,
    /// Each operation has an object of its own.
    objects: Cell<u32>,
    client: Client,
    fabric: Arc<dyn Fabric>,
    network: &'a Network,
}

impl Trial<'_> {
    /// A new object; its key.
    fn object(&self, contents: Vec<u8>) -> String {
        let number = self.objects.replace(self.objects.get() + 1);
        let key = number.to_string();
        self.http.door.objects.borrow_mut().insert(format!("/b/{key}"), contents);
        key
    }

    fn memory(&self, contents: Vec<u8>) -> Buffer {
        Buffer::adopt(&*self.fabric, contents.into()).expect("memory")
    }

    /// One operation, by a pool or by itself; now and then its caller loses patience.
    async fn operate(&self, dice: &mut Dice, pool: Option<&Pool>, findings: &mut Findings) {
        let patience = match dice.below(4) {
            0 => Duration::from_millis(dice.below(150)),
            _ => Duration::from_secs(3600),
        };
        let bytes = 1 + dice.below(60_000) as usize;
        match dice.below(2) {
            0 => self.get(bytes, pool, patience, findings).await,
            _ => self.put(bytes, dice.below(250) as u8, pool, patience, findings).await,
        }
        self.is_left_by(pool).await;
    }

    async fn get(
        &self,
        bytes: usize,
        pool: Option<&Pool>,
        patience: Duration,
        findings: &mut Findings,
    ) {
        let object = contents(bytes);
        let key = self.object(object.clone());
        let (whole, memory) = (Get::object("b", &key), self.memory(vec![0xee; bytes]));
        let getting = async {
            match pool {
                Some(pool) => pool.get(&self.http, &whole, memory).await,
                None => self.client.get(&self.http, &whole, memory).await,
            }
        };
        let memory = match tokio::time::timeout(patience, getting).await {
            Err(_) => return findings.dropped += 1,
            Ok(Ok(done)) => {
                findings.succeeded += 1;
                assert!(done.memory.as_slice() == object, "seed {}", self.seed);
                done.memory
            }
            Ok(Err(failed)) => {
                findings.failed += 1;
                let error = failed.error.to_string();
                failed.memory.unwrap_or_else(|| panic!("seed {}: {error}", self.seed))
            }
        };
        // It is the caller's, who goes on with it.
        let now = memory.as_slice().to_vec();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(memory.as_slice() == now, "seed {}", self.seed);
    }

    async fn put(
        &self,
        bytes: usize,
        salt: u8,
        pool: Option<&Pool>,
        patience: Duration,
        findings: &mut Findings,
    ) {
        let object: Vec<u8> = contents(bytes).iter().map(|byte| byte.wrapping_add(salt)).collect();
        let before = b"what was there before".to_vec();
        let key = self.object(before.clone());
        let (put, memory) = (Put::object("b", &key, bytes as u64), self.memory(object.clone()));
        let putting = async {
            match pool {
                Some(pool) => pool.put(&self.http, &put, memory).await,
                None => self.client.put(&self.http, &put, memory).await,
            }
        };
        let ended = tokio::time::timeout(patience, putting).await;
        // What it says is true for good.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let stored = self.http.door.objects.borrow()[&format!("/b/{key}")].clone();
        let seed = self.seed;
        assert!(stored == object || stored == before, "seed {seed}: nothing of both");
        match ended {
            Err(_) => findings.dropped += 1,
            Ok(Ok(_)) => {
                findings.succeeded += 1;
                assert!(stored == object, "seed {seed}");
            }
            Ok(Err(failed)) => {
                let error = &failed.error;
                match error {
                    ClientError::UnknownOutcome(_) => findings.unknown += 1,
                    _ => {
                        findings.failed += 1;
                        assert!(stored == before, "seed {seed}: stored in spite of {error}");
                    }
                }
                let mut memory = failed.memory.expect("it comes back");
                assert!(memory.as_slice() == object, "seed {seed}");
                memory.as_mut_slice().expect("nothing of it is lent any more").fill(0);
            }
        }
    }

    /// No queue pair is left but those of idle connections; what was dropped midway is fenced in the background.
    async fn is_left_by(&self, pool: Option<&Pool>) {
        let (endpoint, seed) = (self.client.endpoint(), self.seed);
        let idle = pool.map_or(0, Pool::idle_connections);
        let fenced = tokio::time::timeout(Duration::from_secs(20), async {
            while endpoint.live_queue_pairs() > idle {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        assert!(fenced.await.is_ok(), "seed {seed}: {}", endpoint.live_queue_pairs());
        assert_eq!(self.network.violations(), [], "seed {seed}");
    }
}

async fn trial(seed: u64, arena: &Arena, findings: &mut Findings) {
    let faults = if seed.is_multiple_of(4) { Faults::DELAYS } else { Faults::ALL };
    let network = Network::new(seed, faults);
    let theirs = network.fabric(Gid::from_ipv4(Ipv4Addr::new(192, 0, 2, 1)), Some(arena));
    let fabric = network.fabric(Gid::from_ipv4(Ipv4Addr::new(192, 0, 2, 2)), None);
    let endpoint = Endpoint::open(&fabric).expect("an endpoint");
    let door = Rc::new(Door::open(theirs, arena.clone()));
    let mut dice = Dice::new(seed);
    let trial = Trial {
        seed,
        http: Unreliable {
            door: Rc::clone(&door),
            dice: RefCell::new(Dice::new(seed + 1_000_000)),
        },
        objects: Cell::new(0),
        client: Client::new(endpoint.clone(), ClientOptions::default()),
        fabric,
        network: &network,
    };
    let pool = match dice.below(2) {
        0 => None,
        _ => trial.client.connect(&trial.http).await.ok(),
    };
    for _ in 0..1 + dice.below(4) {
        trial.operate(&mut dice, pool.as_ref(), findings).await;
    }
    if let Some(pool) = pool {
        pool.disconnect(&trial.http).await;
    }
    assert!(
        tokio::time::timeout(Duration::from_secs(20), endpoint.drained()).await.is_ok(),
        "seed {seed}"
    );
    assert_eq!(endpoint.leaked_queue_pairs(), 0, "seed {seed}");
    // Longer than the server waits for anything.
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(network.violations(), [], "seed {seed}");
    door.lane.close().await;
    let stats = door.server.stats();
    assert_eq!((stats.sessions, stats.connections, stats.queue_pairs), (0, 0, 0), "seed {seed}");
}

#[test]
fn whatever_happens_an_operation_tells_the_truth_and_leaves_nothing() {
    const MIB: u64 = 1 << 20;
    let seeds = match std::env::var("GATEWAY_TEST_SEEDS") {
        Ok(text) => text.parse().expect("GATEWAY_TEST_SEEDS is a number"),
        Err(_) => SEEDS,
    };
    let arena = Arena::new(&ArenaOptions {
        bytes: 20 * MIB,
        reads_bytes: 8 * MIB,
        reads_growth_bytes: 8 * MIB,
        writes_bytes: MIB,
        writes_growth_bytes: MIB,
        huge_pages: false,
        lock_memory: false,
    })
    .expect("an arena");
    let mut findings = Findings::default();
    for seed in 0..seeds {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        LocalSet::new().block_on(&runtime, trial(seed, &arena, &mut findings));
    }
    println!("client faults: {seeds} seeds, {findings:?}");
    // All ends were seen, so that the run shows something.
    let Findings { succeeded, failed, unknown, dropped } = findings;
    assert!(succeeded > seeds / 2 && failed > seeds / 8, "{succeeded} {failed}");
    assert!(unknown > seeds / 64 && dropped > seeds / 64, "{unknown} {dropped}");
}
