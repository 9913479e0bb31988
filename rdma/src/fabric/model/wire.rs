//! Owns what happens between two queue pairs: how a request reaches its peer, what the peer's device checks, and what
//! becomes of both when it refuses (InfiniBand specification, 9.7).
//!
//! ```text
//!  packet ─▶ does it arrive? ─ no ─▶ again, RETRIES times, then RetryExceeded
//!              │ yes
//!            queue pair's right, path MTU, receive posted?, key, range, region's right ─ no ─▶ NAK: both in ERR
//!              │ yes                  └─ no ─▶ parked until there is one
//!            placed ─▶ next piece, or completed at both ends
//! ```

use std::time::Duration;

use super::log::Placement;
use super::pair::{Course, Doom, Pair, Queue, Request};
use super::state::State;
use crate::fabric::address::RemoteWindow;
use crate::fabric::error::QueuePairState;
use crate::fabric::work::{Work, WorkStatus};
use crate::limits::{MODEL_RECEIVER_NOT_READY_TIME, MODEL_RETRIES, MODEL_RETRY_TIME};

/// What became of a packet.
enum Verdict {
    /// There was nothing to send.
    Idle,
    /// A piece was placed, and there are more.
    Placed,
    /// The request is done.
    Done,
    /// Nobody answered.
    Lost,
    /// The peer has no receive posted.
    NotReady,
    /// The peer has one, but says it isn't ready yet.
    Later,
    /// The peer's device refused; both queue pairs are in error.
    Refused(WorkStatus),
    /// The device gave up, for no reason of the peer's.
    Failed(WorkStatus),
    /// The queue pair broke.
    Broken,
}

impl State {
    /// Sends the next packet of a queue pair's first request.
    pub(super) fn execute(&mut self, number: u32) {
        let Some(mut pair) = self.pairs.remove(&number) else { return };
        pair.scheduled = false;
        let verdict = self.attempt(&mut pair);
        let peer = pair.peer.map(|peer| peer.qpn.number());
        self.pairs.insert(number, pair);
        match verdict {
            Verdict::Idle => {}
            Verdict::Placed => self.go_on(number),
            Verdict::Done => {
                self.finish(number, WorkStatus::Success);
                self.go_on(number);
            }
            Verdict::Lost => self.lost(number),
            Verdict::NotReady => {
                if let Some(pair) = self.pairs.get_mut(&number) {
                    pair.parked = true;
                }
            }
            Verdict::Later => self.plan_execution(number, MODEL_RECEIVER_NOT_READY_TIME),
            Verdict::Refused(status) => {
                self.fail(number, status);
                if let Some(peer) = peer {
                    self.break_pair(peer);
                }
            }
            Verdict::Failed(status) => self.fail(number, status),
            Verdict::Broken => {
                if let Some(pair) = self.pairs.get_mut(&number) {
                    pair.stopped = true;
                }
                self.break_pair(number);
            }
        }
    }

    fn go_on(&mut self, number: u32) {
        let delay = self.chance.within(self.faults.delay_max);
        self.plan_execution(number, delay);
    }

    /// A packet was dropped on its way: once more, but not for ever.
    fn lost(&mut self, number: u32) {
        let Some(pair) = self.pairs.get_mut(&number) else { return };
        let Some(request) = pair.send.front_mut() else { return };
        request.attempts += 1;
        match request.attempts > MODEL_RETRIES {
            true => self.fail(number, WorkStatus::RetryExceeded),
            false => self.plan_execution(number, MODEL_RETRY_TIME),
        }
    }

    /// Ends a queue pair's first request, successfully or not.
    fn finish(&mut self, number: u32, status: WorkStatus) {
        let Some(pair) = self.pairs.get_mut(&number) else { return };
        let Some(request) = pair.send.pop_front() else { return };
        let signalled = request.signalled;
        // What is done while the queue pair is being flushed is flushed all the same: nobody saw the acknowledgement.
        let status = match pair.state {
            QueuePairState::Error => WorkStatus::Flushed,
            _ => status,
        };
        let completion = pair.completed(request.work, status);
        pair.held.push(completion);
        if (signalled || status != WorkStatus::Success) && pair.state != QueuePairState::Error {
            for completion in std::mem::take(&mut pair.held) {
                self.plan_report(number, Queue::Send, completion);
            }
        }
    }

