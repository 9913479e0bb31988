//! CORS: the rules of a bucket, which origins' scripts may do what, and what a browser is told of them. Amazon S3 user
//! guide, "Using cross-origin resource sharing"; the Fetch standard, "CORS protocol".
//!
//! Rules are tried in their order; the first that has the origin, the method and all headers that are asked for counts.
//! Limits: `CORS_RULES_MAX`, `CORS_DOCUMENT_BYTES_MAX`.
//! Not here: where the headers are added and preflights are routed (`crate::door`).

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderValue, ORIGIN, VARY,
};
use http::{HeaderMap, Method};
use s3s::dto::{
    CORSConfiguration, CORSRule, DeleteBucketCorsInput, DeleteBucketCorsOutput, GetBucketCorsInput,
    GetBucketCorsOutput, PutBucketCorsInput, PutBucketCorsOutput,
};
use s3s::{S3Request, S3Response};

use super::kept;
use super::limits::{CORS_DOCUMENT_BYTES_MAX, CORS_RULES_MAX, SETTING_ID_CHARS_MAX};
use super::operations::Operations;
use super::refusal::{Outcome, Refusal};
use super::settings::kind;

/// The methods that a rule may name.
const METHODS: [&str; 5] = ["GET", "PUT", "POST", "DELETE", "HEAD"];

/// The rules of a bucket, as they are matched.
#[derive(Debug)]
pub struct Cors {
    configuration: CORSConfiguration,
}

/// What the script of another origin asks for.
#[derive(Debug, Clone)]
pub struct CrossOrigin {
    origin: HeaderValue,
    method: HeaderValue,
    headers: Option<HeaderValue>,
}

/// What a bucket says to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OriginVerdict {
    /// There is no such bucket.
    NoBucket,
    /// The bucket has no rules.
    NoRules,
    /// No rule allows it.
    Refused,
    /// A rule does.
    Allowed,
}

impl CrossOrigin {
    /// What a request asks for; nothing without `Origin`. The method is the one that is announced, else the request's.
    pub fn of(method: &Method, headers: &HeaderMap) -> Option<CrossOrigin> {
        let origin = headers.get(ORIGIN)?.clone();
        let method = match headers.get(ACCESS_CONTROL_REQUEST_METHOD) {
            Some(announced) => announced.clone(),
            None => HeaderValue::from_str(method.as_str()).ok()?,
        };
        let headers = headers.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        Some(CrossOrigin { origin, method, headers })
    }

    /// The method, where it is text.
    pub fn method(&self) -> Option<&str> {
        self.method.to_str().ok()
    }

    /// Whether the method is one that a rule can allow.
    pub fn names_method(&self) -> bool {
        self.method().is_some_and(|method| METHODS.contains(&method))
    }

    /// The headers that are asked for, without the empty ones; none where they are no text.
    fn headers(&self) -> Option<Vec<&str>> {
        let text = self.headers.as_ref().map_or(Ok(""), HeaderValue::to_str).ok()?;
        Some(text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect())
    }
}

impl Cors {
    /// The rules as they are kept.
    ///
    /// # Errors
    /// Damaged.
    pub(super) fn decode(bytes: &[u8]) -> Outcome<Cors> {
        Ok(Cors { configuration: kept::decode(bytes, "a bucket's CORS configuration")? })
    }

