//! How does nginx stand in front of MLflow, and behind it as a fast stand-in?

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::contestant::{Checks, Contestant, Start};
use crate::ground::{self, Ground};
use crate::haproxy;
use crate::process::{self, Server};

/// The unit of all ratios.
pub(crate) const PLAIN: &str = "nginx";
pub(crate) const LOGGED: &str = "nginx + access log";
pub(crate) const AUTH_REQUEST: &str = "nginx + auth_request";

/// What every nginx of ours has.
fn frame(workers: usize, room: &Path, http: &str) -> String {
    let room = room.display();
    format!(
        "daemon off;\nworker_processes {workers};\npid {room}/pid;\nerror_log {room}/error.log;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n\
         access_log off;\nserver_tokens off;\nkeepalive_requests 1000000000;\nkeepalive_timeout 1h;\n\
         client_body_temp_path {room}/body;\nproxy_temp_path {room}/proxy;\nfastcgi_temp_path {room}/fastcgi;\n\
         uwsgi_temp_path {room}/uwsgi;\nscgi_temp_path {room}/scgi;\n\
         {http}\n}}\n"
    )
}

/// A TLS server that proxies everything over kept-alive connections. `access` goes into its location.
fn front(ground: &Ground, port: u16, upstreams: &str, access: &str) -> String {
    format!(
        "upstream mlflow {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 1000000000; }}\n\
         {upstreams}\n\
         server {{\n\
         listen 127.0.0.1:{port} ssl reuseport;\nserver_name {host};\n\
         ssl_certificate {certificate};\nssl_certificate_key {key};\nssl_protocols TLSv1.3;\n\
         proxy_http_version 1.1;\nproxy_set_header Connection '';\nproxy_set_header Host $host;\n\
         proxy_set_header X-Forwarded-For $remote_addr;\nproxy_set_header X-Forwarded-Proto https;\n\
         {access}\n\
         }}",
        upstream = ground.upstream_port,
        host = ground::HOST,
        certificate = ground.material.certificate.display(),
        key = ground.material.private_key.display(),
    )
}

/// Without any login.
pub(crate) fn plain(ground: &Ground) -> anyhow::Result<Contestant> {
    let port = process::free_port()?;
    let http = front(ground, port, "", "location / { proxy_pass http://mlflow; }");
    contestant(PLAIN, Checks::Nothing, ground, port, &http, Vec::new())
}

/// Without any login, but with the access log that Debian's nginx writes.
pub(crate) fn logged(ground: &Ground) -> anyhow::Result<Start> {
    let port = process::free_port()?;
    let log = ground.room("nginx access log")?.join("access.log");
    let location = format!("location / {{ access_log {} combined; proxy_pass http://mlflow; }}", log.display());
    let http = front(ground, port, "", &location);
    let contestant = contestant(LOGGED, Checks::Nothing, ground, port, &http, Vec::new())?;
    Ok(Start::Ready(Contestant { log: Some(log), ..contestant }))
}

/// Asks an authenticating service about each request, as it is done with oauth2-proxy and its kind. The service here is
/// HAProxy verifying the token's signature, which is quicker than those: a friendly number for this way of building.
pub(crate) fn auth_request(ground: &Ground) -> anyhow::Result<Start> {
    let Some((service, service_port)) = haproxy::token_service(ground)? else {
        return Ok(Start::Missing("the service it asks, HAProxy, is not installed (Debian: haproxy)".to_owned()));
    };
    let port = process::free_port()?;
    let service_upstream = format!(
        "upstream service {{ server 127.0.0.1:{service_port}; keepalive 256; keepalive_requests 1000000000; }}"
    );
    let locations = "location / { auth_request /check; proxy_pass http://mlflow; }\n\
         location = /check { internal; proxy_pass http://service; proxy_pass_request_body off;\n\
         proxy_set_header Content-Length ''; proxy_http_version 1.1; proxy_set_header Connection ''; }";
    let http = front(ground, port, &service_upstream, locations);
    contestant(AUTH_REQUEST, Checks::Token, ground, port, &http, vec![service]).map(Start::Ready)
}

/// Answers everything with `answer`, from memory.
pub(crate) fn upstream(answer: &str, workers: usize, cores: Option<&str>, dir: &Path) -> anyhow::Result<(Server, u16)> {
    let port = process::free_port()?;
    let http = format!(
        "server {{ listen 127.0.0.1:{port} reuseport; default_type application/json; location / {{ return 200 '{answer}'; }} }}"
    );
    let room = ground::room(dir, "upstream")?;
    Ok((start("upstream", workers, cores, &room, port, &http)?, port))
}

fn contestant(
    name: &'static str,
    checks: Checks,
    ground: &Ground,
    port: u16,
    http: &str,
    others: Vec<Server>,
) -> anyhow::Result<Contestant> {
    let room = ground.room(name)?;
    let server = start(name, ground.workers, ground.server_cores.as_deref(), &room, port, http)?;
    let servers = std::iter::once(server).chain(others).collect();
    Ok(Contestant { name: name.to_owned(), port, checks, servers, log: None })
}

fn start(
    name: &'static str,
    workers: usize,
    cores: Option<&str>,
    room: &Path,
    port: u16,
    http: &str,
) -> anyhow::Result<Server> {
    let file = room.join("nginx.conf");
    fs::write(&file, frame(workers, room, http))?;
    let mut command = process::command(&program()?, cores);
    command.arg("-p").arg(room).arg("-c").arg(&file).arg("-e").arg(room.join("start.log"));
    Server::start(name, command, room, port)
}

fn program() -> anyhow::Result<PathBuf> {
    process::find("nginx")
        .context("nginx, the unit of all ratios and the upstream, is not installed (Debian: nginx-light)")
}
