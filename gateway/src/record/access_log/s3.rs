//! A line in the format of Amazon S3's server access logs, with our own fields behind its last.
//!
//! Owns: order and forms of the fields (Amazon S3 User Guide, "Amazon S3 server access log
//! format"), which docs/LOGS.md lists. That format's readers pass over fields behind those they
//! know.

use http::Method;

use super::Style;
use super::text::{self, Moment};
use crate::metrics::{Operation, Source, Stage};
use crate::record::{Record, shown};

/// Appends the line of a request, with its end.
pub(super) fn write(out: &mut Vec<u8>, record: &Record<'_>, style: &Style) {
    let account = record.account;
    let asked = &account.asked;
    let mut line = Line { out, empty: true };
    line.word("-"); // bucket owner
    line.maybe(shown::bucket(account).as_deref());
    line.moment(Moment::of(record.began()));
    line.maybe(asked.peer.map(|peer| peer.to_string()).as_deref());
    line.maybe(account.user.get().map(|user| &**user));
    line.word(asked.id.as_str());
    line.word(&operation(asked.operation, &asked.method));
    line.maybe(shown::key(account).as_deref());
    let target = shown::target(asked);
    let version = shown::version(asked.version);
    line.quoted(Some(format!("{} {target} {version}", asked.method).as_bytes()));
    line.count(account.status().map(|status| u64::from(status.as_u16())));
    line.maybe(account.code.get().map(|code| &**code));
    line.count(Some(account.sent()).filter(|sent| *sent > 0));
    line.count(account.object_bytes.get());
    line.count(Some(milliseconds(record.took)));
    line.count(account.answered().map(milliseconds));
    line.quoted(shown::referer(asked).as_deref().map(str::as_bytes));
    line.quoted(asked.user_agent.as_ref().map(shown::field));
    line.maybe(shown::parameter(asked, "versionId"));
    line.maybe(Some(style.host_id.as_str()).filter(|id| !id.is_empty()));
    let presigned = shown::parameter(asked, "X-Amz-Algorithm").is_some();
    let signed = presigned || account.user.get().is_some();
    line.maybe(signed.then_some("SigV4"));
    line.word("-"); // cipher suite
    line.maybe(signed.then_some(if presigned { "QueryString" } else { "AuthHeader" }));
    line.maybe(shown::host(asked).as_deref());
    line.word("-"); // TLS version
    line.word("-"); // access point
    line.word("-"); // whether an ACL was needed
    further(&mut line, record, style);
    out.push(b'\n');
}

/// What Amazon S3 has no field for, each as `name=value`.
fn further(line: &mut Line<'_>, record: &Record<'_>, style: &Style) {
    let account = record.account;
    line.named("total_us", |out| text::microseconds(out, record.took));
    let stages = Stage::ALL.iter().filter_map(|it| Some((it.label(), account.stage(*it)?)));
    line.list("stages_us", stages, text::microseconds);
    line.word(&format!("delivery={}", account.delivery().label()));
    let given = |it: &Source| Some((it.label(), account.source(*it))).filter(|(_, it)| *it > 0);
    line.list("sources", Source::ALL.iter().filter_map(given), text::number);
    line.named("bytes_received", |out| text::number(out, account.received()));
    let traced = style.sampling.and_then(|sampling| sampling.context(&account.asked));
    match traced {
        Some(context) => line.word(&format!("trace_id={:032x}", context.trace)),
        None => line.word("trace_id=-"),
    }
    line.word(if account.is_broken_off() { "broken_off=1" } else { "broken_off=0" });
}

