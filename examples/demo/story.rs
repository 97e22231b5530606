//! What does the demo do, in order?

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use super::stage::authority::{Authority, write_private};
use super::stage::gate::{Configured, Gate, Program, Settings, public_url, redirect_uri};
use super::stage::gcs::Emulator;
use super::stage::idp::accounts::{ACCOUNTS, ADMIN, Account, OWNER, READER, TRAINER};
use super::stage::idp::{Provider, Settings as IdpSettings};
use super::stage::mlflow::{Artifacts, Manner, Rows, Server};
use super::stage::postgres::Postgres;
use super::stage::python::Environment;
use super::stage::web::Web;
use super::stage::{Fault, go_on, ignored_folder, must_be_free, repository, run, step, took};
use super::{Args, transcript};

/// Trackgate's name at the identity provider.
const CLIENT: &str = "trackgate-demo";
/// What the service account trains in.
pub(super) const EXPERIMENT: &str = "iris";
/// What it registers.
pub(super) const MODEL: &str = "iris-classifier";
/// What only the administrator sees.
pub(super) const HIDDEN: &str = "payroll-forecast";
/// How long the demo's tokens are good.
const TOKEN_LIFE: Duration = Duration::from_hours(12);

/// Everything that stands. What is declared first ends first.
pub(super) struct Scene {
    pub(super) gate: Gate,
    server: Server,
    emulator: Option<Emulator>,
    postgres: Option<Postgres>,
    pub(super) provider: Provider,
    pub(super) environment: Environment,
    pub(super) authority: Authority,
    pub(super) folder: PathBuf,
    pub(super) web: Web,
}

/// Sets the stage, tells the story, stays.
pub(super) fn tell(args: &Args) -> Result<(), Fault> {
    let begun = Instant::now();
    println!("Setting the stage; everything listens on loopback only.");
    let mut scene = Scene::set(args)?;
    scene.train()?;
    let experiment = scene.share()?;
    println!("The stage stands after {}.\n", took(begun.elapsed()));
    transcript::play(&scene, &experiment)?;
    transcript::directions(&scene);
    if args.once {
        return Ok(());
    }
    println!("\nCtrl-C ends all of it; the next start begins anew.");
    loop {
        go_on()?;
        scene.must_stand()?;
        std::thread::sleep(Duration::from_millis(100));
    }
}

impl Scene {
    fn set(args: &Args) -> Result<Self, Fault> {
        must_be_free(args.port, "--port")?;
        must_be_free(args.idp_port, "--idp-port")?;
        if args.postgres {
            Postgres::programs()?;
        }
        let environment = Environment::with_mlflow()?;
        let emulating = if args.gcs { Some(Environment::with_emulator()?) } else { None };
        let folder = fresh_folder(args.folder.clone())?;
        let authority = Authority::new(&folder)?;
        let postgres = if args.postgres {
            let log = folder.join("postgres.log");
            Some(step("PostgreSQL, over TLS only", || Postgres::start(&authority, &log))?)
        } else {
            None
        };
        let emulator = match &emulating {
            Some(python) => {
                let log = folder.join("gcs-emulator.log");
                Some(step("Cloud Storage emulator", || Emulator::start(python, &log))?)
            }
            None => None,
        };
        let rows = postgres.as_ref().map_or(Rows::Sqlite, Rows::Postgres);
        let artifacts = emulator.as_ref().map_or(Artifacts::Folder, Artifacts::Bucket);
        // It takes longest: the rest is put up while it starts.
        let mut server = Server::start(&environment, &folder.join("mlflow"), &rows, &artifacts, Manner::default())?;
        let settings = IdpSettings {
            port: args.idp_port,
            client_id: CLIENT.to_owned(),
            client_secret: "demo-secret".to_owned(),
            redirect_uri: redirect_uri(args.port),
            after_logout: public_url(args.port),
        };
        let provider = step(format!("identity provider on https://localhost:{}", args.idp_port), || {
            Provider::start(settings, &authority.pair(&folder, "idp", &["localhost"])?)
        })?;
        let configured = step("Trackgate's configuration, and who may create: the service account, the owner", || {
            let configured = configure(args, &folder, &authority, &server, &provider)?;
            for who in [&TRAINER, &OWNER] {
                configured.tell(&["grant", "add", &user(who), "workspace", "*", "USE"])?;
            }
            Ok(configured)
        })?;
        step(format!("mlflow server on {} (it imports for 10 to 60 s)", server.url()), || server.wait())?;
        let gate = step(format!("Trackgate on {}", public_url(args.port)), || configured.start())?;
        let web = Web::trusting(authority.pem())?;
        Ok(Self { gate, server, emulator, postgres, provider, environment, authority, folder, web })
    }

