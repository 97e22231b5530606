//! What does a GraphQL document ask for, and of which objects?
//!
//! `/graphql` is one path for many operations, and MLflow's run page needs it. A document is understood whole or
//! refused: one operation, known fields alone (`schema`), each once and under its own name, no fragments, no
//! directives but `@component`, no default values. MLflow's own pages send nothing else.

mod schema;
mod values;

use std::collections::HashMap;

use apollo_parser::Parser;
use apollo_parser::cst::{
    Argument, Arguments, Definition, Directives, Field, OperationDefinition, Selection, SelectionSet, Value,
};

use self::schema::{EXPERIMENT_OF_RUN, Ids, Kept, ROOTS, RUNS, Root, SEARCH_RUNS, VERSIONS_OF_RUN};
pub use self::values::Json;

/// MLflow itself stops at depth 10 and 1000 selections (3.17.2, `graphql_no_batching.py`).
const DEPTH: usize = 32;
const TOKENS: usize = 5000;

/// A document's variables by name.
pub type Variables = HashMap<String, Json>;

/// The objects that a document names.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Experiments that are read.
    pub experiments: Vec<String>,
    /// Runs that are read.
    pub runs: Vec<String>,
    /// Runs whose experiment is read too.
    pub runs_with_experiment: Vec<String>,
    /// Artifact paths within a run.
    pub paths: Vec<String>,
}

