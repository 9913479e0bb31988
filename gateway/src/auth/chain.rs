//! Owns: the chain of signatures through a chunked body: each chunk's signature signs the one
//! before it, starting at the request's own (the seed), ending at the trailer's.
//! Not here: chunk framing (`body::chunked`).
//! Source: AWS, "Signature calculations for the authorization header: transferring payload in
//! multiple chunks", and the page on trailing headers.

use subtle::ConstantTimeEq as _;

use super::key::SigningKey;
use super::payload::{EMPTY_SHA256, hex};

/// What is needed to check the next chunk's signature. It never holds chunk bytes.
#[derive(Debug, Clone)]
pub struct ChunkChain {
    key: SigningKey,
    timestamp: [u8; 16],
    scope: Box<str>,
    previous: [u8; 64],
}

impl ChunkChain {
    pub(super) fn new(
        key: SigningKey,
        timestamp: [u8; 16],
        scope: &str,
        seed: &[u8; 32],
    ) -> ChunkChain {
        ChunkChain { key, timestamp, scope: scope.into(), previous: hex(seed) }
    }

    /// Whether `signature` is that of a chunk whose data has the SHA-256 `data`; if so, the next
    /// signature is expected to continue from it.
    pub fn accept_chunk(&mut self, data: &[u8; 32], signature: &[u8; 32]) -> bool {
        let expected = self.key.sign(&[
            b"AWS4-HMAC-SHA256-PAYLOAD\n",
            &self.timestamp,
            b"\n",
            self.scope.as_bytes(),
            b"\n",
            &self.previous,
            b"\n",
            &hex(&EMPTY_SHA256),
            b"\n",
            &hex(data),
        ]);
        self.advance(&expected, signature)
    }

    /// The same for the trailer, whose canonical text (`name:value\n` each) has the SHA-256
    /// `trailer`.
    pub fn accept_trailer(&mut self, trailer: &[u8; 32], signature: &[u8; 32]) -> bool {
        let expected = self.key.sign(&[
            b"AWS4-HMAC-SHA256-TRAILER\n",
            &self.timestamp,
            b"\n",
            self.scope.as_bytes(),
            b"\n",
            &self.previous,
            b"\n",
            &hex(trailer),
        ]);
        self.advance(&expected, signature)
    }

    fn advance(&mut self, expected: &[u8; 32], signature: &[u8; 32]) -> bool {
        let equal = bool::from(expected.ct_eq(signature));
        if equal {
            self.previous = hex(expected);
        }
        equal
    }
}

#[cfg(test)]
pub(crate) mod signing {
    //! The client's half, for tests of the decoder.
    use super::*;

    impl ChunkChain {
        /// Signs the next chunk and moves on.
        pub(crate) fn sign_chunk(&mut self, data: &[u8; 32]) -> String {
            self.sign(
                b"AWS4-HMAC-SHA256-PAYLOAD\n",
                &[&hex(&EMPTY_SHA256)[..], b"\n", &hex(data)].concat(),
            )
        }

        /// Signs the trailer.
        pub(crate) fn sign_trailer(&mut self, trailer: &[u8; 32]) -> String {
            self.sign(b"AWS4-HMAC-SHA256-TRAILER\n", &hex(trailer))
        }

        fn sign(&mut self, kind: &[u8], rest: &[u8]) -> String {
            let pieces: [&[u8]; 8] = [
                kind,
                &self.timestamp,
                b"\n",
                self.scope.as_bytes(),
                b"\n",
                &self.previous,
                b"\n",
                rest,
            ];
            self.previous = hex(&self.key.sign(&pieces));
            String::from_utf8_lossy(&self.previous).into_owned()
        }

        /// A chain of AWS's example credentials with the given seed.
        pub(crate) fn example(seed: &str) -> ChunkChain {
            let secret = crate::auth::Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
            let scope = crate::auth::key::Scope {
                access_key: "AKIAIOSFODNN7EXAMPLE",
                date: "20130524",
                region: "us-east-1",
                service: "s3",
            };
            let seed = super::super::payload::parse_sha256(seed.as_bytes()).expect("64 digits");
            let key = SigningKey::derive(&secret, &scope);
            ChunkChain::new(key, *b"20130524T000000Z", "20130524/us-east-1/s3/aws4_request", &seed)
        }
    }
}
