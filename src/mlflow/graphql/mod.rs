//! What does a GraphQL document ask for, and of which objects?
//!
//! `/graphql` is one path for many operations, and MLflow's run page needs it. A document is understood whole or
//! refused: known operations and fields alone (`schema`), fragments expanded, variables filled in, of several operations
//! the one that `operationName` names, no directive but `@component`. What comes out is a [`Document`], from which the
//! request is written anew.

mod document;
mod schema;
mod values;

use std::collections::{BTreeMap, HashMap};

use apollo_parser::Parser;
use apollo_parser::cst::{
    Argument, Arguments, CstNode as _, Definition, Directives, Field, FragmentDefinition, OperationDefinition,
    Selection as Chosen, SelectionSet, Value,
};

pub use self::document::{Document, Root, Selected, Selection};
pub use self::schema::{Holds, Judged, NEXT, Operation, Type};
use self::schema::{Ids, OPERATIONS};
pub use self::values::Json;

/// How deep the text itself may be nested.
const NESTED: usize = 32;
/// How many tokens it may have.
const TOKENS: usize = 10_000;
/// MLflow's own bounds on what a document asks for, fragments expanded (3.17.2, `graphql_no_batching.py`).
const DEPTH: usize = 10;
const SELECTIONS: usize = 1000;
const ROOTS: usize = 10;
/// MLflow takes 10 in one selection; some of these are ours.
const ALIASES: usize = 7;
/// What begins so is ours.
const OURS: &str = "trackgate_";

/// A document's variables by name.
pub type Variables = HashMap<String, Json>;

/// The objects that a document names.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Experiments that are read.
    pub experiments: Vec<String>,
    /// Experiments that are searched: the hidden ones are cut.
    pub searched: Vec<String>,
    /// Runs that are read.
    pub runs: Vec<String>,
    /// Artifact paths within a run.
    pub paths: Vec<String>,
}

