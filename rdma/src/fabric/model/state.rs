//! Owns everything that a network of the model knows, under one lock, and its clock: what happens when.
//!
//! Nothing runs by itself. Whoever looks at the network first makes happen what was due until now, in the order of its
//! time; endpoints that wait sleep until the next event at most.
//!
//! *Limits*: `limits.rs`, section Fabrics in memory. *Not here*: what happens between two queue pairs (`wire.rs`).

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use datapath::arena::Arena;
use tokio::sync::Notify;

use super::behaviour::Faults;
use super::chance::Chance;
use super::log::Log;
use super::memory::{Opened, Regions};
use super::pair::{Pair, Queue, Request};
use crate::fabric::address::{Gid, Qpn};
use crate::fabric::driver::{QueuePairShape, Transition};
use crate::fabric::error::{FabricError, QueuePairState};
use crate::fabric::work::{Completion, WorkStatus};

/// A port on the network with a protection domain of its own.
pub(super) struct Device {
    pub(super) gid: Gid,
    pub(super) regions: Arc<Regions>,
    /// Keeps what is registered mapped.
    pub(super) _arena: Option<Arena>,
    /// Unplugged.
    pub(super) vanished: bool,
    /// Its completion queues fail.
    pub(super) broken: bool,
}

/// A completion queue.
pub(super) struct Reports {
    pub(super) device: usize,
    pub(super) completions: VecDeque<(Queue, Completion)>,
    pub(super) notify: Arc<Notify>,
}

/// Something that is to happen to a queue pair.
struct Event {
    at: Duration,
    /// Of those at the same time, the one that was planned first.
    sequence: u64,
    pair: u32,
    what: What,
}

enum What {
    /// The next packet of its first request.
    Execute,
    /// The end of everything posted.
    Flush,
    /// A completion reaches its queue.
    Report(Queue, Completion),
}

/// The network.
pub(super) struct State {
    /// Since the network was made.
    pub(super) now: Duration,
    pub(super) faults: Faults,
    pub(super) chance: Chance,
    pub(super) devices: Vec<Device>,
    pub(super) endpoints: BTreeMap<u64, Reports>,
    pub(super) pairs: BTreeMap<u32, Pair>,
    pub(super) windows: BTreeMap<u32, Opened>,
    pub(super) log: Log,
    pub(super) paused_until: Duration,
    events: BinaryHeap<Reverse<Event>>,
    sequence: u64,
    /// Told when the next event may be earlier than it was.
    alarm: Arc<Notify>,
}

impl State {
    pub(super) fn new(seed: u64, faults: Faults, alarm: Arc<Notify>, log: Log) -> State {
        State {
            now: Duration::ZERO,
            faults,
            chance: Chance::new(seed),
            devices: Vec::new(),
            endpoints: BTreeMap::new(),
            pairs: BTreeMap::new(),
            windows: BTreeMap::new(),
            log,
            paused_until: Duration::ZERO,
            events: BinaryHeap::new(),
            sequence: 0,
            alarm,
        }
    }

    /// A key and an address that nobody has: drawn, as a real device's can't be relied on to be.
    pub(super) fn new_key(&mut self, size: u64) -> (u32, u64) {
        let rkey = loop {
            let drawn = (self.chance.next() >> 32) as u32;
            if drawn != 0 && !self.windows.contains_key(&drawn) {
                break drawn;
            }
        };
        // Whole pages below 2^47, as user space has; leaving room for the size.
        let pages = ((1_u64 << 47) - size.min(1 << 46)) >> 12;
        (rkey, (1 + self.chance.below(pages - 1)) << 12)
    }

    /// A serial number, also for what is told apart by it.
    pub(super) fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// A completion queue of the device's.
    pub(super) fn new_endpoint(&mut self, device: usize, notify: Arc<Notify>) -> u64 {
        let id = self.next_sequence();
        self.endpoints.insert(id, Reports { device, completions: VecDeque::new(), notify });
        id
    }

