//! READY and CANCEL: the end of a session, in one of two ways.
//!
//! READY may come on any lane. It claims the session, is carried out on the lane that owns the queue pair (`carry.rs`),
//! and is answered ("FINAL") when the data has moved and the queue pair is fenced. While its HTTP connection lives, the
//! waiting request holds a [`rdma::server::Watch`]; when the client goes, the transfer is aborted.

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use rdma::fabric::RemoteWindow;
use rdma::server::{Operation, ReadyHeaders};
use rdma::wire::{
    ChecksumAlgorithm, Cookie, SessionId, header, parse_bare_hex, parse_qpn, parse_rkey,
};

use super::control::{Answer, Caller, OFF, empty};
use super::decline::Reason;
use super::headers::{invalid_argument, optional, required, value};
use super::lane::LaneRdma;
use super::mailbox::{Outcome, Wanted};
use super::{capability, decline, inward, status};
use crate::door::Refused;
use crate::record::AccountSlot;

/// Answers READY.
///
/// # Errors
/// The refusal. What S3 refuses comes back as it is.
pub(super) async fn ready(
    lane: &LaneRdma,
    caller: &Caller,
    parts: &Parts,
) -> Result<Answer, Refused> {
    let Some(server) = lane.shared.server() else {
        return Err(status::unsupported(OFF));
    };
    let asked = Asked::read(parts)?;
    let claim = server
        .claim(asked.session, asked.cookie, &caller.principal)
        .map_err(|error| status::refused(&error))?;
    let order = claim.order().clone();
    let window = match asked.window(order.operation, order.size) {
        Ok(window) => window,
        Err(refused) => {
            // A READY that is none leaves the session as it was.
            claim.put_back();
            return Err(refused);
        }
    };
    let mut head = Box::new(inward::carry_out(&order, &caller.signer)?);
    if let Some(account) = parts.extensions.get::<AccountSlot>() {
        head.extensions.insert(account.clone());
    }
    // Held while this request waits: dropped with it when the client goes.
    let _watch = claim.watch();
    let owner = claim.lane();
    let ready = ReadyHeaders { qpn: asked.qpn, window, checksum: asked.checksum };
    let outcome = lane.hand_over(owner, Wanted::Session { claim, ready }, head).await?;
    match outcome {
        Outcome::Answered(answer) if answer.status().is_success() => {
            finish(answer.headers(), asked.cookie)
        }
        Outcome::Answered(answer) => Ok(answer.map(s3s::Body::from)),
        Outcome::Refused(refused) => Err(refused),
        // There is no other way in this protocol: the client begins again, over HTTP if it likes.
        Outcome::ByHttp(Reason::Busy) => Err(status::slow_down()),
        Outcome::ByHttp(reason @ Reason::Encrypted) => {
            lane.shared.declined(reason);
            Err(decline::of_upload(501, reason))
        }
        Outcome::ByHttp(_) => Err(status::failed("The transfer failed; nothing moves any more.")),
    }
}

/// Answers CANCEL. It never tells whether there was such a session.
///
/// # Errors
/// When the session's name is none.
pub(super) fn cancel(lane: &LaneRdma, caller: &Caller, parts: &Parts) -> Result<Answer, Refused> {
    let session = required(parts, header::SESSION, SessionId::parse)?;
    if let Some(server) = lane.shared.server() {
        server.cancel(session, &caller.principal);
    }
    Ok(empty(StatusCode::NO_CONTENT))
}

/// What READY's headers say.
#[derive(Debug)]
struct Asked {
    session: SessionId,
    cookie: Cookie,
    qpn: rdma::fabric::Qpn,
    address: Option<u64>,
    rkey: Option<u32>,
    checksum: ChecksumAlgorithm,
}

impl Asked {
    fn read(parts: &Parts) -> Result<Asked, Refused> {
        Ok(Asked {
            session: required(parts, header::SESSION, SessionId::parse)?,
            cookie: required(parts, header::COOKIE, Cookie::parse)?,
            qpn: required(parts, header::QPN, parse_qpn)?,
            address: optional(parts, header::MR_ADDR, parse_bare_hex)?,
            rkey: optional(parts, header::MR_RKEY, parse_rkey)?,
            checksum: checksum_algorithm(parts)?,
        })
    }

    /// The memory that a download goes to; an upload's client tells of its own, which nobody reads.
    fn window(&self, operation: Operation, size: u64) -> Result<Option<RemoteWindow>, Refused> {
        if operation == Operation::Put {
            return Ok(None);
        }
        let missing = |name| invalid_argument(format!("The header {name} is missing."));
        let address = self.address.ok_or_else(|| missing(header::MR_ADDR))?;
        let rkey = self.rkey.ok_or_else(|| missing(header::MR_RKEY))?;
        if address.checked_add(size).is_none() {
            return Err(invalid_argument("x-amz-rdma-mr-addr: the memory must not wrap around."));
        }
        Ok(Some(RemoteWindow { address, size, rkey }))
    }
}

/// Which checksum of the delivered bytes is wanted in the answer.
///
/// # Errors
/// 400 for an unknown one.
pub(super) fn checksum_algorithm(parts: &Parts) -> Result<ChecksumAlgorithm, Refused> {
    let wanted = optional(parts, header::CHECKSUM_ALGORITHM, ChecksumAlgorithm::parse)?;
    Ok(wanted.unwrap_or(ChecksumAlgorithm::Crc64Nvme))
}

