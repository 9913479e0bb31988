//! Owns the command line: options, defaults, help. What they mean together is checked in `setup.rs`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use rdma::fabric::Mtu;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::cpu::Processes;
use crate::operation::Payload;
use crate::quantity::{parse_bytes, parse_duration};
use crate::rdma::Protocol;
use crate::rdma::device::DeviceOptions;
use crate::scenario::{Mix, Order, RangeOffset, Sizes};
use crate::schedule::Arrivals;

/// Loads, verifies and compares S3 endpoints and plain HTTP file servers.
///
/// Objects are named PREFIX followed by ten digits. Their sizes and bytes follow from --seed and the
/// key alone: any byte can be checked later, by any run with the same --seed, --prefix, --objects
/// and --size.
#[derive(Debug, Parser)]
#[command(name = "penstock-loadgen", version, max_term_width = 100, after_long_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
EXAMPLES
  Keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or from --access-key, --secret-key.

  Write 10,000 objects of 4 KiB, then check every byte of them:
    penstock-loadgen put    -e http://127.0.0.1:9000 -b bench -n 10000 -s 4KiB --create-bucket
    penstock-loadgen verify -e http://127.0.0.1:9000 -b bench -n 10000 -s 4KiB

  Read them as fast as 16 connections can, with URLs signed beforehand; show the server's CPU too:
    penstock-loadgen get -e http://127.0.0.1:9000 -b bench -n 10000 -s 4KiB -c 16 \\
        --auth presigned --server-pid $(pidof penstock)

  Read at 20,000 a second whatever the server does; latency counts from the time each was due:
    penstock-loadgen get -e http://127.0.0.1:9000 -b bench -n 10000 -s 4KiB -c 64 --rate 20000

  Large objects in parts of 16 MiB, then random 1 MiB ranges of them, verified:
    penstock-loadgen put -e http://127.0.0.1:9000 -b bench -n 8 -s 1GiB --prefix big/ \\
        --part-size 16MiB
    penstock-loadgen get -e http://127.0.0.1:9000 -b bench -n 8 -s 1GiB --prefix big/ \\
        --range 1MiB --range-offset random --verify

  Two servers side by side, nginx with its worker processes:
    penstock-loadgen compare -b bench -n 1000 -s 4KiB \\
        nginx=http://127.0.0.1:8080,auth=anonymous,pid=$(cat nginx.pid)+ \\
        penstock=http://127.0.0.1:9000,auth=presigned,pid=$(pidof penstock)

  What RDMA can do here and at the server, tried with one object of 64 KiB by each protocol:
    penstock-loadgen rdma-probe http://10.0.0.1:9000 -b bench

  Payloads by RDMA on 8 connections, over the device that has this address; every byte checked:
    penstock-loadgen put    -e http://10.0.0.1:9000 -b bench -n 100 -s 64MiB -c 8 --rdma pooled
    penstock-loadgen verify -e http://10.0.0.1:9000 -b bench -n 100 -s 64MiB -c 8 \\
        --rdma session --rdma-address 10.0.0.2

  HTTP and both RDMA protocols of one server side by side:
    penstock-loadgen compare -b bench -n 100 -s 1MiB --prepare \\
        http=http://10.0.0.1:9000 pooled=http://10.0.0.1:9000,rdma=pooled \\
        session=http://10.0.0.1:9000,rdma=session

EXIT CODES
  0 all well; 1 operations failed, content was not as derived, nothing went by RDMA although asked,
  or a probe found RDMA unusable; 2 wrong options, or the run could not start; 130 interrupted (the table shows what was measured until then).";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write every object once (or, with --duration or --requests, again and again).
    Put(PutCommand),
    /// Read objects, whole or in ranges, for 10 s unless told otherwise.
    Get(GetCommand),
    /// Read, write, head and list in given proportions.
    Mixed(MixedCommand),
    /// Read every object once, whole, and check every byte and length.
    Verify(VerifyCommand),
    /// Load several endpoints in turn, round by round; print medians and ratios to the first.
    Compare(CompareCommand),
    /// Say what RDMA can do on this machine and at a server, and what is in its way.
    RdmaProbe(RdmaProbeCommand),
}