/// Why a document is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphQlFault {
    /// The document is none.
    #[error("the query is not a GraphQL document")]
    Unreadable,
    /// Several operations, or a subscription, or definitions of types.
    #[error("the document must hold one query or mutation and nothing else")]
    NotOneOperation,
    /// A field that is not known or not served.
    #[error("the field `{0}` is not served")]
    UnknownField(String),
    /// A field twice, or under another name.
    #[error("the field `{0}` is asked for twice or under an alias")]
    Renamed(String),
    /// Fragments.
    #[error("fragments are not served")]
    Fragment,
    /// Any other than `@component`.
    #[error("this directive is not served")]
    Directive,
    /// Something else than one `input` object.
    #[error("the arguments of `{0}` are not one `input`")]
    Arguments(String),
    /// A value that GraphQL would turn into another one, or an unknown member.
    #[error("`{0}` is not a plain value here")]
    Value(String),
    /// The ids are not there.
    #[error("`{0}` names no object")]
    NoId(&'static str),
    /// The answer could not be filtered without it.
    #[error("`{0}` must be selected")]
    NotSelected(&'static str),
}

/// Reads a document with its variables.
///
/// # Errors
/// [`GraphQlFault`] for whatever is not understood.
pub fn read(document: &str, variables: &Variables) -> Result<Asked, GraphQlFault> {
    let tree = Parser::new(document).recursion_limit(DEPTH).token_limit(TOKENS).parse();
    if tree.errors().next().is_some() {
        return Err(GraphQlFault::Unreadable);
    }
    let mut definitions = tree.document().definitions();
    let (Some(Definition::OperationDefinition(operation)), None) = (definitions.next(), definitions.next()) else {
        return Err(GraphQlFault::NotOneOperation);
    };
    let mutation = is_mutation(&operation)?;
    check_directives(operation.directives(), true)?;
    if let Some(defined) = operation.variable_definitions() {
        for variable in defined.variable_definitions() {
            if variable.default_value().is_some() {
                return Err(GraphQlFault::Value("a default value".to_owned()));
            }
            check_directives(variable.directives(), false)?;
        }
    }
    let mut asked = Asked::default();
    for field in plain_fields(operation.selection_set())? {
        let name = name_of(&field)?;
        if name == "__typename" {
            continue;
        }
        let root = ROOTS
            .iter()
            .find(|root| root.name == name && if mutation { root.in_mutation } else { root.in_query })
            .ok_or(GraphQlFault::UnknownField(name))?;
        asked.field(root, &field, variables)?;
    }
    if asked.experiments.is_empty() && asked.runs.is_empty() {
        return Err(GraphQlFault::NoId("the document"));
    }
    Ok(asked)
}

fn is_mutation(operation: &OperationDefinition) -> Result<bool, GraphQlFault> {
    match operation.operation_type() {
        None => Ok(false),
        Some(kind) if kind.query_token().is_some() => Ok(false),
        Some(kind) if kind.mutation_token().is_some() => Ok(true),
        Some(_) => Err(GraphQlFault::NotOneOperation),
    }
}

impl Asked {
    fn field(&mut self, root: &Root, field: &Field, variables: &Variables) -> Result<(), GraphQlFault> {
        let input = input_of(field, root, variables)?;
        let one = |name| input.text(name);
        let run = || match (one("runId")?, one("runUuid")?) {
            (Some(id), Some(uuid)) if id != uuid => Err(GraphQlFault::Value("runUuid".to_owned())),
            (Some(id), _) | (None, Some(id)) => Ok(id),
            (None, None) => Err(GraphQlFault::NoId("runId")),
        };
        let mut runs = Vec::new();
        match root.ids {
            Ids::Experiment => {
                self.experiments.push(one("experimentId")?.ok_or(GraphQlFault::NoId("experimentId"))?);
            }
            Ids::Experiments => self.experiments.extend(input.texts("experimentIds")?),
            Ids::Run => runs.push(run()?),
            Ids::RunAndPath => {
                runs.push(run()?);
                self.paths.extend(one("path")?);
            }
            Ids::Runs => runs.extend(input.texts("runIds")?),
        }
        let selected = check_selection(field.selection_set(), root.answer)?;
        if selected.iter().any(|path| path == &["run", EXPERIMENT_OF_RUN]) {
            self.runs_with_experiment.extend(runs.iter().cloned());
        }
        if root.name == SEARCH_RUNS
            && selected.iter().any(|path| path == &[RUNS])
            && !selected.iter().any(|path| path == &[RUNS, "info", "runUuid"])
        {
            return Err(GraphQlFault::NotSelected("info.runUuid"));
        }
        for of in ["run", RUNS] {
            let has = |name| selected.iter().any(|path| path == &[of, VERSIONS_OF_RUN, name]);
            if selected.iter().any(|path| path == &[of, VERSIONS_OF_RUN]) && !(has("name") && has("version")) {
                return Err(GraphQlFault::NotSelected("modelVersions.name and modelVersions.version"));
            }
        }
        self.runs.extend(runs);
        Ok(())
    }
}

/// Every path that is selected, each checked against the schema.
fn check_selection(set: Option<SelectionSet>, kept: &'static Kept) -> Result<Vec<Vec<String>>, GraphQlFault> {
    let mut paths = Vec::new();
    for field in plain_fields(set)? {
        let name = name_of(&field)?;
        if name == "__typename" {
            continue;
        }
        if field.arguments().is_some() {
            return Err(GraphQlFault::Arguments(name));
        }
        let Some((_, inner)) = kept.0.iter().find(|(own, _)| *own == name) else {
            return Err(GraphQlFault::UnknownField(name));
        };
        match (inner, field.selection_set()) {
            (Some(inner), Some(set)) => {
                for mut path in check_selection(Some(set), inner)? {
                    path.insert(0, name.clone());
                    paths.push(path);
                }
            }
            (None, None) => {}
            (Some(_), None) | (None, Some(_)) => return Err(GraphQlFault::UnknownField(name)),
        }
        paths.push(vec![name]);
    }
    Ok(paths)
}

/// The fields of a selection: no fragments, no aliases, none twice, no directives.
fn plain_fields(set: Option<SelectionSet>) -> Result<Vec<Field>, GraphQlFault> {
    let mut fields = Vec::new();
    let mut names = Vec::new();
    for selection in set.into_iter().flat_map(|set| set.selections()) {
        match selection {
            Selection::Field(field) => {
                let name = name_of(&field)?;
                if field.alias().is_some() || names.contains(&name) {
                    return Err(GraphQlFault::Renamed(name));
                }
                check_directives(field.directives(), false)?;
                names.push(name);
                fields.push(field);
            }
            Selection::FragmentSpread(_) | Selection::InlineFragment(_) => return Err(GraphQlFault::Fragment),
        }
    }
    if fields.is_empty() { Err(GraphQlFault::Unreadable) } else { Ok(fields) }
}

fn name_of(field: &Field) -> Result<String, GraphQlFault> {
    field.name().map(|name| name.text().to_string()).ok_or(GraphQlFault::Unreadable)
}

/// `@component(name: ...)` stands on operations and does nothing.
fn check_directives(directives: Option<Directives>, component: bool) -> Result<(), GraphQlFault> {
    for directive in directives.into_iter().flat_map(|directives| directives.directives()) {
        let name = directive.name().map(|name| name.text().to_string());
        if !component || name.as_deref() != Some("component") {
            return Err(GraphQlFault::Directive);
        }
    }
    Ok(())
}

/// The one argument `input`, with its variables filled in.
fn input_of(field: &Field, root: &Root, variables: &Variables) -> Result<Json, GraphQlFault> {
    let wrong = || GraphQlFault::Arguments(root.name.to_owned());
    let arguments: Vec<Argument> = field.arguments().iter().flat_map(Arguments::arguments).collect();
    let [argument] = &*arguments else { return Err(wrong()) };
    if argument.name().is_none_or(|name| name.text() != "input") {
        return Err(wrong());
    }
    let input = plain_value(argument.value().as_ref(), variables)?;
    if matches!(input, Json::Object(_)) { Ok(input) } else { Err(wrong()) }
}

fn plain_value(value: Option<&Value>, variables: &Variables) -> Result<Json, GraphQlFault> {
    use apollo_parser::cst::CstNode as _;
    let odd = |what: String| GraphQlFault::Value(what);
    match value.ok_or(GraphQlFault::Unreadable)? {
        Value::Variable(variable) => {
            let name = variable.name().map(|name| name.text().to_string()).ok_or(GraphQlFault::Unreadable)?;
            Ok(variables.get(&name).cloned().unwrap_or(Json::Null))
        }
        Value::StringValue(text) => {
            let source = text.source_string();
            let inner = source.trim().strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            // Escapes and block strings are ways to write one text in two forms.
            match inner {
                Some(inner) if !inner.contains(['"', '\\', '\n', '\r']) => Ok(Json::Text(inner.to_owned())),
                _ => Err(odd(source)),
            }
        }
        Value::NullValue(_) => Ok(Json::Null),
        Value::IntValue(_) | Value::FloatValue(_) | Value::BooleanValue(_) | Value::EnumValue(_) => Ok(Json::Other),
        Value::ListValue(list) => {
            list.values().map(|value| plain_value(Some(&value), variables)).collect::<Result<_, _>>().map(Json::List)
        }
        Value::ObjectValue(object) => {
            let mut members = HashMap::new();
            for field in object.object_fields() {
                let name = field.name().map(|name| name.text().to_string()).ok_or(GraphQlFault::Unreadable)?;
                let value = plain_value(field.value().as_ref(), variables)?;
                if members.insert(name.clone(), value).is_some() {
                    return Err(odd(name));
                }
            }
            Ok(Json::Object(members))
        }
    }
}

#[cfg(test)]
mod tests;
