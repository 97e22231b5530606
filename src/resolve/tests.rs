use std::cell::RefCell;
use std::collections::HashMap;

use bytes::Bytes;
use http::StatusCode;

use super::check::FORGED;
use super::*;
use crate::policy::classify::{Classified, classify};
use crate::policy::fields;
use crate::policy::path::Path;
use crate::policy::route::Verb;
use crate::upstream::{Asked, UpstreamError};

const RUN: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "fedcba9876543210fedcba9876543210";

/// An MLflow that answers by heart and counts what it was asked.
#[derive(Default)]
struct Scripted {
    answers: HashMap<String, (StatusCode, String)>,
    asked: RefCell<Vec<String>>,
    down: bool,
}

impl Ask for Scripted {
    async fn ask(&self, target: &str) -> Result<Asked, UpstreamError> {
        self.asked.borrow_mut().push(target.to_owned());
        if self.down {
            return Err(UpstreamError::FirstByteTimeout);
        }
        let (status, body) =
            self.answers.get(target).cloned().unwrap_or((StatusCode::NOT_FOUND, r#"{"error_code":"x"}"#.to_owned()));
        // Waiters get a chance to come.
        tokio::task::yield_now().await;
        Ok(Asked { status, body: Bytes::from(body) })
    }

    async fn ask_many(&self, target: &str, body: Bytes) -> Result<Asked, UpstreamError> {
        self.ask(&format!("{target} {}", String::from_utf8_lossy(&body))).await
    }
}

impl Scripted {
    fn with(mut self, target: &str, body: &str) -> Self {
        self.answers.insert(target.to_owned(), (StatusCode::OK, body.to_owned()));
        self
    }

    fn run(self, id: &str, experiment: &str) -> Self {
        let body = format!(
            r#"{{"run":{{"info":{{"run_id":"{id}","run_uuid":"{id}","experiment_id":"{experiment}","user_id":"ann",
            "artifact_uri":"mlflow-artifacts:/{experiment}/{id}/artifacts"}},"data":{{"metrics":[{{"value":NaN}}]}}}}}}"#
        )
        .replace("NaN", r#""NaN""#);
        self.with(&format!("/api/2.0/mlflow/runs/get?run_id={id}"), &body)
    }

    fn model(self, id: &str, experiment: &str) -> Self {
        let body = format!(
            r#"{{"model":{{"info":{{"model_id":"{id}","experiment_id":"{experiment}",
            "artifact_uri":"mlflow-artifacts:/{experiment}/models/{id}/artifacts"}}}}}}"#
        );
        self.with(&format!("/api/2.0/mlflow/logged-models/{id}"), &body)
    }
}

async fn resolve(
    resolver: &Resolver,
    verb: Verb,
    path: &str,
    query: Option<&str>,
    body: &str,
    upstream: &Scripted,
) -> Result<Resolved, ResolveFault> {
    let Classified::Call(call) = classify(verb, &Path::parse(path).unwrap()) else { panic!("{path} has no row") };
    let fields = fields::read(&call, &http::HeaderMap::new(), query, Some(body.as_bytes())).unwrap();
    resolver.resolve(&call, &fields, upstream).await
}

fn resolver() -> Resolver {
    Resolver::new(Settings { artifact_locations: vec!["s3://ours/mlflow".to_owned()], ..Settings::default() })
}

fn told(resolved: &Resolved) -> Vec<String> {
    resolved
        .requirements
        .iter()
        .map(|requirement| match requirement {
            Requirement::SignedIn => "signed in".to_owned(),
            Requirement::Nothing => "nothing".to_owned(),
            Requirement::Admin(why) | Requirement::Absent(why) => format!("admin: {why}"),
            Requirement::NoName(name) => format!("no name {name}"),
            Requirement::Nobody(_) => "nobody".to_owned(),
            Requirement::Holds { action, resource } => {
                let levels: Vec<String> = resource.levels().map(ToString::to_string).collect();
                format!("{action} {}", levels.join(" in "))
            }
            Requirement::Among { action, resource, named } => {
                let named: Vec<String> =
                    named.iter().map(|named| format!("{} if {}", named.least, named.users.join(" "))).collect();
                let action = action.map_or("nobody else", Action::as_str);
                format!("{action} {}, {}", resource.object, named.join(", "))
            }
            Requirement::Creates { kind, name, workspace } => format!("creates {kind} {name} in {}", workspace.object),
            Requirement::NotDenied(resource) => format!("not denied {}", resource.object),
            Requirement::NoneDenied(kind) => format!("none denied {kind}"),
            Requirement::Whole(kind) => format!("whole {kind}"),
            Requirement::Lastingly { lasting, of, .. } => format!("lastingly {} {of:?}", lasting.is_some()),
            Requirement::Oneself { name, managers } => format!("oneself {name} {managers}"),
            Requirement::Tokens { of, service, looks_after, making } => {
                format!("tokens {of} {service} {looks_after} {making}")
            }
            Requirement::Another(name) => format!("another than {name}"),
            Requirement::Belongs { to, does } => format!("belongs to {to:?} {does}"),
            Requirement::Bears { role, has, .. } => format!("role {role} {has}"),
        })
        .collect()
}

