//! Which certificate do we show, and how is it replaced?
//!
//! One `ServerConfig` for the life of the process: only the certificate in it is exchanged, so that tickets stay good
//! and no connection is dropped. A pair that cannot be used never replaces one that can. Where an authority gives the pair, the
//! keeper of `acme` puts it on the desk; handshakes of challenges have a configuration of their own.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::CryptoProvider;
use rustls::server::{Acceptor, ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};

use super::settings::{Files, Pair};
use crate::acme::{ACME_TLS, Challenge, Desk, Proofs};
use crate::certificate::{Facts, Shown};

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
    provider: Arc<CryptoProvider>,
    source: Source,
}

enum Source {
    Files(Watched),
    Acme(Arc<Desk>, Challenge),
}

/// Two files, and what was read from them.
struct Watched {
    files: Files,
    current: Arc<Current>,
    seen: Mutex<Seen>,
    expiry: Shown,
}

/// The files' contents when they were last looked at, and whether they are in use.
struct Seen {
    contents: Contents,
    good: bool,
}

/// What became of the files that were read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reloaded {
    /// They are another pair, and it is in use now.
    New,
    /// They are what is in use.
    Same,
    /// There are none, or they are as bad as they were when it was told.
    Untouched,
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

/// What connections are accepted with.
#[derive(Clone)]
pub(super) struct Tls {
    acceptor: TlsAcceptor,
    /// For challenge handshakes, where an authority looks for them here.
    proofs: Option<Arc<ServerConfig>>,
}

impl Tls {
    /// Shakes hands. `None`: it was an authority that looked at a challenge, and there is no more to say.
    ///
    /// # Errors
    /// As rustls has them, and when the client leaves.
    pub(super) async fn accept(&self, tcp: TcpStream) -> io::Result<Option<TlsStream<TcpStream>>> {
        let Some(proofs) = &self.proofs else { return self.acceptor.accept(tcp).await.map(Some) };
        let start = LazyConfigAcceptor::new(Acceptor::default(), tcp).await?;
        if !asks_for_proof(&start.client_hello()) {
            return start.into_stream(Arc::clone(self.acceptor.config())).await.map(Some);
        }
        let mut stream = start.into_stream(Arc::clone(proofs)).await?;
        // RFC 8737 section 3: nothing is said after the handshake.
        stream.shutdown().await?;
        Ok(None)
    }
}

/// RFC 8737 section 3: a challenge handshake offers that one protocol and no other.
fn asks_for_proof(hello: &ClientHello<'_>) -> bool {
    let Some(mut offered) = hello.alpn() else { return false };
    offered.next() == Some(ACME_TLS) && offered.next().is_none()
}

impl Certificates {
    /// Loads the pair, where it is in files.
    ///
    /// # Errors
    /// [`BadPair`]; the process then does not start.
    pub(super) fn load(pair: &Pair, expiry: &Shown) -> Result<Self, BadPair> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let source = match pair {
            Pair::Acme { desk, challenge } => Source::Acme(Arc::clone(desk), *challenge),
            Pair::Files(files) => {
                let contents = read(files)?;
                let key = certified(files, &contents, &provider)?;
                tell(&key, expiry);
                Source::Files(Watched {
                    files: files.clone(),
                    current: Arc::new(Current(ArcSwap::from_pointee(key))),
                    seen: Mutex::new(Seen { contents, good: true }),
                    expiry: expiry.clone(),
                })
            }
        };
        Ok(Self { provider, source })
    }

    /// How often the files are looked at, if there are any.
    pub(super) fn poll(&self) -> Option<std::time::Duration> {
        match &self.source {
            Source::Files(watched) => Some(watched.files.poll),
            Source::Acme(..) => None,
        }
    }

    /// What connections are accepted with.
    ///
    /// # Errors
    /// If the provider supports neither TLS 1.2 nor 1.3.
    pub(super) fn tls(&self) -> Result<Tls, BadPair> {
        let (shown, proofs): (Arc<dyn ResolvesServerCert>, _) = match &self.source {
            Source::Files(watched) => (Arc::clone(&watched.current) as _, None),
            Source::Acme(desk, Challenge::Http01) => (Arc::clone(desk) as _, None),
            Source::Acme(desk, Challenge::TlsAlpn01) => (Arc::clone(desk) as _, Some(Proofs(Arc::clone(desk)))),
        };
        let mut config = self.config(shown)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(BadPair::Setup)?;
        let proofs = match proofs {
            None => None,
            Some(proofs) => {
                // A configuration of its own, without tickets: neither kind of handshake can be resumed as the other.
                let mut config = self.config(Arc::new(proofs))?;
                config.alpn_protocols = vec![ACME_TLS.to_vec()];
                config.session_storage = Arc::new(NoServerSessionStorage {});
                config.send_tls13_tickets = 0;
                Some(Arc::new(config))
            }
        };
        Ok(Tls { acceptor: TlsAcceptor::from(Arc::new(config)), proofs })
    }

    fn config(&self, shown: Arc<dyn ResolvesServerCert>) -> Result<ServerConfig, BadPair> {
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(BadPair::Setup)?;
        Ok(builder.with_no_client_auth().with_cert_resolver(shown))
    }

    /// Reads the files again.
    ///
    /// `only_if_changed`: contents that were looked at before and are bad still are not told of again.
    ///
    /// # Errors
    /// [`BadPair`]; the old pair stays.
    pub(super) fn reload(&self, only_if_changed: bool) -> Result<Reloaded, BadPair> {
        let Source::Files(watched) = &self.source else { return Ok(Reloaded::Untouched) };
        let done = watched.reload(only_if_changed, &self.provider);
        match &done {
            Ok(Reloaded::Untouched) => {}
            Ok(Reloaded::New | Reloaded::Same) => watched.expiry.refused(None),
            Err(fault) => watched.expiry.refused(Some(fault.to_string())),
        }
        done
    }
}

