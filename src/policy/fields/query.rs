//! How is a query read?
//!
//! As Werkzeug and Starlette do: `&` separates, `+` is a space, names are taken as they are spelled. Of a name that
//! stands twice MLflow takes the first, unless the field is a list; here only lists may repeat.

use std::borrow::Cow;
use std::sync::Arc;

use percent_encoding::percent_decode_str;

use super::FieldFault;
use super::plan::Plan;

pub(super) fn read(plan: &Plan, query: &str, slots: &mut [Option<Vec<Arc<str>>>]) -> Result<(), FieldFault> {
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode(name)?;
        let Some((index, slot)) =
            plan.slots.iter().enumerate().find(|(_, slot)| slot.capture.is_none() && slot.name == name)
        else {
            refuse_twin(plan, &name)?;
            continue;
        };
        let value: Arc<str> = Arc::from(decode(value)?);
        match &mut slots[index] {
            Some(_) if !slot.many => return Err(FieldFault::Repeated(slot.name.to_owned())),
            Some(values) => values.push(value),
            empty @ None => *empty = Some(vec![value]),
        }
    }
    Ok(())
}

/// MLflow does not read camelCase names in a query; whoever sends one means something else than what would be judged.
fn refuse_twin(plan: &Plan, name: &str) -> Result<(), FieldFault> {
    if !name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Ok(());
    }
    let flat = |text: &str| {
        text.bytes().filter(|byte| *byte != b'_').map(|byte| byte.to_ascii_lowercase()).collect::<Vec<_>>()
    };
    match plan.slots.iter().find(|slot| flat(slot.name) == flat(name)) {
        Some(slot) => Err(FieldFault::OtherSpelling { sent: name.to_owned(), instead: slot.name }),
        None => Ok(()),
    }
}

fn decode(text: &str) -> Result<Cow<'_, str>, FieldFault> {
    if !text.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Ok(Cow::Borrowed(text));
    }
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        match rest.get(at + 1..at + 3) {
            Some([high, low]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => rest = &rest[at + 3..],
            _ => return Err(FieldFault::BadQuery),
        }
    }
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().map_err(|_| FieldFault::BadQuery)?;
    Ok(Cow::Owned(decoded.into_owned()))
}
