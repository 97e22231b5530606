//! What does each call about registered models, prompts and their versions need?

use crate::mlflow::permission::Action;
use crate::mlflow::resource::Kind::{LoggedModel, ModelVersion, Prompt, RegisteredModel, Run};
use crate::policy::route::Check::{ModelSource, NewModelName, Presigned, SafePath, TagKey, VersionTags};
use crate::policy::route::Need::{Checked, SignedIn};
use crate::policy::route::{
    Link, List, Own, Paging, Row, along, blank, create_registered, delete, delete_, drop_, edit, get, manage,
    manage_one, new_named, not_denied, on_all_in, patch, post, read, read_opt, whole,
};

/// What tells of a version's run, beside the run's id, and of its logged model (MLflow 3.17.2, `server/auth/__init__.py`
/// `_MODEL_VERSION_SIBLING_FIELDS`). Not `source`: `docs/threat-model.md` says why.
const RUN_BESIDE: &[&str] = &["run_link"];
const MODEL_BESIDE: &[&str] = &["model_params", "model_metrics"];

/// Model versions tell of the run and the logged model that they come from.
const VERSION_LINKS: &[Link] = &[
    along("model_version.run_id", Run, RUN_BESIDE),
    along("model_version.model_id", LoggedModel, MODEL_BESIDE),
    blank("model_version.model_metrics[].run_id", Run),
    blank("model_version.model_metrics[].model_id", LoggedModel),
];

/// A version that was named by an alias: which one it is, MLflow tells.
const ALIASED_LINKS: &[Link] = &[
    whole("model_version", ModelVersion),
    along("model_version.run_id", Run, RUN_BESIDE),
    along("model_version.model_id", LoggedModel, MODEL_BESIDE),
    blank("model_version.model_metrics[].run_id", Run),
    blank("model_version.model_metrics[].model_id", LoggedModel),
];

/// The same, in a list of the latest ones.
const LATEST_LINKS: &[Link] = &[
    drop_("model_versions[]", ModelVersion),
    along("model_versions[].run_id", Run, RUN_BESIDE),
    along("model_versions[].model_id", LoggedModel, MODEL_BESIDE),
    blank("model_versions[].model_metrics[].run_id", Run),
    blank("model_versions[].model_metrics[].model_id", LoggedModel),
];

/// Registered models hold their latest versions.
const REGISTERED_LINKS: &[Link] = &[
    drop_("registered_model.latest_versions[]", ModelVersion),
    along("registered_model.latest_versions[].run_id", Run, RUN_BESIDE),
    along("registered_model.latest_versions[].model_id", LoggedModel, MODEL_BESIDE),
    blank("registered_model.latest_versions[].model_metrics[].run_id", Run),
    blank("registered_model.latest_versions[].model_metrics[].model_id", LoggedModel),
];

const REGISTERED_MODELS: List = List {
    member: "registered_models",
    kind: RegisteredModel,
    id: "name",
    own: None,
    links: &[
        drop_("latest_versions[]", ModelVersion),
        along("latest_versions[].run_id", Run, RUN_BESIDE),
        along("latest_versions[].model_id", LoggedModel, MODEL_BESIDE),
        blank("latest_versions[].model_metrics[].run_id", Run),
        blank("latest_versions[].model_metrics[].model_id", LoggedModel),
    ],
    paged: Some(Paging { default: 100, most: 1000, narrow_by: Some("name") }),
};

pub(super) const MODEL_VERSIONS: List = List {
    member: "model_versions",
    kind: RegisteredModel,
    id: "name",
    own: Some(Own { kind: ModelVersion, id: &["name", "version"] }),
    links: &[
        along("run_id", Run, RUN_BESIDE),
        along("model_id", LoggedModel, MODEL_BESIDE),
        blank("model_metrics[].run_id", Run),
        blank("model_metrics[].model_id", LoggedModel),
    ],
    paged: Some(Paging { default: 200_000, most: 200_000, narrow_by: Some("name") }),
};

