//! Which group names are taken, and what are they called here?

use crate::mlflow::ids::GroupName;

/// The rule for groups that come from outside: from a token's claim, or from Google.
#[derive(Debug, Clone, Copy)]
pub struct Filter<'a> {
    /// Put in front of each name, so that two sources' groups do not mix.
    pub prefix: &'a str,
    /// Only these are taken, as the source names them; empty: all.
    pub allowed: &'a [String],
}

impl Filter<'_> {
    /// The group's name here, if it is taken. A name that no grant can speak of (with a space, say) changes nothing.
    #[must_use]
    pub fn take(&self, name: &str) -> Option<GroupName> {
        if !self.allowed.is_empty() && !self.allowed.iter().any(|own| own == name) {
            return None;
        }
        GroupName::parse(&format!("{}{name}", self.prefix)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_speaks_of_names_as_the_source_has_them_and_the_prefix_comes_after() {
        let allowed = ["ml@example.com".to_owned()];
        let filter = Filter { prefix: "google:", allowed: &allowed };
        assert_eq!(filter.take("ml@example.com"), GroupName::parse("google:ml@example.com").ok());
        assert_eq!(filter.take("google:ml@example.com"), None);
        assert_eq!(filter.take("sales@example.com"), None);
        assert_eq!(Filter { prefix: "", allowed: &[] }.take("two words"), None);
    }
}
