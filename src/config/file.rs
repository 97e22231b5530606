//! Which keys does the file have, and what are their defaults?
//!
//! The defaults are the rooms' own.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use toml::de::DeTable;

use super::acme;
use super::bindings;
use super::google;
use super::issuers;
use super::kinds::{
    DatabaseUrl, GoogleProject, HostName, Level, Listener, Prefix, PublicUrl, UpstreamUrl, Word, WorkspacePermission,
};
use super::rates;
use super::reader::{Fault, Report, Section};
use super::trace;
use super::units::Size;
use super::{Bodies, Config};
use crate::acme::{Challenge, Desk};
use crate::authenticate::{oauth, own, session};
use crate::gate::clean::{self, Hosts};
use crate::serve::{Files, Https, Limits, Pair, Redirect};
use crate::{answer, audit, authenticate, monitor, pages, resolve, serve, store, telemetry, upstream};

/// The version of the file's keys. It grows when a file of before would mean something else.
const VERSION: u32 = 1;

/// Where the state is unless the file says otherwise.
const STATE_DIR: &str = "/var/lib/trackgate";

/// Reads everything. There is a config if what must be there is there, however wrong the rest.
pub(super) fn read(text: &str) -> (Option<Config>, Vec<Fault>) {
    let report = Report::new(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // What follows a broken line may be misread: its faults would mislead.
        for error in errors {
            let line = error.span().map(|span| report.line(&span));
            report.fault(String::new(), line, format!("is not TOML: {}", error.message()), None);
        }
        return (None, report.faults.into_inner());
    }
    let root = Section::root(table.get_ref(), &report);

    config_version(&root);
    let public_url: Option<PublicUrl> = root.must("public_url", "\"https://mlflow.example.com\"");
    let extra_hosts = root.or("extra_hosts", Vec::<HostName>::new());
    let state_dir: PathBuf = root.or("state_dir", PathBuf::from(STATE_DIR));
    let seal_keys_file: Option<PathBuf> = root.maybe("seal_keys_file");
    let acme = acme::acme(&root, &state_dir, public_url.as_ref());
    let by = acme.as_ref().map(|acme| acme.challenge);
    let (mut serve, monitor) = listen(root.section("listen"), public_url.as_ref(), by);
    let mut resolve = resolve::Settings::default();
    let mut answer = answer::Settings::default();
    let (upstream, static_prefix, workspaces) = upstream(root.section("upstream"));
    resolve.static_prefix.clone_from(&static_prefix);
    let (bodies, failed_credentials) = limits(root.section("limits"), &mut serve.limits, &mut answer);
    let rates = rates::read(root.section("rates"));
    let (session, session_idle) = session(root.section("session"));
    let tokens = tokens(root.section("tokens"));
    let logins = logins(root.section("login"));
    let issuers = issuers::issuers(&root);
    let iap = issuers::iap(&root, &serve);
    let bindings = bindings::bindings(&root, &issuers);
    let google_groups = google::groups(&root, &state_dir, &issuers, iap.as_ref());
    if issuers.is_empty() && iap.is_none() && !root.has("issuer") && !root.has("iap") {
        report.fault(
            "issuer".to_owned(),
            None,
            "and `iap` are both absent: nobody could sign in",
            Some("add an `[[issuer]]` block".to_owned()),
        );
    }
    let mut store = store::Settings::new(state_dir);
    store.session_idle = session_idle;
    database(root.section("store"), &mut store);
    access(root.section("access"), &mut store, &mut resolve, &mut answer);
    let log = log(root.section("log"));
    let audit = audit(root.section("audit"), log.google_project.clone());
    let trace = trace::trace(&root, log.google_project.as_deref());
    root.finish();

    let extra_hosts: Vec<String> = extra_hosts.into_iter().map(|HostName(name)| name).collect();
    let config = public_url.map(|PublicUrl(public_url)| Config {
        clean: clean::Settings {
            hosts: Hosts::new(&public_url, &extra_hosts),
            static_prefix,
            workspaces,
            url_length: serve.limits.url_length,
            ..clean::Settings::new(public_url.clone())
        },
        authenticate: authenticate::Settings {
            issuers,
            iap,
            google_groups,
            session,
            tokens,
            logins,
            bindings,
            failed_credentials,
            ..authenticate::Settings::new(public_url.clone())
        },
        public_url,
        bodies,
        rates,
        resolve,
        answer,
        serve,
        monitor,
        acme,
        upstream,
        store,
        seal_keys_file,
        audit,
        log,
        trace,
        keys: report.asked.into_inner(),
    });
    (config, report.faults.into_inner())
}

