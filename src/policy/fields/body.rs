//! How is a JSON body read?
//!
//! Strictly: UTF-8, one object, no member twice (Python's `json` and protobuf take the last one), no camelCase twin of
//! a member that is judged (protobuf takes both), no deeper than [`DEPTH`]. Only the members that the row names are
//! kept; the rest is walked over without being built.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::FieldFault;
use super::plan::{Plan, Slot};
use super::shape::{Entries, Holds, Member, Node};

/// How deep a body may be nested.
const DEPTH: usize = 64;
/// How many digits may follow one another. Python reads no whole number of more than 4300 (`sys.set_int_max_str_digits`),
/// and MLflow takes a body that Python does not read for an empty one (3.17.2, `_get_request_json`).
const DIGITS: usize = 400;

type Slots = [Option<Vec<Arc<str>>>];

pub(super) fn read(plan: &Plan, body: &[u8], slots: &mut Slots) -> Result<(), FieldFault> {
    if body.is_empty() {
        // MLflow reads no body as an object without members (`_get_normalized_request_json`).
        return Ok(());
    }
    let (text, words) = checked(body)?;
    let text = if words == Words::Pythons { finite(text) } else { Cow::Borrowed(text) };
    let reading = Reading { plan, slots: RefCell::new(slots), fault: RefCell::new(None) };
    let mut json = serde_json::Deserializer::from_str(&text);
    let result = ObjectSeed { reading: &reading, node: &plan.shape }.deserialize(&mut json).and_then(|()| json.end());
    match (reading.fault.into_inner(), result) {
        (Some(fault), _) => Err(fault),
        (None, Ok(())) => Ok(()),
        (None, Err(error)) => Err(FieldFault::NotJson(error.to_string())),
    }
}

/// The body's text, when it is UTF-8, begins like an object, and is not too deep.
pub(super) fn plain_object(body: &[u8]) -> Result<&str, FieldFault> {
    checked(body).map(|(text, _)| text)
}

/// The same, and whether it may hold words that are numbers to Python alone.
fn checked(body: &[u8]) -> Result<(&str, Words), FieldFault> {
    let text = std::str::from_utf8(body).map_err(|_| FieldFault::NotUtf8)?;
    if !text.trim_ascii_start().starts_with('{') {
        return Err(not_an_object(text));
    }
    let words = shallow(text)?;
    Ok((text, words))
}

/// Which words stand in a body outside of texts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Words {
    /// JSON's at most.
    Jsons,
    /// Perhaps `NaN`, `Infinity` or `-Infinity`.
    Pythons,
}

/// The words that Python's `json` takes for numbers besides (and writes by itself), each with a number that is as long.
/// None is whole, so that no field that is judged can be one.
const NUMBERS: [(&str, &str); 3] = [("NaN", "0.5"), ("Infinity", "0.500000"), ("-Infinity", "-0.500000")];

/// The text as our reader takes it: with a number, as long, for each word that Python takes for one. It is read and thrown away; what
/// is sent on keeps its words. A word is one only where a value begins and ends: MLflow takes a body that Python does not
/// read for an empty one, so nothing else may become readable by this.
pub(super) fn finite(text: &str) -> Cow<'_, str> {
    let mut out = String::with_capacity(text.len());
    let (mut last, mut at) = (b' ', 0);
    while let Some(rest) = text.get(at..) {
        let Some(byte) = rest.bytes().next() else { break };
        let end = match byte {
            b'"' => at + text_length(rest),
            _ if matches!(last, b':' | b'[' | b',')
                && let Some((word, number)) = NUMBERS.iter().find(|(word, _)| ends_after(rest, word)) =>
            {
                out.push_str(number);
                (at, last) = (at + word.len(), b'0');
                continue;
            }
            // What is no ASCII stands in texts alone, or the reader will refuse it.
            _ => at + rest.chars().next().map_or(1, char::len_utf8),
        };
        if !byte.is_ascii_whitespace() {
            last = byte;
        }
        out.push_str(text.get(at..end).unwrap_or_default());
        at = end;
    }
    Cow::Owned(out)
}

