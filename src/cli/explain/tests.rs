use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use bytes::Bytes;
use http::StatusCode;

use super::*;
use crate::access::grant::{Grant, Pattern, Subject};
use crate::clock::Clock;
use crate::mlflow::ids::WorkspaceName;
use crate::mlflow::permission::Permission;
use crate::mlflow::resource::Kind;
use crate::policy::classify::rows;
use crate::policy::fields::{Sample, samples};
use crate::policy::route::{Need, Prefixes, Row};
use crate::store::By;
use crate::upstream::{Asked, UpstreamError};

const RUN: &str = "0123456789abcdef0123456789abcdef";
/// One spelling of each kind of id; a text is the first.
const VALUES: [&str; 16] = [
    "sample",
    "1",
    RUN,
    "m-0123456789abcdef0123456789abcdef",
    "tr-0123456789abcdef0123456789abcdef",
    "01234567-89ab-cdef-0123-456789abcdef",
    "d-0123456789abcdef0123456789abcdef",
    "e-0123456789abcdef0123456789abcdef",
    "s-0123456789abcdef0123456789abcdef",
    "io.example/sample",
    "sample.txt",
    "1.0.0",
    "gr-0123456789abcdef0123456789abcdef",
    "ls-0123456789abcdef0123456789abcdef",
    "rq-0123456789abcdef0123456789abcdef",
    "iss-0123456789abcdef0123456789abcdef",
];
const DOCUMENT: &str = "query=query GetExperiment { mlflowGetExperiment(input: {experimentId: \"1\"}) { experiment { \
                        name } } }";

/// An MLflow that has nothing, or one that cannot be reached.
struct Empty {
    reachable: bool,
}

impl Ask for Empty {
    async fn ask(&self, _: &str) -> Result<Asked, UpstreamError> {
        if !self.reachable {
            return Err(UpstreamError::FirstByteTimeout);
        }
        let body = Bytes::from_static(br#"{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"no"}"#);
        Ok(Asked { status: StatusCode::NOT_FOUND, body })
    }

    async fn ask_many(&self, target: &str, _: Bytes) -> Result<Asked, UpstreamError> {
        self.ask(target).await
    }
}

struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("trackgate-explain-{}", uuid::Uuid::new_v4()));
        fs::DirBuilder::new().mode(0o700).create(&path).unwrap();
        Self(path)
    }

    fn config(&self) -> Config {
        let text = format!(
            "public_url = \"https://localhost:8443\"\nstate_dir = \"{}\"\n[listen]\nplain = \"127.0.0.1:8080\"\n\
             [upstream]\nurl = \"http://127.0.0.1:9\"\nworkspaces = true\n[[issuer]]\nname = \"idp\"\nissuer = \
             \"http://127.0.0.1:9\"\n[issuer.bearer]\naudiences = [\"a\"]\n",
            self.0.display()
        );
        Config::parse(&text).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn explain(who: &str, row: &'static Row) -> Explain {
    let samples = samples(row, &VALUES);
    let mut path = match row.prefixes {
        Prefixes::Both | Prefixes::Api => format!("/api/{}", row.path),
        Prefixes::Ajax => format!("/ajax-api/{}", row.path),
        Prefixes::None => format!("/{}", row.path),
    };
    while let Some((before, rest)) = path.split_once('{') {
        let (name, after) = rest.split_once('}').unwrap();
        let name = name.trim_start_matches('*');
        let given = samples.iter().find(|sample| sample.in_path && sample.name == name);
        let value = given.map_or("sample", |sample| sample.value);
        path = format!("{before}{value}{after}");
    }
    let mut fields: Vec<String> = samples.iter().filter(|sample| !sample.in_path).filter_map(field).collect();
    // A list of keys and values is written by key alone, where the row knows it by key.
    let by_key =
        |base: &str, one: &String| one.starts_with(&format!("{base}[")) && !one.starts_with(&format!("{base}[]"));
    let known = fields.clone();
    fields.retain(|field| match field.split_once("[].key=") {
        Some((base, _)) => !known.iter().any(|one| by_key(base, one)),
        None => true,
    });
    if samples.iter().any(|sample| sample.name.starts_with("graphql.")) {
        fields.push(DOCUMENT.to_owned());
    }
    Explain {
        who: UserName::parse(who).unwrap(),
        method: row.verb.to_string(),
        path,
        fields,
        groups: Vec::new(),
        workspace: None,
        json: false,
    }
}

/// As a person would write it.
fn field(sample: &Sample) -> Option<String> {
    let Sample { name, value, many, .. } = sample;
    if name.starts_with("graphql.") {
        return None;
    }
    // Each element is there for what stands in it.
    if name.ends_with("[]") {
        return None;
    }
    let name = name.replace("[*]", "[sample]");
    if *value == "true" {
        return Some(format!("{name}:={value}"));
    }
    Some(if *many && !name.contains('[') { format!("{name}[]={value}") } else { format!("{name}={value}") })
}

fn closed(row: &Row) -> bool {
    row.behind.is_some() || row.needs.iter().any(|need| matches!(need, Need::Nobody(_)))
}

#[tokio::test]
async fn every_row_is_explained_with_all_its_fields() {
    let place = Place::new();
    let config = place.config();
    let store = Store::open(&config.store, Clock::System).await.unwrap();
    let mut wrong = Vec::new();
    for row in rows() {
        let explain = explain("ann", row);
        let line = format!("{} {} {:?}", explain.method, explain.path, explain.fields);
        match explain.story_by(&config, &store, &Empty { reachable: true }).await {
            Err(fault) => wrong.push(format!("{line}: {fault:#}")),
            Ok(story) => {
                let told: Vec<_> = story.lines.iter().map(|(what, text)| format!("{what}: {text}")).collect();
                if !told.iter().any(|line| line.contains(&format!("({})", row.name))) {
                    wrong.push(format!("{line}: another row: {told:?}"));
                } else if story.requirements.is_empty() {
                    wrong.push(format!("{line}: no decision: {told:?}"));
                } else if closed(row) && story.allowed {
                    wrong.push(format!("{line}: closed, and allowed"));
                }
            }
        }
    }
    store.close().await;
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), rows().count());
}

