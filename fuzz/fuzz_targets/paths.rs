//! Has a path one spelling, and one row? The check itself is `trackgate::fuzzing::paths`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trackgate::fuzzing::paths(data));
