//! Where do the fields of a row stand?
//!
//! A row's words, taken apart once: what is wanted ([`Want`]), in which places it can stand ([`Slot`]), and the shape of
//! the body as far as it must be read ([`Node`]).

use super::form::{Form, HOLDER, NUMBER, form_of, part_form};
use super::shape::Node;
use crate::mlflow::ids::{ExperimentName, GatewayEndpointName, GatewayGuardrailId, ModelName};
use crate::mlflow::resource::Kind;
use crate::policy::classify::capture_name;
use crate::policy::route::{Answer, BodyClass, Check, Count, Effect, Need, Row, Stamp, Take, Verb, What};

/// How the fields of one row are read.
#[derive(Debug)]
pub(in crate::policy) struct Plan {
    pub(in crate::policy) wants_body: bool,
    pub(super) source: Source,
    pub(super) wants: Vec<Want>,
    pub(super) slots: Vec<Slot>,
    pub(super) shape: Node,
}

/// Where MLflow reads fields that are not in the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Nothing,
    Query,
    Body,
    /// A GraphQL document in the body.
    GraphQl,
    /// Spans in the body.
    Otlp,
    /// A form in the body, written as a query is.
    Form,
}

/// A field that a row names.
#[derive(Debug)]
pub(super) struct Want {
    pub(super) field: &'static str,
    pub(super) count: Count,
    /// Of which kind the object is that the parts name together.
    pub(super) kind: Option<Kind>,
    /// More than one where the values are joined by `/`.
    pub(super) parts: Vec<Part>,
}

/// One value under all its names.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) slots: Vec<usize>,
    pub(super) form: Form,
}

/// One place where a value can stand.
#[derive(Debug)]
pub(super) struct Slot {
    /// As the row spells it, without braces.
    pub(super) name: &'static str,
    /// The capture, if it stands in the path.
    pub(super) capture: Option<&'static str>,
    /// Whether several values may stand there.
    pub(super) many: bool,
    /// Whether a whole number passes for its decimal text, as protobuf takes it.
    pub(super) numbers: bool,
    /// Whether yes or no stands there, and nothing else.
    pub(super) flag: bool,
}

impl Slot {
    /// Whether it is a header field.
    fn in_header(&self) -> bool {
        self.name.starts_with("header.")
    }
}

impl Want {
    pub(super) fn is_called(&self, field: &str) -> bool {
        self.field == field || (!self.field.contains('/') && self.field.split('|').any(|alias| alias == field))
    }
}

impl Plan {
    pub(in crate::policy) fn of(row: &'static Row) -> Self {
        let mut plan = Self {
            wants_body: false,
            source: Source::Nothing,
            wants: Vec::new(),
            slots: Vec::new(),
            shape: Node::default(),
        };
        if row.closed().is_some() {
            return plan;
        }
        for need in row.needs {
            plan.want_of(need);
        }
        for stamp in row.stamps {
            match stamp {
                Stamp::Text(field)
                | Stamp::Tags(field)
                | Stamp::GivenTags(field)
                | Stamp::Source(field)
                | Stamp::Given(field)
                | Stamp::Json(field) => {
                    let count = if field.contains("[]") { Count::AnyEach } else { Count::Optional };
                    plan.want(field, count, Form::Text, false);
                }
                Stamp::Map(_) | Stamp::GivenMap(_) => {}
            }
        }
        if let Answer::Keep(list) = row.answer
            && list.paged.is_some()
        {
            plan.want("filter", Count::Optional, Form::Text, false);
            plan.want("page_token", Count::Optional, Form::Text, false);
            plan.want("max_results", Count::Optional, Form::Text, true);
        }
        plan.want_of_effect(row);
        for take in row.takes {
            plan.want_of_take(*take);
        }
        let outside = plan.slots.iter().any(|slot| slot.capture.is_none() && !slot.in_header());
        plan.source = match (outside, row.verb, row.body) {
            (false, _, _) => Source::Nothing,
            // `_get_request_message`: a GET with a query reads the query; bodies of GET are refused before.
            // Where the body is the file, `request.args` is all there is (`upload_artifact_handler`).
            (true, _, _) if row.by_query => Source::Query,
            (true, Verb::Post, BodyClass::Form) => Source::Form,
            (true, Verb::Get, _)
            | (true, Verb::Post | Verb::Put | Verb::Patch | Verb::Delete, BodyClass::Artifact | BodyClass::Form) => {
                Source::Query
            }
            (
                true,
                Verb::Post | Verb::Put | Verb::Patch | Verb::Delete,
                BodyClass::Json | BodyClass::LargeJson | BodyClass::Otlp,
            ) => Source::Body,
        };
        if plan.slots.iter().any(|slot| slot.name.starts_with("graphql.")) {
            plan.source = Source::GraphQl;
        }
        for stamp in row.stamps {
            if let Stamp::Map(map) | Stamp::GivenMap(map) = stamp {
                plan.shape.insert_map(map);
            }
        }
        if row.body == BodyClass::Otlp {
            plan.source = Source::Otlp;
        }
        plan.wants_body = matches!(plan.source, Source::Body | Source::GraphQl | Source::Otlp | Source::Form);
        if plan.source == Source::Body {
            for (index, slot) in plan.slots.iter().enumerate() {
                if slot.capture.is_none() && !slot.in_header() {
                    plan.shape.insert(slot.name, index);
                }
            }
        }
        plan
    }

