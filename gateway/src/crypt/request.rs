//! Owns what requests say of encryption: the headers of SSE-S3, SSE-KMS and SSE-C, checked against each other in the order
//! in which Amazon S3 has been seen to.
//!
//! Not here: which key is meant (`ring`), whether it is the right one (`mod`).

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName};
use md5::{Digest as _, Md5};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::chunk::KEY_BYTES;
use super::key::SealingKey;
use super::refused::Refused;
use crate::limits::ENCRYPTION_CONTEXT_BYTES_MAX;

/// `x-amz-server-side-encryption`
pub const METHOD: HeaderName = HeaderName::from_static("x-amz-server-side-encryption");
/// `x-amz-server-side-encryption-aws-kms-key-id`
pub const KMS_KEY: HeaderName =
    HeaderName::from_static("x-amz-server-side-encryption-aws-kms-key-id");
/// `x-amz-server-side-encryption-context`
pub const CONTEXT: HeaderName = HeaderName::from_static("x-amz-server-side-encryption-context");
/// `x-amz-server-side-encryption-bucket-key-enabled`
pub const BUCKET_KEY: HeaderName =
    HeaderName::from_static("x-amz-server-side-encryption-bucket-key-enabled");
/// `x-amz-server-side-encryption-customer-algorithm`
pub const CUSTOMER_ALGORITHM: HeaderName =
    HeaderName::from_static("x-amz-server-side-encryption-customer-algorithm");
/// `x-amz-server-side-encryption-customer-key-md5`
pub const CUSTOMER_MD5: HeaderName =
    HeaderName::from_static("x-amz-server-side-encryption-customer-key-md5");
const CUSTOMER_KEY: HeaderName =
    HeaderName::from_static("x-amz-server-side-encryption-customer-key");
const SOURCE_ALGORITHM: HeaderName =
    HeaderName::from_static("x-amz-copy-source-server-side-encryption-customer-algorithm");
const SOURCE_KEY: HeaderName =
    HeaderName::from_static("x-amz-copy-source-server-side-encryption-customer-key");
const SOURCE_MD5: HeaderName =
    HeaderName::from_static("x-amz-copy-source-server-side-encryption-customer-key-md5");

/// `x-amz-server-side-encryption: AES256`
pub const METHOD_S3: &str = "AES256";
/// `x-amz-server-side-encryption: aws:kms`
pub const METHOD_KMS: &str = "aws:kms";
const METHOD_DUAL: &str = "aws:kms:dsse";

/// A key that a client has sent, as its MD5 says that it was sent.
#[derive(Clone)]
pub struct CustomerKey {
    bytes: Zeroizing<Vec<u8>>,
    /// The MD5 in base64, which answers repeat.
    pub md5: Box<str>,
}

impl std::fmt::Debug for CustomerKey {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("CustomerKey(…)")
    }
}

impl CustomerKey {
    /// The key of the object that a request reads or writes.
    ///
    /// # Errors
    /// What is wrong with the headers.
    pub fn of(headers: &HeaderMap) -> Result<Option<Self>, Refused> {
        Self::read(headers, [&CUSTOMER_ALGORITHM, &CUSTOMER_KEY, &CUSTOMER_MD5])
    }

    /// The key of the object that a request copies.
    ///
    /// # Errors
    /// What is wrong with the headers.
    pub fn of_copy_source(headers: &HeaderMap) -> Result<Option<Self>, Refused> {
        Self::read(headers, [&SOURCE_ALGORITHM, &SOURCE_KEY, &SOURCE_MD5])
    }

    fn read(headers: &HeaderMap, names: [&HeaderName; 3]) -> Result<Option<Self>, Refused> {
        let [algorithm, key, md5] = names.map(|name| headers.get(name));
        if algorithm.is_none() && key.is_none() && md5.is_none() {
            return Ok(None);
        }
        let algorithm = algorithm.ok_or(Refused::NoAlgorithm)?;
        if algorithm != METHOD_S3 {
            return Err(if algorithm.is_empty() {
                Refused::NoAlgorithm
            } else {
                Refused::Algorithm
            });
        }
        let key = key.filter(|key| !key.is_empty()).ok_or(Refused::NoKey)?;
        let md5 = md5.filter(|md5| !md5.is_empty()).ok_or(Refused::NoMd5)?;
        let bytes = base64_simd::STANDARD.decode_to_vec(key.as_bytes());
        let bytes = Zeroizing::new(bytes.map_err(|_| Refused::KeyLength)?);
        let computed: [u8; 16] = Md5::digest(&*bytes).into();
        let sent = base64_simd::STANDARD.decode_to_vec(md5.as_bytes()).unwrap_or_default();
        if !bool::from(computed[..].ct_eq(&sent)) {
            return Err(Refused::WrongMd5);
        }
        let md5 = base64_simd::STANDARD.encode_to_string(computed).into();
        Ok(Some(Self { bytes, md5 }))
    }

