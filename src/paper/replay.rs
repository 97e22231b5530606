//! Which requests of the past would another policy have decided otherwise?
//!
//! An audit record carries what was asked of the caller, in full (`access::spelled`), and the groups that the issuer named;
//! of what is asked by what the caller had (a role, a workspace, rights that last), only what was asked for, and it is looked
//! for anew.
//! That is judged again by the very decision that judged it first, with what the caller would hold. What else refused a
//! request (a wrong field, a body too large) is no matter of policy and not judged again. Which rows a list showed stands
//! in no record: a list counts as the request that it is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::after::Holdings;
use super::read::shown;
use crate::access::decide::{Denial, Reason, Requirement, decide};
use crate::access::identity::{Identity, Principal, Proof};
use crate::access::spelled;
use crate::mlflow::ids::{GroupName, UserName, WorkspaceName};
use crate::mlflow::resource::Kind;
use crate::policy::classify::rows;
use crate::policy::route::Scope;

/// What of a record matters here. Others' fields are left alone.
#[derive(Debug, Deserialize)]
struct Line {
    #[serde(default)]
    time: String,
    #[serde(default)]
    id: String,
    user: Option<String>,
    #[serde(default)]
    method: String,
    #[serde(default)]
    path: String,
    call: Option<String>,
    workspace: Option<String>,
    #[serde(default)]
    groups: Vec<String>,
    asked: Option<Vec<Vec<String>>>,
    asked_more: Option<u64>,
    ceiling: Option<String>,
    /// What experiments were called: each id, with the name if there was such a one.
    #[serde(default)]
    called: Vec<Vec<String>>,
    decision: String,
    #[serde(default)]
    reason: String,
    because: Option<String>,
}

/// A request that would be decided otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Other {
    /// When it was, as the record has it.
    pub time: String,
    /// The record's id.
    pub id: String,
    /// Who asked.
    pub user: String,
    /// Method and path.
    pub request: String,
    /// MLflow's name for the call.
    pub call: Option<String>,
    /// Whether it was allowed.
    pub was: bool,
    /// Why, then.
    pub then: String,
    /// Why the other way, now.
    pub now: String,
}

/// How many were judged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Told {
    /// Lines read.
    pub records: u64,
    /// Judged again.
    pub judged: u64,
    /// Of these, decided otherwise.
    pub otherwise: u64,
    /// Not judged again, by reason.
    pub not_judged: BTreeMap<&'static str, u64>,
}

/// Whether somebody is an administrator, and whether they are refused altogether.
#[derive(Debug, Clone, Copy, Default)]
pub struct Standing {
    /// Passes every check.
    pub admin: bool,
    /// Is nobody.
    pub disabled: bool,
}

/// Judges one line of an audit log again, and counts it.
pub fn judge(
    line: &str,
    holdings: &Holdings,
    standing: impl FnOnce(&UserName) -> Standing,
    told: &mut Told,
) -> Option<Other> {
    told.records += 1;
    match again(line, holdings, standing) {
        Ok(other) => {
            told.judged += 1;
            told.otherwise += u64::from(other.is_some());
            other
        }
        Err(why) => {
            *told.not_judged.entry(why).or_default() += 1;
            None
        }
    }
}

