//! Owns Public Access Block: four switches of a bucket that turn off what ACLs and policies say to strangers, or
//! refuse to let them say it; and the operations Put-, Get- and DeletePublicAccessBlock.
//!
//! Not here: what "public" is (`acl`, `crate::iam::policy`), and where the switches act (`access_verdict`,
//! `acl_operations`, `policy_operations`).

use bytes::Bytes;
use s3s::dto::{
    DeletePublicAccessBlockInput, DeletePublicAccessBlockOutput, GetPublicAccessBlockInput,
    GetPublicAccessBlockOutput, PublicAccessBlockConfiguration, PutPublicAccessBlockInput,
    PutPublicAccessBlockOutput,
};
use s3s::{S3Request, S3Response};

use super::operations::Operations;
use super::refusal::{AccessRefusal, Outcome, Refusal};
use super::settings::kind;
use crate::metrics::Stage;
use crate::record::Laps;

/// The four switches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PublicAccess {
    /// ACLs that grant to strangers are refused.
    pub(super) block_acls: bool,
    /// Such ACLs that are there do not count.
    pub(super) ignore_acls: bool,
    /// Policies that let the world in are refused.
    pub(super) block_policy: bool,
    /// Such a policy that is there lets nobody in but the bucket's account.
    pub(super) restrict: bool,
}

impl PublicAccess {
    /// What Amazon S3 gives to new buckets.
    pub(super) const ALL: Self =
        Self { block_acls: true, ignore_acls: true, block_policy: true, restrict: true };

    /// As the bucket's setting: one byte, a bit for each switch.
    pub(super) fn encode(self) -> Bytes {
        let switches = [self.block_acls, self.ignore_acls, self.block_policy, self.restrict];
        let bits = switches.iter().rev().fold(0, |bits, on| bits << 1 | u8::from(*on));
        Bytes::copy_from_slice(&[bits])
    }

    /// Of the bucket's setting.
    ///
    /// # Errors
    /// Damaged.
    pub(super) fn decode(bytes: &[u8]) -> Outcome<Self> {
        match bytes {
            [bits @ 0..16] => Ok(Self {
                block_acls: bits & 1 != 0,
                ignore_acls: bits & 2 != 0,
                block_policy: bits & 4 != 0,
                restrict: bits & 8 != 0,
            }),
            _ => Err(Refusal::Damaged("public access block")),
        }
    }
}

/// PutPublicAccessBlock: a switch that is not named is off.
pub(super) async fn put(
    operations: &Operations,
    mut request: S3Request<PutPublicAccessBlockInput>,
) -> Outcome<S3Response<PutPublicAccessBlockOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let input = request.input;
    let bucket = operations.bucket_for(&mut request.extensions, &input.bucket);
    let bucket = laps.ends(Stage::Index, bucket)?;
    let asked = input.public_access_block_configuration;
    let block = PublicAccess {
        block_acls: asked.block_public_acls.unwrap_or(false),
        ignore_acls: asked.ignore_public_acls.unwrap_or(false),
        block_policy: asked.block_public_policy.unwrap_or(false),
        restrict: asked.restrict_public_buckets.unwrap_or(false),
    };
    let lane = operations.lane();
    let set = lane.set_setting(bucket.id, kind::PUBLIC_ACCESS, Some(block.encode())).await;
    laps.ends(Stage::Commit, set)?;
    Ok(S3Response::new(PutPublicAccessBlockOutput::default()))
}

/// GetPublicAccessBlock.
pub(super) async fn get(
    operations: &Operations,
    mut request: S3Request<GetPublicAccessBlockInput>,
) -> Outcome<S3Response<GetPublicAccessBlockOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let bucket = operations.bucket_for(&mut request.extensions, &request.input.bucket);
    let bucket = laps.ends(Stage::Index, bucket)?;
    let block = operations.bucket_settings(&bucket)?.public_access;
    let block = block.ok_or(Refusal::Access(AccessRefusal::NoPublicAccessBlock))?;
    let configuration = PublicAccessBlockConfiguration {
        block_public_acls: Some(block.block_acls),
        ignore_public_acls: Some(block.ignore_acls),
        block_public_policy: Some(block.block_policy),
        restrict_public_buckets: Some(block.restrict),
    };
    Ok(S3Response::new(GetPublicAccessBlockOutput {
        public_access_block_configuration: Some(configuration),
    }))
}

/// DeletePublicAccessBlock.
pub(super) async fn delete(
    operations: &Operations,
    mut request: S3Request<DeletePublicAccessBlockInput>,
) -> Outcome<S3Response<DeletePublicAccessBlockOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let bucket = operations.bucket_for(&mut request.extensions, &request.input.bucket);
    let bucket = laps.ends(Stage::Index, bucket)?;
    let set = operations.lane().set_setting(bucket.id, kind::PUBLIC_ACCESS, None).await;
    laps.ends(Stage::Commit, set)?;
    Ok(S3Response::new(DeletePublicAccessBlockOutput::default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_switch_has_its_bit() {
        for bits in 0..16u8 {
            let block = PublicAccess::decode(&[bits]).unwrap();
            assert_eq!(block.encode()[..], [bits]);
        }
        assert_eq!(PublicAccess::ALL.encode()[..], [15]);
        for damaged in [&[][..], &[16], &[0, 0]] {
            assert!(PublicAccess::decode(damaged).is_err());
        }
    }
}
