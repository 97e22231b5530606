//! Can anybody raise their own rights, or give more than they hold, by any sequence of calls of the permission API?
//!
//! Random calls by two people and an administrator, at a running gate with its store. A plain model of what is held goes
//! along: every answer must be what the model says, and after every call of a person's they hold no more than before, now
//! and later.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use trackgate::access::decide::holds;
use trackgate::access::identity::{Identity, Principal, Proof};
use trackgate::mlflow::ids::{UserName, WorkspaceName};
use trackgate::mlflow::permission::Action;
use trackgate::mlflow::resource::{Kind, Object, Resource};

use crate::harness::gate::{Gate, Told};
use crate::harness::server::full;

/// How many worlds, and how many calls in each.
const WORLDS: usize = 40;
const CALLS: usize = 25;

/// Somebody in one world: 0 and 1 are people, 2 is a group that the first is in.
type Who = usize;

/// One call, before it is put into words.
#[derive(Debug, Clone)]
enum Call {
    Grant { to: Who, on: usize, level: usize, ends: bool },
    Revoke { of: Who, on: usize },
    Create,
    Add { on: usize, level: usize, ends: bool },
    Update { at: usize, level: usize },
    Remove { at: usize },
    Assign { to: Who, ends: bool },
    Unassign { of: Who },
    Delete,
    Admin { who: Who },
    Workspace { to: Who, manage: bool },
    Old { to: Who, level: usize, create: bool },
}

const LEVELS: [&str; 5] = ["READ", "USE", "EDIT", "MANAGE", "DENY"];
/// What is granted: by its type, and by its pattern in a world.
const THINGS: [&str; 7] = ["one", "two", "every experiment", "every run", "model", "models", "workspace"];

fn a_call() -> impl Strategy<Value = Call> {
    let (who, on, level) = (0..3_usize, 0..THINGS.len(), 0..LEVELS.len());
    prop_oneof![
        6 => (who.clone(), on.clone(), level.clone(), any::<bool>())
            .prop_map(|(to, on, level, ends)| Call::Grant { to, on, level, ends }),
        3 => (who.clone(), on.clone()).prop_map(|(of, on)| Call::Revoke { of, on }),
        1 => Just(Call::Create),
        4 => (on, level.clone(), any::<bool>()).prop_map(|(on, level, ends)| Call::Add { on, level, ends }),
        2 => (0..4_usize, level.clone()).prop_map(|(at, level)| Call::Update { at, level }),
        2 => (0..4_usize).prop_map(|at| Call::Remove { at }),
        3 => (who.clone(), any::<bool>()).prop_map(|(to, ends)| Call::Assign { to, ends }),
        2 => who.clone().prop_map(|of| Call::Unassign { of }),
        1 => Just(Call::Delete),
        1 => (0..2_usize).prop_map(|who| Call::Admin { who }),
        2 => (who.clone(), any::<bool>()).prop_map(|(to, manage)| Call::Workspace { to, manage }),
        2 => (who, level, any::<bool>()).prop_map(|(to, level, create)| Call::Old { to, level, create }),
    ]
}

/// What is held, as plainly as can be: by holder, type and pattern.
#[derive(Debug, Default)]
struct Model {
    grants: BTreeMap<(String, String, String), String>,
    role: Option<u64>,
    permissions: BTreeMap<u64, (String, String)>,
    assigned: BTreeSet<String>,
}

struct World<'a> {
    gate: &'a Gate,
    number: usize,
    /// In an hour.
    end: u64,
    model: Model,
}