    /// What an effect takes from the request, where no need has named it.
    fn want_of_effect(&mut self, row: &'static Row) {
        let mut want = |field: &'static str, numbers: bool| {
            // What stands in the path is not looked for elsewhere.
            let in_path = row.path.split('/').filter_map(capture_name).any(|name| name == field);
            if !in_path && !field.starts_with('{') && !self.wants.iter().any(|want| want.is_called(field)) {
                self.want(field, Count::Optional, Form::Text, numbers);
            }
        };
        for effect in [row.effect, row.also] {
            match effect {
                Effect::None => {}
                Effect::Owns { id, .. } => id
                    .split('/')
                    .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
                    .for_each(|field| want(field, false)),
                Effect::Renames { from, to, .. } => [from, to].into_iter().for_each(|field| want(field, false)),
                Effect::Forgets { field, unless, .. } => {
                    want(field, false);
                    // A version is a number.
                    if let Some(part) = unless {
                        want(part, true);
                    }
                }
            }
        }
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each word of the table")]
    fn want_of(&mut self, need: &Need) {
        match *need {
            Need::Anyone
            | Need::SignedIn
            | Need::Admin(_)
            | Need::Nobody(_)
            | Need::Create
            | Need::OnEvery { .. }
            | Need::NoneDenied(_)
            | Need::NewOf { given: None, .. } => {}
            Need::On { kind, field, count, action: _ } => {
                self.want_object(kind, field, count);
            }
            Need::CreateNamed { name, mark, kind: _ } => {
                self.want(name, Count::Optional, Form::Text, false);
                if let Some(mark) = mark {
                    self.want(mark, Count::AnyEach, Form::Text, false);
                }
            }
            Need::OnOrCreate { kind, field, action: _ } => self.want_object(kind, field, Count::One),
            Need::Under { kind, field, count, of, parent, action: _ } => {
                self.want(field, count, form_of(kind), false);
                self.want(parent, Count::One, form_of(of), of == Kind::Experiment);
            }
            // The name stands in `name`, which other needs read.
            Need::NewNamed { mark, kind: _ } => self.want(mark, Count::AnyEach, Form::Text, false),
            Need::NewOf { given: Some(field), .. } => self.want(field, Count::AnyEach, Form::Text, false),
            Need::Lenient { kind, field, action, least: _, own: _ } => {
                self.want_of(&Need::On { action, kind, field, count: Count::One });
            }
            Need::OnExperimentOf { kind, field, action: _ }
            | Need::NotDenied { kind, field }
            | Need::OnAllIn { of: kind, field, action: _, kinds: _ } => {
                self.want_object(kind, field, Count::One);
            }
            Need::Renames { id, to } => {
                self.want_object(Kind::Experiment, id, Count::One);
                self.want(to, Count::Optional, Form::Text, false);
            }
            Need::OnQueue { field, right: _ } => self.want_object(Kind::ReviewQueue, field, Count::One),
            Need::ForOneself { field, .. } | Need::OnTokensOf { field, making: _ } => {
                self.want(field, Count::Optional, Form::Text, false);
            }
            Need::OnArtifact { field, action: _ } => self.want(field, Count::Optional, Form::ArtifactPath, false),
            Need::OnExperimentNamed { field, action: _ } => {
                self.want(field, Count::One, Form::Id(|text| ExperimentName::parse(text).map(drop)), false);
            }
            Need::OnNamed { kind, field, count, action: _ } => {
                let form = match kind {
                    Kind::GatewayEndpoint => Form::Id(|text| GatewayEndpointName::parse(text).map(drop)),
                    _ => Form::Text,
                };
                self.want(field, count, form, false);
            }
            Need::Gives { what, to } => {
                self.want_of_what(what);
                if let Some(field) = to {
                    self.want(field, Count::One, HOLDER, false);
                }
            }
            Need::Takes { what, from } => self.want_of(&Need::Gives { what, to: from }),
            Need::Oneself { field, managers: _ } => self.want(field, Count::One, HOLDER, false),
            Need::OnToken(field) => self.want(field, Count::One, Form::Text, false),
            Need::OnRole { right: _, field } => self.want(field, Count::One, NUMBER, true),
            Need::InEach(field) => self.want(field, Count::AnyEach, form_of(Kind::Workspace), false),
            Need::Checked(check) => match check {
                Check::ArtifactLocation(field)
                | Check::ModelSource(field)
                | Check::Selector { field, .. }
                | Check::NewOwner { field, .. }
                | Check::PromptUri(field) => {
                    self.want(field, Count::Optional, Form::Text, false);
                }
                // protobuf takes an enum's number for its name.
                Check::QueueType { field, name, .. } => {
                    self.want(field, Count::Optional, Form::Text, true);
                    self.want(name, Count::Optional, Form::Text, false);
                }
                Check::NewSkill { name, organization } => {
                    self.want(name, Count::Optional, Form::Text, false);
                    self.want(organization, Count::Optional, Form::Text, false);
                }
                Check::NewId { field, kind } => self.want(field, Count::Optional, form_of(kind), false),
                // The needs name them already, or the fields tell them in pairs (`Fields::judges`).
                Check::Inside { .. } | Check::StoredJudges { .. } => {}
                Check::TraceParent(field) => self.want(field, Count::Optional, Form::Text, false),
                Check::SourceRun(field) | Check::IssueNames(field) => self.want(field, free(field), Form::Text, false),
                Check::NewSourceRun { keys, run, .. } => {
                    self.want(keys, Count::AnyEach, Form::Text, false);
                    self.want(run, Count::Optional, form_of(Kind::Run), false);
                }
                Check::Provider { provider, model, .. } => {
                    self.want(provider, Count::Optional, Form::Text, false);
                    self.want(model, Count::Optional, Form::Text, false);
                }
                Check::StoredJudge(field) => {
                    let versioned = field.split('/').count() > 2;
                    let kind = if versioned { Kind::ScorerVersion } else { Kind::Scorer };
                    self.want_object(kind, field, Count::Optional);
                }
                Check::TraceAuthor { keys, name } => {
                    self.want(keys, Count::AnyEach, Form::Text, false);
                    self.want(name, Count::AnyEach, Form::Text, false);
                }
                Check::ListedVersions { keys, value, .. } => {
                    self.want(keys, free(keys), Form::Text, false);
                    if let Some(value) = value {
                        self.want(value, free(value), Form::Text, false);
                    }
                }
                Check::Scorers { field, .. } | Check::Models(field) => {
                    let many = field.ends_with("scorers");
                    self.want(field, if many { Count::AnyEach } else { Count::Optional }, Form::Text, false);
                }
                Check::NewModelName(field) => {
                    self.want(field, Count::One, Form::Id(|text| ModelName::parse(text).map(drop)), false);
                }
                Check::TagKey(field)
                | Check::VersionTags(field)
                | Check::RunTags { run: _, key: field }
                | Check::TraceTags(field)
                | Check::TraceMetadata(field)
                | Check::TraceFilter(field)
                | Check::CountFilter(field)
                | Check::Presigned(field) => {
                    self.want(field, free(field), Form::Text, false);
                }
                Check::TraceFilters(field) | Check::CountFilters(field) => {
                    self.want(field, Count::AnyEach, Form::Text, false);
                }
                Check::TraceTagsOf { tags, place, trace } => {
                    self.want(tags, Count::AnyEach, Form::Text, false);
                    self.want(place, Count::Optional, Form::Text, false);
                    self.want(trace, Count::One, form_of(Kind::Trace), false);
                }
                Check::NewTraces { traces, experiment } => {
                    let count = if traces.starts_with("otlp.") { Count::Each } else { Count::One };
                    self.want(traces, count, form_of(Kind::Trace), false);
                    self.want(experiment, Count::One, form_of(Kind::Experiment), true);
                }
                Check::TracePlace(field) => self.want(field, Count::One, form_of(Kind::Trace), false),
                Check::TraceView(field) => self.want(field, Count::Optional, Form::Text, true),
                Check::Ours(field) | Check::Elsewhere(field) => {
                    self.want(field, free(field), Form::Absent, false);
                }
                Check::GuardrailScorer(field) => {
                    self.want(field, Count::One, Form::Id(|text| GatewayGuardrailId::parse(text).map(drop)), false);
                }
                Check::TracedInto(field) => {
                    let form = match field {
                        "endpoint_id" => form_of(Kind::GatewayEndpoint),
                        _ => Form::Id(|text| GatewayEndpointName::parse(text).map(drop)),
                    };
                    self.want(field, Count::Optional, form, false);
                    self.want("name", Count::Optional, Form::Text, false);
                    self.want("experiment_id", Count::Optional, form_of(Kind::Experiment), true);
                }
                Check::FileName(field) => self.want(field, Count::Optional, Form::FileName, false),
                Check::SafePath(field) => {
                    let many = field.starts_with("graphql.");
                    let count = if many { Count::AnyEach } else { Count::Optional };
                    self.want(field, count, Form::ArtifactPath, false);
                }
            },
        }
    }

