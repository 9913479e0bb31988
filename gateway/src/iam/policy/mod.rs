//! The language of policies: what one policy says of one request.
//!
//! `json` reads the text, `statement` its statements with `principals`, `actions` and `condition`, which
//! compare by `pattern` and `values`; `asked` is a request as they see it; `check` is what S3 asks of a
//! bucket's policy besides.
//!
//! Not here: how several policies come to a decision (`super::decide`).

mod actions;
mod asked;
mod check;
mod condition;
mod json;
mod pattern;
mod principals;
mod statement;
#[cfg(test)]
mod tests;
mod values;

use std::borrow::Cow;
use std::fmt;

use super::principal::Caller;
use asked::{Asked, Name};
use json::Json;
pub(crate) use principals::{INVALID_PRINCIPAL, Named, Nearness};
use statement::Statement;

/// Bytes of a bucket's policy (S3: 20 KB).
pub const BUCKET_POLICY_BYTES_MAX: usize = 20 * 1024;

/// Bytes of one policy of a user or role (AWS: 10,240 characters of a role, 2,048 of a user).
pub const IDENTITY_POLICY_BYTES_MAX: usize = 10_240;

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

impl Malformed {
    fn at(message: impl Into<Cow<'static, str>>, place: &str) -> Malformed {
        Malformed { message: message.into(), place: place.to_owned() }
    }
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
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    statements: Box<[Statement]>,
}

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

/// What a policy says, and how near the statement that allows has come to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Silent,
    Deny,
    Allow(Nearness),
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
/// caller (`aws:username`, `aws:PrincipalTag/…`, …) is not asked here, and `aws:CurrentTime` and
/// `aws:EpochTime` are the clock's unless this gives them.
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

/// The members that a policy may have.
const MEMBERS: [&str; 3] = ["Version", "Id", "Statement"];

impl Policy {
    /// Reads a policy's JSON.
    ///
    /// # Errors
    /// [`Malformed`]: what is wrong and where, as S3's MalformedPolicy says it.
    pub fn parse(text: &[u8], kind: Kind) -> Result<Policy, Malformed> {
        let most = match kind {
            Kind::Bucket => BUCKET_POLICY_BYTES_MAX,
            Kind::Identity | Kind::Trust => IDENTITY_POLICY_BYTES_MAX,
        };
        if text.len() > most {
            let message = "Policy exceeds the maximum allowed document size.";
            return Err(Malformed::at(message, &format!("{} of {most} bytes", text.len())));
        }
        if text.trim_ascii_start().first() != Some(&b'{') {
            let message = "Policies must be valid JSON and the first byte must be '{'";
            return Err(Malformed::at(message, ""));
        }
        let json: Json = serde_json::from_slice(text).map_err(|error| {
            Malformed::at("This policy contains invalid Json", &error.to_string())
        })?;
        let Json::Object(members) = &json else {
            return Err(Malformed::at("This policy contains invalid Json", ""));
        };
        let find = |name: &str| members.iter().find(|(member, _)| member == name).map(|it| &it.1);
        if let Some((name, _)) = members.iter().find(|it| !MEMBERS.contains(&it.0.as_str())) {
            return Err(Malformed::at(format!("Unknown field {name}"), ""));
        }
        let variables = match find("Version") {
            Some(Json::Text(version)) if version == "2012-10-17" => true,
            Some(Json::Text(version)) if version == "2008-10-17" => false,
            None => false,
            Some(_) => {
                let message = "The policy must contain a valid version string";
                return Err(Malformed::at(message, "Version"));
            }
        };
        if !matches!(find("Id"), None | Some(Json::Text(_))) {
            return Err(Malformed::at("Id must be a string", "Id"));
        }
        let statements = match find("Statement") {
            None => return Err(Malformed::at("Missing required field Statement", "")),
            Some(Json::List(list)) if list.is_empty() => {
                return Err(Malformed::at("Could not parse the policy: Statement is empty!", ""));
            }
            Some(Json::List(list)) => list.as_slice(),
            Some(one) => std::slice::from_ref(one),
        };
        let statement = |(index, json): (usize, &Json)| {
            Statement::parse(json, kind, variables, &format!("Statement[{index}]"))
        };
        let statements = statements.iter().enumerate().map(statement).collect::<Result<_, _>>()?;
        Ok(Policy { statements })
    }

    /// What it says of a request, of itself.
    pub fn evaluate(&self, request: &Request<'_>) -> Effect {
        match self.verdict(&Asked::of(request, Name::of(request).text())) {
            Verdict::Silent => Effect::Silent,
            Verdict::Deny => Effect::Deny,
            Verdict::Allow(_) => Effect::Allow,
        }
    }

    fn verdict(&self, asked: &Asked<'_>) -> Verdict {
        let mut verdict = Verdict::Silent;
        for statement in &self.statements {
            // What can't change anything is not looked at.
            if statement.effect == Effect::Allow && verdict == Verdict::Allow(Nearness::Caller) {
                continue;
            }
            match (statement.speaks_of(asked), statement.effect) {
                (None, _) => {}
                (Some(_), Effect::Deny) => return Verdict::Deny,
                (Some(near), _) => match verdict {
                    Verdict::Allow(other) if other >= near => {}
                    _ => verdict = Verdict::Allow(near),
                },
            }
        }
        verdict
    }
}

/// A request that several policies are asked of: its names are put together once.
pub(crate) struct Question<'a> {
    request: &'a Request<'a>,
    name: Name,
    arn: Option<&'a str>,
}

impl<'a> Question<'a> {
    /// Of S3.
    pub(crate) fn new(request: &'a Request<'a>) -> Question<'a> {
        Question { request, name: Name::of(request), arn: None }
    }

    /// Of another service, whose resource has this ARN.
    pub(crate) fn of_arn(request: &'a Request<'a>, arn: &'a str) -> Question<'a> {
        Question { request, name: Name::of(request), arn: Some(arn) }
    }

    /// What a policy says of it.
    pub(crate) fn ask(&self, policy: &Policy) -> Verdict {
        let arn = self.arn.unwrap_or_else(|| self.name.text());
        policy.verdict(&Asked::of(self.request, arn))
    }

    /// What several say together.
    pub(crate) fn ask_all(&self, policies: &[Policy]) -> Verdict {
        let mut verdict = Verdict::Silent;
        for policy in policies {
            match self.ask(policy) {
                Verdict::Deny => return Verdict::Deny,
                Verdict::Silent => {}
                allow => verdict = allow,
            }
        }
        verdict
    }
}
