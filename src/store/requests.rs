//! Who asks for which permission, and what became of it?
//!
//! A request is words, not a grant: no decision reads it. It is kept whether the thing exists or not, so that asking tells
//! nobody of what is hidden from them. How many may be open is bounded, for one person and in all.
//!
//! Requests are read from the database when somebody looks at them, and are not in memory.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Store;
use super::careful::{self, Seen};
use super::changes::{By, Change};
use super::engine::{Link, Tx, sql};
use super::fault::StoreFault;
use super::holdings::{self, Over, named, until};
use super::keeper::Order;
use super::news::{Part, number};
use crate::access::grant::{Grant, Pattern, Subject};
use crate::mlflow::ids::{UserName, WorkspaceName};
use crate::mlflow::permission::Permission;
use crate::mlflow::resource::Kind;

/// How many requests of one person may be open.
const MOST_OPEN: i64 = 10;
/// How many may be open in all: more than people can look at.
const MOST_IN_ALL: i64 = 10_000;
/// How many of one person's are kept once they are decided.
const KEPT: i64 = 50;

/// Something that somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// In which workspace.
    pub workspace: WorkspaceName,
    /// On what kind of thing.
    pub kind: Kind,
    /// On which one.
    pub object: Arc<str>,
    /// Who asks.
    pub user: UserName,
    /// For how much.
    pub permission: Permission,
    /// In their words.
    pub reason: Arc<str>,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nobody has decided.
    Open,
    /// It was given, perhaps less or for a while.
    Granted,
    /// It was not.
    Declined,
    /// Whoever asked no longer does.
    Withdrawn,
}

impl State {
    /// The word in the table.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Granted => "granted",
            Self::Declined => "declined",
            Self::Withdrawn => "withdrawn",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Open, Self::Granted, Self::Declined, Self::Withdrawn].into_iter().find(|state| state.as_str() == word)
    }
}

/// A request, as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRequest {
    /// Number, never given twice.
    pub id: u64,
    /// What is asked for.
    pub wish: Wish,
    /// What became of it.
    pub state: State,
    /// When it was made, in milliseconds since the epoch.
    pub created: u64,
    /// When it was decided.
    pub decided: Option<u64>,
    /// By whom.
    pub by: Option<Arc<str>>,
    /// What they say to it.
    pub answer: Option<Arc<str>>,
}

/// What is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// So much is given, until then if that is said.
    Grant {
        /// On what: a name of the registry may turn out to be a prompt's.
        kind: Kind,
        /// What the person was seen to hold on just that; `None`: nothing.
        over: Option<Seen>,
        /// How much.
        permission: Permission,
        /// Until when.
        expires: Option<u64>,
    },
    /// Nothing is.
    Decline,
    /// Whoever asked no longer does.
    Withdraw,
}

/// Which requests somebody wants to see.
#[derive(Debug, Clone)]
pub(super) enum Wanted {
    /// One person's own, the newest first.
    Of(UserName),
    /// Open ones, the oldest first, those after a number.
    Open { after: u64, most: u32 },
    /// The one of this number.
    One(u64),
}

impl Store {
    /// Asks for something. Somebody who asks for the same again while it is open says the same once, in the last words.
    ///
    /// # Errors
    /// [`StoreFault::TooManyOpen`], and what else can befall a database; then nothing is changed.
    pub async fn ask(&self, wish: Wish) -> Result<u64, StoreFault> {
        let by = By::User(wish.user.clone());
        Ok(self.done(Change::Ask(Box::new(wish)), by).await?.made)
    }

    /// Decides a request that is open. A grant is made in the same moment, over what the person was seen to hold on just that.
    ///
    /// # Errors
    /// [`StoreFault::NoSuch`] if it is not open, [`StoreFault::Changed`] if the person holds something else by now, [`StoreFault::EndPassed`], and what else can befall a database; then
    /// nothing is changed.
    pub async fn decide(&self, id: u64, verdict: Verdict, answer: &str, by: By) -> Result<(), StoreFault> {
        self.make(Change::Decide { id, verdict, answer: Arc::from(answer) }, by).await.map(drop)
    }

    /// What somebody asked for, the newest first.
    ///
    /// # Errors
    /// What can befall a database.
    pub async fn requests_of(&self, user: &UserName) -> Result<Vec<AccessRequest>, StoreFault> {
        self.requests(Wanted::Of(user.clone())).await
    }