    /// A queue pair in state RESET.
    pub(super) fn new_pair(&mut self, device: usize, endpoint: u64, shape: QueuePairShape) -> u32 {
        let number = loop {
            let drawn = (self.chance.next() >> 40) as u32;
            if Qpn::new(drawn).is_some() && !self.pairs.contains_key(&drawn) {
                break drawn;
            }
        };
        self.pairs.insert(number, Pair::new(number, device, endpoint, shape));
        number
    }

    /// When the next event is due.
    pub(super) fn next_event(&self) -> Option<Duration> {
        self.events.peek().map(|Reverse(event)| event.at.max(self.paused_until))
    }

    /// Makes everything happen that was due until `now`.
    pub(super) fn run(&mut self, now: Duration) {
        while let Some(Reverse(first)) = self.events.peek() {
            let at = first.at.max(self.paused_until);
            if at > now {
                break;
            }
            let Some(Reverse(mut event)) = self.events.pop() else { break };
            if event.at < at {
                // A pause has begun since it was planned.
                event.at = at;
                self.events.push(Reverse(event));
                continue;
            }
            self.now = self.now.max(event.at);
            match event.what {
                What::Execute => self.execute(event.pair),
                What::Flush => self.flush(event.pair),
                What::Report(queue, completion) => self.report(event.pair, queue, completion),
            }
        }
        self.now = self.now.max(now);
    }

    fn plan(&mut self, pair: u32, at: Duration, what: What) {
        let sequence = self.next_sequence();
        self.events.push(Reverse(Event { at, sequence, pair, what }));
        if at > self.now {
            self.alarm.notify_waiters();
        }
    }

    /// Goes on with the first request of a queue pair after a delay, unless that is under way.
    pub(super) fn plan_execution(&mut self, number: u32, after: Duration) {
        let Some(pair) = self.pairs.get_mut(&number) else { return };
        if !pair.scheduled && pair.sends_packets() && !pair.send.is_empty() {
            pair.scheduled = true;
            pair.parked = false;
            let at = self.now + after;
            self.plan(number, at, What::Execute);
        }
    }

    /// Goes on with a request of this one's peer that waits for it.
    pub(super) fn wake_peer(&mut self, number: u32) {
        let peer = self.pairs.get(&number).and_then(|pair| pair.peer);
        let Some(peer) = peer.map(|peer| peer.qpn.number()) else { return };
        if self.pairs.get(&peer).is_some_and(|pair| pair.parked) {
            let delay = self.chance.within(self.faults.delay_max);
            self.plan_execution(peer, delay);
        }
    }

    /// Lets a completion reach its queue, some time after those before it.
    pub(super) fn plan_report(&mut self, number: u32, queue: Queue, completion: Completion) {
        let delay = self.chance.within(self.faults.completion_delay_max);
        let Some(pair) = self.pairs.get_mut(&number) else { return };
        let last = &mut pair.reported_at[queue as usize];
        let at = (self.now + delay).max(*last);
        *last = at;
        self.plan(number, at, What::Report(queue, completion));
    }

    fn report(&mut self, number: u32, queue: Queue, completion: Completion) {
        let endpoint = self.pairs.get(&number).map(|pair| pair.endpoint);
        if let Some(reports) = endpoint.and_then(|endpoint| self.endpoints.get_mut(&endpoint)) {
            reports.completions.push_back((queue, completion));
            reports.notify.notify_one();
        }
    }

    /// Takes a step of a queue pair's life.
    pub(super) fn modify(&mut self, number: u32, step: &Transition) -> Result<(), FabricError> {
        let gone = || FabricError::new("ibv_modify_qp", "the queue pair is destroyed");
        let epoch = self.next_sequence();
        let pair = self.pairs.get_mut(&number).ok_or_else(gone)?;
        let gid = self.devices[pair.device].gid;
        match step {
            Transition::Error => self.break_pair(number),
            Transition::Reset if pair.used != [0; 2] => {
                let reason = "work is posted and not completed; move it to ERR and drain it first";
                return Err(FabricError::new("ibv_modify_qp", reason).in_state(pair.state));
            }
            Transition::Reset => {
                pair.reset();
                self.events.retain(|Reverse(event)| event.pair != number);
            }
            Transition::Init { .. }
            | Transition::ReadyToReceive { .. }
            | Transition::ReadyToSend { .. } => {
                let state = pair.state;
                pair.step(step, gid).map_err(|error| error.in_state(state))?;
                pair.epoch = epoch;
            }
        }
        Ok(())
    }

