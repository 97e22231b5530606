//! What does each call about the skills registry need?

use crate::policy::route::{Row, delete, get, nobody, patch, post};

const SKILLS: &str = "the skills registry is not judged yet";

#[rustfmt::skip]
pub(super) static ROWS: &[Row] = &[
    // Skills (since 3.18.0)
    get   ("3.0/mlflow/skills",         "SearchSkills", &[nobody(SKILLS)]),
    post  ("3.0/mlflow/skills",         "CreateSkill",  &[nobody(SKILLS)]),
    get   ("3.0/mlflow/skills/{*rest}", "Skills",       &[nobody(SKILLS)]),
    post  ("3.0/mlflow/skills/{*rest}", "Skills",       &[nobody(SKILLS)]),
    patch ("3.0/mlflow/skills/{*rest}", "Skills",       &[nobody(SKILLS)]),
    delete("3.0/mlflow/skills/{*rest}", "Skills",       &[nobody(SKILLS)]),
];
