//! What does a `[[binding]]` of a file say?

use std::sync::Arc;

use super::entry::{Entries, Table};
use super::{put, user_name};
use crate::access::binding::{Binding, BindingName, Rules, from_toml};
use crate::paper::state::State;

pub(super) fn binding(state: &mut State, entries: &mut Entries<'_>, mut table: Table<'_>) {
    let name = table.parsed(entries, "name", BindingName::parse);
    let issuer = table.parsed(entries, "issuer", |text| match text {
        "" => Err("the short name of an `[[issuer]]` of the configuration"),
        text if text.contains("://") => Err("an issuer is called by the short name of its `[[issuer]]`"),
        text => Ok(Arc::<str>::from(text)),
    });
    let account = table.parsed(entries, "account", user_name);
    let audiences = table.list(entries, "audiences").unwrap_or_default();
    for (audience, at) in audiences.iter().filter(|(audience, _)| !Binding::is_audience(audience)) {
        entries.fault(*at, format!("`{audience}` is no audience"));
    }
    let token_groups = table.truth(entries, "token_groups");
    let claims = table.value("claims");
    if claims.is_none() {
        entries.fault(table.at, "`claims` is missing".to_owned());
    }
    let rules = claims.and_then(|(value, at)| {
        let rules = Rules::read(&from_toml(value));
        rules.map_err(|why| entries.fault(at, format!("claims: {why}"))).ok()
    });
    table.done(entries, "binding", |key| match key {
        "user" | "to" => Some("write `account`, the name of a service account"),
        "audience" => Some("write `audiences`, a list"),
        "subject" | "sub" | "email" | "repository" => Some("claims stand in `claims = { ... }`"),
        _ => None,
    });
    let (Some(name), Some(issuer), Some(account), Some(rules)) = (name, issuer, account, rules) else { return };
    let audiences = audiences.into_iter().map(|(audience, _)| Arc::from(audience)).collect();
    let value = Binding { name: name.clone(), issuer, audiences, rules, token_groups, account };
    put(&mut state.bindings, name, Arc::new(value), "binding", entries, table.at);
}