    /// To the error state. What was posted is flushed a little later; its peer gets no answers any more.
    pub(super) fn break_pair(&mut self, number: u32) {
        let Some(pair) = self.pairs.get_mut(&number) else { return };
        if pair.state == QueuePairState::Error {
            return;
        }
        pair.state = QueuePairState::Error;
        pair.parked = false;
        let at = self.now + self.chance.within(self.faults.flush_delay_max);
        self.plan(number, at, What::Flush);
        self.wake_peer(number);
    }

    fn flush(&mut self, number: u32) {
        // A device that was interrupted can't tell for each request whether the peer has acknowledged it.
        let forgets = self.faults.flush_delay_max > Duration::ZERO && self.chance.happens(500);
        let Some(pair) = self.pairs.get_mut(&number) else { return };
        pair.flushed = true;
        let mut sends = std::mem::take(&mut pair.held);
        if forgets {
            sends.iter_mut().for_each(|completion| completion.status = WorkStatus::Flushed);
        }
        let rest: Vec<Request> = pair.send.drain(..).collect();
        let pair = &*pair;
        sends.extend(
            rest.into_iter().map(|request| pair.completed(request.work, WorkStatus::Flushed)),
        );
        let receives: Vec<Completion> =
            (0..pair.receives).map(|_| pair.received(WorkStatus::Flushed, 0, None)).collect();
        if let Some(pair) = self.pairs.get_mut(&number) {
            pair.receives = 0;
        }
        for completion in sends {
            self.plan_report(number, Queue::Send, completion);
        }
        for completion in receives {
            self.plan_report(number, Queue::Receive, completion);
        }
        self.wake_peer(number);
    }

    /// Takes completions from a queue; their places in the queue pairs are free then.
    pub(super) fn take_reports(
        &mut self,
        endpoint: u64,
        limit: usize,
        completions: &mut Vec<Completion>,
    ) -> Result<(), FabricError> {
        let Some(reports) = self.endpoints.get_mut(&endpoint) else { return Ok(()) };
        if self.devices[reports.device].broken {
            return Err(FabricError::new("ibv_poll_cq", "the device is gone"));
        }
        let count = limit.min(reports.completions.len());
        for (queue, completion) in reports.completions.drain(..count) {
            if let Some(pair) = self.pairs.get_mut(&completion.queue_pair.number()) {
                let used = &mut pair.used[queue as usize];
                *used = used.saturating_sub(1);
            }
            completions.push(completion);
        }
        Ok(())
    }

    /// Ends a queue pair: nothing of it happens any more. What it held, to be dropped without the lock.
    pub(super) fn destroy(&mut self, number: u32) -> impl Sized + use<> {
        self.wake_peer(number);
        let pair = self.pairs.remove(&number);
        let (mine, rest): (Vec<_>, Vec<_>) =
            self.events.drain().partition(|Reverse(event)| event.pair == number);
        self.events = rest.into();
        let mut lost = Vec::new();
        let endpoint = pair.as_ref().map(|pair| pair.endpoint);
        if let Some(reports) = endpoint.and_then(|endpoint| self.endpoints.get_mut(&endpoint)) {
            let (lose, keep) = reports
                .completions
                .drain(..)
                .partition(|(_, completion)| completion.queue_pair.number() == number);
            lost = lose;
            reports.completions = keep.into();
        }
        (pair, mine, lost)
    }
}

impl Ord for Event {
    fn cmp(&self, other: &Event) -> Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Event) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Event {
    fn eq(&self, other: &Event) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Event {}
