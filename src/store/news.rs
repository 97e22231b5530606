//! Which parts of the state does a change touch, and how is that written down?
//!
//! Each change has a number, in the order in which changes came to be (`counters`, taken in the transaction), and leaves
//! a row in `news` for each part that it touched. Whoever has read up to a number reads the rows after it, and these
//! parts anew. All rows of a change bear its mark, a random one: as changes come to be one after the other, a database that
//! has a change with its mark has all that came before it, and a backup or a lagging standby that went another way has not.

use std::collections::BTreeSet;
use std::ops::Range;

use uuid::Uuid;

use super::engine::{Tx, sql};
use super::fault::StoreFault;
use super::session::SessionKey;
use super::token::TokenId;
use crate::access::grant::{RoleId, Subject};
use crate::mlflow::ids::{GroupName, UserName};

/// A part of the state that is read as a whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// A user, with the issuers' names of them and the groups they are in.
    User(UserName),
    /// A group, without its members.
    Group(GroupName),
    /// A role, without what it holds and who has it.
    Role(RoleId),
    /// What a subject holds: grants, rules, and roles it has.
    Holder(Subject),
    /// A session.
    Session(SessionKey),
    /// A token of our own.
    Token(TokenId),
    /// Which outside identities act as which service accounts.
    Bindings,
    /// All of it.
    Everything,
}

/// More parts than this are all of them.
const MOST: usize = 1000;

/// So many changes are told of.
const OLD: u64 = 10_000;

impl Part {
    /// As the table spells it.
    fn words(&self) -> (&'static str, String) {
        match self {
            Self::User(name) => ("user", name.to_string()),
            Self::Group(name) => ("group", name.to_string()),
            Self::Role(id) => ("role", id.to_string()),
            Self::Holder(Subject::User(name)) => ("of-user", name.to_string()),
            Self::Holder(Subject::Group(name)) => ("of-group", name.to_string()),
            Self::Holder(Subject::Role(id)) => ("of-role", id.to_string()),
            Self::Session(key) => ("session", key.to_hex()),
            Self::Token(id) => ("token", id.to_string()),
            Self::Bindings => ("bindings", String::new()),
            Self::Everything => ("everything", String::new()),
        }
    }

    /// What the table's words mean. What cannot be read may be anything, so that everything is read.
    pub(super) fn read(part: &str, name: &str) -> Self {
        let known = match part {
            "user" => UserName::parse(name).ok().map(Self::User),
            "group" => GroupName::parse(name).ok().map(Self::Group),
            "role" => name.parse().ok().map(Self::Role),
            "of-user" => UserName::parse(name).ok().map(|name| Self::Holder(Subject::User(name))),
            "of-group" => GroupName::parse(name).ok().map(|name| Self::Holder(Subject::Group(name))),
            "of-role" => name.parse().ok().map(|id| Self::Holder(Subject::Role(id))),
            "session" => SessionKey::from_hex(name).map(Self::Session),
            "token" => TokenId::parse(name).map(Self::Token),
            "bindings" => Some(Self::Bindings),
            _ => None,
        };
        known.unwrap_or(Self::Everything)
    }
}

/// Up to which change memory is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) seq: u64,
    /// What no other change has. `None`: the change left none (there was none yet, or it is from before marks).
    pub(super) mark: Option<String>,
}

