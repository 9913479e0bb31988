//! POST Object: a browser's form becomes an object. Its policy says what the form may hold, and who signed the policy
//! is who puts the object; a form without one is anyone's, as far as the bucket lets anyone in.
//!
//! The fields become the headers that PutObject has for the same, and PutObject does the rest.
//!
//! Not here: reading the form (`form_reader`), what its policy says (`form_policy`).

use std::time::SystemTime;

use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, ETAG,
    EXPIRES, HOST, LOCATION,
};
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use s3s::dto::{PutObjectInput, PutObjectOutput, StreamingBlob, Tagging};
use s3s::{Body, HttpResponse, S3Request, S3Response};

use super::access::Entry;
use super::aside::Aside;
use super::attributes::METADATA_PREFIX;
use super::created::TAGGING;
use super::form_policy::Policy;
use super::form_reader::{Fields, Form};
use super::limits::PART_BYTES_MAX;
use super::names::check_key;
use super::operations::Operations;
use super::page::percent_encoded;
use super::put::put_object;
use super::refusal::{Outcome, Refusal};
use super::tags::Tags;
use crate::auth::{AuthError, Identity, PolicySignature, verify_policy};
use crate::body::checksum::Algorithm;
use crate::body::{Promised, TrailerSlot};
use crate::iam::Caller;
use crate::notify::event::EventKind;
use crate::record::AccountSlot;