    /// Adds what a browser is to know to the headers of an answer. Says whether a rule allows what is asked; an answer
    /// that depends on the origin says so to caches in either case.
    pub fn write(&self, asked: &CrossOrigin, answer: &mut HeaderMap) -> bool {
        const VARIES: HeaderValue = HeaderValue::from_static(
            "Origin, Access-Control-Request-Headers, Access-Control-Request-Method",
        );
        answer.append(VARY, VARIES);
        let Some((rule, headers)) = self.rule(asked) else {
            return false;
        };
        if rule.allowed_origins.iter().any(|origin| origin == "*") {
            answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        } else {
            answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, asked.origin.clone());
            answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        let mut list = |name, values: &str| {
            // What was put has been checked to be text of headers.
            if let (false, Ok(value)) = (values.is_empty(), HeaderValue::from_str(values)) {
                answer.insert(name, value);
            }
        };
        list(ACCESS_CONTROL_ALLOW_METHODS, &rule.allowed_methods.join(", "));
        list(ACCESS_CONTROL_ALLOW_HEADERS, &headers.join(", ").to_ascii_lowercase());
        list(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            &rule.expose_headers.iter().flatten().fold(String::new(), |all, name| {
                if all.is_empty() { name.clone() } else { all + ", " + name }
            }),
        );
        if let Some(seconds) = rule.max_age_seconds {
            answer.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(seconds));
        }
        true
    }

    /// The first rule that allows what is asked, and the headers that are.
    fn rule<'a>(&self, asked: &'a CrossOrigin) -> Option<(&CORSRule, Vec<&'a str>)> {
        let (origin, method) = (asked.origin.to_str().ok()?, asked.method()?);
        let headers = asked.headers()?;
        let allows = |rule: &&CORSRule| {
            rule.allowed_origins.iter().any(|pattern| matches(pattern, origin, |a, b| a == b))
                && rule.allowed_methods.iter().any(|allowed| allowed == method)
                && headers.iter().all(|header| allows_header(rule, header))
        };
        Some((self.configuration.cors_rules.iter().find(allows)?, headers))
    }
}

fn allows_header(rule: &CORSRule, header: &str) -> bool {
    let mut allowed = rule.allowed_headers.iter().flatten();
    allowed.any(|pattern| matches(pattern, header, |a, b| a.eq_ignore_ascii_case(b)))
}

/// Whether the text is that of a pattern, in which one `*` stands for any characters, also none.
fn matches(pattern: &str, text: &str, same: impl Fn(&[u8], &[u8]) -> bool) -> bool {
    let text = text.as_bytes();
    match pattern.split_once('*') {
        None => same(pattern.as_bytes(), text),
        Some((before, after)) => {
            text.len() >= before.len() + after.len()
                && same(before.as_bytes(), &text[..before.len()])
                && same(after.as_bytes(), &text[text.len() - after.len()..])
        }
    }
}

/// PutBucketCors.
pub(super) async fn put(
    operations: &Operations,
    request: S3Request<PutBucketCorsInput>,
) -> Outcome<S3Response<PutBucketCorsOutput>> {
    kept::check_size(&request.headers, CORS_DOCUMENT_BYTES_MAX)?;
    let input = request.input;
    check(&input.cors_configuration)?;
    let document = kept::encode(&input.cors_configuration)?;
    operations.keep_setting(&input.bucket, kind::CORS, Some(document)).await?;
    Ok(S3Response::new(PutBucketCorsOutput::default()))
}

/// GetBucketCors.
pub(super) async fn get(
    operations: &Operations,
    request: S3Request<GetBucketCorsInput>,
) -> Outcome<S3Response<GetBucketCorsOutput>> {
    let bucket = operations.bucket(&request.input.bucket)?;
    let kept = operations.lane().setting(bucket.id, kind::CORS)?;
    let cors = Cors::decode(&kept.ok_or(Refusal::NoSuchSetting {
        code: "NoSuchCORSConfiguration",
        message: "The CORS configuration does not exist",
    })?)?;
    let rules = Some(cors.configuration.cors_rules);
    Ok(S3Response::new(GetBucketCorsOutput { cors_rules: rules }))
}

/// DeleteBucketCors: what is not there is gone.
pub(super) async fn delete(
    operations: &Operations,
    request: S3Request<DeleteBucketCorsInput>,
) -> Outcome<S3Response<DeleteBucketCorsOutput>> {
    operations.keep_setting(&request.input.bucket, kind::CORS, None).await?;
    Ok(S3Response::new(DeleteBucketCorsOutput::default()))
}

/// What Amazon S3 finds fault with.
fn check(configuration: &CORSConfiguration) -> Outcome<()> {
    let rules = &configuration.cors_rules;
    if rules.is_empty() || rules.len() > CORS_RULES_MAX {
        return Err(Refusal::MalformedXml("a CORS configuration has 1 to 100 rules"));
    }
    rules.iter().try_for_each(check_rule)
}

