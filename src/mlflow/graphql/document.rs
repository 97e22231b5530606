//! What does a document ask for, and how is it written?
//!
//! A [`Document`] is what is left of a caller's text when fragments are expanded and variables filled in. MLflow gets it
//! written anew: so what it reads is what was judged, whatever its parser makes of the caller's text, and a search can be
//! narrowed. Values travel as variables: no text of a caller stands in the document but names.

use std::fmt::Write as _;

use super::schema::{Holds, Operation, Type};
use super::values::Json;

/// One operation, understood whole.
#[derive(Debug, Clone)]
pub struct Document {
    pub(super) mutation: bool,
    pub(super) name: Option<String>,
    /// What `@component(name: ...)` says: MLflow's pages tell by it where they are.
    pub(super) component: Option<String>,
    /// What is asked for.
    pub roots: Vec<Root>,
    /// Whether `__typename` of the operation itself is asked for, and under which key.
    pub(super) typename: Option<String>,
}

/// One field of the operation.
#[derive(Debug, Clone)]
pub struct Root {
    /// Where its answer stands.
    pub key: String,
    /// What it is.
    pub operation: &'static Operation,
    /// Its argument.
    pub input: Json,
    /// What is selected of its answer.
    pub selected: Selection,
}

/// What is selected of an object.
#[derive(Debug, Clone)]
pub struct Selection {
    /// What the object is.
    pub of: &'static Type,
    /// Each key once.
    pub fields: Vec<Selected>,
}

/// One field of an object.
#[derive(Debug, Clone)]
pub struct Selected {
    /// Where it stands in the answer: its name, or the caller's alias.
    pub key: String,
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub holds: Holds,
    /// What is selected of that, if it is an object.
    pub inner: Option<Selection>,
}

impl Document {
    /// The request's body for some of what is asked for, each with its own `input`.
    #[must_use]
    pub fn body(&self, roots: &[(&Root, &Json)]) -> String {
        let mut text = String::from(if self.mutation { "mutation" } else { "query" });
        if let Some(name) = &self.name {
            text.push(' ');
            text.push_str(name);
        }
        let mut variables = String::new();
        for (n, (root, input)) in roots.iter().enumerate() {
            let (open, comma) = if n == 0 { ("(", "") } else { (", ", ",") };
            let _ = write!(text, "{open}$input{n}: {}", root.operation.input);
            let _ = write!(variables, "{comma}\"input{n}\":{input}");
        }
        text.push_str(if roots.is_empty() { " " } else { ") " });
        if let Some(component) = &self.component {
            let _ = write!(text, "@component(name: {}) ", serde_json::Value::from(component.as_str()));
        }
        text.push_str("{ ");
        for (n, (root, _)) in roots.iter().enumerate() {
            aliased(&mut text, &root.key, root.operation.name);
            let _ = write!(text, "(input: $input{n}) ");
            root.selected.write(&mut text, root.operation.rows.map_or("", |_| "trackgate_next: nextPageToken "));
        }
        text.push('}');
        let mut body = format!("{{\"query\":{},\"variables\":{{{variables}}}", serde_json::Value::from(text));
        if let Some(name) = &self.name {
            let _ = write!(body, ",\"operationName\":{}", serde_json::Value::from(name.as_str()));
        }
        body.push('}');
        body
    }

    /// The key of the operation's own `__typename`, and what it is.
    #[must_use]
    pub fn typename(&self) -> Option<(&str, &'static str)> {
        self.typename.as_deref().map(|key| (key, if self.mutation { "Mutation" } else { "Query" }))
    }
}

impl Selection {
    fn write(&self, text: &mut String, besides: &str) {
        text.push_str("{ ");
        for field in &self.fields {
            aliased(text, &field.key, field.name);
            text.push(' ');
            if let Some(inner) = &field.inner {
                inner.write(text, "");
            }
        }
        text.push_str(besides);
        if let Some(judged) = self.of.is {
            text.push_str(judged.besides());
            text.push(' ');
        }
        text.push_str("} ");
    }
}

fn aliased(text: &mut String, key: &str, name: &str) {
    if key != name {
        text.push_str(key);
        text.push_str(": ");
    }
    text.push_str(name);
}