/// Why a document is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphQlFault {
    /// The document is none.
    #[error("the query is not a GraphQL document")]
    Unreadable,
    /// No operation, several of which none is named, a subscription, or definitions of types.
    #[error("the document must hold one query or mutation, or several of which `operationName` names one")]
    NotOneOperation,
    /// A field that is not known or not served.
    #[error("the field `{0}` is not served")]
    UnknownField(String),
    /// Two fields under one key, or a key that is ours.
    #[error("the key `{0}` cannot be used for this")]
    Key(String),
    /// A fragment that is not there, holds itself, or is on another type.
    #[error("the fragment `{0}` cannot be used here")]
    Fragment(String),
    /// Any other than `@component`.
    #[error("this directive is not served")]
    Directive,
    /// Something else than one `input` object with known members.
    #[error("the arguments of `{0}` are not one known `input`")]
    Arguments(String),
    /// A value that GraphQL would turn into another one.
    #[error("`{0}` is not a plain value here")]
    Value(String),
    /// The ids are not there.
    #[error("`{0}` names no object")]
    NoId(&'static str),
    /// The answer could not be paged without it.
    #[error("`{0}` must be selected, once")]
    NotSelected(&'static str),
    /// More than MLflow takes.
    #[error("the document asks for too much: at most {most} {of}")]
    TooMuch {
        /// How many it may have.
        most: usize,
        /// Of what.
        of: &'static str,
    },
}

/// Reads a document with its variables.
///
/// # Errors
/// [`GraphQlFault`] for whatever is not understood.
pub fn read(document: &str, variables: &Variables, operation: Option<&str>) -> Result<Document, GraphQlFault> {
    let tree = Parser::new(document).recursion_limit(NESTED).token_limit(TOKENS).parse();
    if tree.errors().next().is_some() {
        return Err(GraphQlFault::Unreadable);
    }
    let mut operations = Vec::new();
    let mut fragments = HashMap::new();
    for definition in tree.document().definitions() {
        match definition {
            Definition::OperationDefinition(operation) => operations.push(operation),
            Definition::FragmentDefinition(fragment) => {
                let name = fragment.fragment_name().and_then(|name| name.name()).map(|name| name.text().to_string());
                let name = name.ok_or(GraphQlFault::Unreadable)?;
                check_directives(fragment.directives())?;
                if fragments.insert(name.clone(), fragment).is_some() {
                    return Err(GraphQlFault::Fragment(name));
                }
            }
            _ => return Err(GraphQlFault::NotOneOperation),
        }
    }
    let operation = the_one(operations, operation)?;
    let mutation = is_mutation(&operation)?;
    let component = component(operation.directives())?;
    let variables = filled(&operation, variables)?;
    let reader = Reader { fragments: &fragments, variables: &variables, selections: SELECTIONS };
    reader.document(&operation, mutation, component)
}

/// The operation that is meant.
fn the_one(operations: Vec<OperationDefinition>, named: Option<&str>) -> Result<OperationDefinition, GraphQlFault> {
    let name = |operation: &OperationDefinition| operation.name().map(|name| name.text().to_string());
    let several = operations.len() > 1;
    let mut meant = operations.into_iter().filter(|operation| match (name(operation), named) {
        (Some(own), Some(named)) => own == named,
        // One that has no name must be alone (GraphQL section 5.2.2).
        (None, _) => !several && named.is_none(),
        (Some(_), None) => true,
    });
    match (meant.next(), meant.next()) {
        (Some(one), None) => Ok(one),
        (None | Some(_), _) => Err(GraphQlFault::NotOneOperation),
    }
}

fn is_mutation(operation: &OperationDefinition) -> Result<bool, GraphQlFault> {
    match operation.operation_type() {
        None => Ok(false),
        Some(kind) if kind.query_token().is_some() => Ok(false),
        Some(kind) if kind.mutation_token().is_some() => Ok(true),
        Some(_) => Err(GraphQlFault::NotOneOperation),
    }
}

/// The variables that the operation defines, with their defaults. One that is neither sent nor has a default is absent.
fn filled(operation: &OperationDefinition, sent: &Variables) -> Result<HashMap<String, Option<Json>>, GraphQlFault> {
    let mut filled = HashMap::new();
    for defined in operation.variable_definitions().into_iter().flat_map(|all| all.variable_definitions()) {
        check_directives(defined.directives())?;
        let name = defined.variable().and_then(|variable| variable.name()).map(|name| name.text().to_string());
        let name = name.ok_or(GraphQlFault::Unreadable)?;
        let default = defined.default_value().map(|default| default.value().ok_or(GraphQlFault::Unreadable));
        let value = match (sent.get(&name), default.transpose()?) {
            (Some(sent), _) => Some(sent.clone()),
            // A default holds no variables (GraphQL section 2.10).
            (None, Some(default)) => plain_value(&default, &HashMap::new())?,
            (None, None) => None,
        };
        if filled.insert(name.clone(), value).is_some() {
            return Err(GraphQlFault::Value(name));
        }
    }
    Ok(filled)
}

/// Reads one operation.
struct Reader<'a> {
    fragments: &'a HashMap<String, FragmentDefinition>,
    variables: &'a HashMap<String, Option<Json>>,
    /// How many selections are left.
    selections: usize,
}

