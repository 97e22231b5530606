//! What can be changed, and which rows does each change touch?
//!
//! Each change is one transaction, with its line in the table `changes`. Doing one twice is doing it once.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::accounts;
use super::batch::{self, Step};
use super::bindings;
use super::careful::{self, Seen};
use super::engine::{Link, Sql, Tx};
use super::fault::StoreFault;
use super::holdings::{self, Over, named, until};
use super::login::{Fresh, NewCode, NewDevice, Redeemed};
use super::logins;
use super::news::{self, number};
use super::people;
use super::requests::{self, Verdict, Wish};
use super::roles::{self, NewRule};
use super::session::{NewSession, SessionKey};
use super::token::{NewToken, TokenDigest, TokenId, Use};
use super::tokens;
use crate::access::grant::{Grant, Pattern, RoleId, Subject};
use crate::mlflow::ids::{GroupName, RoleName, UserName, WorkspaceName};
use crate::mlflow::permission::Permission;
use crate::mlflow::resource::Kind;

/// Who makes a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// Somebody whose request had it as an effect.
    User(UserName),
    /// The operator at the command line, by the name of the host's account.
    Operator(String),
    /// Policy files, applied by the operator of this name.
    Files(String),
    /// Another program's database, imported by the operator of this name.
    Import(String),
    /// Trackgate itself.
    Trackgate,
}

impl std::fmt::Display for By {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::User(name) => write!(f, "user {name}"),
            Self::Operator(name) => write!(f, "operator {name}"),
            Self::Files(name) => write!(f, "policy-files {name}"),
            Self::Import(name) => write!(f, "import {name}"),
            Self::Trackgate => f.write_str("trackgate"),
        }
    }
}

/// One change.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Recognise { user: UserName, issuer: Arc<str>, subject: Arc<str> },
    AddUser(UserName),
    RemoveUser(UserName),
    SetAdmin(UserName, bool),
    SetDisabled(UserName, bool),
    Relink(UserName),
    AddGroup(GroupName),
    RemoveGroup(GroupName),
    AddMember(GroupName, UserName),
    RemoveMember(GroupName, UserName),
    Grant { workspace: WorkspaceName, grant: Grant, expires: Option<u64>, over: Over },
    AlterGrant { id: u64, permission: Permission, expires: Option<u64> },
    RemoveGrant(u64),
    AlterSeen { seen: Seen, to: Option<(Permission, Option<u64>)> },
    Revoke { workspace: WorkspaceName, subject: Subject, kind: Kind, pattern: Pattern },
    Own { workspace: WorkspaceName, kind: Kind, id: Arc<str>, user: UserName, unless_after: Option<u64> },
    Rename { workspace: WorkspaceName, kind: Kind, old: Arc<str>, new: Arc<str> },
    Forget { workspace: WorkspaceName, kind: Kind, id: Arc<str> },
    CreateRole { workspace: WorkspaceName, name: RoleName, description: Arc<str> },
    UpdateRole { role: RoleId, name: Option<RoleName>, description: Option<Arc<str>> },
    DeleteRole(RoleId),
    Assign { role: RoleId, to: Subject, expires: Option<u64> },
    Unassign { role: RoleId, to: Subject },
    AddRule(NewRule),
    RemoveRule(u64),
    SweepEnded { before: u64 },
    Batch(Arc<[Step]>),
    Ask(Box<Wish>),
    Decide { id: u64, verdict: Verdict, answer: Arc<str> },
    AddAccount(UserName),
    AddOwner(UserName, Subject),
    RemoveOwner(UserName, Subject),
    CreateToken(Box<NewToken>),
    RevokeToken(TokenId),
    RevokeTokensOf(UserName),
    SeenTokens(Vec<(TokenId, Vec<Use>)>),
    SweepTokens { before: u64 },
    Vouch { user: UserName, issuer: Arc<str>, groups: Vec<GroupName> },
    OfferCode(Box<NewCode>),
    RedeemCode { code: TokenDigest, redirect: Arc<str>, challenge: Arc<str>, fresh: Box<Fresh> },
    AwaitDevice(Box<NewDevice>),
    DecideDevice { user_code: Arc<str>, owner: UserName, approve: bool },
    PollDevice { code: TokenDigest, fresh: Box<Fresh> },
    RenewLogin { refresh: TokenDigest, fresh: Box<Fresh> },
    EndLogin { id: TokenId, secret: TokenDigest },
    SweepLogins { before: u64 },
    OpenSession(NewSession),
    EndSession(SessionKey),
    EndSessionsOf(UserName),
    EndAllSessions,
    SeenSessions(Vec<(SessionKey, u64)>),
    SweepSessions { used_before: u64 },
}

