//! MLflow's own words: ids, kinds of things, permissions, errors.
//!
//! Pure: nothing here knows of sockets, stores, clocks or logs.

pub mod error;
pub mod filter;
pub mod glob;
pub mod granting;
pub mod graphql;
pub mod ids;
pub mod look;
pub mod permission;
pub mod resource;
pub mod version;