fn again(
    line: &str,
    holdings: &Holdings,
    standing: impl FnOnce(&UserName) -> Standing,
) -> Result<Option<Other>, &'static str> {
    let line: Line = serde_json::from_str(line).map_err(|_| "the line is no audit record")?;
    let Some(user) = &line.user else { return Err("nobody was signed in") };
    let was = match line.decision.as_str() {
        "allow" => true,
        "deny" => false,
        _ => return Err("it failed before or after it was judged"),
    };
    if !was && line.reason == "no-such-workspace" {
        return Err("it named a workspace that the caller had no business in: what it would have asked is not known");
    }
    if line.ceiling.is_some() {
        return Err("it came by a token that was narrowed: what lay out of its reach is no policy");
    }
    if !was && !by_policy(&line.reason) {
        // Another policy would have let it come as far as that, and no further.
        return Err("it was refused for another reason than policy");
    }
    if line.asked_more.is_some() {
        return Err("it asked for more at once than a record holds");
    }
    let Some(asked) = &line.asked else {
        return Err("the record does not tell what was asked: an older version wrote it");
    };
    let unreadable = "the record names something that this version does not know";
    let requirements: Option<Vec<Requirement>> =
        asked.iter().map(|words| spelled::read(&words.iter().map(String::as_str).collect::<Vec<_>>())).collect();
    let requirements = requirements.ok_or(unreadable)?;
    let user = UserName::parse(user).map_err(|_| unreadable)?;
    let workspace = line.workspace.as_deref().map_or_else(|| Ok(WorkspaceName::default()), WorkspaceName::parse);
    let groups: Result<Vec<_>, _> = line.groups.iter().map(|name| GroupName::parse(name)).collect();
    let Standing { admin, disabled } = standing(&user);
    let identity = Arc::new(Identity {
        user,
        issuer: Arc::from("replay"),
        subject: Arc::from(""),
        groups: groups.map_err(|_| unreadable)?,
        proof: Proof::Session,
        until: SystemTime::UNIX_EPOCH,
        token: None,
    });
    let workspace = workspace.map_err(|_| unreadable)?;
    let knowing = |who: Arc<Principal>| {
        if !who.speaks_of_names() {
            return who;
        }
        Arc::new(who.knowing(line.called.iter().filter_map(|words| {
            let (id, name) = words.split_first()?;
            Some((Arc::from(id.as_str()), name.first().map(|name| Arc::from(name.as_str()))))
        })))
    };
    // Our own pages ask nobody whether they belong.
    let row = line.call.as_deref().and_then(|name| rows().find(|row| row.name == name && !row.is_local()));
    let scope = row.map(|row| row.scope);
    let principal = if scope == Some(Scope::Workspaces) {
        let named: Vec<WorkspaceName> = requirements.iter().filter_map(workspace_of).collect();
        holdings.tenant(&identity, &workspace, admin, named.iter())
    } else {
        knowing(holdings.principal(Arc::clone(&identity), &workspace, admin))
    };
    let requirements: Vec<Requirement> = requirements
        .into_iter()
        .map(|requirement| match anew(requirement, holdings, &identity, &workspace, admin)? {
            Requirement::Lastingly { lasting, until, of } => {
                Some(Requirement::Lastingly { lasting: lasting.map(knowing), until, of })
            }
            other => Some(other),
        })
        .collect::<Option<_>>()
        .ok_or(unreadable)?;
    let mut about = requirements.iter().filter_map(Requirement::resource);
    if about.any(|resource| resource.levels().any(|object| principal.lacks_name_of(object))) {
        return Err("what the experiment was called is not in the record, and a grant on names may speak of it");
    }
    let (is, now) = if disabled {
        (false, "the user is disabled".to_owned())
    } else if scope == Some(Scope::Inside) && !workspace.is_default() && !principal.belongs() {
        (false, format!("nothing is held in the workspace {workspace}"))
    } else {
        match decide(Some(principal), &requirements, ()) {
            Ok(permitted) => (true, Reason::telling(permitted.reasons()).map_or_else(String::new, ToString::to_string)),
            Err(denial) => (false, refusal(&denial)),
        }
    };
    if is == was {
        return Ok(None);
    }
    Ok(Some(Other {
        time: shown(&line.time),
        id: shown(&line.id),
        user: shown(line.user.as_deref().unwrap_or_default()),
        request: shown(&format!("{} {}", line.method, line.path)),
        call: line.call.as_deref().map(shown),
        was,
        then: shown(line.because.as_deref().unwrap_or(&line.reason)),
        now: shown(&now),
    }))
}

