//! Owns: the decision over a request, from the policies of the caller, its session and the bucket.
//! Not here: what a policy says by itself (`policy`), and what ACLs grant, which comes in as one bit.

use super::policy::{Policy, Request};

/// What the owner of a bucket says.
#[derive(Debug, Clone, Copy)]
pub struct BucketSide<'a> {
    /// The canonical id of the account that owns what is asked for: the bucket, or an object whose
    /// owner is another.
    pub owner: &'a str,
    /// The bucket's policy, where it counts.
    pub policy: Option<&'a Policy>,
    /// Whether an ACL grants it to the caller.
    pub acl_grants: bool,
}

/// Whether a request is allowed, and why: for the log, not for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// The answer.
    pub allowed: bool,
    /// What has decided it.
    pub why: Why,
}

/// What has decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The caller is the root of the account that owns it.
    Root,
    /// A policy of the caller allows it.
    IdentityPolicy,
    /// The bucket's policy allows it.
    BucketPolicy,
    /// An ACL grants it.
    Acl,
    /// A policy of the caller denies it.
    DeniedByIdentityPolicy,
    /// The bucket's policy denies it.
    DeniedByBucketPolicy,
    /// The session's policy denies it.
    DeniedBySessionPolicy,
    /// The session's policy does not allow it.
    OutsideSessionPolicy,
    /// The session is for another bucket, or for reading alone.
    OutsideExpressSession,
    /// No policy of the caller allows it.
    NoIdentityPolicy,
    /// Neither the bucket's policy nor an ACL lets the caller's account in.
    NoBucketGrant,
}

/// Decides. `bucket` is absent for actions that concern no bucket that is there (ListAllMyBuckets, CreateBucket).
pub fn decide(_request: &Request<'_>, _bucket: Option<&BucketSide<'_>>) -> Decision {
    Decision { allowed: false, why: Why::NoIdentityPolicy }
}
