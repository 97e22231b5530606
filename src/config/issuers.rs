//! Which identity providers does the file name?

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::kinds::{ProviderUrl, ShortName, Word};
use super::reader::Section;
use crate::access::binding::{GITHUB, GITLAB};
use crate::authenticate::issuer::{Login, Settings, UserClaim};
use crate::authenticate::{iap, login};
use crate::fetch;
use crate::message::Door;
use crate::serve;

/// Every `[[issuer]]`.
pub(super) fn issuers(root: &Section<'_>) -> Vec<Settings> {
    let mut names = HashSet::new();
    let mut addresses = HashSet::new();
    let mut issuers = Vec::new();
    for section in root.sections("issuer") {
        let Some(issuer) = issuer(section, &mut names, &mut addresses) else { continue };
        issuers.push(issuer);
    }
    issuers
}

fn issuer(section: Section<'_>, names: &mut HashSet<String>, addresses: &mut HashSet<String>) -> Option<Settings> {
    let name: Option<ShortName> = section.must("name", "\"google\"");
    let address: Option<ProviderUrl> = section.must("issuer", "\"https://accounts.google.com\"");
    if let Some(ShortName(name)) = &name
        && !names.insert(name.clone())
    {
        section.fault("name", "is the name of two issuers", Some("each needs one of its own"));
    }
    if let Some(address) = &address
        && !addresses.insert(address.written.clone())
    {
        section.fault("issuer", "is named twice", Some("one block for each issuer"));
    }
    let given = name.as_ref().map_or("", |name| name.0.as_str());
    let mut settings = Settings::new(given, address.as_ref().map_or("", |address| address.written.as_str()));
    settings.title = section.or("title", Word(given.to_owned())).0;
    settings.aliases = section.or("issuer_aliases", Vec::<Word>::new()).into_iter().map(|Word(alias)| alias).collect();
    settings.algorithms = section.or("algorithms", settings.algorithms);
    if settings.algorithms.is_empty() {
        section.fault("algorithms", "is empty: no token could be accepted", Some("leave it out for the default"));
    }
    settings.user_claim = section.or("user_claim", settings.user_claim);
    settings.danger_accept_unverified_email =
        section.or("danger_accept_unverified_email", settings.danger_accept_unverified_email);
    settings.groups_claim = section.maybe("groups_claim").map(|Word(claim)| claim);
    settings.groups_prefix = section.or("groups_prefix", settings.groups_prefix);
    settings.groups_allowed = section.or("groups_allowed", settings.groups_allowed);
    settings.hosted_domains = lower(section.or("hosted_domains", settings.hosted_domains));
    settings.skew = section.or("skew", settings.skew);
    if settings.skew > Duration::from_mins(1) {
        section.fault("skew", "is more than a minute", Some("set the clocks right instead"));
    }
    settings.keys_keep = section.or("keys_keep", settings.keys_keep);
    settings.fetch = fetch::Settings { ca_file: section.maybe("ca_file"), ..fetch::Settings::default() };
    settings.keys_url = section.maybe("keys_url").map(|keys: ProviderUrl| keys.url);
    settings.keys_token_file = section.maybe("keys_token_file");
    settings.login = section.maybe_section("login").map(login);
    let bearer = section.maybe_section("bearer");
    settings.bearer_audiences = bearer.map(audiences).unwrap_or_default();
    if settings.keys_token_file.is_some() && settings.keys_url.is_none() {
        section.fault("keys_token_file", "is of no use without `keys_url`: it is shown nowhere else", None);
    }
    let bound_alone = settings.user_claim == UserClaim::Nobody;
    if bound_alone && settings.login.is_some() {
        section.fault("login", "and `user_claim = \"none\"`: nobody could sign in", Some("take one of the two out"));
    }
    if !bound_alone && settings.issuer == GITHUB {
        section.fault(
            "user_claim",
            "must be \"none\" for GitHub Actions: every workflow in the world would be somebody here",
            Some("write `user_claim = \"none\"`, and a `[[binding]]` for each repository that may come"),
        );
    }
    // People sign in there too; jobs choose their audience, and are told apart from people by nothing that we ask for.
    if !bound_alone && settings.issuer == GITLAB && !settings.bearer_audiences.is_empty() {
        section.fault(
            "bearer",
            "has audiences that every CI job of GitLab.com can be for: each would be somebody here",
            Some(
                "take `audiences` out and name them in each `[[binding]]`, or write `user_claim = \"none\"` where nobody \
                 signs in by it",
            ),
        );
    }
    if !section.has("login") && !section.has("bearer") && !bound_alone {
        section.fault("login", "and `bearer` are both absent: nobody can use this issuer", Some("add one of the two"));
    }
    if let Some(login) = &settings.login
        && settings.bearer_audiences.contains(&login.client_id)
    {
        tracing::warn!(issuer = given, "ID tokens of browser logins also count as bearer tokens");
    }
    section.finish();
    (name.is_some() && address.is_some()).then_some(settings)
}

fn audiences(section: Section<'_>) -> Vec<String> {
    let audiences = section.or("audiences", Vec::<Word>::new()).into_iter().map(|Word(audience)| audience).collect();
    section.finish();
    audiences
}

fn login(section: Section<'_>) -> Login {
    let default = Login::default();
    let client: Option<Word> = section.must("client_id", "\"1234.apps.googleusercontent.com\"");
    let parameters: BTreeMap<String, String> = section.or("parameters", default.parameters.into_iter().collect());
    for name in parameters.keys().filter(|name| login::PROTECTED.contains(&name.as_str())) {
        section.fault("parameters", format!("holds `{name}`, which Trackgate sets itself"), None);
    }
    let scopes = section.or("scopes", default.scopes);
    if !scopes.iter().any(|scope| scope == "openid") {
        section.fault("scopes", "must hold \"openid\"", Some("without it there is no ID token"));
    }
    let login = Login {
        client_id: client.map(|Word(client)| client).unwrap_or_default(),
        client_secret_file: section.maybe("client_secret_file"),
        scopes,
        parameters: parameters.into_iter().collect(),
        logout_at_provider: section.or("logout_at_provider", default.logout_at_provider),
    };
    section.finish();
    login
}

/// `[iap]`.
pub(super) fn iap(root: &Section<'_>, serve: &serve::Settings) -> Option<iap::Settings> {
    let section = root.maybe_section("iap")?;
    let audiences: Option<Vec<Word>> = section.must("audiences", "[\"/projects/123/global/backendServices/456\"]");
    if audiences.as_ref().is_some_and(Vec::is_empty) {
        section.fault("audiences", "is empty: no request could be accepted", None);
    }
    let listener = section.or("listener", Door::Plain);
    let open = match listener {
        Door::Https => serve.https.is_some(),
        Door::Plain => serve.plain.is_some(),
    };
    if !open {
        section.fault("listener", "names a listener that `listen` does not open", None);
    }
    let keys: ProviderUrl = section.or("keys_url", default_keys()?);
    let domains: Vec<String> = section.or("hosted_domains", Vec::new());
    section.finish();
    Some(iap::Settings {
        audiences: audiences?.into_iter().map(|Word(audience)| audience).collect(),
        listener,
        keys_url: keys.url,
        hosted_domains: lower(domains),
        fetch: fetch::Settings::default(),
    })
}

fn default_keys() -> Option<ProviderUrl> {
    let written = iap::Settings::KEYS_URL;
    Some(ProviderUrl { url: written.parse().ok()?, written: written.to_owned() })
}

fn lower(domains: Vec<String>) -> Vec<String> {
    domains.into_iter().map(|domain| domain.to_ascii_lowercase()).collect()
}
