//! Which links in an answer lead to something that the caller may not see?
//!
//! Objects tell of others: a run of the logged models it made, a model version of its run, a registered model of its
//! latest versions. MLflow's own app blanks such links where the other end is denied (3.17.2,
//! `server/auth/__init__.py:_withhold_denied_run_model_links` and its kin); here the other end is judged as a read of it
//! would be. A run or a logged model is looked up first, since only its experiment tells; what cannot be looked up
//! is hidden.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use super::filter::{BadAnswer, is_prompt, text_at};
use super::json::{Value, write_string};
use super::named::named;
use super::narrow::{sees_every, spoken};
use crate::access::decide::{Visible, holds, visible, visible_of};
use crate::access::identity::Principal;
use crate::mlflow::ids::{LoggedModelId, RunId, TraceId};
use crate::mlflow::permission::Action;
use crate::mlflow::resource::{Home, Kind, Object, Resource};
use crate::policy::route::{Cut, Link};
use crate::resolve::{Called, ResolveFault};

/// Where runs, logged models and traces are looked up.
pub(crate) trait Homes {
    /// The experiments of those ids that were found. Most lie in one of `near`, if that says any.
    fn experiments_of(
        &self,
        ids: Vec<(Kind, Arc<str>)>,
        near: &[Arc<str>],
    ) -> impl Future<Output = HashMap<(Kind, Arc<str>), Arc<str>>>;

    /// The ids of the gateway's endpoints, by name; none that cannot be found out.
    fn gateway_endpoints(&self) -> impl Future<Output = HashMap<Arc<str>, Arc<str>>> {
        std::future::ready(HashMap::new())
    }
    /// What these experiments are called. What is not told of is not known.
    fn called(&self, experiments: Vec<Arc<str>>) -> impl Future<Output = Result<Vec<Called>, ResolveFault>> {
        drop(experiments);
        std::future::ready(Ok(Vec::new()))
    }
    /// All experiments that each of these datasets is in; none where that cannot be found out.
    fn datasets(&self, ids: Vec<Arc<str>>) -> impl Future<Output = Vec<(Arc<str>, Vec<Arc<str>>)>> {
        std::future::ready(ids.into_iter().map(|id| (id, Vec::new())).collect())
    }
}

/// Takes the links out of each text that lead to something hidden. A text without any stays as it is, uncopied.
///
/// # Errors
/// [`BadAnswer`] when something else than an id stands where a link must stand.
pub(crate) async fn hide(
    principal: &Principal,
    links: &[Link],
    texts: &mut [Cow<'_, str>],
    near: &[Arc<str>],
    homes: &impl Homes,
) -> Result<(), BadAnswer> {
    let links: Vec<&Link> = links.iter().filter(|link| !passes(principal, link)).collect();
    if links.is_empty() {
        return Ok(());
    }
    let mut unknown = HashSet::new();
    let mut experiments = Vec::new();
    for text in &*texts {
        for hit in hits(text, &links)? {
            match hit.target {
                Target::Inside(kind, id) if could_see(principal, kind) => drop(unknown.insert((kind, id))),
                Target::Known(resource) | Target::Scorer(_, resource) => {
                    let levels = resource.levels().filter(|object| object.kind == Kind::Experiment);
                    experiments.extend(levels.map(|object| Arc::clone(&object.id)));
                }
                _ => {}
            }
        }
    }
    let known = if unknown.is_empty() {
        HashMap::new()
    } else {
        homes.experiments_of(unknown.into_iter().collect(), near).await
    };
    experiments.extend(known.values().cloned());
    // Where that cannot be told, whatever a name could hide stays hidden.
    let knowing = named(principal, experiments, homes).await.unwrap_or(Cow::Borrowed(principal));
    let principal = &*knowing;
    let named = if links.iter().any(|link| link.cut == Cut::NotUsable) {
        homes.gateway_endpoints().await
    } else {
        HashMap::new()
    };
    for text in texts {
        let mut edits = Vec::new();
        for Hit { target, edit } in hits(text, &links)? {
            if target.visible(principal, &known, &named) {
                continue;
            }
            edits.push(match (edit, target) {
                (Edit::Refuse, _) => return Err(BadAnswer::Hidden),
                (Edit::Write(range, _), Target::Several(several)) => Edit::Write(range, several.left(principal)),
                (edit, _) => edit,
            });
        }
        if !edits.is_empty() {
            *text = Cow::Owned(written(text, edits));
        }
    }
    Ok(())
}

/// Whether whatever the link leads to may be seen, so that nothing needs to be read.
pub(super) fn passes(principal: &Principal, link: &Link) -> bool {
    if link.cut == Cut::NotUsable { principal.admin } else { sees_every(principal, link.kind) }
}

/// Whether anything of `kind` can be visible to the principal: nothing is looked up for somebody who sees none.
fn could_see(principal: &Principal, kind: Kind) -> bool {
    spoken(principal, kind).granted || visible_of(principal, Kind::Experiment) != Visible::Only(Vec::new())
}

/// What a link leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    /// Its place is known from its name.
    Known(Resource),
    /// It lies in an experiment that must be looked up.
    Inside(Kind, Arc<str>),
    /// Versions listed in one text.
    Several(Several),
    /// A scorer: it has grants of its own, and its experiment must be readable besides.
    Scorer(Resource, Resource),
    /// A gateway endpoint, by its name.
    Named(Arc<str>),
    /// Not an id: nothing can be granted on it.
    Nothing,
}

