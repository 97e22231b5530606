//! How does a change make the next snapshot out of the one before?
//!
//! Whoever puts something in names the whole of it: what it was before is looked up here, and only what differs is listed
//! anew. Everything else is shared with the snapshot before.

use std::collections::HashMap;
use std::sync::Arc;

use super::{GroupEntry, Key, RoleEntry, Snapshot};
use crate::access::grant::{Pattern, RoleId, Subject};
use crate::mlflow::ids::{GroupName, UserName};
use crate::mlflow::look::look;
use crate::mlflow::resource::Kind;
use crate::store::bindings::Bindings;
use crate::store::holder::Holder;
use crate::store::records::{Assignment, Role, User};

impl Snapshot {
    /// Puts a user in the place of the one of that name; or takes them out.
    pub(in crate::store) fn put_user(&mut self, name: &UserName, user: Option<User>) {
        let old = self.users.get(name).cloned();
        if let Some(old) = &old {
            self.user_ids.set(old.id, None);
        }
        let none: &[GroupName] = &[];
        let before = old.as_ref().map_or(none, |user| &user.groups);
        let after = user.as_ref().map_or(none, |user| &user.groups);
        for group in before.iter().filter(|group| !after.contains(group)) {
            self.edit_group(group, |entry| {
                entry.members.remove(name);
            });
        }
        for group in after.iter().filter(|group| !before.contains(group)) {
            self.edit_group(group, |entry| {
                entry.members.insert(name.clone());
            });
        }
        if let Some(user) = &user {
            self.user_ids.set(user.id, Some(name.clone()));
        }
        if old.is_some() != user.is_some() {
            self.looks.edit(Arc::from(look(name.as_str())), |same| {
                let mut same = same.unwrap_or_default();
                let names = Arc::make_mut(&mut same);
                names.retain(|other| other != name);
                if user.is_some() {
                    names.push(name.clone());
                }
                (!same.is_empty()).then_some(same)
            });
        }
        self.users.set(name.clone(), user.map(Arc::new));
    }

    /// Puts a group, given by number and time, in the place of the one of that name; or takes it out.
    pub(in crate::store) fn put_group(&mut self, name: &GroupName, known: Option<(u64, u64)>) {
        self.edit_group(name, |entry| entry.known = known);
    }

    fn edit_group(&mut self, name: &GroupName, edit: impl FnOnce(&mut GroupEntry)) {
        self.groups.edit(name.clone(), |entry| {
            let mut entry = entry.unwrap_or_default();
            edit(Arc::make_mut(&mut entry));
            (entry.known.is_some() || !entry.members.is_empty()).then_some(entry)
        });
    }

    /// Puts a role in the place of the one of that number; or takes it out.
    pub(in crate::store) fn put_role(&mut self, id: RoleId, role: Option<Role>) {
        if let Some(old) = self.role(id).cloned() {
            self.role_names.set((old.workspace.clone(), old.name.clone()), None);
            if let Some(owner) = &old.owner {
                self.hidden.set((owner.clone(), old.workspace.clone()), None);
            }
        }
        let role = role.map(Arc::new);
        if let Some(role) = &role {
            self.role_names.set((role.workspace.clone(), role.name.clone()), Some(id));
            if let Some(owner) = &role.owner {
                self.hidden.set((owner.clone(), role.workspace.clone()), Some(id));
            }
        }
        // Reasons name the role.
        let name = role.as_ref().map(|role| role.name.to_shared());
        if let Some(holder) = self.of_roles.get(&id) {
            let holder = holder.renamed(name);
            self.of_roles.set(id, Some(Arc::new(holder)));
        }
        self.edit_role(id, |entry| entry.role = role);
    }

    /// Puts these bindings in the place of those from before. Where they say the same, nothing changes.
    pub(in crate::store) fn put_bindings(&mut self, bindings: Bindings) {
        if self.bindings != bindings {
            self.bindings = bindings;
        }
    }

    /// The very bindings of an older snapshot, where they say the same.
    pub(in crate::store) fn keep_bindings(&mut self, older: &Self) {
        if self.bindings == older.bindings {
            self.bindings = Bindings::clone(&older.bindings);
        }
    }

