use std::collections::HashMap;
use std::time::SystemTime;

use proptest::prelude::*;

use super::*;
use crate::access::grant::Grant;
use crate::access::identity::{Identity, Proof};
use crate::store::records::Binding;

const WORKSPACES: [&str; 3] = ["default", "team-a", "team-b"];

fn workspace(name: &str) -> WorkspaceName {
    WorkspaceName::parse(name).unwrap()
}

fn alice() -> Arc<Identity> {
    Arc::new(Identity {
        user: UserName::parse("alice").unwrap(),
        issuer: Arc::from("https://idp.test"),
        subject: Arc::from("1"),
        groups: vec![GroupName::parse("idp").unwrap(), GroupName::parse("ml").unwrap()],
        proof: Proof::Bearer,
        until: SystemTime::UNIX_EPOCH,
        token: None,
    })
}

fn snapshot(grants: &[GrantRecord]) -> Snapshot {
    let name = UserName::parse("alice").unwrap();
    let group = GroupName::parse("ml").unwrap();
    let identities = vec![Binding { issuer: Arc::from("https://idp.test"), subject: Arc::from("1") }];
    let groups = vec![group.clone()];
    let user = User {
        id: 1,
        name: name.clone(),
        admin: false,
        disabled: false,
        created: 0,
        identities,
        groups,
        vouched: Vec::new(),
        service: false,
        owners: Vec::new(),
    };
    let mut snapshot = Snapshot::new(Given::default());
    snapshot.put_user(&name, Some(user));
    snapshot.put_group(&group, Some((1, 0)));
    let mut holders: HashMap<Subject, Holder> = HashMap::new();
    for (id, record) in (1..).zip(grants) {
        let subject = &record.grant.subject;
        let holder = holders.entry(subject.clone()).or_insert_with(|| Holder::new(subject.clone(), None));
        holder.add(GrantRecord { id, ..record.clone() });
    }
    for mut holder in holders.into_values() {
        holder.finish();
        snapshot.put_holder(holder);
    }
    snapshot
}

fn a_grant() -> impl Strategy<Value = GrantRecord> {
    let subject =
        prop_oneof![Just("user:alice"), Just("user:bob"), Just("group:ml"), Just("group:idp"), Just("group:everybody")];
    let on = prop_oneof![
        Just((Kind::Experiment, "1")),
        Just((Kind::Experiment, "*")),
        Just((Kind::RegisteredModel, "a*")),
        Just((Kind::Workspace, "*")),
    ];
    let permission = prop_oneof![Just(Permission::Read), Just(Permission::Manage), Just(Permission::Deny)];
    (prop::sample::select(&WORKSPACES[..]), subject, on, permission).prop_map(
        |(name, subject, (kind, pattern), permission)| GrantRecord {
            workspace: workspace(name),
            grant: Grant {
                subject: subject.parse().unwrap(),
                kind,
                pattern: Pattern::parse(kind, pattern).unwrap(),
                permission,
            },
            id: 0,
            expires: None,
            created: 0,
            by: Arc::from(""),
        },
    )
}

proptest! {
    #[test]
    fn what_is_held_in_a_workspace_comes_from_no_other(grants in prop::collection::vec(a_grant(), 0..12)) {
        let whole = snapshot(&grants);
        for name in WORKSPACES {
            let own: Vec<GrantRecord> =
                grants.iter().filter(|record| record.workspace.as_str() == name).cloned().collect();
            let here = workspace(name);
            let held = whole.principal(alice(), &here, 0).unwrap();
            let alone = snapshot(&own).principal(alice(), &here, 0).unwrap();
            prop_assert_eq!(sorted(&held.grants), sorted(&alone.grants));
            prop_assert_eq!(&held.workspace, &here);
            prop_assert!(!own.is_empty() || held.grants.is_empty());
            // The same grants hold alike in whatever workspace they are given.
            for other in WORKSPACES {
                let moved: Vec<GrantRecord> =
                    own.iter().map(|record| GrantRecord { workspace: workspace(other), ..record.clone() }).collect();
                let there = snapshot(&moved).principal(alice(), &workspace(other), 0).unwrap();
                prop_assert_eq!(sorted(&there.grants), sorted(&held.grants));
            }
        }
    }

    #[test]
    fn one_is_a_tenant_where_one_belongs(grants in prop::collection::vec(a_grant(), 0..12)) {
        let whole = snapshot(&grants);
        let tenant = whole.tenant(alice(), &WorkspaceName::default(), 0).unwrap();
        let mut homes: Vec<String> =
            tenant.grants[0].exact(Kind::Workspace).map(|(name, _)| name.to_string()).collect();
        homes.sort();
        let belongs = |name: &&str| whole.principal(alice(), &workspace(name), 0).unwrap().belongs();
        prop_assert_eq!(homes, WORKSPACES.iter().copied().filter(belongs).collect::<Vec<_>>());
    }
}

fn sorted(sets: &[Arc<GrantSet>]) -> Vec<String> {
    let mut held: Vec<String> = sets
        .iter()
        .flat_map(|set| {
            let kinds = [Kind::Experiment, Kind::RegisteredModel, Kind::Workspace];
            kinds.into_iter().flat_map(move |kind| {
                let exact = set.exact(kind).map(|(id, held)| (id.to_string(), held));
                let patterns = set.patterns(kind).map(|(pattern, held)| (pattern.to_string(), held));
                exact
                    .chain(patterns)
                    .map(move |(on, held)| format!("{} {kind} {on} {held}", set.subject()))
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    held.sort();
    held
}