/// A file that says for which version it was written is not misread by another.
fn config_version(root: &Section<'_>) {
    let version = root.or("config_version", VERSION);
    if version > VERSION {
        root.fault(
            "config_version",
            format!("is {version}, of a newer Trackgate; this one reads {VERSION}"),
            Some("use the newer program, or its predecessor's file"),
        );
    } else if version < VERSION {
        root.fault(
            "config_version",
            format!("is {version}; this program reads {VERSION}"),
            Some("change what the other faults name, then the number; CHANGELOG.md tells what is new"),
        );
    }
}

/// Whether two listeners want the same port of some address. `[::]` takes IPv4 along (Linux, `bindv6only`).
fn meet(one: SocketAddr, other: SocketAddr) -> bool {
    let covers = |wide: IpAddr, ip: IpAddr| wide.is_unspecified() && (wide.is_ipv6() || ip.is_ipv4());
    let (ip, its) = (one.ip(), other.ip());
    // With port 0 each finds one of its own.
    one.port() != 0 && one.port() == other.port() && (ip == its || covers(ip, its) || covers(its, ip))
}

fn listen(
    section: Section<'_>,
    public_url: Option<&PublicUrl>,
    acme: Option<Challenge>,
) -> (serve::Settings, monitor::Settings) {
    let default = serve::Settings::default();
    let https: Option<SocketAddr> = section.maybe("https");
    let certificate: Option<PathBuf> = section.maybe("certificate");
    let private_key: Option<PathBuf> = section.maybe("private_key");
    let poll = section.or("certificate_poll", Duration::from_secs(30));
    let plain = section.maybe("plain").map(|Listener(address)| address);
    let trusted_proxies = section.or("trusted_proxies", default.trusted_proxies);
    let redirect: Option<SocketAddr> = section.maybe("redirect");
    let monitor: Option<SocketAddr> = section.maybe("monitor");
    let workers = section.or("workers", default.workers);
    let hsts = section.or("hsts", default.hsts);

    if !section.has("https") && !section.has("plain") {
        section.fault("https", "and `listen.plain` are both absent", Some("at least one listener is needed"));
    }
    for name in ["certificate", "private_key"] {
        match (section.has(name), section.has("https"), acme) {
            (false, true, None) => {
                section.fault(name, "is required where `listen.https` is set", Some("or add an `[acme]` block"));
            }
            (true, false, _) => {
                section.fault(name, "has no effect without `listen.https`", Some("add `https` or take it out"));
            }
            (true, true, Some(_)) => {
                section.fault(name, "has no effect beside `[acme]`", Some("take one of the two out"));
            }
            _ => {}
        }
    }
    if acme.is_some() && !section.has("https") {
        section.fault("https", "is absent: `[acme]` has no effect", Some("certificates are for this listener alone"));
    }
    if acme == Some(Challenge::Http01) && !section.has("redirect") {
        section.fault("redirect", "is absent: `http-01` is answered there", Some("add it, or use \"tls-alpn-01\""));
    }
    for (name, one, others) in [
        ("plain", plain, &[https][..]),
        ("redirect", redirect, &[https, plain]),
        ("monitor", monitor, &[https, plain, redirect]),
    ] {
        if one.is_some_and(|one| others.iter().flatten().any(|other| meet(one, *other))) {
            section.fault(name, "has the address of another listener", None);
        }
    }
    section.finish();
    let pair = match acme {
        Some(challenge) => Some(Pair::Acme { desk: Arc::new(Desk::default()), challenge }),
        None => certificate
            .zip(private_key)
            .map(|(certificate, private_key)| Pair::Files(Files { certificate, private_key, poll })),
    };
    let desk = pair.as_ref().filter(|_| acme == Some(Challenge::Http01)).and_then(Pair::desk).cloned();
    let serve = serve::Settings {
        https: https.zip(pair).map(|(address, pair)| Https { address, pair }),
        plain,
        trusted_proxies,
        redirect: redirect.zip(public_url).map(|(address, PublicUrl(url))| Redirect {
            address,
            to: url.as_str().trim_end_matches('/').to_owned(),
            desk,
        }),
        workers,
        hsts,
        limits: default.limits,
        expiry: default.expiry,
        counts: default.counts,
        alive: default.alive,
        passed: default.passed,
    };
    (serve, monitor::Settings { address: monitor, ..monitor::Settings::default() })
}

