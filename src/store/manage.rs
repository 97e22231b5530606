//! What do administrators and owners change?
//!
//! Each change is acknowledged when it is on the disk and in force here.

use std::sync::Arc;

use super::Store;
use super::changes::{By, Change, Changed};
use super::fault::StoreFault;
use super::holdings::Over;
use super::records::{Assignment, CreateRule, GrantRecord, Role};
use super::roles::NewRule;
use crate::access::grant::{Grant, Pattern, RoleId, Subject};
use crate::mlflow::ids::{GroupName, RoleName, UserName, WorkspaceName};
use crate::mlflow::permission::Permission;
use crate::mlflow::resource::Kind;

impl Store {
    // --- people ---

    /// Adds a user before the first sign-in.
    ///
    /// # Errors
    /// [`StoreFault`]; then nothing is changed.
    pub async fn add_user(&self, user: &UserName, by: By) -> Result<Changed, StoreFault> {
        self.make(Change::AddUser(user.clone()), by).await
    }

    /// Removes a user with all grants, memberships and sessions. Whoever can still sign in comes back without any.
    ///
    /// # Errors
    /// [`StoreFault`]; then nothing is changed.
    pub async fn remove_user(&self, user: &UserName, by: By) -> Result<Changed, StoreFault> {
        self.make(Change::RemoveUser(user.clone()), by).await
    }

    /// Makes a user an administrator, or no longer one.
    ///
    /// # Errors
    /// [`StoreFault`]; then nothing is changed.
    pub async fn set_admin(&self, user: &UserName, on: bool, by: By) -> Result<Changed, StoreFault> {
        self.make(Change::SetAdmin(user.clone(), on), by).await
    }

    /// Refuses a user from the next request on, and ends their sessions; or takes them back.
    ///
    /// # Errors
    /// [`StoreFault`]; then nothing is changed.
    pub async fn set_disabled(&self, user: &UserName, on: bool, by: By) -> Result<Changed, StoreFault> {
        self.make(Change::SetDisabled(user.clone(), on), by).await
    }

    /// Forgets which `sub` a user is: the next one to come under this name is bound to it. Ends their sessions.
    ///
    /// # Errors
    /// [`StoreFault`]; then nothing is changed.
    pub async fn relink(&self, user: &UserName, by: By) -> Result<Changed, StoreFault> {
        self.make(Change::Relink(user.clone()), by).await
    }

    /// Adds a group.
    ///
    /// # Errors
    /// [`StoreFault`]; then nothing is changed.
    pub async fn add_group(&self, group: &GroupName, by: By) -> Result<Changed, StoreFault> {
        self.make(Change::AddGroup(group.clone()), by).await
    }

    /// Removes a group with its grants and memberships.
    ///
    /// # Errors
    /// [`StoreFault`]; then nothing is changed.
    pub async fn remove_group(&self, group: &GroupName, by: By) -> Result<Changed, StoreFault> {
        self.make(Change::RemoveGroup(group.clone()), by).await
    }

    /// Puts a user into a group.
    ///
    /// # Errors
    /// [`StoreFault`]; then nothing is changed.
    pub async fn add_member(&self, group: &GroupName, user: &UserName, by: By) -> Result<Changed, StoreFault> {
        self.make(Change::AddMember(group.clone(), user.clone()), by).await
    }

    /// Takes a user out of a group.
    ///
    /// # Errors
    /// [`StoreFault`]; then nothing is changed.
    pub async fn remove_member(&self, group: &GroupName, user: &UserName, by: By) -> Result<Changed, StoreFault> {
        self.make(Change::RemoveMember(group.clone(), user.clone()), by).await
    }

    // --- grants ---

    /// Gives a grant for good, replacing the subject's earlier one on the same pattern there.
    ///
    /// # Errors
    /// As [`Store::set_grant`].
    pub async fn grant(&self, workspace: &WorkspaceName, grant: Grant, by: By) -> Result<Changed, StoreFault> {
        let change = Change::Grant { workspace: workspace.clone(), grant, expires: None, over: Over::Anything };
        self.make(change, by).await
    }

    /// Gives a grant, which counts until `expires` if that is given, replacing the subject's earlier one on the same
    /// pattern in the workspace.
    ///
    /// # Errors
    /// [`StoreFault`], such as [`StoreFault::EndPassed`], [`StoreFault::Elsewhere`] and [`StoreFault::OwnRole`] for
    /// roles; then nothing is changed.
    pub async fn set_grant(
        &self,
        workspace: &WorkspaceName,
        grant: Grant,
        expires: Option<u64>,
        by: By,
    ) -> Result<GrantRecord, StoreFault> {
        let change = Change::Grant { workspace: workspace.clone(), grant, expires, over: Over::Anything };
        self.granted(change, by).await
    }

    /// Gives a grant where the subject has none on the same pattern in the workspace: of two who do so at once, one
    /// hears of the other.
    ///
    /// # Errors
    /// [`StoreFault::Exists`], and as [`Store::set_grant`].
    pub async fn add_grant(
        &self,
        workspace: &WorkspaceName,
        grant: Grant,
        expires: Option<u64>,
        by: By,
    ) -> Result<GrantRecord, StoreFault> {
        let change = Change::Grant { workspace: workspace.clone(), grant, expires, over: Over::Nothing };
        self.granted(change, by).await
    }

    async fn granted(&self, change: Change, by: By) -> Result<GrantRecord, StoreFault> {
        let id = self.done(change, by).await?.made;
        self.grant_by_id(id).ok_or_else(|| gone("grant", id))
    }

