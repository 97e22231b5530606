//! The whole gate: every room, a scripted MLflow behind it, an issuer beside it, actors before it.
//!
//! ```ignore
//! let gate = Gate::before(|request| async { full(200, "{}") }).await;
//! gate.grant("user:alice@example.com", "experiment", "1", "READ").await;
//! let answer = gate.bearer("alice").get("/api/2.0/mlflow/experiments/get?experiment_id=1").await;
//! assert_eq!(answer.status, 200);
//! let record = gate.record(&answer).await;
//! ```

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};
use trackgate::access::grant::{Grant, Pattern, Subject};
use trackgate::cli;
use trackgate::clock::Clock;
use trackgate::config::Config;
use trackgate::mlflow::ids::WorkspaceName;
use trackgate::store::By;

use super::certs::Folder;
use super::client::{Client, Payload, nothing, payload};
use super::forge::Forge;
use super::issuer::{CLIENT, Issuer, SECRET};
use super::server::{Answer, Server};
use super::soon;

/// The audience of bearer tokens.
pub const AUDIENCE: &str = "https://mlflow.example.com";
/// The name under which the gate is reached.
pub const HOST: &str = "mlflow.example.com";

/// A gate and all that belongs to it. Everything ends when it is dropped.
pub struct Gate {
    open: Option<cli::serve::Open>,
    pub issuer: Issuer,
    pub upstream: Server,
    pub folder: Folder,
    audit: PathBuf,
}

/// An answer, read whole.
#[derive(Debug, Clone)]
pub struct Told {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Told {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    /// MLflow's error code.
    pub fn error_code(&self) -> String {
        self.json()["error_code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Gate {
    /// A gate before a server that answers by `script`.
    pub async fn before<F>(script: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        Self::with(Server::scripted(script), "", |_| {}).await
    }

    /// A gate before `upstream`, with `more` lines in its configuration (sections and all) and `change`s to what was
    /// read.
    pub async fn with(upstream: Server, more: &str, change: impl FnOnce(&mut Config)) -> Self {
        Self::at(Clock::System, upstream, more, change).await
    }

    /// The same, where it is as late as `clock` says.
    pub async fn at(clock: Clock, upstream: Server, more: &str, change: impl FnOnce(&mut Config)) -> Self {
        cli::install_crypto();
        let issuer = Issuer::start(vec![Arc::new(Forge::rsa("k1"))]);
        let folder = Folder::new();
        let audit = folder.path().join("audit.jsonl");
        let secret = folder.path().join("client-secret");
        std::fs::write(&secret, SECRET).unwrap();
        private(&secret);
        let text = format!(
            r#"
public_url = "{AUDIENCE}"
state_dir = "{state}"
[listen]
plain = "127.0.0.1:0"
workers = 1
[upstream]
url = "http://{mlflow}"
[[issuer]]
name = "test"
title = "Test"
issuer = "{issuer}"
groups_claim = "groups"
[issuer.login]
client_id = "{CLIENT}"
client_secret_file = "{secret}"
[issuer.bearer]
audiences = ["{AUDIENCE}"]
[audit]
file = "{audit}"
{more}
"#,
            state = folder.path().join("state").display(),
            mlflow = upstream.address,
            issuer = issuer.url,
            secret = secret.display(),
            audit = audit.display(),
        );
        let mut config = Config::parse(&text).unwrap_or_else(|faults| panic!("{faults:?}"));
        change(&mut config);
        let open = Box::pin(cli::serve::assemble(config, clock)).await.unwrap().open().unwrap();
        Self { open: Some(open), issuer, upstream, folder, audit }
    }

    pub fn open(&self) -> &cli::serve::Open {
        self.open.as_ref().unwrap()
    }

    pub fn address(&self) -> std::net::SocketAddr {
        self.open().addresses().plain.unwrap()
    }

    /// Gives a grant, as `trackgate grant add` does.
    pub async fn grant(&self, subject: &str, kind: &str, pattern: &str, permission: &str) {
        self.grant_in("default", subject, kind, pattern, permission).await;
    }

    /// Gives a grant in a workspace.
    pub async fn grant_in(&self, workspace: &str, subject: &str, kind: &str, pattern: &str, permission: &str) {
        let kind = kind.parse().unwrap();
        let grant = Grant {
            subject: subject.parse::<Subject>().unwrap(),
            kind,
            pattern: Pattern::parse(kind, pattern).unwrap(),
            permission: permission.parse().unwrap(),
        };
        if let Subject::User(user) = &grant.subject {
            self.open().house().store.add_user(user, By::Trackgate).await.unwrap();
        }
        self.open().house().store.grant(&WorkspaceName::parse(workspace).unwrap(), grant, By::Trackgate).await.unwrap();
    }

    /// Lets somebody create things of a kind under such names.
    pub async fn rule(&self, subject: &str, kind: &str, names: &str) {
        let (subject, kind) = (subject.parse::<Subject>().unwrap(), kind.parse().unwrap());
        let names = Pattern::of_names(kind, names).unwrap();
        let store = &self.open().house().store;
        store.add_create_rule(&WorkspaceName::default(), subject, kind, names, None, By::Trackgate).await.unwrap();
    }

    /// An ID token for `name@example.com`.
    pub fn token(&self, name: &str) -> String {
        let claims =
            json!({"sub": format!("sub-{name}"), "email": format!("{name}@example.com"), "email_verified": true});
        self.issuer.bearer(AUDIENCE, &claims)
    }

    /// Somebody with a bearer token.
    pub fn bearer(&self, name: &str) -> Actor<'_> {
        Actor { gate: self, credential: Some(("authorization", format!("Bearer {}", self.token(name)))) }
    }

    /// Somebody with nothing.
    pub fn anonymous(&self) -> Actor<'_> {
        Actor { gate: self, credential: None }
    }