/// MLflow's address, its static prefix, and whether it has workspaces.
fn upstream(section: Section<'_>) -> (upstream::Settings, String, bool) {
    let default = upstream::Settings::default();
    let url = match UpstreamUrl::of("http://127.0.0.1:5000") {
        Ok(url) => section.or("url", url).target,
        Err(_) => default.target,
    };
    let static_prefix = section.or("static_prefix", Prefix::default()).0;
    let workspaces = section.or("workspaces", false);
    let settings = upstream::Settings {
        way_out: default.way_out,
        target: url,
        ca_file: section.maybe("ca_file"),
        connect_timeout: section.or("connect_timeout", default.connect_timeout),
        first_byte_timeout: section.or("first_byte_timeout", default.first_byte_timeout),
        artifact_first_byte_timeout: section.or("artifact_first_byte_timeout", default.artifact_first_byte_timeout),
        idle_timeout: section.or("idle_timeout", default.idle_timeout),
        pool_idle: section.or("pool_idle", default.pool_idle),
        pool_size: section.or("pool_size", default.pool_size),
    };
    if settings.ca_file.is_some() && !matches!(settings.target, upstream::Target::Https { .. }) {
        section.fault("ca_file", "has no effect: `upstream.url` is not https", None);
    }
    section.finish();
    (settings, static_prefix, workspaces)
}

/// Fills in the limits of several rooms; returns those of bodies, and `failed_credentials`.
fn limits(section: Section<'_>, serve: &mut Limits, answer: &mut answer::Settings) -> (Bodies, u32) {
    let bytes = |name, default: u64| section.or(name, Size(default)).0;
    let small = |name, default: u64| {
        u32::try_from(bytes(name, default)).unwrap_or_else(|_| {
            section.fault(name, "is larger than HTTP/2 can say", Some("at most \"2047MiB\""));
            u32::MAX
        })
    };
    let memory = |name, default: usize| match usize::try_from(bytes(name, default as u64)) {
        Ok(0) => {
            section.fault(name, "must not be 0", None);
            default
        }
        Ok(size) => size,
        Err(_) => {
            section.fault(name, "is larger than this machine's memory", None);
            default
        }
    };
    serve.tls_handshake = section.or("tls_handshake", serve.tls_handshake);
    serve.head_timeout = section.or("head_timeout", serve.head_timeout);
    serve.keep_alive = section.or("keep_alive", serve.keep_alive);
    serve.body_idle = section.or("body_idle", serve.body_idle);
    serve.body_rate = bytes("body_rate", serve.body_rate);
    serve.write_stall = section.or("write_stall", serve.write_stall);
    serve.head_size = memory("head_size", serve.head_size);
    serve.head_fields = section.or("head_fields", serve.head_fields);
    serve.url_length = memory("url_length", serve.url_length);
    let default = Bodies::default();
    let bodies = Bodies {
        json: bytes("json_body", default.json),
        large_json: bytes("large_json_body", default.large_json),
        artifact: bytes("artifact_body", default.artifact),
        at_once: bytes("bodies_at_once", default.at_once),
    };
    answer.list_answer = memory("list_answer", answer.list_answer);
    answer.answers_at_once = memory("answers_at_once", answer.answers_at_once);
    serve.connections = section.or("connections", serve.connections);
    serve.connections_per_address = section.or("connections_per_address", serve.connections_per_address);
    serve.h2_streams = section.or("h2_streams", serve.h2_streams);
    serve.h2_stream_window = small("h2_stream_window", serve.h2_stream_window.into());
    serve.h2_connection_window = small("h2_connection_window", serve.h2_connection_window.into());
    serve.h2_pending_resets = section.or("h2_pending_resets", serve.h2_pending_resets);
    serve.h2_own_resets = section.or("h2_own_resets", serve.h2_own_resets);
    serve.h2_header_list = small("h2_header_list", serve.h2_header_list.into());
    serve.drain = section.or("drain", serve.drain);
    serve.drain_accept = section.or("drain_accept", serve.drain_accept);
    let failed_credentials = section.or("failed_credentials", 20);
    for (name, zero) in [
        ("tls_handshake", serve.tls_handshake.is_zero()),
        ("head_timeout", serve.head_timeout.is_zero()),
        ("keep_alive", serve.keep_alive.is_zero()),
        ("body_idle", serve.body_idle.is_zero()),
        ("write_stall", serve.write_stall.is_zero()),
        ("head_fields", serve.head_fields == 0),
        ("connections", serve.connections == 0),
        ("connections_per_address", serve.connections_per_address == 0),
        ("h2_streams", serve.h2_streams == 0),
        ("json_body", bodies.json == 0),
        ("large_json_body", bodies.large_json == 0),
    ] {
        if zero {
            section.fault(name, "must not be 0", None);
        }
    }
    if bodies.at_once < bodies.large_json.max(bodies.json) {
        section.fault("bodies_at_once", "is less than one body may have", None);
    }
    if serve.drain_accept > serve.drain {
        section.fault("drain_accept", "is longer than `limits.drain`", None);
    }
    section.finish();
    (bodies, failed_credentials)
}

