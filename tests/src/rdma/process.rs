//! Owns: a client in a process of its own that goes as far as one step and stays there, to be killed.
//! The program is `rdma-client` (`tests/vm/rdma_client.rs`).

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use crate::sign::Credentials;

/// Where the client stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A GET's session is prepared.
    GetPrepared,
    /// READY of a GET was sent; bytes are on their way.
    GetMoving,
    /// A PUT's session is prepared.
    PutPrepared,
    /// READY of a PUT was sent, the write is posted; bytes are on their way.
    PutMoving,
    /// All bytes of a PUT are there, but for the immediate.
    PutWritten,
    /// All of it is there; nobody reads the answer.
    PutFinished,
    /// A GET over a pooled connection was sent.
    PooledGetMoving,
    /// A PUT over a pooled connection was sent.
    PooledPutMoving,
}

impl Step {
    /// All of them.
    pub const ALL: [Step; 8] = [
        Step::GetPrepared,
        Step::GetMoving,
        Step::PutPrepared,
        Step::PutMoving,
        Step::PutWritten,
        Step::PutFinished,
        Step::PooledGetMoving,
        Step::PooledPutMoving,
    ];

    /// The one of that name, which is its `Debug` form.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| format!("{step:?}") == name)
    }

    /// Whether it is one of a pooled connection.
    pub fn is_pooled(self) -> bool {
        matches!(self, Step::PooledGetMoving | Step::PooledPutMoving)
    }

    /// Whether bytes move when the client says that it is there.
    pub fn is_moving(self) -> bool {
        use Step::{GetMoving, PooledGetMoving, PooledPutMoving, PutMoving};
        matches!(self, GetMoving | PutMoving | PooledGetMoving | PooledPutMoving)
    }
}

/// Such a process. Killed when dropped.
#[derive(Debug)]
pub struct ClientProcess(Child);

/// What it prints when it is there.
pub const THERE: &str = "there";

impl ClientProcess {
    /// Starts `program` and waits until it is at the step: with this object of so many bytes.
    ///
    /// # Panics
    /// When it does not get there.
    pub fn at(
        program: &str,
        step: Step,
        server: SocketAddr,
        credentials: &Credentials,
        target: &str,
        bytes: u64,
    ) -> Self {
        let mut child = Command::new(program)
            .args(["stay", &server.to_string(), target, &bytes.to_string(), &format!("{step:?}")])
            .env("AWS_ACCESS_KEY_ID", &credentials.access_key)
            .env("AWS_SECRET_ACCESS_KEY", &credentials.secret_key)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let process = Self(child);
        for line in output.lines() {
            if line.expect("its output can be read") == THERE {
                return process;
            }
        }
        panic!("{program} ended before {step:?}");
    }

    /// kill -9.
    ///
    /// # Panics
    /// When it had ended by itself.
    pub fn kill(mut self) {
        assert!(self.0.try_wait().expect("the child can be asked").is_none(), "it had ended");
        self.end();
    }

    fn end(&mut self) {
        // It may have ended meanwhile.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for ClientProcess {
    fn drop(&mut self) {
        self.end();
    }
}
