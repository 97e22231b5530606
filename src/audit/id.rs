//! What is a request's name?
//!
//! It stands in the audit log, in the answer and on error pages, so it must be unlike any other and may be known to
//! everybody. It is made for each request, so it asks the kernel for nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{SystemTime, UNIX_EPOCH};

use uuid::{Builder, Uuid};

/// A UUID of version 7 (RFC 9562 section 5.7): the time in milliseconds, then 74 bits that are random when the process
/// starts and counted up from there (section 6.2, method 2), so that two processes do not meet.
pub(super) fn name(now: SystemTime) -> Arc<str> {
    static START: LazyLock<(u128, AtomicU64)> = LazyLock::new(|| {
        let (high, low) = Uuid::new_v4().as_u64_pair();
        (u128::from(high), AtomicU64::new(low))
    });
    let (high, low) = &*START;
    let bits = high << 64 | u128::from(low.fetch_add(1, Ordering::Relaxed));
    let millis = now.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    // The builder overwrites the six bits of version and variant, which lie in the first three of these bytes; what
    // counts up lies in the last ones.
    let mut tail = [0; 10];
    tail.copy_from_slice(&bits.to_be_bytes()[6..]);
    let mut text = [0; uuid::fmt::Simple::LENGTH];
    let name = Builder::from_unix_timestamp_millis(millis, &tail).into_uuid();
    Arc::from(&*name.simple().encode_lower(&mut text))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use super::*;

    #[test]
    fn no_two_requests_of_one_moment_have_the_same_name() {
        let now = UNIX_EPOCH + Duration::from_millis(1_760_000_000_123);
        let makers: Vec<_> =
            (0..4).map(|_| std::thread::spawn(move || (0..10_000).map(|_| name(now)).collect::<Vec<_>>())).collect();
        let names: HashSet<Arc<str>> = makers.into_iter().flat_map(|maker| maker.join().unwrap()).collect();
        assert_eq!(names.len(), 40_000);
    }

    #[test]
    fn a_name_is_a_uuid_that_tells_when_the_request_came() {
        let name = name(UNIX_EPOCH + Duration::from_millis(1_760_000_000_123));
        assert_eq!(name.len(), 32);
        let parsed = Uuid::try_parse(&name).unwrap();
        assert_eq!(parsed.get_version_num(), 7);
        assert_eq!(parsed.get_variant(), uuid::Variant::RFC4122);
        let (seconds, nanos) = parsed.get_timestamp().unwrap().to_unix();
        assert_eq!((seconds, nanos), (1_760_000_000, 123_000_000));
    }
}
