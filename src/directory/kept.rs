//! What did Google say before we were started?
//!
//! Answers are kept in a file of the state directory, so that a restart while Google is away shuts nobody out who was looked
//! up lately. An answer is as old as it is: it counts for `fresh` and for `keep` from when it was asked for, restart or not.
//! What is not understood in the file, was said under other settings, or lies in the future, was never said.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead as _, BufReader, BufWriter, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use crate::mlflow::ids::{GroupName, UserName};

/// Somebody's groups, and when they were asked for.
pub(super) struct Answer {
    pub(super) user: UserName,
    pub(super) asked: u64,
    pub(super) groups: Arc<[GroupName]>,
}

/// As a line of the file has it.
type Line = (String, u64, Vec<String>);

/// What was said since `oldest`, up to now, under these settings.
pub(super) fn read(path: &Path, settings: &str, oldest: u64, now: u64) -> io::Result<Vec<Answer>> {
    let file = match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened?,
    };
    if file.metadata()?.mode() & 0o077 != 0 {
        return Err(io::Error::other("others may read or write it"));
    }
    let mut lines = BufReader::new(file).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    if serde_json::from_str::<String>(&first).ok().as_deref() != Some(settings) {
        return Ok(Vec::new());
    }
    let mut answers = Vec::new();
    for line in lines {
        let Ok((user, asked, groups)) = serde_json::from_str::<Line>(&line?) else { continue };
        if asked <= oldest || asked > now {
            continue;
        }
        // One group that cannot be read could be one with a DENY: then nothing of it was said.
        let groups: Result<Arc<[_]>, _> = groups.iter().map(|name| GroupName::parse(name)).collect();
        if let (Ok(user), Ok(groups)) = (UserName::parse(&user), groups) {
            answers.push(Answer { user, asked, groups });
        }
    }
    Ok(answers)
}

/// Replaces the file as a whole.
pub(super) fn write(path: &Path, settings: &str, answers: &[Answer]) -> io::Result<()> {
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    let _ = fs::remove_file(&beside);
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let mut out = BufWriter::new(file);
    serde_json::to_writer(&mut out, settings)?;
    for Answer { user, asked, groups } in answers {
        out.write_all(b"\n")?;
        let groups: Vec<&str> = groups.iter().map(GroupName::as_str).collect();
        serde_json::to_writer(&mut out, &(user.as_str(), asked, groups))?;
    }
    out.write_all(b"\n")?;
    out.into_inner()?.sync_all()?;
    fs::rename(&beside, path)
}
