//! Random transfers, aborts, deadlines and faults, by seed: once a transfer is settled, nothing of it is placed any
//! more. And with fencing taken out, the same finds that it is.

use std::time::Duration;

use super::super::*;
use super::*;
use crate::fabric::RemoteAccess;
use crate::fabric::simulated::Faults;

/// Seeds of a run where the environment says nothing.
const SEEDS: u64 = 2_000;
/// Seeds that suffice to find a server that doesn't fence.
const SEEDS_WITHOUT_FENCE: u64 = 100;

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

/// What happened, over all seeds.
#[derive(Debug, Default)]
struct Findings {
    succeeded: u64,
    failed: u64,
    violations: u64,
}

fn seeds(default: u64) -> u64 {
    match std::env::var("GATEWAY_TEST_SEEDS") {
        Ok(text) => text.parse().expect("GATEWAY_TEST_SEEDS is a number"),
        Err(_) => default,
    }
}

fn explore(seeds: u64, fence_skipped: bool) -> Findings {
    let mut findings = Findings::default();
    let arena = arena();
    for seed in 0..seeds {
        let (findings, arena) = (&mut findings, arena.clone());
        run(|| async move {
            let settings = Settings {
                fence_skipped,
                execution_time: Duration::from_millis(400),
                execution_bytes_per_second: 1 << 30,
                ..Settings::default()
            };
            let faults = if seed % 3 == 0 { Faults::DELAYS } else { Faults::ALL };
            let bed = Bed::simulated_in(arena, seed, faults, settings);
            let mut dice = Dice::new(seed);
            let steps = 1 + dice.below(3);
            let mut connection = None;
            for _ in 0..steps {
                if dice.below(2) == 0 {
                    session(&bed, &mut dice, findings).await;
                } else {
                    pooled(&bed, &mut dice, &mut connection, findings).await;
                }
            }
            // Long after the last answer.
            tokio::time::sleep(Duration::from_secs(20)).await;
            let violations = bed.network().violations();
            assert!(fence_skipped || violations.is_empty(), "seed {seed}: {violations:?}");
            findings.violations += violations.len() as u64;
            drop(connection);
            if !fence_skipped {
                bed.lane.close().await;
                assert!(bed.is_empty(), "seed {seed}: {:?}", bed.server.stats());
            }
        });
    }
    findings
}

/// Moves something; at some moment, with luck in between, somebody loses patience.
async fn attempt(
    bed: &Bed,
    dice: &mut Dice,
    transfer: &mut Transfer,
    watch: Watch,
    size: usize,
) -> bool {
    let patience = match dice.below(3) {
        0 => Duration::from_millis(dice.below(120)),
        _ => Duration::from_secs(3600),
    };
    let piece = 1 + dice.below(4 * 4096) as usize;
    let delay = (dice.below(2) == 0).then(|| Duration::from_millis(dice.below(20)));
    let fails_below = (dice.below(8) == 0).then_some(size / 2);
    let leaves = dice.below(3);
    let content = pattern(size, 1);
    let mut watch = Some(watch);
    let leave = async {
        tokio::time::sleep(patience).await;
        if leaves == 0 {
            drop(watch.take());
            std::future::pending::<()>().await;
        }
    };
    let moves = async {
        match transfer.operation() {
            Operation::Get => {
                let mut source = bed.source(&content, piece);
                (source.delay, source.fails_below) = (delay, fails_below);
                transfer.send(source).await.is_ok()
            }
            Operation::Put => {
                let mut sink = bed.sink(size as u64, 16 << 10, 2);
                sink.delay = delay;
                let received = transfer.receive(&mut sink).await.is_ok();
                if received {
                    assert_eq!(*sink.content.borrow(), content, "exactly what was sent");
                }
                received
            }
        }
    };
    // Leaving by the watch, or by dropping the future.
    tokio::select! {
        moved = moves => moved,
        () = leave => false,
    }
}

fn outcome(moved: bool, findings: &mut Findings) -> Outcome {
    if moved {
        findings.succeeded += 1;
        Outcome::Succeeded
    } else {
        findings.failed += 1;
        Outcome::Failed
    }
}

