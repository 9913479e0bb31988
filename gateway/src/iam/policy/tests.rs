//! The matrix of decisions, the refusals of texts that are no policies, and texts at random.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::iam::decide::{BucketSide, decide};
use crate::iam::principal::{Account, Principal, PrincipalKind, Session};
use crate::iam::sealing::Claims;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Matrix {
    group: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    about: String,
    #[serde(default)]
    identity: BTreeMap<String, String>,
    #[serde(default)]
    session: BTreeMap<String, String>,
    bucket: Option<String>,
    #[serde(default)]
    acl: Vec<String>,
    owner: Option<String>,
    cases: Vec<(String, String, String, String, String)>,
}

/// `key=value; key=[value,value]`.
struct Table(Vec<(String, Vec<String>, bool)>);

impl Table {
    fn of(text: &str) -> Table {
        let entry = |pair: &str| {
            let (key, value) = pair.split_once('=').expect("key=value");
            let many = value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            let values = many.map_or_else(
                || vec![value.to_owned()],
                |list| list.split(',').map(str::to_owned).collect(),
            );
            (key.to_owned(), values, many.is_some())
        };
        Table(text.split("; ").filter(|pair| !pair.is_empty()).map(entry).collect())
    }
}

impl Context for Table {
    fn value(&self, key: &str) -> Option<Values<'_>> {
        let (_, values, many) = self.0.iter().find(|it| it.0.eq_ignore_ascii_case(key))?;
        Some(match many {
            true => Values::Many(values.iter().map(Cow::from).collect()),
            false => Values::One(Cow::from(&values[0])),
        })
    }
}

fn account(name: &str) -> Arc<Account> {
    let number = if name == "shop" { "111122223333" } else { "444455556666" };
    let canonical_id = format!("canonical-{name}").into();
    Arc::new(Account { canonical_id, number: number.into(), name: name.into() })
}

fn session(policy: Option<Policy>) -> Session {
    Session {
        issued: 1_700_000_000,
        expires: 1_800_000_000,
        name: None,
        policy,
        express: None,
        claims: Claims::default(),
    }
}

fn caller(who: &str, group: &Group) -> Caller {
    let parse = |text: &String| Policy::parse(text.as_bytes(), Kind::Identity).expect(text);
    let name = who.trim_end_matches('+');
    let policies: Arc<[Policy]> = group.identity.get(name).map(parse).into_iter().collect();
    let limit = group.session.get(name).map(parse);
    let key: Arc<str> = "KEY".into();
    let user = |account: Arc<Account>| Principal {
        arn: format!("arn:aws:iam::{}:user/{name}", account.number).into(),
        issuer_arn: format!("arn:aws:iam::{}:user/{name}", account.number).into(),
        id: format!("AIDA{}", name.to_uppercase()).into(),
        kind: PrincipalKind::User,
        user: Some(name.into()),
        policies: policies.clone(),
        session: who.ends_with('+').then(|| session(None)),
        tags: match name {
            "alice" => Box::new([("team".into(), "blue".into())]),
            _ => Box::default(),
        },
        ..Principal::root(key.clone(), account, [0; 8])
    };
    let role = |account: Arc<Account>, name: &str, of: &str| Principal {
        arn: format!("arn:aws:sts::{}:assumed-role/{name}/{of}", account.number).into(),
        issuer_arn: format!("arn:aws:iam::{}:role/{name}", account.number).into(),
        id: format!("AROA{}:{of}", name.to_uppercase()).into(),
        kind: PrincipalKind::AssumedRole,
        user: Some(name.into()),
        policies: policies.clone(),
        session: Some(session(limit.clone())),
        ..Principal::root(key.clone(), account, [0; 8])
    };
    let principal = match who {
        "anonymous" => return Caller::Anonymous,
        "root" => Principal::root(key, account("shop"), [0; 8]),
        "partner" => Principal::root(key, account("partner"), [0; 8]),
        "alice" | "alice+" | "bob" => user(account("shop")),
        "carol" => user(account("partner")),
        "reader" => role(account("shop"), "reader", "s1"),
        "visitor" => role(account("partner"), "visitor", "v1"),
        other => panic!("who is {other}?"),
    };
    Caller::Principal(Arc::new(principal))
}