    /// An ID token, as the provider gives it to a program.
    pub(super) fn token(&self, account: &Account) -> Result<String, Fault> {
        self.provider.mint(account, &self.gate.url(), TOKEN_LIFE)
    }

    /// Where an account's token lies, for scripts of one's own.
    pub(super) fn token_file(&self, account: &Account) -> PathBuf {
        self.folder.join("tokens").join(account.key)
    }

    /// The training, as the service account, by MLflow's own client.
    fn train(&self) -> Result<(), Fault> {
        for account in &ACCOUNTS {
            write_private(&self.token_file(account), &self.token(account)?)?;
        }
        let told = step(format!("training on the iris data as {}", TRAINER.email), || {
            let mut script = Command::new(self.environment.python());
            script
                .arg(repository().join("examples/demo/train.py"))
                .args(["--experiment", EXPERIMENT, "--model", MODEL])
                .env("MLFLOW_TRACKING_URI", self.gate.url())
                .env("MLFLOW_TRACKING_TOKEN", self.token(&TRAINER)?)
                .env("MLFLOW_TRACKING_SERVER_CERT_PATH", self.authority.file())
                .env("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
                .env("MLFLOW_TELEMETRY_DISABLED", "1")
                .env("GIT_PYTHON_REFRESH", "quiet");
            for name in ["MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_REGISTRY_URI"] {
                script.env_remove(name);
            }
            run(&mut script)
        })?;
        if let Some(last) = told.lines().rfind(|line| line.starts_with("run ")) {
            println!("      {last}");
        }
        Ok(())
    }

    /// What the service account made is given to the owner and shown to the reader; something else stays hidden.
    fn share(&self) -> Result<String, Fault> {
        step("grants: the owner manages what was trained, the reader reads it", || {
            let api = |path: &str| format!("{}/api/2.0/mlflow/{path}", self.gate.url());
            let found = self
                .web
                .get(&api(&format!("experiments/get-by-name?experiment_name={EXPERIMENT}")), &self.token(&TRAINER)?)?;
            let found = found.json();
            let id = found["experiment"]["experiment_id"].as_str().map(ToOwned::to_owned);
            let id = id.ok_or_else(|| Fault::Unexpected(format!("the trained experiment is not there: {found}")))?;
            for (who, permission) in [(OWNER, "MANAGE"), (READER, "READ")] {
                for (kind, name) in [("experiment", id.as_str()), ("registered_model", MODEL)] {
                    self.gate.tell(&["grant", "add", &user(&who), kind, name, permission])?;
                }
            }
            self.web.post(&api("experiments/create"), &self.token(&ADMIN)?, &json!({ "name": HIDDEN }))?;
            Ok(id)
        })
    }

    /// None of the servers may end before we do.
    fn must_stand(&mut self) -> Result<(), Fault> {
        let kept = [
            Some(self.gate.kept()),
            Some(self.server.kept()),
            self.emulator.as_mut().map(Emulator::kept),
            self.postgres.as_mut().map(Postgres::kept),
        ];
        for kept in kept.into_iter().flatten() {
            kept.must_stand()?;
        }
        Ok(())
    }
}

fn configure(
    args: &Args,
    folder: &Path,
    authority: &Authority,
    server: &Server,
    provider: &Provider,
) -> Result<Configured, Fault> {
    let itself = std::env::current_exe().map_err(Fault::io("looking for this program"))?;
    Gate::configured(
        Program { file: itself, first: vec![super::AS_TRACKGATE.to_owned()] },
        &Settings {
            folder,
            port: args.port,
            pair: &authority.pair(folder, "trackgate", &["localhost", "127.0.0.1"])?,
            upstream: server.url(),
            static_prefix: "",
            issuer: provider.issuer(),
            ca: authority.file(),
            client_id: CLIENT,
            client_secret: "demo-secret",
            workspaces: false,
            menu_entry: true,
            admins: &[ADMIN.email],
        },
    )
}

/// An account as grants name it.
fn user(account: &Account) -> String {
    format!("user:{}", account.email)
}

/// The demo's own folder, empty.
fn fresh_folder(chosen: Option<PathBuf>) -> Result<PathBuf, Fault> {
    let folder = chosen.unwrap_or_else(|| ignored_folder().join("demo"));
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(Fault::io(format!("clearing {}", folder.display())))?;
    }
    std::fs::create_dir_all(&folder).map_err(Fault::io(format!("making {}", folder.display())))?;
    Ok(folder)
}
