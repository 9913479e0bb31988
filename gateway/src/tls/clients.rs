//! Whose certificate a client has shown: names of certificates become users.
//!
//! Owns: the rows of `tls.client_users` and the rule by which they are tried: in their order, the
//! first that fits.
//! Not here: whether the certificate is to be believed (rustls has verified it against
//! `tls.client_ca` by then), what a user may do.

use std::sync::Arc;

use super::certificate::Facts;

/// Which name of a certificate a row looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameKind {
    /// The subject's common name.
    CommonName,
    /// A DNS name.
    Dns,
    /// An address of mail.
    Email,
    /// A URI.
    Uri,
}

/// One row of `tls.client_users`: `KIND:NAME=USER`, or `KIND:*` for "the user of that name".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientUser {
    kind: NameKind,
    /// The name that has to be there; `None` for any.
    name: Option<Box<str>>,
    /// The user; `None` for the name itself.
    user: Option<Arc<str>>,
}

const KINDS: [(&str, NameKind); 4] = [
    ("CN", NameKind::CommonName),
    ("DNS", NameKind::Dns),
    ("EMAIL", NameKind::Email),
    ("URI", NameKind::Uri),
];

impl ClientUser {
    /// Reads a row.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_text(text: &str) -> Result<ClientUser, &'static str> {
        let (kind, rest) = text.split_once(':').ok_or("no kind of name before a colon")?;
        let kind = KINDS.iter().find(|(word, _)| *word == kind).map(|(_, kind)| *kind);
        let kind = kind.ok_or("the kind of name is none of CN, DNS, EMAIL and URI")?;
        if rest == "*" {
            return Ok(ClientUser { kind, name: None, user: None });
        }
        // Users' names have no "="; URIs may.
        let (name, user) = rest.rsplit_once('=').ok_or("no user after an equals sign")?;
        if name.is_empty() || user.is_empty() {
            return Err("the name or the user is empty");
        }
        let name = match kind {
            NameKind::Dns => name.to_ascii_lowercase(),
            _ => name.to_owned(),
        };
        let name = if name == "*" { None } else { Some(name.into()) };
        Ok(ClientUser { kind, name, user: Some(user.into()) })
    }

    fn user(&self, facts: &Facts) -> Option<Arc<str>> {
        let names = match self.kind {
            NameKind::CommonName => facts.common_name.as_slice(),
            NameKind::Dns => &facts.dns_names,
            NameKind::Email => &facts.emails,
            NameKind::Uri => &facts.uris,
        };
        let found =
            names.iter().find(|name| self.name.as_ref().is_none_or(|it| **it == ***name))?;
        Some(self.user.clone().unwrap_or_else(|| found.as_str().into()))
    }
}

/// The user of a certificate; none when no row fits.
pub fn user(rows: &[ClientUser], facts: &Facts) -> Option<Arc<str>> {
    rows.iter().find_map(|row| row.user(facts))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            common_name: Some("loader".into()),
            dns_names: vec!["gpu-1.example.com".into()],
            uris: vec!["spiffe://example.com/a=b".into()],
            ..Facts::default()
        }
    }

    fn user_by(rows: &[&str]) -> Option<String> {
        let rows: Vec<_> = rows.iter().map(|row| ClientUser::from_text(row).unwrap()).collect();
        user(&rows, &facts()).map(|user| user.to_string())
    }

    #[test]
    fn the_first_row_that_fits_decides() {
        assert_eq!(
            user_by(&["CN:other=a", "DNS:GPU-1.example.com=b", "CN:loader=c"]).unwrap(),
            "b"
        );
        assert_eq!(user_by(&["CN:*"]).unwrap(), "loader");
        assert_eq!(user_by(&["CN:*=all"]).unwrap(), "all");
        assert_eq!(user_by(&["URI:spiffe://example.com/a=b=c"]).unwrap(), "c");
        assert_eq!(user_by(&["EMAIL:*", "DNS:*.example.com=no"]), None);
    }

    #[test]
    fn what_is_no_row_is_refused() {
        for text in ["loader=a", "cn:loader=a", "CN:loader", "CN:=a", "CN:loader=", ""] {
            assert!(ClientUser::from_text(text).is_err(), "{text}");
        }
    }
}
