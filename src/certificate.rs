//! What does a certificate say of itself: from when to when, for which names, and which one is it?
//!
//! Nothing is judged here: whether it can be trusted is the business of whoever it is shown to. DER is read by `yasna`;
//! only the way to four fields is ours (RFC 5280 sections 4.1 and 4.2.1.1). Names are compared by rustls, as clients do.

// The method is of one lifetime where the closure is of any: what the lint suggests does not compile.
#![allow(clippy::redundant_closure_for_method_calls, reason = "the method itself is not general enough")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::verify_server_name;
use rustls::server::ParsedCertificate;
use rustls_pki_types::{CertificateDer, ServerName};
use time::OffsetDateTime;
use yasna::{ASN1Error, ASN1ErrorKind, ASN1Result, BERReader, BERReaderSeq, Tag};

/// 2.5.29.35, the extension that names the key of whoever signed.
const AUTHORITY_KEY_IDENTIFIER: &[u64] = &[2, 5, 29, 35];

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Its number, as the content octets of the DER integer.
    pub serial: Vec<u8>,
    /// Which key signed it, if it says so.
    pub authority: Option<Vec<u8>>,
    /// The first moment at which it is valid.
    pub from: SystemTime,
    /// The last one.
    pub to: SystemTime,
    /// All of it, in DER.
    pub whole: CertificateDer<'static>,
}

/// It is no certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no X.509 certificate")]
pub struct NoCertificate;

impl Facts {
    /// Reads them from a certificate in DER.
    ///
    /// # Errors
    /// [`NoCertificate`].
    pub fn of(der: &[u8]) -> Result<Self, NoCertificate> {
        let read = |reader: BERReader<'_, '_>| {
            reader.read_sequence(|certificate| {
                let facts = certificate.next().read_sequence(|fields| body(fields, der))?;
                rest(certificate)?;
                Ok(facts)
            })
        };
        yasna::parse_der(der, read).map_err(|_| NoCertificate)
    }

    /// How long it is valid from its beginning to its end.
    #[must_use]
    pub fn life(&self) -> Duration {
        self.to.duration_since(self.from).unwrap_or_default()
    }

    /// Whether clients take it for this host: a name, or an address (an IPv6 one in brackets or without). As in RFC 9525
    /// section 6: only alternative names count, and `*` stands for one label.
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let Ok(name) = ServerName::try_from(bare) else { return false };
        ParsedCertificate::try_from(&self.whole).is_ok_and(|parsed| verify_server_name(&parsed, &name).is_ok())
    }
}

fn body(fields: &mut BERReaderSeq<'_, '_>, der: &[u8]) -> ASN1Result<Facts> {
    fields.read_optional(|reader| reader.read_tagged(Tag::context(0), |reader| reader.read_u8()))?;
    let serial = fields.next().read_tagged_der()?.value().to_vec();
    let _signature = fields.next().read_der()?;
    let _issuer = fields.next().read_der()?;
    let (from, to) = fields.next().read_sequence(|dates| Ok((moment(dates.next())?, moment(dates.next())?)))?;
    let _subject = fields.next().read_der()?;
    let _key = fields.next().read_der()?;
    for unique in [1, 2] {
        fields.read_optional(|reader| {
            reader.read_tagged_implicit(Tag::context(unique), |reader| reader.read_bitvec_bytes())
        })?;
    }
    let authority = fields
        .read_optional(|reader| reader.read_tagged(Tag::context(3), |reader| reader.read_sequence(extensions)))?
        .flatten();
    Ok(Facts { serial, authority, from, to, whole: der.to_vec().into() })
}

/// Two ways to write a time: with two digits of a year until 2049, with four after.
fn moment(reader: BERReader<'_, '_>) -> ASN1Result<SystemTime> {
    let time: OffsetDateTime = if reader.lookahead_tag()? == yasna::tags::TAG_UTCTIME {
        *reader.read_utctime()?.datetime()
    } else {
        *reader.read_generalized_time()?.datetime()
    };
    let since = u64::try_from(time.unix_timestamp()).map_err(|_| ASN1Error::new(ASN1ErrorKind::Invalid))?;
    UNIX_EPOCH.checked_add(Duration::from_secs(since)).ok_or_else(|| ASN1Error::new(ASN1ErrorKind::Invalid))
}

fn extensions(list: &mut BERReaderSeq<'_, '_>) -> ASN1Result<Option<Vec<u8>>> {
    let mut authority = None;
    while let Some((id, value)) = list.read_optional(|reader| reader.read_sequence(extension))? {
        if id == AUTHORITY_KEY_IDENTIFIER {
            authority = yasna::parse_der(&value, |reader| {
                reader.read_sequence(|fields| {
                    let key = fields.read_optional(|reader| {
                        reader.read_tagged_implicit(Tag::context(0), |reader| reader.read_bytes())
                    })?;
                    rest(fields)?;
                    Ok(key)
                })
            })?;
        }
    }
    Ok(authority)
}

fn extension(fields: &mut BERReaderSeq<'_, '_>) -> ASN1Result<(Vec<u64>, Vec<u8>)> {
    let id = fields.next().read_oid()?.components().clone();
    let _critical = fields.read_optional(|reader| reader.read_bool())?;
    Ok((id, fields.next().read_bytes()?))
}

/// What comes after is not looked at.
fn rest(fields: &mut BERReaderSeq<'_, '_>) -> ASN1Result<()> {
    while fields.read_optional(|reader| reader.read_tagged_der())?.is_some() {}
    Ok(())
}

/// What is told of the certificate that is shown: written by the door, read by whoever tells of it. A clone tells the same.
#[derive(Debug, Clone, Default)]
pub struct Shown(Arc<Told>);

