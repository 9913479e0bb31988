//! A line as a JSON object. What is not known of a request has no field.
//!
//! Owns: names and order of the fields, which docs/LOGS.md lists.

use std::time::Duration;

use super::Style;
use super::text::{self, Moment};
use crate::metrics::{Copying, Source, Stage};
use crate::record::tenants::ANONYMOUS;
use crate::record::{Record, shown};

/// Appends the line of a request, with its end.
pub(super) fn write(out: &mut Vec<u8>, record: &Record<'_>, style: &Style) {
    let account = record.account;
    let asked = &account.asked;
    let mut line = Object::begin(out);
    line.name("time");
    line.moment(Moment::of(record.began()));
    line.text("id", asked.id.as_str());
    if let Some(peer) = asked.peer {
        line.text("remote", &peer.to_string());
    }
    line.text("user", account.user.get().map_or(ANONYMOUS, |user| user));
    line.text("operation", asked.operation.label());
    line.maybe("bucket", shown::bucket(account).as_deref());
    line.maybe("key", shown::key(account).as_deref());
    line.text("method", asked.method.as_str());
    line.text("target", &shown::target(asked));
    line.text("version", shown::version(asked.version));
    line.maybe("host", shown::host(asked).as_deref());
    if let Some(status) = account.status() {
        line.number("status", u64::from(status.as_u16()));
    }
    line.maybe("error", account.code.get().map(|code| &**code));
    line.number("bytes_received", account.received());
    line.number("bytes_sent", account.sent());
    if let Some(bytes) = account.object_bytes.get() {
        line.number("object_bytes", bytes);
    }
    line.time("total_us", record.took);
    if let Some(answered) = account.answered() {
        line.time("first_byte_us", answered);
    }
    if account.is_broken_off() {
        line.name("broken_off");
        line.out.extend_from_slice(b"true");
    }
    path(&mut line, record);
    line.maybe("referer", shown::referer(asked).as_deref());
    if let Some(agent) = &asked.user_agent {
        line.bytes("user_agent", shown::field(agent));
    }
    line.number("lane", account.lane as u64);
    if let Some(context) = style.sampling.and_then(|sampling| sampling.context(asked)) {
        line.text("trace_id", &format!("{:032x}", context.trace));
        line.text("span_id", &format!("{:016x}", context.span));
    }
    line.end();
    out.push(b'\n');
}

/// Which way the bytes went and what it took.
fn path(line: &mut Object<'_>, record: &Record<'_>) {
    let account = record.account;
    line.name("stages_us");
    let mut stages = Object::begin(line.out);
    for stage in Stage::ALL {
        if let Some(took) = account.stage(*stage) {
            stages.time(stage.label(), took);
        }
    }
    stages.end();
    line.text("delivery", account.delivery().label());
    line.name("sources");
    let mut sources = Object::begin(line.out);
    for source in Source::ALL {
        sources.unless_zero(source.label(), account.source(*source));
    }
    sources.end();
    line.name("copied");
    let mut copied = Object::begin(line.out);
    for path in Copying::ALL {
        copied.unless_zero(path.label(), account.copied(*path));
    }
    copied.end();
}

/// An object that is being written.
struct Object<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl Object<'_> {
    fn begin(out: &mut Vec<u8>) -> Object<'_> {
        out.push(b'{');
        Object { out, empty: true }
    }

    fn end(self) {
        self.out.push(b'}');
    }

    /// A field's name, which needs no escapes.
    fn name(&mut self, name: &str) {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn number(&mut self, name: &str, number: u64) {
        self.name(name);
        text::number(self.out, number);
    }

    fn unless_zero(&mut self, name: &str, number: u64) {
        if number > 0 {
            self.number(name, number);
        }
    }

    fn time(&mut self, name: &str, took: Duration) {
        self.name(name);
        text::microseconds(self.out, took);
    }

    fn maybe(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        escape(self.out, value);
    }

    /// What should be text; what is not UTF-8 of it is shown as replacement characters.
    fn bytes(&mut self, name: &str, value: &[u8]) {
        self.name(name);
        escape(self.out, &String::from_utf8_lossy(value));
    }

    /// RFC 3339.
    fn moment(&mut self, at: Moment) {
        self.out.push(b'"');
        for (number, digits, end) in [
            (at.year, 4, b'-'),
            (at.month, 2, b'-'),
            (at.day, 2, b'T'),
            (at.hour, 2, b':'),
            (at.minute, 2, b':'),
            (at.second, 2, b'.'),
            (at.microsecond, 6, b'Z'),
        ] {
            text::padded(self.out, number, digits);
            self.out.push(end);
        }
        self.out.push(b'"');
    }
}

