//! Who may do what?
//!
//! Pure: identities, grants, and the one decision. The same data and the same request give the same decision, with
//! its reasons.

pub mod binding;
pub mod ceiling;
pub mod decide;
pub mod grant;
pub mod identity;
mod people;
pub mod reason;
pub mod requirement;
pub mod spelled;
#[cfg(test)]
mod tests;
pub mod visible;
