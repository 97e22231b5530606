//! Which outside identities act as which service accounts, by the file?

use std::collections::HashSet;
use std::sync::Arc;

use toml::de::DeValue;

use super::kinds::{ShortName, Word};
use super::reader::{Reads, Section, quoted};
use crate::access::binding::{Binding, BindingName, Rules, check_pinned, from_toml};
use crate::authenticate::issuer;
use crate::mlflow::ids::UserName;

impl Reads for BindingName {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let text = value.as_str().ok_or("a name, in quotes")?;
        Self::parse(text).map_err(|error| format!("a name ({error})"))
    }

    fn show(&self) -> String {
        quoted(self.as_str())
    }
}

impl Reads for Rules {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        Self::read(&from_toml(value)).map_err(|error| {
            format!("a table such as `{{ repository = \"org/repo\", ref = \"refs/heads/main\" }}` ({error})")
        })
    }

    fn show(&self) -> String {
        shown(&self.to_json())
    }
}

/// As TOML has it, in one line.
fn shown(value: &serde_json::Value) -> String {
    use serde_json::Value;
    match value {
        Value::Object(object) => {
            let each: Vec<_> =
                object.iter().map(|(name, value)| format!("{} = {}", quoted(name), shown(value))).collect();
            format!("{{ {} }}", each.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
        other => quoted(other.as_str().unwrap_or_default()),
    }
}

/// Every `[[binding]]`.
pub(super) fn bindings(root: &Section<'_>, issuers: &[issuer::Settings]) -> Vec<Binding> {
    let mut names = HashSet::new();
    root.sections("binding").into_iter().filter_map(|section| binding(section, issuers, &mut names)).collect()
}

fn binding(section: Section<'_>, issuers: &[issuer::Settings], names: &mut HashSet<BindingName>) -> Option<Binding> {
    let name: Option<BindingName> = section.must("name", "\"ci\"");
    let issuer: Option<ShortName> = section.must("issuer", "\"github\"");
    let account: Option<UserName> = section.must("account", "\"svc:ci\"");
    let audiences: Vec<Word> = section.or("audiences", Vec::new());
    let token_groups = section.or("token_groups", false);
    let rules: Option<Rules> = section.must("claims", "{ repository = \"org/repo\" }");
    if let Some(name) = &name
        && !names.insert(name.clone())
    {
        section.fault("name", "is the name of two bindings", Some("each needs one of its own"));
    }
    if let Some(ShortName(issuer)) = &issuer {
        match issuers.iter().find(|known| known.name == *issuer) {
            None => section.fault("issuer", format!("names no `[[issuer]]`: `{issuer}`"), Some("write its `name`")),
            Some(known) => {
                if audiences.is_empty() && known.bearer_audiences.is_empty() {
                    section.fault(
                        "audiences",
                        format!(
                            "is empty, and so is `bearer.audiences` of the issuer `{issuer}`: no token would match"
                        ),
                        None,
                    );
                }
                if let Some(Err(why)) = rules.as_ref().map(|rules| check_pinned(&known.issuer, rules)) {
                    section.fault("claims", format!("names nobody: {why}"), None);
                }
            }
        }
    }
    section.finish();
    Some(Binding {
        name: name?,
        issuer: Arc::from(issuer?.0),
        audiences: audiences.into_iter().map(|Word(audience)| Arc::from(audience)).collect(),
        rules: rules?,
        token_groups,
        account: account?,
    })
}