/// A string of RFC 8259. Line ends of Unicode, which some readers take for the end of a line, are
/// escaped too.
fn escape(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let plain = |byte: u8| (b' '..0x7F).contains(&byte) && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        out.extend_from_slice(text.as_bytes());
    } else {
        for character in text.chars() {
            match character {
                '"' | '\\' => out.extend_from_slice(&[b'\\', character as u8]),
                '\0'..='\u{1F}' | '\u{7F}'..='\u{9F}' | '\u{2028}' | '\u{2029}' => {
                    out.extend_from_slice(format!("\\u{:04x}", u32::from(character)).as_bytes());
                }
                other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AccessLogFormat;
    use crate::record::Account;
    use crate::trace::{Sampling, context::tests::asked};
    use http::{HeaderValue, StatusCode};
    use serde_json::{Value, json};
    use std::time::{SystemTime, UNIX_EPOCH};

    fn line(account: &Account) -> Value {
        let style = Style {
            format: AccessLogFormat::Json,
            sampling: Some(Sampling::new(0).unwrap()),
            host_id: String::new(),
        };
        let ended: SystemTime = UNIX_EPOCH + Duration::from_micros(1_700_000_000_000_123);
        let mut out = Vec::new();
        write(&mut out, &Record { account, ended, took: Duration::from_micros(123) }, &style);
        assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
        assert_eq!(out.last(), Some(&b'\n'));
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn a_line_says_who_what_how_long_and_which_way() {
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let account = Account::new(3, asked(Some(trace)));
        account.user.set("AKIAEXAMPLE".into()).unwrap();
        account.answer(StatusCode::OK);
        account.send(4096);
        account.gave(Source::Cache, 4096);
        account.left(&account.next_sources(4096));
        account.copy(Copying::SocketSend, 4096);
        account.spent(Stage::Auth, Duration::from_nanos(21_340));
        account.object_bytes.set(Some(9000));
        let line = line(&account);
        for (name, value) in [
            ("time", json!("2023-11-14T22:13:20.000000Z")),
            ("remote", json!("192.0.2.7")),
            ("user", json!("AKIAEXAMPLE")),
            ("operation", json!("GetObject")),
            ("bucket", json!("photos")),
            ("key", json!("a/cat.jpg")),
            ("target", json!("/photos/a/cat.jpg?X-Amz-Signature=REDACTED&partNumber=1")),
            ("version", json!("HTTP/1.1")),
            ("host", json!("localhost:9000")),
            ("status", json!(200)),
            ("bytes_sent", json!(4096)),
            ("object_bytes", json!(9000)),
            ("total_us", json!(123.0)),
            ("stages_us", json!({"auth": 21.3})),
            ("delivery", json!("socket")),
            ("sources", json!({"cache": 4096})),
            ("copied", json!({"socket_send": 4096})),
            ("user_agent", json!("a \"client\"/1.0")),
            ("lane", json!(3)),
            ("trace_id", json!("4bf92f3577b34da6a3ce929d0e0e4736")),
        ] {
            assert_eq!(line[name], value, "{name} of {line}");
        }
        assert_eq!(line.get("error"), None);
        assert_eq!(line.get("broken_off"), None);
    }

    #[test]
    fn what_clients_send_cannot_break_a_line() {
        let mut asked = asked(None);
        let agent = b"\xff\"},\t{\"status\":200,\\ \xe2\x80\xa8";
        asked.user_agent = Some(HeaderValue::from_bytes(agent).unwrap());
        let line = line(&Account::new(0, asked));
        assert_eq!(line["user_agent"], "\u{fffd}\"},\t{\"status\":200,\\ \u{2028}");
        assert_eq!(line["broken_off"], true, "it has no status");
        assert_eq!(line["user"], "anonymous");
        assert_eq!(line.get("status"), None);
    }
}
