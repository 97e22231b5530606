//! What does one request ask, of which objects?

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::MISSING;
use super::turns::Turn;
use crate::access::decide::Requirement;
use crate::access::identity::Principal;
use crate::mlflow::permission::Action;
use crate::mlflow::resource::{Kind, Object, Resource};

/// From how many objects on a repeated one is found by hash.
const FEW: usize = 32;

/// What one request asks, of which objects.
#[derive(Debug, Clone, Default)]
pub struct Resolved {
    /// All of these must hold.
    pub requirements: Vec<Requirement>,
    /// The objects that the request names, for the audit log.
    pub objects: Vec<Object>,
    /// Those of them that MLflow does not have yet, and makes on the way (`Need::OnOrCreate`).
    pub absent: Vec<Object>,
    /// The same, once they are many.
    pub(super) seen: HashSet<Object>,
    /// Who asks, where that is known: what no answer of MLflow's can change is not asked.
    pub(super) asker: Option<Arc<Principal>>,
    /// Whom the call asks about, with the same.
    pub about: Option<Arc<Principal>>,
    /// What the names of the registry that this request names turned out to be; `None` where there is no such thing.
    pub(super) registry: HashMap<Arc<str>, Option<Kind>>,
    /// Whether a name of the registry is looked up even where either kind would be allowed: what is given on it is given
    /// on what it is.
    pub(super) apart: bool,
    /// Where the thing lies that the request names and nothing is demanded on ([`crate::policy::route::Take::Thing`]).
    pub thing: Option<Resource>,
    /// Header fields of the request that MLflow is not to see ([`crate::policy::route::Check::TraceParent`]).
    pub withheld: Vec<&'static str>,
    /// While this is kept, nobody else makes what this request would make ([`turns`]).
    pub(super) turn: Option<Turn>,
}

impl Resolved {
    pub(super) fn ask(&mut self, requirement: Requirement) {
        self.requirements.push(requirement);
    }

    pub(super) fn hold(&mut self, action: Action, resource: Resource) {
        self.name(&resource);
        self.requirements.push(Requirement::Holds { action, resource });
    }

    /// Notes what the request names, for the audit log.
    pub(super) fn name(&mut self, resource: &Resource) {
        for object in resource.levels() {
            if object.kind != Kind::Workspace && !object.is_nameless() && self.is_new(object) {
                self.objects.push(object.clone());
            }
        }
    }

    /// Whether the object was not named before.
    pub(super) fn is_new(&mut self, object: &Object) -> bool {
        if self.objects.len() < FEW {
            return !self.objects.contains(object);
        }
        if self.seen.is_empty() {
            self.seen.extend(self.objects.iter().cloned());
        }
        self.seen.insert(object.clone())
    }

    /// An object that the request names, for the audit log.
    pub(super) fn name_object(&mut self, object: Object) {
        if self.is_new(&object) {
            self.objects.push(object);
        }
    }

    /// No DENY on the object, on what it is named after, nor on every version of it.
    pub(super) fn not_denied(&mut self, kind: Kind, id: &Arc<str>) {
        let resource = Resource::named(kind, id).unwrap_or_else(|| Resource::top(kind, Arc::clone(id)));
        self.name_object(resource.object.clone());
        self.ask(Requirement::NotDenied(resource));
        if let Some(versions) = kind.versions() {
            // A pattern speaks of all of them; one that is not there yet has no id.
            self.ask(Requirement::NotDenied(Resource::top(versions, Arc::from(format!("{id}/")))));
        }
    }

    pub(super) fn hold_or_miss(&mut self, action: Action, resource: Option<Resource>) {
        match resource {
            Some(resource) => self.hold(action, resource),
            None => self.ask(Requirement::Absent(MISSING)),
        }
    }
}
