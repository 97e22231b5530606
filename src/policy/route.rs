//! The words that a row of the table is made of.

use crate::mlflow::permission::Action;
use crate::mlflow::resource::Kind;

/// One endpoint: where it is, what it is called, what the caller needs, how the answer is treated, what follows.
#[derive(Debug)]
pub struct Row {
    /// The HTTP method. HEAD is judged as GET.
    pub verb: Verb,
    /// Path template without static prefix and without `/api` or `/ajax-api`; `{name}` takes one segment,
    /// `{*rest}` all that follow.
    pub path: &'static str,
    /// Which prefixes the endpoint is served under.
    pub prefixes: Prefixes,
    /// MLflow's own message or handler name, or ours. Used in the audit log, `explain`, metrics and tests.
    pub name: &'static str,
    /// All of these must hold.
    pub needs: &'static [Need],
    /// What the active workspace is to it.
    pub scope: Scope,
    /// What happens to the answer on its way back.
    pub answer: Answer,
    /// What follows from success.
    pub effect: Effect,
    /// Where the request says who did it: the caller's own name is written there, whatever was sent.
    pub stamps: &'static [Stamp],
    /// What follows besides: a call may make two things.
    pub also: Effect,
    /// No route of MLflow's: a path that its routers would read in another way than its neighbours, kept closed.
    pub guard: bool,
    /// The setting without which nobody may.
    pub behind: Option<Switch>,
    /// How large and how slow a body may be.
    pub body: BodyClass,
    /// The answer is a file that MLflow may have to fetch whole before its first byte (or to delete), or a language
    /// model's: it takes its time.
    pub fetches: bool,
    /// Whether the connection may become a tunnel (WebSocket).
    pub upgrade: bool,
}

/// The methods that rows have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// GET, and HEAD.
    Get,
    /// POST
    Post,
    /// PUT
    Put,
    /// PATCH
    Patch,
    /// DELETE
    Delete,
}

/// Where an endpoint is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefixes {
    /// Under `/api/` and `/ajax-api/`.
    Both,
    /// Under `/api/` alone.
    Api,
    /// Under `/ajax-api/` alone.
    Ajax,
    /// At the root, without either.
    None,
}

/// What the active workspace is to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// It acts in it: to whom the workspace is hidden, the call is.
    Inside,
    /// Nothing: it is answered whatever workspace is named, even one that does not exist.
    Anywhere,
    /// It is about workspaces themselves. Where they are off, there is no such call.
    Workspaces,
}

