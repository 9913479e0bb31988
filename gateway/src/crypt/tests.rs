//! Keys and headers in every combination: what opens, what is answered to the rest.

use super::request::tests::customer_headers;
use super::*;

fn ring() -> Keys {
    let key = |kind| RingKey::new(kind, SealingKey::generate().unwrap());
    let kms = |name: &str| key(Kind::Kms(name.into()));
    Keys::of(vec![key(Kind::Master), kms("k1"), kms("k2"), kms(ring::KMS_DEFAULT)])
}

fn crypt() -> Crypt {
    Crypt::new(ring(), true, DECRYPTED_BYTES_MIN)
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&'static str, &str)| {
        (http::HeaderName::from_static(name), HeaderValue::try_from(*value).unwrap())
    };
    pairs.iter().map(pair).collect()
}

const METHOD: &str = "x-amz-server-side-encryption";
const KMS_KEY: &str = "x-amz-server-side-encryption-aws-kms-key-id";

fn begin(crypt: &Crypt, headers: &HeaderMap) -> Sealing {
    crypt.begin(headers, &BucketDefault::default(), false).unwrap().unwrap()
}

fn customer(key: &[u8]) -> Option<CustomerKey> {
    CustomerKey::of(&customer_headers("", key)).unwrap()
}

fn told(refused: Refused) -> String {
    let (code, status) = refused.code();
    format!("{} {code}: {refused}", status.as_u16())
}

/// The lines of S3's answers to reading with the wrong key, none, or one too many.
#[test]
fn wrong_keys_in_every_combination() {
    let crypt = crypt();
    let plain = Bytes::new();
    let master = begin(&crypt, &headers(&[(METHOD, "AES256")])).record(1);
    let kms = begin(&crypt, &headers(&[(METHOD, "aws:kms"), (KMS_KEY, "k1")])).record(1);
    let owned = begin(&crypt, &customer_headers("", &[1; 32])).record(1);
    let right: &[u8] = &[1; 32];
    let wrong: &[u8] = &[2; 32];
    let short: &[u8] = &[1; 16];
    const NEEDED: &str = "400 InvalidRequest: The object was stored using a form of Server Side Encryption. The \
                          correct parameters must be provided to retrieve the object.";
    const NOT_APPLICABLE: &str =
        "400 InvalidRequest: The encryption parameters are not applicable to this object.";
    const WRONG: &str = "403 AccessDenied: Requests specifying Server Side Encryption with Customer provided keys \
                         must provide the correct secret key.";
    const PART: &str = "400 InvalidRequest: The multipart upload initiate requested encryption. Subsequent part \
                        requests must include the appropriate encryption parameters.";
    const PART_KEY: &str = "400 InvalidRequest: The provided encryption parameters did not match the ones used \
                            originally.";
    for (name, stored, key, of_object, of_upload) in [
        ("plain", &plain, None, "ok", "ok"),
        ("plain", &plain, Some(right), NOT_APPLICABLE, PART),
        ("SSE-S3", &master, None, "ok", "ok"),
        ("SSE-S3", &master, Some(right), NOT_APPLICABLE, PART),
        ("SSE-KMS", &kms, None, "ok", "ok"),
        ("SSE-KMS", &kms, Some(right), NOT_APPLICABLE, PART),
        ("SSE-C", &owned, None, NEEDED, PART),
        ("SSE-C", &owned, Some(right), "ok", "ok"),
        ("SSE-C", &owned, Some(wrong), WRONG, PART_KEY),
        ("SSE-C", &owned, Some(short), WRONG, PART_KEY),
    ] {
        let key = key.and_then(customer);
        let said = |opened: Result<Option<Opened>, Refused>| {
            opened.map_or_else(told, |opened| {
                assert_eq!(opened.is_some(), !stored.is_empty());
                "ok".to_owned()
            })
        };
        let object = said(crypt.open(stored, key.clone(), false));
        assert_eq!(object, of_object, "{name}, {key:?}");
        assert_eq!(
            said(crypt.open_upload(stored, key.clone(), false)),
            of_upload,
            "{name}, {key:?}"
        );
    }
}

