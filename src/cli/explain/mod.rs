//! `trackgate explain`: what would this request need, and which grant decides?
//!
//! The same steps that a request takes, in the same order: the row, the fields, what they belong to, the decision.

use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use serde_json::{Map, Value, json};

use super::given::Given;
use super::people::user_name;
use super::{Ended, open_store, say};
use crate::access::decide::{Requirement, decide};
use crate::access::identity::{Identity, Principal, Proof};
use crate::api;
use crate::config::Config;
use crate::mlflow::ids::{GroupName, UserName, WorkspaceName};
use crate::mlflow::resource::Resource;
use crate::policy::classify::{Call, Classified, classify};
use crate::policy::fields::{self, Fields};
use crate::policy::path::Path;
use crate::policy::print::{follows, needs, path};
use crate::policy::route::{Answer, BodyClass, Verb};
use crate::resolve::{Ask, Known, Resolver};
use crate::store::{Binding, PrincipalFault, Store};
use crate::upstream::Upstream;

#[derive(Debug, Args)]
#[command(
    after_help = "Fields: `run_id=abc` is text, `experiment_ids[]=1` an element of a list (repeat it for more), \
                        `max_results:=10` JSON as it stands, `trace.trace_info.trace_id=tr-1` and `tags[].key=a` lead into \
                        the body, `tags[a.b]=c` names a member that has dots, `header.x-mlflow-run-id=abc` is a header \
                        field, `otlp.trace_id=tr-...` a trace of the spans in the body.\n\n\
                        Example: trackgate explain alice@example.com POST \
                        /api/2.0/mlflow/runs/log-batch run_id=0123456789abcdef0123456789abcdef"
)]
pub(super) struct Explain {
    /// The user.
    #[arg(value_parser = user_name)]
    who: UserName,
    /// GET, POST, PUT, PATCH or DELETE.
    method: String,
    /// The path, perhaps with a query.
    path: String,
    /// Fields of the query or of the JSON body, wherever the call takes them from.
    fields: Vec<String>,
    /// A group that the issuer, or Google, would name; may be repeated. Google is not asked: `check --groups-of` does.
    #[arg(long = "group")]
    groups: Vec<String>,
    /// The workspace that the request names, where MLflow has several.
    #[arg(long, value_parser = WorkspaceName::parse)]
    workspace: Option<WorkspaceName>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What was found out.
#[derive(Debug, Default)]
struct Story {
    lines: Vec<(&'static str, String)>,
    requirements: Vec<(String, bool, String)>,
    allowed: bool,
}

impl Story {
    fn tell(&mut self, what: &'static str, text: impl Into<String>) {
        self.lines.push((what, text.into()));
    }
}

impl Explain {
    pub(super) async fn run(self, config: &FilePath) -> anyhow::Result<Ended> {
        let config = Config::read(config)?;
        let store = open_store(&config).await?;
        let story = self.story(&config, &store).await;
        store.close().await;
        let story = story?;
        if self.json {
            let lines: Map<String, Value> =
                story.lines.iter().map(|(what, text)| ((*what).to_owned(), json!(text))).collect();
            let requirements: Vec<_> = story
                .requirements
                .iter()
                .map(|(wanted, met, why)| json!({"requirement": wanted, "met": met, "why": why}))
                .collect();
            say::json(&json!({"allowed": story.allowed, "requirements": requirements, "call": lines}))?;
        } else {
            for (what, text) in &story.lines {
                say::line(format!("{what:<9} {text}"))?;
            }
            for (wanted, met, why) in &story.requirements {
                say::line(format!("{:<9} {wanted}: {why}", if *met { "yes" } else { "no" }))?;
            }
            say::line(if story.allowed { "allowed" } else { "refused" })?;
        }
        Ok(if story.allowed { Ended::Well } else { Ended::SaidNo })
    }

    async fn story(&self, config: &Config, store: &Store) -> anyhow::Result<Story> {
        let mut upstream = Upstream::new(&config.upstream)?;
        if config.clean.workspaces {
            upstream = upstream.within(&self.workspace.clone().unwrap_or_default());
        }
        self.story_by(config, store, &upstream).await
    }

