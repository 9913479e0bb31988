//! Owns the reading of an HTTP/1.1 answer (RFC 9112): status line, the few headers that matter here,
//! and a body framed by length, by chunks or by the connection's end.
//!
//! *States*: head → body (length, chunked, until close) → done. It is fed pieces as they come from
//! the socket, holds no socket and no clock.
//!
//! *Limits*: `RESPONSE_HEAD_BYTES_MAX`, `CHUNK_LINE_BYTES_MAX`, `INTERIM_RESPONSES_MAX`.

use super::{Sink, append_bounded};
use crate::failure::Failure;
use crate::limits;

/// Reads one answer.
pub(super) struct ResponseReader {
    state: State,
    /// The part of a head or of a chunk's line that has come so far, when it came in pieces.
    pending: Vec<u8>,
    /// The request was HEAD: no body, whatever the headers say.
    without_body: bool,
    interim: usize,
    pub(super) head: Head,
    pub(super) body_bytes: u64,
    pub(super) error_body: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    Length(u64),
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailer,
    UntilClose,
    Done,
}

/// The head of an answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) content_length: Option<u64>,
    pub(super) etag: Option<String>,
    /// The connection ends after this answer.
    pub(super) close: bool,
    chunked: bool,
}

impl ResponseReader {
    pub(super) fn new(without_body: bool) -> ResponseReader {
        ResponseReader {
            state: State::Head,
            pending: Vec::new(),
            without_body,
            interim: 0,
            head: Head::default(),
            body_bytes: 0,
            error_body: Vec::new(),
        }
    }

    /// Whether the answer is complete.
    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Bytes that may be dropped unseen: the rest of a successful body whose length is known.
    pub(super) fn droppable(&self) -> u64 {
        match self.state {
            State::Length(remaining) if self.is_success() => remaining,
            _ => 0,
        }
    }

    /// Counts bytes that were dropped, at most [`ResponseReader::droppable`].
    pub(super) fn dropped(&mut self, bytes: u64) {
        if let State::Length(remaining) = self.state {
            self.body_bytes += bytes;
            self.state = after_length(remaining - bytes);
        }
    }

    /// Takes the next bytes from the connection.
    pub(super) fn push(&mut self, mut input: &[u8], sink: &mut Sink<'_>) -> Result<(), Failure> {
        while !input.is_empty() {
            input = match self.state {
                State::Head => self.push_head(input, sink)?,
                State::Length(remaining) => {
                    let (data, rest) = split(input, remaining);
                    self.state = after_length(remaining - data.len() as u64);
                    self.accept(data, sink)?;
                    rest
                }
                State::UntilClose => {
                    self.accept(input, sink)?;
                    &[]
                }
                State::ChunkData(remaining) => {
                    let (data, rest) = split(input, remaining);
                    self.state = match remaining - data.len() as u64 {
                        0 => State::ChunkEnd,
                        remaining => State::ChunkData(remaining),
                    };
                    self.accept(data, sink)?;
                    rest
                }
                State::ChunkSize | State::ChunkEnd | State::Trailer => self.push_line(input)?,
                State::Done => return Err(malformed("bytes after the end of the answer")),
            };
        }
        Ok(())
    }

    /// The connection ended.
    pub(super) fn end(&mut self) -> Result<(), Failure> {
        match self.state {
            State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            State::Head if self.pending.is_empty() => {
                Err(Failure::Disconnected("closed before an answer".to_owned()))
            }
            State::Length(remaining) => Err(Failure::Disconnected(format!(
                "closed {remaining} bytes before the end of the body"
            ))),
            _ => Err(Failure::Disconnected("closed within the answer".to_owned())),
        }
    }

    fn is_success(&self) -> bool {
        (200..300).contains(&self.head.status)
    }

    fn accept(&mut self, data: &[u8], sink: &mut Sink<'_>) -> Result<(), Failure> {
        self.body_bytes += data.len() as u64;
        if let Sink::Whole(answer) = sink {
            return answer.accept(data);
        }
        if self.is_success() {
            sink.accept(data);
        } else {
            append_bounded(&mut self.error_body, data, limits::ERROR_BODY_BYTES_MAX);
        }
        Ok(())
    }

