//! Which certificate do we show, and how is it replaced?
//!
//! One `ServerConfig` for the life of the process: only the certificate in it is exchanged, so that tickets stay good
//! and no connection is dropped. A pair that cannot be used never replaces one that can.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use super::settings::Https;
use crate::certificate::{Expiry, Facts};

/// Why a certificate and its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadPair {
    /// A file cannot be read.
    #[error("{file}: {why}", file = .file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        why: io::Error,
    },
    /// The certificate file holds none.
    #[error("{file} holds no certificate", file = .0.display())]
    NoCertificate(PathBuf),
    /// The key file holds none.
    #[error("{file} holds no private key: {why}", file = .file.display())]
    NoKey {
        /// Which.
        file: PathBuf,
        /// Why.
        why: rustls_pki_types::pem::Error,
    },
    /// The first certificate is not an X.509 certificate for a server.
    #[error("the certificate cannot be used: {0}")]
    BadCertificate(rustls::Error),
    /// It is too late.
    #[error("the certificate has expired")]
    Expired,
    /// It is too early.
    #[error("the certificate is not valid yet")]
    NotYetValid,
    /// They are not a pair.
    #[error("the private key does not belong to the certificate: {0}")]
    NotAPair(rustls::Error),
    /// rustls takes none of it.
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}

/// The certificate in use, and where it comes from.
pub(super) struct Certificates {
    settings: Https,
    provider: Arc<CryptoProvider>,
    current: Arc<Current>,
    /// The files' contents when they were last looked at, good or bad.
    seen: Mutex<Contents>,
    expiry: Expiry,
}

#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

#[derive(PartialEq, Eq)]
struct Contents {
    certificate: Vec<u8>,
    key: zeroize::Zeroizing<Vec<u8>>,
}

impl Certificates {
    /// Loads the pair.
    ///
    /// # Errors
    /// [`BadPair`]; the process then does not start.
    pub(super) fn load(settings: &Https, expiry: &Expiry) -> Result<Self, BadPair> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let contents = read(settings)?;
        let key = pair(settings, &contents, &provider)?;
        tell(&key, expiry);
        Ok(Self {
            settings: settings.clone(),
            provider,
            current: Arc::new(Current(ArcSwap::from_pointee(key))),
            seen: Mutex::new(contents),
            expiry: expiry.clone(),
        })
    }

    /// How often the files are looked at.
    pub(super) fn poll(&self) -> std::time::Duration {
        self.settings.poll
    }

    /// What connections are accepted with.
    ///
    /// # Errors
    /// If the provider supports neither TLS 1.2 nor 1.3.
    pub(super) fn config(&self) -> Result<ServerConfig, BadPair> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(BadPair::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(BadPair::Setup)?;
        Ok(config)
    }

    /// Reads the files again. Says whether another pair is in use now.
    ///
    /// `only_if_changed`: contents that were looked at before, good or bad, are not looked at again.
    ///
    /// # Errors
    /// [`BadPair`]; the old pair stays.
    pub(super) fn reload(&self, only_if_changed: bool) -> Result<bool, BadPair> {
        let contents = read(&self.settings)?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if only_if_changed && *seen == contents {
            return Ok(false);
        }
        let pair = pair(&self.settings, &contents, &self.provider);
        *seen = contents;
        let pair = pair?;
        tell(&pair, &self.expiry);
        self.current.0.store(Arc::new(pair));
        Ok(true)
    }
}

/// What the dates were checked for is known to be a certificate.
fn tell(pair: &CertifiedKey, expiry: &Expiry) {
    if let Some(facts) = pair.cert.first().and_then(|first| Facts::of(first).ok()) {
        expiry.set(facts.to);
    }
}

fn read(settings: &Https) -> Result<Contents, BadPair> {
    let read = |file: &PathBuf| std::fs::read(file).map_err(|why| BadPair::Unreadable { file: file.clone(), why });
    Ok(Contents { certificate: read(&settings.certificate)?, key: read(&settings.private_key)?.into() })
}

