//! How is a row written down? The words of `policy/table/`, which the compiler reads.

use super::{
    Answer, BodyClass, Count, Cut, Effect, Graph, Link, List, Need, New, Offer, Prefixes, QueueRight, Row, Scope,
    Stamp, Switch, Take, Verb,
};
use crate::mlflow::permission::Action;
use crate::mlflow::resource::Kind;

impl Row {
    const fn new(verb: Verb, path: &'static str, name: &'static str, needs: &'static [Need]) -> Self {
        assert!(!needs.is_empty(), "a row asks for something");
        Self {
            verb,
            path,
            prefixes: Prefixes::Both,
            name,
            needs,
            scope: Scope::Inside,
            answer: Answer::Stream,
            effect: Effect::None,
            stamps: &[],
            also: Effect::None,
            guard: false,
            takes: &[],
            by_query: false,
            behind: None,
            body: BodyClass::Json,
            fetches: false,
            upgrade: false,
        }
    }

    /// Served under `/ajax-api/` alone.
    pub(in crate::policy) const fn ajax(mut self) -> Self {
        self.prefixes = Prefixes::Ajax;
        self
    }

    /// Served under `/api/` alone.
    pub(in crate::policy) const fn api(mut self) -> Self {
        self.prefixes = Prefixes::Api;
        self
    }

    /// Served at the root.
    pub(in crate::policy) const fn root(mut self) -> Self {
        self.prefixes = Prefixes::None;
        self
    }

    /// Answered whatever workspace is named.
    pub(in crate::policy) const fn anywhere(mut self) -> Self {
        self.scope = Scope::Anywhere;
        self
    }

    /// About workspaces themselves.
    pub(in crate::policy) const fn about_workspaces(mut self) -> Self {
        self.scope = Scope::Workspaces;
        self
    }

    /// Whoever calls it gets MANAGE on what it makes: MLflow refuses to make it twice.
    pub(in crate::policy) const fn owns(self, kind: Kind, id: &'static str) -> Self {
        self.owns_if(kind, id, New::Always)
    }

    /// Whoever calls it gets MANAGE on what it makes, when that is new.
    pub(in crate::policy) const fn owns_if(mut self, kind: Kind, id: &'static str, new: New) -> Self {
        self.effect = Effect::Owns { kind, id, new };
        self
    }

    /// Whoever calls it gets MANAGE on a second thing that it makes, when that is new.
    pub(in crate::policy) const fn also_owns(mut self, kind: Kind, id: &'static str, new: New) -> Self {
        self.also = Effect::Owns { kind, id, new };
        self
    }

    /// The row keeps a path closed that could be read in two ways.
    pub(in crate::policy) const fn guards(mut self) -> Self {
        self.guard = true;
        self
    }

    /// Grants follow the new name.
    pub(in crate::policy) const fn renames(mut self, kind: Kind, from: &'static str, to: &'static str) -> Self {
        self.effect = Effect::Renames { kind, from, to };
        self
    }

    /// Grants end with the object.
    pub(in crate::policy) const fn forgets(mut self, kind: Kind, field: &'static str) -> Self {
        self.effect = Effect::Forgets { kind, field, unless: None };
        self
    }

    /// Grants end with the object, unless `part` of the request names a part of it.
    pub(in crate::policy) const fn forgets_unless(
        mut self,
        kind: Kind,
        field: &'static str,
        part: &'static str,
    ) -> Self {
        self.effect = Effect::Forgets { kind, field, unless: Some(part) };
        self
    }

    /// The caller's own name is written there.
    pub(in crate::policy) const fn stamps(mut self, stamps: &'static [Stamp]) -> Self {
        self.stamps = stamps;
        self
    }

    /// Nobody may without the setting.
    pub(in crate::policy) const fn behind(mut self, switch: Switch) -> Self {
        self.behind = Some(switch);
        self
    }

    /// Only visible elements of the list come back.
    pub(in crate::policy) const fn keeps(mut self, list: List) -> Self {
        self.answer = Answer::Keep(list);
        self
    }

    /// Links to what the caller may not see are taken out.
    pub(in crate::policy) const fn hides(mut self, links: &'static [Link]) -> Self {
        self.answer = Answer::Hide(links);
        self
    }

    /// The answer is what the document asks for, as far as the caller may see it.
    pub(in crate::policy) const fn projects(mut self, graph: Graph) -> Self {
        self.answer = Answer::GraphQl(graph);
        self
    }