/// Versions, each as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Several(Vec<(Resource, String)>);

impl Several {
    /// Reads a JSON list of objects with `name` and `version`. What is no such list tells of nothing that can be
    /// judged, and so holds nothing that may be seen.
    fn read(text: &str, kind: Kind) -> Option<Self> {
        let list = Value::parse(text.as_bytes()).ok()?;
        let each = list.elements()?.map(|one| Some((version(one, kind).ok()?, one.raw().to_owned())));
        each.collect::<Option<Vec<_>>>().map(Self)
    }

    /// What is left of the list, as a JSON string.
    fn left(&self, principal: &Principal) -> String {
        let visible: Vec<&str> =
            self.0.iter().filter(|(resource, _)| visible(principal, resource)).map(|(_, raw)| &**raw).collect();
        let mut out = Vec::new();
        write_string(&mut out, &format!("[{}]", visible.join(", ")));
        String::from_utf8(out).unwrap_or_default()
    }
}

impl Target {
    fn visible(
        &self,
        principal: &Principal,
        homes: &HashMap<(Kind, Arc<str>), Arc<str>>,
        named: &HashMap<Arc<str>, Arc<str>>,
    ) -> bool {
        match self {
            Self::Named(name) => named.get(name).is_some_and(|id| {
                holds(principal, Action::Use, &Resource::top(Kind::GatewayEndpoint, Arc::clone(id))).is_ok()
            }),
            Self::Known(resource) => visible(principal, resource),
            Self::Scorer(scorer, experiment) => visible(principal, scorer) && visible(principal, experiment),
            Self::Several(Several(list)) => list.iter().all(|(resource, _)| visible(principal, resource)),
            Self::Inside(kind, id) => homes.get(&(*kind, Arc::clone(id))).is_some_and(|experiment| {
                let within = Object { kind: Kind::Experiment, id: Arc::clone(experiment) };
                visible(principal, &Resource::inside(*kind, Arc::clone(id), within))
            }),
            Self::Nothing => false,
        }
    }
}

/// One link that was found.
struct Hit {
    target: Target,
    edit: Edit,
}

/// Where the elements of a list stand.
type Ranges = Rc<[Range<usize>]>;

/// How it is taken out.
enum Edit {
    /// This becomes another text, which is JSON.
    Write(Range<usize>, String),
    /// Nothing of the answer may be seen.
    Refuse,
    /// This element of a list goes.
    Drop(Ranges, usize),
}

fn hits(text: &str, links: &[&Link]) -> Result<Vec<Hit>, BadAnswer> {
    let whole = Value::parse(text.as_bytes())?;
    let mut found = Vec::new();
    for link in links {
        // Without a path, the link is the answer itself.
        let path: Vec<&'static str> = link.at.split('.').filter(|step| !step.is_empty()).collect();
        walk(whole, whole, None, &path, link, None, &mut found)?;
    }
    Ok(found)
}

