//! What stands in the log about somebody, or about something?
//!
//! The file is read backwards, the newest record first, and so are those that a rotation put beside it (`audit.jsonl.1` and
//! so on). One search reads so many bytes at most; where it ended, the next one goes on.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Target;

/// How much is read at once.
const BLOCK: u64 = 256 * 1024;
/// How much one search reads.
const MOST: u64 = 64 * 1024 * 1024;
/// A longer line is no record of ours.
const LINE: usize = 8 * 1024 * 1024;
/// How many rotated files are looked at.
const ROTATED: u32 = 30;

/// What is searched for. Everything that is given must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    /// A part of the caller's name.
    pub user: String,
    /// A part of `kind:id` of an object, or of the call's name.
    pub object: String,
    /// `allow`, `deny` or `error`.
    pub decision: String,
    /// Not before this, as far as it is written (`2030-01-31T12`).
    pub from: String,
    /// Not after this.
    pub to: String,
    /// Where the last search ended.
    pub on: Option<Place>,
    /// How many records.
    pub most: usize,
}

/// A place in a file: everything before it was not read yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Which file, also after a rotation.
    pub file: u64,
    /// How far from its beginning.
    pub at: u64,
}

/// One record, as far as it is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Found {
    /// When, as RFC 3339 writes it.
    pub time: String,
    /// The request's name.
    pub id: String,
    /// Who.
    pub user: Option<String>,
    /// What was called.
    pub call: Option<String>,
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// What it was about.
    pub objects: Vec<String>,
    /// How it ended.
    pub decision: String,
    /// Why.
    pub reason: String,
    /// The grant that decided.
    pub because: Option<String>,
    /// What was done, or what was wrong.
    pub detail: Option<String>,
    /// The answer's status.
    pub status: u16,
    /// The error that we answered what was allowed with, and did not do.
    pub error_code: Option<String>,
}

/// What was found, and where to go on; `None`: all was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The records, the newest first.
    pub records: Vec<Found>,
    /// Where the next search goes on.
    pub next: Option<Place>,
    /// Whether this one ended because it had read enough, and not because it had found enough.
    pub tired: bool,
}

/// Why nothing can be searched.
#[derive(Debug, thiserror::Error)]
pub enum SearchFault {
    /// The records went to standard output.
    #[error("the audit log goes to standard output: search it where that is kept")]
    NotKept,
    /// The file cannot be read.
    #[error("the audit log cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
}

/// Searches the log. Reads files: not for a thread that answers requests.
///
/// # Errors
/// [`SearchFault`].
pub fn search(to: &Target, search: &Search) -> Result<Page, SearchFault> {
    let Target::File(path) = to else { return Err(SearchFault::NotKept) };
    let mut page = Page::default();
    let mut left = MOST;
    let mut skipping = search.on.is_some();
    for (index, path) in files(path).iter().enumerate() {
        let mut file = match File::open(path) {
            Ok(file) => file,
            // The newest must be there; of the others, one may just have been moved on.
            Err(fault) if index == 0 => return Err(fault.into()),
            Err(_) => continue,
        };
        let about = file.metadata()?;
        let mut end = about.len();
        if let Some(place) = search.on.filter(|_| skipping) {
            if about.ino() != place.file {
                continue;
            }
            end = end.min(place.at);
            skipping = false;
        }
        let stopped = backwards(&mut file, end, &mut left, |line| {
            if let Some(found) = fits(line, search) {
                page.records.push(found);
            }
            page.records.len() < search.most
        })?;
        if let Some(at) = stopped {
            page.next = Some(Place { file: about.ino(), at });
            page.tired = page.records.len() < search.most;
            break;
        }
    }
    Ok(page)
}

/// The file, and those that a rotation left.
fn files(path: &Path) -> Vec<PathBuf> {
    let rotated = (1..=ROTATED).map(|number| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    });
    std::iter::once(path.to_owned()).chain(rotated.take_while(|path| path.exists())).collect()
}

/// Takes each line before `end`, the last first. Where it ended, if not at the beginning.
fn backwards(
    file: &mut File,
    end: u64,
    left: &mut u64,
    mut take: impl FnMut(&[u8]) -> bool,
) -> Result<Option<u64>, std::io::Error> {
    let mut begin = end;
    // What is read and not taken yet: from `begin` on, up to the last line that was taken.
    let mut rest: Vec<u8> = Vec::new();
    while begin > 0 {
        if *left == 0 {
            return Ok(Some(begin + rest.len() as u64));
        }
        let size = BLOCK.min(begin).min(*left);
        begin -= size;
        *left -= size;
        let mut block = vec![0; usize::try_from(size).unwrap_or(0)];
        file.seek(SeekFrom::Start(begin))?;
        file.read_exact(&mut block)?;
        block.append(&mut rest);
        rest = block;
        // All but the first line are whole.
        while let Some(at) = rest.iter().rposition(|byte| *byte == b'\n') {
            let line = rest.split_off(at + 1);
            // Its own line feed stays with the line before, and is taken off here.
            rest.truncate(at);
            if !line.is_empty() && !take(&line) {
                return Ok(Some(begin + rest.len() as u64 + 1));
            }
        }
        if rest.len() > LINE {
            rest.clear();
        }
    }
    // The older files are still to be read.
    Ok((!rest.is_empty() && !take(&rest)).then_some(0))
}