/// One thing that must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing: strangers may call it too.
    Anyone,
    /// Anybody who is signed in.
    SignedIn,
    /// An administrator, and why.
    Admin(&'static str),
    /// Nobody, and why.
    Nobody(&'static str),
    /// The right to make new objects in the workspace.
    Create,
    /// `action` on the object that `field` names if there is one, else the right to make new objects: MLflow makes it
    /// on the way. `field` as in [`Need::On`].
    OnOrCreate {
        /// What is wanted of one that is there.
        action: Action,
        /// Of which kind it is.
        kind: Kind,
        /// Where its id stands.
        field: &'static str,
    },
    /// `action` on the object of `kind` that `field` names.
    On {
        /// What is wanted.
        action: Action,
        /// Of which kind the named object is.
        kind: Kind,
        /// Where its id stands: `a|b` are aliases of one field, `a[].b` goes into a list, `{a}` is a path capture,
        /// `a/b` is two fields joined by a slash (a model version is named by `name/version`), `graphql.a` is what the
        /// GraphQL document in the body names, `a[k]` the member or the pair named `k` of `a`, `a[*]` the names of
        /// all of them, `header.a` a header field, `otlp.a` what the spans in the body name.
        field: &'static str,
        /// How many ids the field may hold, and what absence means.
        count: Count,
    },
    /// `action` on the experiment, run, model or trace that an artifact path (`1/abc.../artifacts/x`) lies in.
    /// `field` is a path capture or a query parameter.
    OnArtifact {
        /// What is wanted.
        action: Action,
        /// Where the path stands.
        field: &'static str,
    },
    /// `action` on the experiment whose *name* stands in `field`. Refused like MLflow's own 404 for an absent
    /// experiment, since clients rely on it (`set_experiment`), and since a hidden name must look like a free one.
    OnExperimentNamed {
        /// What is wanted.
        action: Action,
        /// Where the name stands.
        field: &'static str,
    },
    /// `action` on everything of `kind`: a grant on `*`.
    OnEvery {
        /// What is wanted.
        action: Action,
        /// On which kind.
        kind: Kind,
    },
    /// `action` on the object whose *name* stands in `field`, where grants speak of ids: MLflow is asked for the id. A
    /// name that nothing has looks like one that is hidden.
    OnNamed {
        /// What is wanted.
        action: Action,
        /// Of which kind the named object is.
        kind: Kind,
        /// Where the name stands.
        field: &'static str,
        /// Whether it may be absent: [`Count::One`] or [`Count::Optional`].
        count: Count,
    },
    /// `action` on what `field` names, which lies where `parent` does: an assessment of a trace, a trace of an
    /// experiment. Nothing but `parent` is looked up.
    Under {
        /// What is wanted.
        action: Action,
        /// Of which kind the named object is.
        kind: Kind,
        /// Where its id stands.
        field: &'static str,
        /// How many ids the field may hold.
        count: Count,
        /// Of which kind `parent` is: an experiment, or something that lies in one.
        of: Kind,
        /// Where the id of that stands.
        parent: &'static str,
    },
    /// Nothing of this kind is denied to the caller by a grant on it: what is counted or deleted unseen may hold it.
    NoneDenied(Kind),
    /// A new thing of the registry: things of `kind` are not denied as such, or those that prompts have in its place if
    /// the tag whose value stands in `mark` makes it a prompt's. A mark that says neither yes nor no asks for both.
    NewNamed {
        /// What it is without the tag.
        kind: Kind,
        /// Where the tag's value stands.
        mark: &'static str,
    },
    /// Things of this kind, as such, are not denied to the caller, who makes a new one: a grant on one id says nothing
    /// of it. With a field, only where that is given.
    NewOf {
        /// What is made.
        kind: Kind,
        /// Where it stands, if it need not be made.
        given: Option<&'static str>,
    },
    /// `action` on the object of `kind` that `field` names; where the settings say so, `least` is enough
    /// (`access.lenient_edit`).
    Lenient {
        /// What is wanted.
        action: Action,
        /// What is enough with the setting.
        least: Action,
        /// Whether it is enough for those alone who made the object.
        own: bool,
        /// Of which kind the named object is.
        kind: Kind,
        /// Where its id stands, as in [`Need::On`].
        field: &'static str,
    },
    /// `action` on the experiment that the thing of `kind` in `field` lies in, whatever is granted on the thing itself.
    OnExperimentOf {
        /// What is wanted.
        action: Action,
        /// Of which kind the named thing is.
        kind: Kind,
        /// Where its id stands.
        field: &'static str,
    },
    /// No DENY on the object of `kind` that `field` names, nor on what it lies in, where there may be no grant on it yet.
    NotDenied {
        /// Of which kind the named object is.
        kind: Kind,
        /// Where its id stands.
        field: &'static str,
    },
    /// A right on the review queue that `field` names: by its id, or by `experiment_id/name`.
    OnQueue {
        /// Which.
        right: QueueRight,
        /// Where its id stands.
        field: &'static str,
    },
    /// EDIT on the experiment for one's own name, `others` on it for another's.
    ForOneself {
        /// Where the name stands.
        field: &'static str,
        /// Where the experiment's id stands.
        experiment: &'static str,
        /// What a name that is not the caller's takes; without, administrators alone may use one.
        others: Option<Action>,
    },
    /// A place where MLflow would trust what the caller writes.
    Checked(Check),
}

/// What somebody may do with a review queue. The experiment must be readable besides
/// (MLflow 3.17.2, `server/auth/__init__.py`, "Review queues & label schemas").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueRight {
    /// See it and its items: MANAGE, or to be one of its reviewers, or its owner with EDIT.
    See,
    /// Change it: MANAGE, or to be its owner with EDIT.
    Change,
    /// Delete it or take items out: MANAGE, or to be the owner, with EDIT, of one that is nobody's own.
    Prune,
    /// Do its work: to be one of its reviewers, with EDIT.
    Work,
}