/// Whether the text begins with this word, and the value with it.
fn ends_after(text: &str, word: &str) -> bool {
    let Some(rest) = text.strip_prefix(word) else { return false };
    matches!(rest.bytes().next(), Some(b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r'))
}

/// How long the quoted text is that begins here, its quotes with it; to the end where it does not end.
fn text_length(rest: &str) -> usize {
    let mut bytes = rest.bytes().enumerate().skip(1);
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return at + 1,
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
    rest.len()
}

fn not_an_object(text: &str) -> FieldFault {
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => FieldFault::NotAnObject,
        Err(error) => FieldFault::NotJson(error.to_string()),
    }
}

/// Refuses deep nesting before any parser recurses into it, and numbers that only some readers take.
fn shallow(text: &str) -> Result<Words, FieldFault> {
    let mut words = Words::Jsons;
    let mut depth = 0_usize;
    let mut digits = 0_usize;
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte.is_ascii_digit() {
            digits += 1;
            if digits > DIGITS {
                return Err(FieldFault::NotJson(format!("a number has more than {DIGITS} digits")));
            }
            continue;
        }
        digits = 0;
        match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth > DEPTH {
                    return Err(FieldFault::TooDeep { most: DEPTH });
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'N' | b'I' => words = Words::Pythons,
            b'"' => loop {
                match bytes.next() {
                    None | Some(b'"') => break,
                    Some(b'\\') => drop(bytes.next()),
                    Some(_) => {}
                }
            },
            _ => {}
        }
    }
    Ok(words)
}

struct Reading<'a> {
    plan: &'a Plan,
    slots: RefCell<&'a mut Slots>,
    /// Faults of ours travel beside serde's errors.
    fault: RefCell<Option<FieldFault>>,
}

impl Reading<'_> {
    fn fail<E: serde::de::Error>(&self, fault: FieldFault) -> E {
        let error = E::custom(&fault);
        self.fault.borrow_mut().get_or_insert(fault);
        error
    }

    fn put(&self, slot: usize, value: Option<Arc<str>>) {
        let mut slots = self.slots.borrow_mut();
        let values = slots[slot].get_or_insert_with(Vec::new);
        values.extend(value);
    }
}

/// An object of which some members are read.
struct ObjectSeed<'r, 'a> {
    reading: &'r Reading<'a>,
    node: &'r Node,
}

impl<'de> DeserializeSeed<'de> for ObjectSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ObjectSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = Seen::default();
        while let Some(Key(key)) = map.next_key_seed(KeySeed)? {
            let member = self.node.members.iter().find(|member| member.name == key);
            if member.is_none()
                && let Some(twin) = self.node.members.iter().find(|member| member.camel.as_deref() == Some(&*key))
            {
                return Err(self
                    .reading
                    .fail(FieldFault::OtherSpelling { sent: key.into_owned(), instead: twin.name }));
            }
            match member {
                Some(member) => map.next_value_seed(MemberSeed { reading: self.reading, member })?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            if let Err(key) = seen.add(key) {
                return Err(self.reading.fail(FieldFault::Repeated(key)));
            }
        }
        Ok(())
    }
}

/// The members seen so far: few are compared one by one, many by hash.
#[derive(Default)]
struct Seen<'de> {
    few: Vec<Cow<'de, str>>,
    many: HashSet<Cow<'de, str>>,
}

impl<'de> Seen<'de> {
    fn add(&mut self, key: Cow<'de, str>) -> Result<(), String> {
        const FEW: usize = 16;
        if self.many.is_empty() {
            if self.few.contains(&key) {
                return Err(key.into_owned());
            }
            self.few.push(key);
            if self.few.len() > FEW {
                self.many.extend(self.few.drain(..));
            }
            return Ok(());
        }
        match self.many.replace(key) {
            Some(key) => Err(key.into_owned()),
            None => Ok(()),
        }
    }
}

