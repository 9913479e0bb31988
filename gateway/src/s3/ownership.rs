//! Owns whose a bucket and what lies in it are: the owner that a bucket keeps in its attributes, with its location;
//! Object Ownership, which decides whom an upload belongs to and whether there are ACLs at all; and the operations
//! Put-, Get- and DeleteBucketOwnershipControls.
//!
//! Not here: ACLs (`acl`), and who may do what (`access_verdict`).

use bytes::Bytes;
use datapath::Bucket;
use s3s::dto::{
    DeleteBucketOwnershipControlsInput, DeleteBucketOwnershipControlsOutput,
    GetBucketOwnershipControlsInput, GetBucketOwnershipControlsOutput, ObjectOwnership,
    OwnershipControls, OwnershipControlsRule, PutBucketOwnershipControlsInput,
    PutBucketOwnershipControlsOutput,
};
use s3s::{S3Request, S3Response};

use super::acl::{Acl, Party, read_party, write_party};
use super::operations::Operations;
use super::refusal::{AccessRefusal, Outcome, Refusal};
use super::settings::kind;
use crate::iam::Account;
use crate::metrics::Stage;
use crate::record::Laps;

/// The account that a bucket belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BucketOwner {
    /// As ACLs name it.
    pub(super) party: Party,
    /// Its 12 digits.
    pub(super) number: Box<str>,
}

impl BucketOwner {
    /// An account as the owner.
    pub(super) fn of(account: &Account) -> Self {
        Self {
            party: Party::new(&account.canonical_id, &account.name),
            number: account.number.clone(),
        }
    }

    /// Whether `x-amz-expected-bucket-owner` means it: by number, as the reference says, or by canonical id.
    pub(super) fn is(&self, expected: &[u8]) -> bool {
        expected == self.number.as_bytes() || expected == self.party.id.as_bytes()
    }
}

/// What a bucket keeps in its attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BucketAttributes {
    /// Whose it is.
    pub(super) owner: BucketOwner,
    /// Its location constraint; empty without one.
    pub(super) location: Box<str>,
}

/// The form before buckets had owners: the location alone. Such buckets are the account `penstock`'s.
const VERSION_LOCATION: u8 = 1;
/// The owner (id and name, number) before the location.
const VERSION_OWNER: u8 = 2;

impl BucketAttributes {
    /// A version byte; the owner's id, name and number, each after a byte with its length; the location.
    pub(super) fn encode(&self) -> Bytes {
        let mut bytes = vec![VERSION_OWNER];
        write_party(&mut bytes, &self.owner.party);
        write_party(&mut bytes, &Party::new(&self.owner.number, ""));
        bytes.extend_from_slice(self.location.as_bytes());
        bytes.into()
    }

    /// Of a bucket.
    ///
    /// # Errors
    /// Damaged.
    pub(super) fn of(bucket: &Bucket) -> Outcome<Self> {
        Self::decode(&bucket.attributes).ok_or(Refusal::Damaged("attributes of a bucket"))
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let penstock = || BucketOwner::of(&Account::penstock());
        let (owner, location) = match bytes.split_first() {
            None => (penstock(), &[][..]),
            Some((&VERSION_LOCATION, location)) => (penstock(), location),
            Some((&VERSION_OWNER, mut rest)) => {
                let party = read_party(&mut rest)?;
                let number = read_party(&mut rest)?.id;
                (BucketOwner { party, number }, rest)
            }
            Some(_) => return None,
        };
        Some(Self { owner, location: std::str::from_utf8(location).ok()?.into() })
    }
}

/// Object Ownership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ownership {
    /// There are no ACLs: all is the bucket's owner's.
    BucketOwnerEnforced,
    /// What is uploaded with the canned ACL `bucket-owner-full-control` is the bucket's owner's, all else its writer's.
    BucketOwnerPreferred,
    /// All is its writer's.
    ObjectWriter,
}

const NAMES: [(Ownership, &str); 3] = [
    (Ownership::BucketOwnerEnforced, ObjectOwnership::BUCKET_OWNER_ENFORCED),
    (Ownership::BucketOwnerPreferred, ObjectOwnership::BUCKET_OWNER_PREFERRED),
    (Ownership::ObjectWriter, ObjectOwnership::OBJECT_WRITER),
];

impl Ownership {
    /// Of a header or a document.
    ///
    /// # Errors
    /// InvalidArgument.
    pub(super) fn named(name: &str) -> Outcome<Self> {
        let found = NAMES.iter().find(|(_, text)| *text == name).map(|(ownership, _)| *ownership);
        found.ok_or_else(|| {
            Refusal::InvalidArgument(
                "Object Ownership is BucketOwnerEnforced, BucketOwnerPreferred or ObjectWriter"
                    .to_owned(),
            )
        })
    }

