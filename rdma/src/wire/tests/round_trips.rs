//! Properties: every value is read back from its own text, in either case of its digits.

use proptest::prelude::*;

use super::super::*;
use crate::fabric::{Gid, Psn, RemoteWindow};

/// A window that does not wrap, of at least so many bytes.
fn window(least: u64) -> impl Strategy<Value = RemoteWindow> {
    (0..=u64::MAX - least, any::<u64>(), any::<u32>()).prop_map(move |(address, size, rkey)| {
        let size = size.clamp(least, u64::MAX - address);
        RemoteWindow { address, size, rkey }
    })
}

fn gid() -> impl Strategy<Value = Gid> {
    any::<[u8; 16]>().prop_map(Gid).prop_filter("zero", |gid| *gid != Gid::ZERO)
}

prop_compose! {
    fn rc_token()(qpn: u32, gid in gid(), window in window(0), port: u8, lid: u16) -> RcToken {
        let token = RcToken { qpn, gid, port, lid, is_loopback: false, ..RcToken::LOOPBACK };
        token.with_window(window)
    }
}

prop_compose! {
    /// The window is all of the memory, or any if the memory's size is not told.
    fn dc_token()(
        window in window(1),
        memory in prop::option::of(any::<u64>()),
        lid: u16,
        target_number in 0u32..1 << 24,
        gid_present in 0u8..16,
        gid: [u8; 16],
    ) -> DcToken {
        let size = u32::try_from(window.size).ok();
        let (memory_address, memory_size) = match (memory, size) {
            (None, Some(size)) => (window.address, size),
            (memory, _) => (memory.unwrap_or(0), 0),
        };
        DcToken {
            window, memory_address, memory_size, lid, target_number, gid_present, gid: Gid(gid),
        }
    }
}

fn query() -> impl Strategy<Value = TargetQuery> {
    let text = "[a-zA-Z0-9+/=&?% é\\x00-\\x1f]{1,12}";
    prop_oneof![
        Just(TargetQuery::None),
        Just(TargetQuery::Unsupported),
        (1u16..=10_000).prop_map(TargetQuery::Part),
        text.prop_map(TargetQuery::Version),
        (text, 1u16..=10_000)
            .prop_map(|(upload_id, part_number)| TargetQuery::Upload { upload_id, part_number }),
    ]
}

proptest! {
    #[test]
    fn rc_tokens(token in rc_token()) {
        let text = token.to_string();
        prop_assert_eq!(text.len(), 88);
        prop_assert_eq!(Token::parse(&text), Ok(Token::Session(token)));
        prop_assert_eq!(RcToken::parse(&text.to_uppercase()), Ok(token));
        let reply = ReplyCode::Prepared(token);
        prop_assert_eq!(ReplyCode::parse(&reply.to_string()), Ok(reply));
    }

    #[test]
    fn a_suffix_overrides(token in rc_token(), window in window(0)) {
        let text = format!("{token}:{:x}:{:X}", window.address, window.size);
        let expected = RcToken { address: window.address, length: window.size, ..token };
        prop_assert_eq!(Token::parse(&text), Ok(Token::Session(expected)));
    }

    #[test]
    fn pooled_tokens(id: [u8; 16], window in window(0)) {
        let token = PooledToken { connection: SessionId(id), window };
        let text = token.to_string();
        prop_assert_eq!(Token::parse(&text), Ok(Token::Pooled(token)));
        let upper = text.to_uppercase().replacen("RC", "rc", 1);
        prop_assert_eq!(Token::parse(&upper), Ok(Token::Pooled(token)));
    }

    #[test]
    fn dc_tokens(token in dc_token()) {
        let text = token.to_string();
        prop_assert_eq!(Token::parse(&text), Ok(Token::Dc(token)));
        prop_assert_eq!(Token::parse(&format!("{};", text.to_uppercase())), Ok(Token::Dc(token)));
    }

    #[test]
    fn identifiers(id: [u8; 16], cookie in 1u32.., psn in 1..=Psn::MAX) {
        let id = SessionId(id);
        prop_assert_eq!(SessionId::parse(&id.to_string().to_uppercase()), Ok(id));
        let cookie = Cookie::new(cookie).unwrap();
        prop_assert_eq!(Cookie::parse(&cookie.to_string()), Ok(cookie));
        let psn = Psn::new(psn).unwrap();
        let text = display_psn(psn).to_string();
        prop_assert_eq!((text.len(), parse_psn(&text)), (6, Ok(psn)));
    }

    #[test]
    fn numbers(number: u64, width in 1usize..=16) {
        prop_assert_eq!(parse_bare_hex(&format!("{number:0width$x}")), Ok(number));
        prop_assert_eq!(parse_decimal(&format!("{number:0width$}")), Ok(number));
        prop_assert_eq!(parse_decimal(&(u128::from(number) + (1 << 64)).to_string()).is_err(), true);
    }

    #[test]
    fn checksums(crc: u64, crc32: u32) {
        let text = Crc64Nvme(crc).to_string();
        prop_assert_eq!((text.len(), Crc64Nvme::parse(&text)), (12, Ok(Crc64Nvme(crc))));
        let text = Crc32c(crc32).to_string();
        prop_assert_eq!((text.len(), Crc32c::parse(&text)), (8, Ok(Crc32c(crc32))));
    }

    #[test]
    fn targets(bucket in ".{1,20}", key in ".{1,100}", query in query()) {
        let target = Target { bucket, key, query };
        prop_assert_eq!(Target::parse(&target.encode().unwrap()), Ok(target));
    }

    #[test]
    fn any_text(text in ".{0,200}") {
        fuzz_every_parser(text.as_bytes());
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzz_every_parser(&bytes);
    }
}