/// FINAL: what S3 has answered, in the protocol's headers.
fn finish(answered: &HeaderMap, cookie: Cookie) -> Result<Answer, Refused> {
    let mut answer = Response::new(s3s::Body::empty());
    *answer.headers_mut() = final_headers(answered, cookie).ok_or_else(|| {
        tracing::error!(
            "a transfer's answer does not say how much was moved: a defect, please report it"
        );
        Refused::internal()
    })?;
    answer.headers_mut().insert(header::CAPABILITIES, capability::PARTS);
    Ok(answer)
}

/// None when nothing says how many bytes were moved.
fn final_headers(answered: &HeaderMap, cookie: Cookie) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(header::COOKIE, value(cookie));
    let mut copy = |from: &'static str, to: &'static str| {
        if let Some(value) = answered.get(from) {
            headers.insert(HeaderName::from_static(to), value.clone());
        }
    };
    copy(header::BYTES_TRANSFERRED, header::BYTES_TRANSFERRED);
    copy("etag", "etag");
    copy("etag", header::ETAG);
    // Clients read one or the other.
    copy("x-amz-version-id", "x-amz-version-id");
    copy("x-amz-version-id", header::VERSION_ID);
    copy(header::CHECKSUM_CRC64NVME, header::CHECKSUM_CRC64NVME);
    copy(header::CHECKSUM_CRC32C, header::CHECKSUM_CRC32C);
    let crc64 = answered.get(header::CHECKSUM_CRC64NVME).and_then(|value| value.to_str().ok());
    if let Some(crc64) = crc64 {
        // The older form: the algorithm, one space, the value.
        headers.insert(header::CHECKSUM, value(format_args!("CRC64NVME {crc64}")));
    }
    headers.insert(http::header::CONTENT_LENGTH, HeaderValue::from(0));
    headers.contains_key(header::BYTES_TRANSFERRED).then_some(headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn head(changes: &[(&'static str, &str)]) -> Parts {
        let mut headers = vec![
            (header::SESSION, "482a37f020e164537fcd911bc9e9d754"),
            (header::COOKIE, "1a2b3c4d"),
            (header::QPN, "000000000000002b"),
            (header::MR_ADDR, "55aca5e15000"),
            (header::MR_RKEY, "aec"),
        ];
        for (name, value) in changes {
            headers.retain(|(present, _)| present != name);
            if !value.is_empty() {
                headers.push((name, value));
            }
        }
        let mut request = Request::builder();
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_download_needs_memory_and_an_upload_does_not() {
        let asked = Asked::read(&head(&[])).unwrap();
        assert_eq!((asked.qpn.number(), asked.checksum), (0x2b, ChecksumAlgorithm::Crc64Nvme));
        let window = RemoteWindow { address: 0x55ac_a5e1_5000, size: 64, rkey: 0xaec };
        assert_eq!(asked.window(Operation::Get, 64).unwrap(), Some(window));
        assert_eq!(asked.window(Operation::Put, 64).unwrap(), None);
        for missing in [header::MR_ADDR, header::MR_RKEY] {
            let asked = Asked::read(&head(&[(missing, "")])).unwrap();
            let refused = asked.window(Operation::Get, 64).unwrap_err();
            assert!(refused.status == 400 && refused.message.contains(missing));
            assert_eq!(asked.window(Operation::Put, 64).unwrap(), None);
        }
        let end = Asked::read(&head(&[(header::MR_ADDR, "ffffffffffffffff")])).unwrap();
        assert!(end.window(Operation::Get, 64).is_err());
    }

    #[test]
    fn every_header_is_held_to_its_grammar() {
        for (name, value) in [
            (header::SESSION, ""),
            (header::SESSION, "482a37f020e164537fcd911bc9e9d75"),
            (header::COOKIE, "0"),
            (header::QPN, ""),
            (header::QPN, "1000000"),
            (header::MR_ADDR, "x"),
            (header::MR_RKEY, "100000000"),
            (header::CHECKSUM_ALGORITHM, "MD5"),
        ] {
            let refused = Asked::read(&head(&[(name, value)])).expect_err(name);
            assert_eq!(
                (refused.status.as_u16(), &*refused.code),
                (400, "InvalidArgument"),
                "{name}"
            );
        }
        let asked = Asked::read(&head(&[(header::CHECKSUM_ALGORITHM, "crc32c")])).unwrap();
        assert_eq!(asked.checksum, ChecksumAlgorithm::Crc32c);
    }

    #[test]
    fn the_final_answer_has_the_protocols_headers() {
        let answered: HeaderMap = [
            (header::REPLY, "206"),
            (header::BYTES_TRANSFERRED, "64"),
            (header::CHECKSUM_CRC64NVME, "fTvOvkMTUMQ="),
            ("etag", "\"40-6afff293-12\""),
            ("content-range", "bytes 0-63/64"),
        ]
        .into_iter()
        .map(|(name, text)| (HeaderName::from_static(name), HeaderValue::from_static(text)))
        .collect();
        let cookie = Cookie::parse("1A2B3C4D").unwrap();
        let last = final_headers(&answered, cookie).unwrap();
        let expected = [
            (header::COOKIE, "1a2b3c4d"),
            (header::BYTES_TRANSFERRED, "64"),
            (header::ETAG, "\"40-6afff293-12\""),
            ("etag", "\"40-6afff293-12\""),
            (header::CHECKSUM, "CRC64NVME fTvOvkMTUMQ="),
            (header::CHECKSUM_CRC64NVME, "fTvOvkMTUMQ="),
            ("content-length", "0"),
        ];
        assert_eq!(last.len(), expected.len());
        for (name, value) in expected {
            assert_eq!(last[name], value, "{name}");
        }
        assert_eq!(final_headers(&HeaderMap::new(), cookie), None);
    }
}