/// Why a form does not become an object.
#[derive(Debug)]
pub enum FormRefusal {
    /// It cannot be read; says where it is not as RFC 7578 has it.
    Malformed(&'static str),
    /// More than 20 KiB come before the file.
    FieldsTooLong,
    /// It has no file.
    NoFile,
    /// It lacks a field; names it.
    NoField(&'static str),
    /// Its policy is none; says why.
    InvalidPolicy(String),
    /// It is not as its policy has it; says where.
    Denied(String),
    /// The file has more bytes than the policy allows.
    TooLarge {
        /// The file's.
        size: u64,
        /// The policy's.
        max: u64,
    },
    /// The file has fewer bytes than the policy allows.
    TooSmall {
        /// The file's.
        size: u64,
        /// The policy's.
        min: u64,
    },
    /// Its policy was not signed by who it says.
    Auth(AuthError),
    /// Forms are posted to buckets, and keys renamed.
    NotHere,
}

impl From<FormRefusal> for Refusal {
    fn from(refusal: FormRefusal) -> Self {
        Self::Form(refusal)
    }
}

/// Whether a request's body is a form.
pub(super) fn is_form(headers: &HeaderMap) -> bool {
    let form = b"multipart/form-data";
    let is_form =
        |value: &[u8]| value.get(..form.len()).is_some_and(|head| head.eq_ignore_ascii_case(form));
    headers.get_all(CONTENT_TYPE).iter().any(|value| is_form(value.as_bytes().trim_ascii_start()))
}

/// See the module.
///
/// # Errors
/// Those of [`FormRefusal`], AccessDenied, and PutObject's.
pub(super) async fn answer(
    operations: &Operations,
    mut parts: Parts,
    body: Body,
    bucket: String,
) -> Outcome<HttpResponse> {
    let now = SystemTime::now();
    let mut form = Form::read(&parts.headers, body).await?;
    expand(&mut form);
    let key = field(&form.fields, "key").ok_or(FormRefusal::NoField("key"))?.to_owned();
    check_key(&key)?;
    let policy = admit(operations, &mut parts.extensions, &form.fields, now)?;
    if let Some(policy) = &policy {
        policy.check(&form.fields, &bucket, now)?;
        policy.check_size(form.size)?;
    }
    if form.size > PART_BYTES_MAX {
        return Err(Refusal::EntityTooLarge { size: form.size, max: PART_BYTES_MAX });
    }
    let headers = headers_of(&form.fields)?;
    let entry = Entry {
        operation: "PostObject",
        bucket: Some(&bucket),
        key: Some(&key),
        uri: &parts.uri,
        headers: &headers,
    };
    operations.enter(&entry, &mut parts.extensions)?;
    let location = location(&parts.headers, &bucket, &key);
    let mut then = Then::of(&form.fields);
    let request = request(parts, headers, &form.fields, (&bucket, &key), form.size, form.file)?;
    let put = put_object(operations, request).await.map_err(|refusal| match refusal {
        // The file had another size than the form's length has told.
        Refusal::IncompleteBody | Refusal::Store(datapath::StoreError::SizeMismatch { .. }) => {
            let why = "the file is to be the last field, and the last delimiter to end with two hyphens and CRLF";
            FormRefusal::Malformed(why).into()
        }
        other => other,
    })?;
    then.written(&bucket, &key, &location, put)
}

fn field<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    fields.iter().find(|(given, _)| given == name).map(|(_, value)| &**value)
}

/// Puts the file's name where the fields say so: "all variables within the form are expanded before the policy is
/// validated".
fn expand(form: &mut Form) {
    for (name, value) in &mut form.fields {
        if name != "policy" && value.contains("${filename}") {
            *value = value.replace("${filename}", &form.file_name);
        }
    }
}

/// Finds out who posts, and their policy.
fn admit(
    operations: &Operations,
    extensions: &mut Extensions,
    fields: &Fields,
    now: SystemTime,
) -> Outcome<Option<Policy>> {
    let field = |name| field(fields, name);
    let needed = |name: &'static str, value: Option<&'static str>| {
        self::field(fields, name).ok_or(FormRefusal::NoField(value.unwrap_or(name)))
    };
    let is_v4 = field("x-amz-algorithm").is_some() || field("x-amz-signature").is_some();
    let is_v2 = field("awsaccesskeyid").is_some() || field("signature").is_some();
    if field("policy").is_none() && !is_v4 && !is_v2 {
        return Ok(None);
    }
    let text = needed("policy", None)?;
    let signature = if is_v4 {
        PolicySignature::V4 {
            algorithm: needed("x-amz-algorithm", None)?,
            credential: needed("x-amz-credential", None)?,
            date: needed("x-amz-date", None)?,
            signature: needed("x-amz-signature", None)?,
        }
    } else {
        PolicySignature::V2 {
            access_key: needed("awsaccesskeyid", Some("AWSAccessKeyId"))?,
            signature: needed("signature", None)?,
        }
    };
    let secrets = operations.settings().directory();
    let token = field("x-amz-security-token");
    let caller = verify_policy(secrets, text, signature, token, now).map_err(FormRefusal::Auth)?;
    let identity = Identity::from(&caller);
    if let (Identity::Key(key), Some(slot)) = (&identity, extensions.get::<AccountSlot>()) {
        // A form is verified once.
        let _ = slot.account().user.set(key.clone());
    }
    extensions.insert(identity);
    extensions.insert::<Caller>(caller);
    Ok(Some(Policy::parse(text)?))
}

/// The fields as headers of a put.
fn headers_of(fields: &Fields) -> Outcome<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let Some(header) = header_of(name) else { continue };
        let value = if header == TAGGING && name == "tagging" {
            tagging(value)?
        } else {
            HeaderValue::try_from(&**value).map_err(|_| {
                Refusal::InvalidArgument(format!("the field {header} holds what no header can"))
            })?
        };
        if header.as_str().starts_with(METADATA_PREFIX) {
            headers.append(header, value);
        } else {
            headers.insert(header, value);
        }
    }
    Ok(headers)
}

fn header_of(field: &str) -> Option<HeaderName> {
    const SIGNING: [&str; 6] = [
        "x-amz-algorithm",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-signature",
        "x-amz-security-token",
        "x-amz-content-sha256",
    ];
    let content = [
        CACHE_CONTROL,
        CONTENT_DISPOSITION,
        CONTENT_ENCODING,
        CONTENT_LANGUAGE,
        CONTENT_TYPE,
        EXPIRES,
        HeaderName::from_static("content-md5"),
    ];
    match field {
        "acl" => Some(HeaderName::from_static("x-amz-acl")),
        "tagging" => Some(TAGGING),
        _ if field.starts_with("x-amz-") && !SIGNING.contains(&field) => {
            HeaderName::try_from(field).ok()
        }
        _ => content.into_iter().find(|name| name == field),
    }
}

