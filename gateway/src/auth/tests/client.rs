//! A signer of its own, written from AWS's description and not from the verifier: plain strings, no
//! buffers, and it takes canonical texts as given rather than making them.

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::request::Parts;
use sha2::{Digest as _, Sha256};

use super::{Verifier, head, table};

pub(super) const KEY: &str = "AKIDTEST";
pub(super) const SECRET: &str = "secret/with+signs";
pub(super) const NOW: u64 = 1_772_368_245;
pub(super) const DATE: &str = "20260301T123045Z";
pub(super) const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

pub(super) fn verifier() -> Verifier {
    Verifier::new(table(&[(KEY, SECRET)]), &["s3", "sts"])
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a test signs; change the fields to sign something unusual.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) key: &'static str,
    pub(super) secret: &'static str,
    pub(super) date: String,
    pub(super) scope_date: String,
    pub(super) region: &'static str,
    pub(super) service: &'static str,
    pub(super) terminal: &'static str,
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) headers: Vec<(&'static str, String)>,
    /// Headers that are sent and not signed.
    pub(super) unsigned: Vec<(&'static str, String)>,
    pub(super) payload: &'static str,
    pub(super) expires: &'static str,
}

impl Client {
    pub(super) fn new() -> Client {
        Client {
            key: KEY,
            secret: SECRET,
            date: DATE.into(),
            scope_date: DATE[..8].into(),
            region: "anywhere-1",
            service: "s3",
            terminal: "aws4_request",
            method: "GET",
            path: "/bucket/key",
            headers: vec![("host", "h:9000".into())],
            unsigned: Vec::new(),
            payload: EMPTY,
            expires: "600",
        }
    }

    fn scope(&self) -> String {
        format!("{}/{}/{}/{}", self.scope_date, self.region, self.service, self.terminal)
    }

    fn signature(
        &self,
        query: &str,
        headers: &[(&str, String)],
        list: &str,
        payload: &str,
    ) -> String {
        let lines: String =
            headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let canonical =
            format!("{}\n{}\n{query}\n{lines}\n{list}\n{payload}", self.method, self.path);
        let text = format!(
            "AWS4-HMAC-SHA256\n{}\n{}\n{}",
            self.date,
            self.scope(),
            hex(&Sha256::digest(canonical))
        );
        let mut key = format!("AWS4{}", self.secret).into_bytes();
        for part in [&self.scope_date[..], self.region, self.service, self.terminal] {
            key = hmac(&key, part);
        }
        hex(&hmac(&key, &text))
    }

    /// The request signed in its header.
    pub(super) fn by_header(&self) -> Parts {
        let mut headers = self.headers.clone();
        headers.push(("x-amz-content-sha256", self.payload.into()));
        headers.push(("x-amz-date", self.date.clone()));
        self.by_header_with(headers)
    }

    /// The request signed in its header, with exactly these headers.
    pub(super) fn by_header_with(&self, mut headers: Vec<(&'static str, String)>) -> Parts {
        headers.sort();
        let list: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let list = list.join(";");
        let signature = self.signature("", &headers, &list, self.payload);
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={list}, Signature={signature}",
            self.key,
            self.scope()
        );
        headers.push(("authorization", authorization));
        headers.extend(self.unsigned.clone());
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        head(self.method, self.path, &headers)
    }

    /// The URL of the request signed in its query; `more` are further parameters, encoded.
    pub(super) fn presign(&self, more: &str) -> String {
        let list: Vec<&str> = self.headers.iter().map(|(name, _)| *name).collect();
        let query = format!(
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}%2F{}&X-Amz-Date={}&X-Amz-Expires={}&X-Amz-SignedHeaders={}{more}",
            self.key,
            self.scope().replace('/', "%2F"),
            self.date,
            self.expires,
            list.join("%3B"),
        );
        let mut parameters: Vec<&str> = query.split('&').collect();
        parameters.sort_unstable();
        let query = parameters.join("&");
        let signature = self.signature(&query, &self.headers, &list.join(";"), self.payload);
        format!("{}?{query}&X-Amz-Signature={signature}", self.path)
    }

    /// The request signed in its query.
    pub(super) fn by_query(&self, more: &str) -> Parts {
        let headers: Vec<(&str, &str)> = self
            .headers
            .iter()
            .chain(&self.unsigned)
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        head(self.method, &self.presign(more), &headers)
    }

    pub(super) fn presigner() -> Client {
        Client { payload: "UNSIGNED-PAYLOAD", ..Client::new() }
    }
}
