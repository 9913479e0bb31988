//! Owns what the two answers of a hipobj-rc-v2 session mean: PREPARE's, which names the server's queue pair, and
//! READY's, which comes when the data has moved. Strict: what is not as the protocol has it ends the session. Pure.

use super::checksum::Promised;
use super::control::AnswerHead;
use super::outcome::ClientError;
use crate::fabric::{Peer, RemoteWindow};
use crate::wire::{
    Capabilities, Cookie, Operation, ReplyCode, SessionId, WireError, header, parse_bare_hex,
    parse_decimal, parse_psn, parse_qpn, parse_rkey,
};

/// What the server has prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prepared {
    /// Its session.
    pub(super) session: SessionId,
    /// Its queue pair.
    pub(super) peer: Peer,
    /// Of a PUT: where the bytes are to be written, exactly as many as there are.
    pub(super) staging: Option<RemoteWindow>,
    /// Its receive is posted: a PUT may be written at once.
    pub(super) armed: bool,
}

/// Digits of a packet sequence number that a server must send.
const PSN_DIGITS: usize = 6;

impl Prepared {
    /// Reads the head of an answer with status 200.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(
        head: &AnswerHead,
        operation: Operation,
        size: u64,
    ) -> Result<Prepared, ClientError> {
        Self::parse(head, operation, size)
            .map_err(|why| ClientError::Malformed { step: "PREPARE", why })
    }

    fn parse(head: &AnswerHead, operation: Operation, size: u64) -> Result<Prepared, String> {
        if needed(head, header::PROTOCOL)? != header::PROTOCOL_HIPOBJ {
            return Err(format!("{} is not {}", header::PROTOCOL, header::PROTOCOL_HIPOBJ));
        }
        let session = SessionId::parse(needed(head, header::SESSION)?).map_err(text)?;
        let ReplyCode::Prepared(token) =
            ReplyCode::parse(needed(head, header::REPLY)?).map_err(text)?
        else {
            return Err(format!("{} has no token", header::REPLY));
        };
        let qpn = token.queue_pair().map_err(text)?;
        if let Some(named) = optional(head, header::QPN)?
            && parse_qpn(named).map_err(text)? != qpn
        {
            return Err(format!("{} is not the token's", header::QPN));
        }
        let digits = needed(head, header::PSN)?;
        if digits.len() != PSN_DIGITS {
            return Err(format!("{} has not {PSN_DIGITS} digits", header::PSN));
        }
        let peer =
            Peer { qpn, gid: token.gid, lid: token.lid, psn: parse_psn(digits).map_err(text)? };
        let staging = match operation {
            Operation::Get => None,
            Operation::Put => Some(staging(head, token.window(), size)?),
        };
        let armed = optional(head, header::CAPABILITIES)?
            .and_then(|words| Capabilities::parse(words).ok())
            .is_some_and(|capabilities| capabilities.armed);
        Ok(Prepared { session, peer, staging, armed })
    }
}

/// The memory for a PUT, which stands in two headers and mostly in the token, too: they must agree, and have room.
fn staging(
    head: &AnswerHead,
    in_token: Option<RemoteWindow>,
    size: u64,
) -> Result<RemoteWindow, String> {
    let address = parse_bare_hex(needed(head, header::MR_ADDR)?).map_err(text)?;
    let rkey = parse_rkey(needed(head, header::MR_RKEY)?).map_err(text)?;
    if address == 0 || rkey == 0 {
        return Err("memory at 0, or with the key 0".to_owned());
    }
    if address.checked_add(size).is_none() {
        return Err("memory that ends beyond 2^64".to_owned());
    }
    if let Some(window) = in_token {
        if (window.address, window.rkey) != (address, rkey) {
            return Err("the token names other memory than the headers".to_owned());
        }
        if window.size != 0 && window.size < size {
            return Err(format!("memory of {} bytes for {size}", window.size));
        }
    }
    Ok(RemoteWindow { address, size, rkey })
}

/// What READY's answer says of a transfer that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finale {
    pub(super) entity_tag: Option<String>,
    pub(super) version_id: Option<String>,
    pub(super) promised: Promised,
}

