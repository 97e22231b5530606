//! How is PostgreSQL put up, with enforced TLS, for one run?
//!
//! From the machine's own `initdb` and `postgres`: a fresh cluster in the temporary folder, reachable on loopback over
//! TLS only (`hostssl`), with a random password. It is removed at the end.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::authority::{Authority, write_private};
use super::keep::{Farewell, Kept};
use super::{Fault, free_port, run};

/// What to say where it is missing.
const HINT: &str =
    "no `initdb` in PATH nor under /usr/lib/postgresql; on Debian and Ubuntu: apt-get install postgresql";
/// PostgreSQL starts in about a second.
const START: Duration = Duration::from_mins(1);

/// A running cluster.
#[derive(Debug)]
pub struct Postgres {
    // Before the folder: what is declared first is dropped first.
    kept: Kept,
    _folder: Folder,
    port: u16,
    password: String,
    ca: PathBuf,
}

/// The cluster's folder, removed at the end.
#[derive(Debug)]
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// PostgreSQL will not run as root: then it runs as somebody else.
#[derive(Debug, Clone, Copy)]
struct Other {
    uid: u32,
    gid: u32,
}

impl Postgres {
    /// Whether the machine has it.
    ///
    /// # Errors
    /// [`Fault::Missing`] where not.
    pub fn programs() -> Result<PathBuf, Fault> {
        let mut places: Vec<PathBuf> =
            std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
        let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| (entry.file_name().to_string_lossy().parse().unwrap_or(0), entry.path().join("bin")))
            .collect();
        versions.sort();
        places.extend(versions.into_iter().rev().map(|(_, place)| place));
        places
            .into_iter()
            .find(|place| place.join("initdb").exists() && place.join("postgres").exists())
            .ok_or(Fault::Missing { part: "PostgreSQL", hint: HINT })
    }

    /// Starts a fresh cluster; its one database, `postgres`, is empty.
    ///
    /// # Errors
    /// When a program is missing, or the cluster does not come up.
    pub fn start(authority: &Authority, log: &Path) -> Result<Self, Fault> {
        let programs = Self::programs()?;
        let other = somebody_else()?;
        let folder = Folder(std::env::temp_dir().join(format!("trackgate-postgres-{}", std::process::id())));
        cleared(&folder.0)?;
        fs::DirBuilder::new().mode(0o700).create(&folder.0).map_err(Fault::io("making PostgreSQL's folder"))?;
        let password = random_hex()?;
        write_private(&folder.0.join("password"), &password)?;
        let pair = authority.pair(&folder.0, "server", &["localhost", "127.0.0.1"])?;
        fs::set_permissions(&pair.key, fs::Permissions::from_mode(0o600)).map_err(Fault::io("closing the key"))?;
        if let Some(other) = other {
            for path in [&folder.0, &folder.0.join("password"), &pair.certificate, &pair.key] {
                chown(path, Some(other.uid), Some(other.gid)).map_err(Fault::io("giving PostgreSQL its folder"))?;
            }
        }
        let data = folder.0.join("data");
        let mut initdb = as_other(other, &programs.join("initdb"), &folder.0);
        initdb.arg("-D").arg(&data).args(["-U", "mlflow", "-A", "scram-sha-256", "--no-sync"]);
        initdb.arg("--pwfile").arg(folder.0.join("password"));
        run(&mut initdb)?;
        let rules = "hostssl   all all    127.0.0.1/32 scram-sha-256\n\
                     hostnossl all all    0.0.0.0/0    reject\n\
                     local     all mlflow              trust\n";
        super::write(&data.join("pg_hba.conf"), rules)?;

        let port = free_port()?;
        let mut postgres = as_other(other, &programs.join("postgres"), &folder.0);
        postgres.arg("-D").arg(&data).args(["-p", &port.to_string(), "-h", "127.0.0.1", "-c", "ssl=on"]);
        postgres.args(["-c", "ssl_min_protocol_version=TLSv1.2", "-c", "fsync=off"]);
        for (key, path) in [
            ("unix_socket_directories", folder.0.as_path()),
            ("ssl_cert_file", pair.certificate.as_path()),
            ("ssl_key_file", pair.key.as_path()),
        ] {
            postgres.args(["-c", &format!("{key}={}", path.display())]);
        }
        // INT is PostgreSQL's fast shutdown.
        let mut kept =
            Kept::start_with("PostgreSQL", &postgres, log, Farewell { signal: "INT", ..Farewell::default() })?;
        // Its own words: a connection is taken, and refused, before it is ready.
        kept.wait(START, || fs::read_to_string(log).is_ok_and(|log| log.contains("ready to accept connections")))?;
        Ok(Self { kept, _folder: folder, port, password, ca: authority.file().to_owned() })
    }

    /// The address for MLflow. The driver is named, as `postgresql://` alone makes `SQLAlchemy` 2.1 look for another.
    pub fn uri(&self) -> String {
        self.uri_with_mode("verify-full")
    }

    /// The same with another `sslmode`, to see that plain text is refused.
    pub fn uri_with_mode(&self, mode: &str) -> String {
        let Self { port, password, ca, .. } = self;
        let ca = percent_encoding::utf8_percent_encode(&ca.to_string_lossy(), percent_encoding::NON_ALPHANUMERIC)
            .to_string();
        format!("postgresql+psycopg2://mlflow:{password}@localhost:{port}/postgres?sslmode={mode}&sslrootcert={ca}")
    }

    /// The process.
    pub fn kept(&mut self) -> &mut Kept {
        &mut self.kept
    }
}

fn cleared(folder: &Path) -> Result<(), Fault> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(Fault::io(format!("clearing {}", folder.display())))?;
    }
    Ok(())
}

/// Nobody, unless we are root: then `postgres`, or else `nobody`.
fn somebody_else() -> Result<Option<Other>, Fault> {
    if run(Command::new("id").arg("-u"))?.trim() != "0" {
        return Ok(None);
    }
    let id =
        |what: &str, who: &str| -> Option<u32> { run(Command::new("id").args([what, who])).ok()?.trim().parse().ok() };
    let found =
        ["postgres", "nobody"].into_iter().find_map(|who| Some(Other { uid: id("-u", who)?, gid: id("-g", who)? }));
    match found {
        Some(other) => Ok(Some(other)),
        None => Err(Fault::Missing {
            part: "a user for PostgreSQL",
            hint: "it will not run as root, and there is no `postgres` or `nobody`",
        }),
    }
}

fn as_other(other: Option<Other>, program: &Path, folder: &Path) -> Command {
    let mut command = match other {
        None => Command::new(program),
        Some(Other { uid, gid }) => {
            let mut command = Command::new("setpriv");
            command.args([format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".to_owned()]);
            command.arg(program);
            command
        }
    };
    // Where we stand may be closed to that user.
    command.current_dir(folder).env("LC_ALL", "C");
    command
}

fn random_hex() -> Result<String, Fault> {
    let mut bytes = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Fault::Unexpected("no randomness".to_owned()))?;
    Ok(bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    }))
}