async fn session(bed: &Bed, dice: &mut Dice, findings: &mut Findings) {
    let size = 1 + dice.below(60_000) as usize;
    let operation = if dice.below(2) == 0 { Operation::Get } else { Operation::Put };
    let prepared = bed.prepare(operation, size as u64).await;
    let access = match operation {
        Operation::Get => RemoteAccess::Write,
        Operation::Put => RemoteAccess::None,
    };
    let queue_pair = bed.answer(&prepared, access);
    let window = bed.client.window(&vec![0; size], RemoteAccess::Write);
    let claim = bed.claim(&prepared).expect("prepared");
    let watch = claim.watch();
    let headers = ready(queue_pair.number(), Some(window.remote()));
    let mut transfer = bed.lane.begin(claim, headers).await.expect("begun");
    let kept = prepared.staging.map(|staging| {
        let immediate = Some(cookie().number());
        let mut content = pattern(size, 1);
        if dice.below(4) == 0 {
            // A client that goes on writing after its immediate.
            let first = bed.client.write(&queue_pair, &content, staging, immediate);
            content.fill(0xee);
            return (first, Some(bed.client.write(&queue_pair, &content, staging, None)));
        }
        (bed.client.write(&queue_pair, &content, staging, immediate), None)
    });
    let moved = attempt_any(bed, dice, &mut transfer, watch, size, kept.as_ref()).await;
    let settled = transfer.settle(outcome(moved, findings)).await;
    // The answer leaves now.
    bed.network().close_window(window.remote().rkey);
    if let Some(staging) = prepared.staging.filter(|_| !settled.rearmed) {
        bed.network().close_window(staging.rkey);
    }
    if settled.rearmed {
        bed.server.cancel(prepared.session, "ann");
    }
    tokio::time::sleep(Duration::from_millis(dice.below(50))).await;
}

/// As [`attempt`]; of a client that overwrites what it has sent, either may have been stored.
async fn attempt_any<T>(
    bed: &Bed,
    dice: &mut Dice,
    transfer: &mut Transfer,
    watch: Watch,
    size: usize,
    kept: Option<&(T, Option<T>)>,
) -> bool {
    let Some((_, Some(_))) = kept else {
        return attempt(bed, dice, transfer, watch, size).await;
    };
    let mut sink = bed.sink(size as u64, 16 << 10, 2);
    sink.delay = Some(Duration::from_millis(3));
    let received = transfer.receive(&mut sink).await.is_ok();
    drop(watch);
    received
}

async fn pooled(
    bed: &Bed,
    dice: &mut Dice,
    connection: &mut Option<(SessionIdentity, ClientEnd)>,
    findings: &mut Findings,
) {
    let size = 1 + dice.below(60_000) as usize;
    let operation = if dice.below(2) == 0 { Operation::Get } else { Operation::Put };
    let alive =
        connection.as_ref().is_some_and(|(id, _)| bed.server.connection(*id, "ann").is_ok());
    if !alive {
        *connection = Some(bed.connect());
    }
    let Some((id, _)) = connection else { return };
    let window = bed.client.window(&pattern(size, 1), RemoteAccess::ReadWrite);
    let claim = bed.server.connection(*id, "ann").expect("just seen");
    let watch = claim.watch();
    let acquired = bed.lane.acquire(claim, window.remote(), operation, CRC).await;
    let mut transfer = acquired.expect("nobody else has it");
    let moved = attempt(bed, dice, &mut transfer, watch, size).await;
    let _ = transfer.settle(outcome(moved, findings)).await;
    bed.network().close_window(window.remote().rkey);
    tokio::time::sleep(Duration::from_millis(dice.below(50))).await;
}

type SessionIdentity = crate::wire::SessionId;
type ClientEnd = crate::fabric::QueuePair<crate::fabric::Connected>;

#[test]
fn nothing_is_placed_after_a_transfer_is_settled() {
    let seeds = seeds(SEEDS);
    let findings = explore(seeds, false);
    println!("fencing: {seeds} seeds, {findings:?}");
    assert_eq!(findings.violations, 0);
    // Both ends were seen, so that the run shows something.
    assert!(findings.succeeded > seeds / 4 && findings.failed > seeds / 8, "{findings:?}");
}

#[test]
fn without_the_fence_something_is() {
    let findings = explore(SEEDS_WITHOUT_FENCE, true);
    println!("no fence: {SEEDS_WITHOUT_FENCE} seeds, {findings:?}");
    assert!(findings.violations > 0, "{findings:?}");
}
