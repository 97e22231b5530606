//! Does our fold decide as MLflow's own does?
//!
//! The cases and MLflow's answers come from `tests/fixtures/mlflow_decisions.py`: as a file for `tests/decide.rs`, and from
//! the installed MLflow for `tests/live`. Where the two differ, ours must be the stricter, for one of the [`WANTED`]
//! reasons; anything else fails.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use trackgate::access::decide::{Requirement, decide};
use trackgate::access::grant::{GrantSet, Pattern, Subject};
use trackgate::access::identity::{Identity, Names, Principal, Proof};
use trackgate::mlflow::ids::{GroupName, UserName, WorkspaceName};
use trackgate::mlflow::permission::{Action, Permission};
use trackgate::mlflow::resource::{Kind, Object, Resource};

/// What is asked in each line, in order; the sixth depends on the kind.
const ACTIONS: [Action; 5] = [Action::Read, Action::Use, Action::Edit, Action::Delete, Action::Manage];

/// MLflow: a role with MANAGE on the workspace is let in before anything else is looked at. Ours: it speaks last.
pub(crate) const WORKSPACE: &str = "MANAGE on the workspace outvotes neither a narrower grant nor a DENY";
/// MLflow: whether a DENY further out counts, each call says by itself. Ours: it always does.
pub(crate) const HOME: &str = "a DENY on what the object lies in is final";
/// Every reason to be stricter.
pub(crate) const WANTED: [&str; 2] = [WORKSPACE, HOME];

/// One grant of a role.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) kind: Kind,
    pub(crate) pattern: Pattern,
    pub(crate) permission: Permission,
}

/// Grants to be held by somebody: each role is a group of theirs.
pub(crate) fn member(roles: &[Vec<Given>]) -> Arc<Principal> {
    let sets = roles.iter().enumerate().map(|(index, grants)| {
        let mut set = GrantSet::new(Subject::Group(GroupName::parse(&format!("role-{index}")).unwrap()));
        for grant in grants {
            set.insert(grant.kind, grant.pattern.clone(), grant.permission);
        }
        Arc::new(set)
    });
    Arc::new(Principal {
        identity: Arc::new(Identity {
            user: UserName::parse("alice@example.com").unwrap(),
            issuer: Arc::from("https://idp.test"),
            subject: Arc::from("1"),
            groups: Vec::new(),
            proof: Proof::Bearer,
            until: UNIX_EPOCH,
            token: None,
        }),
        admin: false,
        workspace: WorkspaceName::default(),
        grants: sets.collect(),
        names: Names::default(),
    })
}

/// `type:pattern=LEVEL`
pub(crate) fn given(text: &str) -> Given {
    let (on, level) = text.rsplit_once('=').unwrap();
    let (kind, pattern) = on.split_once(':').unwrap();
    let kind = kind.parse().unwrap();
    Given { kind, pattern: Pattern::parse(kind, pattern).unwrap(), permission: level.parse().unwrap() }
}

/// The one object of a kind that the cases ask about.
pub(crate) fn the(kind: Kind) -> Resource {
    let top = |kind: Kind, id: &str| Object { kind, id: Arc::from(id) };
    let inside = |id: &str, home: Object| Resource::inside(kind, Arc::from(id), home);
    let experiment = || top(Kind::Experiment, "1");
    match kind {
        Kind::Workspace => Resource::workspace(),
        Kind::Experiment => Resource::top(kind, Arc::from("1")),
        Kind::Run => inside("0123456789abcdef0123456789abcdef", experiment()),
        Kind::LoggedModel => inside("m-0123456789abcdef0123456789abcdef", experiment()),
        Kind::Trace => inside("tr-0123456789abcdef0123456789abcdef", experiment()),
        Kind::Assessment => inside("a-0123456789abcdef0123456789abcdef", experiment()),
        Kind::ReviewQueue => inside("q-1", experiment()),
        Kind::RegisteredModel | Kind::Prompt => Resource::top(kind, Arc::from("alpha")),
        Kind::ModelVersion => inside("alpha/1", top(Kind::RegisteredModel, "alpha")),
        Kind::PromptVersion => inside("alpha/1", top(Kind::Prompt, "alpha")),
        Kind::Scorer => Resource::top(kind, Arc::from("1/alpha")),
        Kind::ScorerVersion => inside("1/alpha/1", top(Kind::Scorer, "1/alpha")),
        Kind::McpServer => Resource::top(kind, Arc::from("com.example/alpha")),
        Kind::McpServerVersion => inside("com.example/alpha/1", top(Kind::McpServer, "com.example/alpha")),
        Kind::GatewaySecret => Resource::top(kind, Arc::from("s-1")),
        Kind::GatewayEndpoint => Resource::top(kind, Arc::from("e-1")),
        Kind::GatewayModelDefinition => Resource::top(kind, Arc::from("d-1")),
        other => panic!("MLflow grants nothing on {other}"),
    }
}