impl World<'_> {
    fn name(&self, who: Who) -> String {
        match who {
            2 => format!("group:team{}", self.number),
            _ => format!("p{who}w{}@example.com", self.number),
        }
    }

    fn thing(&self, on: usize) -> (String, String) {
        let (kind, pattern) = match THINGS[on] {
            "one" => ("experiment", format!("{}1", self.number + 1)),
            "two" => ("experiment", format!("{}2", self.number + 1)),
            "every experiment" => ("experiment", "*".to_owned()),
            "every run" => ("run", "*".to_owned()),
            "model" => ("registered_model", format!("m{}", self.number)),
            "models" => ("registered_model", format!("m{}*", self.number)),
            _ => ("workspace", "*".to_owned()),
        };
        (kind.to_owned(), pattern)
    }

    async fn send(&self, actor: &str, method: &str, path: &str, body: &Value) -> Told {
        self.gate.bearer(actor).json(method, &format!("/api/{path}"), body.to_string()).await
    }

    /// Makes the call; says whom it gave something to, if it did.
    #[expect(clippy::too_many_lines, reason = "one arm for each call")]
    async fn act(&mut self, actor: &str, call: &Call) -> Option<Who> {
        let answer = |told: &Told| (told.status, told.json()["error_code"].as_str().unwrap_or_default().to_owned());
        let done = |told: &Told| {
            assert!(
                told.status == 200 || told.status == 204 || [400, 403, 404].contains(&told.status),
                "{}",
                told.text()
            );
            if actor == "root" {
                assert_ne!(told.status, 403, "{call:?} {}", told.text());
            }
            told.status < 300
        };
        match call {
            Call::Grant { to, on, level, ends } => {
                let (kind, pattern) = self.thing(*on);
                let mut body = json!({"username": self.name(*to), "resource_type": kind, "resource_id": pattern,
                    "permission": LEVELS[*level]});
                if *ends {
                    body["expires_at"] = json!(self.end);
                }
                let told = self.send(actor, "POST", "3.0/mlflow/users/permissions/grant", &body).await;
                let key = (self.name(*to), kind, pattern);
                if done(&told) {
                    assert!(
                        self.model.grants.insert(key, LEVELS[*level].to_owned()).is_none(),
                        "given twice: {call:?}"
                    );
                    return Some(*to);
                }
                let there = answer(&told).1 == "RESOURCE_ALREADY_EXISTS";
                assert!(!there || self.model.grants.contains_key(&key), "{call:?} {}", told.text());
            }
            Call::Revoke { of, on } => {
                let (kind, pattern) = self.thing(*on);
                let body = json!({"username": self.name(*of), "resource_type": kind, "resource_id": pattern});
                let told = self.send(actor, "POST", "3.0/mlflow/users/permissions/revoke", &body).await;
                let key = (self.name(*of), kind, pattern);
                if done(&told) {
                    assert!(self.model.grants.remove(&key).is_some(), "taken without being there: {call:?}");
                } else {
                    assert!(told.status != 404 || !self.model.grants.contains_key(&key), "{call:?} {}", told.text());
                }
            }
            Call::Create => {
                let body = json!({"name": format!("role {} {}", self.number, self.end), "workspace": "default"});
                let told = self.send(actor, "POST", "3.0/mlflow/roles/create", &body).await;
                if done(&told) {
                    assert!(self.model.role.is_none(), "made twice");
                    self.model.role = told.json()["role"]["id"].as_u64();
                }
            }
            Call::Add { on, level, ends } => {
                let (kind, pattern) = self.thing(*on);
                let role = self.model.role?;
                let mut body = json!({"role_id": role, "resource_type": kind, "resource_pattern": pattern,
                    "permission": LEVELS[*level]});
                if *ends {
                    body["expires_at"] = json!(self.end);
                }
                let told = self.send(actor, "POST", "3.0/mlflow/roles/permissions/add", &body).await;
                if done(&told) {
                    let id = told.json()["role_permission"]["id"].as_u64().unwrap();
                    let new = (kind, pattern);
                    assert!(!self.model.permissions.values().any(|known| *known == new), "added twice: {call:?}");
                    self.model.permissions.insert(id, new);
                }
            }
            Call::Update { at, level } => {
                let id = *self.model.permissions.keys().nth(*at)?;
                let body = json!({"role_permission_id": id, "permission": LEVELS[*level]});
                done(&self.send(actor, "PATCH", "3.0/mlflow/roles/permissions/update", &body).await);
            }
            Call::Remove { at } => {
                let id = *self.model.permissions.keys().nth(*at)?;
                let body = json!({"role_permission_id": id});
                if done(&self.send(actor, "DELETE", "3.0/mlflow/roles/permissions/remove", &body).await) {
                    self.model.permissions.remove(&id);
                }
            }
            Call::Assign { to, ends } => {
                let mut body = json!({"role_id": self.model.role?, "username": self.name(*to)});
                if *ends {
                    body["expires_at"] = json!(self.end);
                }
                let told = self.send(actor, "POST", "3.0/mlflow/roles/assign", &body).await;
                if done(&told) {
                    assert!(self.model.assigned.insert(self.name(*to)), "assigned twice: {call:?}");
                    return Some(*to);
                }
            }
            Call::Unassign { of } => {
                let body = json!({"role_id": self.model.role?, "username": self.name(*of)});
                if done(&self.send(actor, "DELETE", "3.0/mlflow/roles/unassign", &body).await) {
                    assert!(self.model.assigned.remove(&self.name(*of)), "unassigned without having it: {call:?}");
                }
            }
            Call::Delete => {
                let body = json!({"role_id": self.model.role?});
                if done(&self.send(actor, "DELETE", "3.0/mlflow/roles/delete", &body).await) {
                    self.model.role = None;
                    self.model.permissions.clear();
                    self.model.assigned.clear();
                }
            }
            // People alone try: the administrator does not make anybody one.
            Call::Admin { who } if actor != "root" => {
                let body = json!({"username": self.name(*who), "is_admin": true});
                let told = self.send(actor, "PATCH", "2.0/mlflow/users/update-admin", &body).await;
                assert_eq!(told.status, 403, "{}", told.text());
            }
            Call::Admin { .. } => {}
            Call::Workspace { to, manage } => {
                let level = if *manage { "MANAGE" } else { "USE" };
                let body = json!({"username": self.name(*to), "permission": level});
                let path = "3.0/mlflow/workspaces/default/permissions";
                if done(&self.send(actor, "POST", path, &body).await) {
                    self.model.grants.insert((self.name(*to), "workspace".into(), "*".into()), level.to_owned());
                    return Some(*to);
                }
            }
            Call::Old { to, level, create } => {
                let (kind, pattern) = self.thing(0);
                let body = json!({"experiment_id": pattern, "username": self.name(*to), "permission": LEVELS[*level]});
                let (method, name) = if *create { ("POST", "create") } else { ("PATCH", "update") };
                let path = format!("2.0/mlflow/experiments/permissions/{name}");
                if done(&self.send(actor, method, &path, &body).await) {
                    let key = (self.name(*to), kind, pattern);
                    let before = self.model.grants.insert(key, LEVELS[*level].to_owned());
                    assert_eq!(before.is_none(), *create, "{call:?}");
                    return Some(*to);
                }
            }
        }
        None
    }

    /// The people's strength on everything that there is, now and for good.
    fn strengths(&self, who: Who) -> Vec<(String, u8)> {
        let store = &self.gate.open().house().store;
        let name = self.name(who);
        let identity = Arc::new(Identity {
            user: UserName::parse(&name).unwrap(),
            issuer: Arc::from(self.gate.issuer.url.as_str()),
            subject: Arc::from(format!("sub-{}", name.split('@').next().unwrap())),
            groups: Vec::new(),
            proof: Proof::Bearer,
            until: SystemTime::UNIX_EPOCH,
            token: None,
        });
        let now = store.principal(identity, &WorkspaceName::default()).unwrap();
        let later = store.lasting(&now, None).unwrap();
        let experiment = |on: usize| Object { kind: Kind::Experiment, id: Arc::from(self.thing(on).1) };
        let model = Object { kind: Kind::RegisteredModel, id: Arc::from(self.thing(4).1) };
        let mut all = Vec::new();
        for (when, principal) in [("now", now), ("later", later)] {
            let mut add =
                |what: &str, resource: &Resource| all.push((format!("{what} {when}"), strength(&principal, resource)));
            for on in [0, 1] {
                add(THINGS[on], &Resource { object: experiment(on), within: None });
                add(&format!("run in {}", THINGS[on]), &Resource::inside(Kind::Run, "r".into(), experiment(on)));
            }
            add("another experiment", &Resource::top(Kind::Experiment, "999999".into()));
            add("model", &Resource { object: model.clone(), within: None });
            let version = Arc::from(format!("{}/1", model.id));
            add("version", &Resource::inside(Kind::ModelVersion, version, model.clone()));
            add("workspace", &Resource::workspace());
        }
        all
    }
}