/// Whether a change was one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// So many rows.
    Rows(u64),
    /// It was so already.
    Nothing,
}

impl Changed {
    /// Whether anything changed.
    #[must_use]
    pub fn anything(self) -> bool {
        self != Self::Nothing
    }

    fn rows(count: u64) -> Self {
        if count == 0 { Self::Nothing } else { Self::Rows(count) }
    }
}

/// What came of a change.
#[derive(Debug, Clone)]
pub(super) struct Done {
    pub(super) changed: Changed,
    /// The number of what was made, for changes that make something with a number.
    pub(super) made: u64,
    /// The number of the change; `None` where it is no news to anybody.
    pub(super) seq: Option<u64>,
    /// What became of a code or of a refresh token, for changes that use one.
    pub(super) redeemed: Option<Redeemed>,
}

impl Change {
    /// How much longer than others it may take.
    pub(super) fn longer(&self) -> Duration {
        if let Self::Batch(steps) = self { batch::longer(steps) } else { Duration::ZERO }
    }

    /// Makes the change, with its lines in the log and what others must read anew; or nothing.
    pub(super) async fn make(&self, link: &mut Link, wait: Duration, by: &By, now: u64) -> Result<Done, StoreFault> {
        let mut t = link.write(wait).await?;
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let (rows, made) = self.rows(&mut t, by, now).await?;
        let changed = Changed::rows(rows);
        let mut seq = None;
        let redeemed = t.redeemed.take();
        if changed.anything() && self.is_told(&t) {
            let number = number(&mut t, "changes").await?;
            let mut lines = std::mem::take(&mut t.lines);
            lines.extend(self.entry(made));
            write_down(&mut t, &lines, by, now, number).await?;
            news::publish(&mut t, number).await?;
            seq = Some(number);
        }
        if changed.anything() {
            t.commit().await?;
        }
        Ok(Done { changed, made, seq, redeemed })
    }

    /// Whether others must hear of it.
    fn is_told(&self, t: &Tx<'_>) -> bool {
        match self {
            // Uses of sessions and tokens are in the memory of whoever writes them, and others read them from time to time.
            Self::SeenSessions(_) | Self::SeenTokens(_) => false,
            // Codes are in nobody's memory; what becomes of them is.
            Self::OfferCode(_)
            | Self::RedeemCode { .. }
            | Self::AwaitDevice(_)
            | Self::DecideDevice { .. }
            | Self::PollDevice { .. }
            | Self::RenewLogin { .. }
            | Self::EndLogin { .. }
            | Self::SweepLogins { .. } => !t.touched.is_empty(),
            _ => true,
        }
    }

