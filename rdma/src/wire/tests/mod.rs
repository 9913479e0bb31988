//! Tests of the texts: values that other implementations have been seen to send, tokens that are broken in every way
//! that a kind can be, and texts that nobody chose.

mod malformed_tokens;
mod mutations;
mod round_trips;
mod texts;
mod vectors;

/// One well-formed token of each kind, as clients send them.
const POOLED: &str = "rc:0123456789abcdef0123456789abcdef:00007f12a4000000:00010000:0000189a";
const SESSION: &str =
    "011201000000000000000000000000ffff0a4d00010000000000000000000000000000000000000000010000";
const STAGING: &str =
    "011301000000000000000000000000ffff0a4d00019a180000000000a4127f00000000010000000000010000";
const LINK_LOCAL: &str =
    "01efcdab00fe80000000000000c0ffeefffe123456efbeadde00503412005600000010000000000000010000";
const DC: &str =
    "00007f00deadb000:00400000:000018ff:0000:0001a7:1:00000000000000000000ffff0a4d0001";
const DC_PAIR: &str = "00007f00deadb000:00400000:000018ff:0000:0001a7:1:\
    00000000000000000000ffff0a4d0001:00007f00deadb000:0000000000400000";
const LIBFABRIC: &str = "7f00deadb000:400000:ofi1:verbs;ofi_rxm:0200e1ff0a4d0001:18ff";
