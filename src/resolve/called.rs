//! What are the experiments called that a request is about?
//!
//! Grants on names (`experiment_name team-a/*`) speak of an experiment by what it is called, and only MLflow knows that. It
//! is asked for whom such grants speak to, and for nobody else. Names move: what MLflow said is believed for a second
//! ([`BELIEVED`]), and forgotten at once when a rename passes this gate. A question under way while that happens is not
//! remembered. What cannot be told is a fault: the request is refused.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use http::StatusCode;
use moka::future::Cache;
use serde::Deserialize;

use super::links::{Ask, Miss, ResolveFault, experiment_id, read};
use super::{Known, Resolved, Resolver, SIDE_BY_SIDE};
use crate::access::decide::Requirement;
use crate::access::identity::Principal;
use crate::mlflow::ids::{ExperimentId, WorkspaceName};
use crate::mlflow::permission::{Action, Permission};
use crate::mlflow::resource::{Kind, Resource};

/// How long a name is believed: so long may a rename that did not pass this gate (another replica's, the database's)
/// stay unseen.
pub const BELIEVED: Duration = Duration::from_secs(1);
/// The most names that are remembered.
const MOST_REMEMBERED: u64 = 100_000;
/// Up to how many are asked for one by one.
const FEW: usize = 4;
/// How many go into one question. MLflow's parser takes about 5000 in a filter.
const AT_ONCE: usize = 200;
const NOT_KNOWN: &str = "what a new name changes is not known";

/// An experiment's id, and its name; `None` where there is no such experiment.
pub type Called = (Arc<str>, Option<Arc<str>>);
type Key = (Option<WorkspaceName>, Arc<str>);

/// The names known so far.
#[derive(Clone)]
pub(super) struct Calling {
    known: Cache<Key, Option<Arc<str>>>,
    /// How many renames have passed.
    renames: Arc<AtomicU64>,
}

impl Default for Calling {
    fn default() -> Self {
        let known = Cache::builder().max_capacity(MOST_REMEMBERED).time_to_live(BELIEVED).build();
        Self { known, renames: Arc::default() }
    }
}

/// The grants of anybody in the workspace that speak of an experiment's name, by their numbers: what a rename is judged by.
#[derive(Clone)]
pub struct ByName(Arc<Speak>);

type Speak = dyn Fn(&str) -> BTreeMap<u64, Permission> + Send + Sync;

impl ByName {
    /// Asks `speak` of each name.
    pub fn new(speak: impl Fn(&str) -> BTreeMap<u64, Permission> + Send + Sync + 'static) -> Self {
        Self(Arc::new(speak))
    }
}

impl fmt::Debug for ByName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByName")
    }
}

#[derive(Deserialize)]
struct Found {
    #[serde(default)]
    experiments: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    experiment_id: String,
    name: String,
}

impl Resolver {
    /// What these experiments are called.
    ///
    /// # Errors
    /// [`ResolveFault`] when MLflow cannot tell, or too many would have to be asked for.
    pub async fn called<A: Ask>(
        &self,
        ids: impl IntoIterator<Item = Arc<str>>,
        upstream: &A,
    ) -> Result<Vec<Called>, ResolveFault> {
        let workspace = upstream.workspace().cloned();
        let mut ids: Vec<Arc<str>> = ids.into_iter().filter(|id| ExperimentId::parse(id).is_ok()).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut called = Vec::with_capacity(ids.len());
        let mut unknown = Vec::new();
        for id in ids {
            let key = (workspace.clone(), Arc::clone(&id));
            match self.calling.known.get(&key).await {
                Some(name) => called.push((id, name)),
                None => unknown.push(id),
            }
        }
        if unknown.is_empty() {
            return Ok(called);
        }
        let before = self.calling.renames.load(Ordering::Acquire);
        let found = Box::pin(self.ask_called(unknown, upstream)).await?;
        for (id, name) in &found {
            let key = (workspace.clone(), Arc::clone(id));
            // What was asked before a rename may be the name of before.
            if self.calling.renames.load(Ordering::Acquire) == before {
                self.calling.known.insert(key.clone(), name.clone()).await;
            }
            if self.calling.renames.load(Ordering::Acquire) != before {
                self.calling.known.invalidate(&key).await;
            }
        }
        called.extend(found);
        Ok(called)
    }

