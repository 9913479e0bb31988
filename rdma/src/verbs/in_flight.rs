//! Owns the memory of posted work until its completion: in which order it was posted, and what a completion of the device
//! says about it. Pure.
//!
//! A device reports what was signalled and what failed. Work of one send queue ends in the order of posting, so a report
//! also says of all unsignalled work before it that it succeeded (had it failed, it would have been reported itself).
//! Upwards each request gets one completion.

use std::collections::VecDeque;

use crate::fabric::{Completion, Payload, Qpn, WorkKind, WorkStatus};

/// Stands in the upper 16 bits of every `wr_id` of ours.
const TAG: u64 = 0x5053 << 48;
/// Set for receives.
const RECEIVE: u64 = 1 << 47;
const SEQUENCE: u64 = RECEIVE - 1;

/// Identifies one work request among all of its completion queue's, for ever: 2^47 requests last four years at a
/// million a second. A queue pair's number may be given again while reports about the former one are under way; their
/// identifiers then belong to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WorkId(u64);

impl WorkId {
    pub(super) fn send(sequence: u64) -> WorkId {
        WorkId(TAG | (sequence & SEQUENCE))
    }

    pub(super) fn receive(sequence: u64) -> WorkId {
        WorkId(TAG | RECEIVE | (sequence & SEQUENCE))
    }

    pub(super) fn raw(self) -> u64 {
        self.0
    }

    /// None when a provider put something of its own into `wr_id`.
    fn parse(raw: u64) -> Option<WorkId> {
        (raw >> 48 == TAG >> 48).then_some(WorkId(raw))
    }

    fn is_receive(self) -> bool {
        self.0 & RECEIVE != 0
    }
}

/// What the device reports.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) wr_id: u64,
    pub(super) status: WorkStatus,
    /// Told only of success.
    pub(super) kind: Option<WorkKind>,
    /// Of a receive.
    pub(super) bytes: u32,
    /// Of a receive.
    pub(super) immediate: Option<u32>,
}

struct Sent {
    id: WorkId,
    kind: WorkKind,
    payload: Payload,
    bytes: u32,
    signalled: bool,
    /// Posted by the driver to make the device report what is before it.
    is_marker: bool,
}

/// The posted work of one queue pair.
pub(super) struct InFlight {
    sends: VecDeque<Sent>,
    receives: VecDeque<WorkId>,
    send_depth: usize,
    receive_depth: usize,
}

