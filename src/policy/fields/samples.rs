//! One value that passes, for every field of a row: for tests that speak of every row.

use super::form::Form;
use super::plan::Plan;
use crate::policy::route::{Answer, Row};

/// One place of a row's fields, with a value that passes there: for tests that speak of every row.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// As the row spells it, without braces.
    pub(crate) name: &'static str,
    pub(crate) in_path: bool,
    pub(crate) many: bool,
    pub(crate) value: &'static str,
}

/// Every field of a row, under one of its names each, with the first of `values` that passes for it.
///
/// # Panics
/// When none of `values` does.
pub(crate) fn samples(row: &'static Row, values: &[&'static str]) -> Vec<Sample> {
    // These go together, and are looked at as one.
    const TOGETHER: [(&str, &str); 8] = [
        ("kind", "experiment"),
        ("id", "1"),
        ("resource_type", "experiment"),
        ("resource_id", "1"),
        ("resource_pattern", "1"),
        ("permission", "USE"),
        ("is_admin", "true"),
        ("expires_at", "4073540400000"),
    ];
    let plan = Plan::of(row);
    let mut samples: Vec<Sample> = Vec::new();
    for part in plan.wants.iter().flat_map(|want| &want.parts) {
        let passes = |value: &&&str| match part.form {
            Form::Text | Form::Absent => true,
            Form::Id(check) => check(value).is_ok(),
            Form::ArtifactPath => crate::policy::path::artifact(value).is_ok(),
            Form::FileName => crate::policy::path::file_name(value).is_ok(),
        };
        let Some(slot) = part.slots.first().map(|index| &plan.slots[*index]) else { continue };
        // Only the server may say what stands there.
        if matches!(part.form, Form::Absent) {
            continue;
        }
        let together = TOGETHER.iter().find(|(name, _)| *name == slot.name && row.answer == Answer::Served);
        let value = together
            .map(|(_, value)| value)
            .or_else(|| values.iter().find(passes))
            .unwrap_or_else(|| panic!("{}: nothing passes for {}", row.name, slot.name));
        let sample = Sample { name: slot.name, in_path: slot.capture.is_some(), many: slot.many, value };
        match samples.iter_mut().find(|known| known.name == slot.name && known.in_path == sample.in_path) {
            // The stricter of two readings.
            Some(known) if !matches!(part.form, Form::Text) => *known = sample,
            Some(_) => {}
            None => samples.push(sample),
        }
    }
    samples
}
