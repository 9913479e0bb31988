//! How commands ask a running server: one request a connection, to its administration address.
//!
//! Owns: where the server is ([`Place`]), what is shown to it, and one exchange in HTTP/1.0, whose
//! answers end with the connection and are never chunked, over TLS where the server speaks it. Blocking, without a runtime: commands
//! have nothing else to do meanwhile.
//! Limits: `ADMIN_COMMAND_TIME` to connect and to write, twice that for the whole answer,
//! `ADMIN_RESPONSE_BYTES_MAX` of it.
//! Not here: what is asked (`cli/`), and how the server answers (`admin/mod.rs`).

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use thiserror::Error;

use super::pass::Pass;
use super::trust::{self, Trust};
use crate::limits;
use crate::tls::pem::FileError;

/// Where a server is administered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `HOST:PORT`, as it stands in the `Host` header and in messages.
    text: String,
    /// Whether `https://` stood before it.
    tls: bool,
}

impl Place {
    /// Reads `HOST:PORT`, `http://HOST:PORT` or `https://HOST:PORT`.
    ///
    /// # Errors
    /// What is wrong with it, and how it is written.
    pub fn parse(text: &str) -> Result<Place, AskError> {
        let wrong = |problem: &str| AskError::Place(text.to_owned(), problem.to_owned());
        let (rest, tls) = match text.split_once("://") {
            Some(("http", rest)) => (rest, false),
            Some(("https", rest)) => (rest, true),
            Some((scheme, _)) => return Err(wrong(&format!("{scheme}:// is not known"))),
            None => (text, false),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let port = rest.rsplit_once(':').and_then(|(host, port)| {
            let bare = !host.contains(':') || (host.starts_with('[') && host.ends_with(']'));
            (bare && !host.is_empty()).then(|| port.parse::<u16>().ok())?
        });
        match port {
            Some(1..) => {}
            _ => return Err(wrong("it has no port")),
        }
        if !rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]%".contains(&byte)) {
            return Err(wrong("it has characters that no host has"));
        }
        Ok(Place { text: rest.to_owned(), tls })
    }

    /// Whether nobody on the way can read what is sent there: by TLS, or because there is no way.
    pub fn is_private(&self) -> bool {
        let host = self.text.rsplit_once(':').map_or(&*self.text, |(host, _)| host);
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        self.tls || host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }
}

