//! PutBucketEncryption, GetBucketEncryption, DeleteBucketEncryption: how objects are encrypted whose requests do not say.
//!
//! Not here: the encryption (`crate::crypt`).

use s3s::dto::{
    DeleteBucketEncryptionInput, DeleteBucketEncryptionOutput, GetBucketEncryptionInput,
    GetBucketEncryptionOutput, PutBucketEncryptionInput, PutBucketEncryptionOutput,
    ServerSideEncryption, ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration,
};
use s3s::{S3Request, S3Response};

use super::kept;
use super::operations::Operations;
use super::refusal::{Outcome, Refusal};
use super::settings::kind;

/// How a bucket's objects are encrypted by default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DefaultEncryption {
    /// By a key of the server's: SSE-S3.
    Server,
    /// By a key of the key ring: SSE-KMS.
    Kms {
        /// Its id or ARN; none for the ring's default.
        key: Option<Box<str>>,
        /// Whether the bucket's objects share a data key.
        bucket_key: bool,
    },
}

impl DefaultEncryption {
    /// The setting as it is kept.
    ///
    /// # Errors
    /// Damaged.
    pub(super) fn decode(bytes: &[u8]) -> Outcome<DefaultEncryption> {
        const WHAT: &str = "a bucket's default encryption";
        let configuration: ServerSideEncryptionConfiguration = kept::decode(bytes, WHAT)?;
        let rule = configuration.rules.into_iter().next().ok_or(Refusal::Damaged(WHAT))?;
        let default = rule.apply_server_side_encryption_by_default.ok_or(Refusal::Damaged(WHAT))?;
        match default.sse_algorithm.as_str() {
            ServerSideEncryption::AES256 => Ok(DefaultEncryption::Server),
            ServerSideEncryption::AWS_KMS => Ok(DefaultEncryption::Kms {
                key: default.kms_master_key_id.map(Into::into),
                bucket_key: rule.bucket_key_enabled.unwrap_or(false),
            }),
            _ => Err(Refusal::Damaged(WHAT)),
        }
    }
}

/// PutBucketEncryption.
pub(super) async fn put(
    operations: &Operations,
    request: S3Request<PutBucketEncryptionInput>,
) -> Outcome<S3Response<PutBucketEncryptionOutput>> {
    let input = request.input;
    check(&input.server_side_encryption_configuration)?;
    let document = kept::encode(&input.server_side_encryption_configuration)?;
    operations.keep_setting(&input.bucket, kind::ENCRYPTION, Some(document)).await?;
    Ok(S3Response::new(PutBucketEncryptionOutput::default()))
}

/// GetBucketEncryption.
pub(super) async fn get(
    operations: &Operations,
    request: S3Request<GetBucketEncryptionInput>,
) -> Outcome<S3Response<GetBucketEncryptionOutput>> {
    let bucket = operations.bucket(&request.input.bucket)?;
    let kept = operations.lane().setting(bucket.id, kind::ENCRYPTION)?;
    let kept = kept.ok_or(Refusal::NoSuchSetting {
        code: "ServerSideEncryptionConfigurationNotFoundError",
        message: "The server side encryption configuration was not found",
    })?;
    let configuration = kept::decode(&kept, "a bucket's default encryption")?;
    Ok(S3Response::new(GetBucketEncryptionOutput {
        server_side_encryption_configuration: Some(configuration),
    }))
}

/// DeleteBucketEncryption: what is not there is gone.
pub(super) async fn delete(
    operations: &Operations,
    request: S3Request<DeleteBucketEncryptionInput>,
) -> Outcome<S3Response<DeleteBucketEncryptionOutput>> {
    operations.keep_setting(&request.input.bucket, kind::ENCRYPTION, None).await?;
    Ok(S3Response::new(DeleteBucketEncryptionOutput::default()))
}

fn check(configuration: &ServerSideEncryptionConfiguration) -> Outcome<()> {
    let [rule] = &configuration.rules[..] else {
        return Err(Refusal::MalformedXml("an encryption configuration has one Rule"));
    };
    let default = rule.apply_server_side_encryption_by_default.as_ref();
    let Some(ServerSideEncryptionByDefault { kms_master_key_id, sse_algorithm }) = default else {
        return Err(Refusal::MalformedXml("a Rule has ApplyServerSideEncryptionByDefault"));
    };
    match sse_algorithm.as_str() {
        ServerSideEncryption::AES256 if kms_master_key_id.is_some() => {
            let why = "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse";
            Err(Refusal::InvalidArgument(why.to_owned()))
        }
        ServerSideEncryption::AES256 | ServerSideEncryption::AWS_KMS => Ok(()),
        ServerSideEncryption::AWS_KMS_DSSE => {
            Err(Refusal::NotImplemented("encryption by aws:kms:dsse".to_owned()))
        }
        _ => Err(Refusal::MalformedXml("SSEAlgorithm is AES256 or aws:kms")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(rules: &str) -> ServerSideEncryptionConfiguration {
        let xml = format!(
            "<ServerSideEncryptionConfiguration>{rules}</ServerSideEncryptionConfiguration>"
        );
        kept::decode(xml.as_bytes(), "a test").unwrap()
    }

    fn rule(default: &str) -> String {
        format!(
            "<Rule><ApplyServerSideEncryptionByDefault>{default}</ApplyServerSideEncryptionByDefault><BucketKeyEnabled>\
             true</BucketKeyEnabled></Rule>"
        )
    }

    #[test]
    fn defaults_are_read_as_they_were_set() {
        for (default, expected) in [
            ("<SSEAlgorithm>AES256</SSEAlgorithm>", DefaultEncryption::Server),
            (
                "<KMSMasterKeyID>k</KMSMasterKeyID><SSEAlgorithm>aws:kms</SSEAlgorithm>",
                DefaultEncryption::Kms { key: Some("k".into()), bucket_key: true },
            ),
        ] {
            let configuration = configuration(&rule(default));
            assert!(check(&configuration).is_ok());
            let kept = kept::encode(&configuration).unwrap();
            assert_eq!(DefaultEncryption::decode(&kept).unwrap(), expected);
        }
    }

    #[test]
    fn mistakes_have_s3s_answers() {
        let aes = "<SSEAlgorithm>AES256</SSEAlgorithm>";
        for rules in
            [rule(aes) + &rule(aes), "<Rule/>".to_owned(), rule("<SSEAlgorithm>x</SSEAlgorithm>")]
        {
            assert!(
                matches!(check(&configuration(&rules)), Err(Refusal::MalformedXml(_))),
                "{rules}"
            );
        }
        let with_key = rule(&format!("<KMSMasterKeyID>k</KMSMasterKeyID>{aes}"));
        assert!(matches!(check(&configuration(&with_key)), Err(Refusal::InvalidArgument(_))));
    }
}