/// What a login and a session may take, and the idle limit, which is the store's.
fn session(section: Section<'_>) -> (session::Settings, Duration) {
    let default = session::Settings::default();
    let idle = section.or("idle", store::Settings::new(PathBuf::new()).session_idle);
    let settings = session::Settings {
        absolute: section.or("absolute", default.absolute),
        login: section.or("login", default.login),
    };
    if idle > settings.absolute {
        section.fault("idle", "is longer than `session.absolute`", None);
    }
    for (name, limit) in [("idle", idle), ("login", settings.login)] {
        if limit < Duration::from_secs(1) {
            section.fault(name, "is too short to sign in", None);
        }
    }
    section.finish();
    (settings, idle)
}

/// How long tokens of our own last, and whether there are any.
fn tokens(section: Section<'_>) -> own::Settings {
    let default = own::Settings::default();
    let settings = own::Settings {
        allow: section.or("allow", default.allow),
        max_lifetime: section.or("max_lifetime", default.max_lifetime),
        default_lifetime: section.or("default_lifetime", default.default_lifetime),
    };
    for (name, lifetime) in [("max_lifetime", settings.max_lifetime), ("default_lifetime", settings.default_lifetime)] {
        if lifetime < Duration::from_mins(1) {
            section.fault(name, "is too short to use a token", None);
        }
    }
    if settings.default_lifetime > settings.max_lifetime {
        section.fault("default_lifetime", "is longer than `tokens.max_lifetime`", None);
    }
    section.finish();
    settings
}

/// How long logins of the command line last, and whether there are any.
fn logins(section: Section<'_>) -> oauth::Settings {
    let default = oauth::Settings::default();
    let refresh_lifetime = section.or("refresh_lifetime", default.refresh_lifetime);
    let settings = oauth::Settings {
        allow: section.or("allow", default.allow),
        access_lifetime: section.or("access_lifetime", default.access_lifetime),
        refresh_lifetime,
        refresh_idle: section.or("refresh_idle", default.refresh_idle.min(refresh_lifetime)),
    };
    for (name, lifetime) in [
        ("access_lifetime", settings.access_lifetime),
        ("refresh_lifetime", settings.refresh_lifetime),
        ("refresh_idle", settings.refresh_idle),
    ] {
        if lifetime < Duration::from_mins(1) {
            section.fault(name, "is too short to use a token", None);
        }
    }
    if settings.access_lifetime > Duration::from_hours(24) {
        section.fault("access_lifetime", "is longer than a day", Some("logins renew it by themselves"));
    }
    if settings.refresh_lifetime > Duration::from_hours(90 * 24) {
        section.fault("refresh_lifetime", "is longer than 90 days", None);
    }
    if settings.refresh_idle > settings.refresh_lifetime {
        section.fault("refresh_idle", "is longer than `login.refresh_lifetime`", None);
    }
    if settings.access_lifetime > settings.refresh_idle {
        section.fault("access_lifetime", "is longer than `login.refresh_idle`", None);
    }
    section.finish();
    settings
}

