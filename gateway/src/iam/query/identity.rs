//! Owns: the actions of IAM: users, their keys and their policies, within the caller's account.

use std::sync::Arc;

use http::StatusCode;

use super::answer::{Failure, element};
use super::{Answered, Asked};
use crate::credentials::AccessKey;
use crate::credentials::document::{KeyEntry, UserEntry};
use crate::iam::change::{Change, Changed, Holder};
use crate::iam::directory::{Directory, user_id};
use crate::iam::principal::PrincipalKind;
use crate::iam::{Iam, moment};

/// Carries one out.
pub(super) async fn answer(asked: &Asked<'_>, action: &str) -> Answered {
    let session = asked.principal.session.as_ref();
    if session.is_some_and(|it| it.express.is_some())
        || (session.is_some() && asked.principal.kind != PrincipalKind::AssumedRole)
    {
        let message = "Credentials of GetSessionToken and CreateSession can't be used for IAM.";
        return Err(Failure::denied(message));
    }
    match action {
        "CreateUser" => create_user(asked).await,
        "GetUser" => get_user(asked),
        "ListUsers" => list_users(asked),
        "DeleteUser" => delete_user(asked).await,
        "CreateAccessKey" => create_access_key(asked).await,
        "ListAccessKeys" => list_access_keys(asked),
        "UpdateAccessKey" => update_access_key(asked).await,
        "DeleteAccessKey" => delete_access_key(asked).await,
        "PutUserPolicy" => put_user_policy(asked).await,
        "GetUserPolicy" => get_user_policy(asked),
        "ListUserPolicies" => list_user_policies(asked),
        "DeleteUserPolicy" => delete_user_policy(asked).await,
        other => {
            let message = format!("Could not find operation {other:.64} for version 2010-05-08");
            Err(Failure::new(StatusCode::BAD_REQUEST, "InvalidAction", message))
        }
    }
}

/// Changes the file on another thread, as that waits for the disk.
async fn change<T: Send + 'static>(
    iam: &Arc<Iam>,
    change: impl FnOnce(&mut Change<'_>) -> Changed<T> + Send + 'static,
) -> Result<T, Failure> {
    let iam = iam.clone();
    let work = move || iam.change(|document, present| change(&mut Change::new(document, present)));
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => {
            let message = "We encountered an internal error. Please try again.";
            Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "ServiceFailure", message))
        }
    }
}

impl Asked<'_> {
    fn account(&self) -> &str {
        &self.principal.account.name
    }

    fn user_arn(&self, path: &str, name: &str) -> String {
        format!("arn:aws:iam::{}:user{path}{name}", self.principal.account.number)
    }

    /// The user that UserName names, or the caller; none for the root. The caller may do that to it.
    fn user(&self, action: &str) -> Result<Option<String>, Failure> {
        let name = match self.form.text("UserName") {
            Some(name) => Some(name.to_owned()),
            None if self.principal.kind == PrincipalKind::AssumedRole => {
                let message = "Must specify userName when calling with non-User credentials";
                return Err(Failure::invalid(message));
            }
            None => self.principal.user.as_deref().map(str::to_owned),
        };
        match &name {
            None => self.authorize(action, &self.principal.issuer_arn)?,
            Some(name) => {
                let directory = self.iam.directory();
                let entry = self.find(&directory, name);
                let path = entry.map_or("/", |entry| entry.path.as_str());
                self.authorize(action, &self.user_arn(path, name))?;
                entry.ok_or_else(|| Failure::absent("user", name))?;
            }
        }
        Ok(name)
    }

    /// The same where the root has none of what is asked for.
    fn named_user(&self, action: &str) -> Result<String, Failure> {
        self.form.needed("UserName")?;
        Ok(self.user(action)?.unwrap_or_default())
    }

    fn find<'d>(&self, directory: &'d Directory, name: &str) -> Option<&'d UserEntry> {
        directory.user_entries().find(|it| it.account == self.account() && it.name == name)
    }

    /// The key that AccessKeyId names, if it is of that user (none: of the root).
    fn key(&self, user: Option<&str>) -> Result<String, Failure> {
        let id = self.form.needed("AccessKeyId")?;
        let directory = self.iam.directory();
        let mine = |it: &KeyEntry| {
            it.id == id && it.account == self.account() && it.user.as_deref() == user
        };
        let there = directory.key_entries().any(mine);
        there.then(|| id.to_owned()).ok_or_else(|| Failure::absent("Access Key", id))
    }

    /// A page of a sorted list, by MaxItems and Marker.
    fn page<T>(
        &self,
        mut items: Vec<T>,
        name: impl Fn(&T) -> &str,
        list: &str,
        write: impl Fn(&mut String, &T),
    ) -> Answered {
        let most = match self.form.number("MaxItems")? {
            None => 100,
            Some(most @ 1..=1_000) => most as usize,
            Some(_) => return Err(Failure::invalid("MaxItems must be from 1 to 1000.")),
        };
        items.sort_by(|one, other| name(one).cmp(name(other)));
        let after = self.form.text("Marker").unwrap_or_default();
        items.retain(|item| name(item) > after);
        let truncated = items.len() > most;
        items.truncate(most);
        let mut xml = format!("<{list}>");
        for item in &items {
            write(&mut xml, item);
        }
        xml.push_str(&format!("</{list}>"));
        element(&mut xml, "IsTruncated", if truncated { "true" } else { "false" });
        if let Some(last) = items.last().filter(|_| truncated) {
            element(&mut xml, "Marker", name(last));
        }
        Ok(xml)
    }
}

