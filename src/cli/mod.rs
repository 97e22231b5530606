//! Which command was given, and how did it end?
//!
//! Commands talk to the database directly; a running server sees what they write within a second. What a command says
//! goes to standard output, what is wrong to standard error.
//!
//! Exit codes: 0 done; 1 it failed, and a sentence says why; 2 the command line is wrong; 3 the configuration has
//! faults; 4 `explain` says no; 5 `check` or `doctor` found something; 6 a login is needed; 7 the server that one would sign
//! in at cannot be reached. `policy plan` is like other tools of its kind: 2 says
//! that there is a difference.

mod accounts;
mod alone;
mod certificates;
mod check;
mod client;
mod completions;
mod connect;
mod doctor;
mod explain;
mod explain_token;
mod given;
mod grants;
mod import;
mod init;
mod orphans;
mod outside;
mod people;
mod policy;
mod readings;
mod reload;
mod roles;
mod routes;
mod rules;
mod say;
pub mod serve;
mod sessions;
mod store;
mod tokens;
mod whom;

use std::ffi::OsString;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::clock::Clock;
use crate::config::{Config, Faults};
use crate::serve::{Passed, Signals};
use crate::store::{By, Engine, Store, outdated};
use crate::telemetry;

/// An authenticating, per-object access layer in front of an unmodified MLflow tracking server.
#[derive(Debug, Parser)]
#[command(name = "trackgate", version, about, propagate_version = true, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong command line, 3 faults in the configuration, 4 `explain` \
                        says no, 5 `check` or `doctor` found something, 6 not signed in (`login`), 7 the server cannot be \
                        reached (`login`, `logout`, `whoami`, `token print`); of `policy plan` 2 says that there is a difference."
)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
    /// The configuration file.
    #[arg(long, short, global = true, env = "TRACKGATE_CONFIG", default_value = "/etc/trackgate/trackgate.toml")]
    config: PathBuf,
    /// Who the log of changes says it was: the name of the host's account.
    #[arg(long, global = true, hide = true, env = "SUDO_USER")]
    sudo_user: Option<String>,
    /// The same, without `sudo`.
    #[arg(long, global = true, hide = true, env = "USER")]
    host_user: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Open the gate. SIGTERM and SIGINT close it in order, SIGHUP reads the configuration and the certificate again
    /// and reopens the audit log.
    Serve,
    /// Write a configuration, by flags or by a few questions on a terminal.
    Init(Box<init::Init>),
    /// Read the configuration and report every fault; try certificate, database, issuers and MLflow.
    Check(check::Check),
    /// Say whether an MLflow server gets on with this gate: which of its routes the table lacks, or all that `check` tries, what has
    /// no owner, and grants on what no longer exists. With `--url`, look at a server from outside.
    Doctor(Box<doctor::Doctor>),
    /// The configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// People and service accounts.
    #[command(subcommand)]
    User(people::UserCommand),
    /// Service accounts: users for programs, used with tokens.
    #[command(subcommand)]
    Account(accounts::AccountCommand),
    /// Sign in at a server from this machine, with a browser or a code.
    Login(client::Login),
    /// Sign out: the login is revoked at the server and forgotten here.
    Logout(client::Logout),
    /// Ask a server who one is to it, how that is proven, until when, and where the credential comes from.
    #[command(name = "whoami")]
    WhoAmI(client::WhoAmI),
    /// An agent on this machine: programs set `MLFLOW_TRACKING_URI` to it and need no credential.
    Connect(Box<connect::Connect>),
    /// Access tokens of people and service accounts.
    #[command(subcommand)]
    Token(tokens::TokenCommand),
    /// Groups of people.
    #[command(subcommand)]
    Group(people::GroupCommand),
    /// Who holds what on which objects.
    #[command(subcommand)]
    Grant(grants::GrantCommand),
    /// Bundles of grants, for people and groups.
    #[command(subcommand)]
    Role(roles::RoleCommand),
    /// Who may create what, by name.
    #[command(subcommand)]
    Rule(rules::RuleCommand),
    /// The policy as files: roles, groups, grants, rules of who may create what.
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// The database itself.
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// Take over the permissions of MLflow's basic-auth or of mlflow-oidc-auth, in one transaction.
    Import(import::ImportCommand),
    /// Browser sessions.
    #[command(subcommand)]
    Session(sessions::SessionCommand),
    /// Say what a request would need, and which grant decides.
    Explain(explain::Explain),
    /// Say how the gate would judge a token, step by step. Ends with 0 where it would be accepted, with 1 where not. The token
    /// itself is never printed.
    ExplainToken(explain_token::ExplainToken),
    /// Print the table of routes: what each call needs, how its answer is treated, what follows.
    Routes(routes::Routes),
    /// Print what lets a shell complete words: `. <(trackgate completions bash)`. The package installs it.
    Completions(completions::Completions),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print the settings in force. There are no secrets in it.
    Print,
}

