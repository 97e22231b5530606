//! What does the file say, and what is wrong with it?
//!
//! Every key is asked for by name, with the kind of value it wants. What nobody asked for is unknown. All faults are
//! kept until the end, each with its key, its line and a hint.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::credential;
use super::units::{self, Size};

/// One thing that is wrong with the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where, as `listen.https` or `issuer[2].name`; empty when the file is no TOML.
    pub key: String,
    /// Line in the file, from 1.
    pub line: Option<usize>,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub hint: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "`{}` ", self.key)?;
        }
        f.write_str(&self.what)?;
        if let Some(hint) = &self.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

/// A key that was asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// As in [`Fault::key`].
    pub key: String,
    /// The default as the file would write it, if there is one.
    pub default: Option<String>,
    /// The value in force as the file would write it, if there is one.
    pub value: Option<String>,
    /// Where the file has it, if it does: the line, from 1.
    pub line: Option<usize>,
}

/// A kind of value.
pub(super) trait Reads: Sized {
    /// The value, or what was expected instead.
    fn read(value: &DeValue<'_>) -> Result<Self, String>;
    /// As the file would write it.
    fn show(&self) -> String;
}

/// A key of an earlier version, as `listen.https` or `issuer.name`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moved {
    /// What it was.
    pub(super) old: &'static str,
    /// What to do about it: "is called `limits.x` now", "is gone, as ...".
    pub(super) now: &'static str,
}

/// Every key that a version had and no longer has. Whoever renames or removes one adds a line.
const MOVED: &[Moved] = &[];

/// All that is known of the file so far.
#[derive(Debug)]
pub(super) struct Report<'a> {
    text: &'a str,
    moved: &'static [Moved],
    pub(super) faults: RefCell<Vec<Fault>>,
    pub(super) asked: RefCell<Vec<Asked>>,
}

impl<'a> Report<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self::with(text, MOVED)
    }

    /// The same, where these keys are of earlier versions.
    pub(super) fn with(text: &'a str, moved: &'static [Moved]) -> Self {
        Self { text, moved, faults: RefCell::default(), asked: RefCell::default() }
    }

    /// What became of a key of an earlier version.
    fn moved(&self, key: &str) -> Option<&'static str> {
        // Of a list, each table has the same keys.
        let plain: String = key.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest)).collect();
        self.moved.iter().find(|moved| moved.old == plain).map(|moved| moved.now)
    }

    /// The line of a place in the file.
    pub(super) fn line(&self, span: &Range<usize>) -> usize {
        self.text.get(..span.start).unwrap_or(self.text).split('\n').count()
    }

    pub(super) fn fault(&self, key: String, line: Option<usize>, what: impl Into<String>, hint: Option<String>) {
        self.faults.borrow_mut().push(Fault { key, line, what: what.into(), hint });
    }
}

/// One table of the file, or the place where it would be.
pub(super) struct Section<'a> {
    path: String,
    table: Option<&'a DeTable<'a>>,
    line: Option<usize>,
    report: &'a Report<'a>,
    names: RefCell<Vec<&'static str>>,
}

impl<'a> Section<'a> {
    pub(super) fn root(table: &'a DeTable<'a>, report: &'a Report<'a>) -> Self {
        Self { path: String::new(), table: Some(table), line: None, report, names: RefCell::default() }
    }

