//! Bucket settings as they lie in the store: the XML that their client sent, as s3s writes it, which is what the API
//! itself guarantees to stay readable.
//!
//! Not here: which settings there are and their cache (`settings`), what each of them means (its own file).

use bytes::Bytes;
use datapath::SettingKind;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use s3s::xml::{Deserialize, Deserializer, Serialize, Serializer};

use super::operations::Operations;
use super::refusal::{Outcome, Refusal};

impl Operations {
    /// Sets a setting of the bucket of a name, or removes it. Durable when this returns.
    ///
    /// # Errors
    /// NoSuchBucket, and what the store meets.
    pub(super) async fn keep_setting(
        &self,
        bucket: &str,
        kind: SettingKind,
        document: Option<Vec<u8>>,
    ) -> Outcome<()> {
        let bucket = self.bucket(bucket)?;
        let document = document.map(Bytes::from);
        Ok(self.lane().set_setting(bucket.id, kind, document).await?)
    }
}

/// A setting of a bucket: XML as s3s writes it.
///
/// # Errors
/// Damaged, for what cannot be written; s3s's types always can.
pub(super) fn encode<T: Serialize>(setting: &T) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::with_capacity(512);
    setting
        .serialize(&mut Serializer::new(&mut bytes))
        .map_err(|_| Refusal::Damaged("a bucket's setting that has no XML"))?;
    Ok(bytes)
}

/// A setting's document as it was kept; `what` names it for the operator.
///
/// # Errors
/// Damaged.
pub(super) fn decode<T: for<'xml> Deserialize<'xml>>(
    bytes: &[u8],
    what: &'static str,
) -> Outcome<T> {
    let mut reader = Deserializer::new(bytes);
    let setting = T::deserialize(&mut reader).map_err(|_| Refusal::Damaged(what))?;
    reader.expect_eof().map_err(|_| Refusal::Damaged(what))?;
    Ok(setting)
}

/// Refuses a document larger than its setting may be. The door has checked that the header tells the truth.
///
/// # Errors
/// DocumentTooLarge.
pub(super) fn check_size(headers: &HeaderMap, max: usize) -> Outcome<()> {
    let length: Option<usize> =
        headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    match length {
        Some(size) if size > max => Err(Refusal::DocumentTooLarge),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use s3s::dto::{CORSConfiguration, CORSRule};

    #[test]
    fn a_setting_comes_back_as_it_was_kept() {
        let rule = CORSRule {
            allowed_headers: None,
            allowed_methods: vec!["GET".into()],
            allowed_origins: vec!["http://<&>".into()],
            expose_headers: Some(vec!["x-amz-é".into()]),
            id: Some("é".into()),
            max_age_seconds: Some(3),
        };
        let kept = CORSConfiguration { cors_rules: vec![rule] };
        let bytes = encode(&kept).unwrap();
        assert_eq!(decode::<CORSConfiguration>(&bytes, "cors").unwrap(), kept);
        for damaged in [&bytes[..bytes.len() - 1], b"", b"<A/>"] {
            let refused = decode::<CORSConfiguration>(damaged, "cors");
            assert!(matches!(refused, Err(Refusal::Damaged("cors"))));
        }
    }

    #[test]
    fn a_document_has_its_bound() {
        let of = |length: &'static str| {
            HeaderMap::from_iter([(CONTENT_LENGTH, http::HeaderValue::from_static(length))])
        };
        assert!(check_size(&of("64"), 64).is_ok() && check_size(&HeaderMap::new(), 64).is_ok());
        assert!(matches!(check_size(&of("65"), 64), Err(Refusal::DocumentTooLarge)));
    }
}
