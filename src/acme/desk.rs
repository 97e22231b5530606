//! What is shown at the door: the certificate in use, and the answers to challenges?
//!
//! Challenges that are not under way have no answer: nothing is computed from what a stranger sends (whoever answers every
//! token with the account's thumbprint proves foreign names), and nothing of it is kept.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// The protocol of challenge handshakes (RFC 8737 section 6.2).
pub const ACME_TLS: &[u8] = b"acme-tls/1";

/// Shared by the keeper, who puts things on it, and the door, which shows them.
#[derive(Default)]
pub struct Desk {
    certificate: ArcSwapOption<CertifiedKey>,
    // Locked for a look-up; there are as many entries as names that are being proven.
    under_way: Mutex<UnderWay>,
}

#[derive(Default)]
struct UnderWay {
    /// By token.
    documents: HashMap<String, Document>,
    /// By name.
    proofs: HashMap<String, Arc<CertifiedKey>>,
}

struct Document {
    name: String,
    text: Bytes,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.certificate.load().is_some() { "Desk(a certificate)" } else { "Desk(no certificate)" })
    }
}

impl Desk {
    /// Shows another certificate from now on.
    pub(super) fn show(&self, pair: Arc<CertifiedKey>) {
        self.certificate.store(Some(pair));
    }

    /// Whether there is a certificate.
    #[must_use]
    pub fn is_certified(&self) -> bool {
        self.certificate.load().is_some()
    }

    /// The answer to an `http-01` challenge: only for a token that is under way, and only under the name that it is to prove.
    #[must_use]
    pub fn document(&self, name: &str, token: &str) -> Option<Bytes> {
        let under_way = self.lock();
        let document = under_way.documents.get(token)?;
        document.name.eq_ignore_ascii_case(name).then(|| document.text.clone())
    }

    /// Answers `token` under `name` until the value is dropped.
    pub(super) fn tell(self: &Arc<Self>, name: &str, token: &str, text: &str) -> Posted {
        let document = Document { name: name.to_owned(), text: Bytes::copy_from_slice(text.as_bytes()) };
        self.lock().documents.insert(token.to_owned(), document);
        Posted { desk: Arc::clone(self), what: What::Document(token.to_owned()) }
    }

    /// Shows `proof` in challenge handshakes for `name` until the value is dropped.
    pub(super) fn prove(self: &Arc<Self>, name: &str, proof: Arc<CertifiedKey>) -> Posted {
        let name = name.to_ascii_lowercase();
        self.lock().proofs.insert(name.clone(), proof);
        Posted { desk: Arc::clone(self), what: What::Proof(name) }
    }

    fn lock(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For ordinary handshakes.
impl ResolvesServerCert for Desk {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.certificate.load_full()
    }
}

/// For challenge handshakes, and for these alone.
#[derive(Debug)]
pub struct Proofs(pub Arc<Desk>);

impl ResolvesServerCert for Proofs {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // RFC 8737 section 3: without a name, or with another one, the handshake fails.
        let name = hello.server_name()?.to_ascii_lowercase();
        self.0.lock().proofs.get(&name).cloned()
    }
}

/// An answer on the desk; it is taken away when this is dropped.
pub(super) struct Posted {
    desk: Arc<Desk>,
    what: What,
}

enum What {
    Document(String),
    Proof(String),
}

impl Drop for Posted {
    fn drop(&mut self) {
        let mut under_way = self.desk.lock();
        match &self.what {
            What::Document(token) => drop(under_way.documents.remove(token)),
            What::Proof(name) => drop(under_way.proofs.remove(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_answered_under_its_name_while_it_is_under_way_and_never_else() {
        let desk = Arc::new(Desk::default());
        assert_eq!(desk.document("a.example", "t0"), None);
        let posted = desk.tell("a.example", "t1", "t1.thumb");
        let other = desk.tell("b.example", "t2", "t2.thumb");
        assert_eq!(desk.document("a.example", "t1").unwrap(), "t1.thumb");
        assert_eq!(desk.document("A.Example", "t1").unwrap(), "t1.thumb", "names have no case");
        for (name, token) in
            [("b.example", "t1"), ("", "t1"), ("a.example", "T1"), ("a.example", "t"), ("a.example", "")]
        {
            assert_eq!(desk.document(name, token), None, "{name} {token}");
        }
        drop(posted);
        assert_eq!(desk.document("a.example", "t1"), None);
        assert!(desk.document("b.example", "t2").is_some());
        drop(other);
        assert!(desk.lock().documents.is_empty(), "strangers' tokens leave nothing behind");
    }
}