/// How a list is printed.
#[derive(Debug, Clone, Copy, Args)]
struct Form {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Well,
    SaidNo,
    FoundFaults,
    Differs,
    /// As the command that was run ended.
    Like(u8),
    Refused,
}

/// Runs one command.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    // What `policy plan` says by 2 is something else.
    let planning = ["policy", "plan"].iter().all(|word| arguments.iter().any(|argument| argument == word));
    let parsed = without_empty_variables(CommandLine::command()).try_get_matches_from(arguments);
    let line = match parsed.and_then(|matches| CommandLine::from_arg_matches(&matches)) {
        Ok(line) => line,
        Err(error) => {
            // Help and version come this way too, with code 0.
            let _ = error.print();
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            return ExitCode::from(if planning { code.min(1) } else { code });
        }
    };
    match run(line) {
        Ok(Ended::Well) => ExitCode::SUCCESS,
        Ok(Ended::Refused) => ExitCode::from(1),
        Ok(Ended::SaidNo) => ExitCode::from(4),
        Ok(Ended::FoundFaults) => ExitCode::from(5),
        Ok(Ended::Differs) => ExitCode::from(2),
        Ok(Ended::Like(code)) => ExitCode::from(code),
        Err(error) => {
            eprintln!("trackgate: {}", sentence(&error));
            ExitCode::from(if error.is::<Faults>() { 3 } else { client::code(&error).unwrap_or(1) })
        }
    }
}

/// A variable that is set to nothing is not set: so one is taken away for a single command (`TRACKGATE_AUDIENCE= trackgate ...`).
/// Clap alone would take the empty word for what was given.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|argument| {
        let empty = argument.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
        if empty { argument.env(clap::builder::Resettable::Reset) } else { argument }
    });
    command.mut_subcommands(without_empty_variables)
}

/// Chooses aws-lc-rs for TLS and for tokens. Both libraries would panic at first use if none, or two, were compiled in
/// and none was chosen. Called once at the top of a process; further calls change nothing.
pub fn install_crypto() {
    // An error says that a provider is installed already: this one, as no other is compiled in.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
}

fn open_gate(file: &Path) -> anyhow::Result<Ended> {
    // First: there are no threads yet.
    let ended = Passed::from_environment().map_err(Into::into).and_then(|passed| keep_gate(file, passed));
    if let Err(error) = &ended {
        crate::serve::tell_failure(&sentence(error));
    }
    ended
}

fn keep_gate(file: &Path, passed: Passed) -> anyhow::Result<Ended> {
    let mut config = Config::load(file)?;
    config.serve.passed = passed;
    block_on(async {
        let _written = telemetry::begin_beside(&config.log, Clock::System)?;
        let mut signals = Signals::listen().context("signals cannot be heard")?;
        let house = tokio::select! {
            house = Box::pin(serve::assemble(config, Clock::System)) => house.context("cannot open the gate")?,
            () = signals.end() => {
                tracing::info!("asked to end before the gate was open");
                return Ok(Ended::Well);
            }
        };
        house
            .run(file, &mut signals, |addresses| tracing::info!("{addresses}"))
            .await
            .context("the gate did not open, or did not close in order")?;
        Ok(Ended::Well)
    })
}

