//! Tests of the verifier as a whole: published vectors, vectors of botocore, and every refusal.

mod botocore;
mod client;
mod forms;
mod published;
mod rdma;
mod refusals;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Request;
use http::request::Parts;

use super::*;
use crate::iam::{Known, Principal};

/// Key pairs that a test can change while a verifier uses them.
#[derive(Default)]
struct Table(Mutex<HashMap<String, Secret>>);

impl Secrets for Table {
    fn known(&self, key: &str, token: Option<&[u8]>, _: i64) -> Result<Known, AuthError> {
        let secret = self.0.lock().expect("no panic holds it").get(key).cloned();
        let secret = secret.ok_or_else(|| AuthError::InvalidAccessKeyId(key.into()))?;
        match token {
            None => Ok(Known { secret, principal: Arc::new(Principal::operator(key.into())) }),
            Some(_) => Err(AuthError::InvalidToken),
        }
    }
}

fn table(pairs: &[(&str, &str)]) -> Arc<Table> {
    let secrets =
        pairs.iter().map(|&(key, secret)| (key.to_owned(), Secret::new(secret))).collect();
    Arc::new(Table(Mutex::new(secrets)))
}

fn at(unix: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(unix)
}

fn head(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request").into_parts().0
}
