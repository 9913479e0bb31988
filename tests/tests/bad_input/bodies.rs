//! Bodies that are shorter, longer or other than promised, plain and chunked.

use penstock_tests::chunked::{
    SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER, signed, signed_put, unsigned, unsigned_put,
};
use penstock_tests::client::path;
use penstock_tests::content::{content, crc32_base64, md5_base64};
use penstock_tests::sign::Request;

use super::{BUCKET, Case, KEY, Target};

const SIZE: usize = 200_000;
const CUT: &str = "400 IncompleteBody | 400 RequestTimeout | closed";
const WRONG: &str = "400 BadDigest | 400 XAmzContentChecksumMismatch";
const CHUNKS: &str = "400 IncompleteBody | 400 InvalidRequest | 400 InvalidChunkSizeError | 400 MalformedTrailerError | closed";

/// The rows.
pub(super) fn cases(target: &Target) -> Vec<Case> {
    [lengths(target), checksums(target), unsigned_chunks(target), signed_chunks(target)]
        .into_iter()
        .flatten()
        .collect()
}

fn lengths(target: &Target) -> Vec<Case> {
    let announced = |length: &str, sent: usize| {
        let request = target.request("PUT").header("Content-Length", length);
        let mut wire = target.sign_unsigned(request).head_bytes();
        wire.extend(content(1, sent));
        wire
    };
    let part = {
        let request = target
            .request("PUT")
            .query("partNumber", "1")
            .query("uploadId", &target.upload)
            .header("Content-Length", "6000000");
        let mut wire = target.sign_unsigned(request).head_bytes();
        wire.extend(content(1, 3_000_000));
        wire
    };
    vec![
        Case::new("a body cut in the middle", announced("200000", 100_000), CUT).ending(),
        Case::new("a body without its last byte", announced("200000", 199_999), CUT).ending(),
        Case::new("a large body cut after 4 MiB", announced("20000000", 4 << 20), CUT).ending(),
        Case::new("a part cut in the middle", part, CUT).ending(),
        Case::new("a PUT of 5 GiB and a byte", announced("5368709121", 0), "400 EntityTooLarge"),
        Case::new(
            "a PUT of 2^63 bytes",
            announced("9223372036854775807", 0),
            "400 EntityTooLarge | 400",
        ),
    ]
}

