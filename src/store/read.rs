//! How does what the tables hold come into memory: all of it, or a part?
//!
//! What cannot be read is not left out, since it could be a DENY: the reading fails as a whole.

use std::collections::{HashMap, HashSet};
use std::str::FromStr;
use std::sync::Arc;

use super::bindings;
use super::engine::{Tx, sql};
use super::fault::StoreFault;
use super::holder::Holder;
use super::holdings::{pattern_of, subject_columns, subject_of};
use super::news::Part;
use super::records::{Assignment, Binding, CreateRule, GrantRecord, Role, User};
use super::session::{Row, Session, SessionKey};
use super::snapshot::{Given, Snapshot};
use super::token::{self, Key, Token, TokenId};
use crate::access::grant::{Grant, Pattern, RoleId, Subject};
use crate::mlflow::ids::{GroupName, RoleName, UserName, WorkspaceName};
use crate::mlflow::permission::Permission;
use crate::mlflow::resource::Kind;

macro_rules! users {
    ($which:literal) => {
        concat!("SELECT id, name, CAST(admin AS BIGINT), CAST(disabled AS BIGINT), created, kind FROM users ", $which)
    };
}
macro_rules! identities {
    ($which:literal) => {
        concat!("SELECT user_name, issuer, subject, vouched FROM identities ", $which, " ORDER BY issuer")
    };
}
macro_rules! owners {
    ($which:literal) => {
        concat!("SELECT account, owner_kind, owner FROM account_owners ", $which, " ORDER BY owner_kind, owner")
    };
}
macro_rules! memberships {
    ($which:literal) => {
        concat!("SELECT user_name, group_name FROM memberships ", $which)
    };
}
macro_rules! groups {
    ($which:literal) => {
        concat!("SELECT name, id, created FROM user_groups ", $which)
    };
}
macro_rules! roles {
    ($which:literal) => {
        concat!("SELECT id, workspace, name, description, owner_kind, owner, created, created_by FROM roles ", $which)
    };
}
macro_rules! grants {
    ($which:literal) => {
        concat!(
            "SELECT id, workspace, subject_kind, subject, kind, form, pattern, permission, expires, created, \
             created_by FROM grants ",
            $which
        )
    };
}
macro_rules! assignments {
    ($which:literal) => {
        concat!("SELECT id, role_id, subject_kind, subject, expires, created, created_by FROM assignments ", $which)
    };
}
macro_rules! rules {
    ($which:literal) => {
        concat!(
            "SELECT id, workspace, subject_kind, subject, kind, form, pattern, expires, created, created_by \
             FROM create_rules ",
            $which
        )
    };
}
macro_rules! sessions {
    ($which:literal) => {
        concat!(
            "SELECT id, user_name, issuer, subject, provider, user_groups, logout_hint, created, last_seen, ends \
             FROM sessions ",
            $which
        )
    };
}

macro_rules! secrets {
    ($which:literal) => {
        concat!("SELECT login, digest, expires FROM login_secrets WHERE kind = 'access' ", $which)
    };
}
macro_rules! tokens {
    ($which:literal) => {
        concat!(
            "SELECT id, digest, kind, owner, name, workspace, ceiling, scopes, created, created_by, expires, revoked, \
             revoked_by, last_used, addresses FROM tokens ",
            $which
        )
    };
}

#[rustfmt::skip]
type TokenRow = (
    String, String, String, String, String, Option<String>, Option<String>, Option<String>,
    i64, String, i64, Option<i64>, Option<String>, i64, String,
);
type UserRow = (i64, String, i64, i64, i64, String);
type IdentityRow = (String, String, String, String);
type OwnerRow = (String, String, String);
type RoleRow = (i64, String, String, String, Option<String>, Option<String>, i64, String);
type GrantRow = (i64, String, String, String, String, String, String, String, Option<i64>, i64, String);
type AssignmentRow = (i64, i64, String, String, Option<i64>, i64, String);
type RuleRow = (i64, String, String, String, String, String, String, Option<i64>, i64, String);
type SecretRow = (String, String, i64);
type SessionRow = (String, String, String, String, String, String, Option<String>, i64, i64, i64);

