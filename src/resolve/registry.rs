//! Is a name of the registry a model's or a prompt's?
//!
//! MLflow keeps prompts among the registered models, under one set of names, and tells them apart by a tag that is stored
//! with the name (3.17.2, `server/auth/__init__.py` `_request_targets_prompt`): what a request says of it counts for
//! nothing. Each is granted by a kind of its own.
//!
//! The tag can change, and a name can be used again for the other kind: nothing is remembered beyond one request. Nothing
//! is asked where the answer cannot matter: for administrators, and for whoever may, or may not, whichever it is; but for
//! calls that give and take permissions on it ([`Resolved::apart`]).

use std::sync::Arc;

use super::check::RESERVED;
use super::{Ask, ResolveFault, Resolved, Resolver};
use crate::access::decide::{Requirement, holds};
use crate::access::identity::Principal;
use crate::mlflow::permission::Action;
use crate::mlflow::resource::{Home, Kind, Resource};

/// A new thing of the registry, with the values of the tag that would make it a prompt's. MLflow takes any spelling of
/// `true` (3.17.2, `server/auth/__init__.py` `_entity_is_prompt`).
pub(super) fn new_named(kind: Kind, name: Option<&str>, marks: &[Arc<str>], resolved: &mut Resolved) {
    let name = name.unwrap_or_default();
    let mut not_denied = |kind: Kind| {
        let id = match kind.home() {
            Home::Named(_) => format!("{name}/").into(),
            Home::Workspace | Home::Experiment => Arc::from(name),
        };
        resolved.ask(Requirement::NotDenied(Resource::top(kind, id)));
    };
    kinds(kind, marks).into_iter().for_each(&mut not_denied);
}

/// The right to make it, whatever the tag makes of it.
pub(super) fn create(
    kind: Kind,
    name: Option<&str>,
    marks: &[Arc<str>],
    workspace: &Resource,
    resolved: &mut Resolved,
) {
    resolved.name(workspace);
    for kind in kinds(kind, marks) {
        let name = Arc::from(name.unwrap_or_default());
        resolved.ask(Requirement::Creates { kind, name, workspace: workspace.clone() });
    }
}

/// What a new thing may turn out to be. A mark that says neither yes nor no leaves both.
fn kinds(kind: Kind, marks: &[Arc<str>]) -> Vec<Kind> {
    let yes = |mark: &Arc<str>| mark.eq_ignore_ascii_case("true");
    match kind.as_prompt() {
        Some(prompt) if !marks.is_empty() && marks.iter().all(yes) => vec![prompt],
        Some(prompt) if !marks.is_empty() => vec![prompt, kind],
        _ => vec![kind],
    }
}

impl Resolver {
    /// `action` on a thing that lies in the workspace alone or is named below such a one; a name of the registry is
    /// judged as what it is.
    pub(super) async fn hold_named<A: Ask>(
        &self,
        action: Action,
        resource: Option<Resource>,
        upstream: &A,
        resolved: &mut Resolved,
    ) -> Result<(), ResolveFault> {
        let prompt = resource.as_ref().and_then(Resource::as_prompt);
        let (Some(model), Some(prompt), Some(asker)) = (&resource, prompt, resolved.asker.clone()) else {
            resolved.hold_or_miss(action, resource);
            return Ok(());
        };
        let as_model = holds(&asker, action, model).is_ok();
        let as_prompt = holds(&asker, action, &prompt).is_ok();
        if as_model == as_prompt && !(as_model && resolved.apart && !model.object.is_nameless()) {
            resolved.hold_or_miss(action, resource);
            return Ok(());
        }
        let name = Arc::clone(&model.within.as_ref().unwrap_or(&model.object).id);
        match self.kind_of(&name, upstream, resolved).await? {
            // What is given on something that is not there yet is given on what was named.
            None if as_model && as_prompt => resolved.hold_or_miss(action, resource),
            Some(Kind::Prompt) if as_prompt => resolved.hold(action, prompt),
            Some(Kind::RegisteredModel) if as_model => resolved.hold_or_miss(action, resource),
            // Hidden and absent look alike: MLflow is asked neither.
            _ => resolved.ask(Requirement::NoName(name)),
        }
        Ok(())
    }

    /// A new version that calls itself a prompt's becomes one of a prompt, and no other does: lists tell the two apart by
    /// the version's own tag.
    pub(super) async fn check_marked<A: Ask>(
        &self,
        name: &str,
        marked: bool,
        upstream: &A,
        resolved: &mut Resolved,
    ) -> Result<(), ResolveFault> {
        let as_model = Resource::top(Kind::RegisteredModel, Arc::from(name));
        let may = |asker: &Principal| {
            let edits = |resource: &Resource| holds(asker, Action::Edit, resource).is_ok();
            edits(&as_model) || as_model.as_prompt().is_some_and(|prompt| edits(&prompt))
        };
        // Whoever may not write to it in any case is refused for that.
        if !resolved.asker.as_ref().is_some_and(|asker| !asker.admin && may(asker)) {
            return Ok(());
        }
        let prompt = match self.kind_of(&Arc::from(name), upstream, resolved).await? {
            Some(kind) => kind == Kind::Prompt,
            // MLflow refuses a version of nothing.
            None => marked,
        };
        if prompt != marked {
            resolved.ask(Requirement::Admin(RESERVED));
        }
        Ok(())
    }

    /// What the name is, asked once for each request.
    async fn kind_of<A: Ask>(
        &self,
        name: &Arc<str>,
        upstream: &A,
        resolved: &mut Resolved,
    ) -> Result<Option<Kind>, ResolveFault> {
        if let Some(known) = resolved.registry.get(name) {
            return Ok(*known);
        }
        let kind = Box::pin(self.links.registered(name, upstream)).await?;
        resolved.registry.insert(Arc::clone(name), kind);
        Ok(kind)
    }
}