    /// The key's full name.
    pub(super) fn key(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Whether the file has the key.
    pub(super) fn has(&self, name: &str) -> bool {
        self.entry(name).is_some()
    }

    /// Notes that the value of `name` is wrong.
    pub(super) fn fault(&self, name: &str, what: impl Into<String>, hint: Option<&str>) {
        let line = self.entry(name).map(|(key, _)| self.report.line(&key.span())).or(self.line);
        self.report.fault(self.key(name), line, what, hint.map(str::to_owned));
    }

    /// A value that the file may leave out.
    pub(super) fn or<T: Reads>(&self, name: &'static str, default: T) -> T {
        let shown = default.show();
        let value = self.find(name).unwrap_or(default);
        self.note(name, Some(shown), Some(value.show()));
        value
    }

    /// A value without a default.
    pub(super) fn maybe<T: Reads>(&self, name: &'static str) -> Option<T> {
        let value: Option<T> = self.find(name);
        self.note(name, None, value.as_ref().map(Reads::show));
        value
    }

    /// A value that must be there.
    pub(super) fn must<T: Reads>(&self, name: &'static str, example: &str) -> Option<T> {
        let value = self.maybe(name);
        if !self.has(name) {
            self.report.fault(
                self.key(name),
                self.line,
                "is required",
                Some(format!("write for example `{name} = {example}`")),
            );
        }
        value
    }

    /// A table inside this one, also where it is absent.
    pub(super) fn section(&self, name: &'static str) -> Section<'a> {
        self.maybe_section(name).unwrap_or_else(|| Section {
            path: self.key(name),
            table: None,
            line: self.line,
            report: self.report,
            names: RefCell::default(),
        })
    }

    /// A table inside this one, if it is there.
    pub(super) fn maybe_section(&self, name: &'static str) -> Option<Section<'a>> {
        self.names.borrow_mut().push(name);
        let (key, value) = self.entry(name)?;
        let DeValue::Table(table) = value.get_ref() else {
            let hint = format!("write `[{}]` on a line of its own", self.key(name));
            self.fault(name, "must be a table", Some(&hint));
            return None;
        };
        Some(Section {
            path: self.key(name),
            table: Some(table),
            line: Some(self.report.line(&key.span())),
            report: self.report,
            names: RefCell::default(),
        })
    }

    /// A list of tables, `[[name]]`.
    pub(super) fn sections(&self, name: &'static str) -> Vec<Section<'a>> {
        self.names.borrow_mut().push(name);
        let Some((_, value)) = self.entry(name) else { return Vec::new() };
        let hint = format!("write `[[{}]]` on a line of its own", self.key(name));
        let DeValue::Array(items) = value.get_ref() else {
            self.fault(name, "must be a list of tables", Some(&hint));
            return Vec::new();
        };
        let mut sections = Vec::new();
        for (n, item) in items.iter().enumerate() {
            match item.get_ref() {
                DeValue::Table(table) => sections.push(Section {
                    path: format!("{}[{}]", self.key(name), n + 1),
                    table: Some(table),
                    line: Some(self.report.line(&item.span())),
                    report: self.report,
                    names: RefCell::default(),
                }),
                _ => self.fault(name, "must be a list of tables", Some(&hint)),
            }
        }
        sections
    }

    /// Every key that was not asked for is unknown.
    pub(super) fn finish(self) {
        let Some(table) = self.table else { return };
        let names = self.names.borrow();
        for (key, _) in table {
            let written: &str = key.get_ref();
            if names.contains(&written) {
                continue;
            }
            let hint = if let Some(now) = self.report.moved(&self.key(written)) {
                format!("it {now}")
            } else if let Some(near) = nearest(written, &names) {
                format!("did you mean `{near}`?")
            } else {
                let mut sorted = names.clone();
                sorted.sort_unstable();
                format!("known here: {}", sorted.join(", "))
            };
            self.report.fault(self.key(written), Some(self.report.line(&key.span())), "is not a key", Some(hint));
        }
    }

    fn entry(&self, name: &str) -> Option<(&'a Spanned<DeString<'a>>, &'a Spanned<DeValue<'a>>)> {
        self.table?.iter().find(|(key, _)| key.get_ref() == name)
    }

    fn find<T: Reads>(&self, name: &'static str) -> Option<T> {
        self.names.borrow_mut().push(name);
        let (_, value) = self.entry(name)?;
        match T::read(value.get_ref()) {
            Ok(value) => Some(value),
            Err(expected) => {
                let line = Some(self.report.line(&value.span()));
                self.report.fault(self.key(name), line, format!("must be {expected}"), None);
                None
            }
        }
    }

    fn note(&self, name: &str, default: Option<String>, value: Option<String>) {
        let line = self.entry(name).map(|(key, _)| self.report.line(&key.span()));
        self.report.asked.borrow_mut().push(Asked { key: self.key(name), default, value, line });
    }
}

/// The known name that is at most two slips away.
fn nearest<'n>(written: &str, names: &[&'n str]) -> Option<&'n str> {
    let best = names.iter().map(|name| (distance(written, name), *name)).min()?;
    (best.0 <= 2.min(written.len() / 2)).then_some(best.1)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let insert = row[j + 1].min(row[j]) + 1;
            let swap = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = insert.min(swap);
        }
    }
    row[b.len()]
}

