//! Owns: running `penstock-loadgen` as a child and reading its report.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use crate::sign::Credentials;

/// What every run of one test has in common.
#[derive(Debug, Clone)]
pub struct Loadgen {
    /// Where the server listens.
    pub address: SocketAddr,
    /// Its bucket; `put` makes it.
    pub bucket: String,
    /// Who asks.
    pub credentials: Credentials,
}

impl Loadgen {
    /// Runs one command (`put`, `get`, `verify`, ...) with further options; gives its report.
    ///
    /// # Panics
    /// When it does not end with 0: operations failed, or content was not as derived.
    pub fn run(&self, command: &str, options: &[&str]) -> serde_json::Value {
        let output = Command::new(binary())
            .arg(command)
            .args(["--endpoint", &format!("http://{}", self.address), "--bucket", &self.bucket])
            .args(["--quiet", "--json", "-"])
            .args((command == "put").then_some("--create-bucket"))
            .args(options)
            .env("AWS_ACCESS_KEY_ID", &self.credentials.access_key)
            .env("AWS_SECRET_ACCESS_KEY", &self.credentials.secret_key)
            .output()
            .expect("penstock-loadgen can be started");
        let report = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command} {options:?}: {}\n{errors}", output.status);
        serde_json::from_str(&report).unwrap_or_else(|error| panic!("{error}: {report}"))
    }

    /// The same as a shell command, for the second guest.
    pub fn shell(&self, command: &str, options: &[&str]) -> String {
        format!(
            "AWS_ACCESS_KEY_ID='{}' AWS_SECRET_ACCESS_KEY='{}' exec '{}' {command} --endpoint \
             http://{} --bucket '{}' --quiet {}",
            self.credentials.access_key,
            self.credentials.secret_key,
            binary().display(),
            self.address,
            self.bucket,
            options.join(" ")
        )
    }
}

/// `GATEWAY_TEST_LOADGEN`, or the one beside the test in the target directory.
///
/// # Panics
/// When there is none: the tests never build it themselves.
pub fn binary() -> PathBuf {
    let path = std::env::var_os("GATEWAY_TEST_LOADGEN").map_or_else(
        || {
            let test = std::env::current_exe().expect("the test knows its own path");
            test.ancestors()
                .nth(2)
                .expect("tests live in target/PROFILE/deps")
                .join("penstock-loadgen")
        },
        PathBuf::from,
    );
    assert!(path.is_file(), "{} is missing: cargo build -p loadgen", path.display());
    path
}