fn user_elements(asked: &Asked<'_>, entry: &UserEntry) -> String {
    let mut xml = String::new();
    element(&mut xml, "Path", &entry.path);
    element(&mut xml, "UserName", &entry.name);
    element(&mut xml, "UserId", &user_id(entry));
    element(&mut xml, "Arn", &asked.user_arn(&entry.path, &entry.name));
    element(&mut xml, "CreateDate", &moment(entry.created));
    xml
}

fn tag_elements(entry: &UserEntry) -> String {
    let mut xml = String::new();
    for (key, value) in &entry.tags {
        xml.push_str("<member>");
        element(&mut xml, "Key", key);
        element(&mut xml, "Value", value);
        xml.push_str("</member>");
    }
    if xml.is_empty() { xml } else { format!("<Tags>{xml}</Tags>") }
}

async fn create_user(asked: &Asked<'_>) -> Answered {
    let name = asked.form.needed("UserName")?.to_owned();
    let path = asked.form.text("Path").unwrap_or("/").to_owned();
    asked.authorize("iam:CreateUser", &asked.user_arn(&path, &name))?;
    if asked.form.text("PermissionsBoundary").is_some() {
        let message = "There are no permissions boundaries here.";
        return Err(Failure::new(StatusCode::NOT_IMPLEMENTED, "NotImplemented", message));
    }
    let mut tags = std::collections::BTreeMap::new();
    for (key, value) in asked.form.tags()? {
        if tags.insert(key, value).is_some() {
            return Err(Failure::invalid("Duplicate tag keys found."));
        }
    }
    let account = asked.account().to_owned();
    let entry = change(asked.iam, move |it| it.add_user(&account, &name, &path, tags)).await?;
    let (user, tags) = (user_elements(asked, &entry), tag_elements(&entry));
    Ok(format!("<User>{user}{tags}</User>"))
}

fn get_user(asked: &Asked<'_>) -> Answered {
    let Some(name) = asked.user("iam:GetUser")? else {
        let mut xml = String::from("<User>");
        element(&mut xml, "Path", "/");
        element(&mut xml, "UserName", asked.account());
        element(&mut xml, "UserId", &asked.principal.account.number);
        element(&mut xml, "Arn", &asked.principal.arn);
        let directory = asked.iam.directory();
        let created = directory.account_created(asked.account());
        element(&mut xml, "CreateDate", &moment(created));
        xml.push_str("</User>");
        return Ok(xml);
    };
    let directory = asked.iam.directory();
    let entry = asked.find(&directory, &name).ok_or_else(|| Failure::absent("user", &name))?;
    Ok(format!("<User>{}{}</User>", user_elements(asked, entry), tag_elements(entry)))
}

fn list_users(asked: &Asked<'_>) -> Answered {
    let prefix = asked.form.text("PathPrefix").unwrap_or("/");
    asked.authorize("iam:ListUsers", &asked.user_arn(prefix, ""))?;
    let directory = asked.iam.directory();
    let mine = |it: &&UserEntry| it.account == asked.account() && it.path.starts_with(prefix);
    let users: Vec<&UserEntry> = directory.user_entries().filter(mine).collect();
    asked.page(
        users,
        |entry| entry.name.as_str(),
        "Users",
        |xml, entry| {
            xml.push_str(&format!("<member>{}</member>", user_elements(asked, entry)));
        },
    )
}

async fn delete_user(asked: &Asked<'_>) -> Answered {
    let name = asked.named_user("iam:DeleteUser")?;
    let account = asked.account().to_owned();
    change(asked.iam, move |it| it.remove_user(&account, &name, false)).await?;
    Ok(String::new())
}