    async fn ask_called<A: Ask>(&self, ids: Vec<Arc<str>>, upstream: &A) -> Result<Vec<Called>, ResolveFault> {
        if ids.len() > FEW
            && let Some(found) = self.ask_together(&ids, upstream).await?
        {
            return Ok(found);
        }
        if ids.len() > self.settings.most_look_ups {
            return Err(ResolveFault::TooMany { most: self.settings.most_look_ups });
        }
        futures_util::stream::iter(ids)
            .map(async |id| {
                let name = self.links.experiment_name(&id, upstream).await?;
                Ok((id, name.map(Arc::from)))
            })
            .buffer_unordered(SIDE_BY_SIDE)
            .try_collect()
            .await
    }

    /// Many at once; `None` where the server takes no lists in this filter (before 3.17.0).
    async fn ask_together<A: Ask>(&self, ids: &[Arc<str>], upstream: &A) -> Result<Option<Vec<Called>>, ResolveFault> {
        let target = self.links.target("/api/2.0/mlflow/experiments/search");
        let mut called = Vec::with_capacity(ids.len());
        for some in ids.chunks(AT_ONCE) {
            // Canonical ids alone: nothing in them can end a quoted string.
            let filter = format!("experiment_id IN ('{}')", some.join("','"));
            let body = serde_json::json!({"filter": filter, "max_results": some.len(), "view_type": "ALL"});
            let asked = upstream.ask_many(&target, Bytes::from(body.to_string())).await;
            let asked = asked.map_err(|error| ResolveFault::Upstream(Arc::new(error)))?;
            match asked.status {
                StatusCode::OK => {}
                status if status.is_client_error() => return Ok(None),
                status => return Err(ResolveFault::Status(status)),
            }
            let found: Found = match read(&asked) {
                Ok(found) => found,
                Err(Miss::Fault(fault)) => return Err(fault),
                Err(Miss::Absent | Miss::NoCall) => return Ok(None),
            };
            let mut named = HashMap::new();
            for Row { experiment_id: id, name } in found.experiments {
                let Ok(id) = experiment_id(&id) else {
                    return Err(ResolveFault::Unreadable("it names no experiment"));
                };
                named.insert(id, Arc::from(name));
            }
            called.extend(some.iter().map(|id| (Arc::clone(id), named.get(id).cloned())));
        }
        Ok(Some(called))
    }

    /// Forgets what this experiment is called: it is called otherwise now, or may be.
    pub async fn forget_name(&self, id: &str, workspace: Option<&WorkspaceName>) {
        self.calling.renames.fetch_add(1, Ordering::AcqRel);
        self.calling.known.invalidate(&(workspace.cloned(), Arc::from(id))).await;
    }

    /// Lets the asker know what the experiments of the request are called, where that matters to them.
    pub(super) async fn name_experiments<A: Ask>(
        &self,
        upstream: &A,
        resolved: &mut Resolved,
    ) -> Result<(), ResolveFault> {
        let matters = |who: &Option<Arc<Principal>>| who.as_ref().is_some_and(|who| who.speaks_of_names());
        let lastingly = |requirement: &Requirement| match requirement {
            Requirement::Lastingly { lasting, .. } => matters(lasting),
            _ => false,
        };
        if !matters(&resolved.asker) && !matters(&resolved.about) && !resolved.requirements.iter().any(lastingly) {
            return Ok(());
        }
        let asked = resolved.requirements.iter().filter_map(Requirement::resource);
        let ids: Vec<Arc<str>> = asked.chain(&resolved.thing).filter_map(Resource::experiment).cloned().collect();
        if ids.is_empty() {
            return Ok(());
        }
        let called = self.called(ids, upstream).await?;
        let learn = |who: &mut Option<Arc<Principal>>| {
            if let Some(who) = who.as_mut().filter(|who| who.speaks_of_names()) {
                *who = Arc::new(who.knowing(called.iter().cloned()));
            }
        };
        for requirement in &mut resolved.requirements {
            if let Requirement::Lastingly { lasting, .. } = requirement {
                learn(lasting);
            }
        }
        learn(&mut resolved.asker);
        learn(&mut resolved.about);
        Ok(())
    }

