//! The room as a whole, against an issuer that lies.

mod bearers;
mod bindings;
mod explains;
mod logins;
mod sessions;
mod tokens;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderValue};

use super::forge::Forge;
use super::lying_issuer::{CLIENT, Issuer as Provider, SECRET};
use super::*;
use crate::fetch;
use crate::message::Door;

pub(super) const AUDIENCE: &str = "https://mlflow.example.com";

/// An authenticator with a store of its own, and what must live as long.
pub(super) struct House {
    pub(super) authenticator: Arc<Authenticator>,
    pub(super) store: Store,
    pub(super) folder: Folder,
}

/// A folder that goes with the test.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("trackgate-auth-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Settings for a provider that takes bearer tokens and logins.
pub(super) fn issuer_settings(name: &str, provider: &Provider, folder: &Folder) -> issuer::Settings {
    let secret = folder.0.join(format!("{name}-secret"));
    std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
    let mut settings = issuer::Settings::new(name, &provider.url);
    settings.bearer_audiences = vec![AUDIENCE.to_owned()];
    settings.fetch.total = Duration::from_millis(500);
    settings.login = Some(issuer::Login {
        client_id: CLIENT.to_owned(),
        client_secret_file: Some(secret),
        ..issuer::Login::default()
    });
    settings
}

pub(super) async fn house_with(
    clock: &Clock,
    change: impl FnOnce(&mut Settings),
    providers: &[(&str, &Provider)],
) -> House {
    let folder = Folder::new();
    let mut settings = Settings::new(Url::parse("https://mlflow.example.com/").unwrap());
    settings.issuers = providers.iter().map(|(name, provider)| issuer_settings(name, provider, &folder)).collect();
    change(&mut settings);
    let state = folder.0.join("state");
    let store = Store::open(&crate::store::Settings::new(state), clock.clone()).await.unwrap();
    let seal = Arc::new(Seal::ephemeral().unwrap());
    let authenticator = Arc::new(Authenticator::new(settings, store.clone(), seal, clock.clone()).unwrap());
    House { authenticator, store, folder }
}

pub(super) async fn house(providers: &[(&str, &Provider)]) -> House {
    house_with(&Clock::System, |_| {}, providers).await
}

pub(super) fn rsa() -> Arc<Forge> {
    Arc::new(Forge::rsa("first"))
}

pub(super) fn peer(door: Door) -> Peer {
    Peer { address: IpAddr::from([192, 0, 2, 7]), trusted_front: false, secure: true, door }
}

pub(super) fn shown(fields: &[(http::HeaderName, &str)]) -> Credentials {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    credential::take(&mut headers)
}

pub(super) fn bearer(token: &str) -> Credentials {
    shown(&[(AUTHORIZATION, &format!("Bearer {token}"))])
}

pub(super) fn cookies(text: &str) -> Credentials {
    shown(&[(COOKIE, text)])
}

impl House {
    pub(super) async fn ask(&self, credentials: &Credentials) -> Result<Option<Authenticated>, AuthFault> {
        self.authenticator.authenticate(&peer(Door::Https), credentials).await
    }

    /// Who it is, or the reason why not.
    pub(super) async fn who(&self, credentials: &Credentials) -> Result<String, &'static str> {
        match self.ask(credentials).await {
            Ok(Some(known)) => Ok(known.identity.user.to_string()),
            Ok(None) => Ok("stranger".to_owned()),
            Err(fault) => Err(fault.code()),
        }
    }
}