fn fits(line: &[u8], search: &Search) -> Option<Found> {
    let found: Found = serde_json::from_slice(line).ok()?;
    let has = |text: &str, part: &str| part.is_empty() || text.to_lowercase().contains(&part.to_lowercase());
    let about = || {
        has(found.call.as_deref().unwrap_or_default(), &search.object)
            || found.objects.iter().any(|object| has(object, &search.object))
    };
    let to = |time: &str| search.to.is_empty() || time <= search.to.as_str() || time.starts_with(&search.to);
    let good = has(found.user.as_deref().unwrap_or_default(), &search.user)
        && (search.decision.is_empty() || found.decision == search.decision)
        && found.time.as_str() >= search.from.as_str()
        && to(&found.time)
        && about();
    good.then_some(found)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    struct Folder(PathBuf);

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn log(name: &str, lines: std::ops::Range<u32>) -> (Folder, Target) {
        let folder = std::env::temp_dir().join(format!("trackgate-search-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("audit.jsonl");
        std::fs::write(&file, text(lines)).unwrap();
        (Folder(folder), Target::File(file))
    }

    fn text(lines: std::ops::Range<u32>) -> String {
        lines.fold(String::new(), |mut text, number| {
            let user = if number % 2 == 0 { "Ann" } else { "Bob" };
            let decision = if number % 3 == 0 { "deny" } else { "allow" };
            let _ = writeln!(
                text,
                r#"{{"time":"2030-01-01T00:00:{:02}.000Z","id":"{number}","user":"{user}","objects":["experiment:{number}"],"decision":"{decision}"}}"#,
                number % 60
            );
            text
        })
    }

    fn ids(page: &Page) -> Vec<u32> {
        page.records.iter().map(|record| record.id.parse().unwrap()).collect()
    }

    #[test]
    fn the_newest_come_first_and_pages_follow_without_a_gap_or_a_repetition() {
        let (folder, to) = log("pages", 0..5000);
        std::fs::rename(folder.0.join("audit.jsonl"), folder.0.join("audit.jsonl.1")).unwrap();
        std::fs::write(folder.0.join("audit.jsonl"), text(5000..6000)).unwrap();
        let mut all = Vec::new();
        let mut on = None;
        loop {
            let page = search(&to, &Search { most: 7, on, ..Search::default() }).unwrap();
            all.extend(ids(&page));
            on = page.next;
            // A rotation in between loses nothing.
            if all.len() == 70 {
                std::fs::rename(folder.0.join("audit.jsonl.1"), folder.0.join("audit.jsonl.2")).unwrap();
                std::fs::rename(folder.0.join("audit.jsonl"), folder.0.join("audit.jsonl.1")).unwrap();
                std::fs::write(folder.0.join("audit.jsonl"), text(6000..6010)).unwrap();
            }
            if on.is_none() {
                break;
            }
        }
        assert_eq!(all, (0..6000).rev().collect::<Vec<_>>());
    }

    #[test]
    fn each_field_narrows() {
        let (_folder, to) = log("fields", 0..30);
        let find = |change: Search| ids(&search(&to, &Search { most: 100, ..change }).unwrap());
        assert_eq!(find(Search { user: "ann".into(), ..Search::default() }).len(), 15);
        assert_eq!(find(Search { decision: "deny".into(), ..Search::default() }).len(), 10);
        assert_eq!(find(Search { object: "experiment:29".into(), ..Search::default() }), [29]);
        let (from, until) = ("2030-01-01T00:00:05".to_owned(), "2030-01-01T00:00:07".to_owned());
        assert_eq!(find(Search { from, to: until, ..Search::default() }), [7, 6, 5]);
        assert!(find(Search { user: "carol".into(), ..Search::default() }).is_empty());
    }

    #[test]
    fn what_is_no_record_is_passed_over() {
        let (folder, to) = log("odd", 0..2);
        let file = folder.0.join("audit.jsonl");
        let odd = format!("{}\nnot json\n\n{{\"time\":3}}\n{}half", text(0..1), text(1..2));
        std::fs::write(&file, odd).unwrap();
        assert_eq!(ids(&search(&to, &Search { most: 9, ..Search::default() }).unwrap()), [1, 0]);
        std::fs::write(&file, "").unwrap();
        assert_eq!(search(&to, &Search { most: 9, ..Search::default() }).unwrap(), Page::default());
        std::fs::remove_file(&file).unwrap();
        assert!(matches!(search(&to, &Search::default()), Err(SearchFault::Unreadable(_))));
        assert!(matches!(search(&Target::Stdout, &Search::default()), Err(SearchFault::NotKept)));
    }
}
