//! How do we prove to Google, without a person, who we are?
//!
//! A service account's key, and the metadata server of the machine. Used by `directory` (groups), by `connect` (ID tokens
//! for a gate) and by `collector` (traces).

mod key;
mod metadata;
mod token;

pub use self::key::{BadKey, Key, Wanted};
pub use self::metadata::{METADATA_URL, ask};
pub use self::token::{NoToken, Source, Token, Tokens};