    /// Ends the first request with an error, and with it the queue pair.
    fn fail(&mut self, number: u32, status: WorkStatus) {
        self.finish(number, status);
        if let Some(pair) = self.pairs.get_mut(&number) {
            pair.stopped = true;
        }
        self.break_pair(number);
    }

    fn attempt(&mut self, pair: &mut Pair) -> Verdict {
        if !pair.sends_packets() || pair.send.is_empty() {
            return Verdict::Idle;
        }
        let course = self.course(pair);
        let placed = pair.send.front().map_or(0, |request| request.placed);
        match course.doom {
            Some((after, doom)) if placed >= after => {
                if let Some(verdict) = self.doomed(pair, doom) {
                    return verdict;
                }
            }
            _ => {}
        }
        let Some(responder) = self.reach(pair) else { return Verdict::Lost };
        let Some(mut peer) = self.pairs.remove(&responder) else { return Verdict::Lost };
        let verdict = self.place(pair, &mut peer, course);
        self.pairs.insert(responder, peer);
        if let Verdict::Done = verdict
            && let Some(Request {
                work: Work::Write { source, immediate: Some(value), .. }, ..
            }) = pair.send.front()
        {
            self.receive(responder, source.len(), *value);
        }
        verdict
    }

    /// How the first request is to go; drawn with its first packet.
    fn course(&mut self, pair: &mut Pair) -> Course {
        let drawn = Course { piece_bytes: usize::MAX, doom: None, receiver_not_ready: false };
        let Some(request) = pair.send.front_mut() else { return drawn };
        if let Some(course) = request.course {
            return course;
        }
        let (faults, size) = (self.faults, request.size());
        let pieces = 1 + self.chance.below(u64::from(faults.pieces_max)) as usize;
        let piece_bytes = size.div_ceil(pieces).max(1);
        let chances = [
            (faults.retry_exceeded_per_mille, Doom::RetryExceeded),
            (faults.remote_access_per_mille, Doom::RemoteAccess),
            (faults.flush_per_mille, Doom::Flush),
            (faults.vanish_per_mille, Doom::Vanish),
        ];
        let mut doom = None;
        for (per_mille, what) in chances {
            if self.chance.happens(per_mille) {
                let after = piece_bytes * self.chance.below(pieces as u64) as usize;
                doom = Some((after.min(size.saturating_sub(1)), what));
            }
        }
        if self.chance.happens(faults.pause_per_mille) {
            self.paused_until = self.now + self.chance.within(faults.pause_max);
        }
        let receiver_not_ready = self.chance.happens(faults.receiver_not_ready_per_mille);
        let course = Course { piece_bytes, doom, receiver_not_ready };
        request.course = Some(course);
        course
    }

    /// What was drawn to go wrong does.
    fn doomed(&mut self, pair: &Pair, doom: Doom) -> Option<Verdict> {
        match doom {
            Doom::RetryExceeded => Some(Verdict::Failed(WorkStatus::RetryExceeded)),
            Doom::RemoteAccess => Some(Verdict::Refused(WorkStatus::RemoteAccess)),
            Doom::Flush => Some(Verdict::Broken),
            Doom::Vanish => {
                let peer = pair.peer.and_then(|peer| self.pairs.get_mut(&peer.qpn.number()));
                if let Some(peer) = peer {
                    peer.vanished = true;
                }
                None
            }
        }
    }

    /// The queue pair that hears this one's packets.
    fn reach(&mut self, pair: &Pair) -> Option<u32> {
        let source = &self.devices[pair.device];
        let to = pair.peer?;
        if pair.vanished || source.vanished {
            return None;
        }
        let number = to.qpn.number();
        let peer = self.pairs.get_mut(&number)?;
        let target = &self.devices[peer.device];
        let from = peer.peer?;
        let known = from.qpn.number() == pair.number
            && from.gid == source.gid
            && Some(from.psn) == pair.psn
            && *peer.hears.get_or_insert(pair.epoch) == pair.epoch;
        let reached = known && peer.hears_packets() && target.gid == to.gid && !target.vanished;
        reached.then_some(number)
    }

