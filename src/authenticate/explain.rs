//! How would the gate judge this token, step by step?
//!
//! Each step is the one that a request takes; the verdict is that of `Issuer::judge_bearer` itself. Nothing is written
//! down: no use of a token, no group, no first sight of anybody.

use std::sync::Arc;

use super::bound::{self, InForce, listed};
use super::help::{Help, moment};
use super::iap;
use super::issuer::{Issuer, UserClaim};
use super::own::BadOwn;
use super::token::{Algorithm, BadToken, Claims, Compact};
use super::unfit::{Unfit, Why};
use super::{AuthFault, Authenticator};
use crate::access::identity::{Identity, Proof};
use crate::mlflow::ids::{GroupName, WorkspaceName};
use crate::store::{PrincipalFault, TokenDigest};
use crate::token_form;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Whether it is passed; `None`: it was not taken, or decides nothing.
    pub good: Option<bool>,
    /// What was looked at.
    pub what: &'static str,
    /// What was found.
    pub said: String,
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// In the order in which the gate takes them.
    pub steps: Vec<Step>,
    /// Whether the gate would accept the token.
    pub accepted: bool,
}

/// Whom a token turned out to be, or what the client would read.
type Verdict = Result<Arc<Identity>, AuthFault>;

#[derive(Default)]
struct Told(Vec<Step>);

impl Told {
    fn say(&mut self, good: impl Into<Option<bool>>, what: &'static str, said: impl Into<String>) {
        self.0.push(Step { good: good.into(), what, said: said.into() });
    }
}

impl Authenticator {
    /// Explains what the gate would make of a token. `offline`: issuers are not asked for keys, and signatures not checked.
    pub async fn explain(&self, token: &str, offline: bool) -> Explained {
        let mut told = Told::default();
        let verdict = if token_form::is_ours(token.as_bytes()) {
            self.explain_own(token, &mut told)
        } else {
            Box::pin(self.explain_foreign(token, offline, &mut told)).await
        };
        let accepted = match verdict {
            Ok(identity) => Box::pin(self.explain_person(identity, offline, &mut told)).await,
            Err(fault) => {
                let said = fault.says(Help::at(&self.public_url)).into_owned();
                told.say(false, "verdict", format!("{} `{}`: {said}", fault.status().as_u16(), fault.code()));
                false
            }
        };
        Explained { steps: told.0, accepted }
    }

    fn explain_own(&self, token: &str, told: &mut Told) -> Verdict {
        let Some(form) = token_form::read(token) else {
            told.say(false, "form", "begins like an access token of this server, and is cut off or mistyped");
            return Err(BadOwn::Malformed.into());
        };
        let (kind, name) = (form.beginning, form.name);
        told.say(true, "form", format!("an access token of this server, `{kind}`, of the name {name}"));
        let login = self.takes(form.beginning).inspect_err(|bad| told.say(false, "kind", bad.to_string()))?;
        let shown = self.store.look_at_token(form.name, &TokenDigest::of(token.as_bytes()));
        let shown = shown.map_err(|_| AuthFault::TokensUnavailable)?;
        match super::good(shown, form.name, login) {
            Ok((identity, _)) => {
                told.say(true, "secret", "it is the one that was made under this name");
                told.say(true, "times", format!("not revoked; it ends at {}", moment(seconds(&identity))));
                let narrowed =
                    identity.ceiling().map_or_else(|| "none: all that its owner may".to_owned(), ToString::to_string);
                told.say(None, "ceiling", narrowed);
                Ok(identity)
            }
            Err(bad) => {
                let what = if matches!(bad, BadOwn::Unknown(_)) { "secret" } else { "times" };
                told.say(false, what, bad.to_string());
                Err(bad.into())
            }
        }
    }