    fn push_head<'a>(&mut self, input: &'a [u8], sink: &mut Sink<'_>) -> Result<&'a [u8], Failure> {
        if self.pending.is_empty() {
            // The usual case: the head is there whole, and is read where it lies.
            return match Head::parse(input)? {
                Some((head, length)) => {
                    self.begin(head, &input[..length], sink)?;
                    Ok(&input[length..])
                }
                None => {
                    self.pending.extend_from_slice(input);
                    self.check_pending(limits::RESPONSE_HEAD_BYTES_MAX).map(|()| &[][..])
                }
            };
        }
        let before = self.pending.len();
        self.pending.extend_from_slice(input);
        // A head ends with a line's end: pieces without one need no second look at it all.
        let parsed = match input.contains(&b'\n') {
            true => Head::parse(&self.pending)?,
            false => None,
        };
        match parsed {
            Some((head, length)) => {
                let pending = std::mem::take(&mut self.pending);
                self.begin(head, &pending[..length], sink)?;
                Ok(&input[length - before..])
            }
            None => self.check_pending(limits::RESPONSE_HEAD_BYTES_MAX).map(|()| &[][..]),
        }
    }

    /// A head is there whole; `text` is it.
    fn begin(&mut self, head: Head, text: &[u8], sink: &mut Sink<'_>) -> Result<(), Failure> {
        if (100..200).contains(&head.status) {
            self.interim += 1;
            if self.interim > limits::INTERIM_RESPONSES_MAX {
                return Err(malformed("too many interim answers"));
            }
            return Ok(());
        }
        if let Sink::Whole(answer) = sink {
            answer.begin(head.status, headers_of(text));
        }
        self.state = if self.without_body || matches!(head.status, 204 | 304) {
            State::Done
        } else if head.chunked {
            State::ChunkSize
        } else {
            head.content_length.map_or(State::UntilClose, after_length)
        };
        self.head = head;
        self.head.close |= self.state == State::UntilClose;
        Ok(())
    }

    /// Lines of the chunked framing.
    fn push_line<'a>(&mut self, input: &'a [u8]) -> Result<&'a [u8], Failure> {
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
            self.pending.extend_from_slice(input);
            return self.check_pending(limits::CHUNK_LINE_BYTES_MAX).map(|()| &[][..]);
        };
        self.pending.extend_from_slice(&input[..end]);
        self.check_pending(limits::CHUNK_LINE_BYTES_MAX)?;
        let line = std::mem::take(&mut self.pending);
        let line = line.trim_ascii();
        self.state = match self.state {
            State::ChunkSize => match chunk_size(line)? {
                0 => State::Trailer,
                bytes => State::ChunkData(bytes),
            },
            State::ChunkEnd if line.is_empty() => State::ChunkSize,
            State::ChunkEnd => return Err(malformed("a chunk longer than its size")),
            _ if line.is_empty() => State::Done,
            trailer => trailer,
        };
        Ok(&input[end + 1..])
    }

    fn check_pending(&self, most: usize) -> Result<(), Failure> {
        if self.pending.len() > most {
            return Err(malformed(format!("a head or line of over {most} bytes")));
        }
        Ok(())
    }
}

impl Head {
    /// The head at the start of `input` and its length; `None` while it is not there whole.
    fn parse(input: &[u8]) -> Result<Option<(Head, usize)>, Failure> {
        let mut head = Head::default();
        let mut at = 0;
        while let Some(length) = input[at..].iter().position(|byte| *byte == b'\n') {
            let line = input[at..at + length].trim_ascii_end();
            if at == 0 {
                head.status_line(line)?;
            } else if line.is_empty() {
                return Ok(Some((head, at + length + 1)));
            } else {
                head.header(line)?;
            }
            at += length + 1;
        }
        Ok(None)
    }

    fn status_line(&mut self, line: &[u8]) -> Result<(), Failure> {
        let status = line
            .strip_prefix(b"HTTP/1.")
            .filter(|rest| rest.len() >= 5 && rest[1] == b' ')
            .and_then(|rest| std::str::from_utf8(&rest[2..5]).ok())
            .and_then(|digits| digits.parse().ok())
            .filter(|status| (100..1000).contains(status));
        let Some(status) = status else {
            let line = String::from_utf8_lossy(&line[..line.len().min(100)]);
            return Err(malformed(format!("status line \"{line}\"")));
        };
        self.status = status;
        self.close = line.starts_with(b"HTTP/1.0");
        Ok(())
    }

