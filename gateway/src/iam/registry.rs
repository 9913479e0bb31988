//! Owns: `Iam`, what the rest of the process asks of everyone that there is; reading the files again, and sessions.
//! Not here: the contents (`directory`), tokens (`sealing`).

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::directory::{Directory, Known, fingerprint};
use super::policy::{INVALID_PRINCIPAL, Kind, Malformed, Named, Policy};
use super::principal::{Account, Caller, Express, Principal, PrincipalKind, Session};
use super::sealing::{Claims, Kind as ClaimKind, Seal};
use crate::auth::{AuthError, Secrets};
use crate::credentials::document::Document;
use crate::credentials::file::{self, CredentialsError};
use crate::credentials::{AccessKey, Secret, unique_id};
use crate::limits;

/// Where everyone is written down.
#[derive(Debug, Clone)]
pub struct Places {
    /// The credentials file.
    pub credentials: PathBuf,
    /// The file of users that configuration names.
    pub users: Option<PathBuf>,
    /// A key that is valid whatever the files say.
    pub environment_key: Option<AccessKey>,
}

impl Places {
    /// Reads both files.
    ///
    /// # Errors
    /// When one can't be read, or they contradict each other.
    pub fn read(&self) -> Result<Directory, CredentialsError> {
        let stored = file::read(&self.credentials)?.unwrap_or_default();
        self.directory(stored)
    }

    fn directory(&self, stored: Document) -> Result<Directory, CredentialsError> {
        let declared = match &self.users {
            Some(path) => file::read_users(path)?,
            None => Document::default(),
        };
        Directory::of(stored, declared, self.environment_key.as_ref())
            .map_err(CredentialsError::Contradiction)
    }

    /// Changes the credentials file. `change` gets it with everyone that there is, and what it makes of
    /// it must go together with the file of users.
    ///
    /// # Errors
    /// Those of `change`, and of reading and writing; the file is then unchanged.
    pub fn change<T, E: From<CredentialsError>>(
        &self,
        change: impl FnOnce(&mut Document, &Directory) -> Result<T, E>,
    ) -> Result<T, E> {
        file::update(&self.credentials, |document| {
            let present = self.directory(document.clone())?;
            let answer = change(document, &present)?;
            let after = self.directory(document.clone())?;
            match (present.ids().next(), after.ids().next()) {
                // Nobody could sign any more, so nobody could let anybody in again.
                (Some(id), None) => Err(CredentialsError::Last(id.to_string()).into()),
                _ => Ok(answer),
            }
        })
    }
}

/// Everyone who may sign, shared by all lanes and replaced as a whole when something changes.
#[derive(Debug)]
pub struct Iam {
    directory: RwLock<Arc<Directory>>,
    places: Option<Places>,
    seal: Seal,
}

/// Temporary credentials.
#[derive(Debug, Clone)]
pub struct Issued {
    /// `ASIA…`.
    pub access_key: String,
    /// Its secret.
    pub secret: Secret,
    /// What must come with every request.
    pub token: String,
    /// Seconds since 1970.
    pub expires: i64,
}

impl Iam {
    /// These keys, as roots of the account `penstock`.
    pub fn new(keys: impl IntoIterator<Item = AccessKey>) -> Iam {
        let directory = RwLock::new(Arc::new(Directory::of_keys(keys)));
        Iam { directory, places: None, seal: Seal::default() }
    }

    /// Everyone of those files. Session tokens are sealed by `seal`, a file in the data directory.
    ///
    /// # Errors
    /// When a file can't be read, or they contradict each other.
    pub fn open(places: Places, seal: PathBuf) -> Result<Iam, CredentialsError> {
        let directory = RwLock::new(Arc::new(places.read()?));
        Ok(Iam { directory, places: Some(places), seal: Seal::open(seal)? })
    }

    /// Exchanges all keys at once: a request sees the old ones or the new ones.
    pub fn replace(&self, keys: impl IntoIterator<Item = AccessKey>) {
        self.install(Directory::of_keys(keys));
    }

    fn install(&self, directory: Directory) {
        // Nothing panics while the lock is held, so a poisoned lock has whole contents.
        *self.directory.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(directory);
    }