    async fn explain_foreign(&self, text: &str, offline: bool, told: &mut Told) -> Verdict {
        let token = match Compact::parse(text) {
            Ok(token) => token,
            Err(bad) => {
                told.say(false, "form", format!("no ID token: {bad}"));
                return Err(bad.into());
            }
        };
        let key = token.key_id().map_or_else(|| "no `kid`".to_owned(), |key| format!("`kid` {}", listed(&[key])));
        told.say(true, "form", format!("a JSON Web Token, `alg` {}, {key}", listed(&[token.algorithm()])));
        let iss = token.issuer().unwrap_or_default();
        if iss == iap::ISSUER && self.iap.is_some() {
            return self.explain_assertion(text, offline, told).await;
        }
        let bindings = self.store.bindings();
        let in_force = InForce { configured: &self.bindings, stored: &bindings };
        let Some((_, issuer)) = self.vouching(&token, &in_force) else {
            let known = self.issuers.iter().any(|issuer| issuer.is_called(iss));
            let why = if known {
                "it takes no bearer tokens: no `bearer.audiences`, no binding"
            } else {
                "no `[[issuer]]` is called so"
            };
            told.say(false, "issuer", format!("{}: {why}", listed(&[iss])));
            return Err(BadToken::UnknownIssuer.into());
        };
        told.say(true, "issuer", format!("{}, which is `{}` here", listed(&[iss]), issuer.settings.name));
        algorithm(&token, &issuer.settings.algorithms, told);
        let verdict = if offline {
            told.say(None, "signature", "not checked (`--offline`)");
            let recognised = self.timely_and_known(issuer, &token, &in_force);
            recognised.map_err(|why| {
                AuthFault::Unfit(Box::new(Unfit { by: issuer.settings.name.clone(), assertion: false, why }))
            })
        } else {
            // What is wrong with the keys themselves is told once, here.
            if let Err(fault) = issuer.keys.refresh().await {
                told.say(None, "keys", format!("they cannot be fetched: {fault}"));
            }
            match issuer.keys.verify(&token, &issuer.settings.algorithms).await {
                Ok(_) => told.say(true, "signature", "good, by a key of the issuer"),
                Err(fault) => told.say(false, "signature", fault.to_string()),
            }
            let again = Compact::parse(text)?;
            let judged = issuer.judge_bearer(again, self.clock.now(), &in_force).await;
            judged.and_then(|(verdict, _)| verdict.map_err(AuthFault::Unfit))
        };
        self.explain_claims(issuer, text, &in_force, told);
        verdict.map(Arc::new)
    }

    fn timely_and_known(&self, issuer: &Issuer, token: &Compact<'_>, in_force: &InForce<'_>) -> Result<Identity, Why> {
        let claims = issuer.timely(token.again(), self.clock.now())?;
        issuer.recognise(&claims, in_force)
    }

    fn explain_claims(&self, issuer: &Issuer, text: &str, in_force: &InForce<'_>, told: &mut Told) {
        let Ok(token) = Compact::parse(text) else { return };
        let now = moment(self.clock.seconds());
        let times: Vec<String> = [("issued", "iat"), ("counts from", "nbf"), ("ends", "exp")]
            .into_iter()
            .filter_map(|(word, name)| Some(format!("{word} {}", moment(token.seconds(name)?))))
            .collect();
        let skew = issuer.settings.skew.as_secs();
        let times = format!("{}; it is {now} here, give or take {skew} s", times.join(", "));
        let claims = match issuer.timely(token, self.clock.now()) {
            Ok(claims) => claims,
            Err(bad) => {
                told.say(false, "claims", format!("{bad} ({times})"));
                return;
            }
        };
        told.say(true, "times", times);
        told.say(None, "subject", listed(&[&claims.subject]));
        let usual: Vec<&str> = issuer.settings.bearer_audiences.iter().map(String::as_str).collect();
        let meant = claims.is_for(&usual);
        let of_issuer = format!("it is for {}; the issuer's are {}", listed(&claims.audiences()), listed(&usual));
        told.say(meant.then_some(true), "audience", of_issuer);
        let mut any = false;
        for binding in in_force.of(&issuer.settings.name) {
            any = true;
            let (name, account) = (&binding.name, &binding.account);
            match bound::ask(binding, issuer, &claims) {
                Ok(()) => told.say(true, "binding", format!("{name} matches ({}): it is {account}", binding.rules)),
                Err(why) => told.say(None, "binding", format!("{name} does not match: {why}")),
            }
        }
        if !any {
            told.say(None, "binding", "there is none for this issuer");
        }
        named(issuer, &claims, in_force, told);
    }

