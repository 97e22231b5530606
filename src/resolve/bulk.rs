//! Where do many runs or logged models lie?
//!
//! A page of runs links to about as many logged models; asking for each by itself would cost a call each. MLflow finds
//! many at once among the experiments that they most likely lie in (`attributes.run_id IN (...)` of runs/search,
//! `model_id IN (...)` of logged-models/search; 3.17.2). What is found is remembered like a single look-up; what is not
//! found there may lie elsewhere, and is for single look-ups.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode};
use serde::Deserialize;

use super::Resolver;
use super::answers::Info;
use crate::message::Body;
use crate::mlflow::ids::{ExperimentId, LoggedModelId, RunId, WorkspaceName};
use crate::mlflow::resource::{Kind, Object, Resource};
use crate::upstream::{Asked, Upstream, UpstreamError};

/// How many ids go into one question: an answer holds whole runs, and must stay small.
const AT_ONCE: usize = 25;
/// How many experiments go into one question.
const MOST_EXPERIMENTS: usize = 100;

/// Whoever can search MLflow for something of our own.
pub trait Search {
    /// Asks with a POST of JSON; the answer is read whole.
    fn search(&self, target: &str, body: Bytes) -> impl Future<Output = Result<Asked, UpstreamError>>;

    /// The workspace in which it is searched, if there are several.
    fn workspace(&self) -> Option<&WorkspaceName> {
        None
    }
}

impl Search for Upstream {
    async fn search(&self, target: &str, body: Bytes) -> Result<Asked, UpstreamError> {
        let mut request = Request::new(Body::Full(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() =
            target.parse().map_err(|fault: http::uri::InvalidUri| UpstreamError::Settings(fault.to_string()))?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.ask_with(request).await
    }

    fn workspace(&self) -> Option<&WorkspaceName> {
        Self::workspace(self)
    }
}

#[derive(Deserialize)]
struct Found<'a> {
    #[serde(borrow, default, alias = "models")]
    runs: Vec<Row<'a>>,
}

#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow)]
    info: Info<'a>,
}

impl Resolver {
    /// The object with what it lies in, if that is remembered of this workspace.
    pub async fn remembered(&self, object: &Object, workspace: Option<&WorkspaceName>) -> Option<Resource> {
        match object.kind {
            Kind::Run | Kind::LoggedModel => Some(self.links.known(object, workspace).await?.place(object.clone())),
            _ => None,
        }
    }

