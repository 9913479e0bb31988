//! Owns: objects put and got by the product's client half, in both protocols alike.

use rdma::client::{Client, ClientError, ClientOptions, Done, Get, Outcome, Path, Pool, Put};
use rdma::fabric::Buffer;

use super::control::HttpControl;
use super::exchange::Asker;
use super::host::Host;
use super::transcript::Transcript;

/// How an object's bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// hipobj-rc-v2: a session for each object.
    Session,
    /// A connection for many.
    Pooled,
}

impl Protocol {
    /// Both.
    pub const ALL: [Protocol; 2] = [Protocol::Session, Protocol::Pooled];

    /// `session` or `pooled`.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Session => "session",
            Protocol::Pooled => "pooled",
        }
    }
}

/// A client of one server. Its pool is made when it is first needed.
pub struct Objects {
    client: Client,
    control: HttpControl,
    pool: tokio::sync::OnceCell<Pool>,
}

impl Objects {
    /// A client on this host.
    pub fn new(host: &Host, asker: Asker) -> Self {
        Self::with(host, HttpControl::new(asker), ClientOptions::default())
    }

    /// The same, writing down its HTTP.
    pub fn recorded(host: &Host, asker: Asker, transcript: &Transcript) -> Self {
        let control = HttpControl::new(asker).recorded(transcript);
        Self::with(host, control, ClientOptions::default())
    }

    /// The same with options.
    pub fn with(host: &Host, control: HttpControl, options: ClientOptions) -> Self {
        let client = Client::new((*host.endpoint).clone(), options);
        Self { client, control, pool: tokio::sync::OnceCell::new() }
    }

    /// The client half.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Its HTTP.
    pub fn control(&self) -> &HttpControl {
        &self.control
    }

    async fn pool(&self) -> Result<&Pool, ClientError> {
        self.pool.get_or_try_init(|| self.client.connect(&self.control)).await
    }

    /// PutObject or UploadPart from the start of the memory, which comes back with success.
    ///
    /// # Errors
    /// The client half's.
    pub async fn try_put(
        &self,
        protocol: Protocol,
        put: &Put,
        memory: Buffer,
    ) -> Result<Done<Buffer>, ClientError> {
        let done = match protocol {
            Protocol::Session => self.client.put(&self.control, put, memory).await,
            Protocol::Pooled => self.pool().await?.put(&self.control, put, memory).await,
        };
        done.map_err(|failed| failed.error)
    }

    /// GetObject to the start of the memory, which comes back with success.
    ///
    /// # Errors
    /// The client half's.
    pub async fn try_get(
        &self,
        protocol: Protocol,
        get: &Get,
        memory: Buffer,
    ) -> Result<Done<Buffer>, ClientError> {
        let done = match protocol {
            Protocol::Session => self.client.get(&self.control, get, memory).await,
            Protocol::Pooled => self.pool().await?.get(&self.control, get, memory).await,
        };
        done.map_err(|failed| failed.error)
    }

    /// As [`Self::try_put`], and it must succeed by RDMA.
    ///
    /// # Panics
    /// When it does not.
    pub async fn put(&self, protocol: Protocol, put: &Put, memory: Buffer) -> (Buffer, Outcome) {
        let done = self.try_put(protocol, put, memory).await;
        by_rdma(done, protocol, &put.key, put.bytes)
    }

    /// As [`Self::try_get`], and it must succeed by RDMA with so many bytes.
    ///
    /// # Panics
    /// When it does not.
    pub async fn get(
        &self,
        protocol: Protocol,
        get: &Get,
        bytes: u64,
        memory: Buffer,
    ) -> (Buffer, Outcome) {
        let done = self.try_get(protocol, get, memory).await;
        by_rdma(done, protocol, &get.key, bytes)
    }

    /// Ends the pool's connections.
    pub async fn disconnect(self) {
        if let Some(pool) = self.pool.into_inner() {
            pool.disconnect(&self.control).await;
        }
    }
}

impl std::fmt::Debug for Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Objects").field("control", &self.control).finish_non_exhaustive()
    }
}

fn by_rdma(
    done: Result<Done<Buffer>, ClientError>,
    protocol: Protocol,
    key: &str,
    bytes: u64,
) -> (Buffer, Outcome) {
    let name = protocol.name();
    let done = done.unwrap_or_else(|error| panic!("{name}, {key}, {bytes} bytes: {error}"));
    assert_eq!(done.outcome.path, Path::Rdma, "{name}, {key}");
    assert_eq!(done.outcome.bytes, bytes, "{name}, {key}");
    (done.memory, done.outcome)
}
