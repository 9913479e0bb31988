//! aws-chunked: published examples, every malformation, and indifference to how input is cut.

use proptest::prelude::*;

use super::*;
use crate::body::checksum::{Algorithm, Digests, Selection};
use crate::body::limits::{FRAMING_LINE_BYTES_MAX, SIGNED_CHUNK_BYTES_MIN};

const CRC: &str = "x-amz-checksum-crc32";

fn crc32(data: &[u8]) -> String {
    let mut digests = Digests::new(Selection::none().with(Algorithm::Crc32));
    digests.update(data);
    digests.finish().value(Algorithm::Crc32).expect("selected").to_base64()
}

fn decode(plan: &BodyPlan, body: &[u8]) -> (Vec<u8>, Option<BodyError>) {
    drained(Decoded::new(Pieces::whole(body), plan))
}

/// The error that `body` ends in, however it is cut; and that all of the content never came before it.
fn error_of(plan: &BodyPlan, body: &[u8]) -> BodyError {
    let mut found = None;
    for size in [1, 2, 3, 7, 64, 1_000_000] {
        let (content, error) = drained(Decoded::new(Pieces::cut(body, size), plan));
        let error = error.unwrap_or_else(|| panic!("no error, cut by {size}"));
        if let Some(length) = plan.length.filter(|&length| length > 0) {
            assert!((content.len() as u64) < length, "all content came before {error}");
        }
        assert!(plan.trailer.value().is_none(), "a trailer of a bad body");
        if let Some(found) = found.replace(error.clone()) {
            assert_eq!(found.to_string().split(',').next(), error.to_string().split(',').next());
        }
    }
    found.expect("it was decoded")
}

fn assert_error(plan: &BodyPlan, body: &[u8], code: &str, status: u16, message: &str) {
    let error = error_of(plan, body);
    assert_eq!((error.code(), error.status().as_u16()), (code, status), "{error}");
    assert!(error.message().contains(message), "{error} in place of {message}");
}

/// AWS, "Transferring payload in multiple chunks": 66,560 times `a` in chunks of 64 KiB.
fn published(signatures: [&str; 3]) -> Framer {
    let body = format!(
        "10000;chunk-signature={}\r\n{}\r\n400;chunk-signature={}\r\n{}\r\n0;chunk-signature={}\r\n",
        signatures[0],
        "a".repeat(65_536),
        signatures[1],
        "a".repeat(1_024),
        signatures[2]
    );
    Framer::unsigned().raw(&body)
}

#[test]
fn the_published_chunked_upload() {
    let body = published([
        "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
        "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
        "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
    ])
    .end();
    let plan = framed(true, None, 66_560);
    for size in [1, 1_000, 1_000_000] {
        let (content, error) = drained(Decoded::new(Pieces::cut(&body, size), &plan));
        assert!(error.is_none(), "{error:?}");
        assert_eq!(content, vec![b'a'; 66_560]);
    }
    let mut changed = body.clone();
    changed[70_000 - 4_000] ^= 1;
    let (_, error) = decode(&plan, &changed);
    assert!(matches!(error, Some(BodyError::ChunkSignature)), "{error:?}");
}

/// AWS, "Including trailing headers".
#[test]
fn the_published_upload_with_a_trailer() {
    let signatures = [
        "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
        "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
        "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
    ];
    let signature = "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435";
    let seed = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e";
    let headers =
        [("x-amz-decoded-content-length", "66560"), ("x-amz-trailer", "x-amz-checksum-crc32c")];
    let payload =
        || Payload::Chunked { chain: Some(Box::new(ChunkChain::example(seed))), trailer: true };
    // CR LF, and the LF CR LF of minio's client.
    for end in ["\r\n", "\n\r\n"] {
        let plan = plan(&head("PUT", "/b/k", &headers), &verified(Mechanism::Header, payload()))
            .expect("a plan");
        let trailer =
            format!("x-amz-checksum-crc32c:sOO8/Q=={end}x-amz-trailer-signature:{signature}\r\n");
        let pieces = Pieces::cut(&published(signatures).raw(&trailer).end(), 999);
        let (content, error) = checked(pieces, &plan);
        assert!(error.is_none(), "{error:?}");
        assert_eq!(content.len(), 66_560);
        let (algorithm, value) = plan.trailer.value().expect("the trailer");
        assert_eq!((algorithm, value.to_base64()), (Algorithm::Crc32c, "sOO8/Q==".into()));
    }
    let plan = plan(&head("PUT", "/b/k", &headers), &verified(Mechanism::Header, payload()))
        .expect("a plan");
    for trailer in [
        format!("x-amz-checksum-crc32c:sOO8/A==\r\nx-amz-trailer-signature:{signature}\r\n"),
        format!(
            "x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:{}\r\n",
            signature.replace('d', "e")
        ),
        "x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:short\r\n".into(),
    ] {
        assert_error(
            &plan,
            &published(signatures).raw(&trailer).end(),
            "SignatureDoesNotMatch",
            403,
            "chunk signature",
        );
    }
}

