//! Owns the writing of an object into a peer's window, pipelined with its source: a piece is posted as soon as it is
//! there and there are credits, and checksummed while the wire carries it.
//!
//! WRITEs report their completion only now and then. One goes unreported only when its successor is in hand: a source
//! that has nothing ready may be waiting for the very frames that unreported WRITEs hold.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

use bytes::Bytes;
use datapath::arena::Frame;

use super::checksum::Digest;
use super::error::{Fault, TransferError};
use super::frames::{Delivered, FrameSource};
use super::pacer::{Pacer, Turn};
use super::stop::Stopper;
use super::tally::{Tally, add};
use crate::fabric::{Completion, Connected, QueuePair, RemoteWindow, Work};
use crate::limits::{
    BYTES_PER_TURN, SEND_BYTES_IN_FLIGHT, SEND_DEPTH, SIGNAL_BYTES, SIGNAL_WORKS, WORK_BYTES_MAX,
};
use crate::wire::ChecksumAlgorithm;

/// Where to write to, and how.
pub(crate) struct Destination<'a> {
    pub(crate) queue_pair: &'a QueuePair<Connected>,
    pub(crate) window: RemoteWindow,
    /// Goes with the last byte.
    pub(crate) immediate: Option<u32>,
    pub(crate) checksum: ChecksumAlgorithm,
    pub(crate) pacer: &'a Pacer,
    pub(crate) tally: &'a Tally,
}

/// Writes all that the source has.
pub(crate) async fn write_from<S: FrameSource>(
    destination: Destination<'_>,
    stopper: &mut Stopper<'_>,
    mut source: S,
) -> Result<Delivered, TransferError<S::Error>> {
    let total = source.remaining();
    if total > destination.window.size {
        let window = destination.window.size;
        return Err(TransferError::WindowTooSmall { needed: total, window });
    }
    let mut sender = Sender::new(destination, stopper, total);
    if total == 0 {
        sender.finish_empty().await.map_err(Fault::widen)?;
        return Ok(sender.delivered());
    }
    let mut piece = {
        let next = pin!(source.next());
        sender.await_piece(next).await?
    };
    loop {
        if piece.len() as u64 >= total - sender.accepted {
            break;
        }
        let mut next = pin!(source.next());
        let in_hand = poll_once(next.as_mut()).await;
        sender.accept(piece, in_hand.is_some()).await.map_err(Fault::widen)?;
        piece = match in_hand {
            Some(next) => sender.checked(next)?,
            None => sender.await_piece(next).await?,
        };
    }
    sender.accept(piece, false).await.map_err(Fault::widen)?;
    sender.drain().await.map_err(Fault::widen)?;
    Ok(sender.delivered())
}

/// Reads the last byte that was written. When it is here, it and all before it are in the peer's memory, not only with
/// its device: a READ pushes the WRITEs of its queue pair before it (InfiniBand specification, 9.5).
pub(crate) async fn read_last_byte(
    queue_pair: &QueuePair<Connected>,
    window: RemoteWindow,
    written: u64,
    frame: Frame,
    stopper: &mut Stopper<'_>,
    tally: &Tally,
) -> Result<(), Fault> {
    let last = written.checked_sub(1).and_then(|offset| window.from_offset(offset));
    let Some(from) = last else { return Ok(()) };
    let work = Work::Read { into: frame, bytes: 1, from };
    queue_pair.post(work, true).map_err(|(error, _work)| Fault::Fabric(error))?;
    add(&tally.work_requests, 1);
    let completion = stopper.guard(queue_pair.completion()).await??;
    tally.note(&completion)?;
    add(&tally.bytes_read, u64::from(completion.bytes));
    Ok(())
}

struct Sender<'a, 's, 'f> {
    to: Destination<'a>,
    stopper: &'s mut Stopper<'f>,
    digest: Digest,
    total: u64,
    /// Bytes taken from the source.
    accepted: u64,
    /// Posted and not known to be done, in order.
    in_flight: VecDeque<(u64, Turn<'a>)>,
    bytes_in_flight: u64,
    /// Since the last one that reports.
    unreported: u32,
    unreported_bytes: u64,
    /// Since other tasks had their turn.
    posted_in_a_row: u64,
}

impl<'a, 's, 'f> Sender<'a, 's, 'f> {
    fn new(to: Destination<'a>, stopper: &'s mut Stopper<'f>, total: u64) -> Self {
        let digest = Digest::new(to.checksum);
        Sender {
            to,
            stopper,
            digest,
            total,
            accepted: 0,
            in_flight: VecDeque::new(),
            bytes_in_flight: 0,
            unreported: 0,
            unreported_bytes: 0,
            posted_in_a_row: 0,
        }
    }

