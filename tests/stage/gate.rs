//! How does Trackgate stand on the stage?
//!
//! As a process of its own, from a configuration file, exactly as an operator would run it.

use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::authority::{Pair, write_private};
use super::keep::Kept;
use super::{Fault, run, write};

/// What the identity provider is called in the configuration, and so in addresses.
const ISSUER: &str = "demo";

/// How a program that is Trackgate is called: the binary, or another program with a first argument.
#[derive(Debug, Clone)]
pub struct Program {
    /// The file.
    pub file: PathBuf,
    /// What to say first.
    pub first: Vec<String>,
}

impl Program {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.file);
        command.args(&self.first);
        command
    }
}

/// What the configuration file says.
#[derive(Debug)]
pub struct Settings<'a> {
    /// Where the file, the database and the audit log go.
    pub folder: &'a Path,
    /// The port on loopback.
    pub port: u16,
    /// Its certificate.
    pub pair: &'a Pair,
    /// MLflow.
    pub upstream: String,
    /// What it was given as `--static-prefix`.
    pub static_prefix: &'a str,
    /// The identity provider.
    pub issuer: &'a str,
    /// Who vouches for the identity provider.
    pub ca: &'a Path,
    /// Trackgate's own name at the provider.
    pub client_id: &'a str,
    /// Its secret.
    pub client_secret: &'a str,
    /// Whether MLflow has workspaces.
    pub workspaces: bool,
    /// Administrators.
    pub admins: &'a [&'a str],
    /// Whether MLflow's pages show a way to Trackgate's own.
    pub menu_entry: bool,
}

/// A running Trackgate.
#[derive(Debug)]
pub struct Gate {
    kept: Kept,
    program: Program,
    config: PathBuf,
    audit: PathBuf,
    port: u16,
}

/// The public address for a port.
pub fn public_url(port: u16) -> String {
    format!("https://localhost:{port}")
}

/// Where the provider sends codes.
pub fn redirect_uri(port: u16) -> String {
    format!("{}/trackgate/callback/{ISSUER}", public_url(port))
}

impl Gate {
    /// Writes the configuration.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn configured(program: Program, settings: &Settings<'_>) -> Result<Configured, Fault> {
        let Settings {
            folder,
            port,
            pair,
            upstream,
            static_prefix,
            issuer,
            ca,
            client_id,
            client_secret,
            workspaces,
            admins,
            menu_entry,
        } = settings;
        let secret = folder.join("client-secret");
        write_private(&secret, client_secret)?;
        let audit = folder.join("audit.jsonl");
        let url = public_url(*port);
        let text = format!(
            r#"public_url = {url}
state_dir = {state}

[listen]
https = "127.0.0.1:{port}"
certificate = {certificate}
private_key = {key}
# A throw-away certificate must not teach a browser to insist on https for all of localhost.
hsts = "0s"
# Health and numbers; the log says at which port.
monitor = "127.0.0.1:0"

[upstream]
url = {upstream}
workspaces = {workspaces}
static_prefix = {static_prefix}

[[issuer]]
name = "{ISSUER}"
title = "Demo identity provider"
issuer = {issuer}
ca_file = {ca}
groups_claim = "groups"

[issuer.login]
client_id = {client_id}
client_secret_file = {secret}

[issuer.bearer]
audiences = [{url}]

[access]
admins = {admins}
menu_entry = {menu_entry}

[audit]
file = {audit}
"#,
            url = quoted(&url),
            state = quoted_path(&folder.join("state")),
            certificate = quoted_path(&pair.certificate),
            key = quoted_path(&pair.key),
            upstream = quoted(upstream),
            static_prefix = quoted(static_prefix),
            issuer = quoted(issuer),
            ca = quoted_path(ca),
            client_id = quoted(client_id),
            secret = quoted_path(&secret),
            admins = serde_json::json!(admins),
            audit = quoted_path(&audit),
        );
        let config = folder.join("trackgate.toml");
        write(&config, text)?;
        Ok(Configured { program, config, audit, port: *port, log: folder.join("trackgate.log") })
    }

    /// The public address.
    pub fn url(&self) -> String {
        public_url(self.port)
    }

    /// The audit log.
    pub fn audit(&self) -> &Path {
        &self.audit
    }

    /// The configuration file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// One of Trackgate's commands, with the configuration named.
    pub fn command(&self, words: &[&str]) -> Command {
        command(&self.program, &self.config, words)
    }

    /// Runs one of Trackgate's commands to its end.
    ///
    /// # Errors
    /// When it says no.
    pub fn tell(&self, words: &[&str]) -> Result<String, Fault> {
        run(&mut self.command(words))
    }

    /// The process.
    pub fn kept(&mut self) -> &mut Kept {
        &mut self.kept
    }
}

/// Trackgate with its configuration, not running yet.
#[derive(Debug)]
pub struct Configured {
    program: Program,
    config: PathBuf,
    audit: PathBuf,
    port: u16,
    log: PathBuf,
}

impl Configured {
    /// Runs one of Trackgate's commands to its end.
    ///
    /// # Errors
    /// When it says no.
    pub fn tell(&self, words: &[&str]) -> Result<String, Fault> {
        run(&mut command(&self.program, &self.config, words))
    }

    /// Starts it, and waits until it listens.
    ///
    /// # Errors
    /// When it ends instead.
    pub fn start(self) -> Result<Gate, Fault> {
        let mut kept = Kept::start("trackgate", &command(&self.program, &self.config, &["serve"]), &self.log)?;
        let port = self.port;
        kept.wait(Duration::from_secs(30), || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok())?;
        Ok(Gate { kept, program: self.program, config: self.config, audit: self.audit, port })
    }
}

fn command(program: &Program, config: &Path, words: &[&str]) -> Command {
    let mut command = program.command();
    command.arg("--config").arg(config).args(words);
    command
}

/// A TOML basic string: JSON's escapes are a subset of TOML's.
fn quoted(text: &str) -> String {
    serde_json::json!(text).to_string()
}

fn quoted_path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}
