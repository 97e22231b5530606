//! Does a filtered answer hold nothing hidden? The check itself is `trackgate::fuzzing::answers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trackgate::fuzzing::answers(data));
