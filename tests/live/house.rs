//! What do the tests share?

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::stage::authority::Authority;
use crate::stage::gate::{Gate, Program, Settings, public_url, redirect_uri};
use crate::stage::idp::accounts::{ACCOUNTS, ADMIN, Account, OWNER};
use crate::stage::idp::{Provider, Settings as IdpSettings};
use crate::stage::mlflow::{Artifacts, Manner, Rows, Server};
use crate::stage::python::Environment;
use crate::stage::web::Web;
use crate::stage::{Fault, free_port, output, tail};

/// The house in which MLflow's pages show a way to Trackgate's own.
pub(crate) const WITH_ENTRY: &str = "entry";
/// The house whose gate makes traces.
const TRACED: &str = "newest";
/// A token's life: longer than any test.
const LIFE: Duration = Duration::from_hours(2);

/// MLflow, an identity provider and Trackgate in front.
pub(crate) struct House {
    pub(crate) environment: Environment,
    pub(crate) folder: PathBuf,
    pub(crate) authority: Authority,
    pub(crate) provider: Provider,
    pub(crate) gate: Gate,
    pub(crate) web: Web,
    static_prefix: String,
    server: Server,
}

/// The one that most tests share: SQLite, and a folder of artifacts. It ends with this process.
pub(crate) fn shared() -> &'static House {
    // What failed once is not tried again by every test.
    static SHARED: OnceLock<Result<House, String>> = OnceLock::new();
    let built = SHARED.get_or_init(|| House::build("shared", House::simple).map_err(|fault| fault.to_string()));
    match built {
        Ok(house) => house,
        Err(fault) => panic!("{fault}"),
    }
}

/// The one with the newest MLflow, which the matrix of versions and the tests of what came with it share.
pub(crate) fn newest() -> &'static House {
    static NEWEST: OnceLock<Result<House, String>> = OnceLock::new();
    let built = NEWEST.get_or_init(|| {
        let build = || House::build_on(TRACED, Environment::with_version(crate::matrix::NEWEST)?, "", House::simple);
        build().map_err(|fault| fault.to_string())
    });
    match built {
        Ok(house) => house,
        Err(fault) => panic!("{fault}"),
    }
}

