//! Owns AWS Signature Version 4: the `Authorization` header and presigned URLs.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html> and
//! `…/sigv4-query-string-auth.html`. Signing costs two or three SHA-256 blocks and one HMAC per
//! request (the signing key is kept for its day), 2 to 3 µs; presigned URLs are made once.
//!
//! Not here: which requests are signed how (`endpoint.rs`).

use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use hex_simd::AsciiCase;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// SHA-256 of the empty body, in hexadecimal.
pub(crate) const EMPTY_SHA256: &str =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// The payload hash of a body that is not hashed.
pub(crate) const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";
/// The payload hash of an aws-chunked body that ends in a checksum trailer.
pub(crate) const UNSIGNED_TRAILER: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";

/// The keys of access.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
    pub(crate) session_token: Option<String>,
}

/// What is signed of a request.
pub(crate) struct ToSign<'a> {
    pub(crate) method: &'a str,
    /// The path as sent, percent-encoded.
    pub(crate) path: &'a str,
    /// Query parameters, not encoded.
    pub(crate) query: &'a [(&'a str, &'a str)],
    /// Headers to sign beside those of the signature itself: lower-case names. `host` is one.
    pub(crate) headers: &'a [(&'a str, &'a str)],
    /// `x-amz-content-sha256`.
    pub(crate) payload: &'a str,
}

/// Signs for one key, region and service.
pub(crate) struct Signer {
    credentials: Credentials,
    region: String,
    /// The signing key of a day; a new one once a day.
    key: Mutex<Option<(String, [u8; 32])>>,
}

impl Signer {
    /// A signer for S3 in `region`.
    pub(crate) fn new(credentials: Credentials, region: String) -> Signer {
        Signer { credentials, region, key: Mutex::new(None) }
    }

    /// The headers that authorize the request: `x-amz-date`, `x-amz-content-sha256`,
    /// `authorization` and, with temporary credentials, `x-amz-security-token`.
    pub(crate) fn headers(
        &self,
        request: &ToSign<'_>,
        now: SystemTime,
    ) -> Vec<(&'static str, String)> {
        self.headers_of_encoded(request, &canonical_query(request.query), now)
    }

    /// The same for a request whose query is encoded already and in canonical order; the one in
    /// `request` is not looked at.
    pub(crate) fn headers_of_encoded(
        &self,
        request: &ToSign<'_>,
        query: &str,
        now: SystemTime,
    ) -> Vec<(&'static str, String)> {
        let time = Timestamp::new(now);
        let token = self.credentials.session_token.as_deref();
        let mut headers = request.headers.to_vec();
        headers.push(("x-amz-content-sha256", request.payload));
        headers.push(("x-amz-date", &time.full));
        headers.extend(token.map(|token| ("x-amz-security-token", token)));
        headers.sort_unstable();
        let names = names_of(&headers);
        let signature = self.signature(&time, &canonical(request, query, &headers, &names));
        let scope = self.scope(&time);
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope},SignedHeaders={names},Signature={signature}",
            self.credentials.access_key
        );
        let mut signed = vec![
            ("x-amz-date", time.full),
            ("x-amz-content-sha256", request.payload.to_owned()),
            ("authorization", authorization),
        ];
        signed.extend(token.map(|token| ("x-amz-security-token", token.to_owned())));
        signed
    }

    /// The path and query that authorize the request for `seconds` from `now`.
    pub(crate) fn presign(&self, request: &ToSign<'_>, now: SystemTime, seconds: u64) -> String {
        let time = Timestamp::new(now);
        let mut headers = request.headers.to_vec();
        headers.sort_unstable();
        let names = names_of(&headers);
        let credential = format!("{}/{}", self.credentials.access_key, self.scope(&time));
        let seconds = seconds.to_string();
        let mut query = request.query.to_vec();
        query.extend([
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", &credential),
            ("X-Amz-Date", &time.full),
            ("X-Amz-Expires", &seconds),
            ("X-Amz-SignedHeaders", &names),
        ]);
        let token = self.credentials.session_token.as_deref();
        query.extend(token.map(|token| ("X-Amz-Security-Token", token)));
        let query = canonical_query(&query);
        let signature = self.signature(&time, &canonical(request, &query, &headers, &names));
        format!("{}?{query}&X-Amz-Signature={signature}", request.path)
    }

    fn scope(&self, time: &Timestamp) -> String {
        format!("{}/{}/s3/aws4_request", time.day(), self.region)
    }

    fn signature(&self, time: &Timestamp, canonical: &str) -> String {
        let hash = sha256_hex(canonical.as_bytes());
        let text = format!("AWS4-HMAC-SHA256\n{}\n{}\n{hash}", time.full, self.scope(time));
        hex(&hmac(&self.signing_key(time.day()), text.as_bytes()))
    }

    fn signing_key(&self, day: &str) -> [u8; 32] {
        // A panic while the lock is held leaves a whole entry or none: the value stays good.
        let mut cached = self.key.lock().unwrap_or_else(|poison| poison.into_inner());
        if let Some((cached_day, key)) = cached.as_ref()
            && cached_day == day
        {
            return *key;
        }
        let secret = format!("AWS4{}", self.credentials.secret_key);
        let mut key = hmac(secret.as_bytes(), day.as_bytes());
        for part in [self.region.as_str(), "s3", "aws4_request"] {
            key = hmac(&key, part.as_bytes());
        }
        *cached = Some((day.to_owned(), key));
        key
    }
}

