//! Owns PutObject and UploadPart through a pool: one request without a body, whose token names a connection and the
//! memory that the server reads. Also the doubt about answers that may mean an object of 0 bytes.

use super::control::{AnswerHead, Control, ControlRequest, Method};
use super::exchange::{Backoff, Document, exchange, refused};
use super::memory::{Memory, MemoryWindow};
use super::object_answer::{PutAnswer, read_put};
use super::outcome::{ClientError, Decline, Done, Failed, Outcome, Path, Tally, Verification};
use super::pool::{Line, Pool};
use super::request::{Condition, Put};
use super::session_answer::mismatch;
use super::{exposed, plain, revoked};
use crate::fabric::{RemoteAccess, RemoteWindow};
use crate::limits::CLIENT_TRANSFER_BYTES_MAX;
use crate::wire::{Crc64Nvme, PooledToken, header};

/// What is to be done after one request.
enum Next<M> {
    /// It is done, or has failed for good.
    Ended(Result<Done<M>, Failed<M>>),
    /// The connection was unknown.
    Reconnect(M, ClientError),
    /// Later.
    Wait(M),
    /// With a body.
    Plain(M, Decline),
    /// Something is stored, and nobody has said what.
    Doubt(M, AnswerHead),
}

/// What all requests of one PUT have in common.
struct Order<'a> {
    put: &'a Put,
    target: String,
    checksum: Crc64Nvme,
}

