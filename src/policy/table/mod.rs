//! Which MLflow endpoints are there, and what does each need?
//!
//! One row for each endpoint of MLflow 2.22.5 and 3.1 to 3.18; `tests/routes.rs` compares it with the routes that the real
//! servers register. What has no row does not exist. `docs/routes.md` is printed from it.
//!
//! What each row asks is what MLflow's own basic-auth app asks (3.17.2, `mlflow/server/auth/__init__.py`), or more
//! where that app reads another field than the handler does. A call that nobody may make is written out all the
//! same, closed, with the reason.

mod artifacts;
mod datasets;
mod experiments;
mod gateway;
mod jobs;
mod mcp;
mod permissions;
mod registry;
mod review;
mod runs;
mod server;
mod skills;
mod traces;
mod webhooks;
mod workspaces;

use super::route::Row;

/// One row for each endpoint of MLflow, family by family.
pub static MLFLOW: &[&[Row]] = &[
    server::ROWS,
    experiments::ROWS,
    runs::ROWS,
    artifacts::ROWS,
    registry::ROWS,
    traces::ROWS,
    datasets::ROWS,
    review::ROWS,
    jobs::ROWS,
    gateway::ROWS,
    webhooks::ROWS,
    mcp::ROWS,
    skills::ROWS,
    workspaces::ROWS,
    permissions::ROWS,
];
