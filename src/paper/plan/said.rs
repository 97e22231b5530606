//! How is a line of a plan worded?

use crate::access::binding::Binding;
use crate::paper::state::{Assigned, place};
use crate::paper::write::moment;
use crate::store::{Held, Spot};

type End = Option<u64>;

pub(super) fn assignment(key: &Assigned, new: Option<End>, old: Option<End>) -> String {
    let words = key.to.to_string();
    format!("role {} for {words}{}", key.role, ends(new, old))
}

pub(super) fn grant(at: &Spot, new: Option<Held>, old: Option<Held>) -> String {
    let Spot { workspace, to, kind, pattern } = at;
    let level = match (new, old) {
        (Some((new, _)), Some((old, _))) if new != old => format!("{old} -> {new}"),
        (Some((held, _)), _) | (None, Some((held, _))) => held.to_string(),
        (None, None) => String::new(),
    };
    let ends = ends(new.map(|held| held.1), old.map(|held| held.1));
    format!("{to} {level} on {kind} {pattern}{}{ends}", place(workspace))
}

pub(super) fn rule(at: &Spot, new: Option<End>, old: Option<End>) -> String {
    let Spot { workspace, to, kind, pattern } = at;
    format!("{to} may create {kind} {pattern}{}{}", place(workspace), ends(new, old))
}

pub(super) fn binding(new: &Binding) -> String {
    let Binding { name, issuer, audiences, rules, token_groups, account } = new;
    let audiences: Vec<&str> = audiences.iter().map(|audience| &**audience).collect();
    let made_for = if audiences.is_empty() { String::new() } else { format!(" for {}", audiences.join(" or ")) };
    let groups = if *token_groups { ", in the groups that the token names" } else { "" };
    format!("binding {name}: tokens of {issuer}{made_for} with {rules} are {account}{groups}")
}

fn ends(new: Option<End>, old: Option<End>) -> String {
    match (new, old) {
        (Some(new), Some(old)) if new != old => format!(" ({} -> {})", end(old), end(new)),
        (Some(Some(end)), _) | (None, Some(Some(end))) => format!(" until {}", moment(end)),
        _ => String::new(),
    }
}

fn end(end: End) -> String {
    end.map_or_else(|| "for good".to_owned(), |end| format!("until {}", moment(end)))
}
