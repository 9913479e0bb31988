//! Owns: the actions of STS: who the caller is, and temporary credentials.

use http::StatusCode;

use super::answer::{Failure, element};
use super::{Answered, Asked, Facts};
use crate::iam::change::check_tags;
use crate::iam::decide::decide_assuming;
use crate::iam::policy::{Kind, Policy};
use crate::iam::principal::{Principal, PrincipalKind};
use crate::iam::registry::{Iam, Issued, role_session_arn};
use crate::iam::sealing::{Claims, Kind as ClaimKind};
use crate::iam::{Role, moment};
use crate::limits::SESSION_SECONDS_MAX;

/// Those that need no signature, none of which is here.
pub(super) const UNSIGNED: [&str; 2] = ["AssumeRoleWithWebIdentity", "AssumeRoleWithSAML"];

/// All of STS, so that each is refused as its service does.
const ACTIONS: [&str; 11] = [
    "AssumeRole",
    "AssumeRoleWithSAML",
    "AssumeRoleWithWebIdentity",
    "AssumeRoot",
    "DecodeAuthorizationMessage",
    "GetAccessKeyInfo",
    "GetCallerIdentity",
    "GetDelegatedAccessToken",
    "GetFederationToken",
    "GetSessionToken",
    "GetWebIdentityToken",
];

/// Bytes of a session's policy (AWS: 2,048 characters).
const POLICY_BYTES_MAX: usize = 2_048;

/// Whether an action is one of STS.
pub(super) fn is_action(name: &str) -> bool {
    ACTIONS.contains(&name)
}

/// What is known and not here.
pub(super) fn not_implemented(action: &str) -> Failure {
    let message = format!(
        "{action} is not implemented: identities are the users, roles and keys of this server. Use \
         AssumeRole or GetSessionToken."
    );
    Failure::new(StatusCode::NOT_IMPLEMENTED, "NotImplemented", message)
}

/// Carries one out.
pub(super) async fn answer(asked: &Asked<'_>, action: &str) -> Answered {
    match action {
        "GetCallerIdentity" => Ok(caller_identity(asked.principal)),
        "GetSessionToken" => session_token(asked).await,
        "AssumeRole" => assume_role(asked).await,
        other => Err(not_implemented(other)),
    }
}

fn caller_identity(principal: &Principal) -> String {
    let mut xml = String::new();
    element(&mut xml, "Arn", &principal.arn);
    element(&mut xml, "UserId", &principal.id);
    element(&mut xml, "Account", &principal.account.number);
    xml
}

fn duration(asked: &Asked<'_>, standard: u64, most: u64) -> Result<u64, Failure> {
    match asked.form.number("DurationSeconds")? {
        None => Ok(standard),
        Some(seconds) if (900..=most).contains(&seconds) => Ok(seconds),
        Some(seconds) => Err(Failure::invalid(format!(
            "The requested DurationSeconds {seconds} is not from 900 to {most}."
        ))),
    }
}

/// Issues them on another thread, as a new key of the seal waits for the disk.
async fn issue(asked: &Asked<'_>, claims: Claims) -> Result<Issued, Failure> {
    let iam = asked.iam.clone();
    let issued = tokio::task::spawn_blocking(move || iam.issue(claims)).await;
    match issued {
        Ok(Ok(issued)) => Ok(issued),
        Ok(Err(problem)) => {
            tracing::error!(%problem, "a session could not be issued");
            let message = "The session could not be issued; the server's log says why.";
            Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceFailure", message))
        }
        Err(_) => {
            let message = "We encountered an internal error. Please try again.";
            Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "ServiceFailure", message))
        }
    }
}

fn credentials(issued: &Issued) -> String {
    let mut xml = String::from("<Credentials>");
    element(&mut xml, "AccessKeyId", &issued.access_key);
    element(&mut xml, "SecretAccessKey", &issued.secret.reveal());
    element(&mut xml, "SessionToken", &issued.token);
    element(&mut xml, "Expiration", &moment(u64::try_from(issued.expires).unwrap_or(0)));
    xml.push_str("</Credentials>");
    xml
}

async fn session_token(asked: &Asked<'_>) -> Answered {
    if asked.principal.session.is_some() {
        let message = "Cannot call GetSessionToken with session credentials";
        return Err(Failure::denied(message));
    }
    if asked.form.text("SerialNumber").or(asked.form.text("TokenCode")).is_some() {
        let message = "MultiFactorAuthentication failed: there are no MFA devices here.";
        return Err(Failure::denied(message));
    }
    let mut seconds = duration(asked, 43_200, SESSION_SECONDS_MAX)?;
    if asked.principal.kind == PrincipalKind::Root {
        // A root's sessions are of an hour at most, whatever it asks for.
        seconds = seconds.min(3_600);
    }
    let until = asked.now + i64::try_from(seconds).unwrap_or(0);
    let issued = issue(asked, Iam::claims_of(asked.principal, asked.now, until)).await?;
    Ok(credentials(&issued))
}

