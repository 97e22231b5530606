//! What belongs to nobody, and which grants are on nothing?
//!
//! MLflow is asked for all experiments, models and prompts, page by page, as the gate asks it for other things.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};
use serde::Deserialize;

use super::say;
use super::whom::spoken;
use crate::access::grant::{Pattern, Subject};
use crate::config::Config;
use crate::mlflow::ids::WorkspaceName;
use crate::mlflow::permission::Permission;
use crate::mlflow::resource::{IS_PROMPT, Kind};
use crate::resolve::Resolver;
use crate::store::Store;
use crate::upstream::Upstream;

/// So many lines of each kind are told.
const TOLD: usize = 100;

/// So many single runs, logged models and traces are asked for.
const ASKED: usize = 1000;

/// How many there are on a page.
const PAGE: usize = 200;

/// All that one workspace has.
#[derive(Debug, Default)]
struct There {
    /// Also those that are deleted and can be restored.
    experiments: BTreeSet<String>,
    /// Of these, those that are not deleted, with their names.
    live: Vec<(String, String)>,
    models: BTreeSet<String>,
    prompts: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    experiments: Vec<Experiment>,
    #[serde(default)]
    registered_models: Vec<Model>,
    #[serde(default)]
    next_page_token: String,
}

#[derive(Deserialize)]
struct Experiment {
    #[serde(rename = "experiment_id")]
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    lifecycle_stage: String,
}

#[derive(Deserialize)]
struct Model {
    name: String,
}

/// Tells of experiments, models and prompts without an owner, and of grants on what is not there.
pub(super) async fn tell(config: &Config, store: &Store) -> anyhow::Result<()> {
    let mut places: BTreeSet<WorkspaceName> = [WorkspaceName::default()].into();
    if config.clean.workspaces {
        places.extend(store.grants().into_iter().map(|record| record.workspace));
    }
    let upstream = Upstream::new(&config.upstream)?;
    let resolver = Resolver::new(config.resolve.clone());
    for workspace in places {
        let upstream = if config.clean.workspaces { upstream.within(&workspace) } else { upstream.clone() };
        let there = ask(&upstream, &config.resolve.static_prefix).await?;
        let place = if config.clean.workspaces { format!(" in workspace {workspace}") } else { String::new() };
        let unowned = unowned(store, &workspace, &there);
        list(&format!("without an owner{place}: nobody holds MANAGE on them"), &unowned)?;
        let (gone, unasked) = on_nothing(store, &workspace, &there, &resolver, &upstream).await?;
        list(&format!("grants{place} on what no longer exists"), &gone)?;
        if unasked > 0 {
            say::line(format!("note  grants{place}: {unasked} are on single things that were not looked for"))?;
        }
    }
    Ok(())
}

fn list(what: &str, lines: &[String]) -> anyhow::Result<()> {
    if lines.is_empty() {
        return say::line(format!("ok    {what}: none"));
    }
    say::line(format!("note  {what}: {}", lines.len()))?;
    for line in lines.iter().take(TOLD) {
        say::line(format!("        {}", crate::paper::read::shown(line)))?;
    }
    match lines.len().checked_sub(TOLD) {
        Some(more) if more > 0 => say::line(format!("        and {more} more")),
        _ => Ok(()),
    }
}

/// Everything that a workspace has.
async fn ask(upstream: &Upstream, prefix: &str) -> anyhow::Result<There> {
    let mut there = There::default();
    pages(upstream, prefix, "experiments/search", "&view_type=ALL", |page| {
        for Experiment { id, name, lifecycle_stage } in page.experiments {
            if lifecycle_stage != "deleted" {
                there.live.push((id.clone(), name));
            }
            there.experiments.insert(id);
        }
    })
    .await?;
    pages(upstream, prefix, "registered-models/search", "", |page| {
        there.models.extend(page.registered_models.into_iter().map(|model| model.name));
    })
    .await?;
    let filter: String =
        url::form_urlencoded::byte_serialize(format!("tags.`{IS_PROMPT}` = 'true'").as_bytes()).collect();
    pages(upstream, prefix, "registered-models/search", &format!("&filter={filter}"), |page| {
        there.prompts.extend(page.registered_models.into_iter().map(|model| model.name));
    })
    .await?;
    // A server that tells them apart by nothing lists a prompt among its models too.
    there.models.retain(|name| !there.prompts.contains(name));
    Ok(there)
}

