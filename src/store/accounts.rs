//! Which service accounts are there, and who looks after them?
//!
//! A service account is a user whom no issuer vouches for: it holds grants and is in groups like a person, never signs in,
//! and is recognised by its tokens. Its owners make and revoke these.

use std::sync::Arc;

use super::Store;
use super::changes::{By, Change, Changed};
use super::engine::{Tx, sql};
use super::fault::StoreFault;
use super::holdings::subject_columns;
use super::news::Part;
use super::people::{self, exists};
use super::records::{Binding, User};
use crate::access::grant::Subject;
use crate::access::identity::Identity;
use crate::mlflow::ids::UserName;

impl User {
    /// Whether the issuer has named this user before.
    pub(super) fn is_bound_to(&self, issuer: &Arc<str>) -> bool {
        self.identities.iter().any(|Binding { issuer: known, .. }| known == issuer)
    }
}

impl Store {
    /// Every service account, by name. Walks over all users.
    #[must_use]
    pub fn accounts(&self) -> Vec<Arc<User>> {
        self.users().into_iter().filter(|user| user.service).collect()
    }

    /// Whether somebody looks after the service account `account`: by themselves, or by one of their groups.
    #[must_use]
    pub fn looks_after(&self, identity: &Identity, account: &User) -> bool {
        let own = self.user(&identity.user);
        account.service
            && account.owners.iter().any(|owner| match owner {
                Subject::User(name) => *name == identity.user,
                Subject::Group(name) => {
                    identity.groups.contains(name) || own.as_ref().is_some_and(|user| user.groups.contains(name))
                }
                Subject::Role(_) => false,
            })
    }

    /// Makes a service account.
    ///
    /// # Errors
    /// [`StoreFault::Exists`] where somebody has that name, and what else can befall a database; then there is none.
    pub async fn add_account(&self, account: &UserName, by: By) -> Result<(), StoreFault> {
        self.make(Change::AddAccount(account.clone()), by).await.map(drop)
    }

    /// Removes a service account with its grants and tokens.
    ///
    /// # Errors
    /// [`StoreFault::NoSuch`] where none has that name, and what else can befall a database; then nothing is changed.
    pub async fn remove_account(&self, account: &UserName, by: By) -> Result<Changed, StoreFault> {
        if self.user(account).is_none_or(|user| !user.service) {
            return Err(no_account(account));
        }
        self.remove_user(account, by).await
    }

    /// Makes a user or a group look after a service account.
    ///
    /// # Errors
    /// [`StoreFault::NoSuch`], [`StoreFault::RoleOfRole`] for a role, and what else can befall a database; then nothing
    /// is changed.
    pub async fn add_owner(&self, account: &UserName, owner: &Subject, by: By) -> Result<Changed, StoreFault> {
        self.make(Change::AddOwner(account.clone(), owner.clone()), by).await
    }

    /// Takes an owner away.
    ///
    /// # Errors
    /// As [`Store::add_owner`].
    pub async fn remove_owner(&self, account: &UserName, owner: &Subject, by: By) -> Result<Changed, StoreFault> {
        self.make(Change::RemoveOwner(account.clone(), owner.clone()), by).await
    }
}

fn no_account(account: &UserName) -> StoreFault {
    StoreFault::NoSuch { what: "service account", name: account.to_string() }
}

pub(super) async fn add(t: &mut Tx<'_>, account: &UserName, now: i64) -> Result<u64, StoreFault> {
    let rows = people::add_user(t, account, now).await?;
    if rows == 0 {
        return Err(StoreFault::Exists { what: "user", name: account.to_string() });
    }
    t.run(sql("UPDATE users SET kind = 'service' WHERE name = $1").bind(account.as_str())).await
}

pub(super) async fn add_owner(
    t: &mut Tx<'_>,
    account: &UserName,
    owner: &Subject,
    by: &By,
    now: i64,
) -> Result<u64, StoreFault> {
    known(t, account).await?;
    let (kind, name) = subject_columns(owner);
    match owner {
        Subject::Role(_) => return Err(StoreFault::RoleOfRole),
        // A group may be known to an issuer alone; whoever mistyped a person should hear of it.
        Subject::User(user) => people::known_user(t, user).await?,
        Subject::Group(_) => {}
    }
    t.touch(Part::User(account.clone()));
    let insert = sql("INSERT INTO account_owners (account, owner_kind, owner, created, created_by) \
                      VALUES ($1, $2, $3, $4, $5) ON CONFLICT (account, owner_kind, owner) DO NOTHING");
    t.run(insert.bind(account.as_str()).bind(kind).bind(&*name).bind(now).bind(by.to_string())).await
}

pub(super) async fn remove_owner(t: &mut Tx<'_>, account: &UserName, owner: &Subject) -> Result<u64, StoreFault> {
    known(t, account).await?;
    let (kind, name) = subject_columns(owner);
    t.touch(Part::User(account.clone()));
    let delete = sql("DELETE FROM account_owners WHERE account = $1 AND owner_kind = $2 AND owner = $3");
    t.run(delete.bind(account.as_str()).bind(kind).bind(&*name)).await
}

/// Somebody who goes looks after nothing any more: another of that name may come.
pub(super) async fn drop_owner(t: &mut Tx<'_>, owner: &Subject) -> Result<u64, StoreFault> {
    let (kind, name) = subject_columns(owner);
    let gone = sql("DELETE FROM account_owners WHERE owner_kind = $1 AND owner = $2 RETURNING account");
    let gone: Vec<(String,)> = t.all(gone.bind(kind).bind(&*name)).await?;
    for account in gone.iter().filter_map(|(account,)| UserName::parse(account).ok()) {
        t.touch(Part::User(account));
    }
    Ok(gone.len() as u64)
}

pub(super) async fn known(t: &mut Tx<'_>, account: &UserName) -> Result<(), StoreFault> {
    let found = sql("SELECT id FROM users WHERE name = $1 AND kind = 'service'").bind(account.as_str());
    if exists(t, found).await? { Ok(()) } else { Err(no_account(account)) }
}
