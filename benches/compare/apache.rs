//! How does Apache with `mod_auth_openidc` stand in front of MLflow?

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::contestant::{Checks, Contestant, Start};
use crate::ground::{self, Ground};
use crate::material::{AUDIENCE, KEY_ID};
use crate::process::{self, Server};

pub(crate) const OPENIDC: &str = "apache + mod_auth_openidc";

/// Where distributions put Apache's modules.
const MODULE_DIRS: [&str; 3] = ["/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/etc/httpd/modules"];
/// What is needed beyond what may be built in.
const MODULES: [&str; 9] =
    ["mpm_event", "unixd", "authn_core", "authz_core", "authz_user", "ssl", "proxy", "proxy_http", "auth_openidc"];

/// Bearer tokens verified in place with the issuer's key, on each request.
pub(crate) fn openidc(ground: &Ground) -> anyhow::Result<Start> {
    let Some(program) = ["apache2", "httpd"].into_iter().find_map(process::find) else {
        return Ok(Start::Missing("not installed (Debian: apache2-bin)".to_owned()));
    };
    let Some(modules) = MODULE_DIRS.into_iter().map(Path::new).find(|dir| dir.join("mod_auth_openidc.so").is_file())
    else {
        return Ok(Start::Missing(
            "mod_auth_openidc is not installed (Debian: libapache2-mod-auth-openidc)".to_owned(),
        ));
    };
    let port = process::free_port()?;
    let room = ground.room("apache")?;
    let mut config = String::new();
    for module in MODULES {
        let file = modules.join(format!("mod_{module}.so"));
        // What is not a file is built in: Debian does so with unixd.
        if file.is_file() {
            writeln!(config, "LoadModule {module}_module {}", file.display())?;
        }
    }
    write!(
        config,
        "ServerRoot {room}\nServerName {host}:{port}\nListen 127.0.0.1:{port}\nPidFile {room}/pid\nErrorLog {room}/error.log\n\
         LogLevel warn\nDefaultRuntimeDir {room}\nMutex file:{room}\nUser nobody\nGroup {group}\nServerTokens Prod\n\
         ServerLimit {workers}\nStartServers {workers}\nThreadsPerChild 64\nThreadLimit 64\nMaxRequestWorkers {most}\n\
         MinSpareThreads {most}\nMaxSpareThreads {most}\nMaxConnectionsPerChild 0\n\
         KeepAlive On\nMaxKeepAliveRequests 0\nKeepAliveTimeout 3600\n\
         OIDCCryptoPassphrase not-used-for-bearer-tokens\nOIDCOAuthRemoteUserClaim email\n\
         OIDCOAuthVerifyCertFiles {KEY_ID}#{certificate}\n\
         <VirtualHost 127.0.0.1:{port}>\n\
         SSLEngine on\nSSLProtocol -all +TLSv1.3\nSSLCertificateFile {cert}\nSSLCertificateKeyFile {key}\n\
         ProxyPass / http://127.0.0.1:{upstream}/\n\
         <Location />\nAuthType oauth20\n<RequireAll>\nRequire claim iss:{issuer}\nRequire claim aud:{AUDIENCE}\n</RequireAll>\n</Location>\n\
         </VirtualHost>\n",
        room = room.display(),
        host = ground::HOST,
        group = group(),
        workers = ground.workers,
        most = ground.workers * 64,
        certificate = ground.material.token_certificate.display(),
        cert = ground.material.certificate.display(),
        key = ground.material.private_key.display(),
        upstream = ground.upstream_port,
        issuer = ground.issuer,
    )?;
    let file = room.join("apache.conf");
    fs::write(&file, config)?;
    let mut command = process::command(&program, ground.server_cores.as_deref());
    command.arg("-D").arg("FOREGROUND").arg("-f").arg(&file);
    let server = Server::start("apache", command, &room, port)?;
    Ok(Start::Ready(Contestant {
        name: OPENIDC.to_owned(),
        port,
        checks: Checks::Token,
        servers: vec![server],
        log: None,
    }))
}

/// The group of `nobody`: Debian says `nogroup`, Red Hat `nobody`.
fn group() -> &'static str {
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    if groups.lines().any(|line| line.starts_with("nogroup:")) { "nogroup" } else { "nobody" }
}
