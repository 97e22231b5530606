//! What does each call about artifacts need?

use crate::mlflow::permission::Action;
use crate::mlflow::resource::Kind::{LoggedModel, Run};
use crate::policy::route::Check::{FileName, Presigned, SafePath};
use crate::policy::route::Need::Checked;
use crate::policy::route::Switch::{MultipartUpload, PresignedDownload, PresignedUpload};
use crate::policy::route::{Row, delete, edit, edit_opt, get, on_artifact, post, put, read};

#[rustfmt::skip]
pub(super) static ROWS: &[Row] = &[
    // Artifacts, by run
    get   ("2.0/mlflow/artifacts/list",                   "ListArtifacts",              &[read(Run, "run_id|run_uuid"), Checked(SafePath("path"))]),
    get   ("get-artifact",                                "GetArtifact",                &[read(Run, "run_id|run_uuid"), Checked(SafePath("path")), Checked(Presigned("presigned"))]).root().fetches(),
    post  ("2.0/mlflow/upload-artifact",                  "UploadRunArtifact",          &[edit(Run, "run_id|run_uuid"), Checked(SafePath("path"))]).ajax().file(),
    post  ("2.0/mlflow/artifacts/presigned-download-url", "CreatePresignedDownloadUrl", &[read(Run, "run_id"), Checked(SafePath("path"))]).behind(PresignedDownload),
    post  ("2.0/mlflow/artifacts/presigned-upload-url",   "CreatePresignedUploadUrl",   &[edit_opt(Run, "run_id"), edit_opt(LoggedModel, "model_id"), Checked(SafePath("path"))])
                                                                                        .behind(PresignedUpload),

    // Artifacts, by path
    get   ("2.0/mlflow-artifacts/artifacts",                  "ListArtifactsOf",         &[on_artifact(Action::Read, "path")]),
    get   ("2.0/mlflow-artifacts/artifacts/{*artifact_path}", "DownloadArtifact",        &[on_artifact(Action::Read, "{artifact_path}")]).fetches(),
    put   ("2.0/mlflow-artifacts/artifacts/{*artifact_path}", "UploadArtifact",          &[on_artifact(Action::Edit, "{artifact_path}")]).file(),
    delete("2.0/mlflow-artifacts/artifacts/{*artifact_path}", "DeleteArtifact",          &[on_artifact(Action::Delete, "{artifact_path}")]).fetches(),
    get   ("2.0/mlflow-artifacts/presigned/{*artifact_path}", "GetPresignedDownloadUrl", &[on_artifact(Action::Read, "{artifact_path}")]).behind(PresignedDownload),
    post  ("2.0/mlflow-artifacts/mpu/create/{*artifact_path}",   "CreateMultipartUpload",   &[on_artifact(Action::Edit, "{artifact_path}"), Checked(FileName("path"))]).large().behind(MultipartUpload),
    post  ("2.0/mlflow-artifacts/mpu/complete/{*artifact_path}", "CompleteMultipartUpload", &[on_artifact(Action::Edit, "{artifact_path}"), Checked(FileName("path"))]).large().behind(MultipartUpload),
    post  ("2.0/mlflow-artifacts/mpu/abort/{*artifact_path}",    "AbortMultipartUpload",    &[on_artifact(Action::Edit, "{artifact_path}"), Checked(FileName("path"))]).large().behind(MultipartUpload),
];