/// The requirement with what the caller would have by this policy, where it was asked by what they had then.
fn anew(
    requirement: Requirement,
    holdings: &Holdings,
    identity: &Arc<Identity>,
    workspace: &WorkspaceName,
    admin: bool,
) -> Option<Requirement> {
    Some(match requirement {
        Requirement::Lastingly { until, of, lasting: _ } => {
            let lasting = Some(holdings.lasting(Arc::clone(identity), workspace, admin, until));
            Requirement::Lastingly { lasting, until, of }
        }
        Requirement::Bears { role, whose, has: _ } => {
            let has = holdings.bears(identity, workspace, &whose);
            Requirement::Bears { role, whose, has }
        }
        Requirement::Belongs { to, does: _ } => {
            let names: Option<Vec<_>> = to.iter().map(|name| WorkspaceName::parse(name).ok()).collect();
            let does = names?.iter().all(|name| holdings.principal(Arc::clone(identity), name, admin).belongs());
            Requirement::Belongs { to, does }
        }
        other => other,
    })
}

/// The workspace that is asked for, where it is one.
fn workspace_of(requirement: &Requirement) -> Option<WorkspaceName> {
    let Requirement::Holds { resource, .. } = requirement else { return None };
    if resource.object.kind != Kind::Workspace {
        return None;
    }
    WorkspaceName::parse(&resource.object.id).ok()
}

/// Whether a reason's code ([`Reason::code`]) is one of those that the decision gives.
fn by_policy(code: &str) -> bool {
    let codes = [
        "denied-by-grant",
        "grant-too-low",
        "no-grant",
        "not-admin",
        "no-such-object",
        "closed-route",
        "not-named",
        "another-person",
        "to-oneself",
        "held-too-short",
    ];
    codes.contains(&code)
}

