//! Who is it that an identity speaks of, and what do they hold in a workspace?

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Snapshot, having};
use crate::access::grant::{GrantSet, Pattern, Subject};
use crate::access::identity::{Identity, Names, Principal, Proof};
use crate::mlflow::ids::{GroupName, UserName, WorkspaceName};
use crate::mlflow::permission::Permission;
use crate::mlflow::resource::Kind;
use crate::store::fault::PrincipalFault;
use crate::store::holder::Holder;
use crate::store::records::{EVERYBODY, User};

impl Snapshot {
    /// The identity with all that it holds in `workspace` at `now`.
    pub(in crate::store) fn principal(
        &self,
        identity: Arc<Identity>,
        workspace: &WorkspaceName,
        now: u64,
    ) -> Result<Arc<Principal>, PrincipalFault> {
        let user = self.person(&identity)?;
        Ok(self.with_grants(Some(user), identity, workspace, now))
    }

    /// What somebody of this name would hold in `workspace`.
    pub(in crate::store) fn suppose(
        &self,
        identity: Arc<Identity>,
        workspace: &WorkspaceName,
        now: u64,
    ) -> Result<Arc<Principal>, PrincipalFault> {
        match self.users.get(&identity.user) {
            Some(user) if user.disabled => Err(PrincipalFault::Disabled),
            user => Ok(self.with_grants(user.map(|user| &**user), identity, workspace, now)),
        }
    }

    /// The identity with READ on each workspace that it belongs to, and with nothing else.
    pub(in crate::store) fn tenant(
        &self,
        identity: Arc<Identity>,
        workspace: &WorkspaceName,
        now: u64,
    ) -> Result<Arc<Principal>, PrincipalFault> {
        let user = self.person(&identity)?;
        let holders = self.reaching(Some(user), &identity, now);
        let mut places: BTreeSet<&WorkspaceName> = holders.iter().flat_map(|holder| holder.workspaces()).collect();
        let default = WorkspaceName::default();
        places.insert(&default);
        let mut homes = GrantSet::new(Subject::User(identity.user.clone()));
        let (admin, instead) = self.pass(Some(user), &identity);
        for name in places {
            let mut grants = self.sets(&holders, name, now);
            grants.extend(instead.clone());
            let (identity, names) = (Arc::clone(&identity), Names::default());
            let here = Principal { admin, workspace: name.clone(), grants, identity, names };
            if here.belongs() {
                homes.insert(Kind::Workspace, Pattern::Exactly(name.to_shared()), Permission::Read);
            }
        }
        let grants = vec![Arc::new(homes)];
        Ok(Arc::new(Principal { admin, workspace: workspace.clone(), grants, identity, names: Names::default() }))
    }

    /// Whether the identity is known, is who it was before, and is not disabled.
    pub(in crate::store) fn recognises(&self, identity: &Identity) -> Result<(), PrincipalFault> {
        self.person(identity).map(drop)
    }

    fn person(&self, identity: &Identity) -> Result<&User, PrincipalFault> {
        let user = self.users.get(&identity.user);
        // By its number, which is never given twice: nobody inherits the tokens of another of that name, and nobody comes
        // to be known by one.
        if identity.proof == Proof::Token && user.is_none_or(|user| identity.subject.parse() != Ok(user.id)) {
            return Err(PrincipalFault::OwnerGone);
        }
        // A binding speaks of the account by its name, and of no person.
        if identity.proof == Proof::Bound && user.is_none_or(|user| !user.service) {
            return Err(if user.is_some() { PrincipalFault::BoundToPerson } else { PrincipalFault::AccountGone });
        }
        let user = user.ok_or(PrincipalFault::Unrecognised)?;
        if user.disabled {
            return Err(PrincipalFault::Disabled);
        }
        if matches!(identity.proof, Proof::Token | Proof::Bound) {
            return Ok(user);
        }
        if user.service {
            return Err(PrincipalFault::ServiceAccount);
        }
        match user.identities.iter().find(|known| known.issuer == identity.issuer) {
            None => Err(PrincipalFault::Unrecognised),
            Some(known) if known.subject != identity.subject => Err(PrincipalFault::SubjectChanged),
            Some(_) => Ok(user),
        }
    }