/// `put`
#[derive(Debug, Args)]
pub(crate) struct PutCommand {
    #[command(flatten)]
    pub(crate) endpoint: EndpointArgs,
    #[command(flatten)]
    pub(crate) access: AccessArgs,
    #[command(flatten)]
    pub(crate) objects: ObjectArgs,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
    #[command(flatten)]
    pub(crate) rdma: RdmaArgs,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// Create the bucket first; one that is there already is as good.
    #[arg(long)]
    pub(crate) create_bucket: bool,
}

/// `get`
#[derive(Debug, Args)]
pub(crate) struct GetCommand {
    #[command(flatten)]
    pub(crate) endpoint: EndpointArgs,
    #[command(flatten)]
    pub(crate) access: AccessArgs,
    #[command(flatten)]
    pub(crate) objects: ObjectArgs,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
    #[command(flatten)]
    pub(crate) rdma: RdmaArgs,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `mixed`
#[derive(Debug, Args)]
pub(crate) struct MixedCommand {
    #[command(flatten)]
    pub(crate) endpoint: EndpointArgs,
    #[command(flatten)]
    pub(crate) access: AccessArgs,
    #[command(flatten)]
    pub(crate) objects: ObjectArgs,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
    #[command(flatten)]
    pub(crate) rdma: RdmaArgs,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// Kinds of operation with weights: get, put (overwrites with the same content), head, list.
    #[arg(long, default_value = "get:70,put:20,head:9,list:1")]
    pub(crate) mix: Mix,
}

/// `verify`
#[derive(Debug, Args)]
pub(crate) struct VerifyCommand {
    #[command(flatten)]
    pub(crate) endpoint: EndpointArgs,
    #[command(flatten)]
    pub(crate) access: AccessArgs,
    #[command(flatten)]
    pub(crate) objects: ObjectArgs,
    #[command(flatten)]
    pub(crate) rdma: RdmaArgs,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `compare`
#[derive(Debug, Args)]
pub(crate) struct CompareCommand {
    /// NAME=URL, then ,KEY=VALUE for settings of this endpoint: auth, bucket, pid (repeatable; 12+
    /// counts its children), rdma (pooled, session, off), region, access-key, secret-key. What is
    /// not given is as for all.
    #[arg(required = true, num_args = 2..)]
    pub(crate) endpoints: Vec<String>,
    /// Bucket.
    #[arg(short, long, default_value = "bench")]
    pub(crate) bucket: String,
    /// How often each endpoint is loaded.
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,
    /// Kinds of operation with weights, as for mixed.
    #[arg(long, default_value = "get")]
    pub(crate) mix: Mix,
    /// Write every object once to each endpoint before the first round.
    #[arg(long)]
    pub(crate) prepare: bool,
    #[command(flatten)]
    pub(crate) access: AccessArgs,
    #[command(flatten)]
    pub(crate) objects: ObjectArgs,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
    #[command(flatten)]
    pub(crate) rdma: RdmaArgs,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `rdma-probe`
#[derive(Debug, Args)]
#[command(after_long_help = PROBE_NOTES)]
pub(crate) struct RdmaProbeCommand {
    /// http://HOST:PORT of the server, optionally with a path before the bucket.
    #[arg(env = "AWS_ENDPOINT_URL")]
    pub(crate) endpoint: String,
    /// Bucket to try it in: one object of 64 KiB is written, read, compared and deleted by each
    /// protocol. Without it nothing is moved.
    #[arg(short, long)]
    pub(crate) bucket: Option<String>,
    #[command(flatten)]
    pub(crate) access: AccessArgs,
    #[command(flatten)]
    pub(crate) device: RdmaDeviceArgs,
    /// Give up on a request after this time.
    #[arg(long, default_value = "10s", value_parser = parse_duration)]
    pub(crate) timeout: Duration,
    /// Write the findings as JSON to a file; without a name, or as -, to standard output, the text
    /// then goes to standard error.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    pub(crate) json: Option<PathBuf>,
}

const PROBE_NOTES: &str = "\
It looks at three things, and says what would help where something is missing:
  this machine   devices, ports, addresses (GIDs), link state, MTU, the right to lock memory
  the server     its list of capabilities, device, path MTU and limits; needs keys of access
  both together  the path MTU, which both ends must have alike, and with --bucket a round trip

EXAMPLES
  penstock-loadgen rdma-probe http://10.0.0.1:9000
  penstock-loadgen rdma-probe http://10.0.0.1:9000 -b bench --rdma-device mlx5_0
  penstock-loadgen rdma-probe http://10.0.0.1:9000 -b bench --json | jq .usable

EXIT CODES
  0 usable; 1 not usable, the text says why; 2 wrong options.";

/// Where.
#[derive(Debug, Args)]
#[command(next_help_heading = "Endpoint")]
pub(crate) struct EndpointArgs {
    /// http://HOST:PORT, optionally with a path before the bucket.
    #[arg(short, long, env = "AWS_ENDPOINT_URL")]
    pub(crate) endpoint: String,
    /// Bucket; for a file server the first directory.
    #[arg(short, long, default_value = "bench")]
    pub(crate) bucket: String,
    /// Show the CPU time of these processes: 12, or 12,13, or 12+ for 12 with all its children.
    #[arg(long, value_name = "PID")]
    pub(crate) server_pid: Option<Processes>,
}

/// Who.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Access")]
pub(crate) struct AccessArgs {
    /// How requests are authorized.
    #[arg(long, value_enum, default_value_t = Auth::Header)]
    pub(crate) auth: Auth,
    /// Access key.
    #[arg(long, env = "AWS_ACCESS_KEY_ID", hide_env_values = true)]
    pub(crate) access_key: Option<String>,
    /// Its secret; better in the environment, where other users of the machine do not see it.
    #[arg(long, env = "AWS_SECRET_ACCESS_KEY", hide_env_values = true)]
    pub(crate) secret_key: Option<String>,
    /// The token that goes with temporary keys.
    #[arg(long, env = "AWS_SESSION_TOKEN", hide_env_values = true)]
    pub(crate) session_token: Option<String>,
    /// Region named in signatures.
    #[arg(long, env = "AWS_REGION", default_value = "us-east-1")]
    pub(crate) region: String,
}

/// How requests are authorized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Auth {
    /// SigV4 in the Authorization header, computed for each request.
    Header,
    /// SigV4 in the URL; URLs are made once, before the run, and used again.
    Presigned,
    /// Not at all.
    Anonymous,
}

/// Which objects.
#[derive(Debug, Args)]
#[command(next_help_heading = "Objects")]
pub(crate) struct ObjectArgs {
    /// Number of objects.
    #[arg(short = 'n', long, default_value_t = 1000)]
    pub(crate) objects: u64,
    /// Size: 4KiB, or 4KiB:9,1MiB:1 (weights), or 4KiB-16MiB (log-uniform).
    #[arg(short, long, default_value = "4KiB")]
    pub(crate) size: Sizes,
    /// What keys start with.
    #[arg(long, default_value = "loadgen/")]
    pub(crate) prefix: String,
    /// Sizes, content and order follow from it.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// How objects are read.
#[derive(Debug, Args)]
#[command(next_help_heading = "Reading")]
pub(crate) struct ReadArgs {
    /// Compare every byte read with the derived one.
    #[arg(long)]
    pub(crate) verify: bool,
    /// In which order objects are taken.
    #[arg(long, value_enum, default_value_t = Order::Random)]
    pub(crate) order: Order,
    /// Read ranges of this length instead of whole objects.
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    pub(crate) range: Option<u64>,
    /// Where ranges start: random, sequential (through every object in turn), or a fixed offset.
    #[arg(long, value_name = "WHERE", default_value = "random", value_parser = parse_offset, requires = "range")]
    pub(crate) range_offset: RangeOffset,
    /// Random ranges start at multiples of this.
    #[arg(long, value_name = "BYTES", default_value = "1", value_parser = parse_bytes, requires = "range")]
    pub(crate) range_align: u64,
}

/// How objects are written.
#[derive(Debug, Args)]
#[command(next_help_heading = "Writing")]
pub(crate) struct WriteArgs {
    /// How content is authenticated; other than unsigned only with --auth header.
    #[arg(long, value_enum, default_value_t = Payload::Unsigned)]
    pub(crate) payload: Payload,
    /// Objects over this size are put in parts of it, on one connection; that is one request in the
    /// figures. S3 wants at least 5MiB.
    #[arg(long, value_name = "BYTES", default_value = "64MiB", value_parser = parse_bytes)]
    pub(crate) part_size: u64,
}

/// How payloads move.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "RDMA")]
pub(crate) struct RdmaArgs {
    /// Move the payloads of get and put by RDMA; the requests stay signed HTTP/1.1. Every
    /// connection is one of each: TCP and, pooled, a queue pair. Servers allow a user 64 of them.
    /// A session has no object's length in it, so that verifying whole objects adds a HEAD to each.
    #[arg(long, value_enum, value_name = "PROTOCOL")]
    pub(crate) rdma: Option<Protocol>,
    /// Count the run as good also when the server declined everything and it all went by HTTP.
    #[arg(long)]
    pub(crate) rdma_fallback: bool,
    #[command(flatten)]
    pub(crate) device: RdmaDeviceArgs,
}

/// Over which device.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "RDMA")]
pub(crate) struct RdmaDeviceArgs {
    /// Device, as ibv_devices names it; else the first with an active port.
    #[arg(long, value_name = "NAME")]
    pub(crate) rdma_device: Option<String>,
    /// Its port, from 1.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) rdma_port: Option<u8>,
    /// Entry of the port's GID table; else the one of the server's address family.
    #[arg(long, value_name = "INDEX")]
    pub(crate) rdma_gid_index: Option<u8>,
    /// Address of this machine that the server reaches by RDMA: tells device, port and GID.
    #[arg(long, value_name = "IP")]
    pub(crate) rdma_address: Option<IpAddr>,
    /// Bytes per packet: 256, 512, 1024, 2048 or 4096; else the link's. The server must have the
    /// same: nothing negotiates it.
    #[arg(long, value_name = "BYTES", value_parser = parse_mtu)]
    pub(crate) rdma_path_mtu: Option<Mtu>,
}

impl RdmaDeviceArgs {
    /// The same for who opens it.
    pub(crate) fn options(&self) -> DeviceOptions {
        DeviceOptions {
            device: self.rdma_device.clone(),
            port: self.rdma_port,
            gid_index: self.rdma_gid_index,
            address: self.rdma_address,
            path_mtu: self.rdma_path_mtu,
        }
    }
}

/// How much, how long.
#[derive(Debug, Args)]
#[command(next_help_heading = "Load")]
pub(crate) struct LoadArgs {
    /// Connections over all threads. In a closed loop each sends its next request after its answer.
    #[arg(short, long, default_value_t = 16)]
    pub(crate) connections: usize,
    /// Threads; one asks for about 90,000 small objects a second.
    #[arg(short, long, default_value_t = 1)]
    pub(crate) threads: usize,
    /// Open loop: start this many requests a second over all connections, whatever the answers.
    #[arg(long, value_name = "PER_SECOND")]
    pub(crate) rate: Option<f64>,
    /// How the starts of an open loop are spread.
    #[arg(long, value_enum, default_value_t = Arrivals::Uniform)]
    pub(crate) arrivals: Arrivals,
    /// Speak HTTP/2 without TLS (prior knowledge) instead of HTTP/1.1.
    #[arg(long)]
    pub(crate) http2: bool,
    /// Requests in flight on each HTTP/2 connection.
    #[arg(long, default_value_t = 1, requires = "http2")]
    pub(crate) streams: usize,
    /// A new connection for every request.
    #[arg(long, conflicts_with = "http2")]
    pub(crate) no_keep_alive: bool,
    /// End after this time: 10s, 2m, 500ms.
    #[arg(short, long, value_parser = parse_duration)]
    pub(crate) duration: Option<Duration>,
    /// End after this many requests.
    #[arg(long)]
    pub(crate) requests: Option<u64>,
    /// Run this long before measuring.
    #[arg(long, default_value = "0s", value_parser = parse_duration)]
    pub(crate) warmup: Duration,
    /// Give up on a request (or a put in parts) after this time.
    #[arg(long, default_value = "60s", value_parser = parse_duration)]
    pub(crate) timeout: Duration,
    /// End after this many errors.
    #[arg(long, default_value_t = 1000)]
    pub(crate) errors_max: u64,
}

/// What is printed.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// Write the figures as JSON to a file; - is standard output, the table then goes to standard
    /// error.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// No progress line.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// One endpoint of a comparison, as written.
#[derive(Debug)]
pub(crate) struct ComparedEndpoint {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) bucket: Option<String>,
    pub(crate) servers: Processes,
    pub(crate) access: AccessArgs,
    pub(crate) rdma: Option<Protocol>,
}

impl ComparedEndpoint {
    /// Parses `NAME=URL,KEY=VALUE,…` with `access` and `rdma` for what is not given.
    pub(crate) fn parse(
        text: &str,
        access: &AccessArgs,
        rdma: Option<Protocol>,
    ) -> Result<ComparedEndpoint, String> {
        let mut settings = text.split(',');
        let (name, url) = settings
            .next()
            .and_then(|first| first.split_once('='))
            .filter(|(name, url)| !name.is_empty() && !url.is_empty())
            .ok_or_else(|| format!("\"{text}\" is no endpoint; write NAME=http://HOST:PORT"))?;
        let mut endpoint = ComparedEndpoint {
            name: name.to_owned(),
            url: url.to_owned(),
            bucket: None,
            servers: Processes::default(),
            access: access.clone(),
            rdma,
        };
        for setting in settings {
            endpoint.set(setting).map_err(|error| format!("{name}: {error}"))?;
        }
        Ok(endpoint)
    }