fn walk(
    whole: Value<'_>,
    value: Value<'_>,
    parent: Option<Value<'_>>,
    path: &[&'static str],
    link: &Link,
    element: Option<&(Ranges, usize)>,
    found: &mut Vec<Hit>,
) -> Result<(), BadAnswer> {
    let unreadable = |wanted| BadAnswer::WrongType { at: link.at, wanted };
    let Some((step, rest)) = path.split_first() else {
        // Protobuf reads an empty text for an absent one; elsewhere, `null` is absent.
        let blank = |value: Value<'_>| {
            let nothing = if value.as_str().is_some() { "\"\"" } else { "null" };
            Some(Edit::Write(range(value, whole)?, nothing.to_owned()))
        };
        let drop_element = || {
            let (list, index) = element.ok_or(unreadable("in a list"))?;
            Ok::<_, BadAnswer>(Edit::Drop(Rc::clone(list), *index))
        };
        let several = |listed: Value<'_>| {
            let read = listed.as_str().and_then(|text| Several::read(&text, link.kind));
            let target = read.map_or(Target::Nothing, Target::Several);
            Ok::<_, BadAnswer>(Hit { target, edit: blank(listed).ok_or(unreadable("inside the answer"))? })
        };
        let pair = |key| {
            let named = value.get("key")?.and_then(Value::as_str).as_deref() == Some(key);
            if named { value.get("value") } else { Ok(None) }
        };
        let (linked, edit) = match link.cut {
            Cut::Tag(key) => {
                if let Some(listed) = pair(key)? {
                    found.push(several(listed)?);
                }
                return Ok(());
            }
            Cut::TagMember(key) => {
                if let Some(listed) = value.get(key)? {
                    found.push(several(listed)?);
                }
                return Ok(());
            }
            Cut::Member(name) => {
                let Some((ranges, index, linked)) = member(whole, value, name, link)? else { return Ok(()) };
                (linked, Edit::Drop(ranges, index))
            }
            Cut::Pair(key) => {
                let Some(linked) = pair(key)? else { return Ok(()) };
                (linked, drop_element()?)
            }
            Cut::Within(experiment) => {
                let edit = drop_element()?;
                let id: Arc<str> = value.get("assessment_id")?.and_then(Value::as_str).unwrap_or_default().into();
                let within = Object { kind: Kind::Experiment, id: text_at(whole, experiment)?.into() };
                found.push(Hit { target: Target::Known(Resource::inside(link.kind, id, within)), edit });
                return Ok(());
            }
            Cut::Count => {
                let range = range(value, whole).ok_or(unreadable("inside the answer"))?;
                found.push(Hit { target: Target::Nothing, edit: Edit::Write(range, "null".to_owned()) });
                return Ok(());
            }
            Cut::Answer => (value, Edit::Refuse),
            Cut::Element | Cut::NotUsable => (value, drop_element()?),
            Cut::Value | Cut::Along(_) => (value, blank(value).ok_or(unreadable("inside the answer"))?),
        };
        let Some(target) = target(linked, link)? else { return Ok(()) };
        if let Cut::Along(beside) = link.cut {
            for member in beside {
                if let Some(next) = parent.map(|parent| parent.get(member)).transpose()?.flatten() {
                    let edit = blank(next).ok_or(unreadable("inside the answer"))?;
                    found.push(Hit { target: target.clone(), edit });
                }
            }
        }
        found.push(Hit { target, edit });
        return Ok(());
    };
    if !value.is_object() {
        return Err(unreadable("inside an object"));
    }
    let (name, is_list) = step.strip_suffix("[]").map_or((*step, false), |name| (name, true));
    let Some(next) = value.get(name)?.filter(|next| !next.is_null()) else { return Ok(()) };
    if !is_list {
        return walk(whole, next, Some(value), rest, link, element, found);
    }
    let elements: Vec<Value<'_>> = next.elements().ok_or(unreadable("in a list"))?.collect();
    let ranges: Ranges = elements
        .iter()
        .map(|one| range(*one, whole))
        .collect::<Option<Vec<_>>>()
        .ok_or(unreadable("inside the answer"))?
        .into();
    for (index, one) in elements.into_iter().enumerate() {
        walk(whole, one, Some(value), rest, link, Some(&(Rc::clone(&ranges), index)), found)?;
    }
    Ok(())
}

/// Where the members of an object stand, and which of them is the one of that name.
fn member<'a>(
    whole: Value<'_>,
    object: Value<'a>,
    name: &str,
    link: &Link,
) -> Result<Option<(Ranges, usize, Value<'a>)>, BadAnswer> {
    let Some(linked) = object.get(name)? else { return Ok(None) };
    let unreadable = || BadAnswer::WrongType { at: link.at, wanted: "inside the answer" };
    let mut index = None;
    let mut ranges = Vec::new();
    for (n, (key, value)) in object.members().enumerate() {
        let (key, value) = (range(key, whole).ok_or_else(unreadable)?, range(value, whole).ok_or_else(unreadable)?);
        if range(linked, whole).as_ref() == Some(&value) {
            index = Some(n);
        }
        ranges.push(key.start..value.end);
    }
    Ok(index.map(|index| (ranges.into(), index, linked)))
}

fn range(value: Value<'_>, whole: Value<'_>) -> Option<Range<usize>> {
    value.range_in(whole.raw())
}

