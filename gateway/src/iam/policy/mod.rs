//! The language of policies: parsing, and what one policy says of one request.

use std::borrow::Cow;
use std::fmt;

use super::principal::Caller;

/// What a policy is attached to, which decides what it must say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A bucket: has principals.
    Bucket,
    /// A user or role, or a session: has none.
    Identity,
    /// A role, as to who may assume it: has principals and no resources.
    Trust,
}

/// Why a text is no policy: what is wrong, and where in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Malformed {
    /// AWS's sentence.
    pub message: Cow<'static, str>,
    /// Such as `Statement[0].Action`; empty for the whole.
    pub place: String,
}

impl fmt::Display for Malformed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place.as_str() {
            "" => out.write_str(&self.message),
            place => write!(out, "{} ({place})", self.message),
        }
    }
}

/// A policy, ready to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {}

/// What a policy says of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It allows it.
    Allow,
    /// It denies it, whatever others say.
    Deny,
    /// It does not speak of it.
    Silent,
}

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resource<'a> {
    /// The bucket; empty for what concerns all (`ListAllMyBuckets`).
    pub bucket: &'a str,
    /// The key, of an object.
    pub key: Option<&'a str>,
}

/// A question to policies.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// Such as `s3:GetObject`.
    pub action: &'a str,
    /// What it is about.
    pub resource: Resource<'a>,
    /// What conditions ask of.
    pub context: &'a dyn Context,
}

/// The values of a condition key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Values<'a> {
    /// A key that has one value.
    One(Cow<'a, str>),
    /// A key that has any number (`s3:RequestObjectTagKeys`).
    Many(Vec<Cow<'a, str>>),
}

/// What is known of a request, asked for key by key: most policies ask for none. What comes from the
/// caller (`aws:username`, `aws:PrincipalTag/…`, …) is not asked here.
pub trait Context {
    /// The values of a condition key, such as `aws:SourceIp` or `s3:ExistingObjectTag/project`; `None`
    /// when the request has none. Names come as the policy writes them: compare without case, but for
    /// what follows a slash, where the case is the tag's.
    fn value(&self, key: &str) -> Option<Values<'_>>;
}

/// Nothing is known.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoContext;

impl Context for NoContext {
    fn value(&self, _: &str) -> Option<Values<'_>> {
        None
    }
}

impl Policy {
    /// Reads a policy's JSON.
    ///
    /// # Errors
    /// [`Malformed`]: what is wrong and where, as S3's MalformedPolicy says it.
    pub fn parse(text: &[u8], _kind: Kind) -> Result<Policy, Malformed> {
        let malformed = |error: serde_json::Error| Malformed {
            message: "This policy contains invalid Json".into(),
            place: error.to_string(),
        };
        serde_json::from_slice::<serde_json::Value>(text).map_err(malformed)?;
        Ok(Policy {})
    }

    /// What it says of a request, of itself.
    pub fn evaluate(&self, _request: &Request<'_>) -> Effect {
        Effect::Silent
    }

    /// Whether its resources are of that bucket, and its actions fit them.
    ///
    /// # Errors
    /// What S3 says when not.
    pub fn check_bucket(&self, _bucket: &str) -> Result<(), Malformed> {
        Ok(())
    }

    /// Whether it lets the world in, as Block Public Access understands it.
    pub fn is_public(&self) -> bool {
        false
    }
}