/// The folder of this process's tests; those of earlier ones are cleared away.
pub(crate) fn folder(name: &str) -> PathBuf {
    static CLEARED: OnceLock<()> = OnceLock::new();
    let all = Path::new(env!("CARGO_TARGET_TMPDIR"));
    CLEARED.get_or_init(|| {
        for entry in fs::read_dir(all).into_iter().flatten().flatten() {
            let former = entry.file_name().to_string_lossy().strip_prefix("live-").map(ToOwned::to_owned);
            if former.is_some_and(|pid| Path::new("/proc/self").exists() && !Path::new("/proc").join(pid).exists()) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    });
    let folder = all.join(format!("live-{}", std::process::id())).join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

impl House {
    /// SQLite, and a folder of artifacts.
    pub(crate) fn simple<'a>(_: &Authority, _: &Path) -> (Rows<'a>, Artifacts<'a>) {
        (Rows::Sqlite, Artifacts::Folder)
    }

    /// Starts everything; `back` says what the server stands on.
    pub(crate) fn build<'a>(
        name: &str,
        back: impl FnOnce(&Authority, &Path) -> (Rows<'a>, Artifacts<'a>),
    ) -> Result<Self, Fault> {
        Self::build_with(name, back, false)
    }

    /// The same; `workspaces` says whether the server has them.
    pub(crate) fn build_with<'a>(
        name: &str,
        back: impl FnOnce(&Authority, &Path) -> (Rows<'a>, Artifacts<'a>),
        workspaces: bool,
    ) -> Result<Self, Fault> {
        let manner = Manner { workspaces, static_prefix: "", near_providers: true };
        Self::build_of(name, Environment::with_mlflow()?, manner, workspaces, back)
    }

    /// A server with workspaces before which Trackgate stands as if there were none.
    pub(crate) fn build_unaware<'a>(
        name: &str,
        back: impl FnOnce(&Authority, &Path) -> (Rows<'a>, Artifacts<'a>),
    ) -> Result<Self, Fault> {
        let manner = Manner { workspaces: true, static_prefix: "", near_providers: false };
        Self::build_of(name, Environment::with_mlflow()?, manner, false, back)
    }

    /// The same with the MLflow of an environment, below a static prefix unless that is empty.
    pub(crate) fn build_on<'a>(
        name: &str,
        environment: Environment,
        static_prefix: &str,
        back: impl FnOnce(&Authority, &Path) -> (Rows<'a>, Artifacts<'a>),
    ) -> Result<Self, Fault> {
        let manner = Manner { workspaces: false, static_prefix, near_providers: false };
        Self::build_of(name, environment, manner, false, back)
    }

    fn build_of<'a>(
        name: &str,
        environment: Environment,
        manner: Manner<'_>,
        workspaces: bool,
        back: impl FnOnce(&Authority, &Path) -> (Rows<'a>, Artifacts<'a>),
    ) -> Result<Self, Fault> {
        let folder = folder(name);
        let authority = Authority::new(&folder)?;
        let (rows, artifacts) = back(&authority, &folder);
        let Manner { static_prefix, .. } = manner;
        let mut server = Server::start(&environment, &folder.join("mlflow"), &rows, &artifacts, manner)?;
        let port = free_port()?;
        let provider = Provider::start(
            IdpSettings {
                port: 0,
                client_id: "trackgate-test".to_owned(),
                client_secret: "a test secret".to_owned(),
                redirect_uri: redirect_uri(port),
                after_logout: public_url(port),
            },
            &authority.pair(&folder, "idp", &["localhost"])?,
        )?;
        let configured = Gate::configured(
            Program { file: PathBuf::from(env!("CARGO_BIN_EXE_trackgate")), first: Vec::new() },
            &Settings {
                folder: &folder,
                port,
                pair: &authority.pair(&folder, "trackgate", &["localhost"])?,
                upstream: server.url(),
                static_prefix,
                issuer: provider.issuer(),
                ca: authority.file(),
                client_id: "trackgate-test",
                client_secret: "a test secret",
                workspaces,
                admins: &[ADMIN.email],
                menu_entry: name == WITH_ENTRY,
            },
        )?;
        if name == TRACED {
            // Nobody keeps them; MLflow is told of each trace all the same.
            let mut config = fs::OpenOptions::new().append(true).open(folder.join("trackgate.toml")).unwrap();
            writeln!(config, "[trace]\notlp_endpoint = \"http://127.0.0.1:9\"\nsample = 1").unwrap();
        }
        for creator in ["owner@demo.example", "trainer@demo.example"] {
            configured.tell(&["grant", "add", &format!("user:{creator}"), "workspace", "*", "USE"])?;
        }
        server.wait()?;
        let gate = configured.start()?;
        let web = Web::trusting(authority.pem())?;
        let static_prefix = static_prefix.to_owned();
        Ok(Self { environment, folder, authority, provider, gate, web, static_prefix, server })
    }

    /// Where MLflow itself listens.
    pub(crate) fn direct(&self) -> String {
        self.server.url()
    }

    /// A token of one of the accounts.
    pub(crate) fn token(&self, account: &Account) -> String {
        self.provider.mint(account, &self.gate.url(), LIFE).unwrap()
    }

    /// A command that runs one of `tests/live/python` against the gate, with everybody's tokens at hand.
    pub(crate) fn script(&self, name: &str) -> Command {
        self.script_by(&self.environment, name)
    }

    /// The same by the client of another version.
    pub(crate) fn script_by(&self, client: &Environment, name: &str) -> Command {
        let mut command = Command::new(client.python());
        command
            .arg(crate::stage::repository().join("tests/live/python").join(name))
            .current_dir(&self.folder)
            .env("MLFLOW_TRACKING_URI", format!("{}{}", self.gate.url(), self.static_prefix))
            .env("MLFLOW_TRACKING_SERVER_CERT_PATH", self.authority.file())
            .env("MLFLOW_TELEMETRY_DISABLED", "1")
            .env("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
            .env("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
            .env("GIT_PYTHON_REFRESH", "quiet")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("LIVE_TRACKGATE", env!("CARGO_BIN_EXE_trackgate"))
            .env("LIVE_CONFIG", self.gate.config())
            .env("LIVE_TOKEN_EXPIRED", self.provider.mint_expired(&OWNER, &self.gate.url()).unwrap())
            .env("LIVE_TOKEN_FOREIGN", self.provider.mint(&OWNER, "https://elsewhere.example", LIFE).unwrap());
        for name in ["MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "NETRC"] {
            command.env_remove(name);
        }
        for account in &ACCOUNTS {
            command.env(format!("LIVE_TOKEN_{}", account.key.to_uppercase()), self.token(account));
        }
        command
    }

    /// Runs a script; whatever it finds wrong is the test's failure.
    pub(crate) fn play(&self, name: &str) -> String {
        self.play_by(&self.environment, name)
    }

    /// The same by the client of another version.
    pub(crate) fn play_by(&self, client: &Environment, name: &str) -> String {
        let begun = Instant::now();
        let done = output(&mut self.script_by(client, name)).unwrap();
        let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "{name} after {:?}:\n{out}{err}", begun.elapsed());
        out.into_owned()
    }

    /// The audit log, a record a line, once `wanted` of its records are there.
    pub(crate) fn audit(&self, wanted: impl Fn(&serde_json::Value) -> bool) -> Vec<serde_json::Value> {
        let begun = Instant::now();
        loop {
            let text = fs::read_to_string(self.gate.audit()).unwrap();
            let found: Vec<serde_json::Value> = text
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .filter(|record| wanted(record))
                .collect();
            if !found.is_empty() {
                return found;
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "no such record; the last are: {}", tail(&text));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// What a part gave, or `None` when it is missing and may be: then the test says so, past the capture, and ends.
pub(crate) fn part<T>(test: &str, found: Result<T, Fault>) -> Option<T> {
    match found {
        Ok(found) => Some(found),
        Err(fault @ Fault::Missing { .. }) => {
            assert!(std::env::var_os("TRACKGATE_REQUIRE_ALL").is_none_or(|all| all != "1"), "{test}: {fault}");
            let _ = writeln!(std::io::stderr(), "skipped: {test}: {fault}");
            None
        }
        Err(fault) => panic!("{test}: {fault}"),
    }
}