#[test]
fn unsigned_chunks_with_a_trailer() {
    let data = b"hello, world".repeat(100);
    let plan = framed(false, Some(CRC), data.len() as u64);
    let framer = || Framer::unsigned().chunk(&data[..5]).chunk(&data[5..]).last();
    let minio = framer().raw(&format!("{CRC}:{}\n\r\n", crc32(&data))).end();
    let upper = framer().raw(&format!("X-Amz-Checksum-CRC32: {} \r\n", crc32(&data))).end();
    for body in [framer().trailer(CRC, &crc32(&data)).end(), minio, upper] {
        let (content, error) = decode(&framed(false, Some(CRC), data.len() as u64), &body);
        assert!(error.is_none(), "{error:?}");
        assert_eq!(content, data);
    }
    let wrong = framer().trailer(CRC, "AAAAAA==").end();
    let (_, error) = checked(Pieces::whole(&wrong), &plan);
    assert!(matches!(error, Some(BodyError::Checksum(Algorithm::Crc32))), "{error:?}");
}

#[test]
fn zero_bytes() {
    for signed in [false, true] {
        let framer = || {
            if signed { Framer::signed() } else { Framer::unsigned() }
        };
        let (content, error) = decode(&framed(signed, None, 0), &framer().last().end());
        assert!(content.is_empty() && error.is_none(), "{error:?}");
        let body = framer().last().trailer(CRC, "AAAAAA==").end();
        let (content, error) = decode(&framed(signed, Some(CRC), 0), &body);
        assert!(content.is_empty() && error.is_none(), "{error:?}");
        assert_error(
            &framed(signed, None, 0),
            b"",
            "IncompleteBody",
            400,
            "0 bytes were announced",
        );
    }
}

#[test]
fn lengths_are_exact() {
    let body = |data: &[u8]| Framer::unsigned().chunk(data).last().end();
    assert_error(
        &framed(false, None, 4),
        &body(b"hello"),
        "InvalidRequest",
        400,
        "longer than the 4 bytes",
    );
    assert_error(
        &framed(false, None, 6),
        &body(b"hello"),
        "IncompleteBody",
        400,
        "6 bytes were announced, 5 came",
    );
    let huge = Framer::unsigned().raw("ffffffffffffffff\r\nhello\r\n").end();
    assert_error(&framed(false, None, 5), &huge, "InvalidRequest", 400, "longer than the 5 bytes");
    let (_, error) = decode(&framed(false, None, 5), &[&body(b"hello")[..], b"x"].concat());
    assert!(matches!(error, Some(BodyError::MalformedChunk("bytes follow its end"))), "{error:?}");
}

#[test]
fn bodies_cut_short_anywhere_are_refused() {
    let data = vec![b'x'; 9_000];
    for signed in [false, true] {
        let framer = if signed { Framer::signed() } else { Framer::unsigned() };
        let body = framer
            .chunk(&data[..8_500])
            .chunk(&data[8_500..])
            .last()
            .trailer(CRC, &crc32(&data))
            .end();
        for end in (0..body.len()).rev().take(300).chain((0..body.len()).step_by(97)) {
            let plan = framed(signed, Some(CRC), 9_000);
            let (content, error) = decode(&plan, &body[..end]);
            assert!(
                matches!(error, Some(BodyError::Incomplete { expected: 9_000, .. })),
                "cut at {end}: {error:?}"
            );
            assert!(content.len() < data.len());
        }
        let (content, error) = decode(&framed(signed, Some(CRC), 9_000), &body);
        assert!(error.is_none() && content == data, "{error:?}");
    }
}

#[test]
fn malformed_chunk_headers() {
    let long = format!("5;{}\r\nhello\r\n", "x".repeat(FRAMING_LINE_BYTES_MAX));
    for (body, message) in [
        ("\r\nhello\r\n", "not a hexadecimal number"),
        ("g\r\nhello\r\n", "not a hexadecimal number"),
        ("0x5\r\nhello\r\n", "not a hexadecimal number"),
        ("-5\r\nhello\r\n", "not a hexadecimal number"),
        ("+5\r\nhello\r\n", "not a hexadecimal number"),
        (" 5\r\nhello\r\n", "not a hexadecimal number"),
        ("5 \r\nhello\r\n", "not a hexadecimal number"),
        ("5\r\r\nhello\r\n", "not a hexadecimal number"),
        ("00000000000000005\r\nhello\r\n", "not a hexadecimal number"),
        ("5\nhello\r\n", "does not end with CR LF"),
        ("5;a;b;c;d;e\r\nhello\r\n", "too many extensions"),
        ("5\r\nhello\n0\r\n\r\n", "chunk data does not end with CR LF"),
        ("5\r\nhello\r\r\n", "chunk data does not end with CR LF"),
        ("5\r\nhello5\r\n", "chunk data does not end with CR LF"),
        (&long, "a chunk header is too long"),
    ] {
        // More is announced than comes, so that an error is due before the length's.
        assert_error(&framed(false, None, 6), body.as_bytes(), "InvalidRequest", 400, message);
    }
    let extended = b"0005;name=value;other\r\nhello\r\n0;x\r\n\r\n";
    let (content, error) = decode(&framed(false, None, 5), extended);
    assert!(
        error.is_none() && content == b"hello",
        "unknown extensions are passed over: {error:?}"
    );
}

