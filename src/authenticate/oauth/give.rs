//! What does a code or a refresh token give?

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::OAuthFault;
use super::ask::Asked;
use crate::access::identity::Identity;
use crate::authenticate::Authenticator;
use crate::authenticate::credential::Secret;
use crate::authenticate::session::{NoRandomness, random_text};
use crate::authenticate::throttle::network;
use crate::mlflow::ids::UserName;
use crate::store::{Fresh, Issued, NewCode, Redeemed, StoreFault, TokenDigest, TokenId, TokenShown};
use crate::token_form;

/// The purposes under which codes are sealed.
const CARRIED: &str = "login code";
pub(super) const POLLED: &str = "device code";
/// How long a code counts: the browser carries it at once (RFC 6749 section 4.1.2 has ten minutes at most).
const CODE: u64 = 60_000;
/// So often a name that is taken is drawn anew.
const DRAWS: usize = 4;

/// What a program shows for a token.
#[derive(Clone, Copy)]
pub enum Grant<'a> {
    /// A code that a browser carried.
    Code {
        /// The code.
        code: &'a str,
        /// Where it was sent.
        redirect: &'a str,
        /// The program's own secret.
        verifier: &'a str,
    },
    /// The code that a device polls with.
    Device(&'a str),
    /// A refresh token.
    Refresh(&'a str),
}

/// What it gets.
pub struct Tokens {
    /// Lets in.
    pub access: Secret,
    /// For how long, in seconds.
    pub access_lasts: u64,
    /// Gets the next.
    pub refresh: Secret,
    /// For how long, in seconds.
    pub refresh_lasts: u64,
    /// Whose they are.
    pub owner: UserName,
    /// What is shown of the login.
    pub id: TokenId,
    /// Who comes with the access token, for the audit log.
    pub identity: Option<Arc<Identity>>,
    /// Whether the login was used before, and never from this network.
    pub moved: bool,
}

impl Grant<'_> {
    /// What it is, in words.
    fn what(self) -> &'static str {
        match self {
            Self::Code { .. } | Self::Device(_) => "code",
            Self::Refresh(_) => "refresh token",
        }
    }
}

impl Authenticator {
    /// A code for the program that asked, on behalf of somebody who agreed.
    ///
    /// # Errors
    /// [`OAuthFault`]; then there is none.
    pub async fn offer_code(&self, asked: &Asked, who: &Identity) -> Result<Secret, OAuthFault> {
        if !self.logins.allow {
            return Err(OAuthFault::Off);
        }
        let code = self.sealed_code(CARRIED)?;
        let new = NewCode {
            digest: TokenDigest::of(code.as_bytes()),
            owner: who.user.clone(),
            redirect: Arc::from(asked.redirect.as_str()),
            challenge: Arc::from(asked.challenge.as_str()),
            device: Arc::from(asked.device.as_str()),
            expires: self.clock.millis() + CODE,
        };
        self.store.offer_code(new).await?;
        Ok(code)
    }

    /// Gives tokens for what a program shows.
    ///
    /// # Errors
    /// [`OAuthFault`]; then there are none.
    pub async fn give(&self, grant: Grant<'_>, from: IpAddr) -> Result<Tokens, OAuthFault> {
        if !self.logins.allow {
            return Err(OAuthFault::Off);
        }
        let given = Box::pin(self.redeemed(grant, from)).await;
        given.map_err(|fault| self.counted(fault, from))
    }

    /// Whoever shows what is none too often hears nothing else any more.
    fn counted(&self, fault: OAuthFault, from: IpAddr) -> OAuthFault {
        if !fault.counts() {
            return fault;
        }
        match self.throttle.wrong(network(from), self.clock.seconds()) {
            // What ended a login is told as such: it happens once.
            Some(retry_after) if !matches!(fault, OAuthFault::Replayed { login: Some(_), .. }) => {
                OAuthFault::Throttled { retry_after }
            }
            Some(_) | None => fault,
        }
    }