    /// Verb, object and detail of the line in the log; sessions opened and used have their place in the audit log.
    fn entry(&self, made: u64) -> Option<(&'static str, String, String)> {
        let none = String::new;
        Some(match self {
            Self::Recognise { user, issuer, .. } => ("recognise", format!("user {user}"), issuer.to_string()),
            Self::AddUser(user) => ("add", format!("user {user}"), none()),
            Self::RemoveUser(user) => ("remove", format!("user {user}"), none()),
            Self::SetAdmin(user, on) => ("admin", format!("user {user}"), on.to_string()),
            Self::SetDisabled(user, on) => ("disable", format!("user {user}"), on.to_string()),
            Self::Relink(user) => ("relink", format!("user {user}"), none()),
            Self::AddGroup(group) => ("add", format!("group {group}"), none()),
            Self::RemoveGroup(group) => ("remove", format!("group {group}"), none()),
            Self::AddMember(group, user) => ("add-member", format!("group {group}"), user.to_string()),
            Self::RemoveMember(group, user) => ("remove-member", format!("group {group}"), user.to_string()),
            Self::Grant { workspace, grant, expires, .. } => {
                let object = named(workspace, grant.kind, &grant.pattern.to_string());
                ("grant", object, format!("{} {}{}", grant.subject, grant.permission, until(*expires)))
            }
            Self::CreateRole { workspace, name, .. } => {
                ("add", format!("role {made}"), format!("{name} in {workspace}"))
            }
            Self::UpdateRole { role, name, .. } => {
                ("rename", format!("role {role}"), name.as_ref().map(ToString::to_string).unwrap_or_default())
            }
            Self::DeleteRole(role) => ("remove", format!("role {role}"), none()),
            Self::Assign { role, to, expires } => {
                ("assign", format!("role {role}"), format!("{to}{}", until(*expires)))
            }
            Self::Unassign { role, to } => ("unassign", format!("role {role}"), to.to_string()),
            Self::AddRule(rule) => {
                let object = named(&rule.workspace, rule.kind, &rule.pattern.to_string());
                ("add-rule", object, format!("{}{}", rule.subject, until(rule.expires)))
            }
            Self::Revoke { workspace, subject, kind, pattern } => {
                ("revoke", named(workspace, *kind, &pattern.to_string()), subject.to_string())
            }
            Self::Own { workspace, kind, id, user, .. } => ("own", named(workspace, *kind, id), user.to_string()),
            Self::Rename { workspace, kind, old, new } => ("rename", named(workspace, *kind, new), old.to_string()),
            Self::Forget { workspace, kind, id } => ("forget", named(workspace, *kind, id), none()),
            Self::Ask(wish) => requests::entry(wish),
            Self::AddAccount(account) => ("add", format!("service account {account}"), none()),
            Self::AddOwner(account, owner) => ("add-owner", format!("service account {account}"), owner.to_string()),
            Self::RemoveOwner(account, owner) => {
                ("remove-owner", format!("service account {account}"), owner.to_string())
            }
            Self::CreateToken(new) => {
                ("add", format!("token {}", new.id), format!("{}{}", new.owner, until(Some(new.expires))))
            }
            Self::EndSessionsOf(user) => ("end-sessions", format!("user {user}"), none()),
            Self::EndAllSessions => ("end-sessions", "everybody".to_owned(), none()),
            // The first say by themselves what they found, sessions come and go.
            Self::AlterGrant { .. }
            | Self::AlterSeen { .. }
            | Self::RemoveGrant(_)
            | Self::RemoveRule(_)
            | Self::Decide { .. }
            | Self::SweepEnded { .. }
            | Self::Batch(_)
            | Self::RevokeToken(_)
            | Self::RevokeTokensOf(_)
            | Self::SeenTokens(_)
            | Self::SweepTokens { .. }
            | Self::Vouch { .. }
            | Self::OfferCode(_)
            | Self::RedeemCode { .. }
            | Self::AwaitDevice(_)
            | Self::DecideDevice { .. }
            | Self::PollDevice { .. }
            | Self::RenewLogin { .. }
            | Self::EndLogin { .. }
            | Self::SweepLogins { .. }
            | Self::OpenSession(_)
            | Self::EndSession(_)
            | Self::SeenSessions(_)
            | Self::SweepSessions { .. } => {
                return None;
            }
        })
    }

