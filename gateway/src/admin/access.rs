//! Who may see and who may change what, on the administration address.
//!
//! ```text
//!  nothing shown, address and Host name this machine alone ──▶ reads
//!  nothing shown, any other way of coming here             ──▶ health, and the console's own files
//!  a token, the pass of the data directory, a certificate  ──▶ reads and changes
//! ```
//! The Host counts because a web page anywhere may have its name point at 127.0.0.1 and read with
//! its visitor's browser what is open there; such a request still has the page's name in it.
//! Not here: where certificates are checked (`tls.rs`), and where tokens are read (`files.rs`).

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::header::{AUTHORIZATION, HOST};
use subtle::{Choice, ConstantTimeEq};

use super::pass::Token;

/// What somebody may do. Each may what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Ask whether the server lives, and load the console's page, which asks for a token.
    Stranger,
    /// See metrics and state.
    Reader,
    /// See the log, and change things.
    Trusted,
}

/// What decides on that.
#[derive(Debug)]
pub struct Access {
    /// Whether only this machine reaches the address.
    loopback: bool,
    /// The token of the data directory.
    pass: Token,
    /// Those of `admin.token_file`.
    tokens: Vec<Token>,
}

impl Access {
    /// For the server at that address.
    pub fn new(address: SocketAddr, pass: Token, tokens: Vec<Token>) -> Access {
        Access { loopback: is_loopback(address.ip()), pass, tokens }
    }

    /// Takes up other tokens. The pass stays.
    pub fn replace(&mut self, tokens: Vec<Token>) {
        self.tokens = tokens;
    }

    /// What the sender of that head may do; `certified` says that the connection's client has shown
    /// a certificate of `admin.client_ca`.
    pub fn standing(&self, headers: &HeaderMap, certified: bool) -> Standing {
        if certified || self.shows_token(headers) {
            Standing::Trusted
        } else if self.loopback && names_this_machine(headers) {
            Standing::Reader
        } else {
            Standing::Stranger
        }
    }

    /// Compares with every token there is, in a time that depends on lengths alone.
    fn shows_token(&self, headers: &HeaderMap) -> bool {
        let Some(shown) = headers.get(AUTHORIZATION).and_then(|it| bearer(it.as_bytes())) else {
            return false;
        };
        let all = self.tokens.iter().chain([&self.pass]);
        let same = |token: &Token| token.bytes().ct_eq(shown);
        bool::from(all.map(same).fold(Choice::from(0), |either, it| either | it))
    }
}

/// Whether only this machine reaches the address. 0.0.0.0 is all addresses, so not.
pub fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// The token of `Bearer TOKEN` (RFC 6750); the scheme in any capitals (RFC 9110, 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(b"bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// Whether Host is an address, `localhost` or below it, none of which a foreign page can have. A
/// head without Host is no browser's.
fn names_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST) else {
        return true;
    };
    let Ok(host) = host.to_str() else {
        return false;
    };
    if host.parse::<SocketAddr>().is_ok() || host.parse::<IpAddr>().is_ok() {
        return true;
    }
    let bracketed = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    if let Some(inner) = bracketed {
        return inner.parse::<IpAddr>().is_ok();
    }
    let name = host.split_once(':').map_or(host, |(name, _)| name).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(address: &str, host: Option<&str>, authorization: Option<&str>) -> Standing {
        let tokens = vec![Token::from_text("0123456789abcdef0123456789abcdef").unwrap()];
        let pass = Token::from_text("ffffffffffffffffffffffffffffffff").unwrap();
        let access = Access::new(address.parse().unwrap(), pass, tokens);
        let mut headers = HeaderMap::new();
        host.map(|host| headers.insert(HOST, host.parse().unwrap()));
        authorization.map(|it| headers.insert(AUTHORIZATION, it.parse().unwrap()));
        access.standing(&headers, false)
    }

    #[test]
    fn only_names_of_this_machine_are_open() {
        let local = "127.0.0.1:9001";
        for host in ["127.0.0.1:9001", "localhost", "LOCALHOST:1", "[::1]:9", "[::1]", "10.0.0.1"] {
            assert_eq!(standing(local, Some(host), None), Standing::Reader, "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example:9001", "localhost.evil.example", ""] {
            assert_eq!(standing(local, Some(host), None), Standing::Stranger, "{host}");
        }
        assert_eq!(standing(local, None, None), Standing::Reader);
        assert_eq!(standing("[::ffff:127.0.0.1]:1", None, None), Standing::Reader);
        for address in ["0.0.0.0:9001", "[::]:9001", "10.1.2.3:9001"] {
            assert_eq!(standing(address, Some("127.0.0.1:9001"), None), Standing::Stranger);
        }
    }

    #[test]
    fn a_token_is_taken_whole_or_not() {
        let far = "0.0.0.0:9001";
        for good in [
            "Bearer 0123456789abcdef0123456789abcdef",
            "bearer  0123456789abcdef0123456789abcdef",
            "BEARER ffffffffffffffffffffffffffffffff",
        ] {
            assert_eq!(standing(far, None, Some(good)), Standing::Trusted, "{good}");
        }
        for bad in [
            "Bearer 0123456789abcdef0123456789abcde",
            "Bearer 0123456789abcdef0123456789abcdef0",
            "Bearer 0123456789ABCDEF0123456789ABCDEF",
            "Bearer",
            "Bearer ",
            "Basic 0123456789abcdef0123456789abcdef",
            "0123456789abcdef0123456789abcdef",
        ] {
            assert_eq!(standing(far, None, Some(bad)), Standing::Stranger, "{bad}");
            assert_eq!(standing("127.0.0.1:1", None, Some(bad)), Standing::Reader, "{bad}");
        }
    }
}
