//! Owns the decision over one action on one bucket or object, in Amazon S3's order: what ownership and Public Access
//! Block leave of ACLs and the bucket policy, and then what those and the caller's own policies come to
//! (`crate::iam::decide`).
//!
//! Whose permission counts depends on the action. Of those on a bucket, and of making and deleting objects, it is the
//! bucket's owner; of reading an object and of its ACL it is the object's, which is another account where that uploaded
//! it and ACLs count. The bucket policy can deny everything in the bucket, and allow what is the bucket's owner's.
//!
//! Not here: which actions an operation needs (`actions`), what conditions ask of (`access_facts`).

use super::acl::{Acl, Asks, Party, Permission, asks};
use super::settings::Settings;
use crate::iam::policy::{Context, Effect, Policy, Request, Resource};
use crate::iam::{BucketSide, Caller, decide};

/// What is to be decided.
pub(super) struct Question<'a> {
    pub(super) caller: &'a Caller,
    /// `s3:GetObject` and the like.
    pub(super) action: &'a str,
    pub(super) bucket: &'a str,
    pub(super) settings: &'a Settings,
    pub(super) key: Option<&'a str>,
    /// Whether the object is being made: its ACL is then part of putting it, and no older object's matters.
    pub(super) making: bool,
    pub(super) context: &'a dyn Context,
}

/// What an object is, as far as it counts here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holding {
    /// The bucket's owner's, private; also where there is none, or nobody needs to know.
    BucketOwners,
    /// What its ACL says.
    Listed(Acl),
}

/// Whether an action on objects asks for the object's own ACL where ACLs count.
pub(super) fn is_of_object(action: &str, making: bool) -> bool {
    matches!(asked(action, making), Asks::Object(_))
}

fn asked(action: &str, making: bool) -> Asks {
    if making { Asks::Bucket(Permission::Write) } else { asks(action) }
}

impl Question<'_> {
    fn account(&self) -> Option<&str> {
        self.caller.account().map(|account| &*account.canonical_id)
    }

    fn request(&self) -> Request<'_> {
        Request {
            caller: self.caller,
            action: self.action,
            resource: Resource { bucket: self.bucket, key: self.key },
            context: self.context,
        }
    }

    /// Whether the caller may.
    pub(super) fn is_allowed(&self, holding: &Holding) -> bool {
        if self.settings.is_all_of(self.caller) && *holding == Holding::BucketOwners {
            return true;
        }
        let of_bucket = self.settings.owner();
        let holder = match holding {
            Holding::Listed(acl) if is_of_object(self.action, self.making) => &acl.owner,
            _ => of_bucket,
        };
        let request = self.request();
        let policy = match self.policy(&request, holder) {
            Ok(policy) => policy,
            Err(Denied) => return self.is_roots_own_way_out(),
        };
        let (owner, acl_grants) = self.acl(holding, holder);
        decide(&request, Some(&BucketSide { owner, policy, acl_grants })).allowed
    }

    /// The bucket's policy, as far as it can allow something. What it denies, it denies of everything in the bucket.
    fn policy(&self, request: &Request<'_>, holder: &Party) -> Result<Option<&Policy>, Denied> {
        let Some(policy) = &self.settings.policy else { return Ok(None) };
        let of_bucket = self.settings.owner();
        let is_strangers = self.account() != Some(&*of_bucket.id);
        let restricted = policy.is_public && self.settings.public_access().restrict && is_strangers;
        if restricted || holder.id != of_bucket.id {
            return match policy.counts.evaluate(request) {
                Effect::Deny => Err(Denied),
                Effect::Allow | Effect::Silent => Ok(None),
            };
        }
        if self.is_roots_own_way_out() && policy.counts.evaluate(request) == Effect::Deny {
            return Err(Denied);
        }
        Ok(Some(&policy.counts))
    }

    /// "Root principals in a bucket owner's account can perform the GetBucketPolicy, PutBucketPolicy, and
    /// DeleteBucketPolicy API actions, even if their bucket policy explicitly denies the root principal's access."
    fn is_roots_own_way_out(&self) -> bool {
        let of_policies = ["s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"];
        of_policies.contains(&self.action) && self.caller.is_root_of(&self.settings.owner().id)
    }

    /// Who owns what is asked for, and whether an ACL grants it to the caller. An owner who has taken a permission
    /// from themselves has it no more: nobody owns it then, as far as this action goes.
    fn acl<'a>(&'a self, holding: &'a Holding, holder: &'a Party) -> (&'a str, bool) {
        let asked = asked(self.action, self.making);
        if self.settings.acls_are_off() {
            return (&holder.id, false);
        }
        let (acl, wanted) = match (asked, holding) {
            (Asks::None, _) | (Asks::Object(_), Holding::BucketOwners) => {
                return (&holder.id, false);
            }
            (Asks::Object(wanted), Holding::Listed(acl)) => (acl, wanted),
            (Asks::Bucket(wanted), _) => match &self.settings.acl {
                None => return (&holder.id, false),
                Some(acl) => (acl, wanted),
            },
        };
        let ignore = self.settings.public_access().ignore_acls;
        let owner = Some(&*holder.id);
        let owner_has = acl.grants(owner, wanted, ignore) || self.is_deleting(wanted);
        let grants = acl.grants(self.account(), wanted, ignore);
        (if owner_has { &holder.id } else { "" }, grants)
    }

    /// A bucket's owner may delete whatever lies in it, since it is they who pay for it.
    fn is_deleting(&self, wanted: Permission) -> bool {
        wanted == Permission::Write && self.action == "s3:DeleteObject"
    }
}

/// The bucket policy says no.
struct Denied;