/// The error and its causes in one line; many errors name their cause already.
fn sentence(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn run(line: CommandLine) -> anyhow::Result<Ended> {
    let operator = line.sudo_user.or(line.host_user).unwrap_or_else(|| "unknown".to_owned());
    // It becomes a part of a line that people read.
    let by = By::Operator(operator.chars().filter(char::is_ascii_graphic).take(64).collect());
    match line.command {
        Command::Serve => open_gate(&line.config),
        Command::Routes(routes) => routes.run(),
        Command::Completions(completions) => completions.run(CommandLine::command()),
        Command::Init(init) => init.run(&line.config),
        Command::Check(check) => block_on(check.run(&line.config)),
        Command::Doctor(doctor) => block_on(doctor.run(&line.config)),
        Command::Config(ConfigCommand::Print) => {
            say::out(&Config::read(&line.config)?.print())?;
            Ok(Ended::Well)
        }
        Command::User(command) => with_store(&line.config, async |store| command.run(store, by).await),
        Command::Account(command) => with_store(&line.config, async |store| command.run(store, by).await),
        Command::Login(login) => block_on(login.run()).map(|()| Ended::Well),
        Command::Logout(logout) => block_on(logout.run()).map(|()| Ended::Well),
        Command::WhoAmI(who) => block_on(who.run()).map(|()| Ended::Well),
        Command::Token(tokens::TokenCommand::Print(print)) => block_on(print.run()).map(|()| Ended::Well),
        Command::Token(tokens::TokenCommand::Here(command)) => {
            with_store_to_say(&line.config, async |store, config| {
                command.run(store, config, by).await.map(|()| Ended::Well)
            })
        }
        Command::Connect(connect) => block_on(connect.run()),
        Command::Group(command) => with_store(&line.config, async |store| command.run(store, by).await),
        Command::Grant(command) => with_store_to_say(&line.config, async |store, config| {
            command.run(store, by, whom::Google::of(config)).await.map(|()| Ended::Well)
        }),
        Command::Role(command) => with_store_to_say(&line.config, async |store, config| {
            command.run(store, by, whom::Google::of(config)).await.map(|()| Ended::Well)
        }),
        Command::Rule(command) => with_store_to_say(&line.config, async |store, config| {
            command.run(store, by, whom::Google::of(config)).await.map(|()| Ended::Well)
        }),
        Command::Policy(command) => {
            with_store_to_say(&line.config, async |store, config| command.run(store, &by, config).await)
        }
        Command::Store(command) => block_on(command.run(&line.config, by)),
        Command::Import(command) => with_store(&line.config, async |store| command.run(store, by).await),
        Command::Session(command) => with_store(&line.config, async |store| command.run(store, by).await),
        Command::ExplainToken(explain) => {
            with_store_to_say(&line.config, async |store, config| explain.run(store, config).await)
        }
        Command::Explain(explain) => block_on(explain.run(&line.config)),
    }
}

fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("the runtime cannot start")?;
    let done = runtime.block_on(work);
    // The C library may look for a name for many seconds where no server answers (musl: five for each try), and cannot be
    // told to stop. Whatever counts was waited for above.
    runtime.shutdown_background();
    done
}

/// Runs a command that needs the database alone.
fn with_store(config: &Path, work: impl AsyncFnOnce(&Store) -> anyhow::Result<()>) -> anyhow::Result<Ended> {
    with_store_to_say(config, async |store, _| work(store).await.map(|()| Ended::Well))
}

/// The same for one that ends in several ways.
fn with_store_to_say(
    config: &Path,
    work: impl AsyncFnOnce(&Store, &Config) -> anyhow::Result<Ended>,
) -> anyhow::Result<Ended> {
    let config = Config::read(config)?;
    block_on(async {
        let store = open_store(&config).await?;
        let result = work(&store, &config).await;
        store.close().await;
        result
    })
}

async fn open_store(config: &Config) -> anyhow::Result<Store> {
    // A command says what is wrong in its own words; the log is for what nobody asked about.
    let log = telemetry::Settings { level: "error".to_owned(), ..config.log.clone() };
    let _ = telemetry::begin(&log, Clock::System);
    // Whoever lists users does not mean to shut out the gates of before, which serve on.
    if let Ok(Some((old, new))) = outdated(&config.store).await {
        anyhow::bail!(
            "the database is of schema {old}, and this program is for {new}: `trackgate serve` brings it there, and \
             Trackgate of before cannot use it then. Back it up first, or use the program that serves"
        );
    }
    Store::open(&config.store, Clock::System).await.with_context(|| match &config.store.engine {
        Engine::Sqlite => format!("the database in `{}` cannot be opened", config.store.state_dir.display()),
        Engine::Postgres(database) => format!("the database `{database}` cannot be opened"),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use super::block_on;

    #[test]
    fn what_hangs_in_the_c_library_holds_no_command_up() {
        let (free, hanging) = mpsc::channel::<()>();
        let begun = Instant::now();
        block_on(async {
            let (started, start) = tokio::sync::oneshot::channel();
            tokio::task::spawn_blocking(move || {
                let _ = started.send(());
                let _ = hanging.recv_timeout(Duration::from_mins(1));
            });
            start.await.map_err(Into::into)
        })
        .unwrap();
        assert!(begun.elapsed() < Duration::from_secs(30));
        drop(free);
    }
}