struct Key<'de>(Cow<'de, str>);

struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Key<'de>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Key<'de>, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeySeed {
    type Value = Key<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Borrowed(key)))
    }

    fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Owned(key.to_owned())))
    }
}

/// The value of a member that is read.
struct MemberSeed<'r, 'a> {
    reading: &'r Reading<'a>,
    member: &'r Member,
}

impl MemberSeed<'_, '_> {
    fn slot(&self) -> Option<(usize, &Slot)> {
        match &self.member.holds {
            Holds::Value(index) => Some((*index, &self.reading.plan.slots[*index])),
            Holds::Object(_) | Holds::Objects(_) | Holds::Entries(_) => None,
        }
    }

    fn wrong<E: serde::de::Error>(&self) -> E {
        let want = match (&self.member.holds, self.slot()) {
            (Holds::Object(_), _) => "an object",
            (Holds::Objects(_), _) => "a list of objects",
            (Holds::Entries(_), _) => "an object of texts, or a list of pairs of texts",
            (Holds::Value(_), Some((_, slot))) if slot.many && !slot.name.contains("[]") => "a list of texts",
            (Holds::Value(_), Some((_, slot))) if slot.flag => "true or false",
            (Holds::Value(_), Some((_, slot))) if slot.numbers => "a text, or a whole number without sign",
            (Holds::Value(_), _) => "a text",
        };
        self.reading.fail(FieldFault::WrongType { field: self.member.name, want })
    }

    /// Whether one value may stand here (and not only inside of a list).
    fn takes_value(&self) -> Option<(usize, &Slot)> {
        // `experiment_ids` is a list itself; `metrics[].model_id` is one value in each element.
        self.slot().filter(|(_, slot)| !slot.many || slot.name.contains("[]"))
    }
}

impl<'de> DeserializeSeed<'de> for MemberSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for MemberSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the value of `{}`", self.member.name)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        match self.takes_value() {
            Some((index, slot)) if !slot.flag => {
                self.reading.put(index, Some(Arc::from(text)));
                Ok(())
            }
            _ => Err(self.wrong()),
        }
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
        match self.takes_value() {
            Some((index, slot)) if slot.numbers => {
                self.reading.put(index, Some(Arc::from(number.to_string())));
                Ok(())
            }
            _ => Err(self.wrong()),
        }
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        Err(self.wrong())
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        Err(self.wrong())
    }

    fn visit_bool<E: serde::de::Error>(self, flag: bool) -> Result<(), E> {
        match self.takes_value() {
            Some((index, slot)) if slot.flag => {
                self.reading.put(index, Some(Arc::from(if flag { "true" } else { "false" })));
                Ok(())
            }
            _ => Err(self.wrong()),
        }
    }

    /// `null` is protobuf's word for an absent field.
    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        match &self.member.holds {
            Holds::Object(node) => ObjectSeed { reading: self.reading, node }.visit_map(map),
            Holds::Entries(entries) => EntriesSeed { reading: self.reading, entries, member: self.member }.members(map),
            Holds::Value(_) | Holds::Objects(_) => Err(self.wrong()),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        match &self.member.holds {
            Holds::Objects(node) => {
                while list
                    .next_element_seed(ElementSeed { reading: self.reading, node, member: self.member })?
                    .is_some()
                {}
                Ok(())
            }
            Holds::Value(index) if self.takes_value().is_none() => {
                self.reading.put(*index, None);
                let slot = &self.reading.plan.slots[*index];
                while let Some(value) = list.next_element_seed(ValueSeed { reading: self.reading, slot })? {
                    self.reading.put(*index, Some(value));
                }
                Ok(())
            }
            Holds::Entries(entries) => {
                let seed = || EntriesSeed { reading: self.reading, entries, member: self.member };
                while list.next_element_seed(seed())?.is_some() {}
                Ok(())
            }
            Holds::Value(_) | Holds::Object(_) => Err(self.wrong()),
        }
    }
}