    /// Whether the caller has an administrator's pass, by this credential; and in its place, where it was narrowed, MANAGE
    /// on the workspace, which a ceiling lies over.
    fn pass(&self, user: Option<&User>, identity: &Identity) -> (bool, Option<Arc<GrantSet>>) {
        let admin = user.map_or_else(|| self.given.admins.contains(&identity.user), |user| self.admin(user));
        if !admin || identity.ceiling().is_none() {
            return (admin, None);
        }
        let mut set = GrantSet::new(Subject::User(identity.user.clone()));
        set.insert(Kind::Workspace, Pattern::Prefix(Arc::from("")), Permission::Manage);
        (false, Some(Arc::new(set)))
    }

    fn admin(&self, user: &User) -> bool {
        user.admin || self.given.admins.contains(&user.name)
    }

    fn with_grants(
        &self,
        user: Option<&User>,
        identity: Arc<Identity>,
        workspace: &WorkspaceName,
        now: u64,
    ) -> Arc<Principal> {
        let mut grants = self.sets(&self.reaching(user, &identity, now), workspace, now);
        let (admin, instead) = self.pass(user, &identity);
        grants.extend(instead);
        Arc::new(Principal { admin, workspace: workspace.clone(), grants, identity, names: Names::default() })
    }

    fn sets(&self, holders: &[&Holder], workspace: &WorkspaceName, now: u64) -> Vec<Arc<GrantSet>> {
        let everybody = self.given.everybody.iter().filter(|_| workspace.is_default());
        holders.iter().filter_map(|holder| holder.set(workspace, now)).chain(everybody.cloned()).collect()
    }

    /// The identity with what of it still counts at `at`, which may lie ahead.
    pub(in crate::store) fn lasting(
        &self,
        identity: Arc<Identity>,
        workspace: &WorkspaceName,
        at: u64,
    ) -> Result<Arc<Principal>, PrincipalFault> {
        let user = self.person(&identity)?;
        let holders = self.reaching(Some(user), &identity, at);
        let everybody = self.given.everybody.iter().filter(|_| workspace.is_default());
        let sets = holders.iter().filter_map(|holder| holder.set_at(workspace, at)).chain(everybody.cloned());
        let (admin, instead) = self.pass(Some(user), &identity);
        let grants = sets.chain(instead).collect();
        Ok(Arc::new(Principal { admin, workspace: workspace.clone(), grants, identity, names: Names::default() }))
    }

    /// Whether somebody is an administrator, by the store or by the settings.
    pub(in crate::store) fn is_admin(&self, name: &UserName) -> bool {
        self.is_admin_by_settings(name) || self.users.get(name).is_some_and(|user| user.admin)
    }

    /// Whether the settings make somebody an administrator.
    pub(in crate::store) fn is_admin_by_settings(&self, name: &UserName) -> bool {
        self.given.admins.contains(name)
    }

    /// Whatever reaches somebody: their own, that of their groups (the store's and the issuer's), everybody's, and that of
    /// the roles which they or these groups have at `now`. Each once.
    fn reaching(&self, user: Option<&User>, identity: &Identity, now: u64) -> Vec<&Holder> {
        let mut holders = self.direct(user, &identity.user, &identity.groups);
        let roles = having(&holders, now);
        holders.extend(roles.iter().filter_map(|id| self.of_roles.get(id)).map(|holder| &**holder));
        holders
    }

    /// The same without roles.
    pub(super) fn direct(&self, user: Option<&User>, name: &UserName, vouched: &[GroupName]) -> Vec<&Holder> {
        let own = user.map_or(&[][..], |user| &user.groups);
        let vouched = vouched.iter().filter(|name| !own.contains(name));
        let mut holders: Vec<&Holder> = self.of_users.get(name).map(|holder| &**holder).into_iter().collect();
        // `everybody` comes once, whoever else names it.
        let named = own.iter().chain(vouched).filter(|name| name.as_str() != EVERYBODY);
        holders.extend(named.filter_map(|name| self.of_groups.get(name)).map(|holder| &**holder));
        holders.extend(self.of_groups.get(EVERYBODY).map(|holder| &**holder));
        holders
    }
}
