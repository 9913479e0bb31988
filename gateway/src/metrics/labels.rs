//! The bounded labels that lanes count by: every value is a variant of an enum here.
//!
//! Not here: labels that name what is there (devices, lanes, buckets), and the fixed words of parts
//! that report figures of their own (RDMA's outcomes, shares, jobs), which their owners bound.

macro_rules! labels {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $label:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(usize)]
        pub enum $name { $($(#[$variant_doc])* $variant),* }

        impl $name {
            /// All values, in order.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The value of the label.
            pub fn label(self) -> &'static str {
                match self { $($name::$variant => $label),* }
            }
        }
    };
}

labels! {
    /// S3's operations as far as they are told apart in metrics, and the requests of RDMA's control path.
    Operation {
        /// `GET /`
        ListBuckets = "ListBuckets",
        /// `PUT /bucket`
        CreateBucket = "CreateBucket",
        /// `HEAD /bucket`
        HeadBucket = "HeadBucket",
        /// `DELETE /bucket`
        DeleteBucket = "DeleteBucket",
        /// `GET /bucket?location`
        GetBucketLocation = "GetBucketLocation",
        /// `GET /bucket`
        ListObjects = "ListObjects",
        /// `GET /bucket?list-type=2`
        ListObjectsV2 = "ListObjectsV2",
        /// `GET /bucket?uploads`
        ListMultipartUploads = "ListMultipartUploads",
        /// `POST /bucket?delete`
        DeleteObjects = "DeleteObjects",
        /// `GET /bucket/key`
        GetObject = "GetObject",
        /// `HEAD /bucket/key`
        HeadObject = "HeadObject",
        /// `PUT /bucket/key`
        PutObject = "PutObject",
        /// `PUT /bucket/key` with `x-amz-copy-source`
        CopyObject = "CopyObject",
        /// `DELETE /bucket/key`
        DeleteObject = "DeleteObject",
        /// `POST /bucket/key?uploads`
        CreateMultipartUpload = "CreateMultipartUpload",
        /// `PUT /bucket/key?partNumber&uploadId`
        UploadPart = "UploadPart",
        /// The same with `x-amz-copy-source`
        UploadPartCopy = "UploadPartCopy",
        /// `POST /bucket/key?uploadId`
        CompleteMultipartUpload = "CompleteMultipartUpload",
        /// `DELETE /bucket/key?uploadId`
        AbortMultipartUpload = "AbortMultipartUpload",
        /// `GET /bucket/key?uploadId`
        ListParts = "ListParts",
        /// `POST /.hipobj-rc/prepare`
        RdmaPrepare = "RdmaPrepare",
        /// `POST /.hipobj-rc/ready`
        RdmaReady = "RdmaReady",
        /// `POST /.hipobj-rc/cancel`
        RdmaCancel = "RdmaCancel",
        /// `POST /.s3rdma-rc/connect`
        RdmaConnect = "RdmaConnect",
        /// `POST /.s3rdma-rc/disconnect`
        RdmaDisconnect = "RdmaDisconnect",
        /// `GET /.s3rdma-rc/capabilities`
        RdmaCapabilities = "RdmaCapabilities",
        /// Anything else
        Other = "Other",
    }
}

impl Operation {
    /// The kind of work that it is.
    pub fn group(self) -> Group {
        use Operation::*;
        match self {
            GetObject => Group::Read,
            PutObject | CopyObject | UploadPart | UploadPartCopy | CompleteMultipartUpload => {
                Group::Write
            }
            ListBuckets | ListObjects | ListObjectsV2 | ListMultipartUploads | ListParts => {
                Group::List
            }
            _ => Group::Other,
        }
    }
}

labels! {
    /// Kinds of work. Stages are told apart by these rather than by operation: what an operation of
    /// a kind spends its time on is alike, and 10 stages of 27 operations would be 5,000 series.
    Group {
        /// Objects' bytes out
        Read = "read",
        /// Objects' bytes in
        Write = "write",
        /// Listings
        List = "list",
        /// What only looks up or changes records
        Other = "other",
    }
}

labels! {
    /// Where the time of a request goes, in the order of a request. What none of them covers (S3's
    /// own work on headers, waiting for the lane) is the rest of the duration.
    Stage {
        /// From accept(2) until the lane first serves the connection; of its first request alone
        Accept = "accept",
        /// From the first byte of a head that was read to the whole head; on HTTP/1.1, since on HTTP/2
        /// heads come among others' data
        Parse = "parse",
        /// Signature and plan of the body
        Auth = "auth",
        /// Waiting for the client's bytes
        Receive = "receive",
        /// Looking records up
        Index = "index",
        /// Waiting for memory or a place in a device's queue
        Queue = "queue",
        /// Waiting for a device
        Device = "device",
        /// Checksums: of blocks that were read, of content that was received
        Verify = "verify",
        /// Waiting for data and index to be durable
        Commit = "commit",
        /// From the response's head to the last byte of its body handed over, less waiting for the
        /// store: by TCP while the client takes it, by RDMA while the adapter moves it
        Send = "send",
    }
}