fn checksums(target: &Target) -> Vec<Case> {
    let body = content(2, SIZE);
    let put = |headers: &[(&str, &str)]| {
        let mut request = target.request("PUT").body(body.clone());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        target.sign(request).bytes()
    };
    let other = crc32_base64(b"other");
    let right = crc32_base64(&body);
    vec![
        Case::new(
            "Content-MD5 of another body",
            put(&[("Content-MD5", &md5_base64(b"other"))]),
            "400 BadDigest",
        ),
        Case::new(
            "Content-MD5 that is no base64",
            put(&[("Content-MD5", "!!!")]),
            "400 InvalidDigest",
        ),
        Case::new(
            "Content-MD5 of 15 bytes",
            put(&[("Content-MD5", "AAAAAAAAAAAAAAAAAAAA")]),
            "400 InvalidDigest",
        ),
        Case::new("CRC32 of another body", put(&[("x-amz-checksum-crc32", &other)]), WRONG),
        Case::new(
            "SHA256 of another body",
            put(&[("x-amz-checksum-sha256", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")]),
            WRONG,
        ),
        Case::new(
            "CRC32 of 3 bytes",
            put(&[("x-amz-checksum-crc32", "AAAA")]),
            "400 InvalidRequest",
        ),
        Case::new(
            "CRC32 that is no base64",
            put(&[("x-amz-checksum-crc32", "????????")]),
            "400 InvalidRequest",
        ),
        Case::new(
            "two checksums",
            put(&[("x-amz-checksum-crc32", &right), ("x-amz-checksum-crc32c", "AAAAAA==")]),
            "400 InvalidRequest",
        ),
    ]
}

fn unsigned_chunks(target: &Target) -> Vec<Case> {
    let body = content(3, SIZE);
    let right = crc32_base64(&body);
    let host = target.client.host();
    let put = |decoded: &str, trailer: &str, wire: Vec<u8>| {
        let mut request = target
            .request("PUT")
            .header("Content-Encoding", "aws-chunked")
            .header("x-amz-decoded-content-length", decoded)
            .header("x-amz-trailer", trailer);
        target.signer().sign_as(&mut request, UNSIGNED_TRAILER);
        request.body = wire;
        request.bytes()
    };
    let crc = "x-amz-checksum-crc32";
    let good = unsigned(&body, 70_000, &[(crc, &right)]);
    let cut = |length: usize| good[..length].to_vec();
    let size = SIZE.to_string();
    let mut missing = target
        .request("PUT")
        .header("Content-Encoding", "aws-chunked")
        .header("x-amz-trailer", crc);
    target.signer().sign_as(&mut missing, UNSIGNED_TRAILER);
    missing.body.clone_from(&good);
    let wrong = unsigned_put(
        target.client.credentials(),
        &host,
        &path(BUCKET, KEY),
        &body,
        70_000,
        (crc, &crc32_base64(b"other")),
    );
    let announced = |wire: Vec<u8>| {
        // The length announced is that of the whole; less is sent.
        let mut request = target
            .request("PUT")
            .header("Content-Encoding", "aws-chunked")
            .header("x-amz-decoded-content-length", &size)
            .header("x-amz-trailer", crc)
            .header("Content-Length", &good.len().to_string());
        target.signer().sign_as(&mut request, UNSIGNED_TRAILER);
        [request.head_bytes(), wire].concat()
    };
    vec![
        Case::new("unsigned chunks: trailer of another body", wrong.bytes(), WRONG),
        Case::new(
            "unsigned chunks: trailer missing",
            put(&size, crc, unsigned(&body, 70_000, &[])),
            "400 MalformedTrailerError | 400 InvalidRequest",
        ),
        Case::new(
            "unsigned chunks: another trailer than announced",
            put(&size, crc, unsigned(&body, 70_000, &[("x-amz-checksum-crc32c", "AAAAAA==")])),
            "400 MalformedTrailerError | 400 InvalidRequest",
        ),
        Case::new(
            "unsigned chunks: trailer that is no base64",
            put(&size, crc, unsigned(&body, 70_000, &[(crc, "no")])),
            "400 MalformedTrailerError | 400 InvalidRequest | 400 BadDigest",
        ),
        Case::new(
            "unsigned chunks: unknown trailer",
            put(
                &size,
                "x-amz-checksum-xyz",
                unsigned(&body, 70_000, &[("x-amz-checksum-xyz", "AAAA")]),
            ),
            "400 InvalidRequest | 400 MalformedTrailerError",
        ),
        Case::new(
            "unsigned chunks: a trailer of 1 MiB",
            put(&size, crc, unsigned(&body, 70_000, &[(crc, &"A".repeat(1 << 20))])),
            "400 MalformedTrailerError | 400 InvalidRequest | closed",
        ),
        Case::new("unsigned chunks: cut inside a chunk", announced(cut(100_000)), CUT).ending(),
        Case::new(
            "unsigned chunks: cut before the last chunk",
            announced(cut(good.len() - 45)),
            CUT,
        )
        .ending(),
        Case::new("unsigned chunks: the last chunk missing", put(&size, crc, cut(SIZE)), CHUNKS),
        Case::new(
            "unsigned chunks: length no number",
            put(&size, crc, b"xyz\r\nabc\r\n0\r\n\r\n".to_vec()),
            CHUNKS,
        ),
        Case::new(
            "unsigned chunks: length of 2^68",
            put(&size, crc, b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n".to_vec()),
            CHUNKS,
        ),
        Case::new(
            "unsigned chunks: chunk without its end",
            put("3", crc, b"3\r\nabcde0\r\n\r\n".to_vec()),
            CHUNKS,
        ),
        Case::new(
            "unsigned chunks: a chunk header of 1 MiB",
            put(
                "3",
                crc,
                [b"3;".to_vec(), vec![b'a'; 1 << 20], b"\r\nabc\r\n0\r\n\r\n".to_vec()].concat(),
            ),
            CHUNKS,
        ),
        Case::new("unsigned chunks: more than announced", put("1000", crc, good.clone()), CHUNKS),
        Case::new("unsigned chunks: less than announced", put("300000", crc, good.clone()), CHUNKS),
        Case::new(
            "unsigned chunks: decoded length missing",
            missing.bytes(),
            "411 MissingContentLength | 400 InvalidRequest",
        ),
        Case::new(
            "unsigned chunks: decoded length no number",
            put("many", crc, good.clone()),
            "400 InvalidArgument | 400 InvalidRequest | 411 MissingContentLength",
        ),
        Case::new(
            "unsigned chunks: decoded length over 5 GiB",
            put("5368709121", crc, good.clone()),
            "400 EntityTooLarge | 400 IncompleteBody | 400 InvalidRequest",
        ),
    ]
}

fn signed_chunks(target: &Target) -> Vec<Case> {
    let body = content(4, SIZE);
    let host = target.client.host();
    let own = target.client.credentials();
    let good = || signed_put(own, &host, &path(BUCKET, KEY), &body, 70_000);
    let changed = |change: &dyn Fn(&mut Request)| {
        let mut request = good();
        change(&mut request);
        request.bytes()
    };
    let mut trailer = target
        .request("PUT")
        .header("Content-Encoding", "aws-chunked")
        .header("x-amz-decoded-content-length", &SIZE.to_string())
        .header("x-amz-trailer", "x-amz-checksum-crc32");
    let seed = target.signer().sign_as(&mut trailer, SIGNED_TRAILER);
    let crc = crc32_base64(&body);
    trailer.body = signed(&body, 70_000, &seed, &[("x-amz-checksum-crc32", &crc)]);
    let at = trailer.body.len() - 10;
    trailer.body[at] = if trailer.body[at] == b'0' { b'1' } else { b'0' };
    let mut unsigned_in_signed = target
        .request("PUT")
        .header("Content-Encoding", "aws-chunked")
        .header("x-amz-decoded-content-length", &SIZE.to_string());
    target.signer().sign_as(&mut unsigned_in_signed, SIGNED);
    unsigned_in_signed.body = unsigned(&body, 70_000, &[]);
    let huge = {
        // One signed chunk whose signature is known only at its end, which never comes.
        let length = 100_u64 << 20;
        let mut request = target
            .request("PUT")
            .header("Content-Encoding", "aws-chunked")
            .header("x-amz-decoded-content-length", &length.to_string())
            .header("Content-Length", &(length + 200).to_string());
        target.signer().sign_as(&mut request, SIGNED);
        let head = format!("{length:x};chunk-signature={}\r\n", "0".repeat(64));
        [request.head_bytes(), head.into_bytes(), content(1, 100_000)].concat()
    };
    vec![
        Case::new(
            "signed chunks: a byte changed",
            changed(&|request| request.body[500] ^= 1),
            "403 SignatureDoesNotMatch",
        ),
        Case::new(
            "signed chunks: a byte of a later chunk changed",
            changed(&|request| request.body[150_000] ^= 1),
            "403 SignatureDoesNotMatch",
        ),
        Case::new(
            "signed chunks: the last chunk's signature changed",
            changed(&|request| {
                let at = request.body.len() - 10;
                request.body[at] = if request.body[at] == b'0' { b'1' } else { b'0' };
            }),
            "403 SignatureDoesNotMatch",
        ),
        Case::new(
            "signed chunks: trailer signature changed",
            trailer.bytes(),
            "403 SignatureDoesNotMatch",
        ),
        Case::new(
            "signed chunks: no signatures",
            unsigned_in_signed.bytes(),
            "403 SignatureDoesNotMatch | 403 AccessDenied | 400 InvalidRequest | 400 IncompleteBody",
        ),
        Case::new(
            "signed chunks: one of 100 MiB, cut",
            huge,
            "400 IncompleteBody | 400 RequestTimeout | closed",
        )
        .ending(),
    ]
}
