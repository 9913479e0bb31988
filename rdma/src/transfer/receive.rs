//! Owns the reading of an object from a peer's window straight into the frames that it is stored from.
//!
//! The device executes one READ of a connection at a time; those posted ahead hide the time between. They complete in
//! order, so frames go back to the sink in order.

use std::collections::VecDeque;
use std::pin::pin;

use datapath::arena::Frame;

use super::error::{Fault, TransferError};
use super::frames::{FrameSink, Received};
use super::pacer::{Pacer, Turn};
use super::stop::Stopper;
use super::tally::{Tally, add};
use crate::fabric::{
    Completion, Connected, FabricError, Payload, QueuePair, RemoteWindow, Work, WorkKind,
};
use crate::limits::{READS_AHEAD, WORK_BYTES_MAX};

/// Where to read from.
pub(crate) struct Origin<'a> {
    pub(crate) queue_pair: &'a QueuePair<Connected>,
    /// All of it is read.
    pub(crate) window: RemoteWindow,
    pub(crate) pacer: &'a Pacer,
    pub(crate) tally: &'a Tally,
}

/// Reads the whole window into the sink.
pub(crate) async fn read_into<K: FrameSink>(
    origin: Origin<'_>,
    stopper: &mut Stopper<'_>,
    sink: &mut K,
) -> Result<Received, TransferError<K::Error>> {
    let total = origin.window.size;
    let mut reader = Reader::new(origin);
    let mut taken_bytes = 0;
    while taken_bytes < total {
        match reader.next_event(stopper, sink).await? {
            Event::Empty(frame, wanted) => {
                reader.post(stopper, frame, wanted).await.map_err(Fault::widen)?;
            }
            Event::Filled(frame) => {
                taken_bytes += frame.filled_bytes() as u64;
                let taken = stopper.guard(sink.filled(frame)).await;
                taken.map_err(|stop| Fault::from(stop).widen())?.map_err(TransferError::Content)?;
            }
        }
    }
    let work_requests = reader.from.tally.work_requests.get();
    Ok(Received { bytes: total, copied_bytes: 0, work_requests })
}

enum Event {
    /// From the sink, with the bytes that it wants.
    Empty(Frame, usize),
    /// For the sink.
    Filled(Frame),
}

struct Reader<'a> {
    from: Origin<'a>,
    asked: u64,
    /// Bytes of the READs that are posted, in order.
    in_flight: VecDeque<(usize, Turn<'a>)>,
    /// Frames that came while it waited for its turn.
    filled: VecDeque<Frame>,
}

impl<'a> Reader<'a> {
    fn new(from: Origin<'a>) -> Reader<'a> {
        Reader { from, asked: 0, in_flight: VecDeque::new(), filled: VecDeque::new() }
    }

    /// A READ that is done, or a frame for the next one, where there is to be one.
    async fn next_event<K: FrameSink>(
        &mut self,
        stopper: &mut Stopper<'_>,
        sink: &mut K,
    ) -> Result<Event, TransferError<K::Error>> {
        if let Some(frame) = self.filled.pop_front() {
            return Ok(Event::Filled(frame));
        }
        let wants_frame = self.asked < self.from.window.size && self.in_flight.len() < READS_AHEAD;
        let queue_pair = self.from.queue_pair;
        tokio::select! {
            biased;
            stop = stopper.raised() => Err(Fault::from(stop).widen()),
            completion = queue_pair.completion(), if !self.in_flight.is_empty() => {
                Ok(Event::Filled(self.done(completion?).map_err(Fault::widen)?))
            }
            frame = sink.next_frame(), if wants_frame => {
                let (frame, wanted) = frame.map_err(TransferError::Content)?;
                Ok(Event::Empty(frame, wanted))
            }
        }
    }

    async fn post(
        &mut self,
        stopper: &mut Stopper<'_>,
        frame: Frame,
        wanted: usize,
    ) -> Result<(), Fault> {
        let left = self.from.window.size - self.asked;
        if wanted == 0 || wanted as u64 > left || wanted > frame.capacity().min(WORK_BYTES_MAX) {
            return Err(Fault::Length { expected: left, got: wanted as u64 });
        }
        let turn = self.turn(stopper, wanted).await?;
        let from = self.from.window.from_offset(self.asked).ok_or(Fault::WindowTooSmall {
            needed: self.asked + wanted as u64,
            window: self.from.window.size,
        })?;
        let work = Work::Read { into: frame, bytes: wanted, from };
        self.from.queue_pair.post(work, true).map_err(|(error, _work)| Fault::Fabric(error))?;
        add(&self.from.tally.work_requests, 1);
        self.in_flight.push_back((wanted, turn));
        self.asked += wanted as u64;
        Ok(())
    }

    /// Waits in the lane's line. The turns of READs that are done are given back meanwhile: others wait for them.
    async fn turn(&mut self, stopper: &mut Stopper<'_>, wanted: usize) -> Result<Turn<'a>, Fault> {
        let (queue_pair, pacer) = (self.from.queue_pair, self.from.pacer);
        let mut turn = pin!(pacer.turn(wanted as u64));
        loop {
            let completion = tokio::select! {
                biased;
                stop = stopper.raised() => return Err(stop.into()),
                completion = queue_pair.completion(), if !self.in_flight.is_empty() => completion?,
                turn = &mut turn => return Ok(turn),
            };
            let frame = self.done(completion)?;
            self.filled.push_back(frame);
        }
    }

    /// The frame of the oldest READ, filled.
    fn done(&mut self, completion: Completion) -> Result<Frame, Fault> {
        self.from.tally.note(&completion)?;
        let expected = self.in_flight.pop_front().map_or(0, |(bytes, _turn)| bytes as u64);
        let got = u64::from(completion.bytes);
        match completion.payload {
            Payload::Frame(frame) if completion.kind == WorkKind::Read => {
                if got != expected || frame.filled_bytes() as u64 != expected {
                    return Err(Fault::Length { expected, got });
                }
                add(&self.from.tally.bytes_read, got);
                Ok(frame)
            }
            _ => Err(Fault::Fabric(FabricError::new(
                "ibv_poll_cq",
                "a completion that is not of the READ that was posted",
            ))),
        }
    }
}