labels! {
    /// Where the bytes of a response come from.
    Source {
        /// Frames that were in memory
        Cache = "cache",
        /// A device, read for this request
        Device = "device",
        /// A device, read for another request that wanted the same block at the same time
        Joined = "joined",
        /// The object's record in the index
        Record = "record",
        /// Written for this response: documents, errors
        Document = "document",
    }
}

labels! {
    /// How the bytes of a response leave. Zero-copy sends have none yet: there are none.
    Delivery {
        /// By TCP; the kernel copies them from our frames into its buffers
        Socket = "socket",
        /// By TLS in our memory: encrypted into records, which go to the kernel as above
        Tls = "tls",
        /// By the kernel's TLS: handed to it as without TLS, encrypted there
        Ktls = "ktls",
        /// By RDMA, out of our frames
        Rdma = "rdma",
    }
}

impl Delivery {
    /// Those by TCP, which come first.
    pub const BY_TCP: [Delivery; 3] = [Delivery::Socket, Delivery::Tls, Delivery::Ktls];
}

labels! {
    /// Where a processor copies bytes of objects.
    Copying {
        /// The kernel, from our frames into the socket's buffers
        SocketSend = "socket_send",
        /// The kernel, from the socket's buffers into ours
        SocketReceive = "socket_receive",
        /// TLS in our memory: from frames into records that the socket sends, from records that came
        /// into receive buffers
        Tls = "tls",
        /// From receive buffers into frames that a device writes, or into records
        Frame = "frame",
        /// From records into frames that RDMA sends
        Rdma = "rdma",
        /// From a session's memory into frames, for uploads by hipobj-rc-v2
        RdmaStaging = "rdma_staging",
    }
}

labels! {
    /// Classes of HTTP status.
    StatusClass {
        /// 1xx, which only a defect could count here
        Informational = "1xx",
        /// 2xx
        Success = "2xx",
        /// 3xx
        Redirect = "3xx",
        /// 4xx
        ClientError = "4xx",
        /// 5xx
        ServerError = "5xx",
    }
}

impl StatusClass {
    /// The class of a status.
    pub fn of(status: http::StatusCode) -> StatusClass {
        match status.as_u16() / 100 {
            1 => StatusClass::Informational,
            2 => StatusClass::Success,
            3 => StatusClass::Redirect,
            4 => StatusClass::ClientError,
            _ => StatusClass::ServerError,
        }
    }
}

labels! {
    /// Why a connection or a request was ended by a limit or a fault.
    Refusal {
        /// Over the limit on connections
        Connections = "connections",
        /// Accepting failed for want of descriptors or memory
        Accept = "accept",
        /// The head did not arrive in time
        HeaderTime = "header_time",
        /// No request for too long
        IdleTime = "idle_time",
        /// The body did not arrive in time
        BodyTime = "body_time",
        /// The client took nothing of its response for too long
        SendStall = "send_stall",
        /// The TLS handshake did not end in time
        HandshakeTime = "handshake_time",
        /// The oldest of too many TLS handshakes under way
        Handshakes = "handshakes",
        /// Plain HTTP on an address of TLS
        PlainOnTls = "plain_on_tls",
        /// TLS on an address without it
        TlsOnPlain = "tls_on_plain",
        /// Not HTTP, or a head over its limits
        Protocol = "protocol",
        /// Refused by the door before verification: method, host, target
        Request = "request",
        /// Refused by verification or by the plan of the body
        Verification = "verification",
        /// Cut off at the drain deadline
        Drain = "drain",
        /// A defect: the request's handler panicked
        Panic = "panic",
    }
}

labels! {
    /// Which protocol a connection speaks.
    Protocol {
        /// HTTP/1.0 and 1.1
        Http1 = "http1",
        /// HTTP/2, with prior knowledge or agreed by TLS
        Http2 = "http2",
    }
}

labels! {
    /// The version of TLS that was agreed.
    TlsVersion {
        /// None: the handshake ended before
        Nothing = "none",
        /// TLS 1.2
        Tls12 = "1.2",
        /// TLS 1.3
        Tls13 = "1.3",
    }
}

labels! {
    /// How a TLS handshake ended, but for those that a limit ended.
    Handshake {
        /// A new session
        Full = "full",
        /// An earlier session goes on
        Resumed = "resumed",
        /// Client and server have nothing in common, or the client's certificate will not do
        Failed = "failed",
        /// The client went
        Gone = "gone",
    }
}

labels! {
    /// What TLS was asked to carry (ALPN).
    Agreed {
        /// HTTP/2
        Http2 = "h2",
        /// HTTP/1.1
        Http1 = "http/1.1",
        /// The client said nothing
        Nothing = "none",
    }
}

labels! {
    /// Who encrypts and decrypts.
    TlsMode {
        /// This process
        User = "user",
        /// The kernel (kTLS)
        Ktls = "ktls",
    }
}