/// A moment as S3 writes it, `20130524T000000Z`.
struct Timestamp {
    full: String,
}

impl Timestamp {
    fn new(time: SystemTime) -> Timestamp {
        let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let (year, month, day) = civil_date(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        Timestamp { full: format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z") }
    }

    fn day(&self) -> &str {
        &self.full[..8]
    }
}

/// Year, month and day of a number of days after 1970-01-01 (Howard Hinnant, "chrono-Compatible
/// Low-Level Date Algorithms", `civil_from_days`).
fn civil_date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468; // days since 0000-03-01
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153; // 0 is March
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

fn canonical(request: &ToSign<'_>, query: &str, headers: &[(&str, &str)], names: &str) -> String {
    let mut text = String::with_capacity(512);
    text.push_str(request.method);
    for part in [request.path, query] {
        text.push('\n');
        text.push_str(part);
    }
    text.push('\n');
    for (name, value) in headers {
        text.push_str(name);
        text.push(':');
        text.push_str(value.trim());
        text.push('\n');
    }
    for part in [names, request.payload] {
        text.push('\n');
        text.push_str(part);
    }
    text
}

fn names_of(headers: &[(&str, &str)]) -> String {
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    names.join(";")
}

/// The query in canonical form: encoded, then sorted by name and value. Also what is sent.
pub(crate) fn canonical_query(query: &[(&str, &str)]) -> String {
    let mut pairs: Vec<String> = query
        .iter()
        .map(|(name, value)| {
            let mut pair = String::with_capacity(name.len() + value.len() + 1);
            encode(name, &mut pair, false);
            pair.push('=');
            encode(value, &mut pair, false);
            pair
        })
        .collect();
    pairs.sort_unstable();
    pairs.join("&")
}

/// Appends `text` percent-encoded as S3 signs it: all but unreserved characters (RFC 3986) and,
/// in paths, `/`.
pub(crate) fn encode(text: &str, into: &mut String, keep_slash: bool) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                into.push(byte as char);
            }
            b'/' if keep_slash => into.push('/'),
            // Writing to a String cannot fail.
            _ => _ = write!(into, "%{byte:02X}"),
        }
    }
}

