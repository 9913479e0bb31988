//! The spans of one request.
//!
//! Owns: names and attributes (OpenTelemetry semantic conventions: HTTP server spans, AWS S3; what
//! they have no name for begins with `penstock.`), and where stages lie in time.
//!
//! An account has the sum of each stage, not its beginnings: a stream waits for the device many
//! times. So the stages of a request are laid one behind the other in the order of a request,
//! beginning with its head; their lengths are measured, their places are not.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use http::Version;
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::{Context, Sampling};
use crate::metrics::{Copying, Source, Stage};
use crate::record::tenants::ANONYMOUS;
use crate::record::{Record, shown};

/// Stages that have spans, in the order in which they are laid out. `Accept` has none: it is the
/// connection's, and what lies between it and the head is the client's time.
const LAID_OUT: [Stage; 8] = [
    Stage::Auth,
    Stage::Receive,
    Stage::Index,
    Stage::Queue,
    Stage::Device,
    Stage::Verify,
    Stage::Commit,
    Stage::Send,
];

/// Spans of one request at most: its own, one of parsing, and the stages'.
const SPANS_MAX: usize = LAID_OUT.len() + 2;

/// How many spans a request has.
pub(super) fn count(record: &Record<'_>) -> u64 {
    let stages = LAID_OUT.iter().chain(&[Stage::Parse]);
    1 + stages.filter(|stage| record.account.stage(**stage).is_some()).count() as u64
}

/// The request's span, then those of its stages.
pub(super) fn spans(
    record: &Record<'_>,
    context: &Context,
    sampling: &Sampling,
    scope: &InstrumentationScope,
) -> Vec<SpanData> {
    let account = record.account;
    let head = record.began();
    let parse = account.stage(Stage::Parse);
    let began = head.checked_sub(parse.unwrap_or_default()).unwrap_or(head);
    let state = state(record);
    let id = context.span;
    let span = |stage: Option<Stage>, start: SystemTime, end: SystemTime| SpanData {
        span_context: SpanContext::new(
            TraceId::from(context.trace),
            SpanId::from(stage.map_or(id, |stage| sampling.mixed(id, 3 + stage as u64))),
            TraceFlags::SAMPLED,
            false,
            state.clone(),
        ),
        parent_span_id: match stage {
            Some(_) => SpanId::from(id),
            None => context.parent.map_or(SpanId::INVALID, SpanId::from),
        },
        parent_span_is_remote: stage.is_none() && context.parent.is_some(),
        span_kind: if stage.is_some() { SpanKind::Internal } else { SpanKind::Server },
        name: match stage {
            Some(stage) => stage.label().into(),
            None => Cow::Owned(format!("S3.{}", account.asked.operation.label())),
        },
        start_time: start,
        end_time: end,
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: scope.clone(),
    };
    let mut spans = Vec::with_capacity(SPANS_MAX);
    let mut whole = span(None, began, record.ended);
    whole.attributes = attributes(record);
    whole.status = status(record);
    spans.push(whole);
    if parse.is_some() {
        spans.push(span(Some(Stage::Parse), began, head));
    }
    let mut at = head;
    for stage in LAID_OUT {
        if let Some(took) = account.stage(stage) {
            let end = (at + took).min(record.ended);
            spans.push(span(Some(stage), at, end));
            at = end;
        }
    }
    spans
}

/// What the client says in `tracestate` goes on with its trace. What is too long, or is no list of
/// members, is left out, as the W3C wants it.
fn state(record: &Record<'_>) -> TraceState {
    let value = record.account.asked.tracestate.as_ref();
    let text = value.and_then(|value| value.to_str().ok());
    let text = text.filter(|text| text.len() <= crate::limits::LOGGED_FIELD_BYTES_MAX);
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// A server's errors are errors; a client's are not the server's (HTTP semantic conventions).
fn status(record: &Record<'_>) -> Status {
    let account = record.account;
    let failed = account.status().is_some_and(|status| status.is_server_error());
    match account.code.get() {
        Some(code) if failed => Status::error(code.to_string()),
        _ if failed => Status::error(""),
        _ if account.is_broken_off() => Status::error("the response broke off"),
        _ => Status::Unset,
    }
}

struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn add(&mut self, name: &'static str, value: impl Into<Value>) {
        self.0.push(KeyValue::new(name, value));
    }

    fn maybe(&mut self, name: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }

    fn count(&mut self, name: impl Into<opentelemetry::Key>, count: u64) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.0.push(KeyValue::new(name, count));
    }
}