    /// A new name for an experiment, on which EDIT is asked besides. Where another name changes what anybody holds by
    /// name, the rename is a change of permissions:
    ///
    /// - MANAGE on the experiment, for good: whoever renames it gets or gives no more than they hold, and not for longer;
    /// - no DENY on the new name for the caller;
    /// - where it would leave a DENY on names behind, whosever that is, what taking a DENY away takes.
    pub(super) async fn on_rename<A: Ask>(
        &self,
        id: &Arc<str>,
        new: &str,
        known: &Known,
        upstream: &A,
        resolved: &mut Resolved,
    ) -> Result<(), ResolveFault> {
        resolved.new_experiment(new);
        let Some(ByName(speak)) = &known.by_name else {
            // Nobody has looked: what the new name changes is not known.
            resolved.ask(Requirement::Admin(NOT_KNOWN));
            return Ok(());
        };
        // What is judged is what it is called now, not what it was a moment ago.
        let Some(old) = Box::pin(self.links.experiment_name(id, upstream)).await? else {
            // EDIT on it is asked, and MLflow tells the rest.
            return Ok(());
        };
        let (before, after) = (speak(&old), speak(new));
        if before == after {
            return Ok(());
        }
        let from = resolved.requirements.len();
        resolved.hold(Action::Manage, Resource::top(Kind::Experiment, Arc::clone(id)));
        if before.iter().any(|(held, permission)| *permission == Permission::Deny && !after.contains_key(held)) {
            resolved.ask(Requirement::Whole(Kind::ExperimentName));
        }
        super::people::given(from, None, known, resolved);
        Ok(())
    }
}

impl Resolved {
    /// An experiment comes to be called so: the name is not denied to the caller.
    pub(super) fn new_experiment(&mut self, name: &str) {
        // A pattern speaks of no empty name, which MLflow takes for none.
        if !name.is_empty() && self.asker.as_ref().is_some_and(|asker| asker.speaks_of_names()) {
            self.ask(Requirement::NotDenied(Resource::top(Kind::ExperimentName, Arc::from(name))));
        }
    }

    /// Who asks, with what they must know of experiments' names: whoever decides decides for these.
    #[must_use]
    pub fn asker(&self) -> Option<&Arc<Principal>> {
        self.asker.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::Instant;

    use super::*;
    use crate::resolve::Settings;
    use crate::upstream::{Asked, UpstreamError};

    /// An MLflow that has every experiment but 404, each called as `name` says.
    struct Scripted<'a> {
        name: RefCell<String>,
        takes_lists: bool,
        asked: RefCell<Vec<String>>,
        /// A rename that passes while a question is under way.
        meanwhile: Option<&'a Resolver>,
    }

    impl Scripted<'_> {
        fn new(name: &str) -> Self {
            Scripted {
                name: RefCell::new(name.to_owned()),
                takes_lists: true,
                asked: RefCell::default(),
                meanwhile: None,
            }
        }

