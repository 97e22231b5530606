//! How are durations and sizes written in the file?

use std::time::Duration;

/// Number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

const DURATIONS: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZES: [(&str, u64); 5] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40), ("B", 1)];

/// Reads `500ms`, `30s`, `10m`, `8h`, `365d`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let factor = DURATIONS.iter().find(|(name, _)| *name == unit)?.1;
    Some(Duration::from_millis(number.checked_mul(factor)?))
}

/// Reads `64KiB`, `1MiB`, `0B`.
pub(super) fn size(text: &str) -> Option<Size> {
    let (number, unit) = split(text)?;
    let factor = SIZES.iter().find(|(name, _)| *name == unit)?.1;
    Some(Size(number.checked_mul(factor)?))
}

/// The shortest way to write it.
pub(super) fn show_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    let (unit, factor) =
        DURATIONS.iter().rev().find(|(_, factor)| millis.is_multiple_of(*factor)).unwrap_or(&DURATIONS[0]);
    format!("{}{unit}", millis / factor)
}

/// The shortest way to write it.
pub(super) fn show_size(Size(bytes): Size) -> String {
    let whole = SIZES[..4].iter().rev().find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor));
    match whole {
        Some((unit, factor)) => format!("{}{unit}", bytes / factor),
        None => format!("{bytes}B"),
    }
}

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_need_a_unit_and_are_written_back_as_they_came() {
        for text in ["500ms", "30s", "10m", "8h", "365d", "0s", "90s"] {
            assert_eq!(show_duration(duration(text).unwrap()), text);
        }
        for text in ["64KiB", "1MiB", "2GiB", "3TiB", "1000B", "0B"] {
            assert_eq!(show_size(size(text).unwrap()), text);
        }
        for text in
            ["", "30", "s", "-1s", "1.5h", "30 s", "30S", "1w", "99999999999999999999s", "18446744073709551615d"]
        {
            assert_eq!(duration(text), None, "{text}");
        }
        for text in ["", "64", "KiB", "64KB", "64kib", "18446744073709551615TiB"] {
            assert_eq!(size(text), None, "{text}");
        }
    }
}