fn attributes(record: &Record<'_>) -> Vec<KeyValue> {
    let account = record.account;
    let asked = &account.asked;
    let mut all = Attributes(Vec::with_capacity(28));
    all.add("http.request.method", asked.method.as_str().to_owned());
    all.add("url.scheme", "http");
    all.add("url.path", shown::path(asked).into_owned());
    all.maybe("url.query", shown::query(asked).map(Cow::into_owned));
    all.add("network.protocol.name", "http");
    all.add("network.protocol.version", version(asked.version));
    if let Some(host) = shown::host(asked) {
        let port = host.rsplit_once(':').and_then(|(_, port)| port.parse::<i64>().ok());
        let name = port.and(host.rsplit_once(':')).map_or(&*host, |(name, _)| name);
        all.add("server.address", name.to_owned());
        all.maybe("server.port", port);
    }
    all.maybe("client.address", asked.peer.map(|peer| peer.to_string()));
    let agent = asked.user_agent.as_ref().map(shown::field);
    all.maybe("user_agent.original", agent.map(|it| String::from_utf8_lossy(it).into_owned()));
    if let Some(status) = account.status() {
        all.add("http.response.status_code", i64::from(status.as_u16()));
    }
    all.maybe("error.type", account.code.get().map(|code| code.to_string()));
    all.count("http.request.body.size", account.received());
    all.count("http.response.body.size", account.sent());
    all.add("aws.request_id", asked.id.as_str().to_owned());
    all.maybe("aws.s3.bucket", shown::bucket(account).map(Cow::into_owned));
    all.maybe("aws.s3.key", shown::key(account).map(Cow::into_owned));
    all.maybe("aws.s3.upload_id", shown::parameter(asked, "uploadId").map(str::to_owned));
    let part = shown::parameter(asked, "partNumber").and_then(|part| part.parse::<i64>().ok());
    all.maybe("aws.s3.part_number", part);
    all.add("user.id", account.user.get().map_or(ANONYMOUS, |user| user).to_owned());
    all.count("penstock.lane", account.lane as u64);
    all.add("penstock.delivery", account.delivery().label());
    for source in Source::ALL {
        if account.source(*source) > 0 {
            all.count(format!("penstock.bytes.{}", source.label()), account.source(*source));
        }
    }
    for path in Copying::ALL {
        if account.copied(*path) > 0 {
            all.count(format!("penstock.copied.{}", path.label()), account.copied(*path));
        }
    }
    let first = account.answered().map(|answered| answered.as_secs_f64());
    all.maybe("penstock.first_byte_seconds", first);
    let accept = account.stage(Stage::Accept).as_ref().map(Duration::as_secs_f64);
    all.maybe("penstock.accept_seconds", accept);
    all.maybe("penstock.broken_off", account.is_broken_off().then_some(true));
    all.0
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "2",
        other => shown::version(other).trim_start_matches("HTTP/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Account;
    use crate::trace::context::tests::asked;
    use http::{HeaderValue, StatusCode};
    use std::time::UNIX_EPOCH;

    fn of(account: &Account) -> Vec<SpanData> {
        let sampling = Sampling::new(1).unwrap();
        let ended = UNIX_EPOCH + Duration::from_secs(100);
        let record = Record { account, ended, took: Duration::from_millis(10) };
        let context = sampling.context(&account.asked).unwrap();
        let scope = InstrumentationScope::builder("test").build();
        spans(&record, &context, &sampling, &scope)
    }

    fn attribute<'a>(span: &'a SpanData, name: &str) -> Option<Cow<'a, str>> {
        let found = span.attributes.iter().find(|it| it.key.as_str() == name)?;
        Some(found.value.as_str())
    }

    #[test]
    fn a_request_is_a_child_of_the_clients_span_and_its_stages_of_it() {
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let mut asked = asked(Some(trace));
        asked.tracestate = Some(HeaderValue::from_static("vendor=1,other=2"));
        let account = Account::new(0, asked);
        account.answer(StatusCode::OK);
        account.spent(Stage::Parse, Duration::from_millis(1));
        account.spent(Stage::Auth, Duration::from_millis(2));
        account.spent(Stage::Device, Duration::from_millis(3));
        account.spent(Stage::Send, Duration::from_millis(50));
        let spans = of(&account);
        let names: Vec<_> = spans.iter().map(|span| &*span.name).collect();
        assert_eq!(names, ["S3.GetObject", "parse", "auth", "device", "send"]);
        let (ended, took) = (UNIX_EPOCH, Duration::ZERO);
        assert_eq!(count(&Record { account: &account, ended, took }), 5);
        let whole = &spans[0];
        assert_eq!(whole.parent_span_id, SpanId::from(0x00f0_67aa_0ba9_02b7));
        assert!(whole.parent_span_is_remote);
        assert_eq!(whole.span_context.trace_state().header(), "vendor=1,other=2");
        for span in &spans {
            assert_eq!(
                span.span_context.trace_id(),
                TraceId::from(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736)
            );
            assert!(span.start_time >= whole.start_time && span.end_time <= whole.end_time);
            assert!(span.start_time <= span.end_time);
        }
        assert!(spans[1..].iter().all(|it| it.parent_span_id == whole.span_context.span_id()));
        let took = |span: &SpanData| span.end_time.duration_since(span.start_time).unwrap();
        assert_eq!(took(whole), Duration::from_millis(11), "with the head's parsing");
        assert_eq!(took(&spans[3]), Duration::from_millis(3));
        assert_eq!(took(&spans[4]), Duration::from_millis(5), "no longer than the request");
    }

    #[test]
    fn attributes_follow_the_conventions_and_hold_no_signature() {
        let account = Account::new(0, asked(None));
        account.answer(StatusCode::SERVICE_UNAVAILABLE);
        account.code.set("SlowDown".into()).unwrap();
        let spans = of(&account);
        let whole = &spans[0];
        for (name, value) in [
            ("http.request.method", "GET"),
            ("url.path", "/photos/a/cat.jpg"),
            ("url.query", "X-Amz-Signature=REDACTED&partNumber=1"),
            ("network.protocol.version", "1.1"),
            ("server.address", "localhost"),
            ("server.port", "9000"),
            ("client.address", "192.0.2.7"),
            ("http.response.status_code", "503"),
            ("error.type", "SlowDown"),
            ("aws.s3.bucket", "photos"),
            ("aws.s3.key", "a/cat.jpg"),
            ("aws.s3.part_number", "1"),
            ("user.id", "anonymous"),
        ] {
            assert_eq!(attribute(whole, name).as_deref(), Some(value), "{name}");
        }
        assert_eq!(whole.status, Status::error("SlowDown"));
        assert_eq!(whole.parent_span_id, SpanId::INVALID);
        assert!(!format!("{spans:?}").contains("5ec2e7"), "the signature");
    }

    #[test]
    fn a_trace_state_that_is_none_is_left_out() {
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        for text in ["no list", "a=1,A B=2"] {
            let mut asked = asked(Some(trace));
            asked.tracestate = Some(HeaderValue::from_static(text));
            let spans = of(&Account::new(0, asked));
            assert_eq!(spans[0].span_context.trace_state().header(), "", "{text}");
        }
    }
}
