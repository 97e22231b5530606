//! How does Trackgate stand in front of MLflow?

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::contestant::{Checks, Contestant};
use crate::ground::{Ground, HOST};
use crate::material::{AUDIENCE, USER};
use crate::process::{self, Server};

/// The limits count, and never bind.
const RATES: &str = "[rates]\naddress = 10000000\naddress_burst = 10000000\nperson = 10000000\nperson_burst = 10000000\n\
    person_at_once = 100000\nat_once = 100000\n";

/// With everything on that it does in production: the token's verdict, a permission on the experiment, the audit log.
pub(crate) fn start(name: &str, program: &Path, ground: &Ground) -> anyhow::Result<Contestant> {
    let port = process::free_port()?;
    let room = ground.room(name)?;
    let audit = room.join("audit.jsonl");
    let config = room.join("trackgate.toml");
    let text = format!(
        "public_url = \"https://{HOST}:{port}\"\nstate_dir = \"{room}/state\"\n\
         [listen]\nhttps = \"127.0.0.1:{port}\"\ncertificate = \"{certificate}\"\nprivate_key = \"{key}\"\nworkers = {workers}\n\
         [upstream]\nurl = \"http://127.0.0.1:{upstream}\"\n\
         [[issuer]]\nname = \"bench\"\ntitle = \"Bench\"\nissuer = \"{issuer}\"\nalgorithms = [\"RS256\"]\nuser_claim = \"email\"\n\
         ca_file = \"{ca}\"\n\
         [issuer.bearer]\naudiences = [\"{AUDIENCE}\"]\n\
         {RATES}\
         [audit]\nfile = \"{audit}\"\n\
         [log]\nlevel = \"warn\"\n",
        room = room.display(),
        certificate = ground.material.certificate.display(),
        key = ground.material.private_key.display(),
        workers = ground.workers,
        upstream = ground.upstream_port,
        issuer = ground.issuer,
        ca = ground.material.ca.display(),
        audit = audit.display(),
    );
    fs::write(&config, text)?;

    let grant = Command::new(program)
        .args(["grant", "add", &format!("user:{USER}"), "experiment", "1", "READ", "--config"])
        .arg(&config)
        .output()
        .context("cannot run trackgate")?;
    ensure!(grant.status.success(), "no grant: {}", String::from_utf8_lossy(&grant.stderr));

    let mut command = process::command(program, ground.server_cores.as_deref());
    command.arg("serve").arg("--config").arg(&config);
    let server = Server::start("trackgate", command, &room, port)?;
    Ok(Contestant { name: name.to_owned(), port, checks: Checks::Permission, servers: vec![server], log: Some(audit) })
}
