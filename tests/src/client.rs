//! Owns: an S3 client of a few verbs on one kept connection. It never retries: what it could not
//! finish is an error, since tests need to know what was acknowledged and what was not.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::http::{Connection, Response, elements};
use crate::sign::{Credentials, Request, Signer, encode};

/// A client of one endpoint. Not shared: one per thread.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    credentials: Credentials,
    connection: Option<Connection>,
}

impl Client {
    /// A client that connects at its first request.
    pub fn new(address: SocketAddr, credentials: Credentials) -> Self {
        Self { address, credentials, connection: None }
    }

    /// The value of `Host`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// The credentials that it signs with.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// A request with its `Host`, not yet signed.
    pub fn request(&self, method: &str, bucket: &str, key: &str) -> Request {
        Request::new(method, &path(bucket, key)).header("Host", &self.host())
    }

    /// Signs and sends.
    pub fn run(&mut self, mut request: Request) -> io::Result<Response> {
        Signer::new(&self.credentials).sign(&mut request);
        self.send(&request)
    }

    /// Signs without hashing the body, and sends: what tests that move gigabytes use.
    pub fn run_unsigned(&mut self, mut request: Request) -> io::Result<Response> {
        Signer::new(&self.credentials).sign_as(&mut request, "UNSIGNED-PAYLOAD");
        self.send(&request)
    }

    /// Sends as it is.
    pub fn send(&mut self, request: &Request) -> io::Result<Response> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(self.address)?,
        };
        connection.send(&request.head_bytes())?;
        connection.send(&request.body)?;
        let response = connection.receive(request.method != "HEAD")?;
        if response.keep_alive {
            self.connection = Some(connection);
        }
        Ok(response)
    }

    /// Forgets the connection; the next request opens a new one.
    pub fn disconnect(&mut self) {
        self.connection = None;
    }

    /// CreateBucket.
    pub fn create_bucket(&mut self, bucket: &str) -> io::Result<Response> {
        let request = self.request("PUT", bucket, "");
        self.run(request)
    }

    /// PutObject.
    pub fn put(&mut self, bucket: &str, key: &str, body: &[u8]) -> io::Result<Response> {
        let request = self.request("PUT", bucket, key).body(body);
        self.run_unsigned(request)
    }

    /// GetObject.
    pub fn get(&mut self, bucket: &str, key: &str) -> io::Result<Response> {
        let request = self.request("GET", bucket, key);
        self.run(request)
    }

    /// HeadObject.
    pub fn head(&mut self, bucket: &str, key: &str) -> io::Result<Response> {
        let request = self.request("HEAD", bucket, key);
        self.run(request)
    }

    /// DeleteObject.
    pub fn delete(&mut self, bucket: &str, key: &str) -> io::Result<Response> {
        let request = self.request("DELETE", bucket, key);
        self.run(request)
    }

    /// CreateMultipartUpload; the upload id on success.
    pub fn create_upload(&mut self, bucket: &str, key: &str) -> io::Result<String> {
        let request = self.request("POST", bucket, key).query("uploads", "");
        let response = expect(self.run(request)?, 200)?;
        response.element("UploadId").ok_or_else(|| invalid(&response, "no UploadId"))
    }

    /// UploadPart; the part's entity tag on success.
    pub fn put_part(
        &mut self,
        bucket: &str,
        key: &str,
        upload: &str,
        number: u32,
        body: &[u8],
    ) -> io::Result<String> {
        let request = self
            .request("PUT", bucket, key)
            .query("partNumber", &number.to_string())
            .query("uploadId", upload)
            .body(body);
        let response = expect(self.run_unsigned(request)?, 200)?;
        let tag = response.header("etag").map(str::to_owned);
        tag.ok_or_else(|| invalid(&response, "no ETag"))
    }

    /// CompleteMultipartUpload with the parts' numbers and entity tags.
    pub fn complete(
        &mut self,
        bucket: &str,
        key: &str,
        upload: &str,
        parts: &[(u32, String)],
    ) -> io::Result<Response> {
        let request =
            self.request("POST", bucket, key).query("uploadId", upload).body(complete_body(parts));
        self.run(request)
    }

    /// AbortMultipartUpload.
    pub fn abort(&mut self, bucket: &str, key: &str, upload: &str) -> io::Result<Response> {
        let request = self.request("DELETE", bucket, key).query("uploadId", upload);
        self.run(request)
    }

    /// Every key of a bucket, over all pages of ListObjectsV2.
    pub fn keys(&mut self, bucket: &str) -> io::Result<Vec<String>> {
        let mut keys = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut request = self.request("GET", bucket, "").query("list-type", "2");
            if let Some(token) = &token {
                request = request.query("continuation-token", token);
            }
            let page = expect(self.run(request)?, 200)?;
            keys.extend(elements(&page.text(), "Key"));
            token = page.element("NextContinuationToken");
            if token.is_none() {
                return Ok(keys);
            }
        }
    }

    /// Every upload in progress in a bucket: key and upload id. One page (1,000) at most.
    pub fn uploads(&mut self, bucket: &str) -> io::Result<Vec<(String, String)>> {
        let request = self.request("GET", bucket, "").query("uploads", "");
        let page = expect(self.run(request)?, 200)?;
        let uploads = elements(&page.text(), "Upload");
        Ok(uploads
            .iter()
            .filter_map(|upload| {
                Some((elements(upload, "Key").pop()?, elements(upload, "UploadId").pop()?))
            })
            .collect())
    }

    /// Deletes every object and aborts every upload of a bucket.
    pub fn empty_bucket(&mut self, bucket: &str) -> io::Result<()> {
        for key in self.keys(bucket)? {
            expect(self.delete(bucket, &key)?, 204)?;
        }
        loop {
            let uploads = self.uploads(bucket)?;
            if uploads.is_empty() {
                return Ok(());
            }
            for (key, upload) in uploads {
                expect(self.abort(bucket, &key, &upload)?, 204)?;
            }
        }
    }

    /// A presigned GET target that is valid for a minute.
    pub fn presigned_get(&self, bucket: &str, key: &str) -> Request {
        let mut request = self.request("GET", bucket, key);
        Signer::new(&self.credentials).presign(&mut request, Duration::from_secs(60));
        request
    }
}

/// The XML of CompleteMultipartUpload.
pub fn complete_body(parts: &[(u32, String)]) -> String {
    let mut body = String::from("<CompleteMultipartUpload>");
    for (number, tag) in parts {
        body.push_str(&format!(
            "<Part><PartNumber>{number}</PartNumber><ETag>{}</ETag></Part>",
            tag.replace('"', "&quot;")
        ));
    }
    body.push_str("</CompleteMultipartUpload>");
    body
}

/// Path-style path of a bucket or object, percent-encoded.
pub fn path(bucket: &str, key: &str) -> String {
    match (bucket, key) {
        ("", _) => "/".to_owned(),
        (bucket, "") => format!("/{bucket}"),
        (bucket, key) => format!("/{bucket}/{}", encode(key, false)),
    }
}

/// The response when its status is the expected one, an error that shows it otherwise.
pub fn expect(response: Response, status: u16) -> io::Result<Response> {
    if response.status == status {
        Ok(response)
    } else {
        Err(invalid(&response, &format!("expected {status}")))
    }
}

fn invalid(response: &Response, what: &str) -> io::Error {
    io::Error::other(format!("{what}, got {}: {}", response.status, response.text()))
}
