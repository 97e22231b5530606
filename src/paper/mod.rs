//! How does the policy look on paper: as files, as a difference, and against what once happened?
//!
//! Pure: whoever reads directories and databases hands in texts and lists, and takes texts and steps away. Files are read
//! whole and every fault is told (`read`); what they say is compared with what there is (`plan`), which gives steps for
//! one transaction of the store; what there is is written as a file that says the same (`write`); requests of the past are
//! judged anew (`replay`).

pub mod after;
pub mod import;
pub mod lookalike;
pub mod plan;
pub mod present;
pub mod read;
pub mod replay;
pub mod state;
pub mod write;
