//! Owns GetObject and PutObject by hipobj-rc-v2: the memory around one session, the path by HTTP where there is none.

use bytes::Bytes;

use super::control::Control;
use super::memory::{Memory, MemoryWindow};
use super::outcome::{ClientError, Decline, Done, Failed, Outcome, Path, Tally, Verification};
use super::request::{ByteRange, Get, Put};
use super::session::{Ended, Report, Session};
use super::session_answer::{Finale, text};
use super::{Client, exposed, plain, revoked};
use crate::fabric::{RemoteAccess, RemoteWindow};
use crate::limits::CLIENT_TRANSFER_BYTES_MAX;
use crate::wire::{Operation, Target};

impl Client {
    /// GetObject by hipobj-rc-v2 into the start of the memory. Without a range it asks for as many bytes as the memory
    /// has, from the start of the object: the protocol knows no "all".
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn get<C: Control, M: Memory>(
        &self,
        control: &C,
        get: &Get,
        memory: M,
    ) -> Result<Done<M>, Failed<M>> {
        let range = get.range.unwrap_or(ByteRange { offset: 0, bytes: memory.size() });
        let target = match self.session_target(get.target(), range.bytes, memory.size()) {
            Ok(target) => target,
            Err(error) => return Err(Failed::untouched(error, memory)),
        };
        let window = exposed(memory, RemoteAccess::Write)?;
        let session = Session {
            client: self,
            control,
            operation: Operation::Get,
            target,
            offset: range.offset,
            size: range.bytes,
            window: RemoteWindow { size: range.bytes, ..window.remote() },
            source: None,
        };
        let Report { result, clean, mut tally } = session.run().await;
        let finale = match result {
            Err(error) => return Err(Failed::revoked(error, window)),
            Ok(Ended::Declined) => {
                let memory = revoked(window)?;
                // The same bytes: a part or version that is asked for whole stays whole.
                let whole = get.part_number.is_some() || get.range.is_some();
                let get = if whole { get.clone() } else { get.clone().range(0, range.bytes) };
                let decline = Decline::NotImplemented;
                return plain::get(&self.options, control, &get, memory, decline, &mut tally).await;
            }
            Ok(Ended::Moved(finale)) => finale,
        };
        self.concluded(window, clean, finale, range.bytes, tally)
    }

    /// PutObject or UploadPart by hipobj-rc-v2 from the start of the memory.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn put<C: Control, M: Memory>(
        &self,
        control: &C,
        put: &Put,
        memory: M,
    ) -> Result<Done<M>, Failed<M>> {
        let mut tally = Tally::default();
        let options = &self.options;
        if put.bytes == 0 {
            return plain::put(options, control, put, memory, Decline::Empty, &mut tally).await;
        }
        let (target, source) = match self.session_source(put, &memory) {
            Ok(found) => found,
            Err(error) => return Err(Failed::untouched(error, memory)),
        };
        // The peer gets the address and a key that opens nothing: some servers want to see both.
        let window = exposed(memory, RemoteAccess::None)?;
        let session = Session {
            client: self,
            control,
            operation: Operation::Put,
            target,
            offset: 0,
            size: put.bytes,
            window: RemoteWindow { size: put.bytes, ..window.remote() },
            source: Some(source),
        };
        let Report { result, clean, tally: counted } = session.run().await;
        drop(session);
        tally = counted;
        let finale = match result {
            Err(error) => return Err(Failed::revoked(error, window)),
            Ok(Ended::Declined) => {
                let memory = revoked(window)?;
                let decline = Decline::NotImplemented;
                return plain::put(options, control, put, memory, decline, &mut tally).await;
            }
            Ok(Ended::Moved(finale)) => finale,
        };
        // After a mismatch something else is stored.
        self.concluded(window, clean, finale, put.bytes, tally)
            .map_err(|failed| Failed { error: failed.error.of_put(), ..failed })
    }

    /// Takes the memory back after a success, and compares it with the checksum that the server has given.
    fn concluded<M: Memory>(
        &self,
        window: M::Window,
        clean: bool,
        finale: Finale,
        bytes: u64,
        tally: Tally,
    ) -> Result<Done<M>, Failed<M>> {
        // A queue pair that the device would not destroy may still be written through.
        let memory = if clean { window.reclaim() } else { revoked(window)? };
        let checked = match self.options.verify {
            true => finale.promised.verify(memory.host(bytes)),
            false => Ok(Verification::NotComputed),
        };
        let outcome = |checksum| Outcome {
            path: Path::Rdma,
            bytes,
            entity_tag: finale.entity_tag,
            version_id: finale.version_id,
            content_range: None,
            checksum,
            work_requests: tally.work_requests,
            retries: tally.retries,
        };
        match checked {
            Ok(checksum) => Ok(Done { memory, outcome: outcome(checksum) }),
            Err(error) => Err(Failed::untouched(error, memory)),
        }
    }

    fn session_source<M: Memory>(
        &self,
        put: &Put,
        memory: &M,
    ) -> Result<(String, Bytes), ClientError> {
        if put.condition.is_some() || !put.headers.is_empty() {
            return Err(ClientError::Invalid(
                "hipobj-rc-v2 carries no conditions and no metadata: use a pool or plain HTTP"
                    .to_owned(),
            ));
        }
        let target = self.session_target(put.target(memory.size()), put.bytes, memory.size())?;
        Ok((target, memory.load(put.bytes).map_err(ClientError::Memory)?))
    }

    /// The target of a session, where it can have one.
    fn session_target(
        &self,
        target: Result<Target, ClientError>,
        bytes: u64,
        memory: u64,
    ) -> Result<String, ClientError> {
        let facts = self.endpoint.fabric().facts();
        let most = CLIENT_TRANSFER_BYTES_MAX.min(facts.message_bytes_max);
        let invalid = |why: String| Err(ClientError::Invalid(why));
        if !facts.immediate {
            return invalid(format!("{} has no WRITE WITH IMMEDIATE: use a pool", facts.device));
        }
        if bytes == 0 || bytes > most || bytes > memory {
            return invalid(format!(
                "{bytes} bytes: one transfer has 1 to {most}, and the memory has {memory}"
            ));
        }
        target?.encode().map_err(|error| ClientError::Invalid(text(error)))
    }
}
