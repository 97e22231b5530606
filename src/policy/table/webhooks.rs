//! What does each call about webhooks need?

use crate::policy::route::{Row, admin, delete, get, patch, post};

const WEBHOOKS: &str = "webhooks let the server call any address and tell it of every model";

#[rustfmt::skip]
pub(super) static ROWS: &[Row] = &[
    // Webhooks
    get   ("2.0/mlflow/webhooks",                   "ListWebhooks",  &[admin(WEBHOOKS)]),
    post  ("2.0/mlflow/webhooks",                   "CreateWebhook", &[admin(WEBHOOKS)]),
    delete("2.0/mlflow/webhooks/{webhook_id}",      "DeleteWebhook", &[admin(WEBHOOKS)]),
    get   ("2.0/mlflow/webhooks/{webhook_id}",      "GetWebhook",    &[admin(WEBHOOKS)]),
    patch ("2.0/mlflow/webhooks/{webhook_id}",      "UpdateWebhook", &[admin(WEBHOOKS)]),
    post  ("2.0/mlflow/webhooks/{webhook_id}/test", "TestWebhook",   &[admin(WEBHOOKS)]),
];