    /// What nobody has decided yet, the oldest first, `most` of those after a number.
    ///
    /// # Errors
    /// What can befall a database.
    pub async fn open_requests(&self, after: u64, most: u32) -> Result<Vec<AccessRequest>, StoreFault> {
        self.requests(Wanted::Open { after, most }).await
    }

    /// The request of this number.
    ///
    /// # Errors
    /// What can befall a database.
    pub async fn request(&self, id: u64) -> Result<Option<AccessRequest>, StoreFault> {
        Ok(self.requests(Wanted::One(id)).await?.pop())
    }

    async fn requests(&self, wanted: Wanted) -> Result<Vec<AccessRequest>, StoreFault> {
        let (reply, done) = oneshot::channel();
        self.orders.try_send(Order::Requests { wanted, reply }).map_err(|_| StoreFault::Overloaded)?;
        match tokio::time::timeout(self.patience, done).await {
            Ok(Ok(found)) => found,
            Ok(Err(_)) => Err(StoreFault::Closed),
            Err(_) => Err(StoreFault::TooSlow),
        }
    }
}

type Row =
    (i64, String, String, String, String, String, String, String, i64, Option<i64>, Option<String>, Option<String>);

/// Reads what somebody wants to see.
pub(super) async fn read(link: &mut Link, wanted: &Wanted) -> Result<Vec<AccessRequest>, StoreFault> {
    let mut t = link.read().await?;
    let query = match wanted {
        Wanted::Of(user) => sql("SELECT id, workspace, kind, object, user_name, permission, reason, state, created, decided, \
             decided_by, answer FROM access_requests WHERE user_name = $1 ORDER BY id DESC LIMIT 100")
        .bind(user.as_str()),
        Wanted::Open { after, most } => sql("SELECT id, workspace, kind, object, user_name, permission, reason, state, \
             created, decided, decided_by, answer FROM access_requests WHERE state = 'open' AND id > $1 ORDER BY id LIMIT $2")
        .bind(*after)
        .bind(u64::from(*most)),
        Wanted::One(id) => sql("SELECT id, workspace, kind, object, user_name, permission, reason, state, created, decided, \
             decided_by, answer FROM access_requests WHERE id = $1")
        .bind(*id),
    };
    let rows: Vec<Row> = t.all(query).await?;
    t.commit().await?;
    rows.into_iter().map(request_of).collect()
}

fn request_of(row: Row) -> Result<AccessRequest, StoreFault> {
    let (id, workspace, kind, object, user, permission, reason, state, created, decided, by, answer) = row;
    let corrupt = || StoreFault::Corrupt(format!("access request {id} cannot be read"));
    let wish = Wish {
        workspace: WorkspaceName::parse(&workspace).map_err(|_| corrupt())?,
        kind: kind.parse().map_err(|_| corrupt())?,
        object: Arc::from(object),
        user: UserName::parse(&user).map_err(|_| corrupt())?,
        permission: permission.parse().map_err(|_| corrupt())?,
        reason: Arc::from(reason),
    };
    Ok(AccessRequest {
        id: id.unsigned_abs(),
        wish,
        state: State::parse(&state).ok_or_else(corrupt)?,
        created: created.unsigned_abs(),
        decided: decided.map(i64::unsigned_abs),
        by: by.map(Arc::from),
        answer: answer.map(Arc::from),
    })
}