    /// It, where it has the length of a key.
    pub fn key(&self) -> Option<SealingKey> {
        let bytes: [u8; KEY_BYTES] = self.bytes.as_slice().try_into().ok()?;
        Some(SealingKey::new(bytes))
    }
}

/// How a request wants its object encrypted.
#[derive(Debug)]
pub enum Wanted {
    /// SSE-S3.
    Master,
    /// SSE-KMS.
    Kms {
        /// The key's name; none for the default.
        key: Option<Box<str>>,
        /// The encryption context, sorted JSON; empty for none.
        context: Box<[u8]>,
        /// Whether the header says so.
        bucket_key: Option<bool>,
    },
    /// SSE-C.
    Customer(CustomerKey),
}

/// What a request that makes an object asks for.
///
/// # Errors
/// What is wrong with the headers.
pub fn wanted(headers: &HeaderMap) -> Result<Option<Wanted>, Refused> {
    let method = headers.get(&METHOD);
    let customer = [&CUSTOMER_ALGORITHM, &CUSTOMER_KEY, &CUSTOMER_MD5];
    if method.is_some() && customer.iter().any(|name| headers.contains_key(*name)) {
        return Err(Refused::Incompatible);
    }
    let of_kms = [&KMS_KEY, &CONTEXT].iter().any(|name| headers.contains_key(*name));
    let Some(method) = method else {
        if of_kms {
            return Err(Refused::KmsWithoutMethod);
        }
        return Ok(CustomerKey::of(headers)?.map(Wanted::Customer));
    };
    if method == METHOD_KMS {
        return Ok(Some(Wanted::Kms {
            key: text(headers, &KMS_KEY).map(Into::into),
            context: context(headers)?,
            bucket_key: bucket_key(headers)?,
        }));
    }
    if method == METHOD_S3 {
        return if of_kms { Err(Refused::KmsWithoutMethod) } else { Ok(Some(Wanted::Master)) };
    }
    Err(if method == METHOD_DUAL { Refused::Dual } else { Refused::Method })
}

/// Whether a request has headers that only those have that make an object.
pub fn says_how_to_encrypt(headers: &HeaderMap) -> bool {
    [&METHOD, &KMS_KEY, &CONTEXT, &BUCKET_KEY].iter().any(|name| headers.contains_key(*name))
}

/// Whether a request has any header of encryption.
pub fn asks(headers: &HeaderMap) -> bool {
    let customer = [&CUSTOMER_ALGORITHM, &CUSTOMER_KEY, &CUSTOMER_MD5];
    says_how_to_encrypt(headers) || customer.iter().any(|name| headers.contains_key(*name))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).filter(|text| !text.is_empty())
}

fn bucket_key(headers: &HeaderMap) -> Result<Option<bool>, Refused> {
    match text(headers, &BUCKET_KEY) {
        None => Ok(None),
        Some(text) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
        Some(text) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
        Some(_) => Err(Refused::BucketKey),
    }
}