    fn set(&mut self, setting: &str) -> Result<(), String> {
        let (key, value) = setting
            .split_once('=')
            .ok_or_else(|| format!("\"{setting}\" is no setting; write KEY=VALUE"))?;
        match key {
            "auth" => self.access.auth = Auth::from_str(value, false)?,
            "bucket" => self.bucket = Some(value.to_owned()),
            "pid" => self.servers.extend(value.parse()?),
            "rdma" if value == "off" => self.rdma = None,
            "rdma" => self.rdma = Some(Protocol::from_str(value, false)?),
            "region" => self.access.region = value.to_owned(),
            "access-key" => self.access.access_key = Some(value.to_owned()),
            "secret-key" => self.access.secret_key = Some(value.to_owned()),
            _ => {
                let known = "auth, bucket, pid, rdma, region, access-key, secret-key";
                return Err(format!("\"{key}\" is none of {known}"));
            }
        }
        Ok(())
    }
}

impl Command {
    /// Whether there is to be no progress line.
    pub(crate) fn quiet(&self) -> bool {
        match self {
            Command::Put(command) => command.output.quiet,
            Command::Get(command) => command.output.quiet,
            Command::Mixed(command) => command.output.quiet,
            Command::Verify(command) => command.output.quiet,
            Command::Compare(command) => command.output.quiet,
            Command::RdmaProbe(_) => true,
        }
    }
}

fn parse_mtu(text: &str) -> Result<Mtu, String> {
    text.parse()
        .ok()
        .and_then(Mtu::from_bytes)
        .ok_or_else(|| format!("\"{text}\" is no path MTU; write 256, 512, 1024, 2048 or 4096"))
}

fn parse_offset(text: &str) -> Result<RangeOffset, String> {
    match text {
        "random" => Ok(RangeOffset::Random),
        "sequential" => Ok(RangeOffset::Sequential),
        _ => parse_bytes(text)
            .map(RangeOffset::Fixed)
            .map_err(|_| format!("\"{text}\" is neither random, nor sequential, nor an offset")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn path_mtus() {
        assert_eq!(parse_mtu("1024"), Ok(Mtu::B1024));
        for wrong in ["", "0", "1500", "8192", "4 KiB"] {
            assert!(parse_mtu(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn compared_endpoints() {
        let access = AccessArgs {
            auth: Auth::Header,
            access_key: None,
            secret_key: None,
            session_token: None,
            region: "us-east-1".to_owned(),
        };
        let text = "n=http://h:1,auth=anonymous,pid=12+,pid=13,bucket=b";
        let endpoint =
            ComparedEndpoint::parse(text, &access, Some(Protocol::Session)).expect("an endpoint");
        assert_eq!((endpoint.name.as_str(), endpoint.url.as_str()), ("n", "http://h:1"));
        assert_eq!(endpoint.access.auth, Auth::Anonymous);
        assert_eq!(endpoint.servers.to_string(), "12+,13");
        assert_eq!(endpoint.bucket.as_deref(), Some("b"));
        assert_eq!(endpoint.rdma, Some(Protocol::Session));
        for (setting, expected) in [
            ("off", None),
            ("pooled", Some(Protocol::Pooled)),
            ("session", Some(Protocol::Session)),
        ] {
            let text = format!("n=u,rdma={setting}");
            let endpoint = ComparedEndpoint::parse(&text, &access, None).expect("an endpoint");
            assert_eq!(endpoint.rdma, expected);
        }
        for wrong in [
            "http://h:1",
            "=http://h",
            "n=",
            "n=u,auth",
            "n=u,auth=x",
            "n=u,x=y",
            "n=u,pid=z",
            "n=u,rdma=x",
        ] {
            assert!(ComparedEndpoint::parse(wrong, &access, None).is_err(), "{wrong}");
        }
    }
}