    pub(in crate::store) fn bindings(&self) -> Bindings {
        Bindings::clone(&self.bindings)
    }

    fn edit_role(&mut self, id: RoleId, edit: impl FnOnce(&mut RoleEntry)) {
        self.roles.edit(id, |entry| {
            let mut entry = entry.unwrap_or_default();
            edit(Arc::make_mut(&mut entry));
            (entry.role.is_some() || !entry.assigned.is_empty()).then_some(entry)
        });
    }

    /// Puts what a subject holds in the place of what it held. Only what differs is listed anew.
    pub(in crate::store) fn put_holder(&mut self, holder: Holder) {
        let old = self.holder(&holder.subject).cloned();
        let before: HashMap<u64, Key<'_>> = old.iter().flat_map(|old| old.keys()).collect();
        let after: HashMap<u64, Key<'_>> = if old.is_some() { holder.keys().collect() } else { HashMap::new() };
        for (id, key) in &before {
            if after.get(id) != Some(key) {
                self.unlist(*id, *key);
            }
        }
        for (id, key) in holder.keys() {
            if before.get(&id) != Some(&key) {
                self.list(&holder.subject, id, key);
            }
        }
        let had = old.as_ref().map_or(&[][..], |old| &old.assigned);
        let same = |one: &Assignment, other: &Assignment| one.id == other.id && one.role == other.role;
        for gone in had.iter().filter(|one| !holder.assigned.iter().any(|other| same(one, other))) {
            self.edit_role(gone.role, |entry| entry.assigned.retain(|(id, _)| *id != gone.id));
        }
        for new in holder.assigned.iter().filter(|one| !had.iter().any(|other| same(one, other))) {
            self.edit_role(new.role, |entry| {
                let at = entry.assigned.partition_point(|(known, _)| *known < new.id);
                entry.assigned.insert(at, (new.id, new.to.clone()));
            });
        }
        drop((before, after));
        let subject = holder.subject.clone();
        let holder = (!holder.is_empty()).then(|| Arc::new(holder));
        match subject {
            Subject::User(name) => self.of_users.set(name, holder),
            Subject::Group(name) => self.of_groups.set(name, holder),
            Subject::Role(id) => self.of_roles.set(id, holder),
        }
    }

    fn list(&mut self, subject: &Subject, id: u64, (workspace, kind, pattern): Key<'_>) {
        self.grant_ids.set(id, Some(subject.clone()));
        self.by_name += usize::from(kind == Kind::ExperimentName);
        match pattern {
            Pattern::Exactly(object) => {
                self.on_objects.edit((workspace.clone(), kind, Arc::clone(object)), |ids| {
                    let mut ids = ids.unwrap_or_default();
                    Arc::make_mut(&mut ids).push(id);
                    Some(ids)
                });
            }
            Pattern::Prefix(_) | Pattern::Glob(_) => {
                self.on_patterns.edit((workspace.clone(), kind), |ids| {
                    let mut ids = ids.unwrap_or_default();
                    Arc::make_mut(&mut ids).push((pattern.clone(), id));
                    Some(ids)
                });
            }
        }
    }

    fn unlist(&mut self, id: u64, (workspace, kind, pattern): Key<'_>) {
        self.grant_ids.set(id, None);
        self.by_name -= usize::from(kind == Kind::ExperimentName);
        match pattern {
            Pattern::Exactly(object) => {
                self.on_objects.edit((workspace.clone(), kind, Arc::clone(object)), |ids| {
                    let mut ids = ids?;
                    Arc::make_mut(&mut ids).retain(|known| *known != id);
                    (!ids.is_empty()).then_some(ids)
                });
            }
            Pattern::Prefix(_) | Pattern::Glob(_) => {
                self.on_patterns.edit((workspace.clone(), kind), |ids| {
                    let mut ids = ids?;
                    Arc::make_mut(&mut ids).retain(|(_, known)| *known != id);
                    (!ids.is_empty()).then_some(ids)
                });
            }
        }
    }
}
