//! `penstock bucket`: orders to the running server, over its administration address.
//!
//! The command finds the server by the pass in the data directory (`admin/pass.rs`), so that the
//! directory is all it needs to be told, and only who may read it may order.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use clap::ArgMatches;

use super::{FAILURE, SUCCESS, fail, show};
use crate::admin::pass::Pass;
use crate::config::Plan;
use crate::limits;

/// Lets anybody read the objects of a bucket, or not.
pub fn public_read(plan: &Plan, matches: &ArgMatches) -> u8 {
    let text = |name| matches.get_one::<String>(name).map(String::as_str).unwrap_or_default();
    let (bucket, state) = (text("bucket"), text("state"));
    if !crate::config::plan::is_bucket_name(bucket) {
        return fail(&format!("{bucket:?} is not a bucket's name"), FAILURE);
    }
    let pass = match Pass::find(&plan.data) {
        Ok(pass) => pass,
        Err(error) => return fail(&not_found(plan, &error), FAILURE),
    };
    match ask(&pass, &format!("/buckets/{bucket}/public-read?{state}")) {
        Ok((200, _)) => {
            show(&format!("{bucket}: public-read {state}\n"));
            SUCCESS
        }
        Ok((_, text)) => fail(text.trim(), FAILURE),
        Err(error) => {
            let address = pass.address;
            fail(&format!("the server at {address} does not answer: {error}"), FAILURE)
        }
    }
}

fn not_found(plan: &Plan, error: &io::Error) -> String {
    let data = plan.data.display();
    match error.kind() {
        io::ErrorKind::NotFound => format!(
            "no server runs on {data}; start it, or list the bucket as public_read in the \
             configuration"
        ),
        _ => format!("{data}/admin.json: {error}"),
    }
}

/// One request on one connection. Answers with the status and the body.
fn ask(pass: &Pass, target: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&pass.address, limits::ADMIN_COMMAND_TIME)?;
    // The server waits as long for the store.
    stream.set_read_timeout(Some(limits::ADMIN_COMMAND_TIME * 2))?;
    stream.set_write_timeout(Some(limits::ADMIN_COMMAND_TIME))?;
    let request = format!(
        "PUT {target} HTTP/1.1\r\nHost: {}\r\nAuthorization: {}\r\nContent-Length: 0\r\n\
         Connection: close\r\n\r\n",
        pass.address,
        pass.token.header()
    );
    stream.write_all(request.as_bytes())?;
    let mut text = String::new();
    stream.take(limits::ADMIN_RESPONSE_BYTES_MAX).read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .ok_or(io::ErrorKind::InvalidData)?;
    Ok((status, body.to_owned()))
}
