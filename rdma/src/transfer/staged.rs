//! Owns the taking of an object that the peer has written into its session's staging memory: what must be true of its
//! last WRITE, and the copy into frames. Between the two the queue pair is fenced (`crate::server`), so that what is
//! checksummed is what is stored.

use super::error::{Fault, TransferError};
use super::frames::FrameSink;
use super::stop::Stopper;
use super::tally::{Tally, add};
use crate::fabric::{Connected, QueuePair, WorkKind};
use crate::limits::BYTES_PER_TURN;

/// Waits for the peer's WRITE WITH IMMEDIATE: it must carry the cookie, and exactly `size` bytes.
pub(crate) async fn await_immediate(
    queue_pair: &QueuePair<Connected>,
    cookie: u32,
    size: u64,
    stopper: &mut Stopper<'_>,
    tally: &Tally,
) -> Result<(), Fault> {
    let completion = stopper.guard(queue_pair.completion()).await??;
    tally.note(&completion)?;
    if completion.kind != WorkKind::Receive || completion.immediate != Some(cookie) {
        return Err(Fault::Immediate { expected: cookie, got: completion.immediate });
    }
    let got = u64::from(completion.bytes);
    if got != size {
        return Err(Fault::Length { expected: size, got });
    }
    add(&tally.bytes_written_by_peer, got);
    Ok(())
}

/// Copies the staging memory into the sink's frames.
pub(crate) async fn copy_staged<K: FrameSink>(
    staged: &[u8],
    sink: &mut K,
    stopper: &mut Stopper<'_>,
    tally: &Tally,
) -> Result<(), TransferError<K::Error>> {
    let mut rest = staged;
    let mut copied_in_a_row = 0;
    while !rest.is_empty() {
        let asked = stopper.guard(sink.next_frame()).await;
        let (mut frame, wanted) =
            asked.map_err(|stop| Fault::from(stop).widen())?.map_err(TransferError::Content)?;
        if wanted == 0 || wanted > rest.len() || wanted > frame.spare_bytes() {
            let (expected, got) = (rest.len() as u64, wanted as u64);
            return Err(TransferError::Length { expected, got });
        }
        let (part, behind) = rest.split_at(wanted);
        frame.append(part);
        rest = behind;
        add(&tally.bytes_copied, wanted as u64);
        let taken = stopper.guard(sink.filled(frame)).await;
        taken.map_err(|stop| Fault::from(stop).widen())?.map_err(TransferError::Content)?;
        copied_in_a_row += wanted as u64;
        if copied_in_a_row >= BYTES_PER_TURN {
            copied_in_a_row = 0;
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}