#[test]
fn malformed_trailers() {
    let plan = || framed(false, Some(CRC), 5);
    let body = |lines: &str| Framer::unsigned().chunk(b"hello").last().raw(lines).end();
    let good = format!("{CRC}:{}\r\n", crc32(b"hello"));
    let long = format!("{CRC}:{}\r\n", "A".repeat(FRAMING_LINE_BYTES_MAX));
    for (lines, message) in [
        (String::new(), "the announced checksum did not come"),
        (format!("{good}{good}"), "given twice"),
        (format!("{good}x-amz-meta-a:b\r\n"), "did not announce"),
        ("x-amz-checksum-sha1:AAAA\r\n".into(), "did not announce"),
        (
            format!("{good}x-amz-trailer-signature:{}\r\n", "0".repeat(64)),
            "a signature that was not announced",
        ),
        ("no colon\r\n".into(), "without a colon"),
        (format!("{CRC}:{}\nx:y\r\n", crc32(b"hello")), "does not end with CR LF"),
        ("\n".into(), "an empty line"),
        (long, "a line is too long"),
        ("\u{e9}:x\r\n".into(), "did not announce"),
    ] {
        assert_error(&plan(), &body(&lines), "MalformedTrailerError", 400, message);
    }
    let invalid = format!("Value for {CRC} trailing header is invalid.");
    for value in ["", "AAAA", "not base64!!", "AAAAAAA="] {
        assert_error(
            &plan(),
            &body(&format!("{CRC}:{value}\r\n")),
            "InvalidRequest",
            400,
            &invalid,
        );
    }
    assert_error(
        &framed(false, None, 5),
        &body(&good),
        "MalformedTrailerError",
        400,
        "did not announce",
    );
}

#[test]
fn malformed_signed_bodies() {
    let data = vec![b'x'; 10_000];
    let plan = || framed(true, None, 10_000);
    let good = Framer::signed().chunk(&data).last().end();
    assert!(decode(&plan(), &good).1.is_none());
    let unsigned = Framer::unsigned().chunk(&data).last().end();
    assert_error(&plan(), &unsigned, "InvalidRequest", 400, "no chunk-signature");
    let short = String::from_utf8(good.clone()).expect("ascii").replacen(
        "chunk-signature=",
        "chunk-signature=0",
        1,
    );
    assert_error(&plan(), short.as_bytes(), "SignatureDoesNotMatch", 403, "chunk signature");
    let twice = String::from_utf8(good.clone()).expect("ascii");
    let first = twice[..twice.find("\r\n").expect("a line")]
        .split_once(';')
        .expect("an extension")
        .1
        .to_owned();
    let twice = twice.replacen("\r\n", &format!(";{first}\r\n"), 1);
    assert_error(&plan(), twice.as_bytes(), "InvalidRequest", 400, "two signatures");
    // Chunks in another order than they were signed in.
    let swapped = {
        let (one, two) = data.split_at(8_192);
        let forward = Framer::signed().chunk(one).chunk(two).last().end();
        let at = forward
            .windows(4)
            .position(|window| window == b"\r\n71" || window == b"\r\n70")
            .expect("the second");
        [&forward[at + 2..], &forward[..at + 2]].concat()
    };
    assert_error(&plan(), &swapped, "SignatureDoesNotMatch", 403, "chunk signature");
    // The last chunk, without data, is signed too.
    let mut cut_off = good.clone();
    let at = cut_off.len() - 10;
    cut_off[at] = if cut_off[at] == b'0' { b'1' } else { b'0' };
    assert_error(&plan(), &cut_off, "SignatureDoesNotMatch", 403, "chunk signature");
}

#[test]
fn small_signed_chunks_are_refused_unless_last() {
    let least = usize::try_from(SIGNED_CHUNK_BYTES_MIN).expect("small");
    let data = vec![b'x'; least + 10];
    let last_small = Framer::signed().chunk(&data[..least]).chunk(&data[least..]).last().end();
    assert!(decode(&framed(true, None, data.len() as u64), &last_small).1.is_none());
    let first_small =
        Framer::signed().chunk(&data[..least - 1]).chunk(&data[least - 1..]).last().end();
    let plan = framed(true, None, data.len() as u64);
    assert_error(&plan, &first_small, "InvalidChunkSizeError", 403, "Only the last chunk");
}