async fn create_access_key(asked: &Asked<'_>) -> Answered {
    let user = asked.user("iam:CreateAccessKey")?;
    let account = asked.account().to_owned();
    let shown = user.clone();
    let (key, entry) = change(asked.iam, move |it| {
        let key = AccessKey::generate()?;
        let entry = it.add_key(&account, user.as_deref(), &key)?;
        Ok((key, entry))
    })
    .await?;
    let mut xml = String::from("<AccessKey>");
    element(&mut xml, "UserName", shown.as_deref().unwrap_or(asked.account()));
    element(&mut xml, "AccessKeyId", &key.id);
    element(&mut xml, "Status", "Active");
    element(&mut xml, "SecretAccessKey", &key.secret.reveal());
    element(&mut xml, "CreateDate", &moment(entry.created));
    xml.push_str("</AccessKey>");
    Ok(xml)
}

fn list_access_keys(asked: &Asked<'_>) -> Answered {
    let user = asked.user("iam:ListAccessKeys")?;
    let directory = asked.iam.directory();
    let mine = |it: &&KeyEntry| it.account == asked.account() && it.user == user;
    let keys: Vec<&KeyEntry> = directory.key_entries().filter(mine).collect();
    asked.page(
        keys,
        |key| key.id.as_str(),
        "AccessKeyMetadata",
        |xml, key| {
            xml.push_str("<member>");
            element(xml, "UserName", user.as_deref().unwrap_or(asked.account()));
            element(xml, "AccessKeyId", &key.id);
            element(xml, "Status", if key.disabled { "Inactive" } else { "Active" });
            element(xml, "CreateDate", &moment(key.created));
            xml.push_str("</member>");
        },
    )
}

async fn update_access_key(asked: &Asked<'_>) -> Answered {
    let user = asked.user("iam:UpdateAccessKey")?;
    let id = asked.key(user.as_deref())?;
    let disabled = match asked.form.needed("Status")? {
        "Active" => false,
        "Inactive" => true,
        _ => return Err(Failure::invalid("Status must be Active or Inactive.")),
    };
    change(asked.iam, move |it| it.set_key(&id, disabled)).await?;
    Ok(String::new())
}

async fn delete_access_key(asked: &Asked<'_>) -> Answered {
    let user = asked.user("iam:DeleteAccessKey")?;
    let id = asked.key(user.as_deref())?;
    change(asked.iam, move |it| it.remove_key(&id)).await?;
    Ok(String::new())
}

async fn put_user_policy(asked: &Asked<'_>) -> Answered {
    let user = asked.named_user("iam:PutUserPolicy")?;
    let name = asked.form.needed("PolicyName")?.to_owned();
    let text = asked.form.needed("PolicyDocument")?.to_owned();
    let account = asked.account().to_owned();
    change(asked.iam, move |it| it.put_policy(&account, Holder::User(&user), &name, &text)).await?;
    Ok(String::new())
}

fn get_user_policy(asked: &Asked<'_>) -> Answered {
    let user = asked.named_user("iam:GetUserPolicy")?;
    let name = asked.form.needed("PolicyName")?;
    let directory = asked.iam.directory();
    let policies = directory.policies_of(asked.account(), Holder::User(&user));
    let absent = || Failure::absent("user policy", name);
    let text = policies.and_then(|policies| policies.get(name)).ok_or_else(absent)?;
    let mut xml = String::new();
    element(&mut xml, "UserName", &user);
    element(&mut xml, "PolicyName", name);
    // As IAM gives it: encoded as in RFC 3986.
    element(&mut xml, "PolicyDocument", &encoded(text));
    Ok(xml)
}

fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            true => out.push(char::from(byte)),
            false => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn list_user_policies(asked: &Asked<'_>) -> Answered {
    let user = asked.named_user("iam:ListUserPolicies")?;
    let directory = asked.iam.directory();
    let policies = directory.policies_of(asked.account(), Holder::User(&user));
    let names: Vec<&String> = policies.into_iter().flat_map(|it| it.keys()).collect();
    asked.page(names, |name| name.as_str(), "PolicyNames", |xml, name| element(xml, "member", name))
}

async fn delete_user_policy(asked: &Asked<'_>) -> Answered {
    let user = asked.named_user("iam:DeleteUserPolicy")?;
    let name = asked.form.needed("PolicyName")?.to_owned();
    let account = asked.account().to_owned();
    change(asked.iam, move |it| it.remove_policy(&account, Holder::User(&user), &name)).await?;
    Ok(String::new())
}
