//! Who is this provider to us, and which of its claims do we believe?

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use url::Url;

use super::bound::{InForce, Led};
use super::fault::AuthFault;
use super::jwks::{Guarded, Keeper, Source};
use super::token::{Algorithm, BadToken, Claims, Compact, Rules};
use super::unfit::{Unfit, Why};
use crate::access::binding::Binding;
use crate::access::identity::{ByToken, Identity, Proof};
use crate::directory::Filter;
use crate::fetch;
use crate::mlflow::ids::{GroupName, UserName};

/// Google's issuer, and the other spelling that its tokens may carry (Google: OpenID Connect, "Validating an ID token").
pub const GOOGLE: &str = "https://accounts.google.com";
const GOOGLE_ALIAS: &str = "accounts.google.com";
/// More groups than that are no group list.
const MOST_GROUPS: usize = 2000;

/// One identity provider, `[[issuer]]`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Short name: in URLs, the audit log and the sign-in page.
    pub name: String,
    /// What the sign-in page calls it.
    pub title: String,
    /// The issuer identifier, byte for byte.
    pub issuer: String,
    /// Other spellings of `iss`. Google's is known.
    pub aliases: Vec<String>,
    /// The algorithms it signs with.
    pub algorithms: Vec<Algorithm>,
    /// Which claim names the user.
    pub user_claim: UserClaim,
    /// Believe mail addresses that the issuer does not call verified.
    pub danger_accept_unverified_email: bool,
    /// Claim with the user's groups.
    pub groups_claim: Option<String>,
    /// Put in front of each group's name.
    pub groups_prefix: String,
    /// Only these are taken; empty: all.
    pub groups_allowed: Vec<String>,
    /// Google Workspace domains (`hd`), or mail domains elsewhere; empty: all.
    pub hosted_domains: Vec<String>,
    /// How far clocks may differ.
    pub skew: Duration,
    /// How long keys are used while the issuer is away.
    pub keys_keep: Duration,
    /// How it is asked.
    pub fetch: fetch::Settings,
    /// Sign-in in the browser.
    pub login: Option<Login>,
    /// Audiences of ID tokens that are taken as bearer tokens; empty: none are, but by bindings with audiences of their own.
    pub bearer_audiences: Vec<String>,
    /// Where its keys are, where the discovery document is not asked.
    pub keys_url: Option<Url>,
    /// What we show there, as a bearer token: a file that is read anew each time.
    pub keys_token_file: Option<PathBuf>,
}

/// `[issuer.login]`.
#[derive(Debug, Clone)]
pub struct Login {
    /// Our name at the provider.
    pub client_id: String,
    /// Where our secret is; none for a public client, which PKCE protects.
    pub client_secret_file: Option<PathBuf>,
    /// What is asked for; `openid` is always asked.
    pub scopes: Vec<String>,
    /// Further parameters of the authorization request.
    pub parameters: Vec<(String, String)>,
    /// Sign the person out at the provider too.
    pub logout_at_provider: bool,
}

impl Default for Login {
    fn default() -> Self {
        Self {
            client_id: String::new(),
            client_secret_file: None,
            scopes: ["openid", "email", "profile"].map(str::to_owned).to_vec(),
            parameters: Vec::new(),
            logout_at_provider: true,
        }
    }
}

/// Which claim names the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserClaim {
    /// The mail address when it is verified, else `sub`.
    Email,
    /// `sub`.
    Subject,
    /// None: nobody is recognised by this issuer but by a binding.
    Nobody,
    /// `preferred_username`: only for an issuer that never lets people choose it (OIDC Core section 5.7).
    PreferredUsername,
}

impl Settings {
    /// The defaults for an issuer.
    #[must_use]
    pub fn new(name: &str, issuer: &str) -> Self {
        Self {
            name: name.to_owned(),
            title: name.to_owned(),
            issuer: issuer.to_owned(),
            aliases: Vec::new(),
            algorithms: Algorithm::DEFAULT.to_vec(),
            user_claim: UserClaim::Email,
            danger_accept_unverified_email: false,
            groups_claim: None,
            groups_prefix: String::new(),
            groups_allowed: Vec::new(),
            hosted_domains: Vec::new(),
            skew: Duration::from_secs(30),
            keys_keep: Duration::from_hours(24),
            fetch: fetch::Settings::default(),
            login: None,
            bearer_audiences: Vec::new(),
            keys_url: None,
            keys_token_file: None,
        }
    }
}

impl Settings {
    /// Whether a user's name with an `@` in it is an address that the issuer has verified.
    #[must_use]
    pub fn names_by_verified_address(&self) -> bool {
        self.user_claim == UserClaim::Email && !self.danger_accept_unverified_email
    }

