//! What must the claims of a token say?

use std::fmt::{self, Write as _};

use serde_json::{Map, Value};

use super::claim::{BadWanted, Wanted};

/// The most claims of one binding.
const MOST_CLAIMS: usize = 32;
/// The most texts that one claim may be.
const MOST_VALUES: usize = 64;
/// The deepest claim, such as `kubernetes.io`, `serviceaccount`, `name`.
const DEEPEST: usize = 4;

/// Claims, each with the texts that it may be. All of them must be met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules(Vec<Rule>);

/// One claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    /// Its name, and those of what it lies in.
    pub(super) path: Vec<String>,
    /// One of these it must be.
    pub(super) wanted: Vec<Wanted>,
}

/// Rules that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRules {
    /// Without any, every token of the issuer would match.
    #[error("no claim is named: every token of the issuer would match")]
    None,
    /// Too many, too deep, too many texts.
    #[error("more than {MOST_CLAIMS} claims, deeper than {DEEPEST}, or more than {MOST_VALUES} texts for one")]
    TooMuch,
    /// A claim that is checked already, or in another way.
    #[error(
        "`{0}` is not a claim for rules: the issuer, the audiences and the times of every token are checked anyway"
    )]
    Reserved(String),
    /// Neither a text, nor a list of texts, nor a table of claims.
    #[error("`{0}` is a text, a list of texts, or a table of the claims in it")]
    Shape(String),
    /// A list without a text.
    #[error("`{0}` is an empty list: nothing would match")]
    Empty(String),
    /// A text that is no good.
    #[error("`{0}`: `{1}`: {2}")]
    Wanted(String, String, BadWanted),
    /// Every claim may be anything.
    #[error("every claim may be any text: every token of the issuer would match")]
    Anything,
}

/// Claims that every token is judged by, whatever a binding says.
const RESERVED: &[&str] = &["iss", "aud", "exp", "nbf", "iat", "nonce", "cnf", "email_verified"];

/// Which claim is another than it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Miss {
    /// Its name, as [`Rules`] are shown.
    pub claim: String,
    /// How it is another.
    pub why: Why,
}

/// How a claim is another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It is not there.
    Absent,
    /// It is there and no text.
    NotText(&'static str),
    /// An address that the issuer does not call verified.
    Unverified,
    /// Another text.
    Other {
        /// What it is.
        is: String,
        /// What it could be.
        wanted: String,
    },
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { claim, why } = self;
        match why {
            Why::Absent => write!(f, "the token has no claim `{claim}`"),
            Why::NotText(what) => write!(f, "its claim `{claim}` is {what} and no text"),
            Why::Unverified => write!(f, "its address (`email`) is not verified"),
            Why::Other { is, wanted } => write!(f, "its claim `{claim}` is `{is}`, not {wanted}"),
        }
    }
}

impl Rules {
    /// Reads rules from an object: each member is a text, a list of texts, or an object of further ones.
    ///
    /// # Errors
    /// [`BadRules`].
    pub fn read(object: &Value) -> Result<Self, BadRules> {
        let Value::Object(object) = object else { return Err(BadRules::Shape("claims".to_owned())) };
        let mut rules = Vec::new();
        gather(object, &mut Vec::new(), &mut rules)?;
        if rules.is_empty() {
            return Err(BadRules::None);
        }
        let loose = |rule: &Rule| rule.wanted.iter().any(|wanted| wanted.beginning().is_empty());
        if rules.iter().all(loose) {
            return Err(BadRules::Anything);
        }
        rules.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(Self(rules))
    }

    /// The same as an object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut object = Map::new();
        for rule in &self.0 {
            let mut place = &mut object;
            let Some((last, within)) = rule.path.split_last() else { continue };
            for name in within {
                let inner = place.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()));
                let Value::Object(inner) = inner else { return Value::Null };
                place = inner;
            }
            let mut texts: Vec<Value> = rule.wanted.iter().map(|wanted| Value::from(wanted.as_str())).collect();
            let value = if texts.len() == 1 { texts.remove(0) } else { Value::Array(texts) };
            place.insert(last.clone(), value);
        }
        Value::Object(object)
    }

    /// Each claim with what it must be.
    pub(super) fn each(&self) -> impl Iterator<Item = &Rule> {
        self.0.iter()
    }

    pub(super) fn judge(&self, claims: &Map<String, Value>, email: Option<&str>) -> Result<(), Miss> {
        self.0.iter().try_for_each(|rule| rule.judge(claims, email))
    }
}

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, rule) in self.0.iter().enumerate() {
            let and = if n == 0 { "" } else { ", " };
            write!(f, "{and}{} = {}", rule.name(), rule.wanted())?;
        }
        Ok(())
    }
}