#[test]
fn a_bucket_decides_where_the_request_does_not() {
    let crypt = crypt();
    let with = |method| BucketDefault { method: Some(method) };
    let described = |asked: &HeaderMap, default: &BucketDefault| {
        let mut headers = HeaderMap::new();
        if let Some(sealing) = crypt.begin(asked, default, false).unwrap() {
            sealing.describe(&mut headers);
        }
        let text = |name: &str| headers.get(name).map_or("-", |it| it.to_str().unwrap()).to_owned();
        [METHOD, KMS_KEY, "x-amz-server-side-encryption-bucket-key-enabled"].map(text).join(" ")
    };
    let none = BucketDefault::default();
    let master = with(DefaultMethod::Master);
    let kms = |key: Option<&str>, bucket_key| {
        with(DefaultMethod::Kms { key: key.map(Into::into), bucket_key })
    };
    let nothing = HeaderMap::new();
    let aes = headers(&[(METHOD, "AES256")]);
    let bare = headers(&[(METHOD, "aws:kms")]);
    let named = headers(&[(METHOD, "aws:kms"), (KMS_KEY, "k2")]);
    let off = headers(&[
        (METHOD, "aws:kms"),
        ("x-amz-server-side-encryption-bucket-key-enabled", "false"),
    ]);
    for (asked, default, expected) in [
        (&nothing, &none, "- - -"),
        (&nothing, &master, "AES256 - -"),
        (&nothing, &kms(None, false), "aws:kms aws/s3 -"),
        (&nothing, &kms(Some("k1"), true), "aws:kms k1 true"),
        (&aes, &kms(Some("k1"), true), "AES256 - -"),
        (&bare, &none, "aws:kms aws/s3 -"),
        (&bare, &kms(Some("k1"), true), "aws:kms k1 true"),
        (&off, &kms(Some("k1"), true), "aws:kms k1 -"),
        (&named, &kms(Some("k1"), false), "aws:kms k2 -"),
        (&named, &master, "aws:kms k2 -"),
    ] {
        assert_eq!(described(asked, default), expected, "{asked:?} {default:?}");
    }
    let unknown = crypt.begin(&nothing, &kms(Some("k3"), false), false).unwrap_err();
    assert_eq!(told(unknown), "400 KMS.NotFoundException: Invalid keyId 'k3'");
}

#[test]
fn customers_keys_may_be_kept_out() {
    let owned = customer_headers("", &[1; 32]);
    let strict = Crypt::new(ring(), false, DECRYPTED_BYTES_MIN);
    let default = BucketDefault::default();
    assert!(matches!(strict.begin(&owned, &default, false), Err(Refused::Insecure)));
    let stored = strict.begin(&owned, &default, true).unwrap().unwrap().record(0);
    let key = || customer(&[1; 32]);
    assert!(matches!(strict.open(&stored, key(), false), Err(Refused::Insecure)));
    assert!(strict.open(&stored, key(), true).unwrap().is_some());
    let short = crypt().begin(&customer_headers("", b"short"), &default, true);
    assert!(matches!(short, Err(Refused::KeyLength)));
}

#[test]
fn a_customers_key_is_not_kept() {
    let key: [u8; 32] = std::array::from_fn(|at| 0xa0 ^ at as u8);
    let stored = begin(&crypt(), &customer_headers("", &key)).record(1);
    let md5: [u8; 16] = <md5::Md5 as md5::Digest>::digest(key).into();
    let has = |what: &[u8]| stored.windows(what.len()).any(|window| window == what);
    assert!(!has(&key[..8]) && !has(&md5[..8]));
}

#[test]
fn a_copy_under_another_key_keeps_its_content() {
    let crypt = crypt();
    let sealed = |sealing: &Sealing| {
        let mut chunk = b"content".to_vec();
        sealing.key.chunks().seal(0, true, &mut chunk).unwrap();
        chunk
    };
    let master = begin(&crypt, &headers(&[(METHOD, "AES256")]));
    let kms = begin(&crypt, &headers(&[(METHOD, "aws:kms"), (KMS_KEY, "k1")]));
    let owned = begin(&crypt, &customer_headers("", &[1; 32]));
    for (from, to) in [(&master, &kms), (&kms, &master), (&master, &master)] {
        let opened = crypt.open(&from.record(7), None, true).unwrap().unwrap();
        let record = to.resealed(&opened, crypt.keys()).unwrap().unwrap();
        assert_eq!((record.size, &record.scheme), (7, &to.record.scheme));
        let copy = crypt.open(&record.encode(), None, true).unwrap().unwrap();
        let mut plain = [0; 7];
        copy.key.chunks().open(0, true, &sealed(from), &mut plain).unwrap();
        assert_eq!(&plain, b"content");
    }
    let opened = crypt.open(&master.record(7), None, true).unwrap().unwrap();
    assert!(owned.resealed(&opened, crypt.keys()).unwrap().is_none(), "to a customer's key");
    let opened = crypt.open(&owned.record(7), customer(&[1; 32]), true).unwrap().unwrap();
    assert!(master.resealed(&opened, crypt.keys()).unwrap().is_none(), "from a customer's key");
}

#[test]
fn a_record_under_another_scheme_does_not_open() {
    let crypt = crypt();
    let stored = begin(&crypt, &headers(&[(METHOD, "aws:kms"), (KMS_KEY, "k1")])).record(1);
    let mut record = Record::decode(&stored).unwrap().unwrap();
    let Scheme::Kms { context, .. } = &mut record.scheme else { panic!() };
    *context = b"{\"another\":\"context\"}".as_slice().into();
    assert!(matches!(crypt.open(&record.encode(), None, true), Err(Refused::Damaged)));
}

#[test]
fn a_lost_key_is_the_servers_fault() {
    let stored = begin(&crypt(), &headers(&[(METHOD, "AES256")])).record(1);
    let refused = crypt().open(&stored, None, true).unwrap_err();
    assert!(told(refused).starts_with("500 InternalError"), "its ring has other keys");
    assert!(matches!(Crypt::without_keys().by_master(), Err(Refused::Keys(_))));
}
