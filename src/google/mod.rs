//! How do we prove to Google, without a person, who we are?
//!
//! A service account's key, and the metadata server of the machine. Used by `directory` (groups) and by `connect` (ID tokens
//! for a gate).

mod key;
mod metadata;

pub use self::key::{BadKey, Key, Wanted};
pub use self::metadata::{METADATA_URL, ask};
