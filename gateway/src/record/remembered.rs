//! A request that is remembered after its end: what is kept of it, in the form in which it is shown.
//!
//! Limits: every text that a client chose is cut at [`limits::REMEMBERED_CHARS_MAX`] characters.
//! Not here: which ones are remembered (`slowest.rs`, `errors.rs`).

use std::time::{SystemTime, UNIX_EPOCH};

use super::{Record, shown};
use crate::admin::state::RequestState;
use crate::limits;
use crate::metrics::{Source, Stage};
use crate::trace::context::{self, Sampling};

/// What is kept of a request. Its query, which may hold a signature, is not among it. `traces` says
/// which requests are traced; without it, a trace is the client's alone.
pub fn remembered(record: &Record<'_>, traces: Option<&Sampling>) -> RequestState {
    let account = record.account;
    let stage = |stage: &Stage| {
        account.stage(*stage).map(|took| (stage.label().to_owned(), took.as_secs_f64()))
    };
    let source = |source: &Source| {
        let bytes = account.source(*source);
        (bytes > 0).then(|| (source.label().to_owned(), bytes))
    };
    RequestState {
        time: since_1970(record.ended),
        id: account.asked.id.as_str().to_owned(),
        operation: account.asked.operation.label().to_owned(),
        status: account.status().map_or(0, |status| status.as_u16()),
        code: account.code.get().map(|code| cut(code)),
        bucket: shown::bucket(account).map(|bucket| cut(&bucket)),
        key: shown::key(account).map(|key| cut(&key)),
        user: account.user.get().map(|user| user.to_string()),
        client: account.asked.peer.map(|peer| peer.to_string()),
        seconds: record.took.as_secs_f64(),
        first_byte_seconds: account.answered().map(|took| took.as_secs_f64()),
        received_bytes: account.received(),
        sent_bytes: account.sent(),
        stages: Stage::ALL.iter().filter_map(stage).collect(),
        sources: Source::ALL.iter().filter_map(source).collect(),
        delivery: account.delivery().label().to_owned(),
        trace: context::trace(traces, &account.asked).map(|trace| format!("{trace:032x}")),
    }
}

/// A moment in seconds since 1970.
pub fn since_1970(moment: SystemTime) -> f64 {
    moment.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(limits::REMEMBERED_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::sample;
    use http::HeaderValue;
    use std::time::Duration;

    #[test]
    fn what_was_gathered_is_kept_and_the_query_is_not() {
        let mut account = sample::account(0, "/photos/a%20b?X-Amz-Signature=abc");
        let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        account.asked.traceparent = Some(HeaderValue::from_static(traceparent));
        account.spent(Stage::Auth, Duration::from_millis(2));
        account.gave(Source::Cache, 7);
        account.all_left();
        account.code.set("NoSuchKey".into()).unwrap();
        account.answer(http::StatusCode::NOT_FOUND);
        let took = Duration::from_millis(12);
        let kept = remembered(&Record { account: &account, ended: SystemTime::now(), took }, None);
        assert_eq!((kept.bucket.as_deref(), kept.key.as_deref()), (Some("photos"), Some("a%20b")));
        assert_eq!((kept.status, kept.seconds), (404, 0.012));
        assert_eq!(kept.stages.into_iter().collect::<Vec<_>>(), [("auth".to_owned(), 0.002)]);
        assert_eq!(kept.sources.into_iter().collect::<Vec<_>>(), [("cache".to_owned(), 7)]);
        assert_eq!(kept.trace.as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        assert_eq!(kept.code.as_deref(), Some("NoSuchKey"));
    }

    #[test]
    fn a_presigned_url_that_was_pasted_as_a_key_is_not_shown() {
        let key = |key: &str| {
            let account = sample::account(0, &format!("/photos/{key}"));
            let record =
                Record { account: &account, ended: SystemTime::now(), took: Duration::ZERO };
            remembered(&record, None).key.unwrap()
        };
        for pasted in ["x%3FX-Amz-Signature%3Dabc", "x%3FX%2DAmz%2DSignature%3Dabc"] {
            assert!(!key(pasted).contains("abc"), "{pasted}");
        }
        assert_eq!(key("signatures/a.txt"), "signatures/a.txt");
    }

    #[test]
    fn long_texts_are_cut() {
        let long = "ü".repeat(limits::REMEMBERED_CHARS_MAX + 1);
        assert_eq!(cut(&long).chars().count(), limits::REMEMBERED_CHARS_MAX + 1);
        assert!(cut(&long).ends_with('…'));
        assert_eq!(cut("short"), "short");
    }
}