    /// What is given or taken. That type, id and level fit one another is seen to once all are read.
    fn want_of_what(&mut self, what: What) {
        match what {
            What::Named { kind, id, .. } => {
                self.want(kind, Count::One, Form::Text, false);
                self.want(id, Count::One, Form::Text, true);
            }
            What::One { kind, field, .. } => self.want_object(kind, field, Count::One),
            What::Workspace { .. } | What::OfRole { .. } => {}
        }
        if let Some(field) = what.level() {
            self.want(field, Count::One, Form::Text, false);
        }
    }

    /// What an endpoint of ours takes besides.
    fn want_of_take(&mut self, take: Take) {
        match take {
            Take::Text(field) => self.want(field, Count::One, Form::Text, false),
            Take::TextOpt(field) => self.want(field, Count::Optional, Form::Text, false),
            Take::Texts(field) => self.want(field, Count::AnyEach, Form::Text, false),
            Take::Holder(field) => self.want(field, Count::One, HOLDER, false),
            Take::Flag(field) => {
                self.want(field, Count::One, Form::Text, false);
                if let Some(slot) = self.slots.iter_mut().find(|slot| slot.name == field && slot.capture.is_none()) {
                    slot.flag = true;
                }
            }
            Take::TimeOpt(field) => self.want(field, Count::Optional, Form::Text, true),
            Take::Thing { kind, id } => {
                self.want(kind, Count::One, Form::Text, false);
                self.want(id, Count::One, Form::Text, true);
            }
        }
    }

