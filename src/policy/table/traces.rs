//! What does each call about traces and their assessments need?

use crate::policy::route::{Row, delete, get, nobody, patch, post};

const TRACES: &str = "traces are not judged yet: their ids stand inside of OTLP bodies, tags and locations";

const NEVER: &str = "MLflow registers it and always answers 404";

#[rustfmt::skip]
pub(super) static ROWS: &[Row] = &[
    // Traces: read and written by OTLP and by two families of calls
    get   ("2.0/mlflow/get-online-trace-details",                      "GetOnlineTraceDetails",           &[nobody(NEVER)]),
    get   ("2.0/mlflow/get-trace-artifact",                            "ServeGetTraceArtifact",           &[nobody(TRACES)]).ajax(),
    get   ("2.0/mlflow/traces",                                        "SearchTraces",                    &[nobody(TRACES)]),
    post  ("2.0/mlflow/traces",                                        "StartTrace",                      &[nobody(TRACES)]),
    post  ("2.0/mlflow/traces/delete-traces",                          "DeleteTraces",                    &[nobody(TRACES)]),
    post  ("2.0/mlflow/traces/link-prompts",                           "LinkPromptsToTrace",              &[nobody(TRACES)]),
    post  ("2.0/mlflow/traces/link-to-run",                            "LinkTracesToRun",                 &[nobody(TRACES)]),
    patch ("2.0/mlflow/traces/{request_id}",                           "EndTrace",                        &[nobody(TRACES)]),
    get   ("2.0/mlflow/traces/{request_id}/info",                      "GetTraceInfo",                    &[nobody(TRACES)]),
    delete("2.0/mlflow/traces/{request_id}/tags",                      "DeleteTraceTag",                  &[nobody(TRACES)]),
    patch ("2.0/mlflow/traces/{request_id}/tags",                      "SetTraceTag",                     &[nobody(TRACES)]),
    get   ("2.0/mlflow/traces/{trace_id}",                             "GetTraceInfoOfOld",               &[nobody(NEVER)]),
    post  ("2.0/mlflow/traces/search",                                 "SearchTracesOfOld",               &[nobody(NEVER)]),
    post  ("2.0/mlflow/traces/{trace_id}/assessments",                 "CreateAssessmentOfOld",           &[nobody(NEVER)]),
    delete("2.0/mlflow/traces/{trace_id}/assessments/{assessment_id}", "DeleteAssessmentOfOld",           &[nobody(NEVER)]),
    get   ("2.0/mlflow/traces/{trace_id}/assessments/{assessment_id}", "GetAssessmentOfOld",              &[nobody(NEVER)]),
    patch ("2.0/mlflow/traces/{trace_id}/assessments/{assessment_id}", "UpdateAssessmentOfOld",           &[nobody(NEVER)]),
    get   ("2.0/mlflow/unified-traces",                                "SearchUnifiedTraces",             &[nobody(NEVER)]),
    get   ("3.0/mlflow/get-trace-artifact",                            "ServeGetTraceArtifact",           &[nobody(TRACES)]).ajax(),
    post  ("3.0/mlflow/traces",                                        "StartTraceV3",                    &[nobody(TRACES)]),
    get   ("3.0/mlflow/traces/batchGet",                               "BatchGetTraces",                  &[nobody(TRACES)]),
    post  ("3.0/mlflow/traces/batchGetInfos",                          "BatchGetTraceInfos",              &[nobody(TRACES)]),
    post  ("3.0/mlflow/traces/calculate-filter-correlation",           "CalculateTraceFilterCorrelation", &[nobody(TRACES)]),
    post  ("3.0/mlflow/traces/delete-traces",                          "DeleteTracesV3",                  &[nobody(TRACES)]),
    get   ("3.0/mlflow/traces/get",                                    "GetTrace",                        &[nobody(TRACES)]),
    post  ("3.0/mlflow/traces/metrics",                                "QueryTraceMetrics",               &[nobody(TRACES)]),
    post  ("3.0/mlflow/traces/search",                                 "SearchTracesV3",                  &[nobody(TRACES)]),
    get   ("3.0/mlflow/traces/{trace_id}",                             "GetTraceInfoV3",                  &[nobody(TRACES)]),
    post  ("3.0/mlflow/traces/{trace_id}/assessments",                 "CreateAssessment",                &[nobody(TRACES)]),
    delete("3.0/mlflow/traces/{trace_id}/assessments/{assessment_id}", "DeleteAssessment",                &[nobody(TRACES)]),
    get   ("3.0/mlflow/traces/{trace_id}/assessments/{assessment_id}", "GetAssessmentRequest",            &[nobody(TRACES)]),
    patch ("3.0/mlflow/traces/{trace_id}/assessments/{assessment_id}", "UpdateAssessment",                &[nobody(TRACES)]),
    delete("3.0/mlflow/traces/{trace_id}/tags",                        "DeleteTraceTagV3",                &[nobody(TRACES)]),
    patch ("3.0/mlflow/traces/{trace_id}/tags",                        "SetTraceTagV3",                   &[nobody(TRACES)]),
    post  ("v1/traces",                                                "ExportTraces",                    &[nobody(TRACES)]).root(),
];