    /// Whether its ID tokens are looked at as bearer tokens, also where no binding speaks of it.
    #[must_use]
    pub fn takes_bearers(&self) -> bool {
        !self.bearer_audiences.is_empty() || self.user_claim == UserClaim::Nobody
    }
}

/// A provider at work.
pub struct Issuer {
    /// What the file says of it.
    pub settings: Settings,
    /// Its keys and its discovery document.
    pub keys: Arc<Keeper>,
    /// Its name, shared with every identity it vouches for.
    name: Arc<str>,
    spellings: Vec<String>,
    client: Vec<String>,
}

impl Issuer {
    /// A provider whose keys are not there yet.
    #[must_use]
    pub fn new(settings: Settings, keys: Arc<Keeper>) -> Self {
        let mut spellings = vec![settings.issuer.clone()];
        spellings.extend(settings.aliases.iter().cloned());
        if settings.issuer == GOOGLE {
            spellings.push(GOOGLE_ALIAS.to_owned());
        }
        let client = settings.login.iter().map(|login| login.client_id.clone()).collect();
        Self { name: Arc::from(settings.issuer.as_str()), keys, spellings, client, settings }
    }

    /// Whether a token with that `iss` is for this issuer to vouch for.
    #[must_use]
    pub fn is_called(&self, iss: &str) -> bool {
        self.spellings.iter().any(|own| own == iss)
    }

    /// Judges a bearer token. Gives the identity, or what is wrong with it in spite of a good signature; and the version of the
    /// key set that proved the signature.
    ///
    /// # Errors
    /// [`AuthFault`] when the signature is not good, or cannot be checked.
    pub(super) async fn judge_bearer(
        &self,
        token: Compact<'_>,
        now: SystemTime,
        bindings: &InForce<'_>,
    ) -> Result<(Result<Identity, Box<Unfit>>, u64), AuthFault> {
        let version = self.keys.verify(&token, &self.settings.algorithms).await?;
        // From here on its holder may know what is wrong.
        let identity =
            self.timely(token, now).map_err(Why::Claims).and_then(|claims| self.recognise(&claims, bindings));
        Ok((identity.map_err(|why| Box::new(self.unfit(why))), version))
    }

    fn unfit(&self, why: Why) -> Unfit {
        Unfit { by: self.settings.name.clone(), assertion: false, why }
    }

    /// The claims of a token whose signature is good, if it is whole, of this issuer, and it is its time.
    pub(super) fn timely(&self, token: Compact<'_>, now: SystemTime) -> Result<Claims, BadToken> {
        Claims::timely(token, &self.rules(&[], now))
    }

    /// Who it is by such claims: the account that bindings lead to, or else whoever the issuer names.
    pub(super) fn recognise(&self, claims: &Claims, bindings: &InForce<'_>) -> Result<Identity, Why> {
        let meant = match bindings.lead(self, claims) {
            Led::To(binding) => return Ok(self.bound(claims, &binding)?),
            Led::Apart(those) => return Err(Why::Apart(those.iter().map(|one| one.name.to_string()).collect())),
            Led::Nowhere { meant } => meant,
        };
        let audiences = &self.settings.bearer_audiences;
        let ours = claims.is_for(audiences);
        if ours && self.settings.user_claim != UserClaim::Nobody {
            return Ok(self.identify(claims, Proof::Bearer)?);
        }
        if ours || meant {
            return Err(Why::NoBinding(claims.subject.clone()));
        }
        let shown = claims.audiences().into_iter().map(str::to_owned).collect();
        Err(Why::Audience { shown, wanted: audiences.clone() })
    }

    /// The service account of a binding. The token names its groups only where the binding says so.
    fn bound(&self, claims: &Claims, binding: &Binding) -> Result<Identity, BadToken> {
        Ok(Identity {
            user: binding.account.clone(),
            issuer: Arc::clone(&self.name),
            subject: Arc::from(claims.subject.as_str()),
            groups: if binding.token_groups { self.groups(claims)? } else { Vec::new() },
            proof: Proof::Bound,
            until: claims.expires,
            token: Some(Arc::new(ByToken { id: binding.name.to_shared(), ceiling: None })),
        })
    }

    /// Judges the ID token of a login (OIDC Core section 3.1.3.7).
    ///
    /// # Errors
    /// [`AuthFault`] with the first rule that is broken.
    pub async fn judge_login(&self, token: Compact<'_>, nonce: &str, now: SystemTime) -> Result<Identity, AuthFault> {
        self.keys.verify(&token, &self.settings.algorithms).await?;
        let rules = Rules {
            only_for_us: true,
            nonce: Some(nonce),
            most_age: Some(Duration::from_mins(10)),
            ..self.rules(&self.client, now)
        };
        let claims = Claims::judge(token, &rules)?;
        Ok(self.identify(&claims, Proof::Session)?)
    }