#[derive(Debug, Default)]
struct Told {
    /// When it ends, in seconds; 0: there is none.
    to: AtomicU64,
    /// Why a newer one is not shown instead.
    fault: Mutex<Option<String>>,
    hosts: OnceLock<Vec<String>>,
}

impl Shown {
    /// Notes that a certificate is shown now which ends then.
    pub fn set(&self, to: SystemTime) {
        let seconds = to.duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs().max(1));
        self.0.to.store(seconds, Ordering::Relaxed);
    }

    /// When it ends. `None`: there is no certificate.
    #[must_use]
    pub fn get(&self) -> Option<SystemTime> {
        match self.0.to.load(Ordering::Relaxed) {
            0 => None,
            seconds => UNIX_EPOCH.checked_add(Duration::from_secs(seconds)),
        }
    }

    /// Notes why what was read last is not shown, or that it is.
    pub fn refused(&self, fault: Option<String>) {
        *self.0.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// Why what was read last is not shown. `None`: it is.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        self.0.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes by which names clients come, where they look at the name. The first word counts.
    pub fn wanted_for(&self, hosts: Vec<String>) {
        let _ = self.0.hosts.set(hosts);
    }

    /// The names by which clients come and for which this certificate is not.
    #[must_use]
    pub fn not_covered<'a>(&'a self, facts: &Facts) -> Vec<&'a str> {
        let hosts = self.0.hosts.get().into_iter().flatten();
        hosts.map(String::as_str).filter(|host| !facts.covers(host)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(change: impl FnOnce(&mut rcgen::CertificateParams)) -> Vec<u8> {
        let signer = rcgen::KeyPair::generate().unwrap();
        let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        authority.key_identifier_method = rcgen::KeyIdMethod::PreSpecified(vec![0xC0, 0xFF, 0xEE]);
        let authority = rcgen::Issuer::new(authority, signer);
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["mlflow.example.com".to_owned()]).unwrap();
        change(&mut params);
        params.signed_by(&key, &authority).unwrap().der().to_vec()
    }

    fn at(year: i32) -> SystemTime {
        rcgen::date_time_ymd(year, 1, 1).into()
    }

    #[test]
    fn serial_authority_and_dates_are_read() {
        let der = certificate(|params| {
            params.serial_number = Some(vec![0xCA, 0xFE].into());
            params.use_authority_key_identifier_extension = true;
            params.not_before = rcgen::date_time_ymd(2024, 1, 1);
            params.not_after = rcgen::date_time_ymd(2060, 1, 1);
        });
        let facts = Facts::of(&der).unwrap();
        assert_eq!(facts.serial, [0x00, 0xCA, 0xFE], "with the zero that makes it positive (RFC 9773 section 4.1)");
        assert_eq!(facts.authority, Some(vec![0xC0, 0xFF, 0xEE]));
        assert_eq!((facts.from, facts.to), (at(2024), at(2060)), "one of each way to write a time");
        assert_eq!(facts.life(), at(2060).duration_since(at(2024)).unwrap());
    }

    #[test]
    fn a_certificate_need_not_name_its_authority() {
        assert_eq!(Facts::of(&certificate(|_| {})).unwrap().authority, None);
    }

    #[test]
    fn a_certificate_covers_its_alternative_names_and_one_label_for_a_star() {
        let names = ["mlflow.example.com", "*.ml.example.com", "192.0.2.7", "2001:db8::7"];
        let facts = Facts::of(&certificate(|params| {
            params.subject_alt_names =
                rcgen::CertificateParams::new(names.map(str::to_owned)).unwrap().subject_alt_names;
            params.distinguished_name.push(rcgen::DnType::CommonName, "common.example.com");
        }))
        .unwrap();
        for host in ["mlflow.example.com", "MLFLOW.example.com", "a.ml.example.com", "192.0.2.7", "[2001:db8::7]"] {
            assert!(facts.covers(host), "{host}");
        }
        let others =
            ["other.example.com", "ml.example.com", "a.b.ml.example.com", "common.example.com", "192.0.2.8", ""];
        for host in others {
            assert!(!facts.covers(host), "{host}");
        }
        let nameless = Facts::of(&certificate(|params| params.subject_alt_names.clear())).unwrap();
        assert!(!nameless.covers("mlflow.example.com"));
    }

    #[test]
    fn what_is_cut_or_bent_is_no_certificate_and_breaks_nothing() {
        let der = certificate(|params| params.use_authority_key_identifier_extension = true);
        for length in 0..der.len() {
            assert_eq!(Facts::of(&der[..length]), Err(NoCertificate), "cut at {length}");
        }
        // Whatever one flipped byte makes of it: an answer, and no panic.
        for place in 0..der.len() {
            let mut bent = der.clone();
            bent[place] ^= 0xFF;
            let _ = Facts::of(&bent);
        }
        assert_eq!(Facts::of(b"-----BEGIN CERTIFICATE-----"), Err(NoCertificate));
    }

    #[test]
    fn no_certificate_ends_never_and_another_ends_when_it_ends() {
        let shown = Shown::default();
        assert_eq!(shown.get(), None);
        shown.clone().set(at(2030));
        assert_eq!(shown.get(), Some(at(2030)));
    }

    #[test]
    fn names_for_which_a_certificate_is_not_are_told_where_names_are_looked_at() {
        let (shown, facts) = (Shown::default(), Facts::of(&certificate(|_| {})).unwrap());
        assert!(shown.not_covered(&facts).is_empty(), "nobody said by which names clients come");
        shown.clone().wanted_for(["mlflow.example.com", "other.example.com"].map(str::to_owned).into());
        assert_eq!(shown.not_covered(&facts), ["other.example.com"]);
    }
}
