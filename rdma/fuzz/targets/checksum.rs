#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| rdma::wire::fuzz::checksum(text));