fn refusal(denial: &Denial) -> String {
    denial.reason.to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::paper::read::Reader;
    use crate::paper::state::State;

    fn holdings(text: &str) -> Holdings {
        let mut reader = Reader::default();
        reader.file("a.toml", text, 0);
        Holdings::new(&reader.finish().unwrap().state, None)
    }

    fn line(more: serde_json::Value) -> String {
        let mut line = json!({
            "time": "2026-01-01T00:00:00.000Z", "id": "1", "user": "alice", "proof": "bearer", "issuer": "x",
            "method": "GET", "path": "/api", "call": "getRun", "objects": ["run:r"],
            "asked": [["holds", "read", "run", "r", "experiment", "7"]],
            "decision": "deny", "reason": "no-grant", "because": "read wanted; no grant speaks of run r", "status": 403,
        });
        let serde_json::Value::Object(more) = more else { panic!("fields of a record") };
        line.as_object_mut().unwrap().extend(more);
        line.to_string()
    }

    fn judged(policy: &str, more: serde_json::Value) -> (Option<Other>, Told) {
        let mut told = Told::default();
        let other = judge(&line(more), &holdings(policy), |_| Standing::default(), &mut told);
        (other, told)
    }

    const ROLE: &str = "[[role]]\nname = \"readers\"\n[[grant]]\nto = \"role:readers\"\nkind = \"experiment\"\n\
                        pattern = \"7\"\npermission = \"READ\"\n[[assignment]]\nrole = \"readers\"\nto = \"group:ml\"\n";

    #[test]
    fn a_refused_request_that_a_role_of_a_group_would_allow_is_told_with_the_reason() {
        let mine = format!("{ROLE}[[group]]\nname = \"ml\"\nmembers = [\"alice\"]\n");
        let (other, told) = judged(&mine, json!({}));
        let other = other.unwrap();
        assert!(!other.was);
        assert_eq!(other.now, "read wanted; role readers#1 holds READ on experiment 7");
        assert_eq!((told.records, told.judged, told.otherwise), (1, 1, 1));
        assert!(judged(ROLE, json!({})).0.is_none(), "nobody is in that group");
        assert!(judged(ROLE, json!({"groups": ["ml"]})).0.is_some(), "the issuer said that she is");
        assert!(judged(&mine, json!({"workspace": "team-a"})).0.is_none(), "the role holds in another workspace");
    }

    #[test]
    fn an_allowed_request_that_nothing_allows_any_more_is_told_and_a_deny_beats_all() {
        let was = json!({"decision": "allow", "reason": "grant", "because": "user alice holds EDIT"});
        let (other, _) = judged("", was.clone());
        assert_eq!(other.unwrap().then, "user alice holds EDIT");
        let everybody = ROLE.replace("group:ml", "group:everybody");
        assert!(judged(&everybody, was.clone()).0.is_none());
        let denied = format!(
            "{everybody}[[grant]]\nto = \"user:alice\"\nkind = \"run\"\npattern = \"*\"\npermission = \"DENY\"\n"
        );
        assert!(judged(&denied, was).0.unwrap().now.contains("holds DENY"));
    }

    #[test]
    fn a_grant_on_a_name_is_judged_by_the_name_that_the_record_tells() {
        let named = ROLE.replace("\"experiment\"", "\"experiment_name\"").replace("\"7\"", "\"team-?/*\"");
        let mine = format!("{named}[[group]]\nname = \"ml\"\nmembers = [\"alice\"]\n");
        let (other, _) = judged(&mine, json!({"called": [["7", "team-a/x"]]}));
        assert_eq!(other.unwrap().now, "read wanted; role readers#1 holds READ on experiment_name team-?/*");
        let (other, told) = judged(&mine, json!({"called": [["7", "elsewhere"]]}));
        assert!(other.is_none() && told.judged == 1);
        assert!(judged(&mine, json!({"called": [["7"]]})).0.is_none(), "there was no such experiment");
        let (other, told) = judged(&mine, json!({}));
        assert!(other.is_none() && told.not_judged.keys().any(|why| why.contains("was called")), "{told:?}");
    }

    #[test]
    fn what_cannot_be_judged_again_is_counted_with_its_reason() {
        for (more, why) in [
            (json!({"user": null}), "nobody was signed in"),
            (json!({"asked": null}), "the record does not tell"),
            (json!({"asked": null, "asked_more": 300}), "more at once than a record holds"),
            (json!({"asked": null, "reason": "no-such-workspace"}), "had no business in"),
            (json!({"asked": null, "reason": "bad-grant"}), "another reason"),
            (json!({"asked": [["fly"]]}), "does not know"),
            (json!({"workspace": "-"}), "does not know"),
            (json!({"decision": "error"}), "failed"),
            (json!({"reason": "bad-field"}), "another reason"),
        ] {
            let (other, told) = judged("", more.clone());
            assert!(other.is_none());
            assert!(told.not_judged.keys().any(|key| key.contains(why)) && told.judged == 0, "{more}: {told:?}");
        }
        let mut told = Told::default();
        judge("{\"half", &holdings(""), |_| Standing::default(), &mut told);
        assert_eq!(told.not_judged["the line is no audit record"], 1);
    }

    #[test]
    fn what_gives_and_takes_and_looks_at_others_is_judged_again_by_the_same_rules() {
        let manages = |end: &str| {
            format!(
                "[[grant]]\nto = \"user:alice\"\nkind = \"experiment\"\npattern = \"7\"\npermission = \"MANAGE\"\n{end}"
            )
        };
        let of_all = "[[grant]]\nto = \"user:alice\"\nkind = \"workspace\"\npattern = \"*\"\npermission = \"MANAGE\"\n";
        let less = "[[grant]]\nto = \"user:alice\"\nkind = \"experiment\"\npattern = \"9\"\npermission = \"READ\"\n";
        let mine = format!("{ROLE}[[group]]\nname = \"ml\"\nmembers = [\"alice\"]\n");
        let ends = "expires = 2099-01-01T00:00:00Z\n";
        let (before, after) = ("4070000000000", "4080000000000");
        let manage = |until: &str| json!([["lastingly", until, "holds", "manage", "experiment", "7"]]);
        for (policy, asked, call, would) in [
            (manages(""), manage("-"), "GrantUserPermission", true),
            (manages(ends), manage("-"), "GrantUserPermission", false),
            (manages(ends), manage(before), "GrantUserPermission", true),
            (manages(ends), manage(after), "GrantUserPermission", false),
            (String::new(), manage(before), "GrantUserPermission", false),
            (of_all.to_owned(), json!([["whole", "experiment"]]), "GrantUserPermission", true),
            (format!("{of_all}{less}"), json!([["whole", "experiment"]]), "GrantUserPermission", false),
            (manages(""), json!([["whole", "experiment"]]), "GrantUserPermission", false),
            (String::new(), json!([["oneself", "alice", "alone"]]), "GetUser", true),
            (String::new(), json!([["oneself", "bob", "or-manager"]]), "ListUserRoles", false),
            (of_all.to_owned(), json!([["oneself", "bob", "or-manager"]]), "ListUserRoles", true),
            (of_all.to_owned(), json!([["oneself", "bob", "alone"]]), "GetUser", false),
            (String::new(), json!([["another", "bob"]]), "GrantUserPermission", true),
            (String::new(), json!([["another", "alice"]]), "GrantUserPermission", false),
            (mine.clone(), json!([["bears", "9", "role:readers"]]), "GetRole", true),
            (ROLE.to_owned(), json!([["bears", "9", "role:readers"]]), "GetRole", false),
            (of_all.to_owned(), json!([["bears", "9", "role:readers"]]), "GetRole", true),
            (String::new(), json!([["bears", "9", "user:alice"]]), "GetRole", true),
            (String::new(), json!([["bears", "9", "user:bob"]]), "GetRole", false),
            (mine.clone(), json!([["bears", "9", "group:ml"]]), "GetRole", true),
            (mine.clone(), json!([["belongs", "default"]]), "ListRoles", true),
            (mine.clone(), json!([["belongs", "default", "team-a"]]), "ListRoles", false),
            (String::new(), json!([["nothing"]]), "GetCurrentUser", true),
        ] {
            for was in [true, false] {
                let (decision, reason) = if was { ("allow", "grant") } else { ("deny", "held-too-short") };
                let more = json!({"asked": asked, "call": call, "decision": decision, "reason": reason});
                let (other, told) = judged(&policy, more);
                assert_eq!(told.judged, 1, "{asked}: {told:?}");
                assert_eq!(other.map_or(was, |other| !other.was), would, "{asked} with {policy}");
            }
        }
    }

    #[test]
    fn a_workspace_that_nothing_is_held_in_any_more_is_hidden_again() {
        let in_a = "[[grant]]\nto = \"user:alice\"\nworkspace = \"team-a\"\nkind = \"experiment\"\npattern = \"7\"\n\
                    permission = \"READ\"\n";
        for (asked, call) in [
            (json!([["signed-in"]]), "SearchExperiments"),
            (json!([["holds", "read", "workspace", "team-a"]]), "GetWorkspace"),
            (json!([["holds", "read", "experiment", "7"]]), "GetExperiment"),
        ] {
            let was =
                json!({"workspace": "team-a", "asked": asked, "call": call, "decision": "allow", "reason": "grant"});
            assert!(judged(in_a, was.clone()).0.is_none(), "{call}");
            assert!(judged("", was).0.is_some(), "{call}");
        }
    }

    #[test]
    fn administrators_pass_and_the_disabled_do_not() {
        let empty = Holdings::new(&State::default(), None);
        let mut told = Told::default();
        let admin = |_: &UserName| Standing { admin: true, disabled: false };
        assert!(judge(&line(json!({})), &empty, admin, &mut told).unwrap().now.contains("administrator"));
        let allowed = line(json!({"decision": "allow", "reason": "admin"}));
        let disabled = |_: &UserName| Standing { admin: true, disabled: true };
        assert!(judge(&allowed, &empty, disabled, &mut told).unwrap().now.contains("disabled"));
    }
}