/// Reads everything but sessions and tokens.
pub(super) async fn everything(t: &mut Tx<'_>, given: Given) -> Result<Snapshot, StoreFault> {
    let mut snapshot = Snapshot::new(given);
    let mut words = Words::default();
    let mut bound: HashMap<String, Bound> = HashMap::new();
    t.each(sql(identities!("")), |(user, issuer, subject, vouched): IdentityRow| {
        let binding = Binding { issuer: words.shared(&issuer), subject: Arc::from(subject) };
        let entry = bound.entry(user).or_default();
        entry.identities.push(binding);
        words.vouched(&vouched, &mut entry.vouched)
    })
    .await?;
    t.each(sql(owners!("")), |(account, kind, owner): OwnerRow| {
        bound.entry(account).or_default().owners.push(subject_of(&kind, &owner)?);
        Ok(())
    })
    .await?;
    let mut groups: HashMap<String, Vec<GroupName>> = HashMap::new();
    t.each(sql(memberships!("")), |(user, group): (String, String)| {
        groups.entry(user).or_default().push(words.group(&group)?);
        Ok(())
    })
    .await?;
    t.each(sql(groups!("")), |(name, id, created): (String, i64, i64)| {
        snapshot.put_group(&words.group(&name)?, Some((id.unsigned_abs(), created.unsigned_abs())));
        Ok(())
    })
    .await?;
    t.each(sql(users!("")), |row: UserRow| {
        let (bound, within) = (bound.remove(&row.1), groups.remove(&row.1));
        let user = user(row, bound.unwrap_or_default(), within.unwrap_or_default())?;
        snapshot.put_user(&user.name.clone(), Some(user));
        Ok(())
    })
    .await?;
    let mut holders: HashMap<Subject, Holder> = HashMap::new();
    let mut names: HashMap<RoleId, Arc<str>> = HashMap::new();
    t.each(sql(roles!("")), |row: RoleRow| {
        let role = role(row, &mut words)?;
        names.insert(role.id, role.name.to_shared());
        snapshot.put_role(role.id, Some(role));
        Ok(())
    })
    .await?;
    let fresh = |subject: &Subject| {
        let name = if let Subject::Role(id) = subject { names.get(id).cloned() } else { None };
        Holder::new(subject.clone(), name)
    };
    t.each(sql(grants!("")), |row: GrantRow| {
        let record = grant(row, &mut words)?;
        let subject = &record.grant.subject;
        holders.entry(subject.clone()).or_insert_with(|| fresh(subject)).add(record);
        Ok(())
    })
    .await?;
    t.each(sql(assignments!("")), |row: AssignmentRow| {
        let assignment = assignment(row, &mut words)?;
        let to = &assignment.to;
        holders.entry(to.clone()).or_insert_with(|| fresh(to)).assigned.push(assignment);
        Ok(())
    })
    .await?;
    t.each(sql(rules!("")), |row: RuleRow| {
        let rule = rule(row, &mut words)?;
        let subject = &rule.subject;
        holders.entry(subject.clone()).or_insert_with(|| fresh(subject)).add_rule(rule);
        Ok(())
    })
    .await?;
    for mut holder in holders.into_values() {
        holder.finish();
        snapshot.put_holder(holder);
    }
    snapshot.put_bindings(bindings::all(t).await?);
    Ok(snapshot)
}

