//! Owns: one statement: its form, and what it says of one request.

use std::borrow::Cow;

use super::condition::{self, Condition};
use super::json::Json;
use super::pattern::Pattern;
use super::principals::{Nearness, Principals};
use super::{Asked, Effect, Kind, Malformed, actions};

/// A statement.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Statement {
    pub(super) effect: Effect,
    pub(super) principals: Option<Principals>,
    pub(super) actions: List<Pattern>,
    pub(super) resources: Option<List<ResourcePattern>>,
    pub(super) conditions: Box<[Condition]>,
}

/// What is named, or all but what is named.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct List<T> {
    pub(super) negated: bool,
    pub(super) patterns: Box<[T]>,
}

impl<T> List<T> {
    fn fits(&self, fits: impl Fn(&T) -> bool) -> bool {
        self.patterns.iter().any(fits) != self.negated
    }
}

/// A resource as a policy names it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ResourcePattern {
    /// The whole ARN.
    pub(super) whole: Pattern,
    /// Of an ARN of S3: what comes after `arn:aws:s3:::`. Of `*`: that.
    pub(super) in_s3: Option<Pattern>,
    /// Of `arn:aws:s3express:REGION:ACCOUNT:bucket/NAME`: the name.
    pub(super) express: Option<Pattern>,
}

const S3: &str = "arn:aws:s3:::";

/// The members that a statement may have.
const MEMBERS: [&str; 9] = [
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
];

/// The members of a statement by their names.
struct Members<'a> {
    list: &'a [(String, Json)],
    place: &'a str,
}

impl<'a> Members<'a> {
    fn find(&self, name: &str) -> Option<&'a Json> {
        self.list.iter().find(|(member, _)| member == name).map(|(_, value)| value)
    }

    /// The one of two that is there.
    fn either(&self, name: &str, not: &str) -> Result<Option<(&'a Json, bool, String)>, Malformed> {
        let place = |name| format!("{}.{name}", self.place);
        match (self.find(name), self.find(not)) {
            (Some(_), Some(_)) => Err(Malformed::at(
                format!("A statement can't have both {name} and {not}"),
                self.place,
            )),
            (Some(json), None) => Ok(Some((json, false, place(name)))),
            (None, Some(json)) => Ok(Some((json, true, place(not)))),
            (None, None) => Ok(None),
        }
    }

    fn missing(&self, name: &str) -> Malformed {
        Malformed::at(format!("Missing required field {name}"), self.place)
    }

    fn prohibited(&self, name: &str) -> Malformed {
        Malformed::at(format!("Has prohibited field {name}"), self.place)
    }
}

impl Statement {
    /// Reads a statement.
    pub(super) fn parse(
        json: &Json,
        kind: Kind,
        variables: bool,
        place: &str,
    ) -> Result<Statement, Malformed> {
        let Json::Object(list) = json else {
            return Err(Malformed::at("A statement must be an object", place));
        };
        if let Some((name, _)) = list.iter().find(|(name, _)| !MEMBERS.contains(&name.as_str())) {
            return Err(Malformed::at(format!("Unknown field {name}"), place));
        }
        let members = Members { list, place };
        if !matches!(members.find("Sid"), None | Some(Json::Text(_))) {
            return Err(Malformed::at("Sid must be a string", place));
        }
        let effect = match members.find("Effect") {
            Some(Json::Text(text)) if text == "Allow" => Effect::Allow,
            Some(Json::Text(text)) if text == "Deny" => Effect::Deny,
            Some(Json::Text(text)) => {
                return Err(Malformed::at(format!("Invalid effect : {text}"), place));
            }
            Some(_) => return Err(Malformed::at("Invalid effect", place)),
            None => return Err(members.missing("Effect")),
        };
        let principals = principals(&members, kind, effect)?;
        let actions = actions(&members, kind)?;
        let resources = resources(&members, kind, variables)?;
        let conditions = match members.find("Condition") {
            None => Vec::new(),
            Some(block) => {
                let known = |key: &str| kind != Kind::Bucket || actions::is_condition_key(key);
                condition::parse(block, variables, &format!("{place}.Condition"), known)?
            }
        };
        Ok(Statement { effect, principals, actions, resources, conditions: conditions.into() })
    }