fn check_rule(rule: &CORSRule) -> Outcome<()> {
    if rule.id.as_ref().is_some_and(|id| id.chars().count() > SETTING_ID_CHARS_MAX) {
        return invalid("The ID of a CORS rule has at most 255 characters.".to_owned());
    }
    if rule.allowed_methods.is_empty() || rule.allowed_origins.is_empty() {
        return Err(Refusal::MalformedXml("a CORS rule has an AllowedMethod and an AllowedOrigin"));
    }
    let unknown = |method: &&String| !METHODS.contains(&method.as_str());
    if let Some(method) = rule.allowed_methods.iter().find(unknown) {
        return invalid(format!(
            "Found unsupported HTTP method in CORS config. Unsupported method is {}",
            short(method)
        ));
    }
    let patterns = [
        ("AllowedOrigin", rule.allowed_origins.iter()),
        ("AllowedHeader", rule.allowed_headers.as_deref().unwrap_or_default().iter()),
    ];
    for (name, values) in patterns {
        for value in values {
            if value.matches('*').count() > 1 {
                let value = short(value);
                return invalid(format!("{name} \"{value}\" can not have more than one wildcard."));
            }
        }
    }
    for value in rule.expose_headers.iter().flatten() {
        if value.contains('*') {
            return invalid(format!(
                "ExposeHeader \"{}\" contains wildcard. We currently do not support wildcard for ExposeHeader.",
                short(value)
            ));
        }
        if HeaderValue::from_str(value).is_err() {
            return invalid(format!("ExposeHeader \"{}\" is no header's name.", short(value)));
        }
    }
    if rule.max_age_seconds.is_some_and(|seconds| seconds < 0) {
        return Err(Refusal::MalformedXml("MaxAgeSeconds is not negative"));
    }
    Ok(())
}

fn invalid(why: String) -> Outcome<()> {
    Err(Refusal::InvalidRequest(why))
}