/// Reads one part anew. Sessions are elsewhere; whoever is told to read everything does not come here.
pub(super) async fn part(t: &mut Tx<'_>, part: &Part, snapshot: &mut Snapshot) -> Result<(), StoreFault> {
    let mut words = Words::default();
    match part {
        Part::User(name) => {
            let key = name.as_str();
            let row: Option<UserRow> = t.one(sql(users!("WHERE name = $1")).bind(key)).await?;
            let mut bound = Bound::default();
            let identities: Vec<IdentityRow> = t.all(sql(identities!("WHERE user_name = $1")).bind(key)).await?;
            for (_, issuer, subject, vouched) in identities {
                bound.identities.push(Binding { issuer: Arc::from(issuer), subject: Arc::from(subject) });
                words.vouched(&vouched, &mut bound.vouched)?;
            }
            let owners: Vec<OwnerRow> = t.all(sql(owners!("WHERE account = $1")).bind(key)).await?;
            bound.owners =
                owners.iter().map(|(_, kind, owner)| subject_of(kind, owner)).collect::<Result<Vec<_>, _>>()?;
            let within: Vec<(String, String)> = t.all(sql(memberships!("WHERE user_name = $1")).bind(key)).await?;
            let within = within.iter().map(|(_, group)| words.group(group)).collect::<Result<Vec<_>, _>>()?;
            let user = row.map(|row| user(row, bound, within)).transpose()?;
            snapshot.put_user(name, user);
        }
        Part::Group(name) => {
            let row: Option<(String, i64, i64)> = t.one(sql(groups!("WHERE name = $1")).bind(name.as_str())).await?;
            snapshot.put_group(name, row.map(|(_, id, created)| (id.unsigned_abs(), created.unsigned_abs())));
        }
        Part::Role(id) => {
            let row: Option<RoleRow> = t.one(sql(roles!("WHERE id = $1")).bind(id.0)).await?;
            let role = row.map(|row| role(row, &mut words)).transpose()?;
            snapshot.put_role(*id, role);
        }
        Part::Holder(subject) => {
            let (kind, name) = subject_columns(subject);
            let role = if let Subject::Role(id) = subject { snapshot.role(*id) } else { None };
            let mut holder = Holder::new(subject.clone(), role.map(|role| role.name.to_shared()));
            let of = |text| sql(text).bind(kind).bind(&*name);
            t.each(of(grants!("WHERE subject_kind = $1 AND subject = $2")), |row| {
                holder.add(grant(row, &mut words)?);
                Ok(())
            })
            .await?;
            t.each(of(assignments!("WHERE subject_kind = $1 AND subject = $2")), |row| {
                holder.assigned.push(assignment(row, &mut words)?);
                Ok(())
            })
            .await?;
            t.each(of(rules!("WHERE subject_kind = $1 AND subject = $2")), |row| {
                holder.add_rule(rule(row, &mut words)?);
                Ok(())
            })
            .await?;
            holder.finish();
            snapshot.put_holder(holder);
        }
        Part::Bindings => snapshot.put_bindings(bindings::all(t).await?),
        Part::Session(_) | Part::Token(_) | Part::Everything => {}
    }
    Ok(())
}

/// Reads the sessions.
pub(super) async fn all_sessions(t: &mut Tx<'_>) -> Result<Vec<Session>, StoreFault> {
    let mut sessions = Vec::new();
    t.each(sql(sessions!("")), |row: SessionRow| {
        // A row that cannot be read opens no session.
        if let Some(session) = session(row) {
            sessions.push(session);
        }
        Ok(())
    })
    .await?;
    Ok(sessions)
}

/// Reads one session.
pub(super) async fn one_session(t: &mut Tx<'_>, key: SessionKey) -> Result<Option<Session>, StoreFault> {
    let row: Option<SessionRow> = t.one(sql(sessions!("WHERE id = $1")).bind(key.to_hex())).await?;
    Ok(row.and_then(session))
}

fn session(row: SessionRow) -> Option<Session> {
    let (id, user, issuer, subject, provider, groups, logout_hint, created, last_seen, ends) = row;
    Session::loaded(Row { id, user, issuer, subject, provider, groups, logout_hint, created, last_seen, ends })
}