/// Whether our fold lets `principal` do `action`; `None`: whether nothing is denied.
pub(crate) fn ours(principal: &Arc<Principal>, kind: Kind, action: Option<Action>) -> bool {
    let resource = the(kind);
    let mut wanted = match action {
        Some(action) => vec![Requirement::Holds { action, resource }],
        None => vec![Requirement::NotDenied(resource)],
    };
    if kind == Kind::Assessment && action.is_some() {
        // As in MLflow, an assessment is reached through its trace.
        wanted.push(Requirement::Holds { action: Action::Read, resource: the(Kind::Trace) });
    }
    decide(Some(Arc::clone(principal)), &wanted, ()).is_ok()
}

/// Compares every case.
///
/// Gives how many cases agreed, and how many differed for each of the [`WANTED`] reasons.
pub(crate) fn compare(text: &str) -> (usize, BTreeMap<&'static str, usize>) {
    let mut agreed = 0;
    let mut stricter = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let [kind, roles, answers] = line.split(';').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let kind: Kind = kind.parse().unwrap();
        let roles: Vec<Vec<Given>> = roles
            .split('/')
            .fold(Vec::<String>::new(), rejoined)
            .iter()
            .map(|role| role.split(',').filter(|grant| !grant.is_empty()).map(given).collect())
            .collect();
        let principal = member(&roles);
        let last = (kind == Kind::Workspace).then_some(Action::Create);
        let asked = ACTIONS.into_iter().map(Some).chain([last]);
        assert_eq!(answers.len(), ACTIONS.len() + 1, "{line}");
        for (action, answer) in asked.zip(answers.bytes()) {
            match (ours(&principal, kind, action), answer == b'1') {
                (ours, theirs) if ours == theirs => agreed += 1,
                (true, _) => panic!("{action:?}: we allow what MLflow refuses: {line}"),
                (false, _) => {
                    let why = why(kind, &roles).unwrap_or_else(|| panic!("{action:?}: stricter, unnamed: {line}"));
                    *stricter.entry(why).or_default() += 1;
                }
            }
        }
    }
    (agreed, stricter)
}

/// Ids may hold the sign that parts roles (`mcp_server:com.example/alpha=READ`): what has no `=` goes with the next part.
fn rejoined(mut roles: Vec<String>, part: &str) -> Vec<String> {
    match roles.last_mut() {
        Some(last) if !last.is_empty() && !last.rsplit(',').next().is_some_and(|grant| grant.contains('=')) => {
            last.push('/');
            last.push_str(part);
        }
        _ => roles.push(part.to_owned()),
    }
    roles
}

/// Why we may be stricter here.
fn why(kind: Kind, roles: &[Vec<Given>]) -> Option<&'static str> {
    let held = || roles.iter().flatten();
    if held().any(|grant| grant.kind == Kind::Workspace && grant.permission == Permission::Manage) {
        return Some(WORKSPACE);
    }
    let home = the(kind).within?;
    let denied = |grant: &Given| grant.kind == home.kind && grant.pattern.matches(&home.id);
    held().any(|grant| grant.permission == Permission::Deny && denied(grant)).then_some(HOME)
}
