//! Which certificate is shown for which name.
//!
//! Owns: the choice by the name that the client asks for (SNI, RFC 6066): the certificate of that very
//! name, else one for all names of its domain, else the first. A client that names nothing, or a name
//! that nobody has, gets the first, too: whether that will do is the client's to decide.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate::Facts;

/// The certificates, by name.
#[derive(Debug)]
pub struct Certificates {
    first: Arc<CertifiedKey>,
    exact: HashMap<Box<str>, Arc<CertifiedKey>>,
    /// By the domain behind `*.`.
    wildcards: HashMap<Box<str>, Arc<CertifiedKey>>,
}

impl Certificates {
    /// With the one that is shown when no other fits.
    pub fn new(first: Arc<CertifiedKey>, facts: &Facts) -> Certificates {
        let mut all =
            Certificates { first: first.clone(), exact: HashMap::new(), wildcards: HashMap::new() };
        all.add(&first, facts);
        all
    }

    /// One more. A name that another has already stays that one's; the answer says which those are.
    pub fn add(&mut self, certificate: &Arc<CertifiedKey>, facts: &Facts) -> Vec<String> {
        let mut taken = Vec::new();
        for name in &facts.dns_names {
            let (names, key) = match name.strip_prefix("*.") {
                Some(domain) => (&mut self.wildcards, domain),
                None => (&mut self.exact, name.as_str()),
            };
            match names.contains_key(key) {
                true => taken.push(name.clone()),
                false => {
                    names.insert(key.into(), certificate.clone());
                }
            }
        }
        taken
    }

    /// The one for that name, in lower case.
    pub fn find(&self, name: Option<&str>) -> &Arc<CertifiedKey> {
        let named = name.and_then(|name| {
            // A wildcard stands for one label (RFC 6125, 6.4.3).
            let domain = || name.split_once('.').map(|(_, domain)| domain);
            self.exact.get(name).or_else(|| self.wildcards.get(domain()?))
        });
        named.unwrap_or(&self.first)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        Some(self.find(name.as_deref()).clone())
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::tls::provider;

    fn made(names: &[&str]) -> (Arc<CertifiedKey>, Facts) {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        let facts = Facts::of(certificate.der()).unwrap();
        let chain = vec![certificate.der().clone()];
        let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        (Arc::new(CertifiedKey::from_der(chain, key, &provider()).unwrap()), facts)
    }

    #[test]
    fn the_nearest_name_decides() {
        let (first, facts) = made(&["s3.example.com", "*.s3.example.com"]);
        let mut all = Certificates::new(first.clone(), &facts);
        let (other, facts) = made(&["models.s3.example.com", "*.example.org"]);
        assert!(all.add(&other, &facts).is_empty());
        let (late, facts) = made(&["models.s3.example.com"]);
        assert_eq!(all.add(&late, &facts), ["models.s3.example.com"]);
        for (name, expected) in [
            (Some("s3.example.com"), &first),
            (Some("bucket.s3.example.com"), &first),
            (Some("models.s3.example.com"), &other),
            (Some("a.example.org"), &other),
            (Some("a.b.example.org"), &first),
            (Some("example.org"), &first),
            (Some("unknown"), &first),
            (None, &first),
        ] {
            assert!(Arc::ptr_eq(all.find(name), expected), "{name:?}");
        }
    }
}