impl From<SocketAddr> for Place {
    /// An address that means "all of this host" is asked on its loopback.
    fn from(mut address: SocketAddr) -> Place {
        match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        Place { text: address.to_string(), tls: false }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum AskError {
    /// The address cannot be read.
    #[error("the address {0:?}: {1}; write HOST:PORT, or https://HOST:PORT")]
    Place(String, String),
    /// The token file cannot be used.
    #[error("the token file {0}: {1}")]
    TokenFile(String, String),
    /// A file of certificates or keys cannot be used.
    #[error("{0}")]
    Certificates(#[from] FileError),
    /// Nobody listens there.
    #[error("no server answers on {0}: {1}")]
    Unreachable(Place, io::Error),
    /// The exchange broke off or took too long.
    #[error("the server on {0} does not answer: {1}")]
    Broken(Place, io::Error),
    /// What answers speaks something else.
    #[error("what listens on {0} is no Penstock server: {1}")]
    Foreign(Place, &'static str),
    /// More than is read.
    #[error("the server on {0} answers with more than {1} bytes")]
    TooLong(Place, u64),
}

impl AskError {
    /// Whether that means that no server runs there.
    pub fn is_absence(&self) -> bool {
        matches!(self, AskError::Unreachable(..))
    }
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// The body, complete.
    pub body: Vec<u8>,
}

impl Reply {
    /// The body as text for people; what is no UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Asks one server. `Debug` hides what is shown to it.
#[derive(Clone)]
pub struct Client {
    place: Place,
    /// The value of `Authorization`.
    shown: Option<String>,
    /// How TLS is spoken; `None` for plain HTTP.
    tls: Option<Arc<ClientConfig>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Client {
    /// For the server that left this pass in its data directory.
    ///
    /// # Errors
    /// When the certificate that the pass names cannot be read.
    pub fn with_pass(pass: &Pass) -> Result<Client, AskError> {
        let tls = pass.certificate.as_deref().map(trust::pinned).transpose()?;
        Ok(Client { place: pass.address.into(), shown: Some(pass.token.header()), tls })
    }

    /// For a server anywhere, with the first token of that file.
    ///
    /// # Errors
    /// When a file cannot be read or has nothing of use.
    pub fn remote(
        place: Place,
        token_file: Option<&Path>,
        trust: &Trust,
    ) -> Result<Client, AskError> {
        let shown = token_file.map(read_token).transpose()?;
        let tls = place.tls.then(|| trust.config()).transpose()?;
        Ok(Client { place, shown: shown.map(|token| format!("Bearer {token}")), tls })
    }

    /// The server's address.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Reads a document.
    ///
    /// # Errors
    /// When no complete answer comes. An answer of whatever status is one.
    pub fn read(&self, target: &str) -> Result<Reply, AskError> {
        self.ask("GET", target)
    }

    /// One request with an empty body.
    ///
    /// # Errors
    /// As [`Client::read`].
    pub fn ask(&self, method: &str, target: &str) -> Result<Reply, AskError> {
        let deadline = Instant::now() + limits::ADMIN_COMMAND_TIME * 2;
        let mut stream = self.connect()?;
        let broken = |error| AskError::Broken(self.place.clone(), error);
        let authorization = match &self.shown {
            Some(shown) => format!("Authorization: {shown}\r\n"),
            None => String::new(),
        };
        let request = format!(
            "{method} {target} HTTP/1.0\r\nHost: {}\r\n{authorization}Content-Length: 0\r\n\
             Connection: close\r\n\r\n",
            self.place
        );
        stream.write_all(request.as_bytes()).map_err(broken)?;
        let answer = self.receive(&mut stream, deadline)?;
        parse(&answer).map_err(|problem| AskError::Foreign(self.place.clone(), problem))
    }

    /// A connection, by the first of the host's addresses that takes it.
    fn connect(&self) -> Result<Wire, AskError> {
        let unreachable = |error| AskError::Unreachable(self.place.clone(), error);
        let addresses = self.place.text.to_socket_addrs().map_err(unreachable)?;
        let mut outcome = Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        for address in addresses.take(limits::ADMIN_ADDRESSES_TRIED) {
            outcome = TcpStream::connect_timeout(&address, limits::ADMIN_COMMAND_TIME);
            if outcome.is_ok() {
                break;
            }
        }
        let stream = outcome.map_err(unreachable)?;
        stream.set_write_timeout(Some(limits::ADMIN_COMMAND_TIME)).map_err(unreachable)?;
        let Some(config) = &self.tls else {
            return Ok(Wire::Plain(stream));
        };
        // A handshake that stalls is an answer that does.
        stream.set_read_timeout(Some(limits::ADMIN_COMMAND_TIME)).map_err(unreachable)?;
        let broken = |error| AskError::Broken(self.place.clone(), error);
        let host = self.place.text.rsplit_once(':').map_or("", |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host)
            .map_err(|_| broken(io::Error::other("TLS knows no such name")))?;
        let connection = ClientConnection::new(config.clone(), name)
            .map_err(|error| broken(io::Error::other(error)))?;
        Ok(Wire::Tls(Box::new(StreamOwned::new(connection, stream))))
    }

    /// All that comes until the server closes.
    fn receive(&self, stream: &mut Wire, deadline: Instant) -> Result<Vec<u8>, AskError> {
        let broken = |error| AskError::Broken(self.place.clone(), error);
        let mut answer = Vec::new();
        let mut piece = vec![0; 64 << 10];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left == Duration::ZERO {
                return Err(broken(io::ErrorKind::TimedOut.into()));
            }
            stream.socket().set_read_timeout(Some(left)).map_err(broken)?;
            match stream.read(&mut piece) {
                Ok(0) => return Ok(answer),
                Ok(count) => answer.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What a socket's read timeout comes as.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(broken(io::ErrorKind::TimedOut.into()));
                }
                Err(error) => return Err(broken(error)),
            }
            if answer.len() as u64 > limits::ADMIN_RESPONSE_BYTES_MAX {
                let most = limits::ADMIN_RESPONSE_BYTES_MAX;
                return Err(AskError::TooLong(self.place.clone(), most));
            }
        }
    }
}

/// What an exchange goes over.
enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Wire {
    fn socket(&self) -> &TcpStream {
        match self {
            Wire::Plain(socket) => socket,
            Wire::Tls(stream) => &stream.sock,
        }
    }
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(socket) => socket.read(into),
            Wire::Tls(stream) => stream.read(into),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(socket) => socket.write(from),
            Wire::Tls(stream) => stream.write(from),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Wire::Plain(socket) => socket.flush(),
            Wire::Tls(stream) => stream.flush(),
        }
    }
}

/// Status and body of a whole answer; its stated length has to be there.
fn parse(answer: &[u8]) -> Result<Reply, &'static str> {
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .ok_or("it sends no head; if it speaks TLS, write https:// before the address")?;
    let head = std::str::from_utf8(&answer[..end]).map_err(|_| "its head is no text")?;
    let body = &answer[end + 4..];
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap_or_default();
    if !line.starts_with("HTTP/1.") {
        return Err(
            "it does not speak HTTP/1; if it speaks TLS, write https:// before the address",
        );
    }
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or("its answer has no status")?;
    let stated = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    if let Some((_, length)) = stated {
        let length: usize =
            length.trim().parse().map_err(|_| "its answer's length is no number")?;
        if length != body.len() {
            return Err("its answer is not as long as it says");
        }
    }
    Ok(Reply { status, body: body.to_vec() })
}

/// The first line that is neither empty nor a comment.
fn read_token(path: &Path) -> Result<String, AskError> {
    let wrong = |problem: String| AskError::TokenFile(path.display().to_string(), problem);
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(limits::CONFIGURATION_FILE_BYTES_MAX).read_to_string(&mut text))
        .map_err(|error| wrong(error.to_string()))?;
    let token = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    let token = token.ok_or_else(|| wrong("it has no token".to_owned()))?;
    match token.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(token.to_owned()),
        false => Err(wrong("its first token has characters that no token has".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    /// Answers one request with these bytes; gives back what was asked.
    fn answering(answer: &'static [u8]) -> (Place, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = listener.local_addr().unwrap().into();
        let asked = thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                socket.read_exact(&mut byte).unwrap();
                asked.push(byte[0]);
            }
            socket.write_all(answer).unwrap();
            String::from_utf8(asked).unwrap()
        });
        (place, asked)
    }

    #[test]
    fn what_is_sent_to_others_is_private_by_tls_alone() {
        for (text, private) in [
            ("localhost:9001", true),
            ("127.0.0.1:9001", true),
            ("[::1]:9001", true),
            ("10.0.0.7:9001", false),
            ("gateway:9001", false),
            ("https://gateway:9001", true),
        ] {
            assert_eq!(Place::parse(text).unwrap().is_private(), private, "{text}");
        }
    }

    #[test]
    fn places_are_hosts_with_ports() {
        for (text, shown) in [
            ("127.0.0.1:9001", "127.0.0.1:9001"),
            ("http://store-1.example.com:9001/", "store-1.example.com:9001"),
            ("https://store-1.example.com:9001", "store-1.example.com:9001"),
            ("[::1]:9001", "[::1]:9001"),
        ] {
            assert_eq!(Place::parse(text).unwrap().to_string(), shown);
        }
        for text in ["", "store", "store:", ":9001", "store:0", "ftp://store:21", "::1:9", "a b:1"]
        {
            let error = Place::parse(text).unwrap_err().to_string();
            assert!(error.contains("HOST:PORT"), "{text}: {error}");
        }
        assert!(Place::parse("a\r\nb:1").is_err(), "a header could be smuggled in");
    }

    #[test]
    fn an_address_of_all_interfaces_is_asked_on_loopback() {
        let place = |text: &str| Place::from(text.parse::<SocketAddr>().unwrap()).to_string();
        assert_eq!(place("0.0.0.0:9001"), "127.0.0.1:9001");
        assert_eq!(place("[::]:9001"), "[::1]:9001");
        assert_eq!(place("10.0.0.1:9001"), "10.0.0.1:9001");
    }

    #[test]
    fn the_token_is_shown_to_the_server_and_to_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens");
        std::fs::write(&file, "# of the scraper\n\n  first-token-0123456789  \nsecond\n").unwrap();
        let (place, asked) = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
        let client = Client::remote(place, Some(&file), &Trust::default()).unwrap();
        assert_eq!(client.read("/x?y").unwrap(), Reply { status: 200, body: b"hi".to_vec() });
        let asked = asked.join().unwrap();
        assert!(asked.starts_with("GET /x?y HTTP/1.0\r\n"), "{asked}");
        assert!(asked.contains("Authorization: Bearer first-token-0123456789\r\n"), "{asked}");
        assert!(!format!("{client:?}").contains("first-token"));
        std::fs::write(&file, "# none\n").unwrap();
        let place = client.place().clone();
        let error =
            Client::remote(place.clone(), Some(&file), &Trust::default()).unwrap_err().to_string();
        assert!(error.contains("tokens: it has no token"), "{error}");
        std::fs::write(&file, "two words\n").unwrap();
        assert!(Client::remote(place, Some(&file), &Trust::default()).is_err());
    }

    #[test]
    fn what_is_no_complete_answer_is_an_error() {
        for (answer, said) in [
            (&b"SSH-2.0-OpenSSH_9\r\n\r\n"[..], "does not speak HTTP/1"),
            (b"", "sends no head"),
            (b"HTTP/1.1 fine\r\n\r\n", "no status"),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort", "not as long as it says"),
        ] {
            let (place, asked) = answering(answer);
            let client = Client::remote(place, None, &Trust::default()).unwrap();
            let error = client.read("/").unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
            assert!(!error.is_absence());
            assert!(!asked.join().unwrap().contains("Authorization"));
        }
    }

    #[test]
    fn nobody_there_is_told_apart() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place: Place = listener.local_addr().unwrap().into();
        drop(listener);
        let error = Client::remote(place, None, &Trust::default()).unwrap().read("/").unwrap_err();
        assert!(error.is_absence() && error.to_string().contains("no server answers"), "{error}");
    }
}
