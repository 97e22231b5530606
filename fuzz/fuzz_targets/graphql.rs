//! Is a GraphQL document understood whole, and within bounds? The check itself is `trackgate::fuzzing::graphql`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| trackgate::fuzzing::graphql(data));
