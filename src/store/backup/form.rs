//! What does the file of a backup look like?
//!
//! Lines of JSON, compressed (gzip, RFC 1952): a head, for each table its name and columns and then its rows as lists of
//! texts, and an end with the number of rows and the SHA-256 of all lines before it. `zcat` shows it. A file without its end
//! is cut off.

use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Write};

use aws_lc_rs::digest::{Context, SHA256};
use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};

use super::super::schema;
use super::BackupFault;
use super::tables::Table;

/// The form that is written, and the only one that is read.
const FORM: u32 = 1;

/// No row of ours is longer: the longest texts are what the log of changes tells, and a policy's.
const LONGEST: u64 = 64 * 1024 * 1024;

/// What the first line says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    trackgate_backup: u32,
    /// The schema of the tables.
    pub schema: i64,
    /// The version of the program that wrote it.
    pub program: String,
    /// The number of the newest change that is in it.
    pub newest_change: u64,
    /// When the reading began, in milliseconds since the epoch.
    pub made: u64,
}

/// A table, as its line says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Named {
    pub(super) table: String,
    pub(super) columns: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Last {
    end: End,
}

#[derive(Debug, Serialize, Deserialize)]
struct End {
    rows: u64,
    sha256: String,
}

/// A row: texts, numbers as texts, and nothing.
pub(super) type Cells = Vec<Option<String>>;

/// What is in a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// Where it comes from.
    pub head: Head,
    /// The tables, with the number of their rows.
    pub tables: Vec<(String, u64)>,
}

impl Head {
    pub(super) fn new(schema: i64, newest_change: u64, made: u64) -> Self {
        let program = env!("CARGO_PKG_VERSION").to_owned();
        Self { trackgate_backup: FORM, schema, program, newest_change, made }
    }
}

/// Writes a backup.
pub(super) struct Writer<W: Write> {
    to: BufWriter<GzEncoder<W>>,
    sum: Context,
    line: Vec<u8>,
    tables: Vec<(String, u64)>,
}

impl<W: Write> Writer<W> {
    pub(super) fn begin(to: W, head: &Head) -> io::Result<Self> {
        let to = BufWriter::new(GzEncoder::new(to, Compression::fast()));
        let mut writer = Self { to, sum: Context::new(&SHA256), line: Vec::new(), tables: Vec::new() };
        writer.put(head)?;
        Ok(writer)
    }

    fn put(&mut self, line: &impl Serialize) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, line)?;
        self.line.push(b'\n');
        self.sum.update(&self.line);
        self.to.write_all(&self.line)
    }

    pub(super) fn table(&mut self, table: &Table) -> io::Result<()> {
        self.tables.push((table.name.to_owned(), 0));
        let columns = table.columns.iter().map(|column| column.name.clone()).collect();
        self.put(&Named { table: table.name.to_owned(), columns })
    }

    pub(super) fn row(&mut self, cells: &Cells) -> io::Result<()> {
        if let Some((_, rows)) = self.tables.last_mut() {
            *rows += 1;
        }
        self.put(cells)
    }

    pub(super) fn end(mut self, head: Head) -> io::Result<Contents> {
        let rows = self.tables.iter().map(|(_, rows)| rows).sum();
        let sha256 = hex(self.sum.clone());
        self.put(&Last { end: End { rows, sha256 } })?;
        let gzip = self.to.into_inner().map_err(io::IntoInnerError::into_error)?;
        gzip.finish()?.flush()?;
        Ok(Contents { head, tables: self.tables })
    }
}

