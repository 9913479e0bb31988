//! Owns reading `multipart/form-data` (RFC 7578) as it arrives: the fields before the file in memory, within a bound,
//! and the file as a stream of its bytes. What follows the file is ignored, as in Amazon S3.
//!
//! The store has to know a file's size before its first byte, and a form does not say it. A file of up to
//! [`FORM_FILE_HELD_BYTES`] is held until its end is seen; a larger one is taken to reach up to the form's last
//! delimiter, and the stream fails where it does not. So a large file must be the form's last field, and the form end
//! as browsers and all libraries end it: with two hyphens and a line end.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use s3s::stream::ByteStream;
use s3s::{Body, StdError};

use super::form::FormRefusal;
use super::intake::broken;
use super::limits::{
    FORM_BOUNDARY_BYTES_MAX, FORM_FIELD_HEAD_BYTES_MAX, FORM_FIELDS_BYTES_MAX, FORM_FILE_HELD_BYTES,
};
use super::refusal::{Outcome, Refusal};

/// Fields in the order of the form: names in lower case, since they have no case, and values.
pub(super) type Fields = Vec<(String, String)>;

/// A form up to its file.
pub(super) struct Form {
    /// What stood before the file.
    pub(super) fields: Fields,
    /// The file's name on the client's side, without its folders; empty where there is none.
    pub(super) file_name: String,
    /// The file.
    pub(super) file: File,
    /// Its bytes.
    pub(super) size: u64,
}

/// The bytes of a form's file.
#[derive(Debug)]
pub(super) struct File(State);

enum State {
    Held(Option<Bytes>),
    Arriving(Box<Arriving>),
}

impl std::fmt::Debug for State {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            State::Held(_) => "Held",
            State::Arriving(_) => "Arriving",
        })
    }
}

/// The body of a form and what has been read of it ahead.
struct Arriving {
    body: Pin<Box<Body>>,
    held: BytesMut,
    /// `\r\n--boundary`
    delimiter: Box<[u8]>,
    /// Bytes of the body that have not come.
    left: u64,
    is_over: bool,
}

fn malformed(why: &'static str) -> Refusal {
    Refusal::Form(FormRefusal::Malformed(why))
}

/// The boundary that `Content-Type` names.
fn boundary(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let parameters = text.split(';').skip(1).map(str::trim);
    let named = |parameter: &'_ str| {
        parameter.get(..9).is_some_and(|it| it.eq_ignore_ascii_case("boundary="))
    };
    let value = parameters.into_iter().find(|parameter| named(parameter))?.get(9..)?.trim();
    let value =
        value.strip_prefix('"').map_or(value, |rest| rest.strip_suffix('"').unwrap_or(rest));
    (1..=FORM_BOUNDARY_BYTES_MAX).contains(&value.len()).then_some(value)
}

impl Form {
    /// Reads a form up to its file.
    ///
    /// # Errors
    /// MalformedPOSTRequest, MissingContentLength, MaxPostPreDataLengthExceeded,
    /// IncorrectNumberOfFilesInPostRequest for a form without a file, and what the body meets.
    pub(super) async fn read(headers: &HeaderMap, body: Body) -> Outcome<Self> {
        let boundary = boundary(headers).ok_or_else(|| malformed("it names no boundary"))?;
        let length = headers.get(CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse().ok());
        let mut arriving = Arriving {
            body: Box::pin(body),
            // The first delimiter has no line end before it.
            held: BytesMut::from(&b"\r\n"[..]),
            delimiter: format!("\r\n--{boundary}").into_bytes().into(),
            left: length.ok_or(Refusal::MissingContentLength)?,
            is_over: false,
        };
        let mut fields = Fields::new();
        let mut room = FORM_FIELDS_BYTES_MAX;
        arriving.value(&mut room).await?;
        loop {
            let head = arriving.field_head().await?;
            if head.name == "file" {
                let (file, size) = arriving.file().await?;
                return Ok(Self { fields, file_name: head.file_name, file, size });
            }
            // A policy would be held against the one and the object made of the other.
            if fields.iter().any(|(name, _)| *name == head.name) {
                return Err(malformed("it has a field twice"));
            }
            let value = arriving.value(&mut room).await?;
            room = room
                .checked_sub(head.name.len())
                .ok_or(Refusal::Form(FormRefusal::FieldsTooLong))?;
            let value = String::from_utf8(value.to_vec())
                .map_err(|_| malformed("the value of a field is not UTF-8"))?;
            fields.push((head.name, value));
        }
    }
}

/// What stands before a field's value.
struct FieldHead {
    name: String,
    file_name: String,
}

impl FieldHead {
    /// Of the header lines.
    fn parse(lines: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(lines).ok()?;
        let disposition = text.split("\r\n").find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
        })?;
        let name = parameter(disposition, "name")?.to_ascii_lowercase();
        let file_name = parameter(disposition, "filename").unwrap_or_default();
        // Some browsers send the whole path.
        let file_name = file_name.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
        Some(Self { name, file_name })
    }
}