    /// Reads the files again. When they can't be read, or leave nobody who could sign, everyone stays as
    /// before: locking everybody out is the worse mistake.
    ///
    /// # Errors
    /// Why everyone stays.
    pub fn reload(&self) -> Result<usize, CredentialsError> {
        let Some(places) = &self.places else { return Ok(0) };
        let directory = places.read()?;
        let count = directory.ids().count();
        if count == 0 {
            return Err(CredentialsError::Unusable("no access key is valid".into()));
        }
        self.install(directory);
        Ok(count)
    }

    /// Where everyone is written down.
    pub fn places(&self) -> Option<&Places> {
        self.places.as_ref()
    }

    /// Everyone, as of now.
    pub fn directory(&self) -> Arc<Directory> {
        self.directory.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the credentials file and takes it up at once. Waits for the disk.
    ///
    /// # Errors
    /// As [`Places::change`].
    pub fn change<T, E: From<CredentialsError>>(
        &self,
        change: impl FnOnce(&mut Document, &Directory) -> Result<T, E>,
    ) -> Result<T, E> {
        let nowhere = || CredentialsError::Unusable("there is no credentials file".into());
        let answer = self.places.as_ref().ok_or_else(nowhere)?.change(change)?;
        self.reload()?;
        Ok(answer)
    }

    /// The secret of that id with its principal, when it is a valid key. One uncontended read lock.
    pub fn known(&self, id: &str) -> Option<Known> {
        self.directory.read().unwrap_or_else(PoisonError::into_inner).known(id).cloned()
    }

    /// Whether what was verified a while ago would be verified now: the key is there with its secret, or
    /// the session's principal.
    pub fn stands(&self, principal: &Principal) -> bool {
        match &principal.session {
            None => key_of(&self.directory(), &principal.access_key)
                .is_some_and(|present| present.fingerprint == principal.fingerprint),
            Some(session) => {
                session.expires > i64::try_from(file::now()).unwrap_or(i64::MAX)
                    && base_of(&self.directory(), &session.claims).is_some()
            }
        }
    }

    /// Whom a client certificate of that name stands for.
    pub fn of_certificate(&self, name: &str) -> Option<Arc<Principal>> {
        self.directory().of_certificate(name).cloned()
    }

    /// The account of a canonical id.
    pub fn account_by_id(&self, canonical_id: &str) -> Option<Arc<Account>> {
        self.directory().account_by_id(canonical_id).cloned()
    }

    /// The account with that e-mail address.
    pub fn account_by_email(&self, email: &str) -> Option<Arc<Account>> {
        self.directory().account_by_email(email).cloned()
    }

    /// The ids of all valid keys, sorted.
    pub fn ids(&self) -> Vec<Arc<str>> {
        self.directory().ids().cloned().collect()
    }

    /// Whether everyone that a bucket's policy names is there.
    ///
    /// # Errors
    /// `Invalid principal in policy`, with the one that is not.
    pub fn check_principals(&self, policy: &Policy) -> Result<(), Malformed> {
        let directory = self.directory();
        let unknown = |name: &str| Malformed {
            message: INVALID_PRINCIPAL.into(),
            place: format!("\"{name}\" is not there"),
        };
        let number = |number: &str| directory.accounts().any(|it| *it.number == *number);
        for named in policy.named() {
            let (name, there) = match named {
                Named::Any | Named::Nobody => continue,
                Named::Account(it) => (it, number(it)),
                Named::Canonical(id) => (id, directory.account_by_id(id).is_some()),
                Named::User(arn) => (arn, directory.users().any(|it| it.arn == *arn)),
                Named::Role(arn) => (arn, directory.roles().any(|it| it.principal.arn == *arn)),
                // Sessions come and go.
                Named::Session(arn) => (arn, arn.split(':').nth(4).is_some_and(number)),
            };
            if !there {
                return Err(unknown(name));
            }
        }
        Ok(())
    }

    /// Issues temporary credentials; `claims` has all but the access key. May wait for the disk.
    ///
    /// # Errors
    /// When there are no random numbers, or the key of the seal can't be made durable.
    pub(crate) fn issue(&self, mut claims: Claims) -> Result<Issued, CredentialsError> {
        claims.access_key = unique_id("ASIA")?;
        let (token, secret) = self.seal.seal(&claims, file::now())?;
        if token.len() > limits::SESSION_TOKEN_BYTES_MAX {
            return Err(CredentialsError::Unusable(
                "the session's policy and tags take more than a token holds".into(),
            ));
        }
        Ok(Issued { access_key: claims.access_key, secret, token, expires: claims.expires })
    }

    /// The claims that a session of this principal begins with: of a session those of it.
    pub(crate) fn claims_of(principal: &Principal, issued: i64, expires: i64) -> Claims {
        if let Some(session) = &principal.session {
            let expires = expires.min(session.expires);
            return Claims { issued, expires, ..session.claims.clone() };
        }
        let is_root = principal.kind == PrincipalKind::Root;
        Claims {
            account: principal.account.name.to_string(),
            kind: if is_root { ClaimKind::Root } else { ClaimKind::User },
            name: principal.user.as_deref().unwrap_or_default().to_owned(),
            id: if is_root { String::new() } else { principal.id.to_string() },
            origin: Some(principal.access_key.to_string()),
            issued,
            expires,
            ..Claims::default()
        }
    }

    /// Issues a session of S3 Express: five minutes, that bucket alone. May wait for the disk.
    ///
    /// # Errors
    /// As `issue`.
    pub fn create_session(
        &self,
        principal: &Principal,
        bucket: &str,
        read_only: bool,
    ) -> Result<Issued, CredentialsError> {
        let now = i64::try_from(file::now()).unwrap_or(i64::MAX);
        let claims = Iam::claims_of(principal, now, now + limits::EXPRESS_SESSION_SECONDS);
        self.issue(Claims { express: Some((bucket.to_owned(), read_only)), ..claims })
    }

    fn of_token(&self, access_key: &str, token: &[u8], now: i64) -> Result<Known, AuthError> {
        let (claims, secret) = self.seal.open_token(token).ok_or(AuthError::InvalidToken)?;
        if claims.access_key != access_key {
            return Err(AuthError::InvalidToken);
        }
        if claims.expires <= now {
            return Err(AuthError::ExpiredToken);
        }
        let base = base_of(&self.directory(), &claims).ok_or(AuthError::InvalidToken)?;
        let policy = match &claims.policy {
            Some(text) => Some(
                Policy::parse(text.as_bytes(), Kind::Identity)
                    .map_err(|_| AuthError::InvalidToken)?,
            ),
            None => None,
        };
        let principal = with_session(base, claims, policy, fingerprint(&secret));
        Ok(Known { secret, principal: Arc::new(principal) })
    }
}

/// Whose key it is, or whose certificate.
fn key_of<'d>(directory: &'d Directory, key: &str) -> Option<&'d Arc<Principal>> {
    match key.strip_prefix("certificate:") {
        Some(name) => directory.of_certificate(name),
        None => directory.known(key).map(|known| &known.principal),
    }
}