    fn header(&mut self, line: &[u8]) -> Result<(), Failure> {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            return Err(malformed("a header line without a colon"));
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        // Told apart by length first: most headers need no comparison at all.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"etag") => {
                self.etag = Some(String::from_utf8_lossy(value).into_owned());
            }
            10 if name.eq_ignore_ascii_case(b"connection") => {
                self.close = !value.eq_ignore_ascii_case(b"keep-alive")
                    && (self.close || value.eq_ignore_ascii_case(b"close"));
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let length = decimal(value).ok_or_else(|| malformed("a bad Content-Length"))?;
                if self.content_length.is_some_and(|earlier| earlier != length) {
                    return Err(malformed("two different Content-Length headers"));
                }
                self.content_length = Some(length);
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(malformed("a Transfer-Encoding other than chunked"));
                }
                self.chunked = true;
            }
            _ => {}
        }
        Ok(())
    }
}

/// Every header of a head that was read once already: only who asks for all of them pays for it.
fn headers_of(head: &[u8]) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes.trim_ascii()).into_owned();
    let lines = head.split(|byte| *byte == b'\n').skip(1);
    let pairs = lines.filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        Some((text(&line[..colon]), text(&line[colon + 1..])))
    });
    pairs.collect()
}

fn after_length(remaining: u64) -> State {
    if remaining == 0 { State::Done } else { State::Length(remaining) }
}

fn split(input: &[u8], remaining: u64) -> (&[u8], &[u8]) {
    let take = usize::try_from(remaining).map_or(input.len(), |most| input.len().min(most));
    input.split_at(take)
}

