//! What does each call about artifacts need?

use crate::mlflow::permission::Action;
use crate::mlflow::resource::Kind::Run;
use crate::policy::route::Check::SafePath;
use crate::policy::route::Need::Checked;
use crate::policy::route::{Row, delete, edit, get, nobody, on_artifact, post, put, read};

const BYPASS: &str = "the address it answers with leads past this gate";

#[rustfmt::skip]
pub(super) static ROWS: &[Row] = &[
    // Artifacts, by run
    get   ("2.0/mlflow/artifacts/list",                   "ListArtifacts",              &[read(Run, "run_id|run_uuid"), Checked(SafePath("path"))]),
    get   ("get-artifact",                                "GetArtifact",                &[read(Run, "run_id|run_uuid"), Checked(SafePath("path"))]).root().fetches(),
    post  ("2.0/mlflow/upload-artifact",                  "UploadRunArtifact",          &[edit(Run, "run_id|run_uuid"), Checked(SafePath("path"))]).ajax().file(),
    post  ("2.0/mlflow/artifacts/presigned-download-url", "CreatePresignedDownloadUrl", &[nobody(BYPASS)]),
    post  ("2.0/mlflow/artifacts/presigned-upload-url",   "CreatePresignedUploadUrl",   &[nobody(BYPASS)]),

    // Artifacts, by path
    get   ("2.0/mlflow-artifacts/artifacts",                  "ListArtifactsOf",         &[on_artifact(Action::Read, "path")]),
    get   ("2.0/mlflow-artifacts/artifacts/{*artifact_path}", "DownloadArtifact",        &[on_artifact(Action::Read, "{artifact_path}")]).fetches(),
    put   ("2.0/mlflow-artifacts/artifacts/{*artifact_path}", "UploadArtifact",          &[on_artifact(Action::Edit, "{artifact_path}")]).file(),
    delete("2.0/mlflow-artifacts/artifacts/{*artifact_path}", "DeleteArtifact",          &[on_artifact(Action::Delete, "{artifact_path}")]).fetches(),
    get   ("2.0/mlflow-artifacts/presigned/{*artifact_path}", "GetPresignedDownloadUrl", &[nobody(BYPASS)]),
    post  ("2.0/mlflow-artifacts/mpu/create/{*artifact_path}",   "CreateMultipartUpload",   &[nobody(BYPASS)]),
    post  ("2.0/mlflow-artifacts/mpu/complete/{*artifact_path}", "CompleteMultipartUpload", &[nobody(BYPASS)]),
    post  ("2.0/mlflow-artifacts/mpu/abort/{*artifact_path}",    "AbortMultipartUpload",    &[nobody(BYPASS)]),
];