fn pair(settings: &Https, contents: &Contents, provider: &CryptoProvider) -> Result<CertifiedKey, BadPair> {
    let none = || BadPair::NoCertificate(settings.certificate.clone());
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&contents.certificate).collect::<Result<_, _>>().map_err(|_| none())?;
    let first = chain.first().ok_or_else(none)?;
    check_dates(first)?;
    let key = PrivateKeyDer::from_pem_slice(&contents.key)
        .map_err(|why| BadPair::NoKey { file: settings.private_key.clone(), why })?;
    CertifiedKey::from_der(chain, key, provider).map_err(BadPair::NotAPair)
}

/// Lets webpki, which reads X.509, look at the dates. Who signed it, and for which name, is the clients' business.
fn check_dates(certificate: &CertificateDer<'static>) -> Result<(), BadPair> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).map_err(BadPair::BadCertificate)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = rustls::client::WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|why| BadPair::BadCertificate(rustls::Error::General(why.to_string())))?;
    let Ok(name) = ServerName::try_from("localhost") else { return Ok(()) };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let verdict = verifier.verify_server_cert(certificate, &[], &name, &[], UnixTime::since_unix_epoch(now));
    match verdict {
        Err(rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. })) => {
            Err(BadPair::Expired)
        }
        Err(rustls::Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        )) => Err(BadPair::NotYetValid),
        Err(why @ rustls::Error::InvalidCertificate(CertificateError::BadEncoding)) => {
            Err(BadPair::BadCertificate(why))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("trackgate-tls-{}", uuid::Uuid::new_v4()));
            std::fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn settings(&self) -> Https {
            Https {
                address: "127.0.0.1:0".parse().unwrap(),
                certificate: self.0.join("cert.pem"),
                private_key: self.0.join("key.pem"),
                poll: Duration::from_secs(30),
            }
        }

        fn write(&self, certificate: &str, key: &str) {
            std::fs::write(self.0.join("cert.pem"), certificate).unwrap();
            std::fs::write(self.0.join("key.pem"), key).unwrap();
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn made(from: (i32, u8, u8), to: (i32, u8, u8)) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(from.0, from.1, from.2);
        params.not_after = rcgen::date_time_ymd(to.0, to.1, to.2);
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn good() -> (String, String) {
        made((2020, 1, 1), (2120, 1, 1))
    }

    #[test]
    fn a_pair_that_cannot_be_used_is_refused() {
        let folder = Folder::new();
        let load = || Certificates::load(&folder.settings(), &Expiry::default()).map(|_| ());
        assert!(matches!(load(), Err(BadPair::Unreadable { .. })));
        let (certificate, key) = good();
        folder.write("", &key);
        assert!(matches!(load(), Err(BadPair::NoCertificate(_))));
        folder.write(&certificate, "");
        assert!(matches!(load(), Err(BadPair::NoKey { .. })));
        folder.write(&certificate, &good().1);
        assert!(matches!(load(), Err(BadPair::NotAPair(_))));
        folder.write("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &key);
        assert!(matches!(load(), Err(BadPair::BadCertificate(_))));
        let (old, old_key) = made((2020, 1, 1), (2021, 1, 1));
        folder.write(&old, &old_key);
        assert!(matches!(load(), Err(BadPair::Expired)));
        let (young, young_key) = made((2119, 1, 1), (2120, 1, 1));
        folder.write(&young, &young_key);
        assert!(matches!(load(), Err(BadPair::NotYetValid)));
        folder.write(&certificate, &key);
        assert!(load().is_ok());
    }

    #[test]
    fn a_bad_reload_changes_nothing_and_is_told_once() {
        let folder = Folder::new();
        let (certificate, key) = good();
        folder.write(&certificate, &key);
        let certificates = Certificates::load(&folder.settings(), &Expiry::default()).unwrap();
        let shown = || certificates.current.0.load().cert[0].clone();
        let first = shown();
        assert!(matches!(certificates.reload(true), Ok(false)));
        let (other, other_key) = good();
        folder.write(&other, &key);
        assert!(certificates.reload(true).is_err());
        assert!(matches!(certificates.reload(true), Ok(false)), "the same fault is not told again and again");
        assert!(certificates.reload(false).is_err(), "a signal tries again");
        assert_eq!(shown(), first);
        folder.write(&other, &other_key);
        assert!(matches!(certificates.reload(true), Ok(true)));
        assert_ne!(shown(), first);
    }
}
