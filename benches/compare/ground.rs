//! What do all contestants stand on?

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::flags::Flags;
use crate::issuer;
use crate::material::Material;
use crate::nginx;
use crate::process::Server;

/// The host name that clients use, in the certificate and in `Host`.
pub(crate) const HOST: &str = "localhost";
/// The call that is measured: one object, no body, no rewriting of the answer.
pub(crate) const CALL: &str = "/api/2.0/mlflow/experiments/get?experiment_id=1";
/// The same call on an object for which the user holds nothing.
pub(crate) const FORBIDDEN_CALL: &str = "/api/2.0/mlflow/experiments/get?experiment_id=2";

/// Files, keys, an issuer and an upstream, alike for all.
pub(crate) struct Ground {
    pub(crate) material: Material,
    pub(crate) issuer: String,
    /// A valid 1 KiB bearer token.
    pub(crate) token: String,
    /// What the upstream answers to everything.
    pub(crate) answer: String,
    pub(crate) upstream_port: u16,
    /// How many workers or threads each server gets.
    pub(crate) workers: usize,
    pub(crate) server_cores: Option<String>,
    /// Held for its end: dropping it ends the upstream.
    _upstream: Server,
    // Last, so that the files go after everything that uses them.
    dir: TemporaryDir,
}

impl Ground {
    pub(crate) fn prepare(flags: &Flags, runtime: &tokio::runtime::Runtime) -> anyhow::Result<Self> {
        let dir = TemporaryDir::make()?;
        let material = Material::make(&dir.0)?;
        let issuer = issuer::start(&material, runtime)?;
        let token = material.token(&issuer, 0)?;
        let answer = experiment();
        let all = std::thread::available_parallelism()?.get();
        let workers = flags.server_cores.as_deref().map_or(Ok(all), count_cores)?;
        let (upstream, upstream_port) = nginx::upstream(&answer, all, flags.load_cores.as_deref(), &dir.0)?;
        Ok(Self {
            material,
            issuer,
            token,
            answer,
            upstream_port,
            workers,
            server_cores: flags.server_cores.clone(),
            _upstream: upstream,
            dir,
        })
    }

    /// A directory of its own for one server.
    pub(crate) fn room(&self, name: &str) -> anyhow::Result<PathBuf> {
        room(&self.dir.0, name)
    }
}

/// A subdirectory that a server may use as it likes, also after it gave up being root. Its name needs no quotes.
pub(crate) fn room(dir: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let room = dir.join(name.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
    fs::create_dir(&room).with_context(|| format!("cannot make {}", room.display()))?;
    fs::set_permissions(&room, fs::Permissions::from_mode(0o777))?;
    Ok(room)
}

/// An answer to `experiments/get` of 1 KiB, as MLflow writes it.
fn experiment() -> String {
    let with_note = |note: &str| {
        serde_json::json!({ "experiment": {
            "experiment_id": "1", "name": "iris", "artifact_location": "mlflow-artifacts:/1",
            "lifecycle_stage": "active", "last_update_time": 1_760_000_000_000_u64, "creation_time": 1_760_000_000_000_u64,
            "tags": [{ "key": "mlflow.note.content", "value": note }],
        } })
        .to_string()
    };
    with_note(&"n".repeat(1024 - with_note("").len()))
}

/// How many cores a list as `0-1,4` names.
fn count_cores(list: &str) -> anyhow::Result<usize> {
    let mut count = 0;
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) =
            (first.parse().context("not a list of cores")?, last.parse().context("not a list of cores")?);
        count += last.checked_sub(first).context("not a list of cores")? + 1;
    }
    Ok(count)
}

struct TemporaryDir(PathBuf);

impl TemporaryDir {
    fn make() -> anyhow::Result<Self> {
        let dir = std::env::temp_dir().join(format!("trackgate-compare-{}", std::process::id()));
        fs::create_dir(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        // Servers started by root give it up for another user, who must get to the certificates.
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))?;
        Ok(Self(dir))
    }
}

impl Drop for TemporaryDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
