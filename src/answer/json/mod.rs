//! Where are the borders of the values in a JSON text?
//!
//! No tree is built: a [`Value`] is a slice of the text it stands in, so that what is kept is copied byte for byte. The
//! whole text is checked before the first slice is handed out. Python's `NaN`, `Infinity` and `-Infinity` are values,
//! since `json.dumps` writes them (`serde_json` refuses them even where it only borrows). A key that stands twice in an
//! object that is looked into is a fault: Python keeps the last, others the first.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

/// How deep values may lie in each other.
const MOST_DEPTH: u32 = 128;

/// A text that is not JSON, or not such as we can read in one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadJson {
    /// Bytes that are not UTF-8.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// It ends in the middle.
    #[error("it ends too early")]
    CutShort,
    /// Something that JSON has not.
    #[error("unexpected byte at {at}")]
    Unexpected {
        /// Where.
        at: usize,
    },
    /// Values in values in values.
    #[error("it is nested too deeply")]
    TooDeep,
    /// One key stands twice in an object.
    #[error("a key stands twice in one object")]
    DuplicateKey,
    /// A value of another type than the one that must stand there.
    #[error("`{what}` is not {wanted}")]
    WrongType {
        /// Of what.
        what: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
}

/// One value: a slice of a text that was checked as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Value<'a> {
    text: &'a str,
}

impl<'a> Value<'a> {
    /// Checks a whole text.
    ///
    /// # Errors
    /// [`BadJson`] unless the text is exactly one JSON value.
    pub(crate) fn parse(text: &'a [u8]) -> Result<Self, BadJson> {
        let text = std::str::from_utf8(text).map_err(|_| BadJson::NotUtf8)?;
        let mut scan = Scan { text, at: 0 };
        scan.space();
        let value = scan.value(0)?;
        scan.space();
        match scan.peek() {
            None => Ok(value),
            Some(_) => Err(scan.unexpected()),
        }
    }

    /// The value as it stands in the text.
    pub(crate) fn raw(self) -> &'a str {
        self.text
    }

    /// Whether it is `null`.
    pub(crate) fn is_null(self) -> bool {
        self.text == "null"
    }

    /// Whether it is an object.
    pub(crate) fn is_object(self) -> bool {
        self.text.starts_with('{')
    }

    /// The string's contents, if it is one. Lone surrogates, which Python writes and Rust cannot hold, make it none.
    pub(crate) fn as_str(self) -> Option<Cow<'a, str>> {
        let inner = self.text.strip_prefix('"')?.strip_suffix('"')?;
        if inner.contains('\\') {
            serde_json::from_str(self.text).ok().map(Cow::Owned)
        } else {
            Some(Cow::Borrowed(inner))
        }
    }

    /// The members of an object, in order; none for anything else.
    pub(crate) fn members(self) -> impl Iterator<Item = (Value<'a>, Value<'a>)> {
        let mut scan = Scan { text: self.text, at: 1 };
        let mut more = self.text.starts_with('{');
        std::iter::from_fn(move || {
            if !more {
                return None;
            }
            let member = scan.member();
            more = member.is_some();
            member
        })
    }

    /// The elements of a list, in order; `None` for anything else.
    pub(crate) fn elements(self) -> Option<impl Iterator<Item = Value<'a>>> {
        if !self.text.starts_with('[') {
            return None;
        }
        let mut scan = Scan { text: self.text, at: 1 };
        Some(std::iter::from_fn(move || scan.element()))
    }

    /// The member of that name; `None` where it is absent, or where this is no object.
    ///
    /// # Errors
    /// [`BadJson::DuplicateKey`] when it stands there twice.
    pub(crate) fn get(self, name: &str) -> Result<Option<Value<'a>>, BadJson> {
        let mut found = None;
        for (key, value) in self.members() {
            if key.names(name) && found.replace(value).is_some() {
                return Err(BadJson::DuplicateKey);
            }
        }
        Ok(found)
    }

    /// Follows `a.b.c` through objects.
    ///
    /// # Errors
    /// [`BadJson::DuplicateKey`] when a step of the way stands there twice.
    pub(crate) fn at(self, path: &str) -> Result<Option<Value<'a>>, BadJson> {
        let mut value = self;
        for name in path.split('.') {
            match value.get(name)? {
                Some(next) => value = next,
                None => return Ok(None),
            }
        }
        Ok(Some(value))
    }

    /// Whether this, a key, is spelled `name`.
    fn names(self, name: &str) -> bool {
        match self.text.get(1..self.text.len().saturating_sub(1)) {
            Some(inner) if !inner.contains('\\') => inner == name,
            _ => self.as_str().is_some_and(|key| key == name),
        }
    }

    /// Where this value stands in `whole`, of whose text it must be a slice.
    pub(crate) fn range_in(self, whole: &str) -> Option<std::ops::Range<usize>> {
        let start = (self.text.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
        let range = start..start.checked_add(self.text.len())?;
        (whole.get(range.clone()) == Some(self.text)).then_some(range)
    }
}