    /// Looks many runs and logged models up among `near`, experiments that they likely lie in, and remembers those that
    /// are there. A fault costs nothing but the speed: single look-ups follow.
    pub async fn learn<S: Search>(&self, objects: &[Object], near: &[Arc<str>], upstream: &S) {
        let near: Vec<&str> =
            near.iter().map(|id| &**id).filter(|id| ExperimentId::parse(id).is_ok()).take(MOST_EXPERIMENTS).collect();
        if near.is_empty() {
            return;
        }
        for (kind, path, attribute) in [
            (Kind::Run, "/api/2.0/mlflow/runs/search", "attributes.run_id"),
            (Kind::LoggedModel, "/api/2.0/mlflow/logged-models/search", "model_id"),
        ] {
            // Canonical ids alone: nothing in them can end a quoted string.
            let canonical = |id: &str| match kind {
                Kind::Run => RunId::parse(id).is_ok(),
                _ => LoggedModelId::parse(id).is_ok(),
            };
            let ids: Vec<&str> =
                objects.iter().filter(|one| one.kind == kind && canonical(&one.id)).map(|one| &*one.id).collect();
            for ids in ids.chunks(AT_ONCE) {
                let filter = format!("{attribute} IN ('{}')", ids.join("','"));
                let mut body = serde_json::json!({
                    "experiment_ids": near, "filter": filter, "max_results": ids.len(),
                });
                if kind == Kind::Run {
                    body["run_view_type"] = "ALL".into();
                }
                let target = self.links.target(path);
                let Ok(asked) = upstream.search(&target, Bytes::from(body.to_string())).await else { return };
                if asked.status != StatusCode::OK {
                    return;
                }
                let Ok(found) = serde_json::from_slice::<Found<'_>>(&asked.body) else { return };
                for row in found.runs {
                    let object = Object { kind, id: Arc::from(&*row.info.run_id) };
                    // Only what was asked for, where it was looked for.
                    if !ids.contains(&&*object.id) || !near.contains(&&*row.info.experiment_id) {
                        continue;
                    }
                    if let Ok(link) = row.info.link(&object.id) {
                        self.links.remember(&object, upstream.workspace(), link).await;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::resolve::Settings;

    /// Answers every search with the same text.
    struct Scripted {
        answer: String,
        asked: RefCell<Vec<(String, serde_json::Value)>>,
    }

    impl Search for Scripted {
        async fn search(&self, target: &str, body: Bytes) -> Result<Asked, UpstreamError> {
            self.asked.borrow_mut().push((target.to_owned(), serde_json::from_slice(&body).unwrap()));
            Ok(Asked { status: StatusCode::OK, body: Bytes::from(self.answer.clone()) })
        }
    }

    fn model(n: u32) -> Object {
        Object { kind: Kind::LoggedModel, id: format!("m-{n:032x}").into() }
    }

    fn answer(rows: &[(&Object, &str)]) -> String {
        let rows: Vec<String> = rows
            .iter()
            .map(|(object, experiment)| {
                format!(
                    r#"{{"info":{{"model_id":"{}","experiment_id":"{experiment}","artifact_uri":"a"}}}}"#,
                    object.id
                )
            })
            .collect();
        format!(r#"{{"models":[{}]}}"#, rows.join(","))
    }

    #[tokio::test]
    async fn many_models_cost_one_question() {
        let models: Vec<Object> = (0..).take(AT_ONCE).map(model).collect();
        let rows: Vec<_> = models.iter().map(|one| (one, "7")).collect();
        let scripted = Scripted { answer: answer(&rows), asked: RefCell::default() };
        let resolver = Resolver::new(Settings { static_prefix: "/ml".into(), ..Settings::default() });
        resolver.learn(&models, &["7".into()], &scripted).await;
        assert_eq!(scripted.asked.borrow().len(), 1);
        assert_eq!(scripted.asked.borrow()[0].0, "/ml/ajax-api/2.0/mlflow/logged-models/search");
        assert_eq!(scripted.asked.borrow()[0].1["experiment_ids"], serde_json::json!(["7"]));
        for one in &models {
            assert_eq!(&*resolver.remembered(one, None).await.unwrap().within.unwrap().id, "7");
        }
    }

    #[tokio::test]
    async fn what_was_not_asked_for_is_not_believed() {
        let scripted = Scripted { answer: answer(&[(&model(2), "7"), (&model(1), "8")]), asked: RefCell::default() };
        let resolver = Resolver::new(Settings::default());
        resolver.learn(&[model(1)], &["7".into()], &scripted).await;
        assert_eq!(resolver.remembered(&model(1), None).await, None);
        assert_eq!(resolver.remembered(&model(2), None).await, None);
    }

    #[tokio::test]
    async fn an_answer_that_cannot_be_read_teaches_nothing() {
        for text in ["", "[]", "{", r#"{"models":[{"info":{}}]}"#] {
            let scripted = Scripted { answer: text.to_owned(), asked: RefCell::default() };
            let resolver = Resolver::new(Settings::default());
            resolver.learn(&[model(1)], &["7".into()], &scripted).await;
            assert_eq!(resolver.remembered(&model(1), None).await, None);
        }
    }

    #[tokio::test]
    async fn ids_that_are_not_canonical_never_enter_a_filter() {
        let odd = Object { kind: Kind::LoggedModel, id: "m-1') OR ('1".into() };
        let scripted = Scripted { answer: answer(&[]), asked: RefCell::default() };
        Resolver::new(Settings::default()).learn(&[odd], &["7".into()], &scripted).await;
        assert!(scripted.asked.borrow().is_empty());
    }
}