    /// How near it comes to the request; none when it does not speak of it.
    pub(super) fn speaks_of(&self, asked: &Asked<'_>) -> Option<Nearness> {
        let near = match &self.principals {
            Some(principals) => principals.nearness(asked.caller)?,
            None => Nearness::Caller,
        };
        let no_variables = |_: &str| -> Option<Cow<'_, str>> { None };
        let acts = self.actions.fits(|it| it.matches_folded(asked.action, &no_variables));
        let resolve = |key: &str| asked.variable(key);
        let concerns = |it: &ResourcePattern| match &it.express {
            Some(name) if asked.is_express() => name.matches(asked.bucket, &resolve),
            _ => it.whole.matches(asked.arn, &resolve),
        };
        let fits = acts
            && self.resources.as_ref().is_none_or(|list| list.fits(concerns))
            && self.conditions.iter().all(|it| it.is_met(asked.value(&it.key), &resolve));
        fits.then_some(near)
    }
}

fn principals(
    members: &Members<'_>,
    kind: Kind,
    effect: Effect,
) -> Result<Option<Principals>, Malformed> {
    match members.either("Principal", "NotPrincipal")? {
        None if kind.has_principals() => Err(members.missing("Principal")),
        None => Ok(None),
        Some(_) if !kind.has_principals() => {
            Err(Malformed::at("Policy document should not specify a principal.", members.place))
        }
        Some((_, true, place)) if effect == Effect::Allow => {
            Err(Malformed::at("Allow with NotPrincipal is not allowed.", &place))
        }
        Some((json, negated, place)) => Principals::parse(json, negated, &place).map(Some),
    }
}

fn actions(members: &Members<'_>, kind: Kind) -> Result<List<Pattern>, Malformed> {
    let (json, negated, place) =
        members.either("Action", "NotAction")?.ok_or_else(|| members.missing("Action"))?;
    let invalid =
        |text: &str| Malformed::at("Policy has invalid action", &format!("{place}: \"{text}\""));
    let parse = |text: &str| {
        let named = text == "*"
            || text.split_once(':').is_some_and(|(vendor, name)| {
                !vendor.is_empty() && !vendor.contains(['*', '?']) && !name.is_empty()
            });
        let pattern = Pattern::parse(text, false).map_err(|_| invalid(text))?;
        let exists = |pattern: &Pattern| {
            actions::ACTIONS.iter().any(|(name, _)| pattern.matches_folded(name, &|_| None))
        };
        // A role or user may hold actions of services that are not here.
        if !named || (kind == Kind::Bucket && !exists(&pattern)) {
            return Err(invalid(text));
        }
        Ok(pattern)
    };
    Ok(List { negated, patterns: each(json, &place, "Policy has invalid action", parse)? })
}

fn resources(
    members: &Members<'_>,
    kind: Kind,
    variables: bool,
) -> Result<Option<List<ResourcePattern>>, Malformed> {
    let Some((json, negated, place)) = members.either("Resource", "NotResource")? else {
        return if kind.has_resources() { Err(members.missing("Resource")) } else { Ok(None) };
    };
    if !kind.has_resources() {
        return Err(members.prohibited("Resource"));
    }
    const INVALID: &str = "Policy has invalid resource";
    let parse = |text: &str| {
        let at = || format!("{place}: \"{text}\"");
        let compile = |text: &str| {
            Pattern::parse(text, variables).map_err(|message| Malformed::at(message, &at()))
        };
        let in_s3 = if text == "*" { Some("*") } else { text.strip_prefix(S3) };
        let express = text.strip_prefix("arn:aws:s3express:").and_then(|rest| {
            let name = rest.splitn(3, ':').nth(2)?;
            name.strip_prefix("bucket/")
        });
        let arn = text.strip_prefix("arn:").is_some_and(|rest| rest.split(':').count() >= 5);
        let good = match kind {
            Kind::Bucket => in_s3.is_some_and(|rest| !rest.is_empty()) || express.is_some(),
            Kind::Identity | Kind::Trust => text == "*" || arn,
        };
        if !good {
            return Err(Malformed::at(INVALID, &at()));
        }
        Ok(ResourcePattern {
            whole: compile(text)?,
            in_s3: in_s3.map(compile).transpose()?,
            express: express.map(compile).transpose()?,
        })
    };
    Ok(Some(List { negated, patterns: each(json, &place, INVALID, parse)? }))
}

/// Each of a text, or of a list of texts that is not empty.
fn each<T>(
    json: &Json,
    place: &str,
    otherwise: &'static str,
    parse: impl Fn(&str) -> Result<T, Malformed>,
) -> Result<Box<[T]>, Malformed> {
    let wrong = || Malformed::at(otherwise, place);
    match json {
        Json::Text(text) => Ok(Box::new([parse(text)?])),
        Json::List(list) if !list.is_empty() => list
            .iter()
            .map(|item| match item {
                Json::Text(text) => parse(text),
                _ => Err(wrong()),
            })
            .collect(),
        _ => Err(wrong()),
    }
}
