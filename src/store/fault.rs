//! How can the store fail, and whom does it refuse?

use std::path::PathBuf;

use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;
use sqlx::postgres::PgDatabaseError;

use crate::access::grant::RoleId;
use crate::mlflow::ids::{RoleName, WorkspaceName};

/// Why a change was not made, or the store not opened. To a client these are all 503.
#[derive(Debug, thiserror::Error)]
pub enum StoreFault {
    /// Another process holds the database for longer than we wait.
    #[error("the database is locked by another process")]
    Locked,
    /// A backup is being put in its place.
    #[error("the store is being restored from a backup")]
    Restoring,
    /// The database's server cannot be reached.
    #[error("the database cannot be reached: {0}")]
    Away(String),
    /// No room on the disk, or the database is at its greatest size.
    #[error("the disk or the database is full")]
    Full,
    /// The file is not a database, or a damaged one.
    #[error("the database is damaged: {0}")]
    Corrupt(String),
    /// The file or its directory cannot be written.
    #[error("the database cannot be written: {0}")]
    ReadOnly(String),
    /// A newer Trackgate has been here.
    #[error("the database has schema {0}, which is newer than this program knows; use the newer program")]
    SchemaNewer(i64),
    /// A migration that was applied is not the one this program has.
    #[error("the database was made by a changed migration {0}")]
    SchemaForeign(i64),
    /// A step of the schema could not be made; the step is one transaction.
    #[error(
        "step {version} of the schema could not be made, and nothing of it is left: {error}. The version of Trackgate from before \
         the upgrade still starts with this database; look at what is in the way, or restore a backup"
    )]
    Unmigrated {
        /// Which step.
        version: i64,
        /// What the database said.
        #[source]
        error: sqlx::Error,
    },
    /// The state directory does not keep others out.
    #[error("the state directory `{}` {why}", path.display())]
    Place {
        /// Which.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// The change did not come to its turn, or to its end, in time; it may still be made.
    #[error("the database did not answer in time")]
    TooSlow,
    /// Too many changes are waiting.
    #[error("too many changes are waiting for the database")]
    Overloaded,
    /// Something is copied into an empty database alone.
    #[error("the database is not empty: there is something in `{0}`")]
    NotEmpty(&'static str),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// What the change is about does not exist.
    #[error("there is no {what} `{name}`")]
    NoSuch {
        /// `user`, `group`, `role`, `grant`, `assignment` or `rule`.
        what: &'static str,
        /// As given.
        name: String,
    },
    /// There is one already, and it is not overwritten.
    #[error("there is a {what} already: {name}")]
    Exists {
        /// `grant`, `role`, `assignment` or `rule`.
        what: &'static str,
        /// Which.
        name: String,
    },
    /// The role stands for what its owner holds: it cannot be changed or given away.
    #[error("role {0} stands for what its owner holds; change what the owner holds")]
    OwnRole(RoleId),
    /// A name of those roles.
    #[error("`{0}` begins with `__`: such names are Trackgate's own")]
    OwnName(RoleName),
    /// More requests are open than one person, or all, may have.
    #[error("too many requests for access are open")]
    TooManyOpen,
    /// One owner has as many tokens as one may have.
    #[error("there are as many tokens as one owner may have; revoke some")]
    TooManyTokens,
    /// Somebody else was faster: the grant is another one by now, or gone.
    #[error("the grant is not what it was when it was looked at")]
    Changed,
    /// Roles have no roles: there are no circles of them.
    #[error("a role is assigned to users and groups, not to roles")]
    RoleOfRole,
    /// A role holds things in its own workspace alone.
    #[error("role {role} holds in workspace {workspace} and nowhere else")]
    Elsewhere {
        /// Which.
        role: RoleId,
        /// Where it holds.
        workspace: WorkspaceName,
    },
    /// What would end before it begins.
    #[error("the end has passed already")]
    EndPassed,
    /// Somebody else changed what a batch of changes was planned on.
    #[error("{0} was changed by somebody else in the meantime; nothing was done")]
    Moved(String),
    /// The name is taken by Trackgate itself.
    #[error("the group `everybody` is Trackgate's own: everybody who signs in is in it")]
    Everybody,
    /// Anything else that the database says.
    #[error("the database failed: {0}")]
    Broken(#[source] sqlx::Error),
}

impl StoreFault {
    /// Whether the change was refused for what it asks, and nothing is wrong with the database.
    #[must_use]
    pub fn about_the_change(&self) -> bool {
        match self {
            Self::NoSuch { .. }
            | Self::Exists { .. }
            | Self::OwnRole(_)
            | Self::OwnName(_)
            | Self::RoleOfRole
            | Self::Elsewhere { .. }
            | Self::EndPassed
            | Self::Moved(_)
            | Self::TooManyOpen
            | Self::TooManyTokens
            | Self::Changed
            | Self::Everybody => true,
            Self::Locked
            | Self::Restoring
            | Self::Away(_)
            | Self::Full
            | Self::Corrupt(_)
            | Self::ReadOnly(_)
            | Self::SchemaNewer(_)
            | Self::SchemaForeign(_)
            | Self::Unmigrated { .. }
            | Self::Place { .. }
            | Self::TooSlow
            | Self::Overloaded
            | Self::NotEmpty(_)
            | Self::Closed
            | Self::Broken(_) => false,
        }
    }
}

/// Why a caller who proved who they are does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PrincipalFault {
    /// Never seen before: `recognise` first.
    #[error("the user was not seen before")]
    Unrecognised,
    /// An administrator disabled the user.
    #[error("the user is disabled")]
    Disabled,
    /// The issuer gave the name to somebody else (another `sub`): refused until an administrator relinks it.
    #[error("the issuer vouches for another subject under this name than before; an administrator must relink it")]
    SubjectChanged,
    /// Whoever made the token is not there any more.
    #[error("the owner of the token was removed")]
    OwnerGone,
    /// The name is that of a service account, which no issuer vouches for.
    #[error("the name is that of a service account, and those are recognised by their tokens alone")]
    ServiceAccount,
    /// The binding names a service account that is not there.
    #[error("the service account that the binding names is not there")]
    AccountGone,
    /// The binding names a person, in whose name nobody acts by another's word.
    #[error("the binding names a person, and bindings are for service accounts")]
    BoundToPerson,
    /// What is in memory may be old: the database has not answered for too long.
    #[error("the store is not known to be current")]
    NotCurrent,
}

/// Why a caller was not recognised.
#[derive(Debug, thiserror::Error)]
pub enum RecogniseFault {
    /// The store knows the caller and refuses.
    #[error(transparent)]
    Refused(#[from] PrincipalFault),
    /// The store cannot say.
    #[error(transparent)]
    Store(#[from] StoreFault),
}

impl From<sqlx::Error> for StoreFault {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => match database.try_downcast_ref::<PgDatabaseError>() {
                Some(postgres) => of_postgres(postgres).unwrap_or(Self::Broken(error)),
                None => of_sqlite(&**database).unwrap_or(Self::Broken(error)),
            },
            sqlx::Error::Io(fault) => Self::Away(fault.to_string()),
            sqlx::Error::Tls(fault) => Self::Away(fault.to_string()),
            sqlx::Error::PoolTimedOut => Self::TooSlow,
            _ => Self::Broken(error),
        }
    }
}

/// By SQLite's result code without its extension (<https://www.sqlite.org/rescode.html>).
fn of_sqlite(error: &dyn DatabaseError) -> Option<StoreFault> {
    match error.code()?.parse::<i32>().ok()? & 0xff {
        // BUSY, LOCKED
        5 | 6 => Some(StoreFault::Locked),
        // FULL
        13 => Some(StoreFault::Full),
        // CORRUPT, NOTADB
        11 | 26 => Some(StoreFault::Corrupt(error.message().to_owned())),
        // PERM, READONLY, CANTOPEN
        3 | 8 | 14 => Some(StoreFault::ReadOnly(error.message().to_owned())),
        _ => None,
    }
}

/// By SQLSTATE (<https://www.postgresql.org/docs/15/errcodes-appendix.html>).
fn of_postgres(error: &PgDatabaseError) -> Option<StoreFault> {
    let said = || error.message().to_owned();
    match error.code() {
        // lock_not_available
        "55P03" => Some(StoreFault::Locked),
        // disk_full
        "53100" => Some(StoreFault::Full),
        // query_canceled, by our own limit
        "57014" => Some(StoreFault::TooSlow),
        // read_only_sql_transaction: a standby
        "25006" => Some(StoreFault::ReadOnly(said())),
        // connection exceptions, admin_shutdown, crash_shutdown, cannot_connect_now, too_many_connections
        code if code.starts_with("08") => Some(StoreFault::Away(said())),
        "57P01" | "57P02" | "57P03" | "57P05" | "25P03" | "53300" => Some(StoreFault::Away(said())),
        // data_corrupted, index_corrupted
        "XX001" | "XX002" => Some(StoreFault::Corrupt(said())),
        _ => None,
    }
}

impl From<MigrateError> for StoreFault {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::VersionMissing(version) | MigrateError::VersionTooNew(version, _) => {
                Self::SchemaNewer(version)
            }
            MigrateError::VersionMismatch(version) | MigrateError::Dirty(version) => Self::SchemaForeign(version),
            MigrateError::Execute(error) => Self::from(error),
            MigrateError::ExecuteMigration(error, version) => match Self::from(error) {
                Self::Broken(error) => Self::Unmigrated { version, error },
                // A full disk or a lock is what it is, whatever was to be done.
                known => known,
            },
            other => Self::Broken(sqlx::Error::Migrate(Box::new(other))),
        }
    }
}