/// Entries of which names and some values are read: members of one object, or one pair of a list.
struct EntriesSeed<'r, 'a> {
    reading: &'r Reading<'a>,
    entries: &'r Entries,
    member: &'r Member,
}

impl EntriesSeed<'_, '_> {
    fn wrong<E: serde::de::Error>(&self) -> E {
        let want = "an object of texts, or a list of pairs of texts";
        self.reading.fail(FieldFault::WrongType { field: self.member.name, want })
    }

    /// `null` stands for an absent value in a pair, and is none that protobuf takes in an object.
    fn put(&self, name: &str, value: Option<&str>) {
        if let Some(slot) = self.entries.names {
            self.reading.put(slot, Some(Arc::from(name)));
        }
        for (_, slot) in self.entries.values.iter().filter(|(wanted, _)| *wanted == name) {
            self.reading.put(*slot, Some(Arc::from(value.unwrap_or_default())));
        }
    }

    fn members<'de, A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = Seen::default();
        while let Some(Key(key)) = map.next_key_seed(KeySeed)? {
            let value: Option<Cow<'de, str>> = map.next_value().map_err(|_| self.wrong())?;
            self.put(&key, value.as_deref());
            if let Err(key) = seen.add(key) {
                return Err(self.reading.fail(FieldFault::Repeated(key)));
            }
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for EntriesSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for EntriesSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a pair of `key` and `value`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let (mut key, mut value) = (None::<Option<Cow<'de, str>>>, None::<Option<Cow<'de, str>>>);
        while let Some(Key(name)) = map.next_key_seed(KeySeed)? {
            let part = match &*name {
                "key" => &mut key,
                "value" => &mut value,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if part.replace(map.next_value().map_err(|_| self.wrong())?).is_some() {
                return Err(self.reading.fail(FieldFault::Repeated(name.into_owned())));
            }
        }
        self.put(key.flatten().as_deref().unwrap_or_default(), value.flatten().as_deref());
        Ok(())
    }
}

/// An object in a list. Anything else there is refused, `null` too, as protobuf does.
struct ElementSeed<'r, 'a> {
    reading: &'r Reading<'a>,
    node: &'r Node,
    member: &'r Member,
}

impl<'de> DeserializeSeed<'de> for ElementSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        let (reading, name) = (self.reading, self.member.name);
        if let Some(slot) = self.node.counted {
            reading.put(slot, Some(Arc::from("{}")));
        }
        ObjectSeed { reading, node: self.node }.deserialize(json).map_err(|error| {
            if reading.fault.borrow().is_none() && error.to_string().starts_with("invalid type") {
                return reading.fail(FieldFault::WrongType { field: name, want: "a list of objects" });
            }
            error
        })
    }
}

/// A text in a list.
struct ValueSeed<'r, 'a> {
    reading: &'r Reading<'a>,
    slot: &'r Slot,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_, '_> {
    type Value = Arc<str>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Arc<str>, D::Error> {
        let (reading, field) = (self.reading, self.slot.name);
        json.deserialize_any(self).map_err(|error| {
            if reading.fault.borrow().is_none() && error.to_string().starts_with("invalid type") {
                return reading.fail(FieldFault::WrongType { field, want: "a list of texts" });
            }
            error
        })
    }
}

impl Visitor<'_> for ValueSeed<'_, '_> {
    type Value = Arc<str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E>(self, text: &str) -> Result<Arc<str>, E> {
        Ok(Arc::from(text))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Arc<str>, E> {
        if self.slot.numbers {
            return Ok(Arc::from(number.to_string()));
        }
        Err(E::custom("invalid type: number"))
    }
}