impl Reader<'_> {
    fn document(
        mut self,
        operation: &OperationDefinition,
        mutation: bool,
        component: Option<String>,
    ) -> Result<Document, GraphQlFault> {
        let name = operation.name().map(|name| name.text().to_string());
        let mut document = Document { mutation, name, component, roots: Vec::new(), typename: None };
        let on = if mutation { "Mutation" } else { "Query" };
        for field in self.fields(operation.selection_set(), on, &mut Vec::new())? {
            let (key, name) = key_and_name(&field)?;
            if name == "__typename" {
                document.typename = Some(key);
                continue;
            }
            let known = |one: &&Operation| one.name == name && if mutation { one.in_mutation } else { one.in_query };
            let operation = OPERATIONS.iter().find(known).ok_or(GraphQlFault::UnknownField(name))?;
            let input = self.input(&field, operation)?;
            let selected = self.selection(field.selection_set(), operation.answer, 2)?;
            let root = Root { key, operation, input, selected };
            root.ids()?;
            match document.roots.iter_mut().find(|known| known.key == root.key) {
                None => document.roots.push(root),
                // The same once more: GraphQL takes both together (section 5.3.2).
                Some(known) if known.operation.name == root.operation.name && known.input == root.input => {
                    known.selected.merge(root.selected)?;
                }
                Some(_) => return Err(GraphQlFault::Key(root.key)),
            }
        }
        if document.typename.as_ref().is_some_and(|key| document.roots.iter().any(|root| root.key == *key)) {
            return Err(GraphQlFault::Key(document.typename.unwrap_or_default()));
        }
        if document.roots.is_empty() {
            return Err(GraphQlFault::NoId("the document"));
        }
        if document.roots.len() > ROOTS {
            return Err(GraphQlFault::TooMuch { most: ROOTS, of: "operations" });
        }
        for root in &document.roots {
            root.selected.check_aliases()?;
            if let Some(rows) = root.operation.rows
                && root.selected.fields.iter().filter(|field| field.name == rows).count() != 1
            {
                return Err(GraphQlFault::NotSelected(rows));
            }
        }
        Ok(document)
    }

    /// What is selected of an object, `depth` deep.
    fn selection(
        &mut self,
        set: Option<SelectionSet>,
        of: &'static Type,
        depth: usize,
    ) -> Result<Selection, GraphQlFault> {
        if depth > DEPTH {
            return Err(GraphQlFault::TooMuch { most: DEPTH, of: "levels" });
        }
        let mut selection = Selection { of, fields: Vec::new() };
        for field in self.fields(set, of.name, &mut Vec::new())? {
            let (key, name) = key_and_name(&field)?;
            if field.arguments().is_some() {
                return Err(GraphQlFault::Arguments(name));
            }
            if name == "__typename" {
                selection.push(Selected { key, name: "__typename", holds: Holds::Plain, inner: None })?;
                continue;
            }
            let Some((name, holds)) = of.fields.iter().find(|(own, _)| *own == name) else {
                return Err(GraphQlFault::UnknownField(name));
            };
            let inner = match (holds, field.selection_set()) {
                (Holds::One(inner) | Holds::Many(inner), set @ Some(_)) => {
                    Some(self.selection(set, inner, depth + 1)?)
                }
                (Holds::Plain | Holds::Id(_), None) => None,
                _ => return Err(GraphQlFault::UnknownField((*name).to_owned())),
            };
            selection.push(Selected { key, name, holds: *holds, inner })?;
        }
        Ok(selection)
    }

    /// The fields of a selection on type `on`, fragments expanded. `within`: the fragments that we stand in.
    fn fields(
        &mut self,
        set: Option<SelectionSet>,
        on: &str,
        within: &mut Vec<String>,
    ) -> Result<Vec<Field>, GraphQlFault> {
        let mut fields = Vec::new();
        for chosen in set.into_iter().flat_map(|set| set.selections()) {
            self.selections =
                self.selections.checked_sub(1).ok_or(GraphQlFault::TooMuch { most: SELECTIONS, of: "fields" })?;
            let (name, condition, inner) = match chosen {
                Chosen::Field(field) => {
                    check_directives(field.directives())?;
                    fields.push(field);
                    continue;
                }
                Chosen::FragmentSpread(spread) => {
                    check_directives(spread.directives())?;
                    let name = spread.fragment_name().and_then(|name| name.name()).map(|name| name.text().to_string());
                    let name = name.ok_or(GraphQlFault::Unreadable)?;
                    let fragment = self.fragments.get(&name).filter(|_| !within.contains(&name));
                    let Some(fragment) = fragment else { return Err(GraphQlFault::Fragment(name)) };
                    (name, fragment.type_condition(), fragment.selection_set())
                }
                Chosen::InlineFragment(fragment) => {
                    check_directives(fragment.directives())?;
                    (String::new(), fragment.type_condition(), fragment.selection_set())
                }
            };
            let of = condition.and_then(|condition| condition.named_type()).and_then(|of| of.name());
            // The schema has no interfaces: a fragment on any other type selects nothing, and MLflow refuses it.
            if of.is_some_and(|of| of.text() != on) {
                return Err(GraphQlFault::Fragment(name));
            }
            within.push(name);
            let inner = self.fields(inner, on, within)?;
            within.pop();
            fields.extend(inner);
        }
        if fields.is_empty() { Err(GraphQlFault::Unreadable) } else { Ok(fields) }
    }

    /// The one argument `input`, with its variables filled in.
    fn input(&self, field: &Field, operation: &Operation) -> Result<Json, GraphQlFault> {
        let wrong = || GraphQlFault::Arguments(operation.name.to_owned());
        let arguments: Vec<Argument> = field.arguments().iter().flat_map(Arguments::arguments).collect();
        let [argument] = &*arguments else { return Err(wrong()) };
        if argument.name().is_none_or(|name| name.text() != "input") {
            return Err(wrong());
        }
        let value = argument.value().ok_or(GraphQlFault::Unreadable)?;
        let input = plain_value(&value, self.variables)?.ok_or_else(wrong)?;
        let known = input.names().all(|name| operation.takes.contains(&name));
        if known && matches!(input, Json::Object(_)) { Ok(input) } else { Err(wrong()) }
    }
}

