//! Owns a put in parts: create, the parts one after the other on one connection, complete. It is one
//! operation of the scenario, measured from the first request to the last answer.

use std::fmt::Write as _;

use crate::client::{Client, Sink, Upload};
use crate::failure::Failure;
use crate::limits;
use crate::operation::{Caller, Done, Plan, element, expect, write_by_rdma};
use crate::rdma::Moved;
use crate::sign::{EMPTY_SHA256, sha256_hex};

/// Puts `key` in parts. When a part fails the upload is aborted, and the part's failure returned.
pub(crate) async fn put(
    caller: &mut Caller,
    plan: &Plan,
    key: &str,
    size: u64,
) -> Result<Done, Failure> {
    let upload = create(&mut caller.client, plan, key).await?;
    let result = send_and_complete(caller, plan, key, size, &upload).await;
    let client = &mut caller.client;
    if result.is_err() {
        let query = [("uploadId", upload.as_str())];
        let request = plan.endpoint.request("DELETE", Some(key), &query, Vec::new(), EMPTY_SHA256);
        // What failed before is what counts; an upload that cannot be aborted is the server's to
        // expire.
        drop(client.exchange(&request, Upload::empty(), Sink::Count).await);
    }
    result
}

async fn create(client: &mut Client, plan: &Plan, key: &str) -> Result<String, Failure> {
    let query = [("uploads", "")];
    let request = plan.endpoint.request("POST", Some(key), &query, Vec::new(), EMPTY_SHA256);
    let mut answer = Vec::new();
    let sink = Sink::Collect(&mut answer);
    let response = client.exchange(&request, Upload::empty(), sink).await?;
    expect(&response, 200)?;
    element(&answer, "UploadId")
        .ok_or_else(|| Failure::Malformed("no UploadId in the answer to ?uploads".to_owned()))
}

async fn send_and_complete(
    caller: &mut Caller,
    plan: &Plan,
    key: &str,
    size: u64,
    upload: &str,
) -> Result<Done, Failure> {
    let parts = size.div_ceil(plan.part_size);
    assert!(parts <= limits::PARTS_MAX, "the command line was checked");
    let mut list = String::from("<CompleteMultipartUpload>");
    for part in 1..=parts {
        let start = (part - 1) * plan.part_size;
        let end = (start + plan.part_size).min(size);
        let etag = send_part(caller, plan, key, upload, part as u16, start..end)
            .await?
            .ok_or_else(|| Failure::Malformed("no ETag in the answer to a part".to_owned()))?;
        // Writing to a String cannot fail.
        _ = write!(
            list,
            "<Part><PartNumber>{part}</PartNumber><ETag>{}</ETag></Part>",
            etag.replace('&', "&amp;").replace('<', "&lt;")
        );
    }
    list.push_str("</CompleteMultipartUpload>");
    complete(&mut caller.client, plan, key, size, upload, list).await
}

/// Sends one part, by RDMA where that is asked for; its entity tag.
async fn send_part(
    caller: &mut Caller,
    plan: &Plan,
    key: &str,
    upload: &str,
    number: u16,
    range: std::ops::Range<u64>,
) -> Result<Option<String>, Failure> {
    let mut declined = None;
    if let Some(line) = &caller.line {
        let part = Some((upload, number));
        match write_by_rdma(line, plan, key, part, range.clone()).await? {
            Moved::Done(tag) => return Ok(tag),
            Moved::ByHttp(why) => declined = Some((line, why)),
        }
    }
    let text = number.to_string();
    let query = [("partNumber", text.as_str()), ("uploadId", upload)];
    let content = plan.scenario.content_of(key);
    let (request, body) = plan.put_request(key, &query, content, range.clone());
    let response = caller.client.exchange(&request, body, Sink::Count).await?;
    expect(&response, 200)?;
    if let Some((line, why)) = declined {
        line.count_http(why, range.end - range.start);
    }
    Ok(response.etag)
}

async fn complete(
    client: &mut Client,
    plan: &Plan,
    key: &str,
    size: u64,
    upload: &str,
    list: String,
) -> Result<Done, Failure> {
    let query = [("uploadId", upload)];
    let hash = sha256_hex(list.as_bytes());
    let request = plan.endpoint.request("POST", Some(key), &query, Vec::new(), &hash);
    let mut answer = Vec::new();
    let sink = Sink::Collect(&mut answer);
    let response = client.exchange(&request, Upload::bytes(list.into()), sink).await?;
    expect(&response, 200)?;
    // Completion may fail after the 200 was sent; the body then says so.
    match element(&answer, "Code") {
        Some(code) => Err(Failure::Status { status: 200, code }),
        None => Ok(Done::new(&response, size)),
    }
}
