//! Owns the opening of the RDMA device that the options name.

use std::net::IpAddr;
use std::sync::Arc;

use rdma::fabric::{Fabric, Mtu};

/// Which device, as on the command line. What is not given is chosen: the first active port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeviceOptions {
    pub(crate) device: Option<String>,
    pub(crate) port: Option<u8>,
    pub(crate) gid_index: Option<u8>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) path_mtu: Option<Mtu>,
}

/// Opens it.
///
/// # Errors
/// In words, with the remedy.
#[cfg(feature = "verbs")]
pub(crate) fn open(options: &DeviceOptions) -> Result<Arc<dyn Fabric>, String> {
    let options = rdma::verbs::VerbsOptions {
        device: options.device.clone(),
        port: options.port,
        gid_index: options.gid_index,
        address: options.address,
        path_mtu: options.path_mtu,
    };
    rdma::verbs::open(&options, None).map_err(|error| error.to_string())
}

/// There is nothing to open.
///
/// # Errors
/// Always.
#[cfg(not(feature = "verbs"))]
pub(crate) fn open(_options: &DeviceOptions) -> Result<Arc<dyn Fabric>, String> {
    Err(WITHOUT_VERBS.to_owned())
}

/// What a binary says that has no libibverbs in it.
#[cfg(not(feature = "verbs"))]
pub(crate) const WITHOUT_VERBS: &str = "this binary was built without RDMA; build it with the feature \"verbs\", which is on by default";