    /// The same, with whoever answers for MLflow.
    async fn story_by<A: Ask>(&self, config: &Config, store: &Store, upstream: &A) -> anyhow::Result<Story> {
        let mut story = Story::default();
        if self.workspace.is_some() && !config.clean.workspaces {
            bail!("`upstream.workspaces` is off: there are no workspaces");
        }
        let Some(call) = self.call(config, &mut story)? else { return Ok(story) };
        let (_, query) = split(&self.path);
        let fields = match self.fields(&call, query) {
            Ok(fields) => fields,
            Err(error) => {
                story.tell("bad", format!("400: {error:#}"));
                return Ok(story);
            }
        };
        let workspace = self.workspace.clone().unwrap_or_default();
        let principal = if call.row.open_to_strangers() {
            None
        } else {
            match store.suppose(self.identity(store)?, &workspace) {
                Ok(principal) => Some(principal),
                Err(PrincipalFault::Disabled) => {
                    story.tell("refused", format!("user {} is disabled", self.who));
                    return Ok(story);
                }
                Err(fault) => return Err(fault.into()),
            }
        };
        story.tell("who", who(principal.as_deref()));
        if config.clean.workspaces {
            story.tell("in", format!("workspace {workspace}"));
            if let Some(principal) = &principal
                && !workspace.is_default()
                && !principal.belongs()
            {
                story.tell("refused", format!("404: {} holds nothing in workspace {workspace}", self.who));
                return Ok(story);
            }
        }
        let (principal, known) = match principal {
            Some(principal) if call.row.renamed().is_some() => {
                let known = api::known(&call, &fields, &principal, store);
                (Some(principal), known)
            }
            Some(principal) if call.row.answer == Answer::Served => {
                let place = api::place(&call, &fields, &principal.workspace, store);
                if place != principal.workspace {
                    story.tell("about", format!("workspace {place}"));
                }
                let principal = store.suppose(Arc::clone(&principal.identity), &place)?;
                let known = api::known(&call, &fields, &principal, store);
                (Some(principal), known)
            }
            other => (other, Known::default()),
        };
        let resolved = Resolver::new(config.resolve.clone())
            .resolve_about(principal.as_ref(), &call, &fields, &known, upstream)
            .await
            .context("MLflow was asked what the request is about, and could not tell")?;
        story.allowed = true;
        let principal = resolved.asker().cloned();
        for requirement in resolved.requirements {
            let wanted = wanted(&requirement);
            match decide(principal.clone(), std::slice::from_ref(&requirement), ()) {
                Ok(permitted) => {
                    let why = permitted.reasons().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                    story.requirements.push((wanted, true, why));
                }
                Err(denial) => {
                    story.allowed = false;
                    story.requirements.push((wanted, false, denial.reason.to_string()));
                }
            }
        }
        Ok(story)
    }

    fn call(&self, config: &Config, story: &mut Story) -> anyhow::Result<Option<Call>> {
        let method = http::Method::from_bytes(self.method.to_ascii_uppercase().as_bytes())
            .map_err(|_| anyhow!("`{}` is not a method", self.method))?;
        let Some(verb) = Verb::of(&method) else { bail!("no row has the method `{method}`") };
        let (raw, _) = split(&self.path);
        let prefix = &config.resolve.static_prefix;
        let raw = match raw.strip_prefix(prefix.as_str()) {
            Some(rest) if rest.starts_with('/') => rest,
            _ => raw,
        };
        let path_of_call = match Path::parse(raw) {
            Ok(path) => path,
            Err(error) => {
                story.tell("bad", format!("400: {error}"));
                return Ok(None);
            }
        };
        match classify(verb, &path_of_call).known(config.clean.workspaces) {
            Classified::Call(call) => {
                story.tell("row", format!("{} {} ({})", call.row.verb, path(call.row), call.row.name));
                story.tell("needs", needs(call.row));
                let follows = follows(call.row);
                if !follows.is_empty() {
                    story.tell("then", follows);
                }
                Ok(Some(call))
            }
            Classified::WrongMethod => {
                story.tell("row", format!("none: the path is known, but not with {verb}"));
                Ok(None)
            }
            Classified::Unknown => {
                story.tell("row", "none: what has no row does not exist");
                Ok(None)
            }
        }
    }