    fn name(self) -> &'static str {
        NAMES[self as usize].1
    }

    /// As the bucket's setting.
    pub(super) fn encode(self) -> Bytes {
        Bytes::from_static(self.name().as_bytes())
    }

    /// Of the bucket's setting.
    ///
    /// # Errors
    /// Damaged.
    pub(super) fn decode(bytes: &[u8]) -> Outcome<Self> {
        let found = NAMES.iter().find(|(_, text)| text.as_bytes() == bytes);
        found.map(|(ownership, _)| *ownership).ok_or(Refusal::Damaged("ownership controls"))
    }
}

/// PutBucketOwnershipControls. ACLs can be turned off only where the bucket's own grants nothing to others, since
/// they would lose it unseen.
pub(super) async fn put(
    operations: &Operations,
    mut request: S3Request<PutBucketOwnershipControlsInput>,
) -> Outcome<S3Response<PutBucketOwnershipControlsOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let input = request.input;
    let bucket = operations.bucket_for(&mut request.extensions, &input.bucket);
    let bucket = laps.ends(Stage::Index, bucket)?;
    let [rule] = &input.ownership_controls.rules[..] else {
        return Err(Refusal::MalformedXml("OwnershipControls has one Rule"));
    };
    let ownership = Ownership::named(rule.object_ownership.as_str())
        .map_err(|_| Refusal::MalformedXml("there is no such ObjectOwnership"))?;
    let settings = operations.bucket_settings(&bucket)?;
    if ownership == Ownership::BucketOwnerEnforced
        && settings.acl.as_ref().is_some_and(Acl::is_shared)
    {
        return Err(Refusal::Access(AccessRefusal::AclWithOwnership));
    }
    let set = operations.lane().set_setting(bucket.id, kind::OWNERSHIP, Some(ownership.encode()));
    laps.ends(Stage::Commit, set.await)?;
    Ok(S3Response::new(PutBucketOwnershipControlsOutput::default()))
}

/// GetBucketOwnershipControls.
pub(super) async fn get(
    operations: &Operations,
    mut request: S3Request<GetBucketOwnershipControlsInput>,
) -> Outcome<S3Response<GetBucketOwnershipControlsOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let bucket = operations.bucket_for(&mut request.extensions, &request.input.bucket);
    let bucket = laps.ends(Stage::Index, bucket)?;
    let ownership = operations.bucket_settings(&bucket)?.ownership;
    let ownership = ownership.ok_or(Refusal::Access(AccessRefusal::NoOwnershipControls))?;
    let object_ownership = ObjectOwnership::from_static(ownership.name());
    let rules = vec![OwnershipControlsRule { object_ownership }];
    Ok(S3Response::new(GetBucketOwnershipControlsOutput {
        ownership_controls: Some(OwnershipControls { rules }),
    }))
}

/// DeleteBucketOwnershipControls: ACLs count again.
pub(super) async fn delete(
    operations: &Operations,
    mut request: S3Request<DeleteBucketOwnershipControlsInput>,
) -> Outcome<S3Response<DeleteBucketOwnershipControlsOutput>> {
    let mut laps = Laps::begin(&request.extensions);
    let bucket = operations.bucket_for(&mut request.extensions, &request.input.bucket);
    let bucket = laps.ends(Stage::Index, bucket)?;
    let set = operations.lane().set_setting(bucket.id, kind::OWNERSHIP, None).await;
    laps.ends(Stage::Commit, set)?;
    Ok(S3Response::new(DeleteBucketOwnershipControlsOutput::default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_keeps_its_owner_and_old_ones_are_penstocks() {
        let attributes = BucketAttributes {
            owner: BucketOwner { party: Party::new("id", "name"), number: "123456789012".into() },
            location: "eu-central-1".into(),
        };
        let bytes = attributes.encode();
        assert_eq!(BucketAttributes::decode(&bytes), Some(attributes.clone()));
        assert!(attributes.owner.is(b"123456789012") && attributes.owner.is(b"id"));
        assert!(!attributes.owner.is(b"name"));
        let old = BucketAttributes::decode(b"\x01EU").unwrap();
        assert_eq!((&*old.owner.party.id, &*old.location), (Account::PENSTOCK, "EU"));
        assert_eq!(BucketAttributes::decode(b"").unwrap().owner, old.owner);
        assert_eq!(BucketAttributes::decode(b"\x02\x05ab"), None);
        assert_eq!(BucketAttributes::decode(b"\x03"), None);
    }

    #[test]
    fn ownership_has_three_names() {
        for (ownership, name) in NAMES {
            assert_eq!(Ownership::named(name).unwrap(), ownership);
            assert_eq!(Ownership::decode(&ownership.encode()).unwrap(), ownership);
        }
        assert!(Ownership::named("Nobody").is_err() && Ownership::decode(b"").is_err());
    }
}
