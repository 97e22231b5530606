//! What must hold before a call is passed on?

use super::people::{RoleRight, What};
use crate::mlflow::permission::Action;
use crate::mlflow::resource::Kind;

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
    /// The same, or a rule by which the caller may make things of `kind` under the name that stands in `name`.
    CreateNamed {
        /// What is made.
        kind: Kind,
        /// Where its name stands.
        name: &'static str,
        /// Where the value of the tag stands that makes it a prompt, as in [`Need::NewNamed`].
        mark: Option<&'static str>,
    },
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
    /// `action` on all things of these kinds in the one that `field` names: what is done to it is done to them. A grant on
    /// all of them decides (`run *`), else what they lie in.
    OnAllIn {
        /// What is wanted.
        action: Action,
        /// Of which kinds the things are.
        kinds: &'static [Kind],
        /// Of which kind the named object is.
        of: Kind,
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
    /// The experiment in `id` gets the name in `to`, if there is one: what grants on names give by it, and take, is
    /// for whoever may give and take that.
    Renames {
        /// Where the experiment's id stands.
        id: &'static str,
        /// Where the new name stands.
        to: &'static str,
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
    /// The caller gives somebody a permission: MANAGE on all that it is about, for as long as it lasts, and not to
    /// themselves.
    Gives {
        /// On what.
        what: What,
        /// Where the name of whoever gets it stands, if the call names one.
        to: Option<&'static str>,
    },
    /// The caller takes a permission from somebody: MANAGE on all that it is about.
    Takes {
        /// On what.
        what: What,
        /// Where the name of whoever loses it stands, if the call names one.
        from: Option<&'static str>,
    },
    /// To be the person whom `field` names.
    Oneself {
        /// Where the name stands.
        field: &'static str,
        /// Whether MANAGE on the workspace is enough besides.
        managers: bool,
    },
    /// To be the one whose tokens the field names (without, one's own), or to look after that service account; and to come
    /// without a token.
    OnTokensOf {
        /// Where the name of their owner stands.
        field: &'static str,
        /// Whether one is made: then it is not for administrators, but of service accounts.
        making: bool,
    },
    /// The same for the owner of the token that the field names.
    OnToken(&'static str),
    /// A right on the role that a call names.
    OnRole {
        /// Which.
        right: RoleRight,
        /// Where its number stands (`role_id`), or that of a permission that it holds (`role_permission_id`).
        field: &'static str,
    },
    /// To have some business in each workspace that `field` names; where it names none, to be an administrator.
    InEach(&'static str),
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
    /// A new skill, by the name and the organization that may stand beside it: neither it nor all versions of it are
    /// denied.
    NewSkill {
        /// Where the name stands.
        name: &'static str,
        /// Where the organization stands.
        organization: &'static str,
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
    /// A filter by which traces are counted: what it compares with must be visible, and what it asks for otherwise must be
    /// all visible. Counts would spell a hidden name out.
    CountFilter(&'static str),
    /// The same, of a list of them.
    CountFilters(&'static str),
    /// The view of `traces/metrics`: assessments are counted in all but those of traces and spans.
    TraceView(&'static str),
    /// The field that asks for an address of the bucket instead of the file (3.18, `?presigned=true`): absent, or `false`, unless
    /// [`Switch::PresignedDownload`](super::Switch) is on.
    Presigned(&'static str),
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
    /// A header field by which the server adds spans to a trace (W3C "Trace Context"). It is left out, unless the trace is
    /// there and the caller may edit it. Administrators send what they like.
    TraceParent(&'static str),
    /// Keys of an assessment's metadata: the one that names the run which made it has one spelling. Deleting that run
    /// deletes the assessment.
    SourceRun(&'static str),
    /// The same, of an assessment that is there: what names another run than before takes the right to delete it, and
    /// EDIT on the run.
    NewSourceRun {
        /// Where the keys stand.
        keys: &'static str,
        /// Where the run's id stands.
        run: &'static str,
        /// Where the assessment's id stands.
        assessment: &'static str,
        /// Where its trace's id stands.
        trace: &'static str,
    },
    /// Names of assessments: one that is an issue's id says that the trace has that issue, which takes EDIT on it.
    IssueNames(&'static str),
    /// Who answers for a model that a job asks: the gateway's endpoint that `model` names, which takes USE; or a provider
    /// with a secret's keys. With the server's own keys, USE on every secret.
    Provider {
        /// Where the provider's name stands.
        provider: &'static str,
        /// Where the model's name stands.
        model: &'static str,
        /// Where the secret's id stands.
        secret: &'static str,
        /// Where the name of an endpoint stands, which takes the place of both.
        endpoint: &'static str,
    },
    /// A registered scorer (`experiment/name`), or a version of it (`experiment/name/version`), that the server will run: USE
    /// on each gateway endpoint that its stored text names, and READ on the version.
    StoredJudge(&'static str),
    /// The same of the scorers whose texts stand in `scorers`, as far as a version of them stands at the same place of
    /// `versions`: the server takes the stored text then.
    StoredJudges {
        /// Where the texts stand.
        scorers: &'static str,
        /// Where the versions stand.
        versions: &'static str,
        /// Where the experiment's id stands.
        experiment: &'static str,
    },
    /// Tags of a trace that is there: the one that tells who made it may say that it was the caller.
    TraceAuthor {
        /// Where the keys stand.
        keys: &'static str,
        /// Where the value of the one tag stands.
        name: &'static str,
    },
    /// A tag whose value is a JSON list of versions: READ on each of them.
    ListedVersions {
        /// The tag's key.
        tag: &'static str,
        /// Of which kind the versions are.
        kind: Kind,
        /// Where the keys stand.
        keys: &'static str,
        /// Where the value of the one tag stands, if the row can read it: else administrators alone may write it.
        value: Option<&'static str>,
    },
}