/// Reads the tokens.
pub(super) async fn all_tokens(t: &mut Tx<'_>) -> Result<Vec<Token>, StoreFault> {
    let mut tokens = Vec::new();
    let mut access: HashMap<String, Vec<Key>> = HashMap::new();
    t.each(sql(secrets!("")), |(login, digest, expires): SecretRow| {
        access.entry(login).or_default().extend(Key::read(&digest, expires));
        Ok(())
    })
    .await?;
    t.each(sql(tokens!("")), |row: TokenRow| {
        // A row that cannot be read lets nobody in.
        let access = access.remove(&row.0).unwrap_or_default();
        tokens.extend(token(row, access));
        Ok(())
    })
    .await?;
    Ok(tokens)
}

/// Reads one token.
pub(super) async fn one_token(t: &mut Tx<'_>, id: &TokenId) -> Result<Option<Token>, StoreFault> {
    let row: Option<TokenRow> = t.one(sql(tokens!("WHERE id = $1")).bind(id.as_str())).await?;
    let access: Vec<SecretRow> = t.all(sql(secrets!("AND login = $1")).bind(id.as_str())).await?;
    let access = access.iter().filter_map(|(_, digest, expires)| Key::read(digest, *expires)).collect();
    Ok(row.and_then(|row| token(row, access)))
}

fn token(row: TokenRow, access: Vec<Key>) -> Option<Token> {
    let (
        id,
        digest,
        kind,
        owner,
        name,
        workspace,
        ceiling,
        scopes,
        created,
        created_by,
        expires,
        revoked,
        revoked_by,
        last_used,
        addresses,
    ) = row;
    Token::loaded(
        token::Row {
            id,
            digest,
            kind,
            owner,
            name,
            workspace,
            ceiling,
            scopes,
            created,
            created_by,
            expires,
            revoked,
            revoked_by,
            last_used,
            addresses,
        },
        access,
    )
}

/// What other tables say of a user.
#[derive(Debug, Default)]
struct Bound {
    identities: Vec<Binding>,
    vouched: Vec<GroupName>,
    owners: Vec<Subject>,
}

fn user(row: UserRow, bound: Bound, mut groups: Vec<GroupName>) -> Result<User, StoreFault> {
    let (id, name, admin, disabled, created, kind) = row;
    let Bound { identities, vouched, owners } = bound;
    let name = UserName::parse(&name).map_err(|error| StoreFault::Corrupt(error.to_string()))?;
    groups.sort_unstable();
    let (admin, disabled) = (admin != 0, disabled != 0);
    let (id, created, service) = (id.unsigned_abs(), created.unsigned_abs(), kind == "service");
    Ok(User { id, name, admin, disabled, created, identities, groups, vouched, service, owners })
}

fn role(row: RoleRow, words: &mut Words) -> Result<Role, StoreFault> {
    let (id, workspace, name, description, owner_kind, owner, created, by) = row;
    let owner = match (owner_kind, owner) {
        (Some(kind), Some(owner)) => Some(subject_of(&kind, &owner)?),
        _ => None,
    };
    Ok(Role {
        id: RoleId(id.unsigned_abs()),
        workspace: words.workspace(&workspace)?,
        name: RoleName::parse(&name).map_err(|error| StoreFault::Corrupt(error.to_string()))?,
        description: Arc::from(description),
        owner,
        created: created.unsigned_abs(),
        by: words.shared(&by),
    })
}

fn grant(row: GrantRow, words: &mut Words) -> Result<GrantRecord, StoreFault> {
    let (id, workspace, subject_kind, subject, kind, form, pattern, permission, expires, created, by) = row;
    let unreadable = || StoreFault::Corrupt(format!("a grant of {subject_kind} `{subject}` cannot be read"));
    let permission = Permission::from_str(&permission).map_err(|_| unreadable())?;
    let (kind, pattern) = words.on(&kind, &form, &pattern).ok_or_else(unreadable)?;
    let grant = Grant { subject: words.subject(&subject_kind, &subject)?, kind, pattern, permission };
    Ok(GrantRecord {
        id: id.unsigned_abs(),
        workspace: words.workspace(&workspace)?,
        grant,
        expires: expires.map(i64::unsigned_abs),
        created: created.unsigned_abs(),
        by: words.shared(&by),
    })
}