impl Rule {
    /// Names that have a dot in them are quoted.
    fn name(&self) -> String {
        let mut out = String::new();
        for (n, name) in self.path.iter().enumerate() {
            let dot = if n == 0 { "" } else { "." };
            // Writing to a string does not fail.
            let _ = if name.contains('.') { write!(out, "{dot}\"{name}\"") } else { write!(out, "{dot}{name}") };
        }
        out
    }

    fn wanted(&self) -> String {
        let texts: Vec<String> = self.wanted.iter().map(|wanted| format!("`{}`", wanted.as_str())).collect();
        texts.join(" or ")
    }

    fn judge(&self, claims: &Map<String, Value>, email: Option<&str>) -> Result<(), Miss> {
        let miss = |why| Miss { claim: self.name(), why };
        let mut object = claims;
        let Some((last, within)) = self.path.split_last() else { return Err(miss(Why::Absent)) };
        for name in within {
            match object.get(name) {
                Some(Value::Object(inner)) => object = inner,
                None => return Err(miss(Why::Absent)),
                // What would lie in it is not there.
                Some(other) => return Err(miss(Why::NotText(kind(other)))),
            }
        }
        let text = match object.get(last) {
            None => return Err(miss(Why::Absent)),
            Some(Value::String(text)) => text.as_str(),
            Some(other) => return Err(miss(Why::NotText(kind(other)))),
        };
        // An address that nobody verified is whatever its holder says.
        let text =
            if within.is_empty() && last == "email" { email.ok_or_else(|| miss(Why::Unverified))? } else { text };
        if self.wanted.iter().any(|wanted| wanted.matches(text)) {
            return Ok(());
        }
        let is = text.chars().filter(|letter| !letter.is_control()).take(200).collect();
        Err(miss(Why::Other { is, wanted: self.wanted() }))
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn gather(object: &Map<String, Value>, within: &mut Vec<String>, rules: &mut Vec<Rule>) -> Result<(), BadRules> {
    for (name, value) in object {
        if within.is_empty() && RESERVED.contains(&name.as_str()) {
            return Err(BadRules::Reserved(name.clone()));
        }
        within.push(name.clone());
        let path = within.join(".");
        if within.len() > DEEPEST || rules.len() >= MOST_CLAIMS || name.is_empty() || name.chars().any(char::is_control)
        {
            return Err(BadRules::TooMuch);
        }
        let texts: Vec<&str> = match value {
            Value::String(text) => vec![text],
            Value::Array(items) if items.is_empty() => return Err(BadRules::Empty(path)),
            Value::Array(items) if items.len() > MOST_VALUES => return Err(BadRules::TooMuch),
            Value::Array(items) => items
                .iter()
                .map(|item| item.as_str().ok_or_else(|| BadRules::Shape(path.clone())))
                .collect::<Result<_, _>>()?,
            Value::Object(inner) if inner.is_empty() => return Err(BadRules::Empty(path)),
            Value::Object(inner) => {
                gather(inner, within, rules)?;
                within.pop();
                continue;
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => return Err(BadRules::Shape(path)),
        };
        let wanted = texts.iter().map(|text| {
            // Mail addresses are compared in lower case, as those of people are.
            let text = if path == "email" { text.to_ascii_lowercase() } else { (*text).to_owned() };
            Wanted::parse(&text).map_err(|fault| BadRules::Wanted(path.clone(), text.clone(), fault))
        });
        let wanted = wanted.collect::<Result<_, _>>()?;
        rules.push(Rule { path: within.clone(), wanted });
        within.pop();
    }
    Ok(())
}
