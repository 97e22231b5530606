//! What does each call about the skills registry need?
//!
//! A skill is `name` or `@organization/name`: two paths, one kind (3.18.0, `server/skill_registry_api.py`). What each call
//! asks is what MLflow's own app asks (`_SKILL_ROUTE_OPERATIONS`); taking tags away needs MANAGE, as it does elsewhere.

use crate::mlflow::resource::Kind::Skill;
use crate::policy::route::Check::NewSkill;
use crate::policy::route::Need::{Checked, Create, SignedIn};
use crate::policy::route::{
    List, New, Paging, Row, admin, delete, delete_, edit, edit_or_create, get, manage, patch, post, read,
};

/// `name` of the path.
const NAME: &str = "{name}";

/// Both halves of the path.
const ORG: &str = "{organization}/{name}";

const BULK: &str = "it makes and changes any number of skills at once; each can be registered by itself";

const PAGED: Option<Paging> = Some(Paging { default: 100, most: 1000, narrow_by: None });

const SKILLS: List = List { member: "skills", kind: Skill, id: "name", own: None, links: &[], paged: PAGED };

const VERSIONS: List = List { member: "skill_versions", kind: Skill, id: "name", own: None, links: &[], paged: PAGED };

#[rustfmt::skip]
pub(super) static ROWS: &[Row] = &[
    // Skills (since 3.18.0)
    get   ("3.0/mlflow/skills", "SearchSkills", &[SignedIn]).keeps(SKILLS),
    post  ("3.0/mlflow/skills", "CreateSkill",  &[Create, Checked(NewSkill { name: "name", organization: "organization" })]).owns(Skill, "name"),
    post  ("3.0/mlflow/skills/bulk-register", "BulkRegisterSkills", &[admin(BULK)]).large(),

    // Without one
    get   ("3.0/mlflow/skills/{name}", "GetSkill", &[read(Skill, NAME)]),
    patch ("3.0/mlflow/skills/{name}", "UpdateSkill", &[edit(Skill, NAME)]),
    delete("3.0/mlflow/skills/{name}", "DeleteSkill", &[delete_(Skill, NAME)]).forgets(Skill, NAME),
    post  ("3.0/mlflow/skills/{name}/tags", "SetSkillTag", &[edit(Skill, NAME)]),
    delete("3.0/mlflow/skills/{name}/tags/{*key}", "DeleteSkillTag", &[delete_(Skill, NAME)]),
    post  ("3.0/mlflow/skills/{name}/aliases", "SetSkillAlias", &[edit(Skill, NAME)]),
    get   ("3.0/mlflow/skills/{name}/aliases/{alias}", "GetSkillVersionByAlias", &[read(Skill, NAME)]),
    delete("3.0/mlflow/skills/{name}/aliases/{alias}", "DeleteSkillAlias", &[delete_(Skill, NAME)]),
    get   ("3.0/mlflow/skills/{name}/versions", "SearchSkillVersions", &[read(Skill, NAME)]).keeps(VERSIONS),
    post  ("3.0/mlflow/skills/{name}/versions", "CreateSkillVersion", &[edit_or_create(Skill, NAME)])
                                  .owns_if(Skill, NAME, New::IfAbsent).file(),
    get   ("3.0/mlflow/skills/{name}/versions/{version}", "GetSkillVersion", &[read(Skill, NAME)]),
    // MLflow asks MANAGE for the status `deleted`, which takes the version from everybody.
    patch ("3.0/mlflow/skills/{name}/versions/{version}", "UpdateSkillVersion", &[manage(Skill, NAME)]),
    delete("3.0/mlflow/skills/{name}/versions/{version}", "DeleteSkillVersion", &[delete_(Skill, NAME)]),
    post  ("3.0/mlflow/skills/{name}/versions/{version}/tags", "SetSkillVersionTag", &[edit(Skill, NAME)]),
    delete("3.0/mlflow/skills/{name}/versions/{version}/tags/{*key}", "DeleteSkillVersionTag", &[delete_(Skill, NAME)]),

    // With an organization
    get   ("3.0/mlflow/skills/@{organization}/{name}", "GetOrganizationSkill", &[read(Skill, ORG)]),
    patch ("3.0/mlflow/skills/@{organization}/{name}", "UpdateOrganizationSkill", &[edit(Skill, ORG)]),
    delete("3.0/mlflow/skills/@{organization}/{name}", "DeleteOrganizationSkill", &[delete_(Skill, ORG)]).forgets(Skill, ORG),
    post  ("3.0/mlflow/skills/@{organization}/{name}/tags", "SetOrganizationSkillTag", &[edit(Skill, ORG)]),
    delete("3.0/mlflow/skills/@{organization}/{name}/tags/{*key}", "DeleteOrganizationSkillTag", &[delete_(Skill, ORG)]),
    post  ("3.0/mlflow/skills/@{organization}/{name}/aliases", "SetOrganizationSkillAlias", &[edit(Skill, ORG)]),
    get   ("3.0/mlflow/skills/@{organization}/{name}/aliases/{alias}", "GetOrganizationSkillVersionByAlias", &[read(Skill, ORG)]),
    delete("3.0/mlflow/skills/@{organization}/{name}/aliases/{alias}", "DeleteOrganizationSkillAlias", &[delete_(Skill, ORG)]),
    get   ("3.0/mlflow/skills/@{organization}/{name}/versions", "SearchOrganizationSkillVersions", &[read(Skill, ORG)]).keeps(VERSIONS),
    post  ("3.0/mlflow/skills/@{organization}/{name}/versions", "CreateOrganizationSkillVersion", &[edit_or_create(Skill, ORG)])
                                  .owns_if(Skill, ORG, New::IfAbsent).file(),
    get   ("3.0/mlflow/skills/@{organization}/{name}/versions/{version}", "GetOrganizationSkillVersion", &[read(Skill, ORG)]),
    // MLflow asks MANAGE for the status `deleted`, which takes the version from everybody.
    patch ("3.0/mlflow/skills/@{organization}/{name}/versions/{version}", "UpdateOrganizationSkillVersion", &[manage(Skill, ORG)]),
    delete("3.0/mlflow/skills/@{organization}/{name}/versions/{version}", "DeleteOrganizationSkillVersion", &[delete_(Skill, ORG)]),
    post  ("3.0/mlflow/skills/@{organization}/{name}/versions/{version}/tags", "SetOrganizationSkillVersionTag", &[edit(Skill, ORG)]),
    delete("3.0/mlflow/skills/@{organization}/{name}/versions/{version}/tags/{*key}", "DeleteOrganizationSkillVersionTag", &[delete_(Skill, ORG)]),
];
