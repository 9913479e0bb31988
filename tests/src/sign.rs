//! Owns: Signature Version 4 as a client makes it: header and presigned form, and the chain that
//! signed chunks continue. Written from the AWS documentation "Authenticating Requests (AWS
//! Signature Version 4)", not from the server.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::content::{hex, sha256_hex};

/// An access key and its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Access key id.
    pub access_key: String,
    /// Secret access key.
    pub secret_key: String,
}

/// A request before it is put on the wire. Every part can be changed between signing and sending.
#[derive(Debug, Clone)]
pub struct Request {
    /// Method, upper case.
    pub method: String,
    /// Path, percent-encoded as it goes out.
    pub path: String,
    /// Query parameters, not encoded. An empty value is sent as `name=`.
    pub query: Vec<(String, String)>,
    /// Header fields in their order.
    pub headers: Vec<(String, String)>,
    /// Body as it goes out.
    pub body: Vec<u8>,
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: Vec::new(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Adds a query parameter.
    #[must_use]
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a header field.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body. `Content-Length` is added when the request is serialised.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Replaces a header field, or adds it.
    pub fn set(&mut self, name: &str, value: &str) {
        self.headers.retain(|(field, _)| !field.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    /// Path and query as the request line carries them.
    pub fn target(&self) -> String {
        if self.query.is_empty() {
            return self.path.clone();
        }
        let pairs: Vec<String> = self
            .query
            .iter()
            .map(|(name, value)| format!("{}={}", encode(name, true), encode(value, true)))
            .collect();
        format!("{}?{}", self.path, pairs.join("&"))
    }

    /// Head without body. `Content-Length` is that of the body unless a header says otherwise.
    pub fn head_bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target());
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let framed = self.headers.iter().any(|(name, _)| {
            name.eq_ignore_ascii_case("content-length")
                || name.eq_ignore_ascii_case("transfer-encoding")
        });
        let bodiless = matches!(self.method.as_str(), "GET" | "HEAD" | "DELETE");
        if !(framed || bodiless && self.body.is_empty()) {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// Head and body.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// What a signature was made of: signed chunks go on from here.
#[derive(Debug, Clone)]
pub struct Seed {
    /// Signature of the head, hexadecimal.
    pub signature: String,
    /// `YYYYMMDDTHHMMSSZ`.
    pub date: String,
    /// `YYYYMMDD/region/service/aws4_request`.
    pub scope: String,
    /// The derived signing key.
    pub key: Vec<u8>,
}

/// Who signs, when and for what. The defaults are right; tests change one thing at a time.
#[derive(Debug, Clone)]
pub struct Signer {
    /// The credentials.
    pub credentials: Credentials,
    /// The region in the scope.
    pub region: String,
    /// The service in the scope.
    pub service: String,
    /// The time of signing.
    pub now: SystemTime,
}

impl Signer {
    /// Signs for S3 in us-east-1, now.
    pub fn new(credentials: &Credentials) -> Self {
        Self {
            credentials: credentials.clone(),
            region: "us-east-1".to_owned(),
            service: "s3".to_owned(),
            now: SystemTime::now(),
        }
    }

    /// The same, some time ago.
    #[must_use]
    pub fn ago(mut self, age: Duration) -> Self {
        self.now -= age;
        self
    }

    /// The same, in the future.
    #[must_use]
    pub fn ahead(mut self, by: Duration) -> Self {
        self.now += by;
        self
    }

    /// Signs with an `Authorization` header. The payload hash is that of the body.
    pub fn sign(&self, request: &mut Request) -> Seed {
        let hash = sha256_hex(&request.body);
        self.sign_as(request, &hash)
    }

    /// Signs with an `Authorization` header and this value of `x-amz-content-sha256`. All headers
    /// present are signed, but for those that a proxy may change.
    pub fn sign_as(&self, request: &mut Request, payload: &str) -> Seed {
        let date = timestamp(self.now);
        request.set("x-amz-date", &date);
        request.set("x-amz-content-sha256", payload);
        let signed: Vec<String> = signed_names(&request.headers);
        let canonical = canonical_request(request, &signed, payload);
        let seed = self.seed(&date, &canonical);
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={}, Signature={}",
            self.credentials.access_key,
            seed.scope,
            signed.join(";"),
            seed.signature
        );
        request.set("Authorization", &authorization);
        seed
    }

    /// Signs in the query (presigned URL), payload unsigned.
    pub fn presign(&self, request: &mut Request, expires: Duration) {
        let date = timestamp(self.now);
        let signed = signed_names(&request.headers);
        let scope = self.scope(&date);
        for (name, value) in [
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256".to_owned()),
            ("X-Amz-Credential", format!("{}/{scope}", self.credentials.access_key)),
            ("X-Amz-Date", date.clone()),
            ("X-Amz-Expires", expires.as_secs().to_string()),
            ("X-Amz-SignedHeaders", signed.join(";")),
        ] {
            request.query.push((name.to_owned(), value));
        }
        let canonical = canonical_request(request, &signed, "UNSIGNED-PAYLOAD");
        let seed = self.seed(&date, &canonical);
        request.query.push(("X-Amz-Signature".to_owned(), seed.signature));
    }

    fn scope(&self, date: &str) -> String {
        format!("{}/{}/{}/aws4_request", &date[..8], self.region, self.service)
    }

    fn seed(&self, date: &str, canonical: &str) -> Seed {
        let scope = self.scope(date);
        let to_sign =
            format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", sha256_hex(canonical.as_bytes()));
        let mut key = format!("AWS4{}", self.credentials.secret_key).into_bytes();
        for part in [&date[..8], &self.region, &self.service, "aws4_request"] {
            key = hmac_sha256(&key, part.as_bytes());
        }
        let signature = hex(&hmac_sha256(&key, to_sign.as_bytes()));
        Seed { signature, date: date.to_owned(), scope, key }
    }
}

/// Keyed hash that all of the scheme is made of.
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

/// Percent-encodes as AWS's UriEncode does: unreserved characters stay, a slash only in paths.
pub fn encode(text: &str, slash: bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        let keep =
            byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (byte == b'/' && !slash);
        if keep {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// `YYYYMMDDTHHMMSSZ` of a time.
pub fn timestamp(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).expect("a time past 1970").as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days as i64);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// Days since 1970 to a date of the Gregorian calendar (Hinnant, "chrono-compatible algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn signed_names(headers: &[(String, String)]) -> Vec<String> {
    let unsigned = ["authorization", "connection", "expect", "transfer-encoding", "user-agent"];
    let mut names: Vec<String> = headers
        .iter()
        .map(|(name, _)| name.to_ascii_lowercase())
        .filter(|name| !unsigned.contains(&name.as_str()))
        .collect();
    names.sort();
    names.dedup();
    names
}

fn canonical_request(request: &Request, signed: &[String], payload: &str) -> String {
    let mut pairs: Vec<(String, String)> = request
        .query
        .iter()
        .map(|(name, value)| (encode(name, true), encode(value, true)))
        .collect();
    pairs.sort();
    let query: Vec<String> =
        pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut headers = String::new();
    for name in signed {
        let values: Vec<&str> = request
            .headers
            .iter()
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect();
        headers.push_str(&format!("{name}:{}\n", values.join(",")));
    }
    format!(
        "{}\n{}\n{}\n{headers}\n{}\n{payload}",
        request.method,
        request.path,
        query.join("&"),
        signed.join(";")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "GET Object" of "Examples: Signature Calculations" in the AWS documentation.
    #[test]
    fn published_vector() {
        let signer = Signer {
            credentials: Credentials {
                access_key: "AKIAIOSFODNN7EXAMPLE".to_owned(),
                secret_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
            },
            region: "us-east-1".to_owned(),
            service: "s3".to_owned(),
            now: UNIX_EPOCH + Duration::from_secs(1_369_353_600),
        };
        let mut request = Request::new("GET", "/test.txt")
            .header("Host", "examplebucket.s3.amazonaws.com")
            .header("Range", "bytes=0-9");
        let seed = signer.sign(&mut request);
        assert_eq!(seed.date, "20130524T000000Z");
        assert_eq!(
            seed.signature,
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
    }

    #[test]
    fn dates() {
        assert_eq!(timestamp(UNIX_EPOCH), "19700101T000000Z");
        assert_eq!(timestamp(UNIX_EPOCH + Duration::from_secs(951_782_399)), "20000228T235959Z");
        assert_eq!(timestamp(UNIX_EPOCH + Duration::from_secs(951_782_400)), "20000229T000000Z");
    }
}