fn hex(sum: Context) -> String {
    use std::fmt::Write as _;
    sum.finish().as_ref().iter().fold(String::new(), |mut text, byte| {
        // A text takes all that is written to it.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Something in a backup.
#[derive(Debug)]
pub(super) enum Item {
    Table(Named),
    Row(Cells),
}

/// Reads a backup.
pub(super) struct Reader<'a> {
    from: BufReader<GzDecoder<&'a [u8]>>,
    sum: Context,
    pub(super) head: Head,
    tables: Vec<(String, u64)>,
}

impl<'a> Reader<'a> {
    pub(super) fn begin(bytes: &'a [u8]) -> Result<Self, BackupFault> {
        if !bytes.starts_with(&[0x1f, 0x8b]) {
            return Err(BackupFault::Foreign);
        }
        let mut from = BufReader::new(GzDecoder::new(bytes));
        let mut sum = Context::new(&SHA256);
        let line = line(&mut from, &mut sum)?;
        // A newer form may have other words in its head, but this one.
        let form: serde_json::Value = serde_json::from_str(&line).map_err(|_| BackupFault::Foreign)?;
        let form = form.get("trackgate_backup").and_then(serde_json::Value::as_u64).ok_or(BackupFault::Foreign)?;
        if form != u64::from(FORM) {
            return Err(damaged(format_args!("its form is {form}, and this program reads {FORM} alone")));
        }
        let head: Head = serde_json::from_str(&line).map_err(|_| damaged("its head cannot be read"))?;
        let known = schema::newest();
        if head.schema > known {
            return Err(BackupFault::Newer { program: head.program, schema: head.schema, known });
        }
        Ok(Self { from, sum, head, tables: Vec::new() })
    }

    /// What comes next; `None`: this was all of it, and it is whole.
    pub(super) fn next(&mut self) -> Result<Option<Item>, BackupFault> {
        let before = self.sum.clone();
        let line = line(&mut self.from, &mut self.sum)?;
        if line.starts_with('[') {
            let cells = serde_json::from_str(&line).map_err(|_| damaged("a row cannot be read"))?;
            let (_, rows) = self.tables.last_mut().ok_or_else(|| damaged("a row is of no table"))?;
            *rows += 1;
            return Ok(Some(Item::Row(cells)));
        }
        if let Ok(named) = serde_json::from_str::<Named>(&line) {
            self.tables.push((named.table.clone(), 0));
            return Ok(Some(Item::Table(named)));
        }
        let Last { end } = serde_json::from_str(&line).map_err(|_| damaged("a line cannot be read"))?;
        let rows: u64 = self.tables.iter().map(|(_, rows)| rows).sum();
        if end.sha256 != hex(before) || end.rows != rows {
            return Err(damaged("what is in it is not what was written"));
        }
        // The end of the compression bears a sum of its own.
        let left = self.from.fill_buf().map_err(damaged)?;
        if !left.is_empty() || !self.from.get_ref().get_ref().is_empty() {
            return Err(damaged("there is something behind its end"));
        }
        Ok(None)
    }

    /// What was read so far.
    pub(super) fn contents(self) -> Contents {
        Contents { head: self.head, tables: self.tables }
    }
}

fn line(from: &mut BufReader<GzDecoder<&[u8]>>, sum: &mut Context) -> Result<String, BackupFault> {
    let mut line = String::new();
    // A few bytes of gzip can stand for as many of one line as there is memory.
    from.take(LONGEST).read_line(&mut line).map_err(damaged)?;
    sum.update(line.as_bytes());
    if line.pop() != Some('\n') {
        let why = if line.len() as u64 + 1 >= LONGEST { "a line is longer than any of ours" } else { "it is cut off" };
        return Err(damaged(why));
    }
    Ok(line)
}

pub(super) fn damaged(why: impl std::fmt::Display) -> BackupFault {
    BackupFault::Damaged(why.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::super::copy::Column;
    use super::*;

    fn table() -> Table {
        let column = |name: &str, number| Column { name: name.to_owned(), number };
        Table { name: "users", columns: vec![column("name", false), column("id", true)] }
    }

    fn written() -> Vec<u8> {
        let mut bytes = Vec::new();
        let head = Head::new(1, 7, 1000);
        let mut writer = Writer::begin(&mut bytes, &head).unwrap();
        writer.table(&table()).unwrap();
        for n in 0..100 {
            writer.row(&vec![Some(format!("user\n\"{n}\" é")), None]).unwrap();
        }
        let contents = writer.end(head).unwrap();
        assert_eq!(contents.tables, [("users".to_owned(), 100)]);
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Contents, BackupFault> {
        let mut reader = Reader::begin(bytes)?;
        while reader.next()?.is_some() {}
        Ok(reader.contents())
    }

    #[test]
    fn what_was_written_is_read() {
        let bytes = written();
        let mut reader = Reader::begin(&bytes).unwrap();
        assert!(matches!(reader.next(), Ok(Some(Item::Table(named))) if named.columns == ["name", "id"]));
        let Some(Item::Row(row)) = reader.next().unwrap() else { panic!("a row") };
        assert_eq!(row, [Some("user\n\"0\" é".to_owned()), None]);
        let contents = read(&bytes).unwrap();
        assert_eq!((contents.head.newest_change, contents.tables[0].1), (7, 100));
    }

    #[test]
    fn a_backup_that_is_cut_off_anywhere_is_damaged() {
        let bytes = written();
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length]).is_err(), "{length} of {} bytes", bytes.len());
        }
        assert!(read(&[&bytes[..], b"x"].concat()).is_err(), "something behind it");
        assert!(read(&[&bytes[..], &bytes[..]].concat()).is_err(), "another one behind it");
    }

    #[test]
    fn a_backup_with_any_bit_turned_is_damaged() {
        let bytes = written();
        let whole = read(&bytes).unwrap();
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 1 << (at % 8);
            // The header of gzip has a time and a system in it that mean nothing here.
            if let Ok(read) = read(&other) {
                assert!(at < 10 && read == whole, "byte {at}");
            }
        }
    }

    #[test]
    fn a_line_without_an_end_does_not_fill_the_memory() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        let piece = vec![b' '; 1024 * 1024];
        for _ in 0..=LONGEST / 1024 / 1024 {
            gzip.write_all(&piece).unwrap();
        }
        let bytes = gzip.finish().unwrap();
        assert!(bytes.len() < 200 * 1024, "{}", bytes.len());
        assert!(read(&bytes).unwrap_err().to_string().contains("longer than any of ours"));
    }

    /// Compression mends nothing: who changes a line and compresses again is told by the sum.
    #[test]
    fn a_line_that_was_changed_taken_out_or_put_in_is_seen() {
        let mut text = String::new();
        GzDecoder::new(&written()[..]).read_to_string(&mut text).unwrap();
        let again = |text: &str| {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
            gzip.write_all(text.as_bytes()).unwrap();
            read(&gzip.finish().unwrap())
        };
        assert!(again(&text).is_ok());
        assert!(again(&text.replace("user\\n\\\"7\\\"", "root")).is_err());
        let lines: Vec<&str> = text.lines().collect();
        let without: Vec<&str> = lines.iter().enumerate().filter(|(at, _)| *at != 5).map(|(_, line)| *line).collect();
        assert!(again(&(without.join("\n") + "\n")).is_err());
        assert!(again(&text.replacen('[', "[\"x\",null]\n[", 1)).is_err());
        assert!(again(&lines[..lines.len() - 1].join("\n")).is_err(), "no end");
    }

    #[test]
    fn something_else_and_something_newer_are_told_by_what_they_are() {
        assert!(matches!(read(b""), Err(BackupFault::Foreign)));
        assert!(matches!(read(b"SQLite format 3\0"), Err(BackupFault::Foreign)));
        let gzip = |text: &str| {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
            gzip.write_all(text.as_bytes()).unwrap();
            gzip.finish().unwrap()
        };
        assert!(matches!(read(&gzip("hello\n")), Err(BackupFault::Foreign)));
        let newer =
            gzip("{\"trackgate_backup\":1,\"schema\":9999,\"program\":\"9.0.0\",\"newest_change\":1,\"made\":1}\n");
        let fault = read(&newer).unwrap_err();
        assert!(fault.to_string().contains("made by Trackgate 9.0.0, of schema 9999"), "{fault}");
        assert!(read(&gzip("{\"trackgate_backup\":2}\n")).unwrap_err().to_string().contains("its form is 2"));
    }
}