/// Writes `text` as a JSON string.
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0..0x20 => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn unexpected(&self) -> BadJson {
        if self.at >= self.text.len() { BadJson::CutShort } else { BadJson::Unexpected { at: self.at } }
    }

    fn take(&mut self, byte: u8) -> Result<(), BadJson> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    fn value(&mut self, depth: u32) -> Result<Value<'a>, BadJson> {
        if depth > MOST_DEPTH {
            return Err(BadJson::TooDeep);
        }
        let start = self.at;
        match self.peek() {
            Some(b'"') => self.string()?,
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.list(depth)?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.word("true")?,
            Some(b'f') => self.word("false")?,
            Some(b'n') => self.word("null")?,
            Some(b'N') => self.word("NaN")?,
            Some(b'I') => self.word("Infinity")?,
            _ => return Err(self.unexpected()),
        }
        // The bytes that begin and end a value are ASCII, so this is always a slice at character borders.
        self.text.get(start..self.at).map(|text| Value { text }).ok_or(BadJson::Unexpected { at: start })
    }

    fn object(&mut self, depth: u32) -> Result<(), BadJson> {
        self.at += 1;
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.space();
            self.string()?;
            self.space();
            self.take(b':')?;
            self.space();
            self.value(depth + 1)?;
            self.space();
            if self.peek() != Some(b',') {
                return self.take(b'}');
            }
            self.at += 1;
        }
    }

    fn list(&mut self, depth: u32) -> Result<(), BadJson> {
        self.at += 1;
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.space();
            self.value(depth + 1)?;
            self.space();
            if self.peek() != Some(b',') {
                return self.take(b']');
            }
            self.at += 1;
        }
    }

    fn string(&mut self) -> Result<(), BadJson> {
        self.take(b'"')?;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.at += 1;
                    match self.peek() {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
                        Some(b'u') => {
                            self.at += 1;
                            for _ in 0..4 {
                                if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                                    return Err(self.unexpected());
                                }
                                self.at += 1;
                            }
                        }
                        _ => return Err(self.unexpected()),
                    }
                }
                Some(0..0x20) | None => return Err(self.unexpected()),
                Some(_) => self.at += 1,
            }
        }
    }

    fn number(&mut self) -> Result<(), BadJson> {
        if self.peek() == Some(b'-') {
            self.at += 1;
            if self.peek() == Some(b'I') {
                return self.word("Infinity");
            }
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), BadJson> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(self.unexpected()) } else { Ok(()) }
    }

    fn word(&mut self, word: &str) -> Result<(), BadJson> {
        for byte in word.bytes() {
            self.take(byte)?;
        }
        Ok(())
    }

    /// The next member of the object we stand in; the text was checked, so a fault is an end.
    fn member(&mut self) -> Option<(Value<'a>, Value<'a>)> {
        self.next_item()?;
        let key = self.value(0).ok()?;
        self.space();
        self.take(b':').ok()?;
        self.space();
        let value = self.value(0).ok()?;
        Some((key, value))
    }

    /// The next element of the list we stand in.
    fn element(&mut self) -> Option<Value<'a>> {
        self.next_item()?;
        self.value(0).ok()
    }

    fn next_item(&mut self) -> Option<()> {
        self.space();
        if self.peek() == Some(b',') {
            self.at += 1;
            self.space();
        }
        (!matches!(self.peek(), Some(b'}' | b']') | None)).then_some(())
    }
}
