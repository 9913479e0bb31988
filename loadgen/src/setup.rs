//! Owns what the options mean together: they become a plan and a load, or an error that says which
//! option to change.

use std::sync::Arc;
use std::time::Duration;

use crate::cli::{AccessArgs, Auth, LoadArgs, ObjectArgs, RdmaArgs, ReadArgs, WriteArgs};
use crate::endpoint::{Access, Endpoint, EndpointError, Protocol};
use crate::limits;
use crate::operation::{Payload, Plan};
use crate::rdma::{self, Rdma};
use crate::run::Load;
use crate::scenario::{Kind, Mix, Order, Scenario};
use crate::sign::{Credentials, Signer};

/// How long reading goes on when nothing says so.
const DURATION_DEFAULT: Duration = Duration::from_secs(10);

/// Options that do not go together, or are out of bounds.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetupError {
    #[error("{0}")]
    Endpoint(#[from] EndpointError),
    #[error(
        "no keys of access: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or --access-key and \
         --secret-key, or choose --auth anonymous"
    )]
    NoKeys,
    #[error("{option} is {value}; it must be {allowed}")]
    OutOfBounds { option: &'static str, value: String, allowed: String },
    #[error("--payload other than unsigned needs --auth header")]
    PayloadNeedsHeader,
    #[error(
        "objects of up to {size} bytes in parts of {part} are over {} parts; raise --part-size",
        limits::PARTS_MAX
    )]
    TooManyParts { size: u64, part: u64 },
    #[error(
        "{0} URLs would be signed beforehand, over the limit of {most}; ask for fewer --objects, or \
         choose --auth header",
        most = limits::PRESIGNED_URLS_MAX
    )]
    TooManyUrls(u64),
    #[error("--rdma: {0}")]
    Rdma(String),
    #[error(
        "{bytes} bytes in one transfer; RDMA moves at most {most}: {remedy}",
        most = limits::RDMA_TRANSFER_BYTES_MAX
    )]
    TransferTooLarge { bytes: u64, remedy: &'static str },
}

/// The scenario of the options.
pub(crate) fn scenario(
    objects: &ObjectArgs,
    mix: Mix,
    read: Option<&ReadArgs>,
) -> Result<Scenario, SetupError> {
    within("--objects", objects.objects, 1, limits::OBJECTS_MAX)?;
    let scenario = Scenario::new(
        objects.seed,
        objects.prefix.clone(),
        objects.objects,
        objects.size.clone(),
        mix,
    );
    let Some(read) = read else {
        return Ok(scenario.in_order(Order::Sequential));
    };
    let scenario = scenario.in_order(read.order);
    let Some(length) = read.range else {
        return Ok(scenario);
    };
    within("--range", length, 1, u64::MAX)?;
    within("--range-align", read.range_align, 1, u64::MAX)?;
    Ok(scenario.in_ranges(length, read.range_offset, read.range_align))
}

/// The endpoint at `url`.
pub(crate) fn endpoint(
    url: &str,
    bucket: &str,
    access: &AccessArgs,
    load: &LoadArgs,
) -> Result<Endpoint, SetupError> {
    let access = match access.auth {
        Auth::Anonymous => Access::Anonymous,
        Auth::Header => Access::Header(signer(access)?),
        Auth::Presigned => Access::Presigned(signer(access)?),
    };
    within("--streams", load.streams, 1, limits::STREAMS_MAX)?;
    let protocol =
        if load.http2 { Protocol::Http2 { streams: load.streams } } else { Protocol::Http1 };
    Ok(Endpoint::new(url, bucket, access, protocol, !load.no_keep_alive)?)
}

pub(crate) fn signer(access: &AccessArgs) -> Result<Signer, SetupError> {
    let keys = access.access_key.clone().zip(access.secret_key.clone());
    let (access_key, secret_key) = keys.ok_or(SetupError::NoKeys)?;
    let credentials =
        Credentials { access_key, secret_key, session_token: access.session_token.clone() };
    Ok(Signer::new(credentials, access.region.clone()))
}