    /// A random code, sealed, so that what was made up is told apart without asking the store: everybody may show one.
    pub(super) fn sealed_code(&self, purpose: &str) -> Result<Secret, NoRandomness> {
        let random = random_text::<24>()?;
        Ok(Secret::new(self.seal.seal(purpose, random.as_bytes()).map_err(|_| NoRandomness)?))
    }

    fn check_seal(&self, purpose: &str, code: &str) -> Result<(), OAuthFault> {
        self.seal.open(purpose, code).map(drop).ok_or(OAuthFault::Unknown("code"))
    }

    /// Whether the store is to be asked about a login. One that is not in memory may have been made at another gate just
    /// now; whoever has shown too many that are none is not asked for.
    fn check_known(&self, id: &TokenId, from: IpAddr) -> Result<(), OAuthFault> {
        if self.store.token_by_id(id).is_some() {
            return Ok(());
        }
        match self.throttle.is_full(&network(from), self.clock.seconds()) {
            Some(retry_after) => Err(OAuthFault::Throttled { retry_after }),
            None => Ok(()),
        }
    }

    async fn redeemed(&self, grant: Grant<'_>, from: IpAddr) -> Result<Tokens, OAuthFault> {
        let named = match grant {
            Grant::Refresh(text) => {
                let id = refresh_token(text)?;
                self.check_known(&id, from)?;
                Some(id)
            }
            Grant::Device(code) => {
                self.check_seal(POLLED, code)?;
                if self.polls.too_soon(code.as_bytes(), self.clock.millis()) {
                    return Err(OAuthFault::SlowDown);
                }
                None
            }
            Grant::Code { code, verifier, .. } => {
                if !is_verifier(verifier) {
                    return Err(OAuthFault::Invalid("`code_verifier` has 43 to 128 letters, digits or `-._~`"));
                }
                self.check_seal(CARRIED, code)?;
                None
            }
        };
        let mut draws = 0;
        loop {
            draws += 1;
            let (fresh, access, refresh) = self.fresh(named.as_ref())?;
            let redeemed = match grant {
                Grant::Code { code, redirect, verifier } => {
                    let code = TokenDigest::of(code.as_bytes());
                    self.store.redeem_code(code, redirect, &challenge(verifier), fresh).await
                }
                Grant::Device(code) => self.store.poll_device(TokenDigest::of(code.as_bytes()), fresh).await,
                Grant::Refresh(text) => self.store.renew_login(TokenDigest::of(text.as_bytes()), fresh).await,
            };
            match redeemed {
                Ok(Redeemed::Given(issued)) => return Ok(self.tokens(issued, access, refresh, from)),
                Ok(other) => return Err(why(grant, other)),
                Err(StoreFault::Exists { .. }) if draws < DRAWS => {}
                Err(fault) => return Err(fault.into()),
            }
        }
    }