/// SHA-256 in hexadecimal.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    hex_simd::encode_to_string(bytes, AsciiCase::Lower)
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    // The published examples of "Authenticating Requests: Using the Authorization Header" and
    // "… Using Query Parameters": one key, one bucket, 2013-05-24 00:00:00 UTC.
    const HOST: (&str, &str) = ("host", "examplebucket.s3.amazonaws.com");

    fn signer() -> Signer {
        let credentials = Credentials {
            access_key: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
            session_token: None,
        };
        Signer::new(credentials, "us-east-1".to_owned())
    }

    fn then() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_369_353_600)
    }

    fn signature_of(request: &ToSign<'_>) -> String {
        let headers = signer().headers(request, then());
        let (_, value) = headers
            .iter()
            .find(|(name, _)| *name == "authorization")
            .expect("an authorization header");
        value.clone()
    }

    #[test]
    fn get_object_with_a_range() {
        let authorization = signature_of(&ToSign {
            method: "GET",
            path: "/test.txt",
            query: &[],
            headers: &[HOST, ("range", "bytes=0-9")],
            payload: EMPTY_SHA256,
        });
        assert_eq!(
            authorization,
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
             SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,\
             Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
    }

    #[test]
    fn put_object_with_a_hashed_payload() {
        let mut path = String::new();
        encode("/test$file.text", &mut path, true);
        let authorization = signature_of(&ToSign {
            method: "PUT",
            path: &path,
            query: &[],
            headers: &[
                HOST,
                ("date", "Fri, 24 May 2013 00:00:00 GMT"),
                ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ],
            payload: &sha256_hex(b"Welcome to Amazon S3."),
        });
        assert!(
            authorization.ends_with(
                "Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
            ),
            "{authorization}"
        );
    }

    #[test]
    fn query_parameters_with_and_without_values() {
        let lifecycle = signature_of(&ToSign {
            method: "GET",
            path: "/",
            query: &[("lifecycle", "")],
            headers: &[HOST],
            payload: EMPTY_SHA256,
        });
        assert!(
            lifecycle.ends_with(
                "Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"
            ),
            "{lifecycle}"
        );
        let list = signature_of(&ToSign {
            method: "GET",
            path: "/",
            query: &[("prefix", "J"), ("max-keys", "2")],
            headers: &[HOST],
            payload: EMPTY_SHA256,
        });
        assert!(
            list.ends_with(
                "Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
            ),
            "{list}"
        );
    }

    #[test]
    fn presigned_url() {
        let request = ToSign {
            method: "GET",
            path: "/test.txt",
            query: &[],
            headers: &[HOST],
            payload: UNSIGNED_PAYLOAD,
        };
        assert_eq!(
            signer().presign(&request, then(), 86_400),
            "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
             &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
             &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
        );
    }

    #[test]
    fn a_session_token_is_signed_and_sent() {
        let mut signer = signer();
        signer.credentials.session_token = Some("token/1".to_owned());
        let request = ToSign {
            method: "GET",
            path: "/",
            query: &[],
            headers: &[HOST],
            payload: EMPTY_SHA256,
        };
        let headers = signer.headers(&request, then());
        assert!(headers.contains(&("x-amz-security-token", "token/1".to_owned())));
        assert!(headers.iter().any(|(name, value)| *name == "authorization"
            && value.contains("host;x-amz-content-sha256;x-amz-date;x-amz-security-token")));
        let url = signer.presign(&request, then(), 60);
        assert!(url.contains("&X-Amz-Security-Token=token%2F1&"), "{url}");
    }

    #[test]
    fn dates() {
        let at = |seconds| Timestamp::new(UNIX_EPOCH + Duration::from_secs(seconds)).full;
        assert_eq!(at(0), "19700101T000000Z");
        assert_eq!(at(951_782_399), "20000228T235959Z");
        assert_eq!(at(951_782_400), "20000229T000000Z");
        assert_eq!(at(1_709_164_800), "20240229T000000Z");
        assert_eq!(at(4_107_542_400), "21000301T000000Z");
    }
}