/// `arn:aws:iam::NUMBER:role/PATH/NAME`: the number and the name.
fn role_named(arn: &str) -> Option<(&str, &str)> {
    let rest = arn.strip_prefix("arn:aws:iam::")?;
    let (number, role) = rest.split_once(':')?;
    let name = role.strip_prefix("role/")?.rsplit('/').next()?;
    Some((number, name))
}

fn session_name(asked: &Asked<'_>) -> Result<String, Failure> {
    let name = asked.form.needed("RoleSessionName")?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    if (2..=64).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(name.to_owned());
    }
    Err(Failure::invalid("RoleSessionName must have 2 to 64 letters, digits and _+=,.@-"))
}

fn session_policy(asked: &Asked<'_>) -> Result<Option<String>, Failure> {
    let malformed =
        |message: String| Failure::new(StatusCode::BAD_REQUEST, "MalformedPolicyDocument", message);
    if asked.form.has_list("PolicyArns") {
        return Err(Failure::new(
            StatusCode::NOT_IMPLEMENTED,
            "NotImplemented",
            "There are no managed policies here; give the session's in Policy.",
        ));
    }
    let Some(text) = asked.form.text("Policy") else { return Ok(None) };
    if text.len() > POLICY_BYTES_MAX {
        let message = format!("The session's policy has more than {POLICY_BYTES_MAX} bytes.");
        return Err(Failure::new(StatusCode::BAD_REQUEST, "PackedPolicyTooLarge", message));
    }
    Policy::parse(text.as_bytes(), Kind::Identity).map_err(|error| malformed(error.to_string()))?;
    Ok(Some(text.to_owned()))
}

/// Whether the caller may take the role on: its trust policy says so, and where that names an account,
/// the caller's own policies.
fn check_trust(
    asked: &Asked<'_>,
    role: &Role,
    action: &str,
    facts: &Facts<'_>,
) -> Result<(), Failure> {
    let arn = &role.principal.issuer_arn;
    let request = asked.request(action, facts);
    let decision =
        decide_assuming(&request, arn, &role.trust, &role.principal.account.canonical_id);
    asked.check(decision, action, arn)
}

async fn assume_role(asked: &Asked<'_>) -> Answered {
    let arn = asked.form.needed("RoleArn")?;
    let session = session_name(asked)?;
    let policy = session_policy(asked)?;
    if asked.principal.session.as_ref().is_some_and(|it| it.express.is_some()) {
        return Err(Failure::denied("Credentials of CreateSession can't be used for STS."));
    }
    let tags = asked.form.tags()?;
    if tags.len() != tags.iter().collect::<std::collections::BTreeSet<_>>().len() {
        return Err(Failure::invalid("Duplicate tag keys found."));
    }
    check_tags(&tags.iter().cloned().collect())?;
    let directory = asked.iam.directory();
    // Whether a role is there is not for everybody to know.
    let absent = || {
        let who = &asked.principal.arn;
        let message =
            format!("User: {who} is not authorized to perform: sts:AssumeRole on resource: {arn}");
        Failure::denied(message)
    };
    let (number, name) =
        role_named(arn).ok_or_else(|| Failure::invalid(format!("{arn} is invalid")))?;
    let account = directory.accounts().find(|it| *it.number == *number).ok_or_else(absent)?;
    let role = directory.role(&account.name, name).filter(|role| !role.disabled);
    let role = role.filter(|role| *role.principal.issuer_arn == *arn).ok_or_else(absent)?;
    let mut others = vec![("sts:RoleSessionName", session.clone())];
    if let Some(external) = asked.form.text("ExternalId") {
        others.push(("sts:ExternalId", external.to_owned()));
    }
    let facts = Facts { peer: asked.peer, others: &others };
    check_trust(asked, role, "sts:AssumeRole", &facts)?;
    if !tags.is_empty() {
        check_trust(asked, role, "sts:TagSession", &facts)?;
    }
    // A role that is taken on by a role's session is for an hour at most.
    let chained = asked.principal.kind == PrincipalKind::AssumedRole;
    let most = if chained { 3_600 } else { role.max_session };
    let seconds = duration(asked, 3_600, most)?;
    let claims = Claims {
        account: account.name.to_string(),
        kind: ClaimKind::Role,
        name: name.to_owned(),
        id: role.principal.id.to_string(),
        session: Some(session.clone()),
        policy,
        tags,
        issued: asked.now,
        expires: asked.now + i64::try_from(seconds).unwrap_or(0),
        ..Claims::default()
    };
    let issued = issue(asked, claims).await?;
    let mut xml = String::from("<AssumedRoleUser>");
    element(&mut xml, "AssumedRoleId", &format!("{}:{session}", role.principal.id));
    element(&mut xml, "Arn", &role_session_arn(&role.principal, &session));
    xml.push_str("</AssumedRoleUser>");
    xml.push_str(&credentials(&issued));
    Ok(xml)
}