/// An MLflow with one experiment.
struct One(&'static str);

impl Ask for One {
    async fn ask(&self, target: &str) -> Result<Asked, UpstreamError> {
        if !target.ends_with("/experiments/get?experiment_id=7") {
            return Empty { reachable: true }.ask(target).await;
        }
        let body = format!(r#"{{"experiment":{{"experiment_id":"7","name":"{}"}}}}"#, self.0);
        Ok(Asked { status: StatusCode::OK, body: Bytes::from(body) })
    }

    async fn ask_many(&self, target: &str, _: Bytes) -> Result<Asked, UpstreamError> {
        self.ask(target).await
    }
}

#[tokio::test]
async fn the_grant_on_a_name_that_decides_is_told_and_what_a_rename_asks() {
    let place = Place::new();
    let config = place.config();
    let store = Store::open(&config.store, Clock::System).await.unwrap();
    let ann = Arc::new(Identity {
        user: UserName::parse("ann").unwrap(),
        issuer: "idp".into(),
        subject: "1".into(),
        groups: Vec::new(),
        proof: Proof::Session,
        until: SystemTime::UNIX_EPOCH,
        token: None,
    });
    store.recognise(&ann).await.unwrap();
    for (kind, names, permission) in [
        (Kind::ExperimentName, "team-?/*", Permission::Manage),
        (Kind::ExperimentName, "team-a/secret*", Permission::Deny),
    ] {
        let pattern = Pattern::parse(kind, names).unwrap();
        let grant = Grant { subject: Subject::User(ann.user.clone()), kind, pattern, permission };
        store.grant(&WorkspaceName::default(), grant, By::Trackgate).await.unwrap();
    }
    let asked = async |name: &'static str, method: &str, call: &str, fields: &[&str]| {
        let explain = Explain {
            who: ann.user.clone(),
            method: method.to_owned(),
            path: format!("/api/2.0/mlflow/experiments/{call}"),
            fields: fields.iter().map(ToString::to_string).collect(),
            groups: Vec::new(),
            workspace: None,
            json: false,
        };
        let story = explain.story_by(&config, &store, &One(name)).await.unwrap();
        let why: Vec<String> =
            story.requirements.iter().map(|(wanted, met, why)| format!("{wanted} {met} {why}")).collect();
        (story.allowed, why.join("\n"))
    };
    let (allowed, why) = asked("team-a/x", "GET", "get", &["experiment_id=7"]).await;
    assert!(allowed && why.contains("user ann holds MANAGE on experiment_name team-?/*"), "{why}");
    let (allowed, why) = asked("team-a/secret", "GET", "get", &["experiment_id=7"]).await;
    assert!(!allowed && why.contains("holds DENY on experiment_name team-a/secret*"), "{why}");
    let rename =
        async |to: &str| asked("team-a/x", "POST", "update", &["experiment_id=7", &format!("new_name={to}")]).await;
    let (allowed, why) = rename("alone").await;
    assert!(allowed && why.contains("for as long as what is given true"), "{why}");
    let (allowed, why) = rename("team-a/secret").await;
    assert!(!allowed && why.contains("no DENY on experiment_name team-a/secret false"), "{why}");
    store.close().await;
}
