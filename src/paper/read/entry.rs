//! What does one table of a file have, and at which line?

use std::fmt::Display;
use std::sync::Arc;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use toml::de::{DeTable, DeValue};

use super::Fault;
use crate::mlflow::ids::WorkspaceName;

/// Where the lines of a text begin.
#[derive(Debug)]
pub(super) struct Lines(Vec<usize>);

impl Lines {
    pub(super) fn of(text: &str) -> Self {
        Self(memchr::memchr_iter(b'\n', text.as_bytes()).map(|end| end + 1).collect())
    }

    /// The line of a place, from 1.
    pub(super) fn at(&self, place: usize) -> usize {
        self.0.partition_point(|begin| *begin <= place) + 1
    }
}

/// The file whose tables are read, and what is wrong with it.
pub(super) struct Entries<'a> {
    pub(super) file: Arc<str>,
    pub(super) lines: &'a Lines,
    pub(super) faults: &'a mut Vec<Fault>,
}

impl Entries<'_> {
    pub(super) fn fault(&mut self, place: usize, what: String) {
        self.faults.push(Fault { file: Arc::clone(&self.file), line: self.lines.at(place), what });
    }
}

/// One table. What is not asked for is unknown.
pub(super) struct Table<'t> {
    fields: &'t DeTable<'t>,
    /// Where it begins.
    pub(super) at: usize,
    asked: Vec<&'static str>,
}

impl<'t> Table<'t> {
    pub(super) fn new(fields: &'t DeTable<'t>, at: usize) -> Self {
        // The span of a `[[table]]` is that of its head.
        Self { fields, at, asked: Vec::with_capacity(8) }
    }

    fn field(&mut self, key: &'static str) -> Option<(&'t DeValue<'t>, usize)> {
        self.asked.push(key);
        let value = self.fields.get(key)?;
        Some((value.get_ref(), value.span().start))
    }

    /// A text, where there is one.
    pub(super) fn text(&mut self, entries: &mut Entries<'_>, key: &'static str) -> Option<(&'t str, usize)> {
        let (value, at) = self.field(key)?;
        if let DeValue::String(text) = value {
            return Some((text.as_ref(), at));
        }
        entries.fault(at, format!("`{key}` is a text"));
        None
    }

    /// A text that must be there and mean something.
    pub(super) fn parsed<T, E: Display>(
        &mut self,
        entries: &mut Entries<'_>,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        if !self.fields.contains_key(key) {
            self.asked.push(key);
            entries.fault(self.at, format!("`{key}` is missing"));
            return None;
        }
        let (text, at) = self.text(entries, key)?;
        match parse(text) {
            Ok(value) => Some(value),
            Err(why) => {
                entries.fault(at, format!("{key} `{text}`: {why}"));
                None
            }
        }
    }

    /// A value of whatever shape, where there is one.
    pub(super) fn value(&mut self, key: &'static str) -> Option<(&'t DeValue<'t>, usize)> {
        self.field(key)
    }

    /// The workspace; without a word, the one called `default`. `None`: it is said, and cannot be.
    pub(super) fn workspace(&mut self, entries: &mut Entries<'_>) -> Option<WorkspaceName> {
        if self.fields.contains_key("workspace") {
            return self.parsed(entries, "workspace", WorkspaceName::parse);
        }
        self.asked.push("workspace");
        Some(WorkspaceName::default())
    }

    /// `true` or `false`; without a word, `false`.
    pub(super) fn truth(&mut self, entries: &mut Entries<'_>, key: &'static str) -> bool {
        match self.field(key) {
            Some((DeValue::Boolean(truth), _)) => *truth,
            Some((_, at)) => {
                entries.fault(at, format!("`{key}` is true or false"));
                false
            }
            None => false,
        }
    }

    /// A list of texts and where each stands.
    pub(super) fn list(&mut self, entries: &mut Entries<'_>, key: &'static str) -> Option<Vec<(&'t str, usize)>> {
        let (value, at) = self.field(key)?;
        let DeValue::Array(items) = value else {
            entries.fault(at, format!("`{key}` is a list of texts"));
            return None;
        };
        let mut found = Vec::with_capacity(items.len());
        for item in items {
            let at = item.span().start;
            match item.get_ref() {
                DeValue::String(text) => found.push((text.as_ref(), at)),
                _ => entries.fault(at, format!("`{key}` is a list of texts")),
            }
        }
        Some(found)
    }

    /// `expires`, in milliseconds since the epoch. The outer `None`: it is said, and cannot be.
    #[expect(clippy::option_option, reason = "said and wrong is not the same as not said")]
    pub(super) fn end(&mut self, entries: &mut Entries<'_>) -> Option<Option<u64>> {
        let Some((value, at)) = self.field("expires") else { return Some(None) };
        let millis = match value {
            DeValue::Datetime(moment) => millis(&moment.to_string()),
            DeValue::String(text) => millis(text.as_ref()),
            DeValue::Integer(number) => {
                let number = u64::from_str_radix(number.as_str(), number.radix()).ok();
                number.filter(|number| i64::try_from(*number).is_ok())
            }
            _ => None,
        };
        if millis.is_none() {
            let what = "`expires` is a moment with its offset, such as 2027-01-31T18:00:00Z: a time from now would be \
                        another one each day";
            entries.fault(at, what.to_owned());
        }
        millis.map(Some)
    }

    /// Tells of every key that nobody asked for; `hint` knows what is meant by some.
    pub(super) fn done(&mut self, entries: &mut Entries<'_>, what: &str, hint: impl Fn(&str) -> Option<&'static str>) {
        for (key, _) in self.fields {
            let word = key.get_ref().as_ref();
            if self.asked.contains(&word) {
                continue;
            }
            let told = match hint(word) {
                Some(hint) => format!("`{word}`: {hint}"),
                None => format!("a {what} has no `{word}`; it has {}", self.asked.join(", ")),
            };
            entries.fault(key.span().start, told);
        }
    }
}

fn millis(text: &str) -> Option<u64> {
    let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(moment.unix_timestamp_nanos() / 1_000_000).ok()
}
