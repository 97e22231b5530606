//! What happens to the answer on its way back?

use super::Switch;
use crate::mlflow::resource::Kind;

/// How the answer is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Passed on as it streams.
    Stream,
    /// Only the visible elements of a list are kept, short pages are filled from the next one.
    Keep(List),
    /// Links to objects that the caller may not see are taken out (`run_id` of a model version, ...).
    Hide(&'static [Link]),
    /// The answer must be about the very object that was judged, since the request named it by something that can
    /// change between the look-up and the call (an experiment's name).
    Confirm {
        /// What was judged.
        kind: Kind,
        /// Where its id stands in the answer, e.g. `experiment.experiment_id`.
        id: &'static str,
    },
    /// The answer to a GraphQL document: what it may hold depends on the document, which is asked anew, so that only what
    /// the caller may see is searched and every object tells which one it is (`mlflow::graphql`).
    GraphQl(Graph),
    /// This JSON, by ourselves; MLflow is not asked. For what the UI's pages ask by themselves of a part that stays
    /// closed: the words with which MLflow says that the part is not in use. A refusal would stand on every page.
    Ours(&'static str),
    /// The same, but administrators, and whoever may use everything of the kind, get MLflow's own answer.
    OursUnless(&'static str, Option<Kind>),
    /// What the server offers, by which clients and pages go: each of these members becomes `false` where the setting
    /// that it hangs on is off, since what it leads to is refused then.
    Offers(&'static [Offer]),
    /// By Trackgate, from its own store (`api`): MLflow is not asked.
    Served,
    /// MLflow's one page, with a script of ours besides for whoever can sign out: its own log-out is for passwords.
    Shell,
}

/// Something that the server says it can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// The member of the answer that says so.
    pub member: &'static str,
    /// The setting without which it cannot be had here.
    pub with: Switch,
}

/// As what the objects in a GraphQL answer are judged: the lists of the REST calls that answer the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Graph {
    /// Runs.
    pub runs: List,
    /// Versions of registered models and prompts.
    pub versions: List,
}

/// A list in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct List {
    /// Name of the member that holds the list, e.g. `experiments`.
    pub member: &'static str,
    /// What each element is, or lies in.
    pub kind: Kind,
    /// Where its id stands in the element, e.g. `info.experiment_id`.
    pub id: &'static str,
    /// The element itself, where it lies in the thing above and grants can speak of it too.
    pub own: Option<Own>,
    /// Links that are taken out of each element that is kept; [`Link::at`] begins at the element.
    pub links: &'static [Link],
    /// Whether the endpoint pages with `max_results`, `page_token` and `next_page_token`.
    pub paged: Option<Paging>,
}

impl List {
    /// Where a row's own name stands, of a list of experiments themselves.
    #[must_use]
    pub fn names_itself(&self) -> Option<&'static str> {
        (self.kind == Kind::Experiment && self.own.is_none() && self.member == "experiments").then_some("name")
    }
}

/// An element that lies in an experiment or a registered model, and is something itself: a run, a logged model, a
/// model version. It is judged by both, as single reads are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Own {
    /// What it is.
    pub kind: Kind,
    /// Where its id stands in the element: one path, or several whose values are joined by `/` (`name`, `version`).
    pub id: &'static [&'static str],
}

/// How a paged endpoint can be asked for less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paging {
    /// MLflow's own default for `max_results`; 0 where MLflow refuses a request without it (experiments/search).
    pub default: u32,
    /// The largest `max_results` that MLflow takes.
    pub most: u32,
    /// Attribute that the `filter` takes with `IN (...)` since MLflow 3.17.0, e.g. `experiment_id` or `name`.
    pub narrow_by: Option<&'static str>,
}

/// A link from an object to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Where it stands, e.g. `model_version.run_id` or `run.inputs.model_inputs[].model_id`. For a
    /// [`Kind::ModelVersion`] an object with `name` and `version` stands there (`registered_model.latest_versions[]`).
    pub at: &'static str,
    /// What it points to.
    pub kind: Kind,
    /// What is taken out.
    pub cut: Cut,
}

/// What is taken out where a link points to something hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The id alone: it becomes an empty string, which is what protobuf reads for an absent one.
    Value,
    /// The whole element of the innermost list that the link stands in: it is nothing but the link.
    Element,
    /// The whole answer, which is refused: the request named the object by something that is no id (an alias).
    Answer,
    /// The id, and these members beside it, which tell of the same thing. An object is cut by its place.
    Along(&'static [&'static str]),
    /// The link is the *name* of a gateway endpoint, and the whole element goes unless the caller may use that.
    NotUsable,
    /// The link is a tag of this key, whose value is a JSON list of versions: the hidden ones are taken out.
    Tag(&'static str),
    /// The same, where tags are members of one object and not a list of pairs.
    TagMember(&'static str),
    /// The link is the member of this name, in an object that may have any members: it goes whole.
    Member(&'static str),
    /// The link is the value of the pair with this key, in a list of pairs: the pair goes.
    Pair(&'static str),
    /// A number of things of the kind, whoever may see them: it becomes `null`, unless the caller sees every one.
    Count,
    /// The whole element, an assessment, which lies in the experiment whose id stands there (from the root of the answer,
    /// or from the row of a list).
    Within(&'static str),
}