    async fn explain_assertion(&self, text: &str, offline: bool, told: &mut Told) -> Verdict {
        let Some(iap) = &self.iap else { return Err(BadToken::UnknownIssuer.into()) };
        told.say(true, "issuer", "Identity-Aware Proxy: judged as its assertion, which is no bearer token");
        let token = Compact::parse(text).map_err(AuthFault::Assertion)?;
        algorithm(&token, &[Algorithm::Es256], told);
        if offline {
            told.say(None, "signature", "not checked (`--offline`)");
            let known = iap.known(token);
            return known.map(Arc::new).map_err(|why| {
                told.say(false, "claims", why.to_string());
                AuthFault::Unfit(Box::new(Unfit { by: "iap".to_owned(), assertion: true, why }))
            });
        }
        if let Err(fault) = iap.keys.refresh().await {
            told.say(None, "keys", format!("they cannot be fetched: {fault}"));
        }
        let verdict = iap.judge(text.as_bytes()).await;
        match &verdict {
            Ok(_) => told.say(true, "signature", "good, by a key of the issuer, and so are its claims"),
            Err(AuthFault::Unfit(unfit)) => {
                told.say(true, "signature", "good, by a key of the issuer");
                told.say(false, "claims", unfit.why.to_string());
            }
            Err(fault) => told.say(false, "signature", fault.to_string()),
        }
        verdict
    }

    /// The account behind it: is it there, and in which groups?
    async fn explain_person(&self, identity: Arc<Identity>, offline: bool, told: &mut Told) -> bool {
        let name = &identity.user;
        let known = self.store.user(name);
        let what = match &known {
            Some(user) if user.service => "a service account",
            Some(_) => "a person whom this server knows",
            None => "nobody whom this server knows",
        };
        told.say(None, "user", format!("{name}, {what}, by {}", identity.proof.as_str()));
        let fault = match self.store.principal(Arc::clone(&identity), &WorkspaceName::default()) {
            Ok(principal) => {
                told.say(true, "account", if principal.admin { "counts; an administrator" } else { "counts" });
                None
            }
            Err(PrincipalFault::Unrecognised) => {
                told.say(true, "account", "comes for the first time: it would be made known");
                None
            }
            Err(fault) => {
                told.say(false, "account", fault.to_string());
                Some(fault.to_string())
            }
        };
        let texts = |groups: &[GroupName]| {
            let names: Vec<&str> = groups.iter().map(GroupName::as_str).collect();
            if names.is_empty() { "in none".to_owned() } else { names.join(", ") }
        };
        told.say(None, "groups here", texts(known.as_ref().map_or(&[], |user| &user.groups)));
        if identity.proof != Proof::Bound || !identity.groups.is_empty() {
            told.say(None, "groups of its issuer", texts(&identity.groups));
        }
        let mut good = fault.is_none();
        if offline {
            told.say(None, "groups at Google", "not asked (`--offline`)");
        } else if self.directory_of(&identity).is_some() {
            match self.with_groups(Arc::clone(&identity)).await {
                Ok(with) => told.say(None, "groups at Google", texts(&with.groups[identity.groups.len()..])),
                Err(fault) => {
                    good = false;
                    told.say(false, "groups at Google", fault.to_string());
                }
            }
        }
        let verdict = match (good, &fault) {
            (true, _) if offline => format!("accepted as {name}, if the signature is good"),
            (true, _) => format!("accepted as {name}"),
            (false, Some(fault)) => format!("refused: {fault}"),
            (false, None) => "refused until Google answers".to_owned(),
        };
        told.say(good, "verdict", verdict);
        good
    }
}

/// Who a token is without a binding.
fn named(issuer: &Issuer, claims: &Claims, in_force: &InForce<'_>, told: &mut Told) {
    match issuer.recognise(claims, in_force) {
        Ok(identity) => {
            let by = match (identity.proof, issuer.settings.user_claim) {
                (Proof::Bound, _) => "by a binding",
                (_, UserClaim::Email) => "by `user_claim = \"email\"`",
                (_, UserClaim::Subject) => "by `user_claim = \"sub\"`",
                (_, UserClaim::PreferredUsername) => "by `user_claim = \"preferred_username\"`",
                (_, UserClaim::Nobody) => "by nothing",
            };
            told.say(true, "name", format!("{} {by}", identity.user));
        }
        Err(why) => told.say(false, "name", why.to_string()),
    }
}

fn algorithm(token: &Compact<'_>, accepted: &[Algorithm], told: &mut Told) {
    let names: Vec<&str> = accepted.iter().map(|algorithm| algorithm.as_str()).collect();
    let good = Algorithm::parse(token.algorithm()).is_some_and(|own| accepted.contains(&own));
    told.say(good, "algorithm", format!("accepted are {}", names.join(", ")));
}

fn seconds(identity: &Identity) -> u64 {
    super::millis_of(identity.until) / 1000
}