    /// Posts a piece, in parts where it is larger than a work request may be.
    async fn accept(&mut self, mut piece: Bytes, has_successor: bool) -> Result<(), Fault> {
        while !piece.is_empty() {
            let part = piece.split_to(piece.len().min(WORK_BYTES_MAX));
            let is_last = self.accepted + part.len() as u64 == self.total;
            let in_hand = !is_last && (has_successor || !piece.is_empty());
            self.post(part, is_last, in_hand).await?;
        }
        Ok(())
    }

    /// An empty object has nothing to write but the immediate.
    async fn finish_empty(&mut self) -> Result<(), Fault> {
        if self.to.immediate.is_some() {
            self.post(Bytes::new(), true, false).await?;
            self.drain().await?;
        }
        Ok(())
    }

    async fn post(&mut self, part: Bytes, is_last: bool, in_hand: bool) -> Result<(), Fault> {
        let bytes = part.len() as u64;
        while self.in_flight.len() >= SEND_DEPTH as usize
            || (!self.in_flight.is_empty() && self.bytes_in_flight + bytes > SEND_BYTES_IN_FLIGHT)
        {
            let completion = self.stopper.guard(self.to.queue_pair.completion()).await??;
            self.done(&completion)?;
        }
        let pacer = self.to.pacer;
        let turn = self.reaping(pacer.turn(bytes)).await?;
        let to = self.to.window.from_offset(self.accepted).ok_or(Fault::WindowTooSmall {
            needed: self.accepted + bytes,
            window: self.to.window.size,
        })?;
        let reports = !in_hand
            || turn.scarce
            || self.unreported + 1 >= SIGNAL_WORKS
            || self.unreported_bytes + bytes >= SIGNAL_BYTES;
        let immediate = self.to.immediate.filter(|_| is_last);
        let work = Work::Write { source: part.clone(), to, immediate };
        self.to.queue_pair.post(work, reports).map_err(|(error, _work)| Fault::Fabric(error))?;
        add(&self.to.tally.work_requests, 1);
        self.in_flight.push_back((bytes, turn));
        self.bytes_in_flight += bytes;
        self.accepted += bytes;
        (self.unreported, self.unreported_bytes) = match reports {
            true => (0, 0),
            false => (self.unreported + 1, self.unreported_bytes + bytes),
        };
        self.digest.update(&part);
        self.posted_in_a_row += bytes;
        if self.posted_in_a_row >= BYTES_PER_TURN {
            self.posted_in_a_row = 0;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Waits for the next piece; completions are taken meanwhile, so that their frames are free at once.
    async fn await_piece<E>(
        &mut self,
        next: Pin<&mut impl Future<Output = Option<Result<Bytes, E>>>>,
    ) -> Result<Bytes, TransferError<E>> {
        let next = self.reaping(next).await.map_err(Fault::widen)?;
        self.checked(next)
    }

    /// The piece, if it is what the source has promised.
    fn checked<E>(&self, next: Option<Result<Bytes, E>>) -> Result<Bytes, TransferError<E>> {
        let piece = match next {
            None => return Err(TransferError::Length { expected: self.total, got: self.accepted }),
            Some(piece) => piece.map_err(TransferError::Content)?,
        };
        let got = self.accepted + piece.len() as u64;
        if got > self.total {
            return Err(TransferError::Length { expected: self.total, got });
        }
        Ok(piece)
    }

    async fn reaping<T>(&mut self, awaited: impl Future<Output = T>) -> Result<T, Fault> {
        let mut awaited = pin!(awaited);
        loop {
            let queue_pair = self.to.queue_pair;
            let any = !self.in_flight.is_empty();
            let completion = tokio::select! {
                biased;
                stop = self.stopper.raised() => return Err(stop.into()),
                completion = queue_pair.completion(), if any => completion?,
                value = &mut awaited => return Ok(value),
            };
            self.done(&completion)?;
        }
    }

    /// Waits until all that was posted is done.
    async fn drain(&mut self) -> Result<(), Fault> {
        while !self.in_flight.is_empty() {
            let completion = self.stopper.guard(self.to.queue_pair.completion()).await??;
            self.done(&completion)?;
        }
        Ok(())
    }

    fn done(&mut self, completion: &Completion) -> Result<(), Fault> {
        self.to.tally.note(completion)?;
        if let Some((bytes, _turn)) = self.in_flight.pop_front() {
            self.bytes_in_flight -= bytes;
            add(&self.to.tally.bytes_written, bytes);
        }
        Ok(())
    }

    fn delivered(&self) -> Delivered {
        Delivered {
            bytes: self.accepted,
            checksum: self.digest.finish(),
            work_requests: self.to.tally.work_requests.get(),
        }
    }
}

/// What it is ready with at once.
async fn poll_once<T>(mut future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