fn assignment(row: AssignmentRow, words: &mut Words) -> Result<Assignment, StoreFault> {
    let (id, role, kind, name, expires, created, by) = row;
    Ok(Assignment {
        id: id.unsigned_abs(),
        role: RoleId(role.unsigned_abs()),
        to: words.subject(&kind, &name)?,
        expires: expires.map(i64::unsigned_abs),
        created: created.unsigned_abs(),
        by: words.shared(&by),
    })
}

fn rule(row: RuleRow, words: &mut Words) -> Result<CreateRule, StoreFault> {
    let (id, workspace, subject_kind, subject, kind, form, pattern, expires, created, by) = row;
    let unreadable = || StoreFault::Corrupt(format!("a rule of {subject_kind} `{subject}` cannot be read"));
    let (kind, pattern) = words.on(&kind, &form, &pattern).ok_or_else(unreadable)?;
    Ok(CreateRule {
        id: id.unsigned_abs(),
        workspace: words.workspace(&workspace)?,
        subject: words.subject(&subject_kind, &subject)?,
        kind,
        pattern,
        expires: expires.map(i64::unsigned_abs),
        created: created.unsigned_abs(),
        by: words.shared(&by),
    })
}

/// Words that come again and again are kept once.
#[derive(Debug, Default)]
struct Words {
    texts: HashSet<Arc<str>>,
    workspaces: HashMap<String, WorkspaceName>,
    groups: HashMap<String, GroupName>,
    last: Option<(String, String, Subject)>,
}

impl Words {
    fn shared(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = Arc::from(text);
        self.texts.insert(Arc::clone(&new));
        new
    }

    fn workspace(&mut self, name: &str) -> Result<WorkspaceName, StoreFault> {
        if let Some(known) = self.workspaces.get(name) {
            return Ok(known.clone());
        }
        let new = WorkspaceName::parse(name).map_err(|error| StoreFault::Corrupt(error.to_string()))?;
        self.workspaces.insert(name.to_owned(), new.clone());
        Ok(new)
    }

    fn group(&mut self, name: &str) -> Result<GroupName, StoreFault> {
        if let Some(known) = self.groups.get(name) {
            return Ok(known.clone());
        }
        let new = GroupName::parse(name).map_err(|error| StoreFault::Corrupt(error.to_string()))?;
        self.groups.insert(name.to_owned(), new.clone());
        Ok(new)
    }

    /// Adds the groups that an issuer named to those that others did.
    fn vouched(&mut self, text: &str, groups: &mut Vec<GroupName>) -> Result<(), StoreFault> {
        if text == "[]" {
            return Ok(());
        }
        let names: Vec<String> =
            serde_json::from_str(text).map_err(|_| StoreFault::Corrupt("the groups of an identity".to_owned()))?;
        for name in names {
            let group = self.group(&name)?;
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        Ok(())
    }

    fn subject(&mut self, kind: &str, name: &str) -> Result<Subject, StoreFault> {
        if let Some((known_kind, known_name, subject)) = &self.last
            && known_kind == kind
            && known_name == name
        {
            return Ok(subject.clone());
        }
        let subject = subject_of(kind, name)?;
        self.last = Some((kind.to_owned(), name.to_owned(), subject.clone()));
        Ok(subject)
    }

    fn on(&mut self, kind: &str, form: &str, pattern: &str) -> Option<(Kind, Pattern)> {
        let kind = Kind::from_str(kind).ok()?;
        let pattern = match pattern_of(form, pattern)? {
            Pattern::Exactly(id) => Pattern::Exactly(self.shared(&id)),
            Pattern::Prefix(prefix) => Pattern::Prefix(self.shared(&prefix)),
            Pattern::Glob(text) => Pattern::Glob(self.shared(&text)),
        };
        Some((kind, pattern))
    }
}