/// What stands there, if anything does.
fn target(value: Value<'_>, link: &Link) -> Result<Option<Target>, BadAnswer> {
    if link.kind == Kind::ModelVersion {
        if !value.is_object() {
            return Err(BadAnswer::WrongType { at: link.at, wanted: "a model version" });
        }
        return version(value, link.kind).map(Target::Known).map(Some);
    }
    if link.kind == Kind::ScorerVersion {
        if !value.is_object() {
            return Err(BadAnswer::WrongType { at: link.at, wanted: "a scorer" });
        }
        let parts =
            [text_at(value, "experiment_id")?, text_at(value, "scorer_name")?, text_at(value, "scorer_version")?];
        let id = Arc::from(link.kind.join(parts.iter().map(String::as_str)));
        return Ok(Some(Resource::named(link.kind, &id).map_or(Target::Nothing, Target::Known)));
    }
    if value.is_object() {
        return match link.kind {
            Kind::McpServerVersion => version(value, link.kind).map(Target::Known).map(Some),
            Kind::Scorer => {
                let experiment = text_at(value, "experiment_id")?;
                let name = text_at(value, "scorer_name")?;
                // A guardrail tells of one version, with all that is in it.
                let version = match value.get("scorer_version")?.filter(|found| !found.is_null()) {
                    Some(_) => {
                        let parts = [&*experiment, &*name, &*text_at(value, "scorer_version")?];
                        Resource::named(Kind::ScorerVersion, &Arc::from(Kind::ScorerVersion.join(parts)))
                    }
                    None => None,
                };
                let id = link.kind.join([&*experiment, &*name]);
                let scorer = version.unwrap_or_else(|| Resource::top(link.kind, Arc::from(id)));
                Ok(Some(Target::Scorer(scorer, Resource::top(Kind::Experiment, Arc::from(experiment)))))
            }
            _ => Err(BadAnswer::WrongType { at: link.at, wanted: "a string" }),
        };
    }
    if value.is_null() {
        return Ok(None);
    }
    let id = value.as_str().ok_or(BadAnswer::WrongType { at: link.at, wanted: "a string" })?;
    if id.is_empty() {
        return Ok(None);
    }
    if link.cut == Cut::NotUsable {
        return Ok(Some(Target::Named(Arc::from(&*id))));
    }
    let shared = || Arc::from(&*id);
    let looked_up = |canonical: bool| if canonical { Target::Inside(link.kind, shared()) } else { Target::Nothing };
    Ok(Some(match link.kind {
        Kind::Run => looked_up(RunId::parse(&id).is_ok()),
        Kind::LoggedModel => looked_up(LoggedModelId::parse(&id).is_ok()),
        Kind::Trace => looked_up(TraceId::parse(&id).is_ok()),
        Kind::Workspace => Target::Nothing,
        kind => match kind.home() {
            Home::Workspace => Target::Known(Resource::top(kind, shared())),
            Home::Named(_) => Resource::named(kind, &shared()).map_or(Target::Nothing, Target::Known),
            Home::Experiment => Target::Inside(kind, shared()),
        },
    }))
}

/// A version of a model, a prompt or an MCP server, by its `name` and `version`. What the link calls a
/// model's is a prompt's where its own tags say so.
fn version(value: Value<'_>, kind: Kind) -> Result<Resource, BadAnswer> {
    let id = Arc::from(format!("{}/{}", text_at(value, "name")?, text_at(value, "version")?));
    let version = Resource::named(kind, &id).ok_or(BadAnswer::NoId { at: "version" })?;
    // What has no prompts may have tags of another form: those of MCP servers are an object.
    let Some(prompt) = version.as_prompt() else { return Ok(version) };
    Ok(if is_prompt(value)? { prompt } else { version })
}

/// The text without what the edits take out.
fn written(text: &str, edits: Vec<Edit>) -> String {
    let mut cuts: Vec<(Range<usize>, String)> = Vec::with_capacity(edits.len());
    let mut lists: HashMap<usize, (Ranges, HashSet<usize>)> = HashMap::new();
    for edit in edits {
        match edit {
            Edit::Write(range, instead) => cuts.push((range, instead)),
            // The whole answer was refused before.
            Edit::Refuse => cuts.push((0..text.len(), String::new())),
            Edit::Drop(list, index) => {
                let key = list.first().map_or(0, |first| first.start);
                lists.entry(key).or_insert_with(|| (list, HashSet::new())).1.insert(index);
            }
        }
    }
    for (list, dropped) in lists.into_values() {
        let kept_until = (0..list.len()).rev().find(|index| !dropped.contains(index)).map_or(0, |last| last + 1);
        for index in (0..kept_until).filter(|index| dropped.contains(index)) {
            // Up to the next element, so with the comma between.
            cuts.push((list[index].start..list[index + 1].start, String::new()));
        }
        if let Some(last) = list.last().filter(|_| kept_until < list.len()) {
            let start = if kept_until == 0 { list[0].start } else { list[kept_until - 1].end };
            cuts.push((start..last.end, String::new()));
        }
    }
    cuts.sort_by_key(|(range, _)| (range.start, std::cmp::Reverse(range.end)));
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (range, instead) in cuts {
        // What lies in something that is gone already, or is named by two links, is passed over.
        if range.start < at {
            continue;
        }
        out.push_str(&text[at..range.start]);
        out.push_str(&instead);
        at = range.end;
    }
    out.push_str(&text[at..]);
    out
}
