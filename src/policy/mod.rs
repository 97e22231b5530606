//! What does each call need?
//!
//! Pure: one table of data ([`table`] for MLflow's endpoints, [`local`] for our own), the words its rows are made of
//! ([`route`]), the way from method and path to a row ([`classify`]) and the reading of the ids a row names
//! ([`fields`]).

pub mod path;
pub mod route;
pub mod table;
pub mod local;
pub mod classify;
pub mod fields;
pub mod print;
pub mod compare;