impl Selection {
    fn push(&mut self, field: Selected) -> Result<(), GraphQlFault> {
        let Some(known) = self.fields.iter_mut().find(|known| known.key == field.key) else {
            self.fields.push(field);
            return Ok(());
        };
        if known.name != field.name {
            return Err(GraphQlFault::Key(field.key));
        }
        match (&mut known.inner, field.inner) {
            (Some(known), Some(more)) => known.merge(more),
            (None, None) => Ok(()),
            (Some(_), None) | (None, Some(_)) => Err(GraphQlFault::Key(field.key)),
        }
    }

    fn check_aliases(&self) -> Result<(), GraphQlFault> {
        let aliases = self.fields.iter().filter(|field| field.key != field.name).count();
        if aliases > ALIASES {
            return Err(GraphQlFault::TooMuch { most: ALIASES, of: "aliases in one selection" });
        }
        self.fields.iter().filter_map(|field| field.inner.as_ref()).try_for_each(Self::check_aliases)
    }

    fn merge(&mut self, more: Self) -> Result<(), GraphQlFault> {
        more.fields.into_iter().try_for_each(|field| self.push(field))
    }
}

impl Document {
    /// The objects that it names.
    ///
    /// # Errors
    /// [`GraphQlFault`] where ids are missing or no plain texts.
    pub fn asked(&self) -> Result<Asked, GraphQlFault> {
        let mut asked = Asked::default();
        for root in &self.roots {
            let ids = root.ids()?;
            asked.experiments.extend(ids.experiments);
            asked.searched.extend(ids.searched);
            asked.runs.extend(ids.runs);
            asked.paths.extend(ids.paths);
        }
        Ok(asked)
    }
}

impl Root {
    /// The experiments that it searches; `None` where it searches none.
    #[must_use]
    pub fn searches(&self) -> Option<Vec<String>> {
        match self.operation.ids {
            Ids::Experiments => Some(self.input.texts(EXPERIMENT_IDS).unwrap_or_default()),
            Ids::Experiment | Ids::Run | Ids::RunAndPath | Ids::Runs | Ids::All => None,
        }
    }

    /// Its argument with other experiments to search.
    #[must_use]
    pub fn searching(&self, ids: &[&str]) -> Json {
        let ids = ids.iter().map(|id| Json::Text((*id).to_owned())).collect();
        self.input.clone().with(EXPERIMENT_IDS, Some(Json::List(ids)))
    }

    fn ids(&self) -> Result<Asked, GraphQlFault> {
        let one = |name| self.input.text(name);
        let run = || match (one("runId")?, one("runUuid")?) {
            (Some(id), Some(uuid)) if id != uuid => Err(GraphQlFault::Value("runUuid".to_owned())),
            (Some(id), _) | (None, Some(id)) => Ok(id),
            (None, None) => Err(GraphQlFault::NoId("runId")),
        };
        let mut asked = Asked::default();
        match self.operation.ids {
            Ids::Experiment => {
                asked.experiments.push(one("experimentId")?.ok_or(GraphQlFault::NoId("experimentId"))?);
            }
            Ids::Experiments => asked.searched = self.input.texts(EXPERIMENT_IDS)?,
            Ids::Run => asked.runs.push(run()?),
            Ids::RunAndPath => {
                asked.runs.push(run()?);
                asked.paths.extend(one("path")?);
            }
            Ids::Runs => asked.runs = self.input.texts("runIds")?,
            Ids::All => {}
        }
        Ok(asked)
    }
}