/// The document in the field `tagging`, as the header that says the same.
fn tagging(document: &str) -> Outcome<HeaderValue> {
    let mut reader = s3s::xml::Deserializer::new(document.as_bytes());
    let read = <Tagging as s3s::xml::Deserialize>::deserialize(&mut reader);
    let tagging = read.map_err(|_| Refusal::MalformedXml("the field tagging is no Tagging"))?;
    let tags = Tags::of_set(tagging.tag_set)?;
    let pairs = tags
        .iter()
        .map(|(key, value)| format!("{}={}", percent_encoded(key), percent_encoded(value)));
    let text = pairs.collect::<Vec<_>>().join("&");
    HeaderValue::try_from(text).map_err(|_| Refusal::Damaged("tags"))
}

/// The put that the form asks for.
fn request(
    mut parts: Parts,
    mut headers: HeaderMap,
    fields: &Fields,
    (bucket, key): (&str, &str),
    size: u64,
    file: super::form_reader::File,
) -> Outcome<S3Request<PutObjectInput>> {
    let promised = Promised::of_form(&headers).map_err(Refusal::Body)?;
    parts.extensions.insert(promised);
    parts.extensions.insert(TrailerSlot::default());
    parts.extensions.insert(EventKind::Post);
    let mut aside = HeaderMap::new();
    let is_aside =
        |name: &&HeaderName| *name == EXPIRES || name.as_str().starts_with(METADATA_PREFIX);
    let names: Vec<HeaderName> = headers.keys().filter(is_aside).cloned().collect();
    for name in names {
        for value in headers.get_all(&name) {
            aside.append(&name, value.clone());
        }
        headers.remove(&name);
    }
    Aside::give_back(&mut parts.extensions, aside);
    let mut input = PutObjectInput::builder();
    input.set_bucket(bucket.to_owned());
    input.set_key(key.to_owned());
    input.set_body(Some(StreamingBlob::new(file)));
    input.set_content_length(Some(i64::try_from(size).unwrap_or(i64::MAX)));
    input.set_acl(field(fields, "acl").map(|acl| acl.to_owned().into()));
    let input = input.build().map_err(|_| Refusal::Damaged("form"))?;
    Ok(S3Request {
        input,
        method: parts.method,
        uri: parts.uri,
        headers,
        extensions: parts.extensions,
        credentials: None,
        region: None,
        service: None,
        trailing_headers: None,
    })
}

fn location(headers: &HeaderMap, bucket: &str, key: &str) -> String {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    format!("http://{host}/{bucket}/{}", percent_encoded(key))
}

/// What the form wants answered.
struct Then {
    status: StatusCode,
    redirect: Option<String>,
}

impl Then {
    /// Of `success_action_redirect` (formerly `redirect`) and `success_action_status`; what is neither an address nor
    /// one of the statuses counts as not given.
    fn of(fields: &Fields) -> Self {
        let status = match field(fields, "success_action_status") {
            Some("200") => StatusCode::OK,
            Some("201") => StatusCode::CREATED,
            _ => StatusCode::NO_CONTENT,
        };
        let redirect =
            field(fields, "success_action_redirect").or_else(|| field(fields, "redirect"));
        let is_address = |text: &&str| text.starts_with("http://") || text.starts_with("https://");
        Self { status, redirect: redirect.filter(is_address).map(str::to_owned) }
    }

