//! Who vouches for the servers of the stage?
//!
//! A certificate authority that is made at each start. Its key is never written; the certificates live for two weeks.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};

use super::{Fault, write};

/// A throw-away authority; its certificate stands in a file.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    file: PathBuf,
}

/// A certificate and its key, as files.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The chain.
    pub certificate: PathBuf,
    /// The key, mode 0600.
    pub key: PathBuf,
}

impl Authority {
    /// A new authority, whose certificate is written to `folder/ca.pem`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn new(folder: &Path) -> Result<Self, Fault> {
        let mut params = params(Vec::new(), "Trackgate throw-away CA")?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(refused)?;
        let pem = params.self_signed(&key).map_err(refused)?.pem();
        let file = folder.join("ca.pem");
        write(&file, &pem)?;
        Ok(Self { issuer: Issuer::new(params, key), pem, file })
    }

    /// A certificate for these names, written as `folder/name.pem` and `folder/name.key`.
    ///
    /// # Errors
    /// When the files cannot be written.
    pub fn pair(&self, folder: &Path, name: &str, hosts: &[&str]) -> Result<Pair, Fault> {
        let mut params = params(hosts.iter().map(|host| (*host).to_owned()).collect(), name)?;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().map_err(refused)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(refused)?;
        let pair = Pair { certificate: folder.join(format!("{name}.pem")), key: folder.join(format!("{name}.key")) };
        write(&pair.certificate, certificate.pem())?;
        write_private(&pair.key, &key.serialize_pem())?;
        Ok(pair)
    }

    /// Its certificate, as a file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Its certificate, as text.
    pub fn pem(&self) -> &str {
        &self.pem
    }
}

/// Writes a file that only its owner may read.
///
/// # Errors
/// Those of the file system.
pub fn write_private(path: &Path, contents: &str) -> Result<(), Fault> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;

    let doing = || format!("writing {}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(Fault::io(doing()))?;
    }
    let mut options = std::fs::File::options();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path).and_then(|mut file| file.write_all(contents.as_bytes())).map_err(Fault::io(doing()))
}

fn params(hosts: Vec<String>, name: &str) -> Result<CertificateParams, Fault> {
    let mut params = CertificateParams::new(hosts).map_err(refused)?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = OffsetDateTime::now_utc() - Duration::days(1);
    params.not_after = OffsetDateTime::now_utc() + Duration::days(14);
    Ok(params)
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn refused(fault: rcgen::Error) -> Fault {
    Fault::Unexpected(format!("making a certificate: {fault}"))
}