fn milliseconds(took: std::time::Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

/// Amazon's names of operations: `REST.METHOD.RESOURCE`. What Amazon does not have is named alike.
fn operation(operation: Operation, method: &Method) -> String {
    let resource = match operation {
        Operation::ListBuckets => "SERVICE",
        Operation::CreateBucket
        | Operation::HeadBucket
        | Operation::DeleteBucket
        | Operation::ListObjects
        | Operation::ListObjectsV2 => "BUCKET",
        Operation::GetBucketLocation => "LOCATION",
        Operation::ListMultipartUploads | Operation::CreateMultipartUpload => "UPLOADS",
        Operation::DeleteObjects => "MULTI_OBJECT_DELETE",
        Operation::GetObject
        | Operation::HeadObject
        | Operation::PutObject
        | Operation::DeleteObject => "OBJECT",
        Operation::CopyObject => return "REST.COPY.OBJECT".into(),
        Operation::UploadPart => "PART",
        Operation::UploadPartCopy => return "REST.COPY.PART".into(),
        Operation::CompleteMultipartUpload
        | Operation::AbortMultipartUpload
        | Operation::ListParts => "UPLOAD",
        Operation::RdmaPrepare => "RDMA_PREPARE",
        Operation::RdmaReady => "RDMA_READY",
        Operation::RdmaCancel => "RDMA_CANCEL",
        Operation::RdmaConnect => "RDMA_CONNECT",
        Operation::RdmaDisconnect => "RDMA_DISCONNECT",
        Operation::RdmaCapabilities => "RDMA_CAPABILITIES",
        Operation::Other => "OTHER",
    };
    format!("REST.{method}.{resource}")
}

/// A line that is being written: fields between spaces, `-` for what is not known.
struct Line<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl Line<'_> {
    fn space(&mut self) {
        if !self.empty {
            self.out.push(b' ');
        }
        self.empty = false;
    }

    fn word(&mut self, word: &str) {
        self.space();
        encode(self.out, word.as_bytes(), true);
    }

    fn maybe(&mut self, word: Option<&str>) {
        self.word(word.filter(|word| !word.is_empty()).unwrap_or("-"));
    }

    fn count(&mut self, count: Option<u64>) {
        self.space();
        match count {
            Some(count) => text::number(self.out, count),
            None => self.out.push(b'-'),
        }
    }

    fn quoted(&mut self, text: Option<&[u8]>) {
        self.space();
        self.out.push(b'"');
        encode(self.out, text.unwrap_or(b"-"), false);
        self.out.push(b'"');
    }

    fn named(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        self.word(name);
        self.out.push(b'=');
        write(self.out);
    }

    fn list<T>(
        &mut self,
        name: &str,
        values: impl Iterator<Item = (&'static str, T)>,
        write: impl Fn(&mut Vec<u8>, T),
    ) {
        self.word(name);
        let mut end = b'=';
        for (label, value) in values {
            self.out.push(end);
            self.out.extend_from_slice(label.as_bytes());
            self.out.push(b':');
            write(self.out, value);
            end = b',';
        }
        if end == b'=' {
            self.out.extend_from_slice(b"=-");
        }
    }

    /// `[06/Feb/2019:00:00:38 +0000]`.
    fn moment(&mut self, at: Moment) {
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        self.space();
        self.out.push(b'[');
        text::padded(self.out, at.day, 2);
        self.out.push(b'/');
        let month = MONTHS[(at.month as usize).clamp(1, 12) - 1];
        self.out.extend_from_slice(month.as_bytes());
        for (number, digits, before) in
            [(at.year, 4, b'/'), (at.hour, 2, b':'), (at.minute, 2, b':'), (at.second, 2, b':')]
        {
            self.out.push(before);
            text::padded(self.out, number, digits);
        }
        self.out.extend_from_slice(b" +0000]");
    }
}

/// What would end a field, and what is not printable, is percent-encoded.
fn encode(out: &mut Vec<u8>, text: &[u8], word: bool) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text {
        match byte {
            b' ' if !word => out.push(b' '),
            b'!' | b'#'..=b'~' => out.push(*byte),
            other => {
                let (high, low) =
                    (DIGITS[usize::from(other >> 4)], DIGITS[usize::from(other & 15)]);
                out.extend_from_slice(&[b'%', high, low]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AccessLogFormat;
    use crate::record::Account;
    use crate::trace::context::tests::asked;
    use http::StatusCode;
    use std::time::{Duration, UNIX_EPOCH};

    fn line(account: &Account) -> String {
        let style =
            Style { format: AccessLogFormat::S3, sampling: None, host_id: "host/id=".into() };
        let ended = UNIX_EPOCH + Duration::from_millis(1_549_411_238_012);
        let mut out = Vec::new();
        write(&mut out, &Record { account, ended, took: Duration::from_millis(12) }, &style);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_has_the_fields_of_amazons() {
        let account = Account::new(0, asked(None));
        account.user.set("AKIAEXAMPLE".into()).unwrap();
        account.code.set("NoSuchKey".into()).unwrap();
        account.answer(StatusCode::NOT_FOUND);
        account.send(113);
        account.left(&account.next_sources(113));
        account.spent(Stage::Index, Duration::from_nanos(1500));
        let line = line(&account);
        let turn_around = account.answered().unwrap().as_millis();
        let expected = format!(
            "- photos [06/Feb/2019:00:00:38 +0000] 192.0.2.7 AKIAEXAMPLE {} REST.GET.OBJECT \
             a/cat.jpg \"GET /photos/a/cat.jpg?X-Amz-Signature=REDACTED&partNumber=1 HTTP/1.1\" \
             404 NoSuchKey 113 - 12 {turn_around} \"-\" \"a %22client%22/1.0\" - host/id= SigV4 - \
             AuthHeader localhost:9000 - - - total_us=12000.0 stages_us=index:1.5 delivery=socket \
             sources=document:113 bytes_received=0 trace_id=- broken_off=0\n",
            account.asked.id.as_str(),
        );
        assert_eq!(line, expected);
    }

    #[test]
    fn every_line_has_as_many_fields() {
        let mut odd = asked(None);
        odd.user_agent = Some(http::HeaderValue::from_bytes(b"a\"b\xff\tc d").unwrap());
        odd.uri = http::Uri::from_static("/");
        odd.peer = None;
        odd.host = None;
        let line = line(&Account::new(0, odd));
        assert!(line.contains("\"a%22b%FF%09c d\""), "{line}");
        let outside: String = line.split('"').step_by(2).collect();
        assert_eq!(outside.split_whitespace().count() + 3, 34, "{line}");
    }
}