    /// Somebody with this header.
    pub fn showing(&self, name: &'static str, value: impl Into<String>) -> Actor<'_> {
        Actor { gate: self, credential: Some((name, value.into())) }
    }

    /// Every audit record written so far.
    pub fn records(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.audit).unwrap_or_default();
        // The last one may be half there: whoever reads a file beside its writer sees it page by page.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// All that the audit log holds, as text.
    pub fn audit_text(&self) -> String {
        std::fs::read_to_string(&self.audit).unwrap_or_default()
    }

    /// The one record of the request that got this answer. Waits until it is written.
    pub async fn record(&self, told: &Told) -> Value {
        let id = told.header("x-request-id").expect("every answer has a request id").to_owned();
        soon("an audit record", async {
            loop {
                let mut found: Vec<Value> = self.records().into_iter().filter(|record| record["id"] == id).collect();
                assert!(found.len() < 2, "two records of one request: {found:?}");
                if let Some(record) = found.pop() {
                    return record;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        })
        .await
    }

    /// Closes the gate in order.
    pub async fn close(mut self) {
        if let Some(open) = self.open.take() {
            open.close().await.unwrap();
        }
    }
}

/// Somebody who sends requests.
pub struct Actor<'a> {
    gate: &'a Gate,
    credential: Option<(&'static str, String)>,
}

impl Actor<'_> {
    pub async fn get(&self, target: &str) -> Told {
        self.send(Request::get(target).body(nothing()).unwrap()).await
    }

    /// A POST with a JSON body.
    pub async fn post(&self, target: &str, body: &Value) -> Told {
        self.json("POST", target, body.to_string()).await
    }

    /// Any method with bytes that are said to be JSON.
    pub async fn json(&self, method: &str, target: &str, body: impl Into<Bytes>) -> Told {
        let request = Request::builder().method(method).uri(target).header("content-type", "application/json");
        self.send(request.body(payload(body)).unwrap()).await
    }

    pub async fn send(&self, mut request: Request<Payload>) -> Told {
        let headers = request.headers_mut();
        headers.entry("host").or_insert_with(|| http::HeaderValue::from_static(HOST));
        if let Some((name, value)) = &self.credential {
            headers.insert(*name, http::HeaderValue::from_str(value).unwrap());
        }
        let mut client = Client::http1(self.gate.address()).await;
        let answer = client.send(request).await;
        let (head, body) = answer.into_parts();
        let body = soon("a body", body.collect()).await.unwrap().to_bytes();
        Told { status: head.status.as_u16(), headers: head.headers, body }
    }
}

fn private(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}
