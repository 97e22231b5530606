//! How does a policy stand in a file?
//!
//! One table for each thing said, in TOML 1.0, so that each has its own lines in a review and nothing needs to be held
//! until the end: a million grants are written as they come.

use std::fmt::{self, Write as _};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::state::{Assigned, RoleKey, State};
use crate::access::binding::Binding;
use crate::access::grant::{Pattern, Subject};
use crate::mlflow::ids::{GroupName, UserName, WorkspaceName};
use crate::store::{Held, Named, Spot};

/// A group and, where that is said, who is in it.
///
/// # Errors
/// None, as a `String` takes everything.
pub fn group<'a>(
    out: &mut String,
    name: &GroupName,
    members: Option<impl IntoIterator<Item = &'a UserName>>,
) -> fmt::Result {
    out.push_str("[[group]]\n");
    text(out, "name", name.as_str())?;
    if let Some(members) = members {
        out.push_str("members = [");
        let mut any = false;
        for member in members {
            out.push_str("\n    ");
            quote(out, member.as_str())?;
            out.push(',');
            any = true;
        }
        out.push_str(if any { "\n]\n" } else { "]\n" });
    }
    out.push('\n');
    Ok(())
}

/// A role.
///
/// # Errors
/// None, as a `String` takes everything.
pub fn role(out: &mut String, role: &RoleKey, description: &str) -> fmt::Result {
    out.push_str("[[role]]\n");
    text(out, "name", role.name.as_str())?;
    workspace(out, &role.workspace)?;
    if !description.is_empty() {
        text(out, "description", description)?;
    }
    out.push('\n');
    Ok(())
}

/// That somebody has a role.
///
/// # Errors
/// None, as a `String` takes everything.
pub fn assignment(out: &mut String, assigned: &Assigned, expires: Option<u64>) -> fmt::Result {
    out.push_str("[[assignment]]\n");
    text(out, "role", assigned.role.name.as_str())?;
    workspace(out, &assigned.role.workspace)?;
    match &assigned.to {
        Subject::User(name) => text(out, "to", &format!("user:{name}"))?,
        Subject::Group(name) => text(out, "to", &format!("group:{name}"))?,
        // The store has none such.
        Subject::Role(id) => text(out, "to", &format!("role:{id}"))?,
    }
    end(out, expires)?;
    out.push('\n');
    Ok(())
}

/// A grant.
///
/// # Errors
/// None, as a `String` takes everything.
pub fn grant(out: &mut String, at: &Spot, (permission, expires): Held) -> fmt::Result {
    out.push_str("[[grant]]\n");
    spot(out, at)?;
    text(out, "permission", permission.as_str())?;
    end(out, expires)?;
    out.push('\n');
    Ok(())
}

/// A rule of what may be created.
///
/// # Errors
/// None, as a `String` takes everything.
pub fn rule(out: &mut String, at: &Spot, expires: Option<u64>) -> fmt::Result {
    out.push_str("[[create]]\n");
    spot(out, at)?;
    end(out, expires)?;
    out.push('\n');
    Ok(())
}

/// Which outside identity acts as which service account.
///
/// # Errors
/// None, as a `String` takes everything.
pub fn binding(out: &mut String, binding: &Binding) -> fmt::Result {
    out.push_str("[[binding]]\n");
    text(out, "name", binding.name.as_str())?;
    text(out, "issuer", &binding.issuer)?;
    if !binding.audiences.is_empty() {
        out.push_str("audiences = ");
        list(out, binding.audiences.iter().map(|audience| &**audience))?;
        out.push('\n');
    }
    text(out, "account", binding.account.as_str())?;
    if binding.token_groups {
        out.push_str("token_groups = true\n");
    }
    out.push_str("claims = ");
    claims(out, &binding.rules.to_json())?;
    out.push_str("\n\n");
    Ok(())
}

