//! What does an issuer say about itself?

use serde::Deserialize;
use url::Url;

use crate::fetch::is_secure;

/// OpenID Connect Discovery 1.0 section 3, what we use of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// Where its keys are.
    pub keys: Url,
    /// Where a login begins.
    pub authorization: Option<Url>,
    /// Where a code is exchanged.
    pub token: Option<Url>,
    /// Where a person is signed out (OpenID Connect RP-Initiated Logout 1.0 section 2.1).
    pub end_session: Option<Url>,
    /// Whether it says who answers, in `iss` (RFC 9207 section 3).
    pub names_itself: bool,
    /// Whether it takes client id and secret in the body only (RFC 8414 section 2,
    /// `token_endpoint_auth_methods_supported`; absent means `client_secret_basic`).
    pub secret_in_body: bool,
}

/// A document that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadMetadata {
    /// No JSON object of the right shape.
    #[error("the discovery document is not of the right shape")]
    Shape,
    /// OIDC Discovery section 4.3: it must be byte for byte the configured one, else another issuer speaks.
    #[error("the discovery document is for issuer `{0}`")]
    OtherIssuer(String),
    /// An endpoint without TLS.
    #[error("the endpoint `{0}` is neither https nor on a loopback address")]
    Insecure(&'static str),
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: Url,
    authorization_endpoint: Option<Url>,
    token_endpoint: Option<Url>,
    end_session_endpoint: Option<Url>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

/// Where the document of an issuer is: OIDC Discovery section 4, any trailing slash removed first.
#[must_use]
pub fn address(issuer: &Url) -> Option<Url> {
    Url::parse(&format!("{}/.well-known/openid-configuration", issuer.as_str().trim_end_matches('/'))).ok()
}

impl Metadata {
    /// Reads the discovery document of `issuer`.
    ///
    /// # Errors
    /// [`BadMetadata`] when it is another's, or names an endpoint that could be listened to.
    pub fn parse(document: &[u8], issuer: &str) -> Result<Self, BadMetadata> {
        let document: Document = serde_json::from_slice(document).map_err(|_| BadMetadata::Shape)?;
        if document.issuer != issuer {
            return Err(BadMetadata::OtherIssuer(document.issuer.chars().take(200).collect()));
        }
        for (name, url) in [
            ("jwks_uri", Some(&document.jwks_uri)),
            ("authorization_endpoint", document.authorization_endpoint.as_ref()),
            ("token_endpoint", document.token_endpoint.as_ref()),
            ("end_session_endpoint", document.end_session_endpoint.as_ref()),
        ] {
            if url.is_some_and(|url| !is_secure(url)) {
                return Err(BadMetadata::Insecure(name));
            }
        }
        let secret_in_body = document
            .token_endpoint_auth_methods_supported
            .is_some_and(|methods| !methods.iter().any(|method| method == "client_secret_basic"));
        Ok(Self {
            keys: document.jwks_uri,
            authorization: document.authorization_endpoint,
            token: document.token_endpoint,
            end_session: document.end_session_endpoint,
            names_itself: document.authorization_response_iss_parameter_supported,
            secret_in_body,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn document() -> Value {
        json!({
            "issuer": "https://idp.example.com",
            "jwks_uri": "https://idp.example.com/keys",
            "authorization_endpoint": "https://idp.example.com/auth",
            "token_endpoint": "https://idp.example.com/token",
        })
    }

    #[test]
    fn another_issuers_document_is_refused() {
        for other in
            ["https://idp.example.com/", "https://IDP.example.com", "https://evil.example", "http://idp.example.com"]
        {
            let mut lie = document();
            lie["issuer"] = other.into();
            assert!(matches!(
                Metadata::parse(lie.to_string().as_bytes(), "https://idp.example.com"),
                Err(BadMetadata::OtherIssuer(_))
            ));
        }
        assert!(Metadata::parse(document().to_string().as_bytes(), "https://idp.example.com").is_ok());
    }

    #[test]
    fn an_endpoint_without_tls_is_refused() {
        for name in ["jwks_uri", "authorization_endpoint", "token_endpoint", "end_session_endpoint"] {
            let mut document = document();
            document[name] = "http://idp.example.com/x".into();
            assert!(matches!(
                Metadata::parse(document.to_string().as_bytes(), "https://idp.example.com"),
                Err(BadMetadata::Insecure(_))
            ));
        }
    }

    #[test]
    fn the_address_keeps_the_issuers_path() {
        let of = |issuer: &str| address(&Url::parse(issuer).unwrap()).unwrap().to_string();
        assert_eq!(of("https://a.example"), "https://a.example/.well-known/openid-configuration");
        assert_eq!(of("https://a.example/t/1/"), "https://a.example/t/1/.well-known/openid-configuration");
    }
}
