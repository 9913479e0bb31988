//! Tokens that are nearly right: which kind they are taken for, and what is said of them. `what` tells the kind, for
//! each kind names its fields differently.

use super::super::{Fault, Token, header};
use super::{DC, DC_PAIR, LIBFABRIC, POOLED, SESSION, STAGING};
use crate::limits::TOKEN_BYTES_MAX;

type Case = (String, &'static str, Fault);

const ID: &str = "0123456789abcdef0123456789abcdef";
const GID: &str = "00000000000000000000ffff0a4d0001";

fn check(cases: &[Case]) {
    assert!(cases.len() >= 20, "only {} cases", cases.len());
    for (text, what, why) in cases {
        let error = Token::parse(text).expect_err(text);
        assert_eq!((error.what, error.why), (*what, *why), "{text}");
        assert_eq!(error.header, Some(header::TOKEN), "{text}");
    }
}

fn exactly(digits: usize) -> Fault {
    Fault::Digits { least: digits, most: digits }
}

const U64_DIGITS: Fault = Fault::Digits { least: 1, most: 16 };

#[test]
fn pooled() {
    let what = "pooled RC token";
    let five = Fault::Fields { expected: "rc:<connection>:<address>:<size>:<remote key>" };
    let nines = "9".repeat(17);
    let cases = [
        ("rc:".into(), what, five),
        ("rc::".into(), what, five),
        ("rc:::::".into(), what, five),
        ("rc::::".into(), "window address", Fault::Empty),
        (format!("rc:{ID}"), what, five),
        (format!("rc:{ID}:1000:10"), what, five),
        (format!("{POOLED}:"), what, five),
        (format!("{POOLED}:0"), what, five),
        (format!("rc:{POOLED}"), what, five),
        (format!("rc::{ID}:1000:10:1"), what, five),
        (format!("{POOLED};"), "remote key", Fault::Digits { least: 1, most: 8 }),
        (format!("{POOLED} "), "remote key", Fault::Digits { least: 1, most: 8 }),
        (format!("rc:{}:1000:10:1", &ID[1..]), "connection", exactly(32)),
        (format!("rc:{ID}0:1000:10:1"), "connection", exactly(32)),
        ("rc::1000:10:1".into(), "connection", Fault::Empty),
        (format!("rc:g{}:1000:10:1", &ID[1..]), "connection", Fault::NotHexadecimal),
        (format!("rc: {}:1000:10:1", &ID[1..]), "connection", Fault::NotHexadecimal),
        (format!("rc:é{}:1000:10:1", &ID[2..]), "connection", Fault::NotHexadecimal),
        (format!("rc:{ID}::10:1"), "window address", Fault::Empty),
        (format!("rc:{ID}:{nines}:10:1"), "window address", U64_DIGITS),
        (format!("rc:{ID}:0x1000:10:1"), "window address", Fault::NotHexadecimal),
        (format!("rc:{ID}:+1000:10:1"), "window address", Fault::NotHexadecimal),
        (format!("rc:{ID}:1000::1"), "window size", Fault::Empty),
        (format!("rc:{ID}:1000:{nines}:1"), "window size", U64_DIGITS),
        (format!("rc:{ID}:1000:-1:1"), "window size", Fault::NotHexadecimal),
        (format!("rc:{ID}:1000:1 0:1"), "window size", Fault::NotHexadecimal),
        (format!("rc:{ID}:1000:10:"), "remote key", Fault::Empty),
        (format!("rc:{ID}:1000:10:000000001"), "remote key", Fault::Digits { least: 1, most: 8 }),
        (format!("rc:{ID}:1000:10:1\0"), "remote key", Fault::NotHexadecimal),
        (format!("rc:{ID}:ffffffffffffffff:1:1"), "window", Fault::Wraps),
        (format!("rc:{ID}:1:ffffffffffffffff:1"), "window", Fault::Wraps),
    ];
    check(&cases);
}

#[test]
fn session() {
    let suffix = Fault::Fields { expected: "<88 digits>:<address>:<length>" };
    let transport = |digits: &str| format!("{digits}{}", &SESSION[2..]);
    let zero_gid = format!("{}{}{}", &SESSION[..10], "0".repeat(32), &SESSION[42..]);
    let zeros = "0".repeat(88);
    let nearly_zeros = format!("{}1", "0".repeat(87));
    let only_port = format!("01{}010000", "0".repeat(80));
    let wraps = format!("{}{}{}", &STAGING[..50], "f".repeat(32), &STAGING[82..]);
    let cases = [
        (transport("00"), "RC token's transport", Fault::Transport),
        (transport("02"), "RC token's transport", Fault::Transport),
        (transport("10"), "RC token's transport", Fault::Transport),
        (transport("ff"), "RC token's transport", Fault::Transport),
        (transport("FF"), "RC token's transport", Fault::Transport),
        (nearly_zeros, "RC token's transport", Fault::Transport),
        (format!("{}:1:1", transport("00")), "RC token's transport", Fault::Transport),
        (zero_gid.clone(), "RC token's GID", Fault::ZeroGid),
        (format!("{zero_gid}:1000:10"), "RC token's GID", Fault::ZeroGid),
        (only_port, "RC token's GID", Fault::ZeroGid),
        (format!("{SESSION}:"), "RC token", suffix),
        (format!("{SESSION}:1000"), "RC token", suffix),
        (format!("{SESSION}:1000:10:"), "RC token", suffix),
        (format!("{SESSION}:1000:10:1"), "RC token", suffix),
        (format!("{SESSION}::"), "buffer address", Fault::Empty),
        (format!("{SESSION}::10"), "buffer address", Fault::Empty),
        (format!("{SESSION}:1000:"), "buffer length", Fault::Empty),
        (format!("{SESSION}:0x10:10"), "buffer address", Fault::NotHexadecimal),
        (format!("{SESSION}:1000:10;"), "buffer length", Fault::NotHexadecimal),
        (format!("{SESSION}:{}:10", "0".repeat(17)), "buffer address", U64_DIGITS),
        (format!("{SESSION}:10:{}", "0".repeat(17)), "buffer length", U64_DIGITS),
        (format!("{zeros}:10:g"), "buffer length", Fault::NotHexadecimal),
        (format!("{zeros}:ffffffffffffffff:1"), "RC token's window", Fault::Wraps),
        (format!("{SESSION}:ffffffffffffffff:2"), "RC token's window", Fault::Wraps),
        (wraps, "RC token's window", Fault::Wraps),
        (format!("{SESSION}:1000:ofi1"), "buffer length", Fault::NotHexadecimal),
        (format!("{SESSION}:1:ofi1:tcp:00:1"), "RC token", suffix),
    ];
    check(&cases);
}

/// 87 and 89 digits are no RC token, whatever comes behind them.
#[test]
fn nearly_88_digits_are_no_kind() {
    let unknown = Fault::UnknownKind;
    for text in [
        SESSION[1..].to_owned(),
        format!("{SESSION}0"),
        format!("{}:1000:10", &SESSION[1..]),
        format!(" {}", &SESSION[1..]),
        format!("{} ", &SESSION[1..]),
        format!("g{}", &SESSION[1..]),
        format!("{};", &SESSION),
    ] {
        assert_eq!(Token::parse(&text).expect_err(&text).why, unknown, "{text}");
    }
}

#[test]
fn libfabric() {
    let what = "libfabric token";
    let expected = "<base>:<size>:ofi1:<provider>:<endpoint name>:<memory key>";
    let six = Fault::Fields { expected };
    let name = Fault::Digits { least: 2, most: 384 };
    let cases = [
        ("::ofi1".into(), what, six),
        ("1:1:ofi1".into(), what, six),
        ("1:1:ofi1:".into(), what, six),
        ("1:1:ofi1:tcp:00".into(), what, six),
        ("1:1:ofi1:tcp:00:1:".into(), what, six),
        (format!("{LIBFABRIC}:1"), what, six),
        ("1:1:ofi1:a:b:00:1".into(), what, six), // 7 fields, but never a DC token
        ("1:1:ofi1:a:b:c:d:00:1".into(), what, six),
        (":1:ofi1:tcp:00:1".into(), "base address", Fault::Empty),
        ("g:1:ofi1:tcp:00:1".into(), "base address", Fault::NotHexadecimal),
        (format!("{}:1:ofi1:tcp:00:1", "1".repeat(17)), "base address", U64_DIGITS),
        ("1::ofi1:tcp:00:1".into(), "window size", Fault::Empty),
        ("1:0x1:ofi1:tcp:00:1".into(), "window size", Fault::NotHexadecimal),
        (format!("1:{}:ofi1:tcp:00:1", "1".repeat(17)), "window size", U64_DIGITS),
        ("1:1:ofi1::00:1".into(), "provider", Fault::Empty),
        ("1:1:ofi1:t p:00:1".into(), "provider", Fault::Character),
        ("1:1:ofi1:t\u{7f}:00:1".into(), "provider", Fault::Character),
        ("1:1:ofi1:tcp::1".into(), "endpoint name", Fault::Empty),
        ("1:1:ofi1:tcp:0:1".into(), "endpoint name", name),
        ("1:1:ofi1:tcp:000:1".into(), "endpoint name", name),
        (format!("1:1:ofi1:tcp:{}:1", "0".repeat(386)), "endpoint name", name),
        ("1:1:ofi1:tcp:0g:1".into(), "endpoint name", Fault::NotHexadecimal),
        ("1:1:ofi1:tcp:00:".into(), "memory key", Fault::Empty),
        ("1:1:ofi1:tcp:00:-1".into(), "memory key", Fault::NotHexadecimal),
        (format!("{LIBFABRIC};"), "memory key", Fault::NotHexadecimal),
        (format!("1:1:ofi1:tcp:00:{}", "1".repeat(17)), "memory key", U64_DIGITS),
    ];
    check(&cases);
}

/// A DC token with one of its fields (and those behind 6) replaced.
fn dc_with(field: usize, text: &str) -> String {
    let mut fields: Vec<&str> = DC.split(':').collect();
    fields[field] = text;
    fields.join(":")
}

#[test]
fn dc() {
    let outside = Fault::OutsideMemory;
    let unknown = Fault::UnknownKind;
    let full = format!("ffffffffffffffff:00000001:000018ff:0000:0001a7:1:{GID}");
    let cases = [
        (format!("{DC}:1000"), "token", unknown),   // 8 fields
        (format!("{DC_PAIR}:1"), "token", unknown), // 10
        (DC[..48].to_owned(), "token", unknown),    // 6
        (format!("{DC};;"), "GID", exactly(32)),
        (format!("{DC} "), "GID", exactly(32)),
        (format!(";{DC}"), "memory address", exactly(16)),
        ("::::::".into(), "memory address", Fault::Empty),
        (dc_with(0, "7f00deadb000"), "memory address", exactly(16)),
        (dc_with(0, "0x007f00deadb000"), "memory address", Fault::NotHexadecimal),
        (dc_with(1, "400000"), "memory size", exactly(8)),
        (dc_with(1, "0000400000"), "memory size", exactly(8)),
        (dc_with(1, "0040000g"), "memory size", Fault::NotHexadecimal),
        (dc_with(1, "00000000"), "window size", Fault::Zero),
        (dc_with(2, "18ff"), "remote key", exactly(8)),
        (dc_with(2, "000018f "), "remote key", Fault::NotHexadecimal),
        (dc_with(3, "0"), "local identifier", exactly(4)),
        (dc_with(3, "00+0"), "local identifier", Fault::NotHexadecimal),
        (dc_with(4, "01a7"), "DC target number", exactly(6)),
        (dc_with(4, "0001a7a7"), "DC target number", exactly(6)),
        (dc_with(5, ""), "mark of a GID", Fault::Empty),
        (dc_with(5, "01"), "mark of a GID", exactly(1)),
        (dc_with(5, "y"), "mark of a GID", Fault::NotHexadecimal),
        (dc_with(6, &GID[1..]), "GID", exactly(32)),
        (dc_with(6, "::ffff:10.77.0.1"), "token", unknown), // 10, by the GID's own colons
        (dc_with(6, &format!("{}-", &GID[1..])), "GID", Fault::NotHexadecimal),
        (format!("{DC}::"), "window address", Fault::Empty),
        (format!("{DC}:7f00deadb000:"), "window size", Fault::Empty),
        (format!("{DC}:7f00deadb000:0"), "window size", Fault::Zero),
        (format!("{DC}:{}:1", "0".repeat(17)), "window address", U64_DIGITS),
        (format!("{DC}:7f00deadb000:{}", "0".repeat(17)), "window size", U64_DIGITS),
        (format!("{DC}:7f00deadafff:1"), "window", outside),
        (format!("{DC}:7f00deadb000:400001"), "window", outside),
        (format!("{DC}:7f00deedb000:1"), "window", outside),
        (full, "window", Fault::Wraps),
        (format!("{DC}:ffffffffffffffff:1"), "window", Fault::Wraps),
    ];
    check(&cases);
}

#[test]
fn no_kind() {
    let unknown = Fault::UnknownKind;
    let too_long = Fault::TooLong { limit: TOKEN_BYTES_MAX };
    let cases = [
        (String::new(), "token", Fault::Empty),
        (" ".into(), "token", unknown),
        (":".into(), "token", unknown),
        (";".into(), "token", unknown),
        ("rc".into(), "token", unknown),
        (POOLED.replacen("rc:", "RC:", 1), "token", unknown),
        (format!(" {POOLED}"), "token", unknown),
        (format!("x{POOLED}"), "token", unknown),
        ("junk".into(), "token", unknown),
        ("ofi1".into(), "token", unknown),
        ("ofi1:1:1:tcp:00:1".into(), "token", unknown),
        ("1:1:OFI1:tcp:00:1".into(), "token", unknown),
        ("1:1:ofi2:tcp:00:1".into(), "token", unknown),
        ("1:1: ofi1:tcp:00:1".into(), "token", unknown),
        ("\0".into(), "token", unknown),
        ("\r\nx-amz-acl: public-read-write".into(), "token", unknown),
        ("é".repeat(44), "token", unknown),
        ("0".repeat(87), "token", unknown),
        ("0".repeat(176), "token", unknown),
        (":".repeat(TOKEN_BYTES_MAX), "token", unknown),
        ("0".repeat(TOKEN_BYTES_MAX + 1), "token", too_long),
        (format!("rc:{}", "0".repeat(TOKEN_BYTES_MAX)), "token", too_long),
        (format!("{SESSION}:1:{}", "0".repeat(TOKEN_BYTES_MAX)), "token", too_long),
        ("[object Object]".into(), "token", unknown),
    ];
    check(&cases);
}

/// What is unusual and still right.
#[test]
fn unusual_and_accepted() {
    let pooled = |text: &str| matches!(Token::parse(text), Ok(Token::Pooled(_)));
    assert!(pooled(&POOLED.replace("abcdef", "ABCDEF")));
    assert!(pooled(&format!("rc:{ID}:0:0:0")));
    assert!(pooled(&format!("rc:{ID}:ffffffffffffffff:0:ffffffff")));
    assert!(pooled(&format!("rc:{ID}:1:fffffffffffffffe:1")));

    let session = |text: &str| matches!(Token::parse(text), Ok(Token::Session(_)));
    assert!(session(&SESSION.to_uppercase()));
    assert!(session(&"0".repeat(88)));
    assert!(session(&format!("{SESSION}:0:0")));
    assert!(session(&format!("{SESSION}:{}:{}", "F".repeat(16), "0".repeat(16))));

    let libfabric = |text: &str| Token::parse(text) == Ok(Token::Libfabric);
    assert!(libfabric(LIBFABRIC));
    assert!(libfabric("0:0:ofi1:tcp:00:0"));
    assert!(libfabric(&format!("F:F:ofi1:shm:{}:F", "aB".repeat(192))));

    let dc = |text: &str| matches!(Token::parse(text), Ok(Token::Dc(_)));
    assert!(dc(&format!("{DC};")));
    assert!(dc(&format!("{DC_PAIR};")));
    assert!(dc(&DC.to_uppercase()));
    assert!(dc(&format!("{}:1:1", dc_with(1, "00000000"))));
    assert!(dc(&dc_with(6, &"0".repeat(32))));
}

/// An error may be put into an answer as it is.
#[test]
fn errors_are_fit_for_a_client() {
    let error = Token::parse(&format!("rc:{ID}:\r\n\u{1b}[31m:10:1")).unwrap_err();
    let expected = "x-amz-rdma-token: the window address \"..\u{2e}[31m\" is not valid: \
        it must have hexadecimal digits only";
    assert_eq!(error.to_string(), expected);
    let error = Token::parse(&"é".repeat(300)).unwrap_err();
    assert_eq!(error.value.to_string(), format!("{}...", ".".repeat(40)));
    let error = Token::parse(&format!("rc:{}:1000:10:1", &ID[1..])).unwrap_err();
    let expected = format!(
        "x-amz-rdma-token: the connection \"{}\" is not valid: it must have exactly 32 digits",
        &ID[1..]
    );
    assert_eq!(error.to_string(), expected);
}
