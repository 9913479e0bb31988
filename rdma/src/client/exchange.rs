//! Owns what all requests of the client have in common: the deadline, the error document, the pause before the next
//! attempt at a busy server.

use std::time::Duration;

use super::control::{AnswerBody, AnswerHead, BodyRefused, Control, ControlRequest};
use super::options::ClientOptions;
use super::outcome::ClientError;
use crate::limits::CLIENT_ERROR_BODY_BYTES;
use crate::wire::header;

/// Makes one exchange within `time`.
pub(super) async fn exchange<C: Control>(
    control: &C,
    request: ControlRequest,
    body: &mut dyn AnswerBody,
    step: &'static str,
    time: Duration,
) -> Result<AnswerHead, ClientError> {
    match tokio::time::timeout(time, control.exchange(request, body)).await {
        Ok(Ok(head)) => Ok(head),
        Ok(Err(error)) => Err(ClientError::Control(error)),
        Err(_) => Err(ClientError::Deadline { step, after: time }),
    }
}

/// The beginning of an answer's body, for its error code.
#[derive(Debug, Default)]
pub(super) struct Document {
    bytes: Vec<u8>,
}

impl AnswerBody for Document {
    fn accept(&mut self, _head: &AnswerHead, piece: &[u8]) -> Result<(), BodyRefused> {
        let room = CLIENT_ERROR_BODY_BYTES.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&piece[..piece.len().min(room)]);
        // The rest is read, not kept: it ends soon, and the connection stays usable.
        Ok(())
    }
}

impl Document {
    /// The text of the first `<Code>` element, where it is one of letters and digits, as all S3 codes are.
    pub(super) fn code(&self) -> Option<String> {
        let text = std::str::from_utf8(&self.bytes).ok()?;
        let after = &text[text.find("<Code>")? + "<Code>".len()..];
        let code = &after[..after.find("</Code>")?];
        let plain = !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
        plain.then(|| code.to_owned())
    }
}

/// An answer that is an S3 error.
pub(super) fn refused(step: &'static str, head: &AnswerHead, document: &Document) -> ClientError {
    ClientError::Refused { step, status: head.status, code: document.code() }
}

/// Whether the server wants to be asked again later.
pub(super) fn is_busy(head: &AnswerHead) -> bool {
    matches!(head.status, 429 | 503)
}

/// Whether the server says that it does not do this by RDMA at all.
pub(super) fn is_unsupported(head: &AnswerHead) -> bool {
    head.status == 501
        && head
            .header(header::PROTOCOL_STATUS)
            .is_some_and(|status| status.eq_ignore_ascii_case("unsupported"))
}

/// The pauses between attempts.
pub(super) struct Backoff<'a> {
    options: &'a ClientOptions,
    attempts: u32,
    next: Duration,
}

impl<'a> Backoff<'a> {
    pub(super) fn new(options: &'a ClientOptions) -> Backoff<'a> {
        Backoff { options, attempts: 0, next: options.backoff_first }
    }

    /// One more attempt found the server busy: waits before the next.
    ///
    /// # Errors
    /// When that was the last.
    pub(super) async fn pause(&mut self) -> Result<(), ClientError> {
        self.attempts += 1;
        if self.attempts >= self.options.backoff_attempts {
            return Err(ClientError::Busy { attempts: self.attempts });
        }
        let pause = jittered(self.next.min(self.options.backoff_most));
        self.next = (self.next * 2).min(self.options.backoff_most);
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

/// Between half of it and all of it: clients that were refused together don't come back together.
fn jittered(pause: Duration) -> Duration {
    // Without random numbers the pause is as long as it may be.
    let random = getrandom::u32().unwrap_or(u32::MAX);
    pause / 2 + (pause / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_found_and_nothing_else_is_taken_for_one() {
        let code = |text: &str| {
            let mut document = Document::default();
            for piece in text.as_bytes().chunks(7) {
                document.accept(&AnswerHead::default(), piece).expect("never refuses");
            }
            document.code()
        };
        assert_eq!(code("<Error><Code>SlowDown</Code></Error>").as_deref(), Some("SlowDown"));
        for text in ["", "<Code>", "<Code></Code>", "<Code>a b</Code>", "</Code><Code>", "\u{e9}"] {
            assert_eq!(code(text), None, "{text}");
        }
        let far = format!("{}<Code>Late</Code>", " ".repeat(CLIENT_ERROR_BODY_BYTES));
        assert_eq!(code(&far), None);
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_are_bounded_and_end() {
        let options = ClientOptions::default();
        let mut backoff = Backoff::new(&options);
        let began = tokio::time::Instant::now();
        let mut attempts = 1;
        while backoff.pause().await.is_ok() {
            attempts += 1;
        }
        assert_eq!(attempts, options.backoff_attempts);
        // 50 + 100 + 200 + 400 + 800 ms, of each at least half.
        let took = began.elapsed();
        assert!(
            took >= Duration::from_millis(775) && took <= Duration::from_millis(1600),
            "{took:?}"
        );
        assert_eq!(backoff.pause().await, Err(ClientError::Busy { attempts: attempts + 1 }));
    }
}