// --- kinds of values ---

fn text<'v>(value: &'v DeValue<'_>, expected: &str) -> Result<&'v str, String> {
    value.as_str().ok_or_else(|| format!("{expected}, in quotes"))
}

/// Text as TOML writes it.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

impl Reads for Duration {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        const EXPECTED: &str = "a duration such as \"500ms\", \"30s\", \"10m\", \"8h\" or \"365d\"";
        text(value, EXPECTED).and_then(|text| units::duration(text).ok_or_else(|| EXPECTED.to_owned()))
    }

    fn show(&self) -> String {
        quoted(&units::show_duration(*self))
    }
}

impl Reads for Size {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        const EXPECTED: &str = "a size such as \"64KiB\" or \"1MiB\", or 0";
        match value {
            DeValue::Integer(number) if number.as_str() == "0" => Ok(Self(0)),
            value => text(value, EXPECTED).and_then(|text| units::size(text).ok_or_else(|| EXPECTED.to_owned())),
        }
    }

    fn show(&self) -> String {
        if self.0 == 0 { "0".to_owned() } else { quoted(&units::show_size(*self)) }
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Reads for $number {
            fn read(value: &DeValue<'_>) -> Result<Self, String> {
                let expected = || format!("a whole number from 0 to {}", <$number>::MAX);
                let number = value.as_integer().ok_or_else(expected)?;
                <$number>::from_str_radix(number.as_str(), number.radix()).map_err(|_| expected())
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}
numbers!(u16, u32, usize);

impl Reads for bool {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| "true or false, without quotes".to_owned())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Reads for String {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        text(value, "text").map(str::to_owned)
    }

    fn show(&self) -> String {
        quoted(self)
    }
}

impl Reads for PathBuf {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        match text(value, "a path")? {
            "" => Err("a path, not empty".to_owned()),
            path => credential::path(path),
        }
    }

    fn show(&self) -> String {
        quoted(&credential::written(self))
    }
}

impl Reads for SocketAddr {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        const EXPECTED: &str = "an address and a port, such as \"0.0.0.0:443\" or \"[::]:443\"";
        text(value, EXPECTED).and_then(|text| text.parse().map_err(|_| EXPECTED.to_owned()))
    }

    fn show(&self) -> String {
        quoted(&self.to_string())
    }
}

impl Reads for IpNet {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        const EXPECTED: &str = "an address range such as \"10.0.0.0/8\", or one address";
        let text = text(value, EXPECTED)?;
        IpNet::from_str(text).or_else(|_| IpAddr::from_str(text).map(IpNet::from)).map_err(|_| EXPECTED.to_owned())
    }

    fn show(&self) -> String {
        quoted(&self.to_string())
    }
}

impl<T: Reads> Reads for Vec<T> {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let list = value.as_array().ok_or_else(|| "a list, in `[` and `]`".to_owned())?;
        list.iter()
            .map(|item| T::read(item.get_ref()).map_err(|expected| format!("a list in which each is {expected}")))
            .collect()
    }

    fn show(&self) -> String {
        format!("[{}]", self.iter().map(Reads::show).collect::<Vec<_>>().join(", "))
    }
}

impl Reads for BTreeMap<String, String> {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let expected = || "a table of texts, such as `{ prompt = \"login\" }`".to_owned();
        let table = value.as_table().ok_or_else(expected)?;
        table
            .iter()
            .map(|(key, value)| {
                let value = value.get_ref().as_str().ok_or_else(expected)?;
                Ok((key.get_ref().to_string(), value.to_owned()))
            })
            .collect()
    }

    fn show(&self) -> String {
        if self.is_empty() {
            return "{}".to_owned();
        }
        let pairs: Vec<_> = self.iter().map(|(key, value)| format!("{} = {}", quoted(key), quoted(value))).collect();
        format!("{{ {} }}", pairs.join(", "))
    }
}