const EXPERIMENT_IDS: &str = "experimentIds";

/// Where a field stands in the answer, and its name.
fn key_and_name(field: &Field) -> Result<(String, String), GraphQlFault> {
    let name = field.name().map(|name| name.text().to_string()).ok_or(GraphQlFault::Unreadable)?;
    let key = match field.alias() {
        None => name.clone(),
        Some(alias) => alias.name().map(|name| name.text().to_string()).ok_or(GraphQlFault::Unreadable)?,
    };
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    // Names that begin with two underscores are GraphQL's own.
    let own = key.starts_with(OURS) || (key != name && key.starts_with("__"));
    if own || !plain(&key) { Err(GraphQlFault::Key(key)) } else { Ok((key, name)) }
}

/// What `@component(name: ...)` on an operation says; it does nothing.
fn component(directives: Option<Directives>) -> Result<Option<String>, GraphQlFault> {
    let mut said = None;
    for directive in directives.into_iter().flat_map(|directives| directives.directives()) {
        if directive.name().is_none_or(|name| name.text() != "component") || said.is_some() {
            return Err(GraphQlFault::Directive);
        }
        let arguments: Vec<Argument> = directive.arguments().iter().flat_map(Arguments::arguments).collect();
        let [argument] = &*arguments else { return Err(GraphQlFault::Directive) };
        let value = argument.value().filter(|_| argument.name().is_some_and(|name| name.text() == "name"));
        match plain_value(&value.ok_or(GraphQlFault::Directive)?, &HashMap::new())? {
            Some(Json::Text(name)) => said = Some(name),
            _ => return Err(GraphQlFault::Directive),
        }
    }
    Ok(said)
}

fn check_directives(directives: Option<Directives>) -> Result<(), GraphQlFault> {
    let none = directives.is_none_or(|directives| directives.directives().next().is_none());
    if none { Ok(()) } else { Err(GraphQlFault::Directive) }
}

/// A value as JSON; `None` for a variable that was not sent.
fn plain_value(value: &Value, variables: &HashMap<String, Option<Json>>) -> Result<Option<Json>, GraphQlFault> {
    let odd = |what: String| GraphQlFault::Value(what);
    Ok(Some(match value {
        Value::Variable(variable) => {
            let name = variable.name().map(|name| name.text().to_string()).ok_or(GraphQlFault::Unreadable)?;
            return variables.get(&name).cloned().ok_or_else(|| odd(name));
        }
        Value::StringValue(text) => {
            let source = text.source_string();
            let inner = source.trim().strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            // Escapes and block strings are ways to write one text in two forms; a text may not hold control signs
            // (GraphQL section 2.1.1).
            match inner {
                Some(inner) if !inner.contains(|sign: char| matches!(sign, '"' | '\\') || sign.is_control()) => {
                    Json::Text(inner.to_owned())
                }
                _ => return Err(odd(source)),
            }
        }
        Value::NullValue(_) => Json::Null,
        Value::IntValue(_) | Value::FloatValue(_) => {
            let source = value.source_string();
            Json::Number(serde_json::from_str(source.trim()).map_err(|_| odd(source))?)
        }
        Value::BooleanValue(truth) => Json::Truth(truth.true_token().is_some()),
        // In variables an enum's value is a text.
        Value::EnumValue(word) => Json::Text(word.name().ok_or(GraphQlFault::Unreadable)?.text().to_string()),
        Value::ListValue(list) => {
            let values = list.values().map(|value| Ok(plain_value(&value, variables)?.unwrap_or(Json::Null)));
            Json::List(values.collect::<Result<_, GraphQlFault>>()?)
        }
        Value::ObjectValue(object) => {
            let mut members = BTreeMap::new();
            for field in object.object_fields() {
                let name = field.name().map(|name| name.text().to_string()).ok_or(GraphQlFault::Unreadable)?;
                let value = plain_value(&field.value().ok_or(GraphQlFault::Unreadable)?, variables)?;
                if members.contains_key(&name) {
                    return Err(odd(name));
                }
                // A member whose variable was not sent is absent (GraphQL section 3.10).
                if let Some(value) = value {
                    members.insert(name, value);
                }
            }
            Json::Object(members)
        }
    }))
}

#[cfg(test)]
mod tests;