impl Finale {
    /// Reads the head of a successful answer.
    ///
    /// # Errors
    /// What is wrong with it, or what is not as it was agreed.
    pub(super) fn read(
        head: &AnswerHead,
        operation: Operation,
        cookie: Cookie,
        size: u64,
    ) -> Result<Finale, ClientError> {
        let malformed = |why| ClientError::Malformed { step: "READY", why };
        let allowed = head.status == 200 || head.status == 204 && operation == Operation::Put;
        if !allowed {
            return Err(malformed(format!("status {}", head.status)));
        }
        let protocol = optional(head, header::PROTOCOL).map_err(malformed)?;
        if protocol.is_some_and(|protocol| protocol != header::PROTOCOL_HIPOBJ) {
            return Err(malformed(format!("another {}", header::PROTOCOL)));
        }
        let echoed = needed(head, header::COOKIE).map_err(malformed)?;
        let echoed = Cookie::parse(echoed).map_err(|error| malformed(text(error)))?;
        if echoed != cookie {
            return Err(mismatch("cookie", &cookie, &echoed));
        }
        let moved = needed(head, header::BYTES_TRANSFERRED).map_err(malformed)?;
        let moved = parse_decimal(moved).map_err(|error| malformed(text(error)))?;
        if moved != size {
            return Err(mismatch("bytes", &size, &moved));
        }
        let first = |names: [&str; 2]| {
            let found = names.into_iter().find_map(|name| head.header(name));
            found.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        Ok(Finale {
            entity_tag: first([header::ETAG, "etag"]),
            version_id: first([header::VERSION_ID, "x-amz-version-id"]),
            promised: Promised::read(head).map_err(malformed)?,
        })
    }
}

/// The difference between a promise and what came.
pub(super) fn mismatch(
    what: &'static str,
    expected: &dyn std::fmt::Display,
    found: &dyn std::fmt::Display,
) -> ClientError {
    ClientError::Mismatch { what, expected: expected.to_string(), found: found.to_string() }
}

/// The header, which must be there once.
pub(super) fn needed<'a>(head: &'a AnswerHead, name: &str) -> Result<&'a str, String> {
    optional(head, name)?.ok_or_else(|| format!("{name} is missing"))
}

fn optional<'a>(head: &'a AnswerHead, name: &str) -> Result<Option<&'a str>, String> {
    match head.header(name) {
        None if head.has(name) => Err(format!("several different {name} headers")),
        found => Ok(found),
    }
}

