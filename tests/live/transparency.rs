//! Does an administrator find behind the gate what is there without it?

use std::fs;

use crate::house::shared;
use crate::stage::output;

/// The most memory that the gate may have had at any time, in KiB, with 1 GiB gone through it in either direction.
const MOST_MEMORY: u64 = 256 * 1024;

#[test]
fn for_an_administrator_the_gate_is_not_there() {
    let house = shared();
    let mut script = house.script("transparency.py");
    script.env("LIVE_DIRECT", house.direct());
    let done = output(&mut script).unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{said}");
    if let Some(peak) = peak(&house.gate.config().display().to_string()) {
        assert!(peak < MOST_MEMORY, "the gate held {peak} KiB");
    }
}

/// The most memory that the gate with this configuration has had so far, in KiB; `None` where the system does not tell.
fn peak(config: &str) -> Option<u64> {
    let gate = fs::read_dir("/proc").ok()?.flatten().map(|entry| entry.path()).find(|process| {
        let words = fs::read(process.join("cmdline")).unwrap_or_default();
        let words: Vec<_> = words.split(|byte| *byte == 0).collect();
        words.contains(&config.as_bytes())
            && words.contains(&&b"serve"[..])
            && words.first().is_some_and(|program| program.ends_with(b"trackgate"))
    })?;
    let status = fs::read_to_string(gate.join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}
