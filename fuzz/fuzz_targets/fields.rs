//! Are the fields of a request read in one way only? The check itself is `trackgate::fuzzing::fields`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trackgate::fuzzing::fields(data));
