//! Owns what is checked before work is taken (ibv_post_send(3), ibv_post_recv(3)): states, depths, sizes, registration.
//!
//! *Not here*: what becomes of it (`wire.rs`).

use super::pair::{Queue, Request};
use super::state::State;
use crate::fabric::error::{FabricError, QueuePairState};
use crate::fabric::work::{Work, WorkStatus};
use crate::limits::MODEL_MESSAGE_BYTES_MAX;

impl State {
    /// Posts work.
    pub(super) fn post(
        &mut self,
        number: u32,
        work: Work,
        signalled: bool,
    ) -> Result<(), (FabricError, Work)> {
        if let Err(error) = self.check_post(number, &work) {
            return Err((error, work));
        }
        let Some(pair) = self.pairs.get_mut(&number) else { return Ok(()) };
        pair.used[Queue::Send as usize] += 1;
        if pair.flushed {
            let flushed = pair.completed(work, WorkStatus::Flushed);
            self.plan_report(number, Queue::Send, flushed);
            return Ok(());
        }
        pair.send.push_back(Request::new(work, signalled));
        if !pair.parked {
            let delay = self.chance.within(self.faults.delay_max);
            self.plan_execution(number, delay);
        }
        Ok(())
    }

    fn check_post(&self, number: u32, work: &Work) -> Result<(), FabricError> {
        let refused = |reason: String| Err(FabricError::new("ibv_post_send", reason));
        let Some(pair) = self.pairs.get(&number) else {
            return refused("the queue pair is destroyed".into());
        };
        if !matches!(pair.state, QueuePairState::ReadyToSend | QueuePairState::Error) {
            return refused(format!("nothing can be sent in state {}", pair.state));
        }
        if pair.used[Queue::Send as usize] >= pair.shape.send_depth {
            return refused(format!("the send queue holds {} already", pair.shape.send_depth));
        }
        let size = match work {
            Work::Write { source, .. } => source.len(),
            Work::Read { into, bytes, .. } if *bytes > into.capacity() => {
                return refused(format!("{bytes} bytes don't fit a frame of {}", into.capacity()));
            }
            Work::Read { bytes, .. } => *bytes,
        };
        if size as u64 > MODEL_MESSAGE_BYTES_MAX {
            return refused(format!(
                "{size} bytes; a message has {MODEL_MESSAGE_BYTES_MAX} at most"
            ));
        }
        let regions = &self.devices[pair.device].regions;
        let (address, bytes) = match work {
            Work::Write { source, .. } => (source.as_ptr() as usize, source.len()),
            // What is filled begins where the frame does.
            Work::Read { into, .. } => (into.filled().as_ptr() as usize, into.capacity()),
        };
        // A message without bytes names no memory.
        let registered = size == 0 || regions.covers(address, bytes);
        match registered {
            true => Ok(()),
            false => refused("the memory is not registered with this fabric".into()),
        }
    }

    /// Posts a receive.
    pub(super) fn post_receive(&mut self, number: u32) -> Result<(), FabricError> {
        let refused = |reason: String| Err(FabricError::new("ibv_post_recv", reason));
        let Some(pair) = self.pairs.get_mut(&number) else {
            return refused("the queue pair is destroyed".into());
        };
        if pair.state == QueuePairState::Reset {
            return refused("nothing can be received in state RESET".into());
        }
        if pair.used[Queue::Receive as usize] >= pair.shape.receive_depth {
            return refused(format!(
                "the receive queue holds {} already",
                pair.shape.receive_depth
            ));
        }
        pair.used[Queue::Receive as usize] += 1;
        if pair.flushed {
            let flushed = pair.received(WorkStatus::Flushed, 0, None);
            self.plan_report(number, Queue::Receive, flushed);
        } else {
            pair.receives += 1;
            self.wake_peer(number);
        }
        Ok(())
    }
}