/// Whose session it is, if that one is still let in.
fn base_of(directory: &Directory, claims: &Claims) -> Option<Principal> {
    let account = directory.account(&claims.account)?;
    if let Some(origin) = &claims.origin {
        key_of(directory, origin)?;
    }
    match claims.kind {
        ClaimKind::Root => Some(Principal::root("".into(), account.clone(), [0; 8])),
        ClaimKind::User => {
            let user = directory.user(&claims.account, &claims.name)?;
            (*user.id == *claims.id).then(|| Principal::clone(user))
        }
        ClaimKind::Role => {
            let role = directory.role(&claims.account, &claims.name)?;
            let same = !role.disabled && *role.principal.id == *claims.id;
            same.then(|| Principal::clone(&role.principal))
        }
    }
}

fn with_session(
    mut principal: Principal,
    claims: Claims,
    policy: Option<Policy>,
    fingerprint: [u8; 8],
) -> Principal {
    principal.access_key = claims.access_key.as_str().into();
    principal.fingerprint = fingerprint;
    if let (ClaimKind::Role, Some(name)) = (claims.kind, &claims.session) {
        principal.arn = role_session_arn(&principal, name).into();
        principal.id = format!("{}:{name}", principal.id).into();
    }
    if !claims.tags.is_empty() {
        let tags = claims.tags.iter().map(|(k, v)| (k.as_str().into(), v.as_str().into()));
        // The session's go before the role's.
        principal.tags = tags.chain(principal.tags.iter().cloned()).collect();
    }
    principal.session = Some(Session {
        issued: claims.issued,
        expires: claims.expires,
        name: claims.session.as_deref().map(Box::from),
        policy,
        express: claims.express.as_ref().map(|(bucket, read_only)| Express {
            bucket: bucket.as_str().into(),
            read_only: *read_only,
        }),
        claims,
    });
    principal
}