/// What changed after the change at `seen`, up to the newest.
pub(super) async fn since(t: &mut Tx<'_>, seen: Option<&Point>) -> Result<(Point, News), StoreFault> {
    let ask = sql("SELECT last, (SELECT MIN(mark) FROM news WHERE seq = counters.last), \
                   (SELECT MIN(mark) FROM news WHERE seq = $1) FROM counters WHERE name = 'changes'");
    let row: Option<(i64, Option<String>, Option<String>)> = t.one(ask.bind(seen.map_or(0, |seen| seen.seq))).await?;
    let (newest, mark, then) = row.ok_or_else(|| StoreFault::Corrupt("the counter `changes` is missing".to_owned()))?;
    let marked = |mark: Option<String>| mark.filter(|mark| !mark.is_empty());
    let newest = Point { seq: newest.unsigned_abs(), mark: marked(mark) };
    let Some(seen) = seen else { return Ok((newest, News::Everything)) };
    // INVARIANT: the change that was seen last is there with its mark, or nothing that is there says anything of memory.
    if seen.mark.is_some() && seen.mark != marked(then) {
        return Ok((newest, News::Everything));
    }
    if seen.seq == newest.seq {
        return Ok((newest, News::Nothing));
    }
    let rows = sql("SELECT seq, part, name FROM news WHERE seq > $1 ORDER BY seq LIMIT $2");
    let rows: Vec<(i64, String, String)> = t.all(rows.bind(seen.seq).bind(2 * MOST as u64)).await?;
    let changes: BTreeSet<i64> = rows.iter().map(|(seq, _, _)| *seq).collect();
    let parts: BTreeSet<Part> = rows.iter().map(|(_, part, name)| Part::read(part, name)).collect();
    // INVARIANT: a change that is not accounted for, or a database that is older than memory, is read as a whole.
    let all = newest.seq.checked_sub(seen.seq) == Some(changes.len() as u64) && rows.len() < 2 * MOST;
    if all && !parts.contains(&Part::Everything) {
        Ok((newest, News::Parts(parts)))
    } else {
        Ok((newest, News::Everything))
    }
}

/// What must be read anew.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    Nothing,
    Parts(BTreeSet<Part>),
    Everything,
}

/// The number of a new thing, or of a change.
pub(super) async fn number(t: &mut Tx<'_>, counter: &'static str) -> Result<u64, StoreFault> {
    Ok(numbers(t, counter, 1).await?.start)
}

/// The numbers of so many new things. One that is not used is nobody's.
pub(super) async fn numbers(t: &mut Tx<'_>, counter: &'static str, count: u64) -> Result<Range<u64>, StoreFault> {
    let next = sql("UPDATE counters SET last = last + $2 WHERE name = $1 RETURNING last").bind(counter).bind(count);
    let next: Option<(i64,)> = t.one(next).await?;
    let next = next.ok_or_else(|| StoreFault::Corrupt(format!("the counter `{counter}` is missing")))?;
    let end = next.0.unsigned_abs() + 1;
    Ok(end - count..end)
}

/// Writes down what the transaction touched, under the number of the change.
pub(super) async fn publish(t: &mut Tx<'_>, seq: u64) -> Result<(), StoreFault> {
    let mut parts = std::mem::take(&mut t.touched);
    if parts.len() > MOST || parts.is_empty() {
        parts = [Part::Everything].into();
    }
    let mark = Uuid::now_v7().to_string();
    for part in parts {
        let (word, name) = part.words();
        let row = sql("INSERT INTO news (seq, part, name, mark) VALUES ($1, $2, $3, $4)");
        t.run(row.bind(seq).bind(word).bind(name).bind(mark.as_str())).await?;
    }
    t.wake().await?;
    // Nobody is so far behind and still reads part by part.
    if seq.is_multiple_of(OLD / 10) {
        t.run(sql("DELETE FROM news WHERE seq <= $1").bind(seq.saturating_sub(OLD))).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_as_they_were_written_and_what_is_unknown_is_everything() {
        let user = UserName::parse("alice@example.com").unwrap();
        let group = GroupName::parse("ml").unwrap();
        for part in [
            Part::User(user.clone()),
            Part::Group(group.clone()),
            Part::Role(RoleId(7)),
            Part::Holder(Subject::User(user)),
            Part::Holder(Subject::Group(group)),
            Part::Holder(Subject::Role(RoleId(7))),
            Part::Session(SessionKey::of(b"x")),
            Part::Token(TokenId::parse("a1B2c3D4").unwrap()),
            Part::Bindings,
            Part::Everything,
        ] {
            let (word, name) = part.words();
            assert_eq!(Part::read(word, &name), part);
        }
        for (word, name) in
            [("castle", "1"), ("user", ""), ("role", "x"), ("of-role", "-1"), ("session", "zz"), ("token", "short")]
        {
            assert_eq!(Part::read(word, name), Part::Everything, "{word} {name}");
        }
    }
}
