//! Owns: every bound of body decoding.
//! Not here: the size of objects and the time a body may take (the door's and the operations').

/// Bytes of one line of aws-chunked framing (chunk header or trailer line), its end included.
/// The longest a client has reason to send is 102: 16 digits, `;chunk-signature=`, 64 digits, CRLF.
pub const FRAMING_LINE_BYTES_MAX: usize = 256;

/// Extensions of one chunk header; S3 defines one.
pub const CHUNK_EXTENSIONS_MAX: usize = 4;

/// Lines of one trailer; S3 needs two, a checksum and the trailer's signature.
pub const TRAILER_LINES_MAX: usize = 4;

/// Bytes that a signed chunk must carry unless it is the last (AWS: `InvalidChunkSizeError`). Each
/// signature costs about as much as hashing 1 KiB, so smaller chunks would let a client buy CPU cheaply.
/// There is no upper bound: chunk data streams through, however large the chunk is.
pub const SIGNED_CHUNK_BYTES_MIN: u64 = 8 * 1024;

/// Bytes that all digests see before the next piece: a quarter of a usual L1 data cache, so that
/// several digests read a piece from memory once.
pub const DIGEST_PIECE_BYTES: usize = 8 * 1024;

/// Query parameters of a presigned request that are read as headers.
pub const HOISTED_HEADERS_MAX: usize = 128;

const _: () = assert!(FRAMING_LINE_BYTES_MAX >= 16 + ";chunk-signature=".len() + 64 + 2);
