//! Which grants are there, by what they are on, a page at a time?
//!
//! For whoever looks over all of them: read from the database in small pages, so that a million of them is neither copied
//! into memory nor sorted there. What is written meanwhile may be on a later page, or on none.

use tokio::sync::oneshot;

use super::Store;
use super::engine::{Link, sql};
use super::fault::StoreFault;
use super::holdings::{pattern_of, subject_of};
use super::keeper::Order;
use super::records::GrantRecord;
use crate::access::grant::Grant;
use crate::mlflow::ids::WorkspaceName;

/// After which grant a page begins: by kind, form and text of its pattern, and number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct After {
    kind: String,
    form: String,
    pattern: String,
    id: u64,
}

impl After {
    /// The page after this grant.
    #[must_use]
    pub fn record(record: &GrantRecord) -> Self {
        let (form, pattern) = super::holdings::pattern_columns(&record.grant.pattern);
        let kind = record.grant.kind.as_str().to_owned();
        Self { kind, form: form.to_owned(), pattern: pattern.to_owned(), id: record.id }
    }
}

impl Store {
    /// `most` grants of a workspace, by what they are on, those after one. What has ended is not there.
    ///
    /// # Errors
    /// What can befall a database.
    pub async fn grants_after(
        &self,
        workspace: &WorkspaceName,
        after: &After,
        most: u32,
    ) -> Result<Vec<GrantRecord>, StoreFault> {
        let (reply, done) = oneshot::channel();
        let order = Order::Grants { workspace: workspace.clone(), after: after.clone(), most, reply };
        self.orders.try_send(order).map_err(|_| StoreFault::Overloaded)?;
        match tokio::time::timeout(self.patience, done).await {
            Ok(Ok(found)) => found,
            Ok(Err(_)) => Err(StoreFault::Closed),
            Err(_) => Err(StoreFault::TooSlow),
        }
    }
}

type Row = (i64, String, String, String, String, String, String, Option<i64>, i64, String);

pub(super) async fn read(
    link: &mut Link,
    workspace: &WorkspaceName,
    after: &After,
    most: u32,
    now: u64,
) -> Result<Vec<GrantRecord>, StoreFault> {
    let mut t = link.read().await?;
    let query = sql(
        "SELECT id, subject_kind, subject, kind, form, pattern, permission, expires, created, created_by FROM grants \
                     WHERE workspace = $1 AND (kind, form, pattern, id) > ($2, $3, $4, $5) \
                     AND (expires IS NULL OR expires > $6) ORDER BY kind, form, pattern, id LIMIT $7",
    );
    let query = query.bind(workspace.as_str()).bind(after.kind.as_str()).bind(after.form.as_str());
    let query = query.bind(after.pattern.as_str()).bind(after.id).bind(now).bind(u64::from(most));
    let rows: Vec<Row> = t.all(query).await?;
    rows.into_iter().map(|row| record_of(workspace, row)).collect()
}

fn record_of(workspace: &WorkspaceName, row: Row) -> Result<GrantRecord, StoreFault> {
    let (id, subject_kind, subject, kind, form, pattern, permission, expires, created, by) = row;
    let corrupt = || StoreFault::Corrupt(format!("grant {id} cannot be read"));
    let grant = Grant {
        subject: subject_of(&subject_kind, &subject)?,
        kind: kind.parse().map_err(|_| corrupt())?,
        pattern: pattern_of(&form, &pattern).ok_or_else(corrupt)?,
        permission: permission.parse().map_err(|_| corrupt())?,
    };
    Ok(GrantRecord {
        id: id.unsigned_abs(),
        workspace: workspace.clone(),
        grant,
        expires: expires.map(i64::unsigned_abs),
        created: created.unsigned_abs(),
        by: by.into(),
    })
}
