//! Owns: the bodies of `Content-Encoding: aws-chunked`, signed and unsigned, with and without
//! trailers. Source: AWS documentation, "Signature Calculations for the Authorization Header:
//! Transferring Payload in Multiple Chunks" and "... Including trailing headers".

use crate::content::{hex, sha256_hex};
use crate::sign::{Credentials, Request, Seed, Signer, hmac_sha256};

/// `x-amz-content-sha256` of a body in signed chunks.
pub const SIGNED: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
/// `x-amz-content-sha256` of a body in signed chunks with a signed trailer.
pub const SIGNED_TRAILER: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
/// `x-amz-content-sha256` of a body in unsigned chunks with a trailer.
pub const UNSIGNED_TRAILER: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";

/// Unsigned chunks of at most `chunk` bytes and the trailer fields.
pub fn unsigned(body: &[u8], chunk: usize, trailers: &[(&str, &str)]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(body.len() + 256);
    for piece in body.chunks(chunk) {
        wire.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        wire.extend_from_slice(piece);
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b"0\r\n");
    for (name, value) in trailers {
        wire.extend_from_slice(format!("{name}:{value}\r\n").as_bytes());
    }
    wire.extend_from_slice(b"\r\n");
    wire
}

/// Signed chunks of at most `chunk` bytes; with `trailers`, their signature follows them.
pub fn signed(body: &[u8], chunk: usize, seed: &Seed, trailers: &[(&str, &str)]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(body.len() + 1024);
    let mut previous = seed.signature.clone();
    let pieces = body.chunks(chunk).chain(std::iter::once(&[][..]));
    for piece in pieces {
        previous = chunk_signature(seed, &previous, piece);
        wire.extend_from_slice(
            format!("{:x};chunk-signature={previous}\r\n", piece.len()).as_bytes(),
        );
        if !piece.is_empty() {
            wire.extend_from_slice(piece);
            wire.extend_from_slice(b"\r\n");
        }
    }
    if !trailers.is_empty() {
        let mut canonical = String::new();
        for (name, value) in trailers {
            canonical.push_str(&format!("{name}:{value}\n"));
            wire.extend_from_slice(format!("{name}:{value}\r\n").as_bytes());
        }
        let signature = trailer_signature(seed, &previous, &canonical);
        wire.extend_from_slice(format!("x-amz-trailer-signature:{signature}\r\n").as_bytes());
    }
    wire.extend_from_slice(b"\r\n");
    wire
}

/// A whole signed PUT in signed chunks.
pub fn signed_put(
    credentials: &Credentials,
    host: &str,
    path: &str,
    body: &[u8],
    chunk: usize,
) -> Request {
    let mut request = Request::new("PUT", path)
        .header("Host", host)
        .header("Content-Encoding", "aws-chunked")
        .header("x-amz-decoded-content-length", &body.len().to_string());
    let seed = Signer::new(credentials).sign_as(&mut request, SIGNED);
    request.body = signed(body, chunk, &seed, &[]);
    request
}

/// A whole signed PUT in unsigned chunks with one trailer checksum.
pub fn unsigned_put(
    credentials: &Credentials,
    host: &str,
    path: &str,
    body: &[u8],
    chunk: usize,
    trailer: (&str, &str),
) -> Request {
    let mut request = Request::new("PUT", path)
        .header("Host", host)
        .header("Content-Encoding", "aws-chunked")
        .header("x-amz-decoded-content-length", &body.len().to_string())
        .header("x-amz-trailer", trailer.0);
    Signer::new(credentials).sign_as(&mut request, UNSIGNED_TRAILER);
    request.body = unsigned(body, chunk, &[trailer]);
    request
}

fn chunk_signature(seed: &Seed, previous: &str, piece: &[u8]) -> String {
    let to_sign = format!(
        "AWS4-HMAC-SHA256-PAYLOAD\n{}\n{}\n{previous}\n{}\n{}",
        seed.date,
        seed.scope,
        sha256_hex(b""),
        sha256_hex(piece)
    );
    hex(&hmac_sha256(&seed.key, to_sign.as_bytes()))
}

fn trailer_signature(seed: &Seed, previous: &str, canonical: &str) -> String {
    let to_sign = format!(
        "AWS4-HMAC-SHA256-TRAILER\n{}\n{}\n{previous}\n{}",
        seed.date,
        seed.scope,
        sha256_hex(canonical.as_bytes())
    );
    hex(&hmac_sha256(&seed.key, to_sign.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    /// The PUT example of the AWS page: 65 KiB + 1 KiB of 'a', chunk signatures as published.
    #[test]
    fn published_chunks() {
        let signer = Signer {
            credentials: Credentials {
                access_key: "AKIAIOSFODNN7EXAMPLE".to_owned(),
                secret_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
            },
            region: "us-east-1".to_owned(),
            service: "s3".to_owned(),
            now: UNIX_EPOCH + Duration::from_secs(1_369_353_600),
        };
        let mut request = Request::new("PUT", "/examplebucket/chunkObject.txt")
            .header("Host", "s3.amazonaws.com")
            .header("x-amz-storage-class", "REDUCED_REDUNDANCY")
            .header("Content-Encoding", "aws-chunked")
            .header("x-amz-decoded-content-length", "66560")
            .header("Content-Length", "66824");
        let seed = signer.sign_as(&mut request, SIGNED);
        assert_eq!(
            seed.signature,
            "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
        );
        let wire = signed(&[b'a'; 66_560], 65_536, &seed, &[]);
        assert_eq!(wire.len(), 66_824);
        let text = String::from_utf8(wire).expect("ASCII");
        for published in [
            "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
            "400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
            "0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
        ] {
            assert!(text.contains(published), "{published} is missing");
        }
    }
}