    fn rules<'a>(&'a self, audiences: &'a [String], now: SystemTime) -> Rules<'a> {
        Rules {
            issuers: &self.spellings,
            audiences,
            only_for_us: false,
            nonce: None,
            most_life: None,
            most_age: None,
            skew: self.settings.skew,
            now,
        }
    }

    fn identify(&self, claims: &Claims, proof: Proof) -> Result<Identity, BadToken> {
        let settings = &self.settings;
        let email = claims.email(settings.danger_accept_unverified_email);
        check_domain(&settings.hosted_domains, settings.issuer == GOOGLE, claims, email.as_deref())?;
        let name = match settings.user_claim {
            UserClaim::Email => match email {
                Some(address) => address,
                // At some providers people choose their `sub`: one that looks like an address is none that was verified,
                // and would be taken for the person who has it.
                None if claims.subject.contains('@') => return Err(BadToken::IllFormed("sub")),
                None => claims.subject.clone(),
            },
            UserClaim::Subject => claims.subject.clone(),
            UserClaim::Nobody => return Err(BadToken::UnknownIssuer),
            UserClaim::PreferredUsername => match claims.get("preferred_username") {
                None => return Err(BadToken::Lacks("preferred_username")),
                Some(Value::String(name)) => name.clone(),
                Some(_) => return Err(BadToken::IllFormed("preferred_username")),
            },
        };
        Ok(Identity {
            user: UserName::parse(&name).map_err(|_| BadToken::IllFormed("sub"))?,
            issuer: Arc::clone(&self.name),
            subject: Arc::from(claims.subject.as_str()),
            groups: self.groups(claims)?,
            proof,
            until: claims.expires,
            token: None,
        })
    }

    /// A claim that cannot be read is a refusal: a group that is lost might be one that is denied something.
    fn groups(&self, claims: &Claims) -> Result<Vec<GroupName>, BadToken> {
        let Some(value) = self.settings.groups_claim.as_deref().and_then(|name| claims.get(name)) else {
            return Ok(Vec::new());
        };
        let list = value.as_array().filter(|list| list.len() <= MOST_GROUPS).ok_or(BadToken::IllFormed("groups"))?;
        let filter = Filter { prefix: &self.settings.groups_prefix, allowed: &self.settings.groups_allowed };
        let mut groups = Vec::new();
        for group in list {
            let name = group.as_str().ok_or(BadToken::IllFormed("groups"))?;
            if let Some(group) = filter.take(name)
                && !groups.contains(&group)
            {
                groups.push(group);
            }
        }
        Ok(groups)
    }
}

/// Google: `hd`, never the mail address, since anybody may have a Google account with a foreign address (Google: "hd
/// claim"; GHSA-c5c4-8r6x-56w3). Service accounts have no `hd`; their domain is Google's own, one for each project.
/// Elsewhere: the whole domain of a verified address.
pub(super) fn check_domain(
    allowed: &[String],
    google: bool,
    claims: &Claims,
    email: Option<&str>,
) -> Result<(), BadToken> {
    if allowed.is_empty() {
        return Ok(());
    }
    let listed = |domain: &str| allowed.iter().any(|own| own.eq_ignore_ascii_case(domain));
    let of_mail = email.and_then(|email| email.split_once('@')).map(|(_, domain)| domain);
    let good = if google {
        match claims.get("hd") {
            Some(Value::String(hosted)) => listed(hosted),
            Some(_) => false,
            None => of_mail.is_some_and(|domain| domain.ends_with(".gserviceaccount.com") && listed(domain)),
        }
    } else {
        of_mail.is_some_and(listed)
    };
    if good { Ok(()) } else { Err(BadToken::WrongDomain) }
}

/// Where the keys of these settings come from. `None`: from nowhere that is safe.
#[must_use]
pub fn source(settings: &Settings) -> Option<Source> {
    let address =
        Url::parse(&settings.issuer).ok().filter(fetch::is_secure).and_then(|_| discovery_address(settings))?;
    let keys = settings.keys_url.clone().map(|url| Guarded { url, token_file: settings.keys_token_file.clone() });
    match keys {
        // Nothing else is wanted of the document.
        Some(keys) if settings.login.is_none() => Some(Source::Guarded(keys)),
        keys => Some(Source::Discovery { address, issuer: settings.issuer.clone(), keys }),
    }
}

/// Where the discovery document of these settings is.
#[must_use]
pub fn discovery_address(settings: &Settings) -> Option<Url> {
    super::discovery::address(&Url::parse(&settings.issuer).ok()?)
}
