//! What does one subject hold, everywhere, and what of it counts now?
//!
//! Each grant is kept once, here. What the decision reads ([`GrantSet`]) is made of it when it is first asked for, and
//! again when the first of its ends has come: nothing that has ended is ever handed out.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::records::{Assignment, CreateRule, GrantRecord, counts};
use crate::access::grant::{Grant, GrantSet, Pattern, Subject};
use crate::mlflow::ids::WorkspaceName;
use crate::mlflow::permission::Permission;
use crate::mlflow::resource::Kind;

/// All that a subject holds.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) subject: Subject,
    /// The name, where the subject is a role.
    role: Option<Arc<str>>,
    /// The roles that the subject has, by number.
    pub(super) assigned: Vec<Assignment>,
    /// By workspace.
    places: Vec<Place>,
}

/// What a subject holds in one workspace.
#[derive(Debug)]
struct Place {
    workspace: WorkspaceName,
    /// By number.
    grants: Vec<Row>,
    rules: Vec<CreateRule>,
    built: ArcSwapOption<Built>,
}

/// A grant without what all of a place have in common: there may be a million.
#[derive(Debug, Clone)]
struct Row {
    id: u64,
    expires: Option<u64>,
    created: u64,
    pattern: Pattern,
    by: Arc<str>,
    kind: Kind,
    permission: Permission,
}

/// What counts until the next of its ends.
#[derive(Debug)]
struct Built {
    until: Option<u64>,
    set: Option<Arc<GrantSet>>,
}

impl Holder {
    pub(super) fn new(subject: Subject, role: Option<Arc<str>>) -> Self {
        Self { subject, role, assigned: Vec::new(), places: Vec::new() }
    }

    /// Adds a grant of this subject.
    pub(super) fn add(&mut self, record: GrantRecord) {
        let GrantRecord { id, workspace, grant, expires, created, by } = record;
        let Grant { kind, pattern, permission, .. } = grant;
        self.place(&workspace).grants.push(Row { id, expires, created, pattern, by, kind, permission });
    }

    /// Adds a rule of what this subject may create.
    pub(super) fn add_rule(&mut self, rule: CreateRule) {
        self.place(&rule.workspace.clone()).rules.push(rule);
    }

    /// Puts everything in its order, once all is added.
    pub(super) fn finish(&mut self) {
        self.assigned.sort_by_key(|assignment| assignment.id);
        self.assigned.shrink_to_fit();
        self.places.shrink_to_fit();
        for place in &mut self.places {
            place.grants.sort_by_key(|row| row.id);
            place.grants.shrink_to_fit();
            place.rules.sort_by_key(|rule| rule.id);
            place.rules.shrink_to_fit();
        }
    }

    /// The same under another name of the role.
    pub(super) fn renamed(&self, role: Option<Arc<str>>) -> Self {
        let places = self.places.iter().map(|place| Place {
            workspace: place.workspace.clone(),
            grants: place.grants.clone(),
            rules: place.rules.clone(),
            built: ArcSwapOption::empty(),
        });
        Self { subject: self.subject.clone(), role, assigned: self.assigned.clone(), places: places.collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.assigned.is_empty() && self.places.is_empty()
    }

    /// What counts in `workspace` at `now`.
    pub(super) fn set(&self, workspace: &WorkspaceName, now: u64) -> Option<Arc<GrantSet>> {
        let at = self.places.binary_search_by(|place| place.workspace.cmp(workspace)).ok()?;
        let place = &self.places[at];
        // INVARIANT: what was built counts no longer than until its first end.
        if let Some(built) = &*place.built.load()
            && counts(built.until, now)
        {
            return built.set.clone();
        }
        let built = Arc::new(self.build(place, now));
        place.built.store(Some(Arc::clone(&built)));
        built.set.clone()
    }

    /// What counts in `workspace` at another time than now: it is not kept.
    pub(super) fn set_at(&self, workspace: &WorkspaceName, at: u64) -> Option<Arc<GrantSet>> {
        let place = self.places.binary_search_by(|place| place.workspace.cmp(workspace)).ok()?;
        self.build(&self.places[place], at).set
    }

    fn build(&self, place: &Place, now: u64) -> Built {
        let mut set = match (&self.subject, &self.role) {
            (Subject::Role(id), Some(name)) => GrantSet::of_role(*id, Arc::clone(name)),
            (subject, _) => GrantSet::new(subject.clone()),
        };
        let mut until: Option<u64> = None;
        let mut any = false;
        let mut still = |expires: Option<u64>| {
            let still = counts(expires, now);
            if still {
                any = true;
                until = until.into_iter().chain(expires).min();
            }
            still
        };
        for row in &place.grants {
            if still(row.expires) {
                set.insert(row.kind, row.pattern.clone(), row.permission);
            }
        }
        for rule in &place.rules {
            if still(rule.expires) {
                set.insert_rule(rule.kind, rule.pattern.clone());
            }
        }
        Built { until, set: any.then(|| Arc::new(set)) }
    }

    /// In which workspaces it holds, or held, anything.
    pub(super) fn workspaces(&self) -> impl Iterator<Item = &WorkspaceName> {
        self.places.iter().map(|place| &place.workspace)
    }

    /// Every grant, those that have ended too.
    pub(super) fn grants(&self) -> impl Iterator<Item = GrantRecord> + '_ {
        self.places.iter().flat_map(|place| place.grants.iter().map(|row| self.record(place, row)))
    }

    /// Number, workspace, kind and pattern of every grant: what is needed to find it again.
    pub(super) fn keys(&self) -> impl Iterator<Item = (u64, (&WorkspaceName, Kind, &Pattern))> {
        self.places
            .iter()
            .flat_map(|place| place.grants.iter().map(|row| (row.id, (&place.workspace, row.kind, &row.pattern))))
    }

    pub(super) fn grant(&self, id: u64) -> Option<GrantRecord> {
        self.places.iter().find_map(|place| {
            let at = place.grants.binary_search_by_key(&id, |row| row.id).ok()?;
            Some(self.record(place, &place.grants[at]))
        })
    }

    pub(super) fn rules(&self) -> impl Iterator<Item = &CreateRule> {
        self.places.iter().flat_map(|place| &place.rules)
    }

    fn record(&self, place: &Place, row: &Row) -> GrantRecord {
        let grant = Grant {
            subject: self.subject.clone(),
            kind: row.kind,
            pattern: row.pattern.clone(),
            permission: row.permission,
        };
        GrantRecord {
            id: row.id,
            workspace: place.workspace.clone(),
            grant,
            expires: row.expires,
            created: row.created,
            by: Arc::clone(&row.by),
        }
    }

    fn place(&mut self, workspace: &WorkspaceName) -> &mut Place {
        let at = match self.places.binary_search_by(|place| place.workspace.cmp(workspace)) {
            Ok(at) => at,
            Err(at) => {
                let (grants, rules) = (Vec::new(), Vec::new());
                let built = ArcSwapOption::empty();
                self.places.insert(at, Place { workspace: workspace.clone(), grants, rules, built });
                at
            }
        };
        &mut self.places[at]
    }
}
