//! Which outside identity acts as which service account?
//!
//! A binding names an issuer, audiences where they are its own, what claims must say, and one service account. What cannot
//! be compared (a claim that is a number, a list, an object) matches nothing. Exactly one account may come of a token: who
//! asks every binding and finds two accounts has found none.

mod claim;
mod pinned;
mod rules;

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

pub use self::pinned::{BadPin, GITHUB, GITLAB, GOOGLE, check as check_pinned};
pub use self::rules::{BadRules, Miss, Rules, Why};
use crate::mlflow::ids::UserName;

/// What a binding is called, in files, in the audit log and by `trackgate explain-token`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BindingName(Arc<str>);

/// A name that no binding has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a binding is called by 1 to 64 letters and digits of ASCII, `-`, `_`, `.` and `/`")]
pub struct BadName;

impl BindingName {
    /// Reads one.
    ///
    /// # Errors
    /// [`BadName`].
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
        let good = (1..=64).contains(&text.len()) && text.bytes().all(fits);
        if good { Ok(Self(Arc::from(text))) } else { Err(BadName) }
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same, shared.
    #[must_use]
    pub fn to_shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl fmt::Display for BindingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for BindingName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// An outside identity and the service account that it acts as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// What it is called.
    pub name: BindingName,
    /// Whose tokens it speaks of: the short name of an `[[issuer]]`.
    pub issuer: Arc<str>,
    /// For whom such a token must be made; empty: what the issuer's `bearer.audiences` say.
    pub audiences: Vec<Arc<str>>,
    /// What its claims must say.
    pub rules: Rules,
    /// Whether the groups that the token names (the issuer's `groups_claim`) count for the account.
    pub token_groups: bool,
    /// The service account. Never a person's: nobody acts in a person's name by another's word.
    pub account: UserName,
}

/// The longest audience.
const LONGEST_AUDIENCE: usize = 500;

impl Binding {
    /// Whether a text can be an audience.
    #[must_use]
    pub fn is_audience(text: &str) -> bool {
        !text.is_empty() && text.len() <= LONGEST_AUDIENCE && !text.chars().any(char::is_control)
    }

    /// Whether a token with these claims is what the binding speaks of. `email` is the address that the issuer verified.
    ///
    /// # Errors
    /// [`Miss`], naming the first claim that is another.
    pub fn speaks_of(&self, claims: &Map<String, Value>, email: Option<&str>) -> Result<(), Miss> {
        self.rules.judge(claims, email)
    }
}

/// A text of TOML, as the rules of a binding are read from it. What is no text, list or table becomes `null`, which no
/// rule is.
#[must_use]
pub fn from_toml(value: &toml::de::DeValue<'_>) -> Value {
    use toml::de::DeValue;
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Array(items) => Value::Array(items.iter().map(|item| from_toml(item.get_ref())).collect()),
        DeValue::Table(table) => Value::Object(
            table.iter().map(|(key, value)| (key.get_ref().to_string(), from_toml(value.get_ref()))).collect(),
        ),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests;