/// The number of the request.
pub(super) async fn ask(t: &mut Tx<'_>, wish: &Wish, now: i64) -> Result<u64, StoreFault> {
    let Wish { workspace, kind, object, user, permission, reason } = wish;
    t.touch(Part::Holder(Subject::User(user.clone())));
    let same =
        sql("SELECT id FROM access_requests WHERE state = 'open' AND user_name = $1 AND workspace = $2 AND kind = $3 \
                    AND object = $4");
    let same = same.bind(user.as_str()).bind(workspace.as_str()).bind(kind.as_str()).bind(&**object);
    if let Some((id,)) = t.one::<(i64,)>(same).await? {
        let anew = sql("UPDATE access_requests SET permission = $2, reason = $3 WHERE id = $1");
        t.run(anew.bind(id).bind(permission.as_str()).bind(&**reason)).await?;
        return Ok(id.unsigned_abs());
    }
    let open: Option<(i64,)> = t
        .one(sql("SELECT COUNT(*) FROM access_requests WHERE state = 'open' AND user_name = $1").bind(user.as_str()))
        .await?;
    let all: Option<(i64,)> = t.one(sql("SELECT COUNT(*) FROM access_requests WHERE state = 'open'")).await?;
    if open.is_some_and(|(open,)| open >= MOST_OPEN) || all.is_some_and(|(all,)| all >= MOST_IN_ALL) {
        return Err(StoreFault::TooManyOpen);
    }
    // The oldest that are decided make room.
    let old = sql(
        "DELETE FROM access_requests WHERE user_name = $1 AND state <> 'open' AND id <= (SELECT id FROM access_requests \
                   WHERE user_name = $1 AND state <> 'open' ORDER BY id DESC LIMIT 1 OFFSET $2)",
    );
    t.run(old.bind(user.as_str()).bind(KEPT)).await?;
    let id = number(t, "access_requests").await?;
    let new = sql(
        "INSERT INTO access_requests (id, workspace, kind, object, user_name, permission, reason, state, created) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, 'open', $8)",
    );
    let new = new.bind(id).bind(workspace.as_str()).bind(kind.as_str()).bind(&**object).bind(user.as_str());
    t.run(new.bind(permission.as_str()).bind(&**reason).bind(now)).await?;
    Ok(id)
}

/// How the log tells of it.
pub(super) fn entry(wish: &Wish) -> (&'static str, String, String) {
    ("ask", named(&wish.workspace, wish.kind, &wish.object), format!("{} {}", wish.user, wish.permission))
}

pub(super) async fn decide(
    t: &mut Tx<'_>,
    id: u64,
    verdict: &Verdict,
    answer: &str,
    by: &By,
    now: i64,
) -> Result<u64, StoreFault> {
    let open =
        sql("SELECT id, workspace, kind, object, user_name, permission, reason, state, created, decided, decided_by, \
                    answer FROM access_requests WHERE id = $1 AND state = 'open'");
    let row: Option<Row> = t.one(open.bind(id)).await?;
    let row = row.ok_or_else(|| StoreFault::NoSuch { what: "open request", name: id.to_string() })?;
    let wish = request_of(row)?.wish;
    let object = named(&wish.workspace, wish.kind, &wish.object);
    // Nobody's memory holds requests; what is told of is read anew, and is little.
    t.touch(Part::Holder(Subject::User(wish.user.clone())));
    let state = match verdict {
        Verdict::Grant { kind, over: Some(seen), permission, expires } => {
            careful::change(t, *seen, Some((*permission, *expires)), by, now).await?;
            t.log("accept", named(&wish.workspace, *kind, &wish.object), wish.user.to_string());
            State::Granted
        }
        Verdict::Grant { kind, over: None, permission, expires } => {
            let subject = Subject::User(wish.user.clone());
            let pattern = Pattern::Exactly(Arc::clone(&wish.object));
            let grant = Grant { subject, kind: *kind, pattern, permission: *permission };
            let object = named(&wish.workspace, *kind, &wish.object);
            match holdings::put(t, &wish.workspace, &grant, *expires, by, now, Over::Nothing).await {
                Err(StoreFault::Exists { .. }) => return Err(StoreFault::Changed),
                put => put?,
            };
            t.log("grant", object.clone(), format!("{} {permission}{}", grant.subject, until(*expires)));
            t.log("accept", object, wish.user.to_string());
            State::Granted
        }
        Verdict::Decline => {
            t.log("decline", object, wish.user.to_string());
            State::Declined
        }
        Verdict::Withdraw => {
            t.log("withdraw", object, wish.user.to_string());
            State::Withdrawn
        }
    };
    let update = sql("UPDATE access_requests SET state = $2, decided = $3, decided_by = $4, answer = $5 WHERE id = $1");
    t.run(update.bind(id).bind(state.as_str()).bind(now).bind(by.to_string()).bind(answer)).await
}

/// Forgets what somebody asked for.
pub(super) async fn drop_all_of(t: &mut Tx<'_>, user: &UserName) -> Result<u64, StoreFault> {
    t.run(sql("DELETE FROM access_requests WHERE user_name = $1").bind(user.as_str())).await
}