impl InFlight {
    pub(super) fn new(send_depth: u32, receive_depth: u32) -> InFlight {
        InFlight {
            sends: VecDeque::new(),
            receives: VecDeque::new(),
            send_depth: send_depth as usize,
            receive_depth: receive_depth as usize,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sends.is_empty() && self.receives.is_empty()
    }

    /// Whether another send fits.
    pub(super) fn has_room(&self) -> bool {
        self.sends.len() < self.send_depth
    }

    /// Whether the next send must be signalled even if nobody asked: it takes the last place, and no report would ever
    /// free one.
    pub(super) fn must_signal(&self) -> bool {
        self.sends.len() + 1 >= self.send_depth
    }

    /// Whether another receive fits.
    pub(super) fn has_room_to_receive(&self) -> bool {
        self.receives.len() < self.receive_depth
    }

    /// Whether there is work at the end of which the device may say nothing, unless it fails.
    pub(super) fn needs_marker(&self) -> bool {
        self.sends.back().is_some_and(|sent| !sent.signalled)
    }

    pub(super) fn push(
        &mut self,
        id: WorkId,
        kind: WorkKind,
        payload: Payload,
        bytes: u32,
        signalled: bool,
    ) {
        self.sends.push_back(Sent { id, kind, payload, bytes, signalled, is_marker: false });
    }

    /// One place more than the depth is kept for it.
    pub(super) fn push_marker(&mut self, id: WorkId) {
        let (kind, payload) = (WorkKind::Write, Payload::None);
        self.sends.push_back(Sent {
            id,
            kind,
            payload,
            bytes: 0,
            signalled: true,
            is_marker: true,
        });
    }

    pub(super) fn push_receive(&mut self, id: WorkId) {
        self.receives.push_back(id);
    }

    /// Takes the last send back: it could not be posted.
    pub(super) fn pop(&mut self) -> Option<Payload> {
        self.sends.pop_back().map(|sent| sent.payload)
    }

    /// Takes the last receive back.
    pub(super) fn pop_receive(&mut self) {
        self.receives.pop_back();
    }

    /// Forgets everything, freeing the memory: nothing is posted any more.
    pub(super) fn clear(&mut self) {
        self.sends.clear();
        self.receives.clear();
    }

    /// Everything, for a device that may still touch it.
    pub(super) fn leak(&mut self) {
        std::mem::forget(std::mem::take(&mut self.sends));
        self.receives.clear();
    }

    /// Takes a report in; the completions that it means go to `completions`. One that belongs to nothing means none.
    pub(super) fn arrive(
        &mut self,
        queue_pair: Qpn,
        arrival: Arrival,
        completions: &mut VecDeque<Completion>,
    ) {
        let receive = match WorkId::parse(arrival.wr_id) {
            Some(id) if id.is_receive() => {
                let place = self.receives.iter().position(|&posted| posted == id);
                place.and_then(|place| self.receives.remove(place))
            }
            Some(id) => return self.finish_sends(queue_pair, id, arrival, completions),
            // A provider's own number: what succeeded is told by its kind, what failed is the first that can have.
            None if self.is_of_receive(&arrival) => self.receives.pop_front(),
            None => {
                let fails = arrival.status != WorkStatus::Success;
                let found = self.sends.iter().find(|sent| sent.signalled || fails);
                if let Some(id) = found.map(|sent| sent.id) {
                    self.finish_sends(queue_pair, id, arrival, completions);
                }
                return;
            }
        };
        if receive.is_some() {
            completions.push_back(Completion {
                queue_pair,
                kind: WorkKind::Receive,
                status: arrival.status,
                bytes: arrival.bytes,
                immediate: arrival.immediate,
                payload: Payload::None,
            });
        }
    }

    fn is_of_receive(&self, arrival: &Arrival) -> bool {
        match arrival.kind {
            Some(kind) => kind == WorkKind::Receive,
            None => self.sends.is_empty(),
        }
    }

    fn finish_sends(
        &mut self,
        queue_pair: Qpn,
        id: WorkId,
        arrival: Arrival,
        completions: &mut VecDeque<Completion>,
    ) {
        // One that is not there is of a queue pair of the same number that was before this one.
        if !self.sends.iter().any(|sent| sent.id == id) {
            return;
        }
        while let Some(sent) = self.sends.pop_front() {
            let is_last = sent.id == id;
            let status = if is_last { arrival.status } else { WorkStatus::Success };
            if !sent.is_marker {
                completions.push_back(sent.complete(queue_pair, status));
            }
            if is_last {
                return;
            }
        }
    }
}

impl Sent {
    fn complete(self, queue_pair: Qpn, status: WorkStatus) -> Completion {
        let Sent { kind, mut payload, bytes, .. } = self;
        let arrived = match (kind, status) {
            (WorkKind::Read, WorkStatus::Success) => bytes,
            _ => 0,
        };
        if let Payload::Frame(frame) = &mut payload {
            frame.set_filled(arrived as usize);
        }
        Completion { queue_pair, kind, status, bytes: arrived, immediate: None, payload }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const QUEUE_PAIR: u32 = 17;

    struct Bench {
        work: InFlight,
        out: VecDeque<Completion>,
    }

    impl Bench {
        fn new(send_depth: u32) -> Bench {
            Bench { work: InFlight::new(send_depth, 4), out: VecDeque::new() }
        }

        fn post(&mut self, sequence: u64, signalled: bool) {
            let payload = Payload::Source(Bytes::copy_from_slice(&sequence.to_be_bytes()));
            self.work.push(WorkId::send(sequence), WorkKind::Write, payload, 8, signalled);
        }

        fn report(&mut self, wr_id: u64, status: WorkStatus, kind: Option<WorkKind>) -> Vec<Told> {
            let arrival = Arrival { wr_id, status, kind, bytes: 5, immediate: Some(9) };
            self.work.arrive(Qpn::new(QUEUE_PAIR).unwrap(), arrival, &mut self.out);
            self.out.drain(..).map(Told::from).collect()
        }

        fn send_report(&mut self, sequence: u64, status: WorkStatus) -> Vec<Told> {
            self.report(WorkId::send(sequence).raw(), status, None)
        }
    }

    /// Which request, and how it ended.
    #[derive(Debug, PartialEq, Eq)]
    enum Told {
        Send(u64, WorkStatus),
        Receive(WorkStatus, u32, Option<u32>),
    }

    impl From<Completion> for Told {
        fn from(completion: Completion) -> Told {
            assert_eq!(completion.queue_pair.number(), QUEUE_PAIR);
            match completion.payload {
                Payload::Source(bytes) => {
                    let sequence = u64::from_be_bytes(bytes[..].try_into().unwrap());
                    Told::Send(sequence, completion.status)
                }
                _ => Told::Receive(completion.status, completion.bytes, completion.immediate),
            }
        }
    }

    use WorkStatus::{Flushed, RemoteAccess, Success};

    #[test]
    fn a_report_covers_the_unsignalled_work_before_it() {
        let mut bench = Bench::new(8);
        for sequence in 0..4 {
            bench.post(sequence, sequence == 2);
        }
        let told = bench.send_report(2, Success);
        assert_eq!(told, [0, 1, 2].map(|sequence| Told::Send(sequence, Success)));
        assert!(!bench.work.is_empty() && bench.work.needs_marker());
    }

    #[test]
    fn a_failure_is_that_of_the_request_it_names() {
        let mut bench = Bench::new(8);
        for sequence in 0..4 {
            bench.post(sequence, sequence == 3);
        }
        let told = bench.send_report(1, RemoteAccess);
        assert_eq!(told, [Told::Send(0, Success), Told::Send(1, RemoteAccess)]);
        assert_eq!(bench.send_report(2, Flushed), [Told::Send(2, Flushed)]);
        assert_eq!(bench.send_report(3, Flushed), [Told::Send(3, Flushed)]);
        assert!(bench.work.is_empty());
    }

    #[test]
    fn a_marker_tells_nothing_of_itself() {
        let mut bench = Bench::new(8);
        bench.post(0, false);
        bench.post(1, false);
        bench.work.push_marker(WorkId::send(2));
        assert!(!bench.work.needs_marker());
        let told = bench.send_report(2, Flushed);
        assert_eq!(told, [Told::Send(0, Success), Told::Send(1, Success)]);
        assert!(bench.work.is_empty());
    }

    #[test]
    fn reports_about_a_former_queue_pair_of_the_number_mean_nothing() {
        let mut bench = Bench::new(8);
        bench.post(100, true);
        assert_eq!(bench.send_report(7, Success), []);
        assert_eq!(bench.report(WorkId::receive(100).raw(), Success, None), []);
        assert_eq!(bench.send_report(100, Success), [Told::Send(100, Success)]);
        assert_eq!(bench.send_report(100, Success), []);
    }

    #[test]
    fn the_last_place_is_signalled() {
        let mut bench = Bench::new(3);
        bench.post(0, false);
        assert!(!bench.work.must_signal());
        bench.post(1, false);
        assert!(bench.work.must_signal() && bench.work.has_room());
        bench.post(2, true);
        assert!(!bench.work.has_room());
        assert_eq!(bench.send_report(2, Success).len(), 3);
        assert!(bench.work.has_room());
    }

    #[test]
    fn receives_bring_what_arrived() {
        let mut bench = Bench::new(1);
        for sequence in 0..4 {
            assert!(bench.work.has_room_to_receive());
            bench.work.push_receive(WorkId::receive(sequence));
        }
        assert!(!bench.work.has_room_to_receive());
        let told = bench.report(WorkId::receive(0).raw(), Success, Some(WorkKind::Receive));
        assert_eq!(told, [Told::Receive(Success, 5, Some(9))]);
        assert!(bench.work.has_room_to_receive());
    }

    #[test]
    fn providers_that_rewrite_the_identifier_are_understood() {
        let mut bench = Bench::new(8);
        bench.post(0, false);
        bench.post(1, true);
        bench.post(2, true);
        bench.work.push_receive(WorkId::receive(3));
        let told = bench.report(1, Success, Some(WorkKind::Receive));
        assert_eq!(told, [Told::Receive(Success, 5, Some(9))]);
        let told = bench.report(1, Success, Some(WorkKind::Write));
        assert_eq!(told, [Told::Send(0, Success), Told::Send(1, Success)]);
        assert_eq!(bench.report(1, RemoteAccess, None), [Told::Send(2, RemoteAccess)]);
        assert_eq!(bench.report(1, Flushed, None), []);
    }

    #[test]
    fn what_was_not_posted_is_taken_back() {
        let mut bench = Bench::new(8);
        bench.post(0, true);
        bench.post(1, true);
        assert!(matches!(bench.work.pop(), Some(Payload::Source(bytes)) if bytes[7] == 1));
        assert_eq!(bench.send_report(1, Success), []);
        assert_eq!(bench.send_report(0, Success), [Told::Send(0, Success)]);
        bench.work.push_receive(WorkId::receive(5));
        bench.work.pop_receive();
        assert!(bench.work.is_empty() && bench.work.pop().is_none());
    }
}
