//! How does HAProxy stand in front of MLflow?

use std::fs;

use anyhow::Context as _;

use crate::contestant::{Checks, Contestant, Start};
use crate::ground::Ground;
use crate::material::AUDIENCE;
use crate::process::{self, Server};

pub(crate) const PLAIN: &str = "haproxy";
pub(crate) const JWT: &str = "haproxy + jwt_verify";

/// Without any login.
pub(crate) fn plain(ground: &Ground) -> anyhow::Result<Start> {
    front(PLAIN, Checks::Nothing, "", ground)
}

/// With the token's signature, issuer, audience and expiry verified on each request.
pub(crate) fn jwt(ground: &Ground) -> anyhow::Result<Start> {
    front(JWT, Checks::Token, &verification(ground), ground)
}

/// A plain HTTP service that answers 200 to a good token and 401 to anything else, for nginx to ask.
pub(crate) fn token_service(ground: &Ground) -> anyhow::Result<Option<(Server, u16)>> {
    let port = process::free_port()?;
    let rest = format!(
        "frontend service\n bind 127.0.0.1:{port}\n{}\n http-request return status 200\n",
        verification(ground)
    );
    Ok(start("token service", &rest, port, ground)?.map(|server| (server, port)))
}

fn front(name: &'static str, checks: Checks, rules: &str, ground: &Ground) -> anyhow::Result<Start> {
    let port = process::free_port()?;
    let rest = format!(
        "frontend street\n bind 127.0.0.1:{port} ssl crt {pair} ssl-min-ver TLSv1.3 alpn http/1.1\n\
         {rules}\n\
         \x20http-request set-header X-Forwarded-Proto https\n option forwardfor\n default_backend mlflow\n\
         backend mlflow\n http-reuse always\n server mlflow 127.0.0.1:{upstream}\n",
        pair = ground.material.pair.display(),
        upstream = ground.upstream_port,
    );
    Ok(match start(name, &rest, port, ground)? {
        Some(server) => {
            Start::Ready(Contestant { name: name.to_owned(), port, checks, servers: vec![server], log: None })
        }
        None => Start::Missing("not installed (Debian: haproxy)".to_owned()),
    })
}

/// As in HAProxy's configuration manual under `jwt_verify`, with the checks that its examples leave to the reader.
fn verification(ground: &Ground) -> String {
    format!(
        " http-request set-var(txn.bearer) http_auth_bearer\n\
         \x20http-request set-var(txn.alg) var(txn.bearer),jwt_header_query('$.alg')\n\
         \x20http-request set-var(txn.iss) var(txn.bearer),jwt_payload_query('$.iss')\n\
         \x20http-request set-var(txn.aud) var(txn.bearer),jwt_payload_query('$.aud')\n\
         \x20http-request set-var(txn.exp) var(txn.bearer),jwt_payload_query('$.exp','int')\n\
         \x20http-request set-var(txn.now) date()\n\
         \x20http-request deny deny_status 401 unless {{ var(txn.alg) -m str RS256 }}\n\
         \x20http-request deny deny_status 401 unless {{ var(txn.iss) -m str {issuer} }}\n\
         \x20http-request deny deny_status 401 unless {{ var(txn.aud) -m str {AUDIENCE} }}\n\
         \x20http-request deny deny_status 401 if {{ var(txn.exp),sub(txn.now) -m int lt 0 }}\n\
         \x20http-request deny deny_status 401 unless {{ var(txn.bearer),jwt_verify(txn.alg,\"{key}\") -m int 1 }}",
        issuer = ground.issuer,
        key = ground.material.token_key.display(),
    )
}

fn start(name: &'static str, rest: &str, port: u16, ground: &Ground) -> anyhow::Result<Option<Server>> {
    let Some(program) = process::find("haproxy") else { return Ok(None) };
    let room = ground.room(name)?;
    let file = room.join("haproxy.cfg");
    let frame = format!(
        "global\n nbthread {}\n maxconn 4096\n\
         defaults\n mode http\n timeout connect 5s\n timeout client 1h\n timeout server 60s\n",
        ground.workers
    );
    fs::write(&file, frame + rest).context("cannot write HAProxy's configuration")?;
    let mut command = process::command(&program, ground.server_cores.as_deref());
    command.arg("-db").arg("-f").arg(&file);
    Server::start(name, command, &room, port).map(Some)
}