    fn written(
        &mut self,
        bucket: &str,
        key: &str,
        location: &str,
        put: S3Response<PutObjectOutput>,
    ) -> Outcome<HttpResponse> {
        let tag = put.output.e_tag.as_ref().map(|tag| tag.value().to_owned()).unwrap_or_default();
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        *response.headers_mut() = put.headers;
        let headers = response.headers_mut();
        let mut say = |name: HeaderName, text: Option<&str>| {
            if let Some(value) = text.and_then(|text| HeaderValue::try_from(text).ok()) {
                headers.insert(name, value);
            }
        };
        let encryption = put.output.server_side_encryption.as_ref().map(|it| it.as_str());
        let checksums = [
            (Algorithm::Crc32, &put.output.checksum_crc32),
            (Algorithm::Crc32c, &put.output.checksum_crc32c),
            (Algorithm::Crc64Nvme, &put.output.checksum_crc64nvme),
            (Algorithm::Sha1, &put.output.checksum_sha1),
            (Algorithm::Sha256, &put.output.checksum_sha256),
        ];
        for (algorithm, text) in checksums {
            say(HeaderName::from_static(algorithm.header()), text.as_deref());
        }
        say(ETAG, Some(&format!("\"{tag}\"")));
        say(LOCATION, Some(location));
        say(HeaderName::from_static("x-amz-version-id"), put.output.version_id.as_deref());
        say(HeaderName::from_static("x-amz-server-side-encryption"), encryption);
        if let Some(address) = self.redirect.take() {
            let mark = if address.contains('?') { '&' } else { '?' };
            let bucket = percent_encoded(bucket);
            let key = percent_encoded(key);
            let to = format!("{address}{mark}bucket={bucket}&key={key}&etag=%22{tag}%22");
            if let Ok(to) = HeaderValue::try_from(to) {
                headers.insert(LOCATION, to);
                *response.status_mut() = StatusCode::SEE_OTHER;
                return Ok(response);
            }
        }
        if self.status == StatusCode::CREATED {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
            *response.body_mut() = Body::from(document(bucket, key, location, &tag));
        }
        Ok(response)
    }
}

fn document(bucket: &str, key: &str, location: &str, tag: &str) -> String {
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<PostResponse><Location>{}</Location><Bucket>{}</Bucket>\
         <Key>{}</Key><ETag>\"{tag}\"</ETag></PostResponse>",
        escaped(location),
        escaped(bucket),
        escaped(key)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_seen_in_any_spelling() {
        let form = |text| HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(text))]);
        assert!(
            is_form(&form("multipart/form-data; boundary=x"))
                && is_form(&form(" Multipart/Form-Data"))
        );
        assert!(!is_form(&form("application/xml")) && !is_form(&HeaderMap::new()));
    }

    #[test]
    fn fields_become_headers() {
        let set = "<Tagging><TagSet><Tag><Key>a b</Key><Value>1+2</Value></Tag></TagSet></Tagging>";
        let fields = [
            ("acl", "public-read"),
            ("content-type", "text/plain"),
            ("x-amz-meta-a", "é"),
            ("x-amz-date", "now"),
            ("success_action_status", "200"),
            ("tagging", set),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let headers = headers_of(&fields).unwrap();
        assert_eq!(headers.len(), 4);
        assert_eq!(headers["x-amz-acl"], "public-read");
        assert_eq!(headers["x-amz-meta-a"].as_bytes(), "é".as_bytes());
        assert_eq!(headers["x-amz-tagging"], "a%20b=1%2B2");
        let bad = vec![("tagging".to_owned(), "<Tags/>".to_owned())];
        assert!(matches!(headers_of(&bad), Err(Refusal::MalformedXml(_))));
    }

    #[test]
    fn answers_are_as_the_form_wants_them() {
        let of = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let then = Then::of(&pairs.collect());
            (then.status.as_u16(), then.redirect)
        };
        assert_eq!(of(&[]), (204, None));
        assert_eq!(of(&[("success_action_status", "201")]), (201, None));
        assert_eq!(of(&[("success_action_status", "404")]), (204, None));
        assert_eq!(of(&[("redirect", "javascript:x")]).1, None);
        assert_eq!(
            of(&[("success_action_redirect", "http://a/b")]).1.as_deref(),
            Some("http://a/b")
        );
        assert!(document("b", "a&b", "l", "t").contains("<Key>a&amp;b</Key>"));
    }
}