fn chunk_size(line: &[u8]) -> Result<u64, Failure> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or(line);
    std::str::from_utf8(digits.trim_ascii())
        .ok()
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or_else(|| malformed("a bad chunk size"))
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn malformed(what: impl Into<String>) -> Failure {
    Failure::Malformed(what.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `answer` in pieces of `step` bytes and then the connection's end.
    fn read(
        answer: &[u8],
        step: usize,
        head_only: bool,
    ) -> Result<(ResponseReader, Vec<u8>), Failure> {
        let mut reader = ResponseReader::new(head_only);
        let mut body = Vec::new();
        for piece in answer.chunks(step) {
            reader.push(piece, &mut Sink::Collect(&mut body))?;
        }
        if !reader.is_done() {
            reader.end()?;
        }
        Ok((reader, body))
    }

    fn each_step(answer: &[u8], check: impl Fn(ResponseReader, Vec<u8>)) {
        for step in 1..=answer.len() {
            let (reader, body) = read(answer, step, false).expect("a good answer");
            check(reader, body);
        }
    }

    #[test]
    fn a_body_of_known_length_in_any_pieces() {
        let answer = b"HTTP/1.1 206 Partial Content\r\nServer: x\r\nETag: \"abc\"\r\n\
            content-length:  5\r\n\r\nhello";
        each_step(answer, |reader, body| {
            assert_eq!(body, b"hello");
            assert_eq!((reader.head.status, reader.body_bytes), (206, 5));
            assert_eq!(reader.head.etag.as_deref(), Some("\"abc\""));
            assert!(!reader.head.close);
        });
    }

    #[test]
    fn a_chunked_body_in_any_pieces() {
        let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
            3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nx-trailer: 1\r\n\r\n";
        each_step(answer, |reader, body| {
            assert_eq!(body, b"abc0123456789");
            assert!(reader.head.close && reader.is_done());
        });
    }

    #[test]
    fn a_body_until_the_end_of_the_connection() {
        each_step(b"HTTP/1.0 200 OK\r\n\r\nall of it", |reader, body| {
            assert_eq!(body, b"all of it");
            assert!(reader.head.close);
        });
    }

    #[test]
    fn interim_answers_are_passed_over_and_bounded() {
        let answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
        each_step(answer, |reader, _| assert_eq!(reader.head.status, 204));
        let endless = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(limits::INTERIM_RESPONSES_MAX + 1);
        assert!(matches!(read(&endless, 1, false), Err(Failure::Malformed(_))));
    }

    #[test]
    fn an_answer_to_head_has_a_length_and_no_body() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4096\r\n\r\n";
        let (reader, _) = read(answer, 7, true).expect("complete");
        assert_eq!(reader.head.content_length, Some(4096));
        assert_eq!(reader.body_bytes, 0);
    }

    #[test]
    fn an_error_body_is_kept_apart() {
        let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\n\r\n<Code>";
        each_step(answer, |reader, body| {
            assert_eq!((body.as_slice(), reader.error_body.as_slice()), (&b""[..], &b"<Code>"[..]));
            assert_eq!(reader.droppable(), 0);
        });
    }

    /// Keeps everything; refuses bodies over 100 bytes.
    #[derive(Default)]
    struct Kept {
        heads: Vec<(u16, Vec<(String, String)>)>,
        body: Vec<u8>,
    }

    impl super::super::WholeAnswer for Kept {
        fn begin(&mut self, status: u16, headers: Vec<(String, String)>) {
            self.heads.push((status, headers));
        }

        fn accept(&mut self, piece: &[u8]) -> Result<(), Failure> {
            self.body.extend_from_slice(piece);
            if self.body.len() > 100 { Err(malformed("too long")) } else { Ok(()) }
        }
    }

    #[test]
    fn a_whole_answer_has_all_headers_and_the_body_of_an_error() {
        let answer = b"HTTP/1.1 100 Continue\r\nx: 0\r\n\r\nHTTP/1.1 501 No\r\nX-Amz-A: 1:2 \r\n\
            x-amz-a:\r\nContent-Length: 6\r\n\r\n<Code>";
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        for step in 1..=answer.len() {
            let (mut reader, mut kept) = (ResponseReader::new(false), Kept::default());
            for piece in answer.chunks(step) {
                reader.push(piece, &mut Sink::Whole(&mut kept)).expect("a good answer");
            }
            assert!(reader.is_done() && reader.error_body.is_empty());
            let headers = vec![
                header("X-Amz-A", "1:2"),
                header("x-amz-a", ""),
                header("Content-Length", "6"),
            ];
            assert_eq!((kept.heads, kept.body.as_slice()), (vec![(501, headers)], &b"<Code>"[..]));
        }
        let long = [&b"HTTP/1.1 200 OK\r\n\r\n"[..], &[b'x'; 101]].concat();
        let mut kept = Kept::default();
        let refused = ResponseReader::new(false).push(&long, &mut Sink::Whole(&mut kept));
        assert_eq!(refused, Err(malformed("too long")));
    }

    #[test]
    fn the_rest_of_a_counted_body_may_be_dropped() {
        let mut reader = ResponseReader::new(false);
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n1234567890";
        reader.push(head, &mut Sink::Count).expect("good");
        assert_eq!(reader.droppable(), 90);
        reader.dropped(60);
        assert!(!reader.is_done());
        reader.dropped(30);
        assert!(reader.is_done());
        assert_eq!(reader.body_bytes, 100);
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let long_line =
            [&b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"[..], &[b'1'; 2000]].concat();
        let long_head =
            [&b"HTTP/1.1 200 OK\r\n"[..], &[b'a'; limits::RESPONSE_HEAD_BYTES_MAX]].concat();
        let cases: [&[u8]; 11] = [
            b"SSH-2.0-OpenSSH\r\n",
            b"HTTP/1.1 2x0 OK\r\n\r\n",
            b"HTTP/2 200\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
            &long_line,
            &long_head,
        ];
        for case in cases {
            let text = String::from_utf8_lossy(&case[..case.len().min(80)]);
            for step in [1, case.len()] {
                match read(case, step, false) {
                    Err(Failure::Malformed(_)) => {}
                    Err(other) => panic!("{text}: {other}"),
                    Ok(_) => panic!("{text}: accepted"),
                }
            }
        }
    }

    #[test]
    fn an_answer_cut_short_is_a_lost_connection() {
        for answer in [
            &b""[..],
            b"HTTP/1.1 200",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        ] {
            assert!(matches!(read(answer, 3, false), Err(Failure::Disconnected(_))));
        }
    }
}