/// Everything that operations need. Signs URLs where they are signed beforehand.
pub(crate) fn plan(
    endpoint: Endpoint,
    scenario: Scenario,
    sizes_max: u64,
    verify: bool,
    write: Option<&WriteArgs>,
    rdma: Option<Rdma>,
) -> Result<Arc<Plan>, SetupError> {
    let puts = scenario.mix().kinds().any(|kind| kind == Kind::Put);
    let (payload, part_size) = match write.filter(|_| puts) {
        Some(write) => (write.payload, write.part_size),
        None => (Payload::Unsigned, u64::MAX),
    };
    if payload != Payload::Unsigned && !matches!(endpoint.access, Access::Header(_)) {
        return Err(SetupError::PayloadNeedsHeader);
    }
    within("--part-size", part_size, 1, u64::MAX)?;
    if sizes_max.div_ceil(part_size) > limits::PARTS_MAX {
        return Err(SetupError::TooManyParts { size: sizes_max, part: part_size });
    }
    if matches!(endpoint.access, Access::Presigned(_)) {
        let kinds = scenario.mix().kinds().filter(|kind| *kind != Kind::List).count();
        let urls = scenario.objects().saturating_mul(kinds as u64);
        if urls > limits::PRESIGNED_URLS_MAX {
            return Err(SetupError::TooManyUrls(urls));
        }
    }
    let reads = scenario.mix().kinds().any(|kind| kind == Kind::Get);
    let read = if reads { scenario.range_length().unwrap_or(u64::MAX).min(sizes_max) } else { 0 };
    let written = if puts { part_size.min(sizes_max) } else { 0 };
    if let Some(rdma) = &rdma {
        check_rdma(rdma, &endpoint, payload, read, written)?;
    }
    let targets = endpoint.presigned_targets(&scenario);
    Ok(Arc::new(Plan {
        endpoint: Arc::new(endpoint),
        scenario,
        targets,
        payload,
        part_size,
        verify,
        rdma,
        transfer_bytes_max: read.max(written),
    }))
}

/// What cannot be done by RDMA.
fn check_rdma(
    rdma: &Rdma,
    endpoint: &Endpoint,
    payload: Payload,
    read: u64,
    written: u64,
) -> Result<(), SetupError> {
    let wrong = |why: &str| Err(SetupError::Rdma(why.to_owned()));
    if !matches!(endpoint.access, Access::Header(_)) {
        return wrong("its tokens are signed with each request; choose --auth header");
    }
    if endpoint.protocol != Protocol::Http1 {
        return wrong("its requests are HTTP/1.1; leave out --http2");
    }
    if payload != Payload::Unsigned {
        return wrong("the content is in no body; choose --payload unsigned");
    }
    let most = limits::RDMA_TRANSFER_BYTES_MAX.min(rdma.fabric.facts().message_bytes_max);
    for (bytes, remedy) in [(read, "read --range of it"), (written, "lower --part-size")] {
        if bytes > most {
            return Err(SetupError::TransferTooLarge { bytes, remedy });
        }
    }
    Ok(())
}

/// The device and protocol of the options, opened; None for plain HTTP.
pub(crate) fn rdma(
    protocol: Option<rdma::Protocol>,
    args: &RdmaArgs,
) -> Result<Option<Rdma>, SetupError> {
    let Some(protocol) = protocol else {
        return Ok(None);
    };
    let fabric = rdma::device::open(&args.device.options()).map_err(SetupError::Rdma)?;
    Ok(Some(Rdma { protocol, fabric, fallback: args.rdma_fallback }))
}

/// When a load ends that was given neither a duration nor a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// After every object once.
    EveryObject(u64),
    /// After 10 s.
    Time,
}

/// The load of the options.
pub(crate) fn load(args: &LoadArgs, seed: u64, until: Until) -> Result<Load, SetupError> {
    within("--connections", args.connections, 1, limits::CONNECTIONS_MAX)?;
    let most = args.connections.min(limits::THREADS_MAX);
    within("--threads", args.threads, 1, most)?;
    within("--errors-max", args.errors_max, 1, u64::MAX)?;
    if let Some(rate) = args.rate
        && !(rate.is_finite() && (1e-3..=1e8).contains(&rate))
    {
        return Err(SetupError::OutOfBounds {
            option: "--rate",
            value: rate.to_string(),
            allowed: "between 0.001 and 100,000,000 a second".to_owned(),
        });
    }
    let (mut duration, mut requests) = (args.duration, args.requests);
    if duration.is_none() && requests.is_none() {
        match until {
            Until::EveryObject(objects) => requests = Some(objects),
            Until::Time => duration = Some(DURATION_DEFAULT),
        }
    }
    Ok(Load {
        connections: args.connections,
        threads: args.threads,
        rate: args.rate,
        arrivals: args.arrivals,
        seed,
        duration,
        requests,
        warmup: args.warmup,
        timeout: args.timeout,
        errors_max: args.errors_max,
    })
}

fn within<N: PartialOrd + ToString>(
    option: &'static str,
    value: N,
    least: N,
    most: N,
) -> Result<(), SetupError> {
    if value >= least && value <= most {
        return Ok(());
    }
    Err(SetupError::OutOfBounds {
        option,
        value: value.to_string(),
        allowed: format!("from {} to {}", least.to_string(), most.to_string()),
    })
}
