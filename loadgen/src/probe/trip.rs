//! Owns the round trip: one object of 64 KiB, with a name of its own, is written, read, compared and deleted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdma::client::{Client, ClientError, ClientOptions, Get, Method, Outcome, Path, Pool, Put};
use rdma::fabric::{Buffer, Endpoint, Fabric};
use serde::Serialize;

use super::server::{Server, ask};
use crate::content::Content;
use crate::limits;
use crate::rdma::{HttpControl, Protocol};
use crate::sign::encode;

/// How one protocol did.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Trip {
    pub(crate) protocol: &'static str,
    /// The object's key; it is deleted.
    pub(crate) key: String,
    pub(crate) bytes: u64,
    /// Pooled: the time of connecting.
    pub(crate) connect_us: Option<f64>,
    pub(crate) put: Option<Step>,
    pub(crate) get: Option<Step>,
    /// What failed.
    pub(crate) error: Option<String>,
}

/// One way.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Step {
    pub(crate) us: f64,
    pub(crate) by_rdma: bool,
    /// Why it went by HTTP.
    pub(crate) decline: Option<String>,
}

impl Trip {
    /// Both ways went by RDMA, and the bytes are right.
    pub(crate) fn is_good(&self) -> bool {
        let by_rdma = |step: &Option<Step>| step.as_ref().is_some_and(|step| step.by_rdma);
        self.error.is_none() && by_rdma(&self.put) && by_rdma(&self.get)
    }

    /// What is in the way.
    pub(crate) fn problem(&self) -> Option<String> {
        let declined =
            [("PUT", &self.put), ("GET", &self.get)].into_iter().find_map(|(name, step)| {
                let why = step.as_ref()?.decline.as_ref()?;
                Some(format!("{name} went by HTTP: {why}"))
            });
        let why = self.error.clone().or(declined)?;
        Some(format!("{} protocol: {why}", self.protocol))
    }
}

/// Where to try.
pub(super) struct Place<'a> {
    pub(super) control: &'a HttpControl,
    pub(super) bucket: &'a str,
    pub(super) fabric: &'a Arc<dyn Fabric>,
    pub(super) time: Duration,
}

impl Place<'_> {
    /// Tries every protocol that the server names.
    pub(super) async fn try_all(&self, server: &Server) -> Vec<Trip> {
        let capabilities = server.capabilities();
        let mut trips = Vec::new();
        for (named, protocol) in
            [(capabilities.pooled, Protocol::Pooled), (capabilities.sessions, Protocol::Session)]
        {
            if named {
                trips.push(self.try_one(protocol).await);
            }
        }
        trips
    }

    async fn try_one(&self, protocol: Protocol) -> Trip {
        let mut trip = Trip {
            protocol: protocol.name(),
            key: String::new(),
            bytes: limits::PROBE_OBJECT_BYTES as u64,
            connect_us: None,
            put: None,
            get: None,
            error: None,
        };
        // Nobody else's object: 128 random bits, as sessions have them.
        match rdma::wire::SessionId::random() {
            Ok(random) => trip.key = format!("{}{random}", limits::PROBE_PREFIX),
            Err(error) => {
                trip.error = Some(format!("the system has no random bits: {error}"));
                return trip;
            }
        }
        if let Err(error) = self.there_and_back(protocol, &mut trip).await {
            trip.error = Some(error);
        }
        if trip.put.is_some()
            && let Err(error) = self.delete(&trip.key).await
        {
            let why = format!("the object {} could not be deleted: {error}", trip.key);
            trip.error.get_or_insert(why);
        }
        trip
    }

    async fn there_and_back(&self, protocol: Protocol, trip: &mut Trip) -> Result<(), String> {
        let endpoint = Endpoint::open(self.fabric).map_err(|error| error.to_string())?;
        let options = ClientOptions {
            connect_time: self.time,
            transfer_time: self.time,
            pool_connections: 1,
            ..ClientOptions::default()
        };
        let client = Client::new(endpoint, options);
        let pool = match protocol {
            Protocol::Session => None,
            Protocol::Pooled => {
                let begun = Instant::now();
                let pool = client.connect(self.control).await;
                let pool = pool.map_err(|error| format!("connecting: {}", explained(&error)))?;
                trip.connect_us = Some(microseconds(begun));
                Some(pool)
            }
        };
        let result = self.move_both(&client, pool.as_ref(), trip).await;
        if let Some(pool) = pool {
            pool.disconnect(self.control).await;
        }
        result
    }

    async fn move_both(
        &self,
        client: &Client,
        pool: Option<&Pool>,
        trip: &mut Trip,
    ) -> Result<(), String> {
        let content = Content::new(0, &trip.key);
        let buffer = || Buffer::allocate(&**self.fabric, limits::PROBE_OBJECT_BYTES);
        let mut source = buffer().map_err(|error| error.to_string())?;
        content.fill(0, source.as_mut_slice().ok_or("a buffer that is in use")?);
        let put = Put::object(self.bucket, &trip.key, trip.bytes);
        let begun = Instant::now();
        let done = match pool {
            Some(pool) => pool.put(self.control, &put, source).await,
            None => client.put(self.control, &put, source).await,
        };
        let done = done.map_err(|failed| format!("PUT: {}", explained(&failed.error)))?;
        trip.put = Some(Step::new(begun, &done.outcome));
        let get = Get::object(self.bucket, &trip.key);
        let sink = buffer().map_err(|error| error.to_string())?;
        let begun = Instant::now();
        let done = match pool {
            Some(pool) => pool.get(self.control, &get, sink).await,
            None => client.get(self.control, &get, sink).await,
        };
        let done = done.map_err(|failed| format!("GET: {}", explained(&failed.error)))?;
        trip.get = Some(Step::new(begun, &done.outcome));
        if done.outcome.bytes != trip.bytes {
            return Err(format!("{} bytes came back of {}", done.outcome.bytes, trip.bytes));
        }
        match content.first_difference(0, done.memory.as_slice()) {
            Some(offset) => Err(format!("other bytes came back, from offset {offset} on")),
            None => Ok(()),
        }
    }

    async fn delete(&self, key: &str) -> Result<(), String> {
        let mut target = "/".to_owned();
        encode(self.bucket, &mut target, false);
        target.push('/');
        encode(key, &mut target, true);
        let (head, _) = ask(self.control, Method::Delete, target, self.time).await?;
        match head.is_success() {
            true => Ok(()),
            false => Err(format!("answered {}", head.status)),
        }
    }
}

impl Step {
    fn new(begun: Instant, outcome: &Outcome) -> Step {
        let decline = match outcome.path {
            Path::Rdma => None,
            Path::Http(decline) => Some(decline.to_string()),
        };
        Step { us: microseconds(begun), by_rdma: decline.is_none(), decline }
    }
}

fn microseconds(since: Instant) -> f64 {
    since.elapsed().as_nanos() as f64 / 1e3
}

/// The error, with what is behind it most often.
fn explained(error: &ClientError) -> String {
    let hint = match error {
        ClientError::Work { .. } | ClientError::Deadline { .. } => {
            "; packets do not arrive: compare the path MTU of both ends, and let UDP port 4791 pass"
        }
        ClientError::Refused { status: 500, .. } => {
            "; the server could not reach this machine: compare the path MTU of both ends, and let \
             UDP port 4791 pass"
        }
        ClientError::Refused { status: 403, .. } => {
            "; these keys may not do that, or the clocks of both machines differ"
        }
        _ => "",
    };
    format!("{error}{hint}")
}