fn context(headers: &HeaderMap) -> Result<Box<[u8]>, Refused> {
    let Some(value) = headers.get(&CONTEXT) else { return Ok(Box::default()) };
    let json = base64_simd::STANDARD.decode_to_vec(value.as_bytes());
    let json = json.map_err(|_| Refused::Context)?;
    let pairs: BTreeMap<String, String> =
        serde_json::from_slice(&json).map_err(|_| Refused::Context)?;
    let sorted = serde_json::to_vec(&pairs).map_err(|_| Refused::Context)?;
    if sorted.len() > ENCRYPTION_CONTEXT_BYTES_MAX {
        return Err(Refused::Context);
    }
    Ok(sorted.into())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use http::HeaderValue;

    /// Headers of a customer's key, those of a copy's source with `prefix` "copy-source-".
    pub(crate) fn customer_headers(prefix: &str, key: &[u8]) -> HeaderMap {
        let name = |suffix: &str| {
            let name = format!("x-amz-{prefix}server-side-encryption-customer-{suffix}");
            HeaderName::try_from(name).unwrap()
        };
        let md5: [u8; 16] = Md5::digest(key).into();
        let encoded = |bytes: &[u8]| base64_simd::STANDARD.encode_to_string(bytes);
        HeaderMap::from_iter([
            (name("algorithm"), HeaderValue::from_static("AES256")),
            (name("key"), HeaderValue::try_from(encoded(key)).unwrap()),
            (name("key-md5"), HeaderValue::try_from(encoded(&md5)).unwrap()),
        ])
    }

    fn with(mut headers: HeaderMap, pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        for (name, value) in pairs {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_customers_key_is_three_headers() {
        let key = [7; 32];
        let good = customer_headers("", &key);
        let read = CustomerKey::of(&good).unwrap().unwrap();
        assert_eq!(read.key().unwrap().reveal(), &key);
        assert_eq!(good[CUSTOMER_MD5], *read.md5);
        assert!(CustomerKey::of_copy_source(&good).unwrap().is_none());
        let source = customer_headers("copy-source-", &key);
        assert!(CustomerKey::of_copy_source(&source).unwrap().is_some());
        let without = |name: &HeaderName| {
            let mut headers = good.clone();
            headers.remove(name);
            CustomerKey::of(&headers)
        };
        assert!(matches!(without(&CUSTOMER_ALGORITHM), Err(Refused::NoAlgorithm)));
        assert!(matches!(without(&CUSTOMER_KEY), Err(Refused::NoKey)));
        assert!(matches!(without(&CUSTOMER_MD5), Err(Refused::NoMd5)));
        let changed = |name: &HeaderName, value| {
            CustomerKey::of(&with(good.clone(), &[(name.clone(), value)]))
        };
        assert!(matches!(changed(&CUSTOMER_ALGORITHM, "AES192"), Err(Refused::Algorithm)));
        assert!(matches!(changed(&CUSTOMER_ALGORITHM, ""), Err(Refused::NoAlgorithm)));
        assert!(matches!(changed(&CUSTOMER_KEY, ""), Err(Refused::NoKey)));
        assert!(matches!(changed(&CUSTOMER_KEY, "*"), Err(Refused::KeyLength)));
        let bad = "AAAAAAAAAAAAAAAAAAAAAA==";
        assert!(matches!(changed(&CUSTOMER_MD5, bad), Err(Refused::WrongMd5)));
        assert!(matches!(changed(&CUSTOMER_MD5, "*"), Err(Refused::WrongMd5)));
        let short = CustomerKey::of(&customer_headers("", b"short")).unwrap().unwrap();
        assert!(short.key().is_none(), "its MD5 is right: only its use tells what is wrong");
        assert_eq!(format!("{short:?}"), "CustomerKey(…)");
    }

    #[test]
    fn what_is_wanted_is_one_thing() {
        let none = HeaderMap::new;
        assert!(wanted(&none()).unwrap().is_none());
        let of = |pairs: &[(HeaderName, &'static str)]| wanted(&with(none(), pairs));
        assert!(matches!(of(&[(METHOD, "AES256")]), Ok(Some(Wanted::Master))));
        let kms = of(&[
            (METHOD, "aws:kms"),
            (KMS_KEY, "k"),
            (CONTEXT, "eyJiIjoiMiIsImEiOiIxIn0="),
            (BUCKET_KEY, "true"),
        ]);
        let Ok(Some(Wanted::Kms { key: Some(key), context, bucket_key: Some(true) })) = kms else {
            panic!("{kms:?}")
        };
        assert_eq!((&*key, &*context), ("k", &b"{\"a\":\"1\",\"b\":\"2\"}"[..]), "sorted");
        let bare = of(&[(METHOD, "aws:kms")]).unwrap();
        assert!(matches!(bare, Some(Wanted::Kms { key: None, bucket_key: None, .. })));
        let both = wanted(&with(customer_headers("", &[1; 32]), &[(METHOD, "AES256")]));
        assert!(matches!(both, Err(Refused::Incompatible)));
        for method in ["aes256", "aes:kms", "", "aws:fsx"] {
            assert!(matches!(of(&[(METHOD, method)]), Err(Refused::Method)), "{method}");
        }
        assert!(matches!(of(&[(METHOD, "aws:kms:dsse")]), Err(Refused::Dual)));
        assert!(matches!(of(&[(KMS_KEY, "k")]), Err(Refused::KmsWithoutMethod)));
        let s3 = of(&[(METHOD, "AES256"), (KMS_KEY, "k")]);
        assert!(matches!(s3, Err(Refused::KmsWithoutMethod)));
        for context in ["*", "e30", "W10=", "eyJhIjoxfQ=="] {
            let refused = of(&[(METHOD, "aws:kms"), (CONTEXT, context)]);
            assert!(matches!(refused, Err(Refused::Context)), "{context}");
        }
        let refused = of(&[(METHOD, "aws:kms"), (BUCKET_KEY, "maybe")]);
        assert!(matches!(refused, Err(Refused::BucketKey)));
    }
}