async fn post(upstream: &Scripted, path: &str, body: &str) -> Vec<String> {
    let path = format!("/api/2.0/mlflow/{path}");
    told(&resolve(&resolver(), Verb::Post, &path, None, body, upstream).await.unwrap())
}

#[tokio::test]
async fn who_gives_manages_what_they_give_for_long_enough_and_gives_it_to_others() {
    let upstream = Scripted::default();
    let grant = |id: &str| {
        format!(r#"{{"username":"bob","resource_type":"experiment","resource_id":"{id}","permission":"READ"}}"#)
    };
    let path = "/api/3.0/mlflow/users/permissions/grant";
    let asked = async |body: String| {
        let resolved = resolve(&resolver(), Verb::Post, path, None, &body, &upstream).await.unwrap();
        (told(&resolved), resolved.objects.len())
    };
    let (one, objects) = asked(grant("7")).await;
    assert_eq!(
        (one[0].as_str(), one.last().unwrap().as_str(), objects),
        ("manage experiment 7", "another than bob", 1)
    );
    // What lies in it comes with it, and must be held as far as it is given.
    assert!(one[1].starts_with("read every run") && one[1].ends_with("in experiment 7"), "{one:?}");
    // Nobody has looked for how long the caller holds it: then it is not for long enough.
    let lasting = one.iter().filter(|asked| asked.starts_with("lastingly false")).count();
    assert_eq!((lasting, one.len()), (6, 13), "{one:?}");
    let (all, objects) = asked(grant("*")).await;
    assert_eq!((all[0].as_str(), objects), ("whole experiment", 1));
}

#[tokio::test]
async fn of_a_role_that_nobody_has_looked_up_nothing_is_allowed() {
    let upstream = Scripted::default();
    for (verb, path, body) in [
        (Verb::Post, "/api/3.0/mlflow/roles/assign", r#"{"username":"bob","role_id":4}"#),
        (Verb::Delete, "/api/3.0/mlflow/roles/delete", r#"{"role_id":4}"#),
        (Verb::Patch, "/api/3.0/mlflow/roles/permissions/update", r#"{"role_permission_id":4,"permission":"READ"}"#),
    ] {
        let asked = told(&resolve(&resolver(), verb, path, None, body, &upstream).await.unwrap());
        assert_eq!(asked[0], "admin: there is no such role", "{path}");
    }
}

#[tokio::test]
async fn a_run_is_judged_in_its_experiment_and_asked_for_once() {
    let upstream = Scripted::default().run(RUN, "7");
    let resolver = resolver();
    for _ in 0..3 {
        let query = format!("run_id={RUN}");
        let resolved =
            resolve(&resolver, Verb::Get, "/ajax-api/2.0/mlflow/runs/get", Some(&query), "", &upstream).await.unwrap();
        assert_eq!(told(&resolved), [format!("read run {RUN} in experiment 7")]);
        assert_eq!(resolved.objects.len(), 2);
    }
    assert_eq!(upstream.asked.borrow().len(), 1);
}

#[tokio::test]
async fn whose_a_run_is_may_be_said_again_by_its_author_alone() {
    let upstream = Scripted::default().run(RUN, "7");
    let set = async |key: &str, value: &str| {
        post(&upstream, "runs/set-tag", &format!(r#"{{"run_id":"{RUN}","key":"{key}","value":"{value}"}}"#)).await
    };
    let edit = &*format!("edit run {RUN} in experiment 7");
    let forged = &*format!("admin: {FORGED}");
    let is_ann = &*format!("nobody else run {RUN}, edit if ann");
    assert_eq!(set("mlflow.user", "ann").await, [edit, is_ann]);
    assert_eq!(set("mlflow.user", "bob").await, [edit, forged]);
    assert_eq!(set("MLFLOW.USER ", "bob").await, [edit, forged]);
    assert_eq!(set("mlflow.users", "bob").await, [edit]);
    let batch = |names: &str| format!(r#"{{"run_id":"{RUN}","tags":[{{"key":"a","value":"b"}}{names}]}}"#);
    let tag = |name: &str| format!(r#",{{"value":"{name}","key":"mlflow.user"}}"#);
    assert_eq!(post(&upstream, "runs/log-batch", &batch("")).await, [edit]);
    assert_eq!(post(&upstream, "runs/log-batch", &batch(&tag("ann"))).await, [edit, is_ann]);
    assert_eq!(post(&upstream, "runs/log-batch", &batch(&(tag("ann") + &tag("bob")))).await, [edit, forged]);
    let delete = format!(r#"{{"run_id":"{RUN}","key":"mlflow.user"}}"#);
    assert_eq!(post(&upstream, "runs/delete-tag", &delete).await, [edit, forged]);
}

#[tokio::test]
async fn a_source_below_an_allowed_place_needs_no_run() {
    let upstream = Scripted::default();
    let settings = Settings { model_sources: vec!["s3://zoo/models/".to_owned()], ..Settings::default() };
    let resolver = Resolver::new(settings);
    for (source, asked) in [
        ("s3://zoo/models/resnet", 2),
        ("s3://zoo/models", 2),
        ("s3://zoo/modelsx/resnet", 3),
        ("s3://zoo/models/../secret", 3),
        ("s3://zoo", 3),
    ] {
        let body = format!(r#"{{"name":"iris","source":"{source}"}}"#);
        let path = "/api/2.0/mlflow/model-versions/create";
        let resolved = resolve(&resolver, Verb::Post, path, None, &body, &upstream).await.unwrap();
        assert_eq!(told(&resolved).len(), asked, "{source}: {:?}", told(&resolved));
    }
}

#[tokio::test]
async fn without_the_setting_an_author_is_a_tag_like_any_other() {
    let upstream = Scripted::default().run(RUN, "7");
    let resolver = Resolver::new(Settings { authors: false, ..Settings::default() });
    let body = format!(r#"{{"run_id":"{RUN}","key":"mlflow.user","value":"bob"}}"#);
    for path in ["set-tag", "delete-tag"] {
        let path = format!("/api/2.0/mlflow/runs/{path}");
        let resolved = resolve(&resolver, Verb::Post, &path, None, &body, &upstream).await.unwrap();
        assert_eq!(told(&resolved), [format!("edit run {RUN} in experiment 7")]);
    }
    assert!(!resolver.stamps_authors());
}

#[tokio::test]
async fn what_does_not_exist_looks_like_a_denial_and_is_asked_for_again() {
    let upstream = Scripted::default();
    let body = format!(r#"{{"run_id":"{RUN}"}}"#);
    let resolver = resolver();
    for _ in 0..2 {
        let resolved =
            resolve(&resolver, Verb::Post, "/api/2.0/mlflow/runs/delete", None, &body, &upstream).await.unwrap();
        assert_eq!(told(&resolved), ["admin: there is no such object"]);
    }
    assert_eq!(upstream.asked.borrow().len(), 2);
}

#[tokio::test]
async fn an_upstream_that_is_down_or_lies_is_a_fault_never_a_yes() {
    let query = format!("run_id={RUN}");
    let get = async |upstream: Scripted| {
        resolve(&resolver(), Verb::Get, "/api/2.0/mlflow/runs/get", Some(&query), "", &upstream).await.unwrap_err()
    };
    assert!(matches!(get(Scripted { down: true, ..Scripted::default() }).await, ResolveFault::Upstream(_)));
    let target = format!("/api/2.0/mlflow/runs/get?run_id={RUN}");
    for body in [
        "",
        "[]",
        "{}",
        &format!(r#"{{"run":{{"info":{{"run_id":"{OTHER}","experiment_id":"1"}}}}}}"#),
        &format!(r#"{{"run":{{"info":{{"run_id":"{RUN}","experiment_id":"01"}}}}}}"#),
        &format!(r#"{{"run":{{"info":{{"run_id":"{RUN}","experiment_id":1}}}}}}"#),
        &format!(r#"{{"run":{{"info":{{"run_id":"{RUN}"}}}}}}"#),
    ] {
        assert!(matches!(get(Scripted::default().with(&target, body)).await, ResolveFault::Unreadable(_)), "{body}");
    }
    let mut broken = Scripted::default();
    broken.answers.insert(target, (StatusCode::INTERNAL_SERVER_ERROR, String::new()));
    assert!(matches!(get(broken).await, ResolveFault::Status(StatusCode::INTERNAL_SERVER_ERROR)));
}

#[tokio::test]
async fn callers_who_miss_the_same_link_share_one_question() {
    let upstream = Scripted::default().run(RUN, "7");
    let resolver = resolver();
    let query = format!("run_id={RUN}");
    let one = || resolve(&resolver, Verb::Get, "/api/2.0/mlflow/runs/get", Some(&query), "", &upstream);
    let (a, b, c) = tokio::join!(one(), one(), one());
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
    assert_eq!(upstream.asked.borrow().len(), 1);
}

#[tokio::test]
async fn every_id_of_a_list_is_judged() {
    let upstream = Scripted::default().run(RUN, "1").run(OTHER, "2");
    let query = format!("run_ids={RUN}&run_ids={OTHER}&run_ids={RUN}");
    let path = "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval";
    let resolved = resolve(&resolver(), Verb::Get, path, Some(&query), "", &upstream).await.unwrap();
    assert_eq!(
        told(&resolved),
        [format!("read run {RUN} in experiment 1"), format!("read run {OTHER} in experiment 2")]
    );
    let few = Resolver::new(Settings { most_look_ups: 1, ..Settings::default() });
    let many = resolve(&few, Verb::Get, path, Some(&query), "", &upstream).await;
    assert!(matches!(many, Err(ResolveFault::TooMany { most: 1 })));
}

#[tokio::test]
async fn side_references_are_judged_too() {
    let model = format!("m-{OTHER}");
    let upstream = Scripted::default().run(RUN, "1").model(&model, "2");
    let edits = [format!("edit run {RUN} in experiment 1"), format!("edit logged_model {model} in experiment 2")];
    let batch = format!(
        r#"{{"run_id":"{RUN}","metrics":[{{"key":"a","value":"NaN","model_id":"{model}"}},{{"key":"b","value":1}}]}}"#
    );
    assert_eq!(post(&upstream, "runs/log-batch", &batch).await, edits);
    let inputs = format!(r#"{{"run_id":"{RUN}","models":[{{"model_id":"{model}"}}]}}"#);
    assert_eq!(post(&upstream, "runs/log-inputs", &inputs).await, edits);
    assert_eq!(post(&upstream, "runs/outputs", &inputs).await, edits);
    let metric = format!(r#"{{"run_id":"{RUN}","key":"a","value":1,"model_id":"{model}"}}"#);
    assert_eq!(post(&upstream, "runs/log-metric", &metric).await, edits);
    let create = format!(r#"{{"experiment_id":"3","source_run_id":"{RUN}"}}"#);
    assert_eq!(
        post(&upstream, "logged-models", &create).await,
        [
            "edit experiment 3".to_owned(),
            "not denied every logged_model".to_owned(),
            format!("read run {RUN} in experiment 1")
        ]
    );
}

#[tokio::test]
async fn an_experiment_is_found_by_its_name_and_never_remembered() {
    let upstream = Scripted::default().with(
        "/api/2.0/mlflow/experiments/get-by-name?experiment_name=a%20%2F%26%20%C3%A4",
        r#"{"experiment":{"experiment_id":"4","name":"a /& ä"}}"#,
    );
    let resolver = resolver();
    let path = "/api/2.0/mlflow/experiments/get-by-name";
    for _ in 0..2 {
        let query = Some("experiment_name=a+%2F%26%20%C3%A4");
        let resolved = resolve(&resolver, Verb::Get, path, query, "", &upstream).await.unwrap();
        assert_eq!(told(&resolved), ["read experiment 4"]);
    }
    assert_eq!(upstream.asked.borrow().len(), 2);
    let hidden = resolve(&resolver, Verb::Get, path, Some("experiment_name=b"), "", &upstream).await.unwrap();
    assert_eq!(told(&hidden), ["admin: there is no such object"]);
}

#[tokio::test]
async fn artifacts_are_judged_by_the_object_they_lie_in() {
    let model = format!("m-{OTHER}");
    let trace = format!("tr-{OTHER}");
    let upstream = Scripted::default().run(RUN, "1").model(&model, "2").with(
        &format!("/api/3.0/mlflow/traces/{trace}"),
        &format!(
            r#"{{"trace":{{"trace_info":{{"trace_id":"{trace}","trace_location":{{"type":"MLFLOW_EXPERIMENT","mlflow_experiment":{{"experiment_id":"3"}}}}}}}}}}"#
        ),
    );
    let path = |rest: &str| format!("/api/2.0/mlflow-artifacts/artifacts/{rest}");
    let judge = async |verb, rest: &str| {
        told(&resolve(&resolver(), verb, &path(rest), None, "", &upstream).await.unwrap()).join("; ")
    };
    let of_run = format!("1/{RUN}/artifacts/model/a%20b.txt");
    assert_eq!(judge(Verb::Get, &of_run).await, format!("read run {RUN} in experiment 1"));
    assert_eq!(judge(Verb::Put, &of_run).await, format!("edit run {RUN} in experiment 1"));
    assert_eq!(judge(Verb::Delete, &of_run).await, format!("delete run {RUN} in experiment 1"));
    let of_model = format!("2/models/{model}/artifacts/MLmodel");
    assert_eq!(judge(Verb::Get, &of_model).await, format!("read logged_model {model} in experiment 2"));
    let of_trace = format!("3/traces/{trace}/artifacts/traces.json");
    assert_eq!(judge(Verb::Put, &of_trace).await, format!("edit trace {trace} in experiment 3"));
    for elsewhere in [
        format!("2/{RUN}/artifacts/x"),
        format!("1/models/{model}/artifacts/x"),
        format!("4/traces/{trace}/artifacts/x"),
        format!("x/1/{RUN}/artifacts/x"),
        "1/x".to_owned(),
        "1".to_owned(),
        format!("1/{RUN}"),
        format!("1/{OTHER}/artifacts/x"),
    ] {
        assert!(judge(Verb::Put, &elsewhere).await.starts_with("admin: "), "{elsewhere}");
    }
}

#[tokio::test]
async fn listing_artifacts_is_judged_by_the_path_too() {
    let upstream = Scripted::default().run(RUN, "1");
    let list = async |query: Option<&str>| {
        let path = "/api/2.0/mlflow-artifacts/artifacts";
        told(&resolve(&resolver(), Verb::Get, path, query, "", &upstream).await.unwrap()).join("; ")
    };
    assert_eq!(list(Some(&format!("path=1%2F{RUN}%2Fartifacts"))).await, format!("read run {RUN} in experiment 1"));
    assert_eq!(list(Some(&format!("path=1/{RUN}/artifacts/"))).await, format!("read run {RUN} in experiment 1"));
    for query in [None, Some(""), Some("path="), Some("path=1")] {
        assert!(list(query).await.starts_with("admin: "), "{query:?}");
    }
}

#[tokio::test]
async fn the_server_is_not_sent_to_read_or_write_anywhere() {
    let model = format!("m-{OTHER}");
    let upstream = Scripted::default().run(RUN, "1").model(&model, "2");
    let create = async |location: &str| {
        post(&upstream, "experiments/create", &format!(r#"{{"name":"x","artifact_location":"{location}"}}"#)).await
    };
    let free = vec!["creates experiment x in workspace default".to_owned(), "not denied every experiment".to_owned()];
    assert_eq!(create("").await, free);
    assert_eq!(create("s3://ours/mlflow/team").await, free);
    for location in ["s3://other", "s3://ours/mlflowx", "s3://ours/mlflow/../x", "/etc", "mlflow-artifacts:/1"] {
        assert_eq!(create(location).await.len(), 3, "{location}");
    }

    let version = async |source: &str, rest: &str| {
        let body = format!(r#"{{"name":"iris","source":"{source}"{rest}}}"#);
        post(&upstream, "model-versions/create", &body).await.join("; ")
    };
    let base = "edit registered_model iris; not denied every registered_model_version";
    assert_eq!(
        version(&format!("models:/{model}"), "").await,
        format!("{base}; read logged_model {model} in experiment 2")
    );
    assert_eq!(
        version("models:/rose/2", "").await,
        format!("{base}; read registered_model_version rose/2 in registered_model rose")
    );
    assert_eq!(version("dummy-source", "").await, base);
    assert_eq!(version(&format!("runs:/{RUN}/m"), "").await, format!("{base}; read run {RUN} in experiment 1"));
    let of_run = format!("mlflow-artifacts:/1/{RUN}/artifacts/m");
    let named = format!(r#","run_id":"{RUN}""#);
    assert_eq!(version(&of_run, &named).await, format!("{base}; read run {RUN} in experiment 1"));
    for (source, rest) in [
        (of_run.as_str(), ""),
        ("mlflow-artifacts:/2/x", named.as_str()),
        (&format!("{of_run}/../../../2"), &named),
        ("s3://bucket/1", &named),
        ("file:///etc", ""),
    ] {
        assert!(version(source, rest).await.contains("admin: the server would read"), "{source}");
    }
}

#[tokio::test]
async fn a_source_by_alias_is_a_read_of_the_version_that_the_alias_names() {
    let upstream = Scripted::default().with(
        "/api/2.0/mlflow/registered-models/alias?name=rose%20x&alias=best%2D1",
        r#"{"model_version":{"name":"rose x","version":"2","current_stage":"None"}}"#,
    );
    let create = async |source: &str| {
        post(&upstream, "model-versions/create", &format!(r#"{{"name":"iris","source":"{source}"}}"#)).await.remove(2)
    };
    assert_eq!(
        create("models:/rose x@best-1").await,
        "read registered_model_version rose x/2 in registered_model rose x"
    );
    assert_eq!(create("models:/rose x@other").await, "admin: there is no such object");
    for moving in ["models:/rose x/Production", "models:/rose x/latest"] {
        assert!(create(moving).await.contains("admin: the server would read"), "{moving}");
    }
}

#[tokio::test]
async fn a_megabyte_of_ids_is_refused_and_thousands_cost_no_time_squared() {
    let ask = async |count: usize| {
        let ids: Vec<String> = (1..=count).map(|id| format!("\"{id}\"")).collect();
        let body = format!(r#"{{"experiment_ids":[{}]}}"#, ids.join(","));
        let path = "/api/3.0/mlflow/datasets/create";
        resolve(&resolver(), Verb::Post, path, None, &body, &Scripted::default()).await
    };
    let resolved = ask(MOST_NAMED).await.unwrap();
    assert_eq!((resolved.objects.len(), resolved.requirements.len()), (MOST_NAMED, MOST_NAMED));
    assert!(matches!(ask(MOST_NAMED + 1).await, Err(ResolveFault::TooMany { most: MOST_NAMED })));
}

#[tokio::test]
async fn archiving_the_other_versions_of_a_model_is_an_edit_of_the_model() {
    let body = r#"{"name":"iris","version":"3","stage":"Production","archive_existing_versions":true}"#;
    assert_eq!(
        post(&Scripted::default(), "model-versions/transition-stage", body).await,
        ["edit registered_model_version iris/3 in registered_model iris", "edit registered_model iris"]
    );
}

#[tokio::test]
async fn tags_that_steer_mlflow_are_for_administrators() {
    let upstream = Scripted::default();
    let tag = async |key: &str| {
        post(&upstream, "registered-models/set-tag", &format!(r#"{{"name":"iris","key":"{key}","value":"x"}}"#)).await
    };
    assert_eq!(tag("stage").await.len(), 1);
    assert_eq!(tag("mlflow.prompt.is_prompt").await[1], "admin: the tag is MLflow's own");
}

#[tokio::test]
async fn tags_that_steer_mlflow_cannot_come_with_a_new_experiment() {
    let upstream = Scripted::default();
    let create = async |key: &str| {
        let body = format!(r#"{{"name":"x","tags":[{{"key":"a","value":"b"}},{{"key":"{key}","value":"c"}}]}}"#);
        post(&upstream, "experiments/create", &body).await.contains(&"admin: the tag is MLflow's own".to_owned())
    };
    assert!(!create("team").await);
    assert!(create("mlflow.issueDetection.schedule").await);
    assert!(create("MLflow.artifactLocation ").await);
}

#[tokio::test]
async fn a_tag_of_the_servers_is_known_in_every_case_that_a_database_takes_for_the_same() {
    let trace = "tr-0123456789abcdef0123456789abcdef";
    let info = format!(
        r#"{{"trace":{{"trace_info":{{"trace_id":"{trace}","trace_location":{{"mlflow_experiment":
        {{"experiment_id":"7"}}}}}}}}}}"#
    );
    let upstream = Scripted::default().with(&format!("/api/3.0/mlflow/traces/{trace}"), &info);
    let set = async |key: &str| {
        let path = format!("/api/3.0/mlflow/traces/{trace}/tags");
        let body = format!(r#"{{"key":"{key}","value":"x"}}"#);
        told(&resolve(&resolver(), Verb::Patch, &path, None, &body, &upstream).await.unwrap())
    };
    assert_eq!(set("team").await.len(), 1);
    for key in ["mlflow.artifactLocation", "MLFLOW.ARTIFACTLOCATION", "mlflow.trace.spanslocation "] {
        assert!(set(key).await.iter().any(|asked| asked.starts_with("admin")), "{key}");
    }
}

#[tokio::test]
async fn a_judge_that_speaks_of_thousands_of_models_is_refused_before_any_is_asked_for() {
    let upstream = Scripted::default();
    let register = async |count: usize| {
        let models: Vec<String> = (0..count).map(|n| format!("gateway:/m{n}")).collect();
        let scorer = serde_json::json!({ "models": models }).to_string();
        let body = serde_json::json!({ "experiment_id": "7", "name": "judge", "serialized_scorer": scorer });
        resolve(&resolver(), Verb::Post, "/api/3.0/mlflow/scorers/register", None, &body.to_string(), &upstream).await
    };
    assert!(matches!(register(257).await, Err(ResolveFault::TooMany { most: 256 })));
    assert_eq!(upstream.asked.borrow().len(), 0);
    assert!(register(3).await.is_ok());
    assert_eq!(upstream.asked.borrow().len(), 3);
}

#[tokio::test]
async fn look_ups_go_below_the_static_prefix() {
    let upstream = Scripted::default();
    let resolver = Resolver::new(Settings { static_prefix: "/ml/".to_owned(), ..Settings::default() });
    let query = format!("run_id={RUN}");
    resolve(&resolver, Verb::Get, "/api/2.0/mlflow/runs/get", Some(&query), "", &upstream).await.unwrap();
    assert_eq!(*upstream.asked.borrow(), [format!("/ml/ajax-api/2.0/mlflow/runs/get?run_id={RUN}")]);
}

#[tokio::test]
async fn a_run_of_graphql_is_a_read_and_its_experiment_is_for_the_answer_to_judge() {
    let upstream = Scripted::default().run(RUN, "7");
    let body = format!(
        r#"{{"query":"{{ mlflowGetRun(input: {{runId: \"{RUN}\"}}) {{ run {{ experiment {{ name }} }} }} }}"}}"#
    );
    let resolved = resolve(&resolver(), Verb::Post, "/graphql", None, &body, &upstream).await.unwrap();
    assert_eq!(told(&resolved), [format!("read run {RUN} in experiment 7")]);
}

#[tokio::test]
async fn what_a_skill_was_uploaded_as_is_judged_as_the_skill() {
    let upstream = Scripted::default().run(RUN, "7");
    let path = |rest: &str| format!("/api/2.0/mlflow-artifacts/artifacts/{rest}");
    for (verb, rest, wanted) in [
        (Verb::Get, format!("skills/review/{RUN}/SKILL.md"), "READ skill review"),
        (Verb::Get, format!("skills/@acme/review/{RUN}/artifacts/x"), "READ skill @acme/review"),
        (Verb::Put, format!("skills/review/{RUN}/SKILL.md"), "EDIT skill review"),
        (Verb::Delete, format!("skills/review/{RUN}"), "DELETE skill review"),
        (Verb::Get, "skills/@acme".to_owned(), "admin: the artifact path names no single skill"),
        (Verb::Get, format!("Skills/review/{RUN}/artifacts/x"), "admin: the artifact path names no single skill"),
    ] {
        let resolved = resolve(&resolver(), verb, &path(&rest), None, "", &upstream).await.unwrap();
        let told = told(&resolved).join("; ").to_lowercase();
        assert_eq!(told, wanted.to_lowercase(), "{rest}");
    }
    assert!(upstream.asked.borrow().is_empty(), "nothing has to be looked up");
}

#[tokio::test]
async fn whoever_comes_second_is_judged_by_what_the_first_has_made() {
    let path = "/api/3.0/mlflow/mcp-servers/acme/new/versions";
    let body = r#"{"server_json": {"name": "acme/new", "version": "1"}}"#;
    let (absent, there) = (
        Scripted::default(),
        Scripted::default().with("/api/3.0/mlflow/mcp-servers/acme/new", r#"{"name": "acme/new"}"#),
    );
    let resolver = resolver();
    let first = resolve(&resolver, Verb::Post, path, None, body, &absent).await.unwrap();
    assert_eq!(first.absent.len(), 1);

    // The second has seen nothing either, and waits until the first is done, all copies of it.
    let copy = first.clone();
    let late = Late { before: &absent, after: &there, asked: RefCell::new(0) };
    let mut second = Box::pin(async {
        let Classified::Call(call) = classify(Verb::Post, &Path::parse(path).unwrap()) else { panic!("no row") };
        let fields = fields::read(&call, &http::HeaderMap::new(), None, Some(body.as_bytes())).unwrap();
        resolver.resolve(&call, &fields, &late).await.unwrap()
    });
    assert!(futures_util::poll!(&mut second).is_pending());
    drop(first);
    for _ in 0..10 {
        assert!(futures_util::poll!(&mut second).is_pending(), "the first is not done yet");
    }
    // Others are not kept waiting, and what is there costs no turn.
    assert!(resolve(&resolver, Verb::Post, path, None, body, &there).await.unwrap().absent.is_empty());
    drop(copy);
    let second = second.await;
    assert!(second.absent.is_empty());
    assert!(told(&second).iter().any(|one| one.to_lowercase() == "edit mcp_server acme/new"), "{:?}", told(&second));
}

/// What MLflow says the first time, and what it says from then on.
struct Late<'a> {
    before: &'a Scripted,
    after: &'a Scripted,
    asked: RefCell<usize>,
}

impl Ask for Late<'_> {
    async fn ask(&self, target: &str) -> Result<Asked, UpstreamError> {
        let first = *self.asked.borrow() == 0;
        *self.asked.borrow_mut() += 1;
        if first { self.before.ask(target).await } else { self.after.ask(target).await }
    }

    async fn ask_many(&self, target: &str, body: Bytes) -> Result<Asked, UpstreamError> {
        self.after.ask_many(target, body).await
    }
}

#[tokio::test]
async fn what_is_done_to_an_object_is_wanted_of_all_that_lies_in_it() {
    let upstream = Scripted::default();
    let inside = ["run", "trace", "logged_model", "assessment", "review_queue", "scorer", "scorer_version"];
    let wanted: Vec<String> = std::iter::once("delete experiment 7".to_owned())
        .chain(inside.iter().map(|kind| format!("delete every {kind} in experiment 7")))
        .collect();
    for call in ["delete", "restore"] {
        assert_eq!(post(&upstream, &format!("experiments/{call}"), r#"{"experiment_id":"7"}"#).await, wanted);
    }
    let delete = async |path: &str, body: &str| {
        let path = format!("/api/{path}");
        let resolved = resolve(&resolver(), Verb::Delete, &path, None, body, &upstream).await.unwrap();
        assert!(resolved.objects.iter().all(|object| !object.is_nameless()), "the audit log names objects");
        told(&resolved)
    };
    assert_eq!(
        delete("2.0/mlflow/registered-models/delete", r#"{"name":"iris"}"#).await,
        ["delete registered_model iris", "delete every registered_model_version in registered_model iris"]
    );
    assert_eq!(
        delete("2.0/mlflow/registered-models/alias", r#"{"name":"iris","alias":"a"}"#).await,
        ["manage registered_model iris", "read every registered_model_version in registered_model iris"]
    );
    assert_eq!(
        delete("3.0/mlflow/mcp-servers/com.example/xyz", "").await,
        ["delete mcp_server com.example/xyz", "delete every mcp_server_version in mcp_server com.example/xyz"]
    );
    let scorer = delete("3.0/mlflow/scorers/delete", r#"{"experiment_id":"7","name":"a b"}"#).await;
    assert_eq!(scorer.last().unwrap(), "delete every scorer_version in scorer 7/a%20b");
}

#[tokio::test]
async fn what_is_made_is_not_denied_by_its_name_nor_as_such() {
    let upstream = Scripted::default();
    let make = async |path: &str, body: &str| {
        let path = format!("/api/{path}");
        told(&resolve(&resolver(), Verb::Post, &path, None, body, &upstream).await.unwrap())
    };
    let model = make("2.0/mlflow/registered-models/create", r#"{"name":"secret-x"}"#).await;
    assert_eq!(
        model,
        ["creates registered_model secret-x in workspace default", "not denied registered_model secret-x"]
    );
    let server = make("3.0/mlflow/mcp-servers", r#"{"name":"com.example/xyz"}"#).await;
    assert_eq!(server[1], "not denied mcp_server com.example/xyz");
    assert_eq!(server[2], "not denied every mcp_server_version");
    let skill = make("3.0/mlflow/skills", r#"{"name":"x","organization":"acme"}"#).await;
    assert!(skill.contains(&"not denied skill @acme/x".to_owned()), "{skill:?}");
    let skill = make("3.0/mlflow/skills", r#"{"name":"x","organization":""}"#).await;
    assert!(skill.contains(&"not denied skill x".to_owned()), "{skill:?}");
    let first =
        make("3.0/mlflow/mcp-servers/com.example/xyz/versions", r#"{"server_json":{"name":"com.example/xyz"}}"#).await;
    assert_eq!(first[..2], ["create workspace default", "not denied mcp_server com.example/xyz"]);
    let renamed = make("2.0/mlflow/registered-models/rename", r#"{"name":"iris","new_name":"secret-x"}"#).await;
    assert!(renamed.contains(&"not denied registered_model secret-x".to_owned()), "{renamed:?}");
    assert!(renamed.contains(&"not denied prompt secret-x".to_owned()), "{renamed:?}");
}