/// `arn:aws:sts::NUMBER:assumed-role/ROLE/SESSION`.
pub(crate) fn role_session_arn(role: &Principal, session: &str) -> String {
    let name = role.user.as_deref().unwrap_or_default();
    format!("arn:aws:sts::{}:assumed-role/{name}/{session}", role.account.number)
}

/// What the verifier of one lane asks: sessions whose tokens it has opened are kept, so that a token is opened once.
pub struct LaneKeys {
    iam: Arc<Iam>,
    sessions: Mutex<HashMap<Box<[u8]>, Kept>>,
}

/// A session as of a state of everyone.
struct Kept {
    directory: Arc<Directory>,
    known: Known,
}

impl LaneKeys {
    /// For one lane.
    pub fn new(iam: Arc<Iam>) -> LaneKeys {
        LaneKeys { iam, sessions: Mutex::default() }
    }

    fn of_token(&self, key: &str, token: &[u8], now: i64) -> Result<Known, AuthError> {
        // One verifier asks, so the lock is free; where it is not, the token is opened.
        let Ok(mut sessions) = self.sessions.try_lock() else {
            return self.iam.of_token(key, token, now);
        };
        let directory = self.iam.directory();
        if let Some(kept) = sessions.get(token)
            && Arc::ptr_eq(&kept.directory, &directory)
            && *kept.known.principal.access_key == *key
            && kept.known.principal.session.as_ref().is_some_and(|it| it.expires > now)
        {
            return Ok(kept.known.clone());
        }
        sessions.remove(token);
        let known = self.iam.of_token(key, token, now)?;
        if sessions.len() >= limits::SESSIONS_KEPT_MAX {
            sessions.clear();
        }
        sessions.insert(token.into(), Kept { directory, known: known.clone() });
        Ok(known)
    }
}

impl Secrets for Iam {
    fn known(&self, key: &str, token: Option<&[u8]>, now: i64) -> Result<Known, AuthError> {
        match (token, Iam::known(self, key)) {
            (None, Some(known)) => Ok(known),
            (None, None) => Err(AuthError::InvalidAccessKeyId(key.into())),
            (Some(_), Some(_)) => Err(AuthError::InvalidToken),
            (Some(token), None) => self.of_token(key, token, now),
        }
    }
}

impl Default for Iam {
    fn default() -> Iam {
        Iam::new([])
    }
}

impl Secrets for LaneKeys {
    fn known(&self, key: &str, token: Option<&[u8]>, now: i64) -> Result<Known, AuthError> {
        match (token, self.iam.known(key)) {
            (None, Some(known)) => Ok(known),
            (None, None) => Err(AuthError::InvalidAccessKeyId(key.into())),
            (Some(_), Some(_)) => Err(AuthError::InvalidToken),
            (Some(token), None) => self.of_token(key, token, now),
        }
    }
}