    /// The answer must be about what was judged.
    pub(in crate::policy) const fn confirms(mut self, kind: Kind, id: &'static str) -> Self {
        self.answer = Answer::Confirm { kind, id };
        self
    }

    /// We say this by ourselves.
    pub(in crate::policy) const fn says(mut self, json: &'static str) -> Self {
        self.answer = Answer::Ours(json);
        self
    }

    /// We say this by ourselves, except to administrators and to whoever may use everything of the kind.
    pub(in crate::policy) const fn says_unless(mut self, json: &'static str, kind: Option<Kind>) -> Self {
        self.answer = Answer::OursUnless(json, kind);
        self
    }

    /// What it offers holds as far as the settings go.
    pub(in crate::policy) const fn offers(mut self, offers: &'static [Offer]) -> Self {
        self.answer = Answer::Offers(offers);
        self
    }

    /// Trackgate answers by itself, from its store, and takes these fields besides.
    pub(in crate::policy) const fn served(mut self, takes: &'static [Take]) -> Self {
        self.answer = Answer::Served;
        self.takes = takes;
        self
    }

    /// A script of ours goes along.
    pub(in crate::policy) const fn shell(mut self) -> Self {
        self.answer = Answer::Shell;
        self
    }

    /// The fields stand in the query, whatever the method is.
    pub(in crate::policy) const fn by_query(mut self) -> Self {
        self.by_query = true;
        self
    }

    /// The body may be large.
    pub(in crate::policy) const fn large(mut self) -> Self {
        self.body = BodyClass::LargeJson;
        self
    }

    /// The body is OTLP.
    pub(in crate::policy) const fn otlp(mut self) -> Self {
        self.body = BodyClass::Otlp;
        self
    }

    /// The body is a form of our own pages.
    pub(in crate::policy) const fn form(mut self) -> Self {
        self.body = BodyClass::Form;
        self
    }

    /// MLflow may take long over the file before it answers.
    pub(in crate::policy) const fn fetches(mut self) -> Self {
        self.fetches = true;
        self
    }

    /// The body is a file, and streams.
    pub(in crate::policy) const fn file(mut self) -> Self {
        self.body = BodyClass::Artifact;
        self
    }
}

/// A GET row; HEAD is judged by it too.
pub(in crate::policy) const fn get(path: &'static str, name: &'static str, needs: &'static [Need]) -> Row {
    Row::new(Verb::Get, path, name, needs)
}

/// A POST row.
pub(in crate::policy) const fn post(path: &'static str, name: &'static str, needs: &'static [Need]) -> Row {
    Row::new(Verb::Post, path, name, needs)
}

/// A PUT row.
pub(in crate::policy) const fn put(path: &'static str, name: &'static str, needs: &'static [Need]) -> Row {
    Row::new(Verb::Put, path, name, needs)
}

/// A PATCH row.
pub(in crate::policy) const fn patch(path: &'static str, name: &'static str, needs: &'static [Need]) -> Row {
    Row::new(Verb::Patch, path, name, needs)
}

/// A DELETE row.
pub(in crate::policy) const fn delete(path: &'static str, name: &'static str, needs: &'static [Need]) -> Row {
    Row::new(Verb::Delete, path, name, needs)
}

/// `action` on what `field` names, `count` of them.
pub(in crate::policy) const fn on(action: Action, kind: Kind, field: &'static str, count: Count) -> Need {
    Need::On { action, kind, field, count }
}

/// READ on the one object in `field`.
pub(in crate::policy) const fn read(kind: Kind, field: &'static str) -> Need {
    on(Action::Read, kind, field, Count::One)
}

/// READ on the object in `field`, if there is one.
pub(in crate::policy) const fn read_opt(kind: Kind, field: &'static str) -> Need {
    on(Action::Read, kind, field, Count::Optional)
}

/// READ on each object in `field`, of which there is at least one.
pub(in crate::policy) const fn read_each(kind: Kind, field: &'static str) -> Need {
    on(Action::Read, kind, field, Count::Each)
}

/// READ on those objects in `field` that stay: the others are cut from the request.
pub(in crate::policy) const fn narrowed(kind: Kind, field: &'static str) -> Need {
    on(Action::Read, kind, field, Count::Narrowed)
}

/// READ on each object in `field`, if there are any.
pub(in crate::policy) const fn read_any(kind: Kind, field: &'static str) -> Need {
    on(Action::Read, kind, field, Count::AnyEach)
}

/// EDIT on the one object in `field`.
pub(in crate::policy) const fn edit(kind: Kind, field: &'static str) -> Need {
    on(Action::Edit, kind, field, Count::One)
}