    /// Puts the fields where the call takes them from, and reads them as the gate would.
    fn fields(&self, call: &Call, query: Option<&str>) -> anyhow::Result<Fields> {
        if call.row.body == BodyClass::Form {
            let given = Given::read(&self.fields, false)?;
            return Ok(fields::read(call, &given.headers, query, Some(given.query(None).as_bytes()))?);
        }
        let given = Given::read(&self.fields, call.wants_body())?;
        let headers = given.headers.clone();
        if call.wants_body() {
            return Ok(fields::read(call, &headers, query, Some(&given.body()?))?);
        }
        let query = given.query(query);
        Ok(fields::read(call, &headers, (!query.is_empty()).then_some(query.as_str()), None)?)
    }

    fn identity(&self, store: &Store) -> anyhow::Result<Arc<Identity>> {
        // Whoever has signed in is that very person: what they hold for good is told of nobody else.
        let known = store.user(&self.who).and_then(|user| user.identities.first().cloned());
        let (issuer, subject) = known
            .map_or_else(|| (Arc::from("explain"), Arc::from("")), |Binding { issuer, subject }| (issuer, subject));
        let groups = self.groups.iter().map(|name| GroupName::parse(name)).collect::<Result<_, _>>()?;
        Ok(Arc::new(Identity {
            user: self.who.clone(),
            issuer,
            subject,
            groups,
            proof: Proof::Session,
            until: SystemTime::UNIX_EPOCH,
            token: None,
        }))
    }
}

fn split(target: &str) -> (&str, Option<&str>) {
    match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    }
}

fn who(principal: Option<&Principal>) -> String {
    match principal {
        None => "anybody, signed in or not".to_owned(),
        Some(principal) if principal.admin => format!("{}, an administrator", principal.identity.user),
        Some(principal) => {
            let holders: Vec<_> = principal.grants.iter().map(|set| set.subject().to_string()).collect();
            let holders = if holders.is_empty() { "no grant at all".to_owned() } else { holders.join(", ") };
            format!("{}, with the grants of: {holders}", principal.identity.user)
        }
    }
}

fn wanted(requirement: &Requirement) -> String {
    match requirement {
        Requirement::Nothing => "nothing".to_owned(),
        Requirement::SignedIn => "to be signed in".to_owned(),
        Requirement::Admin(_) => "to be an administrator".to_owned(),
        Requirement::Absent(why) => (*why).to_owned(),
        Requirement::NoName(name) => format!("a registered model or prompt `{name}`"),
        Requirement::Nobody(_) => "nobody may".to_owned(),
        Requirement::Holds { action, resource } => format!("{action} on {}", place(resource)),
        Requirement::Creates { kind, name, workspace } => {
            format!("create on {}, or a rule for {kind} `{name}`", place(workspace))
        }
        Requirement::Among { action: Some(action), resource, .. } => {
            format!("{action} on {}, or to be named by it", place(resource))
        }
        Requirement::Among { action: None, resource, .. } => format!("to be named by {}", place(resource)),
        Requirement::NotDenied(resource) => format!("no DENY on {}", place(resource)),
        Requirement::NoneDenied(kind) => format!("no DENY on any {kind}"),
        Requirement::Whole(kind) => format!("manage on the workspace, and nothing less on any {kind}"),
        Requirement::Lastingly { of, .. } => format!("{}, for as long as what is given", wanted(of)),
        Requirement::Oneself { name, managers: false } => format!("to be {name}"),
        Requirement::Oneself { name, managers: true } => format!("to be {name}, or manage on the workspace"),
        Requirement::Tokens { of, .. } => format!("to be {of}, or to look after that service account; not by a token"),
        Requirement::Another(name) => format!("not to be {name}"),
        Requirement::Belongs { to, .. } => format!("to belong to the workspace {}", to.join(", ")),
        Requirement::Bears { role, .. } => format!("to have role #{role}, or manage on its workspace"),
    }
}

fn place(resource: &Resource) -> String {
    match &resource.within {
        Some(within) => format!("{} in {within}", resource.object),
        None => resource.object.to_string(),
    }
}

#[cfg(test)]
mod tests;
