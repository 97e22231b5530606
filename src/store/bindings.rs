//! Which rows do bindings have, and which are in force?
//!
//! They are few, and read together. A list that was read twice and says the same stays the very same: what was decided by
//! it still holds.

use std::sync::Arc;

use super::Store;
use super::accounts;
use super::changes::By;
use super::engine::{Tx, sql};
use super::fault::StoreFault;
use super::news::Part;
use crate::access::binding::{Binding, BindingName, Rules};
use crate::mlflow::ids::UserName;

/// A binding, and who made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindingRecord {
    /// What it says.
    pub binding: Arc<Binding>,
    /// Milliseconds since the epoch.
    pub created: u64,
    /// Who made it.
    pub by: Arc<str>,
}

/// All of them, by name.
pub type Bindings = Arc<[BindingRecord]>;

impl Store {
    /// The bindings that are in force, by name. Memory only. As long as none is changed this is the same list, not only an
    /// equal one.
    #[must_use]
    pub fn bindings(&self) -> Bindings {
        self.memory.snapshot.load().bindings()
    }
}

type Row = (String, String, String, String, i64, String, i64, String);

/// Reads all. One that cannot be read is not left out: it could be the second that makes a token ambiguous.
pub(super) async fn all(t: &mut Tx<'_>) -> Result<Bindings, StoreFault> {
    let rows = sql("SELECT name, issuer, audiences, claims, token_groups, account, created, created_by FROM bindings \
                    ORDER BY name");
    let rows: Vec<Row> = t.all(rows).await?;
    rows.into_iter()
        .map(|row| {
            let name = row.0.clone();
            read(row).ok_or_else(|| StoreFault::Corrupt(format!("the binding `{name}` cannot be read")))
        })
        .collect()
}

fn read(row: Row) -> Option<BindingRecord> {
    let (name, issuer, audiences, claims, token_groups, account, created, by) = row;
    let audiences: Vec<String> = serde_json::from_str(&audiences).ok()?;
    let binding = Binding {
        name: BindingName::parse(&name).ok()?,
        issuer: Arc::from(issuer),
        audiences: audiences.into_iter().map(Arc::from).collect(),
        rules: Rules::read(&serde_json::from_str(&claims).ok()?).ok()?,
        token_groups: token_groups != 0,
        account: UserName::parse(&account).ok()?,
    };
    Some(BindingRecord { binding: Arc::new(binding), created: created.unsigned_abs(), by: Arc::from(by) })
}

/// Makes a binding, or changes it, where it is as `was` says.
pub(super) async fn bind(
    t: &mut Tx<'_>,
    new: &Binding,
    was: Option<&Binding>,
    by: &By,
    now: i64,
) -> Result<u64, StoreFault> {
    as_planned(t, &new.name, was).await?;
    // A person's account is bound to nobody.
    accounts::known(t, &new.account).await?;
    t.run(sql("DELETE FROM bindings WHERE name = $1").bind(new.name.as_str())).await?;
    let audiences: Vec<&str> = new.audiences.iter().map(|audience| &**audience).collect();
    let insert =
        sql("INSERT INTO bindings (name, issuer, audiences, claims, token_groups, account, created, created_by) \
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8)");
    let insert = insert.bind(new.name.as_str()).bind(&*new.issuer);
    let insert = insert.bind(serde_json::Value::from(audiences).to_string()).bind(new.rules.to_json().to_string());
    let insert = insert.bind(i64::from(new.token_groups)).bind(new.account.as_str()).bind(now).bind(by.to_string());
    t.log("bind", format!("service account {}", new.account), format!("{} {}: {}", new.name, new.issuer, new.rules));
    t.touch(Part::Bindings);
    t.run(insert).await
}

/// Takes a binding away, where it is as `was` says.
pub(super) async fn unbind(t: &mut Tx<'_>, was: &Binding) -> Result<u64, StoreFault> {
    as_planned(t, &was.name, Some(was)).await?;
    t.log("unbind", format!("service account {}", was.account), was.name.to_string());
    t.touch(Part::Bindings);
    t.run(sql("DELETE FROM bindings WHERE name = $1").bind(was.name.as_str())).await
}

async fn as_planned(t: &mut Tx<'_>, name: &BindingName, was: Option<&Binding>) -> Result<(), StoreFault> {
    let there = all(t).await?;
    let there = there.iter().map(|record| &*record.binding).find(|binding| binding.name == *name);
    if there == was { Ok(()) } else { Err(StoreFault::Moved(format!("the binding {name}"))) }
}

/// Forgets all bindings of an account that goes: another of that name may come.
pub(super) async fn drop_all_of(t: &mut Tx<'_>, account: &UserName) -> Result<u64, StoreFault> {
    let gone = t.run(sql("DELETE FROM bindings WHERE account = $1").bind(account.as_str())).await?;
    if gone > 0 {
        t.touch(Part::Bindings);
    }
    Ok(gone)
}