/// Claims in one line; each name in quotes, as many have dots and slashes in them.
fn claims(out: &mut String, value: &Value) -> fmt::Result {
    match value {
        Value::Object(object) => {
            out.push_str("{ ");
            for (n, (name, value)) in object.iter().enumerate() {
                out.push_str(if n == 0 { "" } else { ", " });
                quote(out, name)?;
                out.push_str(" = ");
                claims(out, value)?;
            }
            out.push_str(" }");
            Ok(())
        }
        Value::Array(items) => list(out, items.iter().filter_map(Value::as_str)),
        other => quote(out, other.as_str().unwrap_or_default()),
    }
}

fn list<'a>(out: &mut String, texts: impl Iterator<Item = &'a str>) -> fmt::Result {
    out.push('[');
    for (n, text) in texts.enumerate() {
        out.push_str(if n == 0 { "" } else { ", " });
        quote(out, text)?;
    }
    out.push(']');
    Ok(())
}

/// All of it, as one text. What is large is better written piece by piece.
///
/// # Errors
/// None, as a `String` takes everything.
pub fn whole(state: &State) -> Result<String, fmt::Error> {
    let mut out = String::new();
    for (name, entry) in &state.groups {
        group(&mut out, name, entry.value.as_ref())?;
    }
    for (key, entry) in &state.roles {
        role(&mut out, key, &entry.value)?;
    }
    for (key, entry) in &state.assignments {
        assignment(&mut out, key, entry.value)?;
    }
    for (at, entry) in &state.grants {
        grant(&mut out, at, entry.value)?;
    }
    for (at, entry) in &state.rules {
        rule(&mut out, at, entry.value)?;
    }
    for entry in state.bindings.values() {
        binding(&mut out, &entry.value)?;
    }
    Ok(out)
}

fn spot(out: &mut String, at: &Spot) -> fmt::Result {
    match &at.to {
        Named::User(name) => text(out, "to", &format!("user:{name}"))?,
        Named::Group(name) => text(out, "to", &format!("group:{name}"))?,
        Named::Role(name) => text(out, "to", &format!("role:{name}"))?,
    }
    workspace(out, &at.workspace)?;
    text(out, "kind", at.kind.as_str())?;
    text(out, "pattern", &at.pattern.to_string())?;
    if let Pattern::Exactly(name) = &at.pattern
        && name.contains(['*', '?'])
    {
        out.push_str("exactly = true\n");
    }
    Ok(())
}

fn workspace(out: &mut String, workspace: &WorkspaceName) -> fmt::Result {
    if workspace.is_default() { Ok(()) } else { text(out, "workspace", workspace.as_str()) }
}

fn end(out: &mut String, expires: Option<u64>) -> fmt::Result {
    match expires {
        // No calendar in a file goes further: so late an end stands as its milliseconds.
        Some(millis) if millis >= YEAR_10000 => writeln!(out, "expires = {millis}"),
        Some(millis) => writeln!(out, "expires = {}", moment(millis)),
        None => Ok(()),
    }
}

/// The first millisecond whose year has five digits.
const YEAR_10000: u64 = 253_402_300_800_000;

/// RFC 3339, to the millisecond where there are any.
pub(super) fn moment(millis: u64) -> String {
    if millis >= YEAR_10000 {
        return format!("{millis} ms");
    }
    let time = OffsetDateTime::from(UNIX_EPOCH + Duration::from_millis(millis));
    time.format(&Rfc3339).unwrap_or_default()
}

fn text(out: &mut String, key: &str, value: &str) -> fmt::Result {
    write!(out, "{key} = ")?;
    quote(out, value)?;
    out.push('\n');
    Ok(())
}

/// A basic string (TOML 1.0). What could be taken for another line or turn a line around is written as its number.
fn quote(out: &mut String, value: &str) -> fmt::Result {
    out.push('"');
    for letter in value.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{2028}'
            | '\u{2029}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{200b}'..='\u{200f}'
            | '\u{feff}' => {
                write!(out, "\\u{:04X}", u32::from(letter))?;
            }
            letter if letter.is_control() => write!(out, "\\u{:04X}", u32::from(letter))?,
            letter => out.push(letter),
        }
    }
    out.push('"');
    Ok(())
}
