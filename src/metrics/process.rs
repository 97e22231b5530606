//! What does the operating system say of this process?
//!
//! Under the names that every Prometheus client uses for it. Read from `/proc` (proc(5)); what cannot be read is not told.

use std::fs;

use prometheus_client::registry::Registry;

use super::Sample;
use super::reading::{Kind, Reading};

pub(super) fn register(registry: &mut Registry) {
    let mut reads = |name, help, kind, read: fn() -> Option<f64>| {
        let read = move || read().map(Sample::of).into_iter().collect();
        registry.register_collector(Box::new(Reading::new(name, help, kind, Box::new(read))));
    };
    reads("process_cpu_seconds", "Processor time, user and system", Kind::Counter, || {
        let stat = Stat::read()?;
        Some((stat.field(14)? + stat.field(15)?) / ticks())
    });
    reads("process_resident_memory_bytes", "Resident memory", Kind::Gauge, || status("VmRSS:").map(|kib| kib * 1024.0));
    reads("process_virtual_memory_bytes", "Virtual memory", Kind::Gauge, || status("VmSize:").map(|kib| kib * 1024.0));
    reads("process_threads", "Threads", Kind::Gauge, || status("Threads:"));
    reads("process_open_fds", "Open file descriptors", Kind::Gauge, || {
        let open = fs::read_dir("/proc/self/fd").ok()?.count();
        // The one that reads the folder is none of those.
        u32::try_from(open.saturating_sub(1)).ok().map(f64::from)
    });
    reads("process_max_fds", "Most file descriptors", Kind::Gauge, || {
        let limits = fs::read_to_string("/proc/self/limits").ok()?;
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
        line.split_whitespace().next()?.parse().ok()
    });
    reads("process_start_time_seconds", "When it began, in seconds since 1970", Kind::Gauge, || {
        let booted = fs::read_to_string("/proc/stat").ok()?;
        let booted: f64 = booted.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
        Some(booted + Stat::read()?.field(22)? / ticks())
    });
}

/// `/proc/self/stat`: fields by number, from 1, as in proc(5).
struct Stat(String);

impl Stat {
    fn read() -> Option<Self> {
        fs::read_to_string("/proc/self/stat").ok().map(Self)
    }

    fn field(&self, number: usize) -> Option<f64> {
        // The second is the name in brackets, in which anything may stand.
        let (_, rest) = self.0.rsplit_once(") ")?;
        rest.split(' ').nth(number.checked_sub(3)?)?.trim().parse().ok()
    }
}

/// A line of `/proc/self/status`.
fn status(name: &str) -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// How many ticks a second has.
#[expect(clippy::cast_precision_loss, reason = "it is 100")]
fn ticks() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_moves_no_field() {
        let stat = Stat("77 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 9 0 12345 1\n".to_owned());
        assert_eq!(stat.field(14), Some(250.0));
        assert_eq!(stat.field(15), Some(50.0));
        assert_eq!(stat.field(22), Some(12345.0));
        assert_eq!(stat.field(1), None);
    }

    #[test]
    fn this_process_has_all_figures() {
        let text = super::super::Metrics::new().text();
        for name in
            ["cpu_seconds_total", "resident_memory_bytes", "threads", "open_fds", "max_fds", "start_time_seconds"]
        {
            let line = text.lines().find(|line| line.starts_with(&format!("process_{name} ")));
            let value: f64 =
                line.unwrap_or_else(|| panic!("{name}: {text}")).split(' ').nth(1).unwrap().parse().unwrap();
            assert!(value.is_finite() && value >= 0.0, "{name} {value}");
        }
    }
}