impl Pool {
    /// PutObject or UploadPart from the start of the memory.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn put<C: Control, M: Memory>(
        &self,
        control: &C,
        put: &Put,
        mut memory: M,
    ) -> Result<Done<M>, Failed<M>> {
        let options = &self.client.options;
        let mut tally = Tally::default();
        if put.bytes == 0 {
            return plain::put(options, control, put, memory, Decline::Empty, &mut tally).await;
        }
        let (order, _place) = match self.order(put, &memory).await {
            Ok(found) => found,
            Err(error) => return Err(Failed::untouched(error, memory)),
        };
        let mut reconnected = false;
        let mut backoff = Backoff::new(options);
        loop {
            let line = match self.line(control, &mut tally).await {
                Ok(line) => line,
                Err(ClientError::Unsupported) => {
                    let decline = Decline::NotImplemented;
                    return plain::put(options, control, put, memory, decline, &mut tally).await;
                }
                Err(error) => return Err(Failed::untouched(error, memory)),
            };
            memory = match self.try_put(control, &order, line, memory, tally).await {
                Next::Ended(ended) => return ended,
                Next::Plain(memory, decline) => {
                    tally.retries += 1;
                    return plain::put(options, control, put, memory, decline, &mut tally).await;
                }
                Next::Doubt(memory, head) => {
                    return self.doubt(control, &order, memory, head, tally).await;
                }
                Next::Reconnect(memory, error) if reconnected => {
                    return Err(Failed::untouched(error, memory));
                }
                Next::Reconnect(memory, _) => {
                    reconnected = true;
                    memory
                }
                Next::Wait(memory) => match backoff.pause().await {
                    Ok(()) => memory,
                    Err(error) => return Err(Failed::untouched(error, memory)),
                },
            };
            tally.retries += 1;
        }
    }

    async fn order<'a, M: Memory>(
        &self,
        put: &'a Put,
        memory: &M,
    ) -> Result<(Order<'a>, tokio::sync::SemaphorePermit<'_>), ClientError> {
        let target = put.target(memory.size())?.to_string();
        if put.bytes > CLIENT_TRANSFER_BYTES_MAX {
            return Err(ClientError::Invalid(format!(
                "{} bytes: one transfer has at most {CLIENT_TRANSFER_BYTES_MAX}; upload it in parts",
                put.bytes
            )));
        }
        let checksum = plain::checksum_of(put, memory)?;
        Ok((Order { put, target, checksum }, self.place().await?))
    }

    /// One request.
    async fn try_put<C: Control, M: Memory>(
        &self,
        control: &C,
        order: &Order<'_>,
        line: Line,
        memory: M,
        tally: Tally,
    ) -> Next<M> {
        let bytes = order.put.bytes;
        let window = match exposed(memory, RemoteAccess::Read) {
            Ok(window) => window,
            Err(failed) => {
                self.keep(line);
                return Next::Ended(Err(failed));
            }
        };
        let token = PooledToken {
            connection: line.id,
            window: RemoteWindow { size: bytes, ..window.remote() },
        };
        let mut headers = plain::put_headers(order.put, order.checksum);
        headers.push((header::TOKEN, token.to_string()));
        let request = ControlRequest::new(Method::Put, order.target.clone(), headers);
        let mut document = Document::default();
        let time = self.client.options.transfer_deadline(bytes);
        let head = match exchange(control, request, &mut document, "PUT", time).await {
            Ok(head) => head,
            Err(error) => {
                self.end(control, line).await;
                return Next::Ended(Err(Failed::revoked(error.of_put(), window)));
            }
        };
        let answer = read_put(&head, document.code().as_deref());
        match &answer {
            PutAnswer::NoSession => self.forget(line).await,
            PutAnswer::Malformed(_) | PutAnswer::Suspect => self.end(control, line).await,
            PutAnswer::Refused if head.status >= 500 => self.end(control, line).await,
            _ => self.keep(line),
        }
        let error = match &answer {
            PutAnswer::Stored(Some(read)) if *read != bytes => mismatch("bytes", &bytes, read),
            PutAnswer::Malformed(why) => ClientError::Malformed { step: "PUT", why: why.clone() },
            PutAnswer::Stored(_) => {
                return Next::Ended(Ok(stored(window.reclaim(), &head, bytes, tally)));
            }
            _ => refused("PUT", &head, &document),
        };
        let memory = match revoked(window) {
            Ok(memory) => memory,
            Err(failed) => return Next::Ended(Err(failed)),
        };
        match answer {
            PutAnswer::SendBody(decline) => Next::Plain(memory, decline),
            PutAnswer::Suspect => Next::Doubt(memory, head),
            PutAnswer::NoSession => Next::Reconnect(memory, error),
            PutAnswer::Busy => Next::Wait(memory),
            PutAnswer::Stored(_) | PutAnswer::Refused | PutAnswer::Malformed(_) => {
                Next::Ended(Err(Failed::untouched(error.of_put(), memory)))
            }
        }
    }

    /// A success without a word about RDMA: a server that does not know the token has stored 0 bytes. Looks at what is
    /// there; unless it is what was meant, it is written again with a body.
    async fn doubt<C: Control, M: Memory>(
        &self,
        control: &C,
        order: &Order<'_>,
        memory: M,
        head: AnswerHead,
        mut tally: Tally,
    ) -> Result<Done<M>, Failed<M>> {
        let options = &self.client.options;
        tally.retries += 1;
        if self.is_as_meant(control, order, &head).await {
            return Ok(stored(memory, &head, order.put.bytes, tally));
        }
        let mut again = order.put.clone();
        // Whoever wanted nothing to be there before finds the wrong object there now, and replaces just that.
        if again.condition.is_some() {
            let Some(tag) = head.header("etag") else {
                let why = "success without an entity tag".to_owned();
                let error = ClientError::Malformed { step: "PUT", why }.of_put();
                return Err(Failed::untouched(error, memory));
            };
            again.condition = Some(Condition::EntityTag(tag.to_owned()));
        }
        plain::put(options, control, &again, memory, Decline::Unaware, &mut tally).await
    }

    /// Whether the object is there with the tag that was answered and all its bytes. Of a part nobody can tell.
    async fn is_as_meant<C: Control>(
        &self,
        control: &C,
        order: &Order<'_>,
        stored: &AnswerHead,
    ) -> bool {
        if order.put.part.is_some() || !stored.has("etag") {
            return false;
        }
        let headers = vec![(plain::CONTENT_SHA256.0, plain::CONTENT_SHA256.1.to_owned())];
        let request = ControlRequest::new(Method::Head, order.target.clone(), headers);
        let time = self.client.options.connect_time;
        let mut document = Document::default();
        let Ok(head) = exchange(control, request, &mut document, "HEAD", time).await else {
            return false;
        };
        let bytes = head.header("content-length").and_then(|text| text.parse::<u64>().ok());
        head.status == 200
            && bytes == Some(order.put.bytes)
            && head.header("etag") == stored.header("etag")
    }
}

fn stored<M>(memory: M, head: &AnswerHead, bytes: u64, tally: Tally) -> Done<M> {
    let mut outcome = Outcome::of(Path::Rdma, bytes, head, tally);
    outcome.checksum = Verification::Verified;
    Done { memory, outcome }
}