/// What of a client's text is told back.
pub(super) fn short(text: &str) -> String {
    text.chars().take(128).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(origins: &[&str], methods: &[&str], headers: &[&str]) -> CORSRule {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        CORSRule {
            allowed_headers: (!headers.is_empty()).then(|| owned(headers)),
            allowed_methods: owned(methods),
            allowed_origins: owned(origins),
            expose_headers: None,
            id: None,
            max_age_seconds: None,
        }
    }

    fn cors(rules: Vec<CORSRule>) -> Cors {
        Cors { configuration: CORSConfiguration { cors_rules: rules } }
    }

    fn asked(method: &str, origin: &str, announced: &str, headers: &str) -> CrossOrigin {
        let mut map = HeaderMap::new();
        map.insert(ORIGIN, origin.parse().unwrap());
        if !announced.is_empty() {
            map.insert(ACCESS_CONTROL_REQUEST_METHOD, announced.parse().unwrap());
        }
        if !headers.is_empty() {
            map.insert(ACCESS_CONTROL_REQUEST_HEADERS, headers.parse().unwrap());
        }
        CrossOrigin::of(&method.parse().unwrap(), &map).unwrap()
    }

    fn told(cors: &Cors, asked: &CrossOrigin) -> Option<HeaderMap> {
        let mut headers = HeaderMap::new();
        let allowed = cors.write(asked, &mut headers);
        assert!(headers.contains_key(VARY));
        assert_eq!(allowed, headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
        allowed.then_some(headers)
    }

    #[test]
    fn origins_match_with_one_wildcard_and_by_case() {
        for (pattern, origin, expected) in [
            ("*", "anything", true),
            ("*suffix", "foo.suffix", true),
            ("*suffix", "foo.suffix.get", false),
            ("start*end", "startend", true),
            ("start*end", "start1end", true),
            ("start*end", "0start12end", false),
            ("start*end", "starend", false),
            ("prefix*", "prefix.suffix", true),
            ("prefix*", "bla.prefix", false),
            ("http://a.example", "http://a.example", true),
            ("http://a.example", "http://A.example", false),
            ("http://a.example", "https://a.example", false),
            ("aa*aa", "aaa", false),
        ] {
            let rules = cors(vec![rule(&[pattern], &["GET"], &[])]);
            let found = told(&rules, &asked("GET", origin, "", "")).is_some();
            assert_eq!(found, expected, "{pattern} {origin}");
        }
    }

    #[test]
    fn the_first_rule_that_allows_everything_counts() {
        let mut second = rule(&["*"], &["GET", "PUT"], &["x-amz-*", "Content-Type"]);
        second.max_age_seconds = Some(60);
        second.expose_headers = Some(vec!["ETag".into(), "x-amz-request-id".into()]);
        let rules = cors(vec![rule(&["http://a"], &["GET"], &[]), second]);
        let first = told(&rules, &asked("GET", "http://a", "", "")).unwrap();
        assert_eq!(first[ACCESS_CONTROL_ALLOW_ORIGIN], "http://a");
        assert_eq!(first[ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
        assert_eq!(first[ACCESS_CONTROL_ALLOW_METHODS], "GET");
        assert!(!first.contains_key(ACCESS_CONTROL_MAX_AGE));
        let other = asked("OPTIONS", "http://a", "PUT", "X-Amz-Date, content-type,");
        let other = told(&rules, &other).unwrap();
        assert_eq!(other[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert!(!other.contains_key(ACCESS_CONTROL_ALLOW_CREDENTIALS));
        assert_eq!(other[ACCESS_CONTROL_ALLOW_METHODS], "GET, PUT");
        assert_eq!(other[ACCESS_CONTROL_ALLOW_HEADERS], "x-amz-date, content-type");
        assert_eq!(other[ACCESS_CONTROL_EXPOSE_HEADERS], "ETag, x-amz-request-id");
        assert_eq!(other[ACCESS_CONTROL_MAX_AGE], "60");
        assert!(told(&rules, &asked("OPTIONS", "http://a", "PUT", "range")).is_none());
        assert!(told(&rules, &asked("OPTIONS", "http://a", "DELETE", "")).is_none());
    }

    #[test]
    fn the_announced_method_counts() {
        let rules = cors(vec![rule(&["*"], &["GET"], &[])]);
        assert!(told(&rules, &asked("PUT", "o", "GET", "")).is_some());
        assert!(told(&rules, &asked("GET", "o", "PUT", "")).is_none());
        assert!(CrossOrigin::of(&Method::GET, &HeaderMap::new()).is_none());
        assert!(!asked("OPTIONS", "o", "", "").names_method());
        assert!(!asked("OPTIONS", "o", "get", "").names_method());
        assert!(asked("OPTIONS", "o", "HEAD", "").names_method());
    }

    #[test]
    fn mistakes_have_s3s_answers() {
        let good = || rule(&["http://*.example"], &["GET"], &["x-*"]);
        let check_rules = |rules| check(&CORSConfiguration { cors_rules: rules });
        assert!(check_rules(vec![good()]).is_ok());
        assert!(check_rules((0..100).map(|_| good()).collect()).is_ok());
        for rules in [
            Vec::new(),
            (0..101).map(|_| good()).collect(),
            vec![rule(&[], &["GET"], &[])],
            vec![rule(&["*"], &[], &[])],
            vec![CORSRule { max_age_seconds: Some(-1), ..good() }],
        ] {
            assert!(matches!(check_rules(rules), Err(Refusal::MalformedXml(_))));
        }
        for rule in [
            rule(&["*"], &["OPTIONS"], &[]),
            rule(&["*"], &["get"], &[]),
            rule(&["*a*"], &["GET"], &[]),
            rule(&["*"], &["GET"], &["**"]),
            CORSRule { expose_headers: Some(vec!["x-*".into()]), ..good() },
            CORSRule { id: Some("i".repeat(256)), ..good() },
        ] {
            assert!(matches!(check_rules(vec![rule]), Err(Refusal::InvalidRequest(_))));
        }
    }
}
