//! `penstock bucket`: orders to the running server, over its administration address.
//!
//! The command finds the server by the pass in the data directory (`admin/pass.rs`), so that the
//! directory is all it needs to be told, and only who may read it may order.

use clap::ArgMatches;

use super::server::Unfound;
use super::{FAILURE, MISUSE, SUCCESS, fail, print_findings, server, show};
use crate::config::Given;

/// Lets anybody read the objects of a bucket, or not.
pub(super) fn public_read(given: Given, matches: &ArgMatches) -> u8 {
    let text = |name| matches.get_one::<String>(name).map(String::as_str).unwrap_or_default();
    let (bucket, state) = (text("bucket"), text("state"));
    if !crate::config::plan::is_bucket_name(bucket) {
        return fail(&format!("{bucket:?} is not a bucket's name"), FAILURE);
    }
    let client = match server::find(matches, given) {
        Ok(client) => client,
        Err(Unfound::Configuration(findings)) => {
            print_findings(&findings);
            return MISUSE;
        }
        Err(Unfound::NotRunning(problem)) => {
            let remedy = "start it, or list the bucket as public_read in the configuration";
            return fail(&format!("{problem}; {remedy}"), FAILURE);
        }
        Err(Unfound::Unusable(problem)) => return fail(&problem, FAILURE),
    };
    match client.ask("PUT", &format!("/buckets/{bucket}/public-read?{state}")) {
        Ok(reply) if reply.status == 200 => {
            show(&format!("{bucket}: public-read {state}\n"));
            SUCCESS
        }
        Ok(reply) => fail(reply.text().trim(), FAILURE),
        Err(error) => fail(&error.to_string(), FAILURE),
    }
}