    /// How many rows, and the number of what was made.
    async fn rows(&self, t: &mut Tx<'_>, by: &By, now: i64) -> Result<(u64, u64), StoreFault> {
        let made = match self {
            Self::Grant { workspace, grant, expires, over } => {
                return holdings::put(t, workspace, grant, *expires, by, now, *over).await;
            }
            Self::CreateRole { workspace, name, description } => {
                roles::create(t, workspace, name, description, by, now).await?
            }
            Self::Assign { role, to, expires } => roles::assign(t, *role, to, *expires, by, now).await?,
            Self::AddRule(rule) => roles::add_rule(t, rule, by, now).await?,
            Self::Ask(wish) => requests::ask(t, wish, now).await?,
            _ => return Ok((self.counted(t, by, now).await?, 0)),
        };
        Ok((1, made))
    }

    /// How many rows, where nothing with a number is made.
    async fn counted(&self, t: &mut Tx<'_>, by: &By, now: i64) -> Result<u64, StoreFault> {
        match self {
            Self::Recognise { user, issuer, subject } => people::recognise(t, user, issuer, subject, now).await,
            Self::AddUser(user) => people::add_user(t, user, now).await,
            Self::RemoveUser(user) => {
                let subject = Subject::User(user.clone());
                let held = drop_all_of(t, &subject).await? + requests::drop_all_of(t, user).await?;
                let held = held + tokens::drop_all_of(t, user).await? + accounts::drop_owner(t, &subject).await?;
                let held = held + bindings::drop_all_of(t, user).await?;
                Ok(held + people::remove_user(t, user).await?)
            }
            Self::SetAdmin(user, on) => people::set_admin(t, user, *on).await,
            Self::SetDisabled(user, on) => {
                let ended = if *on { logins::end_all(t, Some(user), by, now).await? } else { 0 };
                Ok(ended + people::set_disabled(t, user, *on).await?)
            }
            Self::Relink(user) => {
                // The name is somebody else's from now on, or was stolen: what the one before made counts no longer.
                let ended = logins::end_all(t, Some(user), by, now).await?;
                Ok(ended + tokens::revoke_all_of(t, user, by, now).await? + people::relink(t, user).await?)
            }
            Self::AddGroup(group) => people::add_group(t, group, now).await,
            Self::RemoveGroup(group) => {
                let subject = Subject::Group(group.clone());
                let held = drop_all_of(t, &subject).await? + accounts::drop_owner(t, &subject).await?;
                Ok(held + people::remove_group(t, group).await?)
            }
            Self::AddMember(group, user) => people::add_member(t, group, user, now).await,
            Self::RemoveMember(group, user) => people::remove_member(t, group, user).await,
            Self::AlterGrant { id, permission, expires } => {
                holdings::change(t, *id, *permission, *expires, by, now).await
            }
            Self::RemoveGrant(id) => holdings::remove(t, *id, now).await,
            Self::AlterSeen { seen, to } => careful::change(t, *seen, *to, by, now).await,
            Self::Revoke { workspace, subject, kind, pattern } => {
                holdings::revoke(t, workspace, subject, *kind, pattern).await
            }
            Self::Own { workspace, kind, id, user, unless_after } => match unless_after {
                Some(after) if holdings::made_by_another(t, workspace, *kind, id, user, *after).await? => Ok(0),
                _ => holdings::own(t, workspace, *kind, id, user, by, now).await,
            },
            Self::Rename { workspace, kind, old, new } => holdings::rename(t, workspace, *kind, old, new).await,
            Self::Forget { workspace, kind, id } => holdings::forget(t, workspace, *kind, id).await,
            Self::UpdateRole { role, name, description } => {
                roles::update(t, *role, name.as_ref(), description.as_deref()).await
            }
            Self::DeleteRole(role) => roles::delete(t, *role).await,
            Self::Unassign { role, to } => roles::unassign(t, *role, to).await,
            Self::RemoveRule(id) => roles::remove_rule(t, *id).await,
            Self::Batch(steps) => batch::run(t, steps, by, now).await,
            Self::SweepEnded { before } => holdings::sweep(t, i64::try_from(*before).unwrap_or(i64::MAX)).await,
            Self::Decide { id, verdict, answer } => requests::decide(t, *id, verdict, answer, by, now).await,
            Self::AddAccount(account) => accounts::add(t, account, now).await,
            Self::AddOwner(account, owner) => accounts::add_owner(t, account, owner, by, now).await,
            Self::RemoveOwner(account, owner) => accounts::remove_owner(t, account, owner).await,
            Self::CreateToken(new) => tokens::create(t, new, by, now).await,
            Self::RevokeToken(id) => tokens::revoke(t, id, by, now).await,
            Self::RevokeTokensOf(owner) => {
                Ok(logins::end_all(t, Some(owner), by, now).await? + tokens::revoke_all_of(t, owner, by, now).await?)
            }
            Self::SeenTokens(seen) => tokens::seen(t, seen).await,
            Self::SweepTokens { before } => tokens::sweep(t, *before).await,
            Self::Vouch { user, issuer, groups } => people::vouch(t, user, issuer, groups).await,
            Self::OfferCode(new) => logins::offer(t, new, now).await,
            Self::RedeemCode { code, redirect, challenge, fresh } => {
                logins::redeem(t, code, redirect, challenge, fresh, now).await
            }
            Self::AwaitDevice(new) => logins::wait(t, new, now).await,
            Self::DecideDevice { user_code, owner, approve } => {
                logins::decide(t, user_code, owner, *approve, now).await
            }
            Self::PollDevice { code, fresh } => logins::poll(t, code, fresh, now).await,
            Self::RenewLogin { refresh, fresh } => logins::renew(t, refresh, fresh, now).await,
            Self::EndLogin { id, secret } => logins::end(t, id, secret, now).await,
            Self::SweepLogins { before } => logins::sweep(t, *before).await,
            Self::OpenSession(new) => people::open_session(t, new, now).await,
            Self::EndSession(key) => people::end_session(t, *key).await,
            Self::EndSessionsOf(user) => {
                Ok(logins::end_all(t, Some(user), by, now).await? + people::end_sessions_of(t, user).await?)
            }
            Self::EndAllSessions => Ok(logins::end_all(t, None, by, now).await? + people::end_all_sessions(t).await?),
            Self::SeenSessions(seen) => people::seen_sessions(t, seen).await,
            Self::SweepSessions { used_before } => people::sweep_sessions(t, now, *used_before).await,
            // These make something with a number.
            Self::Ask(_) | Self::Grant { .. } | Self::CreateRole { .. } | Self::Assign { .. } | Self::AddRule(_) => {
                Ok(0)
            }
        }
    }
}