    /// Gives a grant another permission and another end.
    ///
    /// # Errors
    /// [`StoreFault::NoSuch`] and [`StoreFault::EndPassed`], and what else can befall a database; then nothing is
    /// changed.
    pub async fn change_grant(
        &self,
        id: u64,
        permission: Permission,
        expires: Option<u64>,
        by: By,
    ) -> Result<GrantRecord, StoreFault> {
        self.make(Change::AlterGrant { id, permission, expires }, by).await?;
        self.grant_by_id(id).ok_or_else(|| gone("grant", id))
    }

    /// Takes a grant back by its number.
    ///
    /// # Errors
    /// [`StoreFault::NoSuch`], and what else can befall a database; then nothing is changed.
    pub async fn remove_grant(&self, id: u64, by: By) -> Result<(), StoreFault> {
        self.make(Change::RemoveGrant(id), by).await.map(drop)
    }

    /// Takes a grant back.
    ///
    /// # Errors
    /// [`StoreFault`]; then nothing is changed.
    pub async fn revoke(
        &self,
        workspace: &WorkspaceName,
        subject: Subject,
        kind: Kind,
        pattern: Pattern,
        by: By,
    ) -> Result<Changed, StoreFault> {
        self.make(Change::Revoke { workspace: workspace.clone(), subject, kind, pattern }, by).await
    }

    // --- roles ---

    /// Makes a role that holds nothing yet and that nobody has.
    ///
    /// # Errors
    /// [`StoreFault::Exists`], [`StoreFault::OwnName`], and what else can befall a database; then nothing is changed.
    pub async fn create_role(
        &self,
        workspace: &WorkspaceName,
        name: &RoleName,
        description: &str,
        by: By,
    ) -> Result<Arc<Role>, StoreFault> {
        let description = Arc::from(description);
        let change = Change::CreateRole { workspace: workspace.clone(), name: name.clone(), description };
        let id = self.done(change, by).await?.made;
        self.role(RoleId(id)).ok_or_else(|| gone("role", id))
    }

    /// Gives a role another name or description.
    ///
    /// # Errors
    /// [`StoreFault::NoSuch`], [`StoreFault::Exists`] for the name, [`StoreFault::OwnName`], [`StoreFault::OwnRole`], and
    /// what else can befall a database; then nothing is changed.
    pub async fn update_role(
        &self,
        role: RoleId,
        name: Option<&RoleName>,
        description: Option<&str>,
        by: By,
    ) -> Result<Arc<Role>, StoreFault> {
        let description = description.map(Arc::from);
        self.make(Change::UpdateRole { role, name: name.cloned(), description }, by).await?;
        self.role(role).ok_or_else(|| gone("role", role.0))
    }

    /// Removes a role with what it holds, from all who have it.
    ///
    /// # Errors
    /// [`StoreFault::NoSuch`], [`StoreFault::OwnRole`], and what else can befall a database; then nothing is changed.
    pub async fn delete_role(&self, role: RoleId, by: By) -> Result<(), StoreFault> {
        self.make(Change::DeleteRole(role), by).await.map(drop)
    }

    /// Gives a role to a user or a group, until `expires` if that is given. They need not be known yet.
    ///
    /// # Errors
    /// [`StoreFault::NoSuch`], [`StoreFault::Exists`], [`StoreFault::OwnRole`], [`StoreFault::RoleOfRole`],
    /// [`StoreFault::EndPassed`], and what else can befall a database; then nothing is changed.
    pub async fn assign(
        &self,
        role: RoleId,
        to: &Subject,
        expires: Option<u64>,
        by: By,
    ) -> Result<Assignment, StoreFault> {
        let id = self.done(Change::Assign { role, to: to.clone(), expires }, by).await?.made;
        let all = self.assignments_to(to);
        all.into_iter().find(|assignment| assignment.id == id).ok_or_else(|| gone("assignment", id))
    }

    /// Takes a role from a user or a group.
    ///
    /// # Errors
    /// [`StoreFault::NoSuch`], [`StoreFault::OwnRole`], and what else can befall a database; then nothing is changed.
    pub async fn unassign(&self, role: RoleId, to: &Subject, by: By) -> Result<(), StoreFault> {
        self.make(Change::Unassign { role, to: to.clone() }, by).await.map(drop)
    }

    // --- who may create what ---

    /// Lets a subject create things of a kind under such names, until `expires` if that is given.
    ///
    /// # Errors
    /// [`StoreFault::Exists`], [`StoreFault::EndPassed`], for roles as [`Store::set_grant`], and what else can befall a
    /// database; then nothing is changed.
    pub async fn add_create_rule(
        &self,
        workspace: &WorkspaceName,
        subject: Subject,
        kind: Kind,
        pattern: Pattern,
        expires: Option<u64>,
        by: By,
    ) -> Result<CreateRule, StoreFault> {
        let rule = NewRule { workspace: workspace.clone(), subject: subject.clone(), kind, pattern, expires };
        let id = self.done(Change::AddRule(rule), by).await?.made;
        let all = self.create_rules_of(&subject);
        all.into_iter().find(|rule| rule.id == id).ok_or_else(|| gone("rule", id))
    }

    /// Takes such a rule back.
    ///
    /// # Errors
    /// [`StoreFault::NoSuch`], and what else can befall a database; then nothing is changed.
    pub async fn remove_create_rule(&self, id: u64, by: By) -> Result<(), StoreFault> {
        self.make(Change::RemoveRule(id), by).await.map(drop)
    }
}

/// What was just made, or changed, and removed by somebody else before it could be shown.
fn gone(what: &'static str, id: u64) -> StoreFault {
    StoreFault::NoSuch { what, name: id.to_string() }
}