impl Caller {
    /// The one of a client certificate of that name, where it stands for somebody.
    pub fn of_certificate(iam: &Iam, name: &str) -> Option<Caller> {
        iam.of_certificate(name).map(Caller::Principal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000;

    fn key(id: &str) -> AccessKey {
        AccessKey { id: id.into(), secret: Secret::new("a-secret-of-its-own") }
    }

    fn session(iam: &Iam, of: &str, expires: i64) -> Issued {
        let principal = iam.known(of).unwrap().principal;
        iam.issue(Iam::claims_of(&principal, NOW, expires)).unwrap()
    }

    #[test]
    fn a_session_is_known_by_key_and_token_together_until_its_end() {
        let iam = Arc::new(Iam::new([key("OPERATOR")]));
        let lane = LaneKeys::new(iam.clone());
        let issued = session(&iam, "OPERATOR", NOW + 900);
        let (id, token) = (issued.access_key.as_str(), Some(issued.token.as_bytes()));
        for round in 0..2 {
            let known = lane.known(id, token, NOW + 899).unwrap();
            assert_eq!(known.secret, issued.secret, "round {round}");
            assert_eq!(&*known.principal.arn, "arn:aws:iam::000000000000:root");
        }
        let code = |key: &str, token: Option<&[u8]>, now| lane.known(key, token, now).unwrap_err();
        assert_eq!(code(id, token, NOW + 900), AuthError::ExpiredToken);
        assert_eq!(code(id, Some(b"junk"), NOW), AuthError::InvalidToken);
        assert_eq!(code(id, None, NOW), AuthError::InvalidAccessKeyId(id.into()));
        assert_eq!(code("ASIAOTHER", token, NOW), AuthError::InvalidToken);
        assert_eq!(code("OPERATOR", token, NOW), AuthError::InvalidToken);
        // With the key it was asked for by, the session ends.
        assert!(lane.known(id, token, NOW).is_ok());
        iam.replace([key("OTHER")]);
        assert_eq!(code(id, token, NOW), AuthError::InvalidToken);
        iam.replace([key("OPERATOR")]);
        assert!(lane.known(id, token, NOW).is_ok());
    }

    #[test]
    fn kept_sessions_are_bounded() {
        let iam = Arc::new(Iam::new([key("OPERATOR")]));
        let lane = LaneKeys::new(iam.clone());
        for _ in 0..=limits::SESSIONS_KEPT_MAX {
            let issued = session(&iam, "OPERATOR", NOW + 900);
            lane.known(&issued.access_key, Some(issued.token.as_bytes()), NOW).unwrap();
        }
        assert!(lane.sessions.lock().unwrap().len() <= limits::SESSIONS_KEPT_MAX);
    }

    #[test]
    fn a_session_of_a_session_lasts_no_longer() {
        let iam = Arc::new(Iam::new([key("OPERATOR")]));
        let lane = LaneKeys::new(iam.clone());
        let first = session(&iam, "OPERATOR", NOW + 900);
        let known = lane.known(&first.access_key, Some(first.token.as_bytes()), NOW).unwrap();
        let claims = Iam::claims_of(&known.principal, NOW + 1, NOW + 5_000);
        assert_eq!((claims.expires, claims.origin.as_deref()), (NOW + 900, Some("OPERATOR")));
    }

    #[test]
    fn policies_may_name_only_who_is_there() {
        let iam = Iam::new([key("OPERATOR")]);
        let check = |principal: &str| {
            let text = format!(
                r#"{{"Statement":{{"Effect":"Deny","Principal":{principal},"Action":"s3:*","Resource":"arn:aws:s3:::b/*"}}}}"#
            );
            iam.check_principals(&Policy::parse(text.as_bytes(), Kind::Bucket).unwrap())
        };
        for there in [
            r#""*""#,
            r#"{"AWS":"000000000000"}"#,
            r#"{"CanonicalUser":"penstock"}"#,
            r#"{"Service":"logging.s3.amazonaws.com"}"#,
            r#"{"AWS":"arn:aws:sts::000000000000:assumed-role/r/s"}"#,
        ] {
            assert_eq!(check(there), Ok(()), "{there}");
        }
        for absent in [
            r#"{"AWS":"123456789012"}"#,
            r#"{"AWS":"arn:aws:iam::000000000000:user/nobody"}"#,
            r#"{"AWS":"arn:aws:iam::000000000000:role/none"}"#,
            r#"{"CanonicalUser":"nobody"}"#,
        ] {
            let error = check(absent).unwrap_err().to_string();
            assert!(error.starts_with("Invalid principal in policy"), "{absent}: {error}");
        }
    }
}