    /// New secrets, of the login `named` or of one that is about to be made.
    fn fresh(&self, named: Option<&TokenId>) -> Result<(Fresh, Secret, Secret), NoRandomness> {
        let access = match named {
            Some(id) => token_form::make_named("tgl_", id.as_str()),
            None => token_form::make("tgl_"),
        };
        let access = access.map_err(|_| NoRandomness)?;
        let id = token_form::read(&access).and_then(|written| TokenId::parse(written.name)).ok_or(NoRandomness)?;
        let refresh = token_form::make_named("tgr_", id.as_str()).map_err(|_| NoRandomness)?;
        let millis = |lifetime: Duration| u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX);
        let fresh = Fresh {
            id,
            access: TokenDigest::of(access.as_bytes()),
            refresh: TokenDigest::of(refresh.as_bytes()),
            lasts: millis(self.logins.access_lifetime),
            idle: millis(self.logins.refresh_idle),
            whole: millis(self.logins.refresh_lifetime),
        };
        Ok((fresh, access, refresh))
    }

    fn tokens(&self, issued: Issued, access: Secret, refresh: Secret, from: IpAddr) -> Tokens {
        let now = self.clock.millis();
        // It is a use of the login, from where it came.
        let shown = self.store.token(issued.id.as_str(), &TokenDigest::of(access.as_bytes()), from);
        let (identity, moved) = match shown {
            Ok(TokenShown::Good { identity, moved }) => (Some(identity), moved),
            Ok(TokenShown::Unknown | TokenShown::Expired(_) | TokenShown::Revoked(_)) | Err(_) => (None, false),
        };
        Tokens {
            access,
            access_lasts: issued.access.saturating_sub(now) / 1000,
            refresh,
            refresh_lasts: issued.refresh.saturating_sub(now) / 1000,
            owner: issued.owner,
            id: issued.id,
            identity,
            moved,
        }
    }

    /// Ends the login that a token is of (RFC 7009). One that is none is as good as ended.
    ///
    /// # Errors
    /// [`OAuthFault`] for what is no token of a login by its beginning, and where the store does not answer.
    pub async fn end_login(&self, token: &str, from: IpAddr) -> Result<Option<TokenId>, OAuthFault> {
        let Some(written) = token_form::read(token) else {
            return match self.counted(OAuthFault::Unknown("token"), from) {
                fault @ OAuthFault::Throttled { .. } => Err(fault),
                _ => Ok(None),
            };
        };
        if !matches!(written.beginning, "tgl_" | "tgr_") {
            return Err(OAuthFault::UnknownTokenType);
        }
        let Some(id) = TokenId::parse(written.name) else { return Ok(None) };
        self.check_known(&id, from)?;
        match self.store.end_login(&id, TokenDigest::of(token.as_bytes())).await? {
            Redeemed::Ended(id, _) => Ok(Some(id)),
            _ => match self.counted(OAuthFault::Unknown("token"), from) {
                fault @ OAuthFault::Throttled { .. } => Err(fault),
                _ => Ok(None),
            },
        }
    }
}

/// Of which login a refresh token says it is.
fn refresh_token(text: &str) -> Result<TokenId, OAuthFault> {
    token_form::read(text)
        .filter(|written| written.beginning == "tgr_")
        .and_then(|written| TokenId::parse(written.name))
        .ok_or(OAuthFault::Unknown("refresh token"))
}

/// RFC 7636 section 4.1.
fn is_verifier(text: &str) -> bool {
    (43..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~'))
}

/// RFC 7636 section 4.2.
fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()))
}

fn why(grant: Grant<'_>, redeemed: Redeemed) -> OAuthFault {
    let what = grant.what();
    match redeemed {
        Redeemed::Given(_) | Redeemed::Unknown => OAuthFault::Unknown(what),
        Redeemed::Expired if matches!(grant, Grant::Device(_)) => OAuthFault::DeviceExpired,
        Redeemed::Expired => OAuthFault::Expired(what),
        Redeemed::Ended(id, at) => OAuthFault::Ended { id, at },
        Redeemed::Replayed(login) => OAuthFault::Replayed { what, login },
        Redeemed::Elsewhere => OAuthFault::Elsewhere,
        Redeemed::Disabled => OAuthFault::Disabled,
        Redeemed::Pending => OAuthFault::Pending,
        Redeemed::Refused => OAuthFault::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_the_rfc() {
        // RFC 7636 appendix B.
        assert_eq!(
            challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
        assert!(is_verifier(&"a".repeat(43)) && is_verifier(&"~".repeat(128)));
        for bad in [String::new(), "a".repeat(42), "a".repeat(129), "ä".repeat(40), format!("{}+", "a".repeat(43))] {
            assert!(!is_verifier(&bad), "{bad}");
        }
    }

    #[test]
    fn an_access_token_renews_nothing() {
        let access = token_form::make("tgl_").unwrap();
        assert!(matches!(refresh_token(&access), Err(OAuthFault::Unknown(_))));
        let refresh = token_form::make_named("tgr_", "abcdefgh").unwrap();
        assert_eq!(refresh_token(&refresh).unwrap().as_str(), "abcdefgh");
    }
}
