//! Are the traces that spans name read in one way only? The check itself is `trackgate::fuzzing::otlp`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trackgate::fuzzing::otlp(data));