/// What keeps the tables; without an address, a file in the state directory.
fn database(section: Section<'_>, store: &mut store::Settings) {
    let url: Option<DatabaseUrl> = section.maybe("url");
    let password_file: Option<PathBuf> = section.maybe("password_file");
    let ca: Option<PathBuf> = section.maybe("ca_file");
    store.poll = section.or("poll", store.poll);
    store.stale_after = section.or("stale_after", store.stale_after);
    if store.poll < Duration::from_millis(10) {
        section.fault("poll", "is too short", None);
    }
    if store.stale_after < store.poll * 2 {
        section.fault("stale_after", "is less than twice `store.poll`: requests would be refused without need", None);
    }
    if url.is_none() && !section.has("url") {
        for (name, given) in [("password_file", password_file.is_some()), ("ca_file", ca.is_some())] {
            if given {
                section.fault(name, "is of no use without `store.url`", None);
            }
        }
    }
    if let Some(DatabaseUrl { database, .. }) = url {
        if ca.is_some() && database.plain {
            section.fault("ca_file", "is of no use without TLS", None);
        }
        store.engine = store::Engine::Postgres(store::Postgres { password_file, ca, ..database });
    }
    section.finish();
}

fn access(
    section: Section<'_>,
    store: &mut store::Settings,
    resolve: &mut resolve::Settings,
    answer: &mut answer::Settings,
) {
    store.admins = section.or("admins", Vec::new());
    store.default_workspace_permission = section.or("default_workspace_permission", WorkspacePermission(None)).0;
    resolve.artifact_locations =
        section.or("artifact_locations", Vec::<Word>::new()).into_iter().map(|Word(place)| place).collect();
    resolve.model_sources =
        section.or("model_sources", Vec::<Word>::new()).into_iter().map(|Word(place)| place).collect();
    resolve.authors = section.or("authors", resolve.authors);
    resolve.lenient_edit = section.or("lenient_edit", resolve.lenient_edit);
    if resolve.lenient_edit && !resolve.authors {
        section.fault(
            "lenient_edit",
            "needs `access.authors`: without it, anybody could say that a run is theirs",
            Some("set `authors = true`"),
        );
    }
    resolve.presigned_artifacts = section.or("presigned_artifacts", resolve.presigned_artifacts);
    answer.list_budget = section.or("list_budget", answer.list_budget);
    answer.entry = section.or("menu_entry", false).then(pages::entry);
    answer.sign_out = section.or("sign_out_entry", answer.sign_out);
    if answer.list_budget == 0 {
        section.fault("list_budget", "must not be 0: no list could be answered", None);
    }
    section.finish();
}

fn audit(section: Section<'_>, google_project: Option<String>) -> audit::Settings {
    let default = audit::Settings::default();
    let settings = audit::Settings {
        to: section.or("file", default.to),
        stdout_too: section.or("stdout", default.stdout_too),
        google_project,
        fsync: section.or("fsync", default.fsync),
        on_failure: section.or("on_failure", default.on_failure),
        queue: section.or("queue", default.queue),
    };
    if settings.queue == 0 {
        section.fault("queue", "must not be 0", None);
    }
    section.finish();
    settings
}

fn log(section: Section<'_>) -> telemetry::Settings {
    let default = telemetry::Settings::default();
    let settings = telemetry::Settings {
        format: section.or("format", default.format),
        level: section.or("level", Level(default.level)).0,
        google_project: section.maybe("google_project").map(|GoogleProject(name)| name),
    };
    section.finish();
    settings
}
