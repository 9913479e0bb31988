//! Owns: HTTP/1.1 on a plain socket, as the tests need it: requests that may be wrong on purpose
//! go out byte for byte, responses are read strictly.
//!
//! Not here: signatures ([`crate::sign`]), chunked S3 bodies ([`crate::chunked`]).

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::limits;

/// One response, its body complete.
#[derive(Debug, Clone)]
pub struct Response {
    /// Status code of the final (not 1xx) response.
    pub status: u16,
    /// Header fields in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Fields after a chunked body, as `headers`.
    pub trailers: Vec<(String, String)>,
    /// Bytes that the head took on the wire, of the final response alone.
    pub head_bytes: usize,
    /// The body without transfer coding.
    pub body: Vec<u8>,
    /// Whether the server keeps the connection.
    pub keep_alive: bool,
}

impl Response {
    /// First value of a header; the name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// First value of a trailer; the name in lower case.
    pub fn trailer(&self, name: &str) -> Option<&str> {
        self.trailers.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// The body as text, for messages.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The text between `<tag>` and `</tag>`, first occurrence.
    pub fn element(&self, tag: &str) -> Option<String> {
        elements(&self.text(), tag).into_iter().next()
    }

    /// The S3 error code of the body.
    pub fn code(&self) -> Option<String> {
        self.element("Code")
    }

    /// Status and code in one line: `403 AccessDenied`.
    pub fn outcome(&self) -> String {
        match self.code() {
            Some(code) => format!("{} {code}", self.status),
            None => self.status.to_string(),
        }
    }
}

/// Every text between `<tag>` and `</tag>`, entities resolved.
pub fn elements(text: &str, tag: &str) -> Vec<String> {
    let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(&open) {
        rest = &rest[start + open.len()..];
        let Some(end) = rest.find(&close) else { break };
        found.push(
            rest[..end]
                .replace("&lt;", "<")
                .replace("&gt;", ">")
                .replace("&quot;", "\"")
                .replace("&#34;", "\"")
                .replace("&apos;", "'")
                .replace("&amp;", "&"),
        );
        rest = &rest[end..];
    }
    found
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// Bytes received and not yet consumed.
    pending: Vec<u8>,
}

impl Connection {
    /// Connects, with TCP_NODELAY and the harness's socket timeouts.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, limits::SOCKET_WITHIN)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(limits::SOCKET_WITHIN))?;
        stream.set_write_timeout(Some(limits::SOCKET_WITHIN))?;
        Ok(Self { stream, pending: Vec::new() })
    }

    /// The socket itself, for options.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Says that nothing more will be sent, and keeps reading.
    pub fn finish_sending(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Reads one response. `body_expected` is false for answers to HEAD.
    ///
    /// # Errors
    /// `UnexpectedEof` when the server closed before the response was complete; `InvalidData` when
    /// what came is not HTTP.
    pub fn receive(&mut self, body_expected: bool) -> io::Result<Response> {
        loop {
            let mut response = self.receive_head()?;
            if response.status / 100 == 1 {
                continue;
            }
            if body_expected && response.status != 204 && response.status != 304 {
                self.receive_body(&mut response)?;
            }
            return Ok(response);
        }
    }

    /// Reads the head of a response and leaves its body on the socket.
    pub fn receive_head(&mut self) -> io::Result<Response> {
        let end = loop {
            if let Some(at) = find(&self.pending, b"\r\n\r\n") {
                break at + 4;
            }
            if self.pending.len() > limits::RESPONSE_HEAD_BYTES_MAX {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "response head too long"));
            }
            self.fill()?;
        };
        let head: Vec<u8> = self.pending.drain(..end).collect();
        parse_head(&String::from_utf8_lossy(&head))
    }

    /// Reads up to `most` bytes of whatever comes next.
    pub fn receive_some(&mut self, most: usize) -> io::Result<Vec<u8>> {
        if self.pending.is_empty() {
            let mut bytes = vec![0; most];
            let count = self.stream.read(&mut bytes)?;
            bytes.truncate(count);
            return Ok(bytes);
        }
        let count = most.min(self.pending.len());
        Ok(self.pending.drain(..count).collect())
    }

    fn receive_body(&mut self, response: &mut Response) -> io::Result<()> {
        let chunked = response
            .header("transfer-encoding")
            .is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
        if chunked {
            return self.receive_chunks(response);
        }
        if let Some(length) = response.header("content-length") {
            let length: usize = length
                .parse()
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "bad content-length"))?;
            response.body = self.take(length)?;
            return Ok(());
        }
        response.keep_alive = false;
        response.body = std::mem::take(&mut self.pending);
        self.stream.read_to_end(&mut response.body)?;
        Ok(())
    }

    fn receive_chunks(&mut self, response: &mut Response) -> io::Result<()> {
        loop {
            let line = self.line()?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let length = usize::from_str_radix(digits, 16)
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "bad chunk length"))?;
            if length == 0 {
                loop {
                    let line = self.line()?;
                    let Some((name, value)) = line.split_once(':') else {
                        return Ok(());
                    };
                    let field = (name.to_ascii_lowercase(), value.trim().to_owned());
                    response.trailers.push(field);
                }
            }
            response.body.extend(self.take(length)?);
            if !self.line()?.is_empty() {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "chunk without its end"));
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = find(&self.pending, b"\r\n") {
                let line: Vec<u8> = self.pending.drain(..at + 2).collect();
                return Ok(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            self.fill()?;
        }
    }

    fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let ready = length.min(self.pending.len());
        let mut bytes: Vec<u8> = self.pending.drain(..ready).collect();
        bytes.resize(length, 0);
        self.stream.read_exact(&mut bytes[ready..])?;
        Ok(bytes)
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut bytes = [0; 16 * 1024];
        let count = self.stream.read(&mut bytes)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.pending.extend_from_slice(&bytes[..count]);
        Ok(())
    }
}

fn parse_head(head: &str) -> io::Result<Response> {
    let invalid =
        |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{what}: {head:?}"));
    let mut lines = head.trim_end().split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let status = status_line
        .strip_prefix("HTTP/1.1 ")
        .or_else(|| status_line.strip_prefix("HTTP/1.0 "))
        .and_then(|rest| rest.get(..3))
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| invalid("not a status line"))?;
    let mut headers = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(|| invalid("not a header"))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let closes = headers
        .iter()
        .any(|(name, value)| name == "connection" && value.eq_ignore_ascii_case("close"));
    Ok(Response {
        status,
        headers,
        trailers: Vec::new(),
        head_bytes: head.len(),
        body: Vec::new(),
        keep_alive: !closes,
    })
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_parsed_strictly() {
        let response = parse_head("HTTP/1.1 404 Not Found\r\nETag: \"x\"\r\n\r\n").expect("parses");
        assert_eq!(response.status, 404);
        assert_eq!(response.header("etag"), Some("\"x\""));
        assert!(parse_head("HTTQ/1.1 200 OK\r\n\r\n").is_err());
        assert!(parse_head("HTTP/1.1 200 OK\r\nbroken\r\n\r\n").is_err());
    }

    #[test]
    fn elements_resolve_entities() {
        assert_eq!(elements("<Key>a&amp;b</Key><Key>c</Key>", "Key"), ["a&b", "c"]);
    }
}