/// EDIT on the object in `field`, if there is one.
pub(in crate::policy) const fn edit_opt(kind: Kind, field: &'static str) -> Need {
    on(Action::Edit, kind, field, Count::Optional)
}

/// EDIT on each object in `field`, if there are any.
pub(in crate::policy) const fn edit_any(kind: Kind, field: &'static str) -> Need {
    on(Action::Edit, kind, field, Count::AnyEach)
}

/// The right to delete the one object in `field` (MLflow: MANAGE).
pub(in crate::policy) const fn delete_(kind: Kind, field: &'static str) -> Need {
    on(Action::Delete, kind, field, Count::One)
}

/// The right to delete the one object in `field`; by a setting, EDIT is enough for whoever made it.
pub(in crate::policy) const fn delete_own(kind: Kind, field: &'static str) -> Need {
    Need::Lenient { action: Action::Delete, least: Action::Edit, own: true, kind, field }
}

/// MANAGE on the one object in `field`; by a setting, EDIT is enough.
pub(in crate::policy) const fn manage_one(kind: Kind, field: &'static str) -> Need {
    Need::Lenient { action: Action::Manage, least: Action::Edit, own: false, kind, field }
}

/// MANAGE on the one object in `field`.
pub(in crate::policy) const fn manage(kind: Kind, field: &'static str) -> Need {
    on(Action::Manage, kind, field, Count::One)
}

/// The right to make new things, or those of `kind` under the name in `name`.
pub(in crate::policy) const fn create_named(kind: Kind, name: &'static str) -> Need {
    Need::CreateNamed { kind, name, mark: None }
}

/// The same for a name of the registry: a prompt's if its own tag says so.
pub(in crate::policy) const fn create_registered(kind: Kind, name: &'static str) -> Need {
    Need::CreateNamed { kind, name, mark: Some("tags[mlflow.prompt.is_prompt]") }
}

/// Things of `kind` are not denied as such: a new one is made.
pub(in crate::policy) const fn new_of(kind: Kind) -> Need {
    Need::NewOf { kind, given: None }
}

/// The same for a name of the registry or a version of one: a prompt's if its own tag says so.
pub(in crate::policy) const fn new_named(kind: Kind) -> Need {
    Need::NewNamed { kind, mark: "tags[mlflow.prompt.is_prompt]" }
}

/// The same, if `field` is given.
pub(in crate::policy) const fn new_if(kind: Kind, field: &'static str) -> Need {
    Need::NewOf { kind, given: Some(field) }
}

/// Objects whose rows in the answer are judged, and not the request.
pub(in crate::policy) const fn by_row(kind: Kind, field: &'static str) -> Need {
    on(Action::Read, kind, field, Count::ByRow)
}

/// `action` on the assessment in `field`, of the trace in `trace`.
pub(in crate::policy) const fn assessment(action: Action, field: &'static str, trace: &'static str) -> Need {
    Need::Under { action, kind: Kind::Assessment, field, count: Count::One, of: Kind::Trace, parent: trace }
}

/// `action` on the assessment in `field`, of the trace in `trace`, if one is named.
pub(in crate::policy) const fn assessment_opt(action: Action, field: &'static str, trace: &'static str) -> Need {
    Need::Under { action, kind: Kind::Assessment, field, count: Count::Optional, of: Kind::Trace, parent: trace }
}

/// The right to delete each trace in `field`, of the experiment in `experiment`.
pub(in crate::policy) const fn delete_traces(field: &'static str, experiment: &'static str) -> Need {
    Need::Under {
        action: Action::Delete,
        kind: Kind::Trace,
        field,
        count: Count::AnyEach,
        of: Kind::Experiment,
        parent: experiment,
    }
}

/// `action` on what the artifact path in `field` lies in.
pub(in crate::policy) const fn on_artifact(action: Action, field: &'static str) -> Need {
    Need::OnArtifact { action, field }
}

/// READ on the experiment named in `field`.
pub(in crate::policy) const fn read_named(field: &'static str) -> Need {
    Need::OnExperimentNamed { action: Action::Read, field }
}

/// USE on the one object in `field`.
pub(in crate::policy) const fn use_(kind: Kind, field: &'static str) -> Need {
    on(Action::Use, kind, field, Count::One)
}

/// USE on the object in `field`, if there is one.
pub(in crate::policy) const fn use_opt(kind: Kind, field: &'static str) -> Need {
    on(Action::Use, kind, field, Count::Optional)
}