/// A parameter of a header's value, quoted or not.
fn parameter(value: &str, name: &str) -> Option<String> {
    let mut rest = value;
    while let Some((_, after)) = rest.split_once(';') {
        let after = after.trim_start();
        let (key, text) = after.split_once('=')?;
        let is_it = key.trim().eq_ignore_ascii_case(name);
        let text = text.trim_start();
        let Some(quoted) = text.strip_prefix('"') else {
            let (plain, _) = text.split_once(';').unwrap_or((text, ""));
            if is_it {
                return Some(plain.trim().to_owned());
            }
            rest = text;
            continue;
        };
        let (unquoted, after) = unquote(quoted)?;
        if is_it {
            return Some(unquoted);
        }
        rest = after;
    }
    None
}

/// The text up to the closing quote, and what follows it. Browsers write a quote as `%22`, others as `\"`.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut unquoted = String::new();
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((unquoted.replace("%22", "\""), &text[at + 1..])),
            '\\' if letters.peek().is_some_and(|(_, next)| *next == '"') => {
                letters.next();
                unquoted.push('"');
            }
            other => unquoted.push(other),
        }
    }
    None
}

fn find(within: &[u8], sought: &[u8]) -> Option<usize> {
    let first = *sought.first()?;
    let mut from = 0;
    while let Some(step) = within.get(from..)?.iter().position(|byte| *byte == first) {
        let at = from + step;
        if within[at..].starts_with(sought) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

impl Arriving {
    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<(), StdError>>> {
        Poll::Ready(match ready!(self.body.as_mut().poll_next(context)) {
            Some(Ok(piece)) => {
                self.left = self.left.saturating_sub(piece.len() as u64);
                self.held.extend_from_slice(&piece);
                Some(Ok(()))
            }
            Some(Err(error)) => Some(Err(error)),
            None => None,
        })
    }

    async fn more(&mut self) -> Outcome<()> {
        match poll_fn(|context| self.poll_more(context)).await {
            Some(more) => more.map_err(broken),
            None => Err(malformed("it ends before its last delimiter")),
        }
    }

    /// Everything up to the next delimiter, which is taken too.
    async fn value(&mut self, room: &mut usize) -> Outcome<Bytes> {
        loop {
            if let Some(at) = find(&self.held, &self.delimiter) {
                let too_long = Refusal::Form(FormRefusal::FieldsTooLong);
                *room = room.checked_sub(at).ok_or(too_long)?;
                let value = self.held.split_to(at).freeze();
                let _ = self.held.split_to(self.delimiter.len());
                return Ok(value);
            }
            if self.held.len() > *room + self.delimiter.len() {
                return Err(Refusal::Form(FormRefusal::FieldsTooLong));
            }
            self.more().await?;
        }
    }

    /// The lines between a delimiter and its field's value.
    async fn field_head(&mut self) -> Outcome<FieldHead> {
        loop {
            if self.held.starts_with(b"--") {
                return Err(Refusal::Form(FormRefusal::NoFile));
            }
            if let Some(at) = find(&self.held, b"\r\n\r\n") {
                let lines = self.held.split_to(at);
                let _ = self.held.split_to(4);
                let why = "a field has no Content-Disposition with a name";
                return FieldHead::parse(&lines).ok_or_else(|| malformed(why));
            }
            if self.held.len() > FORM_FIELD_HEAD_BYTES_MAX {
                return Err(malformed("the head of a field is too long"));
            }
            self.more().await?;
        }
    }

    /// The file and its size.
    async fn file(mut self) -> Outcome<(File, u64)> {
        loop {
            if let Some(at) = find(&self.held, &self.delimiter) {
                let file = File(State::Held(Some(self.held.split_to(at).freeze())));
                return Ok((file, at as u64));
            }
            if self.held.len() > FORM_FILE_HELD_BYTES {
                break;
            }
            self.more().await?;
        }
        let closing = self.delimiter.len() as u64 + b"--\r\n".len() as u64;
        let size = (self.held.len() as u64 + self.left).checked_sub(closing);
        let size = size.ok_or_else(|| malformed("it ends before its last delimiter"))?;
        Ok((File(State::Arriving(Box::new(self))), size))
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, StdError>>> {
        while !self.is_over {
            if let Some(at) = find(&self.held, &self.delimiter) {
                self.is_over = true;
                let last = self.held.split_to(at).freeze();
                if !last.is_empty() {
                    return Poll::Ready(Some(Ok(last)));
                }
                break;
            }
            // A delimiter may have begun at the end of what is here.
            let safe = (self.held.len() + 1).saturating_sub(self.delimiter.len());
            if safe > 0 {
                return Poll::Ready(Some(Ok(self.held.split_to(safe).freeze())));
            }
            match ready!(self.poll_more(context)) {
                Some(Ok(())) => {}
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    self.is_over = true;
                    let error = "the form ends before its last delimiter";
                    return Poll::Ready(Some(Err(error.into())));
                }
            }
        }
        Poll::Ready(None)
    }
}

impl Stream for File {
    type Item = Result<Bytes, StdError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut self.get_mut().0 {
            State::Held(bytes) => Poll::Ready(bytes.take().map(Ok)),
            State::Arriving(arriving) => arriving.poll_piece(context),
        }
    }
}

impl ByteStream for File {}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    /// A body that comes in pieces of that many bytes.
    struct Pieces(Bytes, usize);

    impl http_body::Body for Pieces {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
            let step = self.1.min(self.0.len());
            let piece = self.0.split_to(step);
            Poll::Ready((!piece.is_empty()).then(|| Ok(http_body::Frame::data(piece))))
        }
    }

    fn headers(length: usize) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        let kind = "multipart/form-data; charset=x; boundary=\"frontier\"";
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers
    }

    /// Fields, the file's name, its size as it was foretold, its bytes.
    type Taken = (Fields, String, u64, Result<Vec<u8>, String>);

    fn read(text: &[u8], step: usize) -> Outcome<Taken> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let body = Body::http_body(Pieces(Bytes::copy_from_slice(text), step));
            let form = Form::read(&headers(text.len()), body).await?;
            let mut file = form.file;
            let mut content = Vec::new();
            let taken = loop {
                match poll_fn(|context| Pin::new(&mut file).poll_next(context)).await {
                    Some(Ok(piece)) => content.extend_from_slice(&piece),
                    Some(Err(error)) => break Err(error.to_string()),
                    None => break Ok(content),
                }
            };
            Ok((form.fields, form.file_name, form.size, taken))
        })
    }

    fn form(content: &[u8], end: &str) -> Vec<u8> {
        let head = "--frontier\r\nContent-Disposition: form-data; name=\"Key\"; filename=\"key\"\r\n\r\na/${filename}\r\n\
                    --frontier\r\ncontent-disposition: form-data; name=acl\r\nContent-Type: text/plain\r\n\r\n\r\n\
                    --frontier\r\nContent-Disposition: form-data; name=\"file\"; filename=\"C:\\dir\\a%22.txt\"\r\n\r\n";
        [head.as_bytes(), content, b"\r\n--frontier", end.as_bytes()].concat()
    }

    #[test]
    fn fields_come_before_the_file() {
        for step in [1, 7, 4096] {
            let (fields, name, size, content) =
                read(&form(b"bytes\r\n--front", "--\r\n"), step).unwrap();
            let expected = [("key", "a/${filename}"), ("acl", "")];
            assert_eq!(fields, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
            assert_eq!((&*name, size), ("a\".txt", 14));
            assert_eq!(content.unwrap(), b"bytes\r\n--front");
        }
        // A small file may be followed by other fields, or by nothing at all.
        let other = "\r\nContent-Disposition: form-data; name=\"submit\"\r\n\r\nGo\r\n--frontier--";
        for end in ["--", other] {
            assert_eq!(read(&form(b"xyz", end), 5).unwrap().2, 3);
        }
    }

    #[test]
    fn a_large_file_reaches_up_to_the_last_delimiter() {
        let content = vec![b'\r'; FORM_FILE_HELD_BYTES * 3];
        let (_, _, size, taken) = read(&form(&content, "--\r\n"), 1000).unwrap();
        assert_eq!(size, content.len() as u64);
        assert!(taken.unwrap() == content);
        let cut = form(&content, "--\r\n");
        let (_, _, _, taken) = read(&cut[..cut.len() - 20], 1000).unwrap();
        assert!(taken.is_err());
    }

    #[test]
    fn what_is_no_form_is_refused() {
        let refused = |text: &[u8]| match read(text, 100) {
            Err(Refusal::Form(refusal)) => refusal,
            other => panic!("{other:?}"),
        };
        assert!(matches!(refused(b""), FormRefusal::Malformed(_)));
        assert!(matches!(refused(b"--frontier--\r\n"), FormRefusal::NoFile));
        assert!(matches!(
            refused(b"--frontier\r\nA: b\r\n\r\nx\r\n--frontier--"),
            FormRefusal::Malformed(_)
        ));
        let long =
            [&b"--frontier\r\nContent-Disposition: form-data; name=a\r\n\r\n"[..], &[b'x'; 30_000]]
                .concat();
        assert!(matches!(refused(&long), FormRefusal::FieldsTooLong));
        let long =
            [&b"--frontier\r\nContent-Disposition: form-data; name="[..], &[b'x'; 30_000]].concat();
        assert!(matches!(refused(&long), FormRefusal::Malformed(_)));
    }

    proptest! {
        #[test]
        fn nothing_panics(noise in proptest::collection::vec(any::<u8>(), 0..200), step in 1_usize..50) {
            let text = [&b"--frontier\r\n"[..], &noise].concat();
            let _ = read(&text, step);
        }
    }
}