pub(super) fn text(error: WireError) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &str = "482a37f020e164537fcd911bc9e9d754";
    /// QPN 0x2c, GID fe80::405:57ff:fe5e:ff08, key 0xb86, address 0x7f86a4004000, 64 bytes.
    const TOKEN: &str =
        "012c000000fe80000000000000040557fffe5eff08860b0000004000a4867f00004000000000000000010000";

    fn prepared() -> Vec<(String, String)> {
        [
            ("X-Amz-Rdma-Protocol", "hipobj-rc-v2"),
            ("X-Amz-Rdma-Reply", &format!("200:{TOKEN}")),
            ("X-Amz-Rdma-Session", SESSION),
            ("X-Amz-Rdma-Psn", "2555c9"),
            ("X-Amz-Rdma-Qpn", "2c"),
            ("X-Amz-Rdma-Mr-Addr", "7f86a4004000"),
            ("X-Amz-Rdma-Mr-Rkey", "b86"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    fn with(headers: Vec<(String, String)>, name: &str, value: Option<&str>) -> AnswerHead {
        let mut headers = headers;
        headers.retain(|(found, _)| !found.eq_ignore_ascii_case(name));
        headers.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        AnswerHead { status: 200, headers }
    }

    #[test]
    fn a_recorded_answer_is_read() {
        let head = AnswerHead { status: 200, headers: prepared() };
        let found = Prepared::read(&head, Operation::Put, 64).expect("well formed");
        assert_eq!(found.session.to_string(), SESSION);
        assert_eq!(found.peer.qpn.number(), 0x2c);
        assert_eq!(found.peer.psn.number(), 0x0025_55c9);
        assert_eq!(found.peer.gid.to_string(), "fe80::405:57ff:fe5e:ff08");
        let staging = RemoteWindow { address: 0x7f86_a400_4000, size: 64, rkey: 0xb86 };
        assert_eq!(found.staging, Some(staging));
        assert!(!found.armed);
        let armed = with(prepared(), header::CAPABILITIES, Some("mp, armed"));
        assert!(Prepared::read(&armed, Operation::Put, 64).expect("well formed").armed);
        // Servers that don't repeat the queue pair's number exist.
        let shorter = with(prepared(), header::QPN, None);
        assert!(Prepared::read(&shorter, Operation::Get, 64).is_ok());
    }

    #[test]
    fn a_malformed_answer_is_refused() {
        let identity = "012c000000fe80000000000000040557fffe5eff080000000000000000000000000000000000000000010000";
        let zero_gid = format!("200:012c000000{}{}", "0".repeat(32), &TOKEN[42..]);
        let transport = format!("200:00{}", &TOKEN[2..]);
        let no_pair = format!("200:0100000000{}", &TOKEN[10..]);
        let wide_pair = format!("200:01ffffffff{}", &TOKEN[10..]);
        let loopback = format!("200:{}", "0".repeat(88));
        let suffix = format!("200:{TOKEN}:1:2");
        let reply = |value| (header::REPLY, Some(value));
        for (name, value) in [
            (header::PROTOCOL, None),
            (header::PROTOCOL, Some("hipobj-rc-v3")),
            (header::SESSION, None),
            (header::SESSION, Some("482a37f020e164537fcd911bc9e9d75")),
            (header::SESSION, Some("482a37f020e164537fcd911bc9e9d75g")),
            (header::REPLY, None),
            reply("200"),
            reply("501"),
            reply("ok"),
            reply(&zero_gid),
            reply(&transport),
            reply(&no_pair),
            reply(&wide_pair),
            reply(&loopback),
            reply(&suffix),
            reply(&format!("200:{}", &TOKEN[1..])),
            (header::PSN, None),
            (header::PSN, Some("2555c")),
            (header::PSN, Some("000000")),
            (header::PSN, Some("02555c9")),
            (header::PSN, Some("0x55c9")),
            (header::QPN, Some("2d")),
            (header::QPN, Some("")),
            (header::MR_ADDR, None),
            (header::MR_ADDR, Some("0")),
            (header::MR_ADDR, Some("7f86a4004001")),
            (header::MR_RKEY, None),
            (header::MR_RKEY, Some("0")),
            (header::MR_RKEY, Some("b87")),
            (header::MR_RKEY, Some("100000b86")),
        ] {
            let head = with(prepared(), name, value);
            let found = Prepared::read(&head, Operation::Put, 64);
            assert!(
                matches!(found, Err(ClientError::Malformed { step: "PREPARE", .. })),
                "{name}: {value:?}: {found:?}"
            );
        }
        let mut twice = prepared();
        twice.push((header::SESSION.to_owned(), SESSION.replace('4', "5")));
        let twice = AnswerHead { status: 200, headers: twice };
        assert!(Prepared::read(&twice, Operation::Put, 64).is_err());
        // Room for 64 bytes, and an address that the size would carry beyond the end.
        let head = AnswerHead { status: 200, headers: prepared() };
        assert!(Prepared::read(&head, Operation::Put, 65).is_err());
        let mut far = with(prepared(), header::MR_ADDR, Some("ffffffffffffffff")).headers;
        far = with(far, header::REPLY, Some(&format!("200:{identity}"))).headers;
        let far = AnswerHead { status: 200, headers: far };
        assert!(Prepared::read(&far, Operation::Put, 64).is_err());
        assert!(Prepared::read(&far, Operation::Get, 64).is_ok());
    }

    #[test]
    fn the_final_answer_must_agree() {
        let cookie = Cookie::parse("1a2b3c4d").expect("a cookie");
        let good = || {
            [
                (header::PROTOCOL, header::PROTOCOL_HIPOBJ),
                (header::COOKIE, "1A2B3C4D"),
                (header::BYTES_TRANSFERRED, "64"),
                (header::ETAG, "\"40-6afff293-12\""),
                ("x-amz-version-id", "v1"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec()
        };
        let head = AnswerHead { status: 200, headers: good() };
        let found = Finale::read(&head, Operation::Get, cookie, 64).expect("well formed");
        assert_eq!(found.entity_tag.as_deref(), Some("\"40-6afff293-12\""));
        assert_eq!(found.version_id.as_deref(), Some("v1"));
        let no_content = AnswerHead { status: 204, headers: good() };
        assert!(Finale::read(&no_content, Operation::Put, cookie, 64).is_ok());
        assert!(Finale::read(&no_content, Operation::Get, cookie, 64).is_err());
        for (name, value) in [
            (header::PROTOCOL, Some("other")),
            (header::COOKIE, None),
            (header::COOKIE, Some("1a2b3c4e")),
            (header::COOKIE, Some("00000000")),
            (header::BYTES_TRANSFERRED, None),
            (header::BYTES_TRANSFERRED, Some("63")),
            (header::BYTES_TRANSFERRED, Some("64 ")),
            (header::CHECKSUM, Some("CRC64NVME")),
            (header::CHECKSUM_CRC64NVME, Some("=")),
        ] {
            let head = with(good(), name, value);
            let found = Finale::read(&head, Operation::Get, cookie, 64);
            let tolerated = value == Some("64 "); // HTTP's own white space
            assert_eq!(found.is_ok(), tolerated, "{name}: {value:?}");
        }
    }
}