#[rustfmt::skip]
pub(super) static ROWS: &[Row] = &[
    // Registered models; prompts are registered models with a tag
    post  ("2.0/mlflow/registered-models/create",     "CreateRegisteredModel",      &[create_registered(RegisteredModel, "name"), new_named(RegisteredModel), Checked(NewModelName("name"))])
                                                                                        .owns(RegisteredModel, "registered_model.name"),
    get   ("2.0/mlflow/registered-models/get",        "GetRegisteredModel",         &[read(RegisteredModel, "name")]).hides(REGISTERED_LINKS),
    get   ("2.0/mlflow/registered-models/search",     "SearchRegisteredModels",     &[SignedIn]).keeps(REGISTERED_MODELS),
    patch ("2.0/mlflow/registered-models/update",     "UpdateRegisteredModel",      &[edit(RegisteredModel, "name")]).hides(REGISTERED_LINKS),
    // MLflow asks for EDIT. MANAGE, because a new name can fall under patterns that give more.
    post  ("2.0/mlflow/registered-models/rename",     "RenameRegisteredModel",      &[manage(RegisteredModel, "name"), Checked(NewModelName("new_name")), not_denied(RegisteredModel, "new_name"), not_denied(Prompt, "new_name")])
                                                                                        .renames(RegisteredModel, "name", "new_name").hides(REGISTERED_LINKS),
    delete("2.0/mlflow/registered-models/delete",     "DeleteRegisteredModel",      &[delete_(RegisteredModel, "name"), on_all_in(Action::Delete, &[ModelVersion], RegisteredModel, "name")]).forgets(RegisteredModel, "name"),
    post  ("2.0/mlflow/registered-models/set-tag",    "SetRegisteredModelTag",      &[edit(RegisteredModel, "name"), Checked(TagKey("key"))]),
    delete("2.0/mlflow/registered-models/delete-tag", "DeleteRegisteredModelTag",   &[edit(RegisteredModel, "name"), Checked(TagKey("key"))]),
    post  ("2.0/mlflow/registered-models/alias",      "SetRegisteredModelAlias",    &[edit(RegisteredModel, "name"), edit(ModelVersion, "name/version")]),
    delete("2.0/mlflow/registered-models/alias",      "DeleteRegisteredModelAlias", &[manage_one(RegisteredModel, "name"), on_all_in(Action::Read, &[ModelVersion], RegisteredModel, "name")]),
    get   ("2.0/mlflow/registered-models/alias",      "GetModelVersionByAlias",     &[read(RegisteredModel, "name")]).hides(ALIASED_LINKS),
    get   ("2.0/mlflow/registered-models/get-latest-versions", "GetLatestVersions", &[read(RegisteredModel, "name")]).hides(LATEST_LINKS),
    post  ("2.0/mlflow/registered-models/get-latest-versions", "GetLatestVersions", &[read(RegisteredModel, "name")]).hides(LATEST_LINKS),

    // Model versions
    post  ("2.0/mlflow/model-versions/create",           "CreateModelVersion",         &[edit(RegisteredModel, "name"), new_named(ModelVersion), read_opt(Run, "run_id"), read_opt(LoggedModel, "model_id"),
                                                                                         Checked(ModelSource("source")), Checked(VersionTags("tags[*]"))]).large().hides(VERSION_LINKS),
    get   ("2.0/mlflow/model-versions/get",              "GetModelVersion",            &[read(ModelVersion, "name/version")]).hides(VERSION_LINKS),
    get   ("2.0/mlflow/model-versions/search",           "SearchModelVersions",        &[SignedIn]).keeps(MODEL_VERSIONS),
    patch ("2.0/mlflow/model-versions/update",           "UpdateModelVersion",         &[edit(ModelVersion, "name/version")]).hides(VERSION_LINKS),
    // The model too: `archive_existing_versions` changes its other versions.
    post  ("2.0/mlflow/model-versions/transition-stage", "TransitionModelVersionStage", &[edit(ModelVersion, "name/version"), edit(RegisteredModel, "name")]).hides(VERSION_LINKS),
    delete("2.0/mlflow/model-versions/delete",           "DeleteModelVersion",         &[delete_(ModelVersion, "name/version")]),
    post  ("2.0/mlflow/model-versions/set-tag",          "SetModelVersionTag",         &[edit(ModelVersion, "name/version"), Checked(TagKey("key"))]),
    delete("2.0/mlflow/model-versions/delete-tag",       "DeleteModelVersionTag",      &[manage_one(ModelVersion, "name/version"), Checked(TagKey("key"))]),
    get   ("2.0/mlflow/model-versions/get-download-uri", "GetModelVersionDownloadUri", &[read(ModelVersion, "name/version")]),
    get   ("model-versions/get-artifact",                "GetModelVersionArtifact",    &[read(ModelVersion, "name/version"), Checked(SafePath("path")), Checked(Presigned("presigned"))]).root().fetches(),
];