#[test]
fn signed_trailers() {
    let data = vec![b'x'; 100];
    let plan = || framed(true, Some(CRC), 100);
    let framer = || Framer::signed().chunk(&data).last();
    let good = framer().trailer(CRC, &crc32(&data)).end();
    assert!(decode(&plan(), &good).1.is_none());
    let unsigned = framer().raw(&format!("{CRC}:{}\r\n", crc32(&data))).end();
    assert_error(&plan(), &unsigned, "MalformedTrailerError", 400, "signature did not come");
    let after = framer().trailer(CRC, &crc32(&data)).raw("x:y\r\n").end();
    assert_error(&plan(), &after, "MalformedTrailerError", 400, "after the trailer's signature");
    let changed = String::from_utf8(good).expect("ascii").replace(&crc32(&data), "AAAAAA==");
    assert_error(&plan(), changed.as_bytes(), "SignatureDoesNotMatch", 403, "chunk signature");
}

/// Signed or not, the chunks' sizes, and the content.
fn uploads() -> impl Strategy<Value = (bool, bool, Vec<u8>)> {
    let chunks = proptest::collection::vec(8_192usize..20_000, 0..3);
    (any::<bool>(), any::<bool>(), chunks, 1usize..5_000).prop_map(
        |(signed, trailer, chunks, last)| {
            let total = chunks.iter().sum::<usize>() + last;
            let data: Vec<u8> = (0..total).map(|at| (at * 31 % 251) as u8).collect();
            let mut framer = if signed { Framer::signed() } else { Framer::unsigned() };
            let mut rest = &data[..];
            for size in chunks.into_iter().chain([last]) {
                let (chunk, after) = rest.split_at(size);
                framer = framer.chunk(chunk);
                rest = after;
            }
            framer = framer.last();
            if trailer {
                framer = framer.trailer(CRC, &crc32(&data));
            }
            (signed, trailer, [&(total as u64).to_be_bytes()[..], &framer.end()].concat())
        },
    )
}

fn pieces(body: &[u8], cuts: &[prop::sample::Index]) -> Pieces {
    let mut ends: Vec<usize> =
        cuts.iter().map(|cut| cut.index(body.len() + 1)).chain([body.len()]).collect();
    ends.sort_unstable();
    let mut start = 0;
    Pieces::of(ends.into_iter().map(|end| {
        let piece = Bytes::copy_from_slice(&body[start..end]);
        start = end;
        piece
    }))
}

proptest! {
    #[test]
    fn cuts_make_no_difference(
        (signed, trailer, upload) in uploads(),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..40),
        flip in proptest::option::of((any::<prop::sample::Index>(), 1u8..=255)),
    ) {
        let (length, body) = upload.split_at(8);
        let length = u64::from_be_bytes(length.try_into().expect("8 bytes"));
        let mut body = body.to_vec();
        if let Some((at, bits)) = flip {
            let at = at.index(body.len());
            body[at] ^= bits;
        }
        let plan = || framed(signed, trailer.then_some(CRC), length);
        let (whole, cut) = (plan(), plan());
        let (content, error) = decode(&whole, &body);
        let (content_cut, error_cut) = drained(Decoded::new(pieces(&body, &cuts), &cut));
        prop_assert_eq!(whole.trailer.value(), cut.trailer.value());
        match (error, error_cut) {
            (None, None) => {
                prop_assert_eq!(content.len() as u64, length);
                prop_assert_eq!(content, content_cut);
                prop_assert!(flip.is_none() || !signed, "a changed byte went unseen");
            }
            (Some(error), Some(error_cut)) => {
                prop_assert!(flip.is_some(), "{}", error);
                prop_assert_eq!(error.to_string(), error_cut.to_string());
                prop_assert!((content.len() as u64) < length && (content_cut.len() as u64) < length);
            }
            (error, error_cut) => prop_assert!(false, "whole {:?}, cut {:?}", error, error_cut),
        }
    }

    #[test]
    fn noise_never_panics(
        signed in any::<bool>(),
        noise in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b';'), Just(b':'), b'0'..=b'9', any::<u8>()], 0..600),
        length in prop_oneof![Just(0u64), 0u64..100, Just(u64::MAX)],
        size in 1usize..50,
    ) {
        let plan = framed(signed, Some(CRC), length);
        let (content, error) = drained(Decoded::new(Pieces::cut(&noise, size), &plan));
        if error.is_none() {
            prop_assert_eq!(content.len() as u64, length);
        }
    }
}
