//! How is one certificate had?
//!
//! An account, an order, a proof for each name, a request with a fresh key, the chain (RFC 8555 section 7.1). The key and the
//! order's address are on the disk before the request goes out: whoever dies between request and answer finishes later what it
//! began, and no certificate is paid for twice.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, Challenge as Offered, ChallengeType, ExternalAccountKey,
    Identifier, KeyAuthorization, NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use super::desk::{Desk, Posted};
use super::fault::{Fault, detail, printable};
use super::settings::{Binding, Challenge, Settings};
use super::shelf::{Begun, Pair, Shelf, key_pem, pair};
use super::speak::Speaker;
use crate::fetch::harmless;

/// How often an order is looked at: soon at first, then less and less often.
const LOOKS: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(250)).backoff(1.5).timeout(Duration::from_mins(3));

/// All that is needed to have a certificate.
pub(super) struct Errand<'a> {
    pub(super) settings: &'a Settings,
    pub(super) shelf: &'a Shelf,
    pub(super) desk: &'a Arc<Desk>,
    pub(super) speaker: &'a Speaker,
    /// Which certificate the new one is to replace (RFC 9773 section 5), where the authority wants to know.
    pub(super) replaces: Option<CertificateIdentifier<'static>>,
}

impl Errand<'_> {
    /// Has a certificate and keeps it.
    pub(super) async fn run(&self) -> Result<Pair, Fault> {
        let account = self.account().await?;
        if let Some(begun) = self.shelf.begun()? {
            match self.finish(&account, &begun).await {
                Ok(pair) => return Ok(pair),
                // The authority is still at it (some let a person look at each), or out of order: another order would cost another
                // certificate. Orders end by themselves within some days.
                Err(fault) if fault.is_passing() && self.shelf.begun_lately() => return Err(fault),
                Err(fault) => {
                    tracing::info!(%fault, "an order of an earlier run cannot be finished; there will be another one");
                    self.shelf.forget_begun()?;
                }
            }
        }
        match self.order(&account).await {
            // A test server forgets at each start, a real one when its owner closed the account.
            Err(fault) if fault.is_forgotten_account() => {
                tracing::warn!(%fault, "the account is not known any more; there will be another one");
                self.shelf.forget_account()?;
                let account = self.account().await?;
                self.order(&account).await
            }
            ended => ended,
        }
    }

    /// The account that is kept, or a new one.
    async fn account(&self) -> Result<Account, Fault> {
        let builder = Account::builder_with_http(Box::new(self.speaker.clone()));
        if let Some(kept) = self.shelf.account()? {
            return builder
                .from_credentials(kept)
                .await
                .map_err(|error| Fault::of("the authority's directory cannot be read", error));
        }
        let contact = self.settings.contact.as_ref().map(|contact| format!("mailto:{contact}"));
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let account = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let binding = self.settings.binding.as_ref().map(binding_key).transpose()?;
        let directory = self.settings.directory.as_str().to_owned();
        let (account, credentials) = builder
            .create(&account, directory, binding.as_ref())
            .await
            .map_err(|error| Fault::of("an account cannot be had", error))?;
        self.shelf.keep_account(&credentials)?;
        tracing::info!(account = harmless(account.id()), "there is an account at the authority");
        Ok(account)
    }

    async fn order(&self, account: &Account) -> Result<Pair, Fault> {
        let names: Vec<Identifier> = self.settings.domains.iter().cloned().map(Identifier::Dns).collect();
        let plain = NewOrder::new(&names);
        let refused = |error| Fault::of("an order cannot be made", error);
        let mut order = match &self.replaces {
            None => account.new_order(&plain).await.map_err(refused)?,
            Some(replaces) => match account.new_order(&NewOrder::new(&names).replaces(replaces.clone())).await {
                Ok(order) => order,
                Err(error) => match Fault::of("an order cannot be made", error) {
                    fault if fault.is_already_replaced() => account.new_order(&plain).await.map_err(refused)?,
                    fault => return Err(fault),
                },
            },
        };
        // What is posted stays until the order is settled, whichever way.
        let posted = self.answer_challenges(&mut order).await?;
        if !posted.is_empty() {
            self.settle(&mut order).await?;
        }
        drop(posted);

        let key = KeyPair::generate().map_err(|error| Fault::NoKey(error.to_string()))?;
        let begun = Begun {
            url: order.url().to_owned(),
            names: self.settings.domains.clone(),
            key: key_pem(&Zeroizing::new(key.serialize_der())),
        };
        self.shelf.keep_begun(&begun)?;
        self.request(&mut order, &begun, &key).await
    }

    /// Finishes what an earlier run began.
    async fn finish(&self, account: &Account, begun: &Begun) -> Result<Pair, Fault> {
        if begun.names != self.settings.domains {
            return Err(Fault::Unusable("it was for other names".to_owned()));
        }
        let mut order =
            account.order(begun.url.clone()).await.map_err(|error| Fault::of("the order cannot be seen", error))?;
        match order.state().status {
            OrderStatus::Ready => {
                let key = PrivatePkcs8KeyDer::from_pem_slice(begun.key.as_bytes())
                    .map_err(|error| Fault::NoKey(error.to_string()))?;
                let key = KeyPair::from_pkcs8_der_and_sign_algo(&key, &rcgen::PKCS_ECDSA_P256_SHA256)
                    .map_err(|error| Fault::NoKey(error.to_string()))?;
                self.request(&mut order, begun, &key).await
            }
            OrderStatus::Processing | OrderStatus::Valid => self.take(&mut order, begun).await,
            OrderStatus::Pending | OrderStatus::Invalid => Err(Fault::Unusable("it did not come so far".to_owned())),
        }
    }

    /// Asks for the certificate of a key: for our names, and nothing else (RFC 8555 section 7.4).
    async fn request(&self, order: &mut Order, begun: &Begun, key: &KeyPair) -> Result<Pair, Fault> {
        let made = CertificateParams::new(begun.names.clone()).and_then(|mut params| {
            params.distinguished_name = DistinguishedName::new();
            params.serialize_request(key)
        });
        let request = made.map_err(|error| Fault::NoKey(error.to_string()))?;
        order
            .finalize_csr(request.der())
            .await
            .map_err(|error| Fault::of("the authority does not take the request", error))?;
        self.take(order, begun).await
    }

    async fn take(&self, order: &mut Order, begun: &Begun) -> Result<Pair, Fault> {
        let chain =
            order.poll_certificate(&LOOKS).await.map_err(|error| Fault::of("the certificate cannot be had", error))?;
        let text = Zeroizing::new(format!("{}\n{chain}", begun.key.as_str()));
        let pair = pair(text.as_bytes(), &begun.names)?;
        if !pair.fits {
            return Err(Fault::Unusable("it is not for the names that were ordered".to_owned()));
        }
        self.shelf.keep_certificate(&begun.key, &chain)?;
        self.shelf.forget_begun()?;
        Ok(pair)
    }

    /// Puts an answer to each challenge on the desk and says so. What was proven before is not proven again.
    async fn answer_challenges(&self, order: &mut Order) -> Result<Vec<Posted>, Fault> {
        let wanted = self.settings.challenge;
        let mut posted = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(found) = authorizations.next().await {
            let mut authorization = found.map_err(|error| Fault::of("the challenges cannot be seen", error))?;
            let name = match authorization.identifier().identifier {
                Identifier::Dns(name) if !authorization.wildcard => name.to_ascii_lowercase(),
                other => return Err(Fault::Misbehaved(printable(&format!("it wants a proof of {other:?}")))),
            };
            // INVARIANT: nothing is answered for a name that was not ordered.
            if !self.settings.domains.contains(&name) {
                return Err(Fault::Misbehaved(printable(&format!(
                    "it wants a proof of `{name}`, which was not ordered"
                ))));
            }
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                status => return Err(Fault::Misbehaved(format!("the proof of `{name}` is {status:?} from the start"))),
            }
            let offered = || {
                let kinds = authorization.challenges.iter().map(|offered| printable(&format!("{:?}", offered.r#type)));
                kinds.collect::<Vec<_>>().join(", ")
            };
            let offered = offered();
            let Some(mut challenge) = authorization.challenge(kind(wanted)) else {
                return Err(Fault::NoChallenge { name, challenge: wanted.name(), offered });
            };
            posted.push(self.post(&name, &challenge, &challenge.key_authorization())?);
            challenge.set_ready().await.map_err(|error| Fault::of("the challenge cannot be begun", error))?;
        }
        Ok(posted)
    }

    fn post(&self, name: &str, challenge: &Offered, answer: &KeyAuthorization) -> Result<Posted, Fault> {
        // RFC 8555 section 8.3: of the base64url alphabet, and at least 128 bits.
        let token = &challenge.token;
        if !(22..=128).contains(&token.len())
            || !token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        {
            return Err(Fault::Misbehaved("the token of its challenge is none".to_owned()));
        }
        Ok(match self.settings.challenge {
            Challenge::Http01 => self.desk.tell(name, token, answer.as_str()),
            Challenge::TlsAlpn01 => self.desk.prove(name, Arc::new(proof(name, answer.digest().as_ref())?)),
        })
    }

    /// Waits until the authority has looked, and says what it saw if it is not content.
    async fn settle(&self, order: &mut Order) -> Result<(), Fault> {
        let settled = order.poll_ready(&LOOKS).await;
        if let Ok(OrderStatus::Ready) = settled {
            return Ok(());
        }
        // The reason stands with the challenge, not with the order.
        let mut authorizations = order.authorizations();
        while let Some(Ok(mut authorization)) = authorizations.next().await {
            let Ok(state) = authorization.refresh().await else { continue };
            let ours = state.challenges.iter().find(|challenge| challenge.r#type == kind(self.settings.challenge));
            if let Some(error) = ours.and_then(|challenge| challenge.error.as_ref()) {
                return Err(Fault::NotProven {
                    name: printable(&state.identifier().to_string()),
                    challenge: self.settings.challenge.name(),
                    why: detail(error),
                });
            }
        }
        match settled {
            Err(error) => Err(Fault::of("the proofs were not accepted", error)),
            Ok(status) => {
                Err(Fault::Server { what: "the proofs were not accepted", why: format!("the order is {status:?}") })
            }
        }
    }
}

fn kind(challenge: Challenge) -> ChallengeType {
    match challenge {
        Challenge::Http01 => ChallengeType::Http01,
        Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
    }
}

/// The certificate of a challenge handshake (RFC 8737 section 3): for the name alone, with the digest in a critical extension,
/// signed by itself with a key that is used for nothing else.
fn proof(name: &str, digest: &[u8]) -> Result<CertifiedKey, Fault> {
    let fault = |why: String| Fault::NoKey(why);
    if digest.len() != 32 {
        return Err(fault("a digest of SHA-256 has 32 bytes".to_owned()));
    }
    let key = KeyPair::generate().map_err(|error| fault(error.to_string()))?;
    let made = CertificateParams::new(vec![name.to_owned()]).and_then(|mut params| {
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        params.self_signed(&key)
    });
    let certificate = made.map_err(|error| fault(error.to_string()))?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    // Not read again, as other pairs are: webpki refuses every critical extension that it does not know, and this is one.
    let key = provider.key_provider.load_private_key(key).map_err(|error| fault(error.to_string()))?;
    Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
}

/// Reads what an authority hands to its customers: base64url as a rule, some write the other alphabet, with or without padding.
pub(super) fn binding_key(binding: &Binding) -> Result<ExternalAccountKey, Fault> {
    let bad = |why: String| Fault::BadBindingKey { path: binding.key_file.clone(), why };
    let text = std::fs::read_to_string(&binding.key_file).map_err(|error| bad(error.to_string()))?;
    let text = Zeroizing::new(text);
    let written = text.trim().trim_end_matches('=');
    let key = URL_SAFE_NO_PAD.decode(written).or_else(|_| STANDARD_NO_PAD.decode(written));
    match key.map(Zeroizing::new) {
        Ok(key) if key.len() >= 16 => Ok(ExternalAccountKey::new(binding.key_id.clone(), &key)),
        Ok(_) => Err(bad("it is shorter than 16 bytes".to_owned())),
        // The fault must not say a part of the key.
        Err(_) => Err(bad("it is not base64url".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_for_one_name_and_holds_the_digest_in_a_critical_extension() {
        let digest = [0xA5; 32];
        let proof = proof("a.example", &digest).unwrap();
        let der = proof.cert[0].as_ref();
        // SEQUENCE { OID 1.3.6.1.5.5.7.1.31, BOOLEAN TRUE, OCTET STRING { OCTET STRING digest } }
        let mut wanted =
            vec![0x06, 0x08, 0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x1F, 0x01, 0x01, 0xFF, 0x04, 0x22, 0x04, 0x20];
        wanted.extend(digest);
        assert!(der.windows(wanted.len()).any(|window| window == wanted));
        assert!(super::proof("a.example", &digest[1..]).is_err());
    }

    #[test]
    fn the_key_of_a_binding_is_read_in_either_alphabet_and_never_told() {
        let file = std::env::temp_dir().join(format!("trackgate-eab-{}", uuid::Uuid::new_v4()));
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            binding_key(&Binding { key_id: "kid".to_owned(), key_file: file.clone() }).map(|_| ())
        };
        for text in [
            "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajV\n",
            "zWNDZM6e-_HWpSRTPal5eIUYFTu7EajVIog=",
            "zWNDZM6e+/HWpSRTPal5eIUYFTu7EajVIog=",
        ] {
            read(text).unwrap();
        }
        for text in ["", "c2hvcnQ", "zWNDZM6e QGHWpSRTPal5eIUYFTu7EajV", "${SECRET-of-somebody}-and-more"] {
            let fault = read(text).unwrap_err().to_string();
            assert!(text.len() < 3 || !fault.contains(text), "{fault}");
        }
        std::fs::remove_file(&file).unwrap();
        assert!(binding_key(&Binding { key_id: "kid".to_owned(), key_file: file }).is_err());
    }
}