#[test]
fn decisions_are_those_of_the_documentation() {
    let matrix: Matrix = toml::from_str(include_str!("matrix.toml")).unwrap();
    let mut wrong = Vec::new();
    let mut count = 0;
    for group in &matrix.group {
        let parse = |text: &String| Policy::parse(text.as_bytes(), Kind::Bucket).expect(text);
        let policy = group.bucket.as_ref().map(parse);
        for (who, action, on, context, expected) in &group.cases {
            count += 1;
            let caller = caller(who, group);
            let (bucket, key) = match on.split_once('/') {
                Some((bucket, key)) => (bucket, Some(key)),
                None => (on.as_str(), None),
            };
            let table = Table::of(context);
            let request = Request {
                caller: &caller,
                action,
                resource: Resource { bucket, key },
                context: &table,
            };
            let side = BucketSide {
                owner: group.owner.as_deref().unwrap_or("canonical-shop"),
                policy: policy.as_ref(),
                acl_grants: group.acl.contains(who),
            };
            let decision = decide(&request, Some(&side).filter(|_| !bucket.is_empty()));
            assert!(matches!(expected.as_str(), "allow" | "deny"), "{expected}");
            if decision.allowed != (expected == "allow") {
                wrong.push(format!(
                    "{}: {who} {action} {on} {context:?}: {decision:?}, not {expected}",
                    group.about
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= 200, "{count} cases");
}

fn refusal(text: &str, kind: Kind) -> String {
    match Policy::parse(text.as_bytes(), kind) {
        Ok(_) => "none".to_owned(),
        Err(malformed) => malformed.to_string(),
    }
}

#[test]
fn what_is_no_policy_is_refused_with_what_and_where() {
    let statement = |members: &str| format!(r#"{{"Statement":[{{{members}}}]}}"#);
    let whole =
        r#""Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*""#;
    let without = |name: &str, other: &str| {
        let members: Vec<&str> = whole.split(",\"").collect();
        let kept = members.iter().map(|it| it.trim_start_matches('"'));
        let kept: Vec<String> =
            kept.filter(|it| !it.starts_with(name)).map(|it| format!("\"{it}")).collect();
        let joined = [kept.join(","), other.to_owned()];
        statement(joined.join(",").trim_end_matches(','))
    };
    for (text, expected) in [
        (String::new(), "first byte must be '{'"),
        ("[]".into(), "first byte must be '{'"),
        ("{".into(), "This policy contains invalid Json (EOF"),
        (r#"{"Version":"2012-10-17","Version":"2012-10-17"}"#.into(), "is there twice"),
        ("{}".into(), "Missing required field Statement"),
        (r#"{"Statement":[]}"#.into(), "Statement is empty"),
        (r#"{"Statement":"x"}"#.into(), "A statement must be an object (Statement[0])"),
        (r#"{"Version":"2013","Statement":[]}"#.into(), "valid version string (Version)"),
        (r#"{"Version":1,"Statement":[]}"#.into(), "valid version string"),
        (r#"{"Id":1,"Statement":[]}"#.into(), "Id must be a string"),
        (r#"{"Statements":[]}"#.into(), "Unknown field Statements"),
        (
            statement(&format!("{whole},\"Principle\":\"*\"")),
            "Unknown field Principle (Statement[0])",
        ),
        (statement(whole), "none"),
        (without("Effect", ""), "Missing required field Effect (Statement[0])"),
        (without("Principal", ""), "Missing required field Principal"),
        (without("Action", ""), "Missing required field Action"),
        (without("Resource", ""), "Missing required field Resource"),
        (without("Effect", r#""Effect":"allow""#), "Invalid effect : allow"),
        (without("Effect", r#""Effect":true"#), "Invalid effect"),
        (
            without("Action", r#""Action":"s3:GetObjekt""#),
            "Policy has invalid action (Statement[0].Action: \"s3:GetObjekt\")",
        ),
        (without("Action", r#""Action":"GetObject""#), "Policy has invalid action"),
        (without("Action", r#""Action":"ec2:RunInstances""#), "Policy has invalid action"),
        (without("Action", r#""Action":[]"#), "Policy has invalid action"),
        (without("Action", r#""Action":"s3:*""#), "none"),
        (without("Action", r#""Action":"*""#), "none"),
        (statement(&format!("{whole},\"NotAction\":\"s3:*\"")), "both Action and NotAction"),
        (statement(&format!("{whole},\"NotPrincipal\":\"*\"")), "both Principal and NotPrincipal"),
        (
            without("Principal", r#""NotPrincipal":{"AWS":"111122223333"}"#),
            "Allow with NotPrincipal",
        ),
        (
            without("Principal", r#""Principal":"arn""#),
            "Invalid principal in policy (Statement[0].Principal)",
        ),
        (
            without("Principal", r#""Principal":{"AWS":"arn:aws:iam::1:user/x"}"#),
            "Invalid principal in policy (Statement[0].Principal.AWS: \"arn:aws:iam::1:user/x\")",
        ),
        (
            without("Principal", r#""Principal":{"AWS":"arn:aws:iam::111122223333:user/*"}"#),
            "Invalid principal",
        ),
        (
            without("Principal", r#""Principal":{"AWS":"arn:aws:iam::111122223333:group/x"}"#),
            "Invalid principal",
        ),
        (without("Principal", r#""Principal":{"AWS":[]}"#), "Invalid principal"),
        (without("Principal", r#""Principal":{}"#), "Invalid principal"),
        (without("Principal", r#""Principal":{"Azure":"x"}"#), "Invalid principal"),
        (
            without(
                "Principal",
                r#""Principal":{"AWS":["arn:aws:iam::111122223333:role/p/x","111122223333","*"]}"#,
            ),
            "none",
        ),
        (
            without(
                "Principal",
                r#""Principal":{"AWS":"arn:aws:sts::111122223333:assumed-role/x/y"}"#,
            ),
            "none",
        ),
        (without("Resource", r#""Resource":"b/*""#), "Policy has invalid resource"),
        (without("Resource", r#""Resource":"arn:aws:sqs:::b/*""#), "Policy has invalid resource"),
        (without("Resource", r#""Resource":"arn:aws:s3:::""#), "Policy has invalid resource"),
        (without("Resource", r#""Resource":[1]"#), "Policy has invalid resource"),
        (statement(&format!("{whole},\"Sid\":1")), "Sid must be a string"),
        (
            statement(&format!(
                "{whole},\"Condition\":{{\"StringEquals\":{{\"s3:colour\":\"x\"}}}}"
            )),
            "invalid condition key (Statement[0].Condition.StringEquals.s3:colour)",
        ),
        (
            statement(&format!(
                "{whole},\"Condition\":{{\"StringEquals\":{{\"s3:ExistingObjectTag/x\":\"x\"}}}}"
            )),
            "none",
        ),
        (
            format!("{{\"Statement\":[{{{whole}}}],\"Id\":\"{}\"}}", "x".repeat(20_480)),
            "maximum allowed document size",
        ),
    ] {
        let got = refusal(&text, Kind::Bucket);
        assert!(got.contains(expected), "{text:.200}: {got}, not {expected}");
    }
    let identity = without("Principal", "");
    assert_eq!(refusal(&identity, Kind::Identity), "none");
    assert!(refusal(&statement(whole), Kind::Identity).contains("should not specify a principal"));
    let trust = without("Resource", "").replace("s3:GetObject", "sts:AssumeRole");
    assert_eq!(refusal(&trust, Kind::Trust), "none");
    assert!(refusal(&statement(whole), Kind::Trust).contains("prohibited field Resource"));
}

#[test]
fn a_buckets_policy_is_about_the_bucket() {
    let check = |actions: &str, resources: &str| {
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Deny","Principal":"*","Action":{actions},"Resource":{resources}}}}}"#
        );
        let policy = Policy::parse(text.as_bytes(), Kind::Bucket).unwrap();
        policy.check_bucket("shop").err().map(|it| it.message.into_owned())
    };
    let resource = Some("Policy has invalid resource".to_owned());
    let applies = Some("Action does not apply to any resource(s) in statement".to_owned());
    for (actions, resources, expected) in [
        (r#""s3:GetObject""#, r#""arn:aws:s3:::shop/*""#, None),
        (r#""s3:GetObject""#, r#""arn:aws:s3:::shop/a""#, None),
        (r#""s3:GetObject""#, r#""arn:aws:s3:::shop*""#, None),
        (r#""s3:GetObject""#, r#""arn:aws:s3:::*""#, None),
        (r#""s3:GetObject""#, r#""*""#, None),
        (r#""s3:GetObject""#, r#""arn:aws:s3:::${aws:username}/*""#, None),
        (r#""s3:GetObject""#, r#""arn:aws:s3:::other/*""#, resource.clone()),
        (
            r#""s3:GetObject""#,
            r#"["arn:aws:s3:::shop/*","arn:aws:s3:::other/*"]"#,
            resource.clone(),
        ),
        (r#""s3:ListBucket""#, r#""arn:aws:s3:::shop2""#, resource),
        (r#""s3:GetObject""#, r#""arn:aws:s3:::shop""#, applies.clone()),
        (r#""s3:ListBucket""#, r#""arn:aws:s3:::shop/*""#, applies.clone()),
        (r#"["s3:ListBucket","s3:GetObject"]"#, r#""arn:aws:s3:::shop/*""#, applies),
        (
            r#"["s3:ListBucket","s3:GetObject"]"#,
            r#"["arn:aws:s3:::shop","arn:aws:s3:::shop/*"]"#,
            None,
        ),
        (r#""s3:*""#, r#""arn:aws:s3:::shop""#, None),
        (r#""s3:*""#, r#""arn:aws:s3:::shop/*""#, None),
        (r#""s3express:CreateSession""#, r#""arn:aws:s3express:x:1:bucket/shop""#, None),
    ] {
        assert_eq!(check(actions, resources), expected, "{actions} {resources}");
    }
}

#[test]
fn public_is_what_block_public_access_says() {
    let public = |principal: &str, condition: &str| {
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{principal},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*","Condition":{condition}}}}}"#
        );
        Policy::parse(text.as_bytes(), Kind::Bucket).unwrap().is_public()
    };
    for (principal, condition, expected) in [
        (r#""*""#, "{}", true),
        (r#"{"AWS":"*"}"#, "{}", true),
        (r#"{"AWS":"111122223333"}"#, "{}", false),
        (r#"{"AWS":["111122223333","*"]}"#, "{}", true),
        (r#""*""#, r#"{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}"#, false),
        (r#""*""#, r#"{"IpAddress":{"aws:SourceIp":"0.0.0.0/1"}}"#, true),
        (r#""*""#, r#"{"IpAddress":{"aws:SourceIp":["10.0.0.0/8","::/0"]}}"#, true),
        (r#""*""#, r#"{"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}}"#, true),
        (r#""*""#, r#"{"StringEquals":{"aws:SourceVpc":"vpc-91237329"}}"#, false),
        (r#""*""#, r#"{"StringLike":{"aws:SourceVpc":"vpc-*"}}"#, true),
        (r#""*""#, r#"{"StringEqualsIfExists":{"aws:SourceVpc":"vpc-91237329"}}"#, true),
        (r#""*""#, r#"{"ForAllValues:StringEquals":{"aws:SourceVpc":"vpc-91237329"}}"#, true),
        (r#""*""#, r#"{"StringEquals":{"aws:SourceAccount":"${aws:PrincipalAccount}"}}"#, true),
        (r#""*""#, r#"{"StringEquals":{"aws:SourceAccount":"111122223333"}}"#, false),
        (r#""*""#, r#"{"StringEquals":{"aws:Referer":"http://example.com/"}}"#, true),
        (r#""*""#, r#"{"ArnEquals":{"aws:SourceArn":"arn:aws:sns:x:111122223333:t"}}"#, false),
        (r#""*""#, r#"{"ArnLike":{"aws:SourceArn":"arn:aws:sns:*:*:*"}}"#, true),
    ] {
        assert_eq!(public(principal, condition), expected, "{principal} {condition}");
    }
    let deny = r#"{"Statement":{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::b/*"}}"#;
    assert!(!Policy::parse(deny.as_bytes(), Kind::Bucket).unwrap().is_public());
}

#[test]
fn long_names_are_matched_too() {
    let key = "k".repeat(5_000);
    let text = format!(
        r#"{{"Statement":{{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/{}*"}}}}"#,
        "k".repeat(4_000)
    );
    let policy = Policy::parse(text.as_bytes(), Kind::Identity).unwrap();
    let request = Request {
        caller: &Caller::Anonymous,
        action: "s3:GetObject",
        resource: Resource { bucket: "b", key: Some(&key) },
        context: &NoContext,
    };
    assert_eq!(policy.evaluate(&request), Effect::Allow);
    let other = Request { resource: Resource { bucket: "c", ..request.resource }, ..request };
    assert_eq!(policy.evaluate(&other), Effect::Silent);
}

/// Pieces of policies, put together at random.
fn fragments() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"Version\"",
        "\"2012-10-17\"",
        "\"Statement\"",
        "\"Effect\"",
        "\"Allow\"",
        "\"Deny\"",
        "\"Principal\"",
        "\"NotPrincipal\"",
        "\"*\"",
        "\"AWS\"",
        "\"Action\"",
        "\"s3:Get*\"",
        "\"Resource\"",
        "\"arn:aws:s3:::b/${aws:username}\"",
        "\"Condition\"",
        "\"StringLike\"",
        "\"s3:prefix\"",
        "\"${\"",
        "\"IpAddress\"",
        "\"aws:SourceIp\"",
        "\"é\"",
        "1",
        "null",
        "\"arn:aws:iam::111122223333:user/x\"",
    ];
    proptest::collection::vec(proptest::sample::select(PIECES), 0..40).prop_map(|it| it.concat())
}

proptest! {
    #[test]
    fn no_text_makes_parsing_panic(text in ".{0,200}", pieces in fragments()) {
        for kind in [Kind::Bucket, Kind::Identity, Kind::Trust] {
            let _ = Policy::parse(text.as_bytes(), kind);
            let _ = Policy::parse(pieces.as_bytes(), kind);
        }
    }

    #[test]
    fn no_value_makes_evaluation_panic(
        principal in "[ -~é]{0,30}", action in "s3:[A-Za-z*?]{1,10}", resource in "[ -~é]{1,30}",
        key in "(aws|s3):[A-Za-z/é]{1,20}", value in "[ -~é]{0,30}", given in ".{0,30}",
        operator in proptest::sample::select(vec![
            "StringLike", "ArnLike", "NumericLessThan", "DateLessThan", "IpAddress", "Bool",
            "ForAnyValue:StringNotEqualsIfExists", "BinaryEquals", "Null",
        ]),
    ) {
        let policy = serde_json::json!({"Version": "2012-10-17", "Statement": {
            "Effect": "Allow", "Action": action, "Resource": format!("arn:aws:s3:::{resource}"),
            "Condition": {operator: {key.clone(): value}},
        }});
        if let Ok(policy) = Policy::parse(policy.to_string().as_bytes(), Kind::Identity) {
            let table = Table(vec![(key, vec![given.clone()], false)]);
            let request = Request {
                caller: &Caller::Anonymous,
                action: "s3:GetObject",
                resource: Resource { bucket: &principal, key: Some(&given) },
                context: &table,
            };
            policy.evaluate(&request);
            let _ = policy.check_bucket(&principal);
            policy.is_public();
        }
    }
}