/// So many lines go in one statement: seven values each, and SQLite takes 32,766.
const LINES: usize = 500;

/// Writes the lines of one change into the log of changes.
async fn write_down(
    t: &mut Tx<'_>,
    lines: &[(&'static str, String, String)],
    by: &By,
    now: i64,
    seq: u64,
) -> Result<(), StoreFault> {
    let by = by.to_string();
    for chunk in lines.chunks(LINES) {
        let row = |n: usize| {
            let at = n * 7;
            let places: Vec<String> = (at + 1..=at + 7).map(|place| format!("${place}")).collect();
            format!("({})", places.join(", "))
        };
        let rows: Vec<String> = (0..chunk.len()).map(row).collect();
        let insert = "INSERT INTO changes (id, at, actor, verb, object, detail, seq) VALUES ";
        let mut insert = Sql::made(format!("{insert}{}", rows.join(", ")));
        for (verb, object, detail) in chunk {
            insert = insert.bind(Uuid::now_v7().to_string()).bind(now).bind(by.as_str());
            insert = insert.bind(*verb).bind(object.as_str()).bind(detail.as_str()).bind(seq);
        }
        t.run(insert).await?;
    }
    Ok(())
}

pub(super) async fn drop_all_of(t: &mut Tx<'_>, subject: &Subject) -> Result<u64, StoreFault> {
    Ok(holdings::drop_all_of(t, subject).await? + roles::drop_all_of(t, subject).await?)
}