/// 0 to 4, by what may be done with it.
fn strength(principal: &Principal, resource: &Resource) -> u8 {
    let may = |action| u8::from(holds(principal, action, resource).is_ok());
    may(Action::Read) + may(Action::Use) + may(Action::Edit) + may(Action::Manage)
}

#[tokio::test]
async fn nobody_raises_their_own_rights_nor_gives_more_than_they_hold() {
    let gate = Gate::with(
        crate::harness::server::Server::scripted(|_| async {
            full(404, json!({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"}).to_string())
        }),
        "[access]\nadmins = [\"root@example.com\"]",
        |_| {},
    )
    .await;
    let now = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let mut runner = TestRunner::deterministic();
    let calls = prop::collection::vec((0..5_usize, a_call()), CALLS);
    let (mut made, mut given) = (0, 0);
    for number in 0..WORLDS {
        let mut world = World { gate: &gate, number, end: now + 3_600_000, model: Model::default() };
        for who in 0..2 {
            let me = gate.bearer(&format!("p{who}w{number}")).get("/api/2.0/mlflow/users/current").await;
            assert_eq!(me.status, 200, "{}", me.text());
        }
        let store = &gate.open().house().store;
        let by = || trackgate::store::By::Trackgate;
        let group = trackgate::mlflow::ids::GroupName::parse(&format!("team{number}")).unwrap();
        store.add_group(&group, by()).await.unwrap();
        store.add_member(&group, &UserName::parse(&world.name(0)).unwrap(), by()).await.unwrap();
        // Something to begin with, else nobody could do anything.
        gate.grant(&format!("user:{}", world.name(0)), "experiment", &world.thing(0).1, "MANAGE").await;
        world.model.grants.insert((world.name(0), "experiment".into(), world.thing(0).1), "MANAGE".into());
        if number % 2 == 0 {
            gate.grant(&format!("user:{}", world.name(1)), "workspace", "*", "MANAGE").await;
            world.model.grants.insert((world.name(1), "workspace".into(), "*".into()), "MANAGE".into());
        }
        let sequence = calls.new_tree(&mut runner).unwrap().current();
        for (actor, call) in &sequence {
            // Two of five calls are the administrator's: they bring in what people then play with.
            let Some(person) = (*actor < 3).then_some(actor % 2) else {
                world.act("root", call).await;
                continue;
            };
            let before: Vec<_> = (0..2).map(|who| world.strengths(who)).collect();
            let to = world.act(&format!("p{person}w{number}"), call).await;
            made += 1;
            let after: Vec<_> = (0..2).map(|who| world.strengths(who)).collect();
            for ((what, was), (_, is)) in before[person].iter().zip(&after[person]) {
                assert!(
                    is <= was,
                    "world {number}: {person} raised {what} from {was} to {is} by {call:?} of {sequence:#?}"
                );
            }
            let Some(to) = to else { continue };
            given += 1;
            // Who is in the group gains by what it is given.
            let other = if to == 2 { 0 } else { to };
            let rows = before[other].iter().zip(&after[other]).zip(&before[person]);
            for (((what, was), (_, is)), (_, own)) in rows {
                // What lies in a thing may count at last where the thing may be read, by older grants.
                let inner = what.starts_with("run") || what.starts_with("version");
                assert!(
                    is <= was || is <= own || inner,
                    "world {number}: {person}, who holds {own}, raised {other} on {what} from {was} to {is} by {call:?}"
                );
            }
        }
        // What the store holds is what the model holds.
        for who in 0..2 {
            let name = world.name(who);
            let listed =
                gate.bearer("root").get(&format!("/api/3.0/mlflow/users/permissions/list?username={name}")).await;
            let text = |row: &Value, member: &str| row[member].as_str().unwrap().to_owned();
            let listed: BTreeMap<(String, String), String> = listed.json()["permissions"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|row| row["via"].is_null() && text(row, "role_name").starts_with("__user_"))
                .map(|row| ((text(row, "resource_type"), text(row, "resource_pattern")), text(row, "permission")))
                .collect();
            let own = world.model.grants.iter().filter(|((holder, ..), _)| *holder == name);
            let own: BTreeMap<_, _> =
                own.map(|((_, kind, pattern), level)| ((kind.clone(), pattern.clone()), level.clone())).collect();
            assert_eq!(listed, own, "world {number}, {name}: {sequence:#?}");
        }
    }
    assert!(made > 400 && given > 20, "only {made} calls by people, {given} of them gave something");
}