/// Each page of a search, until there is no next one.
async fn pages(
    upstream: &Upstream,
    prefix: &str,
    call: &str,
    more: &str,
    mut take: impl FnMut(Page),
) -> anyhow::Result<()> {
    let api = if prefix.is_empty() { "/api".to_owned() } else { format!("{prefix}/ajax-api") };
    let mut token = String::new();
    loop {
        let encoded: String = url::form_urlencoded::byte_serialize(token.as_bytes()).collect();
        let after = if token.is_empty() { String::new() } else { format!("&page_token={encoded}") };
        let target = format!("{api}/2.0/mlflow/{call}?max_results={PAGE}{more}{after}");
        let answer = upstream.ask(&target).await.with_context(|| format!("MLflow was asked for `{call}`"))?;
        if answer.status != http::StatusCode::OK {
            bail!("MLflow answered `{call}` with {}", answer.status);
        }
        let page: Page = serde_json::from_slice(&answer.body)
            .with_context(|| format!("MLflow's answer to `{call}` cannot be read"))?;
        let next = page.next_page_token.clone();
        take(page);
        if next.is_empty() {
            return Ok(());
        }
        if next == token {
            bail!("MLflow gives the same page of `{call}` again and again");
        }
        token = next;
    }
}

fn unowned(store: &Store, workspace: &WorkspaceName, there: &There) -> Vec<String> {
    let owned = |kind: Kind, id: &str| {
        store.grants_on(workspace, kind, id).iter().any(|record| {
            let somebody = match &record.grant.subject {
                Subject::Role(role) => !store.assignments_of_role(*role).is_empty(),
                Subject::User(_) | Subject::Group(_) => true,
            };
            somebody && record.grant.permission == Permission::Manage
        })
    };
    let experiments = there.live.iter().filter(|(id, _)| !owned(Kind::Experiment, id));
    let mut found: Vec<String> = experiments.map(|(id, name)| format!("experiment {id} ({name})")).collect();
    for (kind, names) in [(Kind::RegisteredModel, &there.models), (Kind::Prompt, &there.prompts)] {
        found.extend(names.iter().filter(|name| !owned(kind, name)).map(|name| format!("{kind} {name}")));
    }
    found
}

/// Grants on one thing that is not there, and how many were not looked for.
async fn on_nothing(
    store: &Store,
    workspace: &WorkspaceName,
    there: &There,
    resolver: &Resolver,
    upstream: &Upstream,
) -> anyhow::Result<(Vec<String>, usize)> {
    let (mut gone, mut asked, mut unasked) = (Vec::new(), 0, 0);
    for record in store.grants().into_iter().filter(|record| record.workspace == *workspace) {
        let Pattern::Exactly(id) = &record.grant.pattern else { continue };
        let kind = record.grant.kind;
        let is_there = match kind {
            Kind::Workspace => true,
            Kind::Experiment => there.experiments.contains(&**id),
            // Both have their names in one registry.
            Kind::RegisteredModel | Kind::Prompt => in_registry(there, id),
            Kind::ModelVersion | Kind::PromptVersion => {
                id.rsplit_once('/').is_some_and(|(name, _)| in_registry(there, name))
            }
            Kind::Scorer | Kind::ScorerVersion => {
                id.split_once('/').is_some_and(|(experiment, _)| there.experiments.contains(experiment))
            }
            Kind::Run | Kind::LoggedModel | Kind::Trace if asked < ASKED => {
                asked += 1;
                resolver.place(kind, id, upstream).await?.is_some()
            }
            _ => {
                unasked += 1;
                true
            }
        };
        if !is_there {
            let holder = spoken(store, &record.grant.subject);
            gone.push(format!("{holder} {} on {kind} {id} (grant {})", record.grant.permission, record.id));
        }
    }
    Ok((gone, unasked))
}

fn in_registry(there: &There, name: &str) -> bool {
    there.models.contains(name) || there.prompts.contains(name)
}