/// USE on each object in `field`, if there are any.
pub(in crate::policy) const fn use_any(kind: Kind, field: &'static str) -> Need {
    on(Action::Use, kind, field, Count::AnyEach)
}

/// EDIT on each object in `field`, of which there is at least one.
pub(in crate::policy) const fn edit_each(kind: Kind, field: &'static str) -> Need {
    on(Action::Edit, kind, field, Count::Each)
}

/// EDIT on the object in `field`, or the right to make it.
pub(in crate::policy) const fn edit_or_create(kind: Kind, field: &'static str) -> Need {
    Need::OnOrCreate { action: Action::Edit, kind, field }
}

/// USE on the one object named in `field`.
pub(in crate::policy) const fn use_named(kind: Kind, field: &'static str) -> Need {
    Need::OnNamed { action: Action::Use, kind, field, count: Count::One }
}

/// USE on everything of the kind.
pub(in crate::policy) const fn use_every(kind: Kind) -> Need {
    Need::OnEvery { action: Action::Use, kind }
}

/// USE on the object named in `field`, if one is.
pub(in crate::policy) const fn use_named_opt(kind: Kind, field: &'static str) -> Need {
    Need::OnNamed { action: Action::Use, kind, field, count: Count::Optional }
}

/// READ on the object named in `field`, if one is.
pub(in crate::policy) const fn read_named_opt(kind: Kind, field: &'static str) -> Need {
    Need::OnNamed { action: Action::Read, kind, field, count: Count::Optional }
}

/// `action` on the experiment that the thing in `field` lies in.
pub(in crate::policy) const fn on_experiment_of(action: Action, kind: Kind, field: &'static str) -> Need {
    Need::OnExperimentOf { action, kind, field }
}

/// `action` on whatever is of `kinds` in the object of kind `of` in `field`.
pub(in crate::policy) const fn on_all_in(
    action: Action,
    kinds: &'static [Kind],
    of: Kind,
    field: &'static str,
) -> Need {
    Need::OnAllIn { action, kinds, of, field }
}

/// MANAGE on everything of the kind.
pub(in crate::policy) const fn manage_every(kind: Kind) -> Need {
    Need::OnEvery { action: Action::Manage, kind }
}

/// To be the person in `field`.
pub(in crate::policy) const fn oneself(field: &'static str) -> Need {
    Need::Oneself { field, managers: false }
}

/// To be the person in `field`, or to manage the workspace.
pub(in crate::policy) const fn oneself_or_manager(field: &'static str) -> Need {
    Need::Oneself { field, managers: true }
}

/// No DENY on the object in `field`.
pub(in crate::policy) const fn not_denied(kind: Kind, field: &'static str) -> Need {
    Need::NotDenied { kind, field }
}

/// A new name for the experiment in `id`.
pub(in crate::policy) const fn renames(id: &'static str, to: &'static str) -> Need {
    Need::Renames { id, to }
}

/// A right on the review queue in `field`.
pub(in crate::policy) const fn queue(right: QueueRight, field: &'static str) -> Need {
    Need::OnQueue { right, field }
}

/// An administrator, and why.
pub(in crate::policy) const fn admin(why: &'static str) -> Need {
    Need::Admin(why)
}

/// Nobody, and why.
pub(in crate::policy) const fn nobody(why: &'static str) -> Need {
    Need::Nobody(why)
}

/// A link whose id is blanked when the caller may not see what it points to.
pub(in crate::policy) const fn blank(at: &'static str, kind: Kind) -> Link {
    Link { at, kind, cut: Cut::Value }
}

/// An element that is taken out when the caller may not see what it points to.
pub(in crate::policy) const fn drop_(at: &'static str, kind: Kind) -> Link {
    Link { at, kind, cut: Cut::Element }
}

/// A link whose id is blanked, and these members beside it with it.
pub(in crate::policy) const fn along(at: &'static str, kind: Kind, beside: &'static [&'static str]) -> Link {
    Link { at, kind, cut: Cut::Along(beside) }
}

/// An object without which there is no answer.
pub(in crate::policy) const fn whole(at: &'static str, kind: Kind) -> Link {
    Link { at, kind, cut: Cut::Answer }
}

/// A link of the given cut.
pub(in crate::policy) const fn link(at: &'static str, kind: Kind, cut: Cut) -> Link {
    Link { at, kind, cut }
}

/// Tags of which the one with this key lists model versions.
pub(in crate::policy) const fn listed(at: &'static str, key: &'static str) -> Link {
    Link { at, kind: Kind::ModelVersion, cut: Cut::Tag(key) }
}