    /// The peer's device looks at the packet.
    fn place(&mut self, pair: &mut Pair, peer: &mut Pair, course: Course) -> Verdict {
        let Some(request) = pair.send.front_mut() else { return Verdict::Idle };
        request.attempts = 0;
        let size = request.size();
        let smaller = pair.path_mtu.min(peer.path_mtu).bytes() as usize;
        if pair.path_mtu != peer.path_mtu && size > smaller {
            return Verdict::Refused(WorkStatus::RemoteInvalidRequest);
        }
        let (window, right, immediate) = match &request.work {
            Work::Write { to, immediate, .. } => (*to, peer.access.writes(), immediate.is_some()),
            Work::Read { from, .. } => (*from, peer.access.reads(), false),
        };
        if !right {
            return Verdict::Refused(WorkStatus::RemoteInvalidRequest);
        }
        let from = request.placed;
        let until = size.min(from.saturating_add(course.piece_bytes));
        if immediate && until == size {
            if peer.state == QueuePairState::Error {
                return Verdict::Lost;
            }
            if peer.receives == 0 {
                return Verdict::NotReady;
            }
            if course.receiver_not_ready {
                request.course = Some(Course { receiver_not_ready: false, ..course });
                return Verdict::Later;
            }
        }
        // A message without bytes names no memory: its key is not looked at.
        if size > 0
            && let Err(status) = self.touch(request, peer.device, window, from..until)
        {
            return Verdict::Refused(status);
        }
        request.placed = until;
        match until == size {
            true => Verdict::Done,
            false => Verdict::Placed,
        }
    }

    /// Copies a piece from or to a window, if the key opens it.
    fn touch(
        &mut self,
        request: &mut Request,
        device: usize,
        window: RemoteWindow,
        piece: std::ops::Range<usize>,
    ) -> Result<(), WorkStatus> {
        let (now, size) = (self.now, request.size() as u64);
        let denied = WorkStatus::RemoteAccess;
        let opened = self.windows.get_mut(&window.rkey).ok_or(denied)?;
        let begin = window.address.checked_sub(opened.address).ok_or(denied)?;
        let fits = begin.checked_add(size).is_some_and(|end| end <= opened.size);
        let right = match request.work {
            Work::Write { .. } => opened.access.writes(),
            Work::Read { .. } => opened.access.reads(),
        };
        if opened.device != device || !fits || !right {
            return Err(denied);
        }
        let begin = usize::try_from(begin).map_err(|_| denied)?;
        let range = begin + piece.start..begin + piece.end;
        let placement = Placement {
            at: now,
            rkey: window.rkey,
            address: window.address + piece.start as u64,
            bytes: piece.len() as u64,
        };
        let reclaimed = opened.memory.is_none();
        match &mut request.work {
            Work::Write { source, .. } => {
                self.log.record(placement, reclaimed || opened.answered);
                let block = opened.memory.as_mut().and_then(std::sync::Arc::get_mut);
                let block = block.ok_or(denied)?;
                block.bytes[range].copy_from_slice(&source[piece]);
            }
            Work::Read { into, .. } => {
                let block = opened.memory.as_ref().ok_or(denied)?;
                into.as_mut_slice()[piece].copy_from_slice(&block.bytes[range]);
            }
        }
        Ok(())
    }

    /// A WRITE WITH IMMEDIATE has come to its end.
    fn receive(&mut self, number: u32, bytes: usize, value: u32) {
        let Some(pair) = self.pairs.get_mut(&number) else { return };
        pair.receives = pair.receives.saturating_sub(1);
        let completion = pair.received(WorkStatus::Success, bytes, Some(value));
        self.plan_report(number, Queue::Receive, completion);
    }

    /// Unplugs a device, or nothing moves for a while: what waited for a peer finds out.
    pub(super) fn wake_all_parked(&mut self) {
        let parked: Vec<u32> =
            self.pairs.values().filter(|pair| pair.parked).map(|pair| pair.number).collect();
        for number in parked {
            self.plan_execution(number, Duration::ZERO);
        }
    }
}