/// How many ids a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Exactly one; absent or empty is refused with 400.
    One,
    /// None or one; absent means that nothing is asked here.
    Optional,
    /// One or more, each judged; an absent or empty list is refused with 400.
    Each,
    /// Any number, each judged; absent means that nothing is asked here.
    AnyEach,
    /// Any number; those that the caller may not see are cut from the request (`narrow`), never refused.
    Narrowed,
    /// Any number, none judged in the request: each row of the answer is, so that hidden and absent look alike.
    ByRow,
}

/// A value that is looked at for its own sake, not as the id of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// The field must be absent or empty, or lie under an allowed prefix, unless the caller is an administrator
    /// (`artifact_location`).
    ArtifactLocation(&'static str),
    /// A model version's `source`: it must lie under a run or logged model that the caller may read.
    ModelSource(&'static str),
    /// The field must be a model name that can be granted on (so not `*`).
    NewModelName(&'static str),
    /// A tag key or a list of tags which may not be a reserved one (`mlflow.prompt.is_prompt` on an existing model,
    /// `mlflow.artifactLocation`, ...).
    TagKey(&'static str),
    /// The keys of the tags of a new version: the one that says that it is a prompt's must say what the thing is that it
    /// becomes a version of (the request's `name`).
    VersionTags(&'static str),
    /// The same for tags of the run in `run`, whose author is told by one of them: `mlflow.user` may be set to the name
    /// of whoever the run is of, by themselves.
    RunTags {
        /// The run.
        run: &'static str,
        /// Where the keys stand: `tags[].key`, or `key` where the request is the tag itself. Each has its `value` beside it.
        key: &'static str,
    },
    /// The scorer of the gateway guardrail that the field names is run and shown: READ on it.
    GuardrailScorer(&'static str),
    /// Without `experiment_id`, MLflow writes the endpoint's traces to an experiment named `gateway/<endpoint name>`,
    /// whoever's that is: EDIT on it, if there is one. The field holds the new endpoint's name, or the endpoint's id.
    TracedInto(&'static str),
    /// A local path of the caller's, of which MLflow takes the last segment for a file's name: that must be a plain one.
    FileName(&'static str),
    /// A path below an object that was judged by its id: relative and in canonical form, or refused with 400.
    SafePath(&'static str),
    /// Keys of a trace's tags: none by which the server finds the trace's data.
    TraceTags(&'static str),
    /// The same, but for the tag that tells where the trace's artifacts lie: it may be sent back as it is.
    TraceTagsOf {
        /// Where the keys stand.
        tags: &'static str,
        /// Where the value of the one tag stands.
        place: &'static str,
        /// Where the trace's id stands.
        trace: &'static str,
    },
    /// Keys of a trace's metadata: none by which the server counts what the gateway spends.
    TraceMetadata(&'static str),
    /// Trace ids that the caller chose: each is new, or lies in that experiment. MLflow moves a trace that is sent again
    /// (up to 3.17.2, `SqlAlchemyStore.start_trace`), and adds spans to whichever trace they name (`log_spans`).
    NewTraces {
        /// Where the ids stand.
        traces: &'static str,
        /// Where the experiment's id stands.
        experiment: &'static str,
    },
    /// A trace whose artifacts lie where the server puts them: it reads from wherever their tag says.
    TracePlace(&'static str),
    /// A filter or an order of traces: what it asks for must not be denied to the caller, or rows would tell of it.
    TraceFilter(&'static str),
    /// The same, of a list of them.
    TraceFilters(&'static str),
    /// The view of `traces/metrics`: assessments are counted in all but those of traces and spans.
    TraceView(&'static str),
    /// The server makes this one: absent, or empty.
    Ours(&'static str),
    /// Another place than an experiment, which cannot be judged: absent.
    Elsewhere(&'static str),
    /// Every thing that a need with `things` names lies in the experiment that `experiment` names: by its id, or as the
    /// one that the object in a need's field lies in.
    Inside {
        /// The field of the things.
        things: &'static str,
        /// The field of the experiment, or of what lies in it.
        experiment: &'static str,
    },
    /// A filter that can select by something of `kind`, which must not be denied then.
    Selector {
        /// Where the filter stands.
        field: &'static str,
        /// How it says so.
        word: &'static str,
        /// What it selects by.
        kind: Kind,
    },
    /// Of which type a new review queue is. One that is somebody's own is judged by its name, as [`Need::ForOneself`].
    QueueType {
        /// Where the type stands.
        field: &'static str,
        /// Where the name stands.
        name: &'static str,
        /// Where the experiment's id stands.
        experiment: &'static str,
    },
    /// Names of scorers, or serialized scorers that hold one: READ on each that is registered in the experiment.
    Scorers {
        /// Where they stand.
        field: &'static str,
        /// Where the experiment's id stands.
        experiment: &'static str,
    },
    /// An id that the caller may choose for a new thing of this kind: in canonical form, if given.
    NewId {
        /// Where it stands.
        field: &'static str,
        /// Of what.
        kind: Kind,
    },
    /// Somebody whom a review queue is given to: MANAGE on the queue's experiment.
    NewOwner {
        /// Where the name stands.
        field: &'static str,
        /// Where the queue's id stands.
        queue: &'static str,
    },
    /// JSON text that can name models: USE on each gateway endpoint (`gateway:/name`) in it.
    Models(&'static str),
    /// The URI of a prompt, of which a job makes new versions: EDIT on it.
    PromptUri(&'static str),
}

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
    /// The whole element, an assessment, which lies in the experiment whose id stands there (from the root of the answer,
    /// or from the row of a list).
    Within(&'static str),
}

/// What follows from success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// The caller gets MANAGE on the new object.
    Owns {
        /// What was made.
        kind: Kind,
        /// Where its id stands (not read for [`New::IfAbsent`]): `a.b` in the answer, `{a}` in the path or a field of the request, `a/{b}` in two places
        /// ([`Kind::join`]).
        id: &'static str,
        /// When the object is new.
        new: New,
    },
    /// Grants move from the old name to the new one.
    Renames {
        /// What is renamed.
        kind: Kind,
        /// The request's field (or path capture, in braces) that holds the old name, as a need spells it.
        from: &'static str,
        /// That of the new one.
        to: &'static str,
    },
    /// Grants on the object are removed.
    Forgets {
        /// What is gone.
        kind: Kind,
        /// The request's field (or path capture, in braces) that names it, as a need spells it.
        field: &'static str,
        /// A field with which only a part of it goes, a version: then nothing follows.
        unless: Option<&'static str>,
    },
}

/// When is an object that a call answers with a new one? Nobody comes to own what was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum New {
    /// Always: MLflow refuses the call where there is one already.
    Always,
    /// Whatever was not there before the call ([`Need::OnOrCreate`] has looked), if nobody else made it since.
    IfAbsent,
    /// When the number at this place of the answer is 1: it is the first version.
    First(&'static str),
}

/// A place in a body where MLflow takes the word of whoever writes for who did something. It becomes the caller's own
/// name before the request is passed on; all other bytes stay. Places are paths as in [`Need::On`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamp {
    /// A text: it becomes the caller's name, and is added where it is absent (`user_id`, `created_by`). Nothing is
    /// added where an object on the way to it is absent.
    Text(&'static str),
    /// The keys of a list of tags, `{"key": ..., "value": ...}`, as `tags[].key`: the tag with the key `mlflow.user` gets
    /// the caller's name, and is added where it is absent.
    Tags(&'static str),
    /// The same where the tags are the members of an object, which is named.
    Map(&'static str),
    /// A text: it becomes the caller's name where one is given, and is not added (`completed_by`).
    Given(&'static str),
    /// A text that holds JSON itself: an object whose members are tags, or a list of objects that hold such a one in
    /// their member `tags`. Where `mlflow.user` is among them it gets the caller's name; it is not added.
    Json(&'static str),
    /// The `source_id` of an assessment's source: it becomes the caller's name, unless the `source_type` beside it says
    /// that a model or a program speaks.
    Source(&'static str),
}

/// A setting that opens a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// Addresses of a bucket are given out, which lead past this gate until they end.
    Presigned,
}

impl Switch {
    /// The key in the configuration.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Presigned => "access.presigned_artifacts",
        }
    }

    /// Why it is off unless it is set, for whoever is refused.
    #[must_use]
    pub const fn why(self) -> &'static str {
        match self {
            Self::Presigned => {
                "the setting `access.presigned_artifacts` is off, since the address that it answers with leads past this gate"
            }
        }
    }
}

/// How large and how slow a request's body may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyClass {
    /// JSON of ordinary size.
    Json,
    /// `log-batch` and the like.
    LargeJson,
    /// Spans, as OpenTelemetry sends them (OTLP): protobuf or JSON, perhaps compressed.
    Otlp,
    /// Streamed: artifacts.
    Artifact,
}

impl Verb {
    /// The verb of a method; HEAD is judged as GET. Method names are case-sensitive (RFC 9110 section 9.1), though
    /// MLflow takes `get` for GET (measured on 3.17.2).
    #[must_use]
    pub fn of(method: &http::Method) -> Option<Self> {
        match method.as_str() {
            "GET" | "HEAD" => Some(Self::Get),
            "POST" => Some(Self::Post),
            "PUT" => Some(Self::Put),
            "PATCH" => Some(Self::Patch),
            "DELETE" => Some(Self::Delete),
            _ => None,
        }
    }

    /// The method's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

impl std::fmt::Display for Verb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

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

    /// Whether the row is closed to everybody, and why.
    #[must_use]
    pub fn closed(&self) -> Option<&'static str> {
        self.needs.iter().find_map(|need| match need {
            Need::Nobody(why) => Some(*why),
            Need::Anyone
            | Need::SignedIn
            | Need::Admin(_)
            | Need::Create
            | Need::OnOrCreate { .. }
            | Need::On { .. }
            | Need::OnArtifact { .. }
            | Need::OnExperimentNamed { .. }
            | Need::Under { .. }
            | Need::NoneDenied(_)
            | Need::NewOf { .. }
            | Need::NewNamed { .. }
            | Need::OnNamed { .. }
            | Need::OnEvery { .. }
            | Need::Lenient { .. }
            | Need::OnExperimentOf { .. }
            | Need::NotDenied { .. }
            | Need::OnQueue { .. }
            | Need::ForOneself { .. }
            | Need::Checked(_) => None,
        })
    }

    /// Whether strangers may call it.
    #[must_use]
    pub fn open_to_strangers(&self) -> bool {
        self.needs.iter().all(|need| *need == Need::Anyone)
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

/// No DENY on the object in `field`.
pub(in crate::policy) const fn not_denied(kind: Kind, field: &'static str) -> Need {
    Need::NotDenied { kind, field }
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