impl Watched {
    fn reload(&self, only_if_changed: bool, provider: &CryptoProvider) -> Result<Reloaded, BadPair> {
        let contents = read(&self.files)?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let as_before = seen.contents == contents;
        if as_before && seen.good {
            return Ok(Reloaded::Same);
        }
        // What was refused may be good meanwhile: its first day has come.
        let pair = certified(&self.files, &contents, provider);
        *seen = Seen { contents, good: pair.is_ok() };
        match pair {
            Ok(pair) => {
                tell(&pair, &self.expiry);
                self.current.0.store(Arc::new(pair));
                Ok(Reloaded::New)
            }
            Err(_) if as_before && only_if_changed => Ok(Reloaded::Untouched),
            Err(fault) => Err(fault),
        }
    }
}

/// What the dates were checked for is known to be a certificate.
fn tell(pair: &CertifiedKey, expiry: &Shown) {
    let Some(facts) = pair.cert.first().and_then(|first| Facts::of(first).ok()) else { return };
    expiry.set(facts.to);
    let others = expiry.not_covered(&facts);
    if !others.is_empty() {
        tracing::warn!(hosts = others.join(", "), "the certificate is not for these hosts: clients refuse it there");
    }
}

fn read(files: &Files) -> Result<Contents, BadPair> {
    let read = |file: &PathBuf| std::fs::read(file).map_err(|why| BadPair::Unreadable { file: file.clone(), why });
    Ok(Contents { certificate: read(&files.certificate)?, key: read(&files.private_key)?.into() })
}

fn certified(files: &Files, contents: &Contents, provider: &CryptoProvider) -> Result<CertifiedKey, BadPair> {
    let none = || BadPair::NoCertificate(files.certificate.clone());
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&contents.certificate).collect::<Result<_, _>>().map_err(|_| none())?;
    let first = chain.first().ok_or_else(none)?;
    check_dates(first)?;
    let key = PrivateKeyDer::from_pem_slice(&contents.key)
        .map_err(|why| BadPair::NoKey { file: files.private_key.clone(), why })?;
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

        fn settings(&self) -> Pair {
            Pair::Files(Files {
                certificate: self.0.join("cert.pem"),
                private_key: self.0.join("key.pem"),
                poll: Duration::from_secs(30),
            })
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
        let load = || Certificates::load(&folder.settings(), &Shown::default()).map(|_| ());
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
        let told = Shown::default();
        let certificates = Certificates::load(&folder.settings(), &told).unwrap();
        let Source::Files(watched) = &certificates.source else { panic!("there are files") };
        let shown = || watched.current.0.load().cert[0].clone();
        let first = shown();
        assert_eq!(certificates.reload(true).unwrap(), Reloaded::Same);
        assert_eq!(certificates.reload(false).unwrap(), Reloaded::Same, "a signal finds nothing new");
        assert_eq!(told.fault(), None);
        let (other, other_key) = good();
        folder.write(&other, &key);
        assert!(certificates.reload(true).is_err());
        assert_eq!(
            certificates.reload(true).unwrap(),
            Reloaded::Untouched,
            "the same fault is not told again and again"
        );
        assert!(certificates.reload(false).is_err(), "a signal tries again");
        assert!(told.fault().unwrap().contains("does not belong"), "{told:?}");
        assert_eq!(shown(), first);
        folder.write(&other, &other_key);
        assert_eq!(certificates.reload(true).unwrap(), Reloaded::New);
        assert_eq!(told.fault(), None);
        assert_ne!(shown(), first);
        std::fs::remove_file(folder.0.join("key.pem")).unwrap();
        assert!(certificates.reload(true).is_err());
        assert!(told.fault().is_some());
        folder.write(&other, &other_key);
        assert_eq!(certificates.reload(true).unwrap(), Reloaded::Same);
        assert_eq!(told.fault(), None, "what is in use is there again");
    }
}