        fn answer(status: StatusCode, body: &serde_json::Value) -> Asked {
            Asked { status, body: Bytes::from(body.to_string()) }
        }
    }

    impl Ask for Scripted<'_> {
        async fn ask(&self, target: &str) -> Result<Asked, UpstreamError> {
            self.asked.borrow_mut().push(target.to_owned());
            let id = target.rsplit('=').next().unwrap();
            let name = self.name.borrow().clone();
            if let Some(resolver) = self.meanwhile {
                resolver.forget_name(id, None).await;
            }
            Ok(match id {
                "404" => {
                    Self::answer(StatusCode::NOT_FOUND, &serde_json::json!({"error_code": "RESOURCE_DOES_NOT_EXIST"}))
                }
                "500" => Self::answer(StatusCode::INTERNAL_SERVER_ERROR, &serde_json::json!({})),
                _ => Self::answer(
                    StatusCode::OK,
                    &serde_json::json!({"experiment": {"experiment_id": id, "name": name}}),
                ),
            })
        }

        async fn ask_many(&self, target: &str, body: Bytes) -> Result<Asked, UpstreamError> {
            self.asked.borrow_mut().push(target.to_owned());
            if !self.takes_lists {
                return Ok(Self::answer(StatusCode::BAD_REQUEST, &serde_json::json!({})));
            }
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["view_type"], "ALL", "deleted ones have names too");
            let list = body["filter"].as_str().unwrap().split_once('(').unwrap().1.trim_end_matches(')');
            let ids = list.split(',').map(|id| id.trim_matches('\'')).filter(|id| *id != "404");
            let rows: Vec<_> =
                ids.map(|id| serde_json::json!({"experiment_id": id, "name": format!("e{id}")})).collect();
            Ok(Self::answer(StatusCode::OK, &serde_json::json!({"experiments": rows})))
        }
    }

    fn ids(ids: impl IntoIterator<Item = u32>) -> Vec<Arc<str>> {
        ids.into_iter().map(|id| Arc::from(id.to_string())).collect()
    }

    async fn one(resolver: &Resolver, id: u32, mlflow: &Scripted<'_>) -> Option<String> {
        let called = resolver.called(ids([id]), mlflow).await.unwrap();
        assert_eq!(called.len(), 1);
        called[0].1.as_ref().map(ToString::to_string)
    }

    #[tokio::test]
    async fn a_name_is_believed_for_a_moment_and_forgotten_at_once_by_a_rename() {
        let (resolver, mlflow) = (Resolver::new(Settings::default()), Scripted::new("old"));
        assert_eq!(one(&resolver, 7, &mlflow).await.as_deref(), Some("old"));
        *mlflow.name.borrow_mut() = "new".to_owned();
        resolver.forget_name("7", None).await;
        assert_eq!(one(&resolver, 7, &mlflow).await.as_deref(), Some("new"));
        // A rename elsewhere shows within the bound.
        *mlflow.name.borrow_mut() = "elsewhere".to_owned();
        let begun = Instant::now();
        while one(&resolver, 7, &mlflow).await.as_deref() != Some("elsewhere") {
            assert!(begun.elapsed() < BELIEVED + Duration::from_secs(5), "it is believed for longer than stated");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    #[tokio::test]
    async fn what_was_asked_before_a_rename_is_not_remembered() {
        let resolver = Resolver::new(Settings::default());
        let racing = Scripted { meanwhile: Some(&resolver), ..Scripted::new("old") };
        assert_eq!(one(&resolver, 7, &racing).await.as_deref(), Some("old"));
        let after = Scripted::new("new");
        assert_eq!(one(&resolver, 7, &after).await.as_deref(), Some("new"));
    }

    #[tokio::test]
    async fn many_names_cost_one_question_and_what_is_not_there_has_none() {
        let (resolver, mlflow) = (Resolver::new(Settings::default()), Scripted::new("x"));
        let called = resolver.called(ids((1..=150).chain([404])), &mlflow).await.unwrap();
        assert_eq!((called.len(), mlflow.asked.borrow().len()), (151, 1));
        for (id, name) in called {
            assert_eq!(name.as_deref().map(str::to_owned), (&*id != "404").then(|| format!("e{id}")));
        }
        assert_eq!(one(&resolver, 150, &mlflow).await.as_deref(), Some("e150"));
        assert_eq!(mlflow.asked.borrow().len(), 1, "they are remembered");
    }

    #[tokio::test]
    async fn an_old_server_is_asked_one_by_one_and_not_for_too_many() {
        let resolver = Resolver::new(Settings { most_look_ups: 10, ..Settings::default() });
        let mlflow = Scripted { takes_lists: false, ..Scripted::new("x") };
        assert_eq!(resolver.called(ids(1..=10), &mlflow).await.unwrap().len(), 10);
        let fault = resolver.called(ids(20..=31), &mlflow).await.unwrap_err();
        assert!(fault.is_clients_fault(), "{fault}");
    }

    #[tokio::test]
    async fn what_cannot_be_told_is_a_fault_and_what_is_no_id_is_not_asked_for() {
        let (resolver, mlflow) = (Resolver::new(Settings::default()), Scripted::new("x"));
        assert!(resolver.called(ids([500]), &mlflow).await.is_err());
        let odd = ["1') OR ('1", "", "*", "01"].map(Arc::from);
        assert!(resolver.called(odd, &mlflow).await.unwrap().is_empty());
        assert_eq!(mlflow.asked.borrow().len(), 1);
        assert_eq!(one(&resolver, 404, &mlflow).await, None);
    }
}