    fn want(&mut self, field: &'static str, count: Count, form: Form, numbers: bool) {
        if self.wants.iter().any(|want| want.field == field) {
            return;
        }
        let part = self.part(field, count, form, numbers);
        self.wants.push(Want { field, count, kind: None, parts: vec![part] });
    }

    /// The id of an object of `kind`: in one field, or in several that are joined by `/`.
    fn want_object(&mut self, kind: Kind, field: &'static str, count: Count) {
        if !field.contains('/') {
            return self.want(field, count, form_of(kind), kind == Kind::Experiment);
        }
        if self.wants.iter().any(|want| want.field == field) {
            return;
        }
        let parts = field
            .split('/')
            .enumerate()
            .map(|(index, part)| {
                let (form, numbers) = part_form(kind, index);
                self.part(part, count, form, numbers)
            })
            .collect();
        self.wants.push(Want { field, count, kind: Some(kind), parts });
    }

    fn part(&mut self, field: &'static str, count: Count, form: Form, numbers: bool) -> Part {
        let many = match count {
            Count::One | Count::Optional => false,
            Count::Each | Count::AnyEach | Count::Narrowed | Count::ByRow => true,
        };
        let slots = field.split('|').map(|name| self.slot(name, many, numbers)).collect();
        Part { slots, form }
    }

    fn slot(&mut self, spelled: &'static str, many: bool, numbers: bool) -> usize {
        let capture = spelled.strip_prefix('{').and_then(|name| name.strip_suffix('}'));
        let name = capture.unwrap_or(spelled);
        if let Some(index) = self.slots.iter().position(|slot| slot.name == name && slot.capture == capture) {
            self.slots[index].numbers |= numbers;
            return index;
        }
        self.slots.push(Slot { name, capture, many, numbers, flag: false });
        self.slots.len() - 1
    }
}

/// How many values may stand in a field that need not be there.
fn free(field: &str) -> Count {
    let many = field.contains("[]") || field.ends_with("[*]") || field.starts_with("otlp.");
    if many { Count::AnyEach } else { Count::Optional }
}
