//! Owns: the decision over a request, from the policies of the caller, its session and the bucket.
//!
//! As in AWS's "Policy evaluation logic": an explicit deny anywhere decides. Within an account, either the
//! caller's policies or the bucket's have to allow; between accounts, both. A session's policy limits
//! what the caller's policies allow, and what the bucket's policy allows to the role, but not what the
//! bucket's policy allows to the session or user itself. A root has all that its account owns.
//!
//! Not here: what a policy says by itself (`policy`), and what ACLs grant, which comes in as one bit.

use super::policy::{Nearness, Policy, Question, Request, Verdict};
use super::principal::{Express, Principal, PrincipalKind};

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
    /// Neither the bucket's policy nor an ACL lets the caller in.
    NoBucketGrant,
}

impl Decision {
    fn yes(why: Why) -> Decision {
        Decision { allowed: true, why }
    }

    fn no(why: Why) -> Decision {
        Decision { allowed: false, why }
    }
}

/// Decides. `bucket` is absent for actions that concern no bucket that is there (ListAllMyBuckets,
/// CreateBucket).
pub fn decide(request: &Request<'_>, bucket: Option<&BucketSide<'_>>) -> Decision {
    let question = Question::new(request);
    let by_bucket =
        bucket.and_then(|side| side.policy).map_or(Verdict::Silent, |policy| question.ask(policy));
    let Some(principal) = request.caller.principal() else {
        let acl = bucket.is_some_and(|side| side.acl_grants);
        return match by_bucket {
            Verdict::Deny => Decision::no(Why::DeniedByBucketPolicy),
            Verdict::Allow(_) => Decision::yes(Why::BucketPolicy),
            Verdict::Silent if acl => Decision::yes(Why::Acl),
            Verdict::Silent => Decision::no(Why::NoBucketGrant),
        };
    };
    if let Some(express) = principal.session.as_ref().and_then(|it| it.express.as_ref())
        && !express.covers(request)
    {
        return Decision::no(Why::OutsideExpressSession);
    }
    of_principal(principal, &question, bucket, by_bucket)
}

/// Decides over an action that is done to no bucket: one of IAM or STS, within the caller's account.
pub(crate) fn decide_within(request: &Request<'_>, arn: &str) -> Decision {
    let Some(principal) = request.caller.principal() else {
        return Decision::no(Why::NoIdentityPolicy);
    };
    of_principal(principal, &Question::of_arn(request, arn), None, Verdict::Silent)
}

/// Decides whether a role may be taken on: its trust policy has to name the caller, by itself or by its
/// account; `owner` is the canonical id of the role's account.
pub(crate) fn decide_assuming(
    request: &Request<'_>,
    arn: &str,
    trust: &Policy,
    owner: &str,
) -> Decision {
    let question = Question::of_arn(request, arn);
    let by_trust = question.ask(trust);
    let side = BucketSide { owner, policy: Some(trust), acl_grants: false };
    match (request.caller.principal(), by_trust) {
        (Some(principal), Verdict::Allow(_)) => {
            of_principal(principal, &question, Some(&side), by_trust)
        }
        _ => Decision::no(Why::NoBucketGrant),
    }
}

fn of_principal(
    principal: &Principal,
    question: &Question<'_>,
    bucket: Option<&BucketSide<'_>>,
    by_bucket: Verdict,
) -> Decision {
    let is_root = principal.kind == PrincipalKind::Root;
    let by_identity = match is_root {
        true => Verdict::Allow(Nearness::Caller),
        false => question.ask_all(&principal.policies),
    };
    let policy = principal.session.as_ref().and_then(|session| session.policy.as_ref());
    let by_session = policy.map_or(Verdict::Allow(Nearness::Caller), |it| question.ask(it));
    for (verdict, why) in [
        (by_bucket, Why::DeniedByBucketPolicy),
        (by_identity, Why::DeniedByIdentityPolicy),
        (by_session, Why::DeniedBySessionPolicy),
    ] {
        if verdict == Verdict::Deny {
            return Decision::no(why);
        }
    }
    let identity = by_identity != Verdict::Silent;
    let session = by_session != Verdict::Silent;
    let own_account = bucket.is_none_or(|side| *side.owner == *principal.account.canonical_id);
    let granted = match by_bucket {
        Verdict::Allow(near) => Some((near, Why::BucketPolicy)),
        _ if bucket.is_some_and(|side| side.acl_grants) => Some((Nearness::Account, Why::Acl)),
        _ => None,
    };
    match granted {
        // Said to the caller itself, by its own account: nothing else has to agree.
        Some((Nearness::Caller, why)) if own_account => Decision::yes(why),
        Some((Nearness::Role, why)) if own_account && session => Decision::yes(why),
        _ if !identity => Decision::no(Why::NoIdentityPolicy),
        _ if !session => Decision::no(Why::OutsideSessionPolicy),
        _ if own_account && is_root => Decision::yes(Why::Root),
        _ if own_account => Decision::yes(Why::IdentityPolicy),
        Some((_, why)) => Decision::yes(why),
        None => Decision::no(Why::NoBucketGrant),
    }
}

impl Express {
    /// Whether the request is of its bucket, and of its mode. Sessions are for objects and their
    /// listing; a session can't make another.
    fn covers(&self, request: &Request<'_>) -> bool {
        const READS: [&str; 6] = [
            "s3:GetObject",
            "s3:GetObjectVersion",
            "s3:GetObjectAttributes",
            "s3:ListBucket",
            "s3:ListBucketMultipartUploads",
            "s3:ListMultipartUploadParts",
        ];
        const WRITES: [&str; 4] =
            ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:RenameObject"];
        *self.bucket == *request.resource.bucket
            && (READS.contains(&request.action)
                || (!self.read_only && WRITES.contains(&request.action)))
    }
}
