//! Certificates by ACME, from a real authority of the protocol's makers.

mod authority;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::Request;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use trackgate::acme::{Challenge, Keeper, Pace};
use trackgate::cli::{self, serve::Open};
use trackgate::clock::Clock;
use trackgate::config::Config;

use self::authority::{BINDING, FORBIDDEN, Meddling, Pebble};
use crate::harness::certs::Folder;
use crate::harness::client::{Client, get, nothing};
use crate::harness::{soon, until};

const NAME: &str = "mlflow.example.com";
const DAY: Duration = Duration::from_hours(24);
/// As fast as a test wants it; each further failure waits for an hour of the gate's clock.
const PACE: Pace = Pace {
    first: Duration::from_hours(1),
    most: Duration::from_hours(4),
    look: Duration::from_millis(20),
    attempt: Duration::from_mins(1),
};

/// The configuration of a gate that has its certificate from `pebble`.
fn config(pebble: &Pebble, state: &Folder, more: &str) -> String {
    format!(
        r#"
public_url = "https://{NAME}"
state_dir = "{state}/state"
[listen]
https = "{tls}"
redirect = "{http}"
monitor = "127.0.0.1:0"
workers = 1
[limits]
drain = "1s"
drain_accept = "0s"
[upstream]
url = "http://127.0.0.1:9"
[audit]
file = "{state}/audit.jsonl"
[[issuer]]
name = "none"
title = "None"
issuer = "https://127.0.0.1:9"
[issuer.bearer]
audiences = ["https://{NAME}"]
[acme]
directory = "{directory}"
ca_file = "{ca}"
{more}
"#,
        state = state.path().display(),
        tls = pebble.tls,
        http = pebble.http,
        directory = pebble.directory(),
        ca = pebble.folder.path().join("ca.pem").display(),
    )
}

/// Opens a gate, or says why it cannot be opened.
async fn try_open(text: &str, clock: &Clock) -> Result<Open, String> {
    cli::install_crypto();
    let mut config = Config::parse(text).unwrap_or_else(|faults| panic!("{faults:?}"));
    config.acme.as_mut().unwrap().pace = PACE;
    let assembled = Box::pin(cli::serve::assemble(config, clock.clone())).await.map_err(|fault| fault.to_string())?;
    assembled.open().map_err(|fault| fault.to_string())
}

async fn open(text: &str, clock: &Clock) -> Open {
    try_open(text, clock).await.unwrap()
}

fn keeper(open: &Open) -> &Keeper {
    open.certificates().unwrap()
}

fn now() -> Clock {
    Clock::set_to(SystemTime::now())
}

/// Accepts whatever it is shown: for looking at it.
#[derive(Debug)]
struct Curious;

impl ServerCertVerifier for Curious {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Shakes hands under `name` (none: without saying one), offering `alpn`; with `root`, only with whom it vouches for.
async fn shake(
    address: SocketAddr,
    name: Option<&str>,
    alpn: &[&str],
    root: Option<&str>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = match root {
        Some(root) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(root.as_bytes()).unwrap()).unwrap();
            builder.with_root_certificates(roots).with_no_client_auth()
        }
        None => builder.dangerous().with_custom_certificate_verifier(Arc::new(Curious)).with_no_client_auth(),
    };
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config.enable_sni = name.is_some();
    let tcp = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.unwrap_or(NAME).to_owned()).unwrap();
    soon("a handshake", TlsConnector::from(Arc::new(config)).connect(name, tcp)).await
}

/// The certificate that a new connection is shown, whoever signed it.
async fn shown(pebble: &Pebble) -> Option<Vec<u8>> {
    let stream = shake(pebble.tls, Some(NAME), &["h2"], None).await.ok()?;
    stream.get_ref().1.peer_certificates().map(|chain| chain[0].to_vec())
}

/// When the certificate ends, as Prometheus is told. No number: nothing is told.
async fn told_expiry(gate: &Open) -> Option<f64> {
    let (status, body) = Client::http1(gate.monitor().unwrap()).await.ask(get("/metrics")).await;
    assert_eq!(status, 200);
    let text = String::from_utf8(body.to_vec()).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("trackgate_certificate_expiry_timestamp_seconds "));
    line.map(|value| value.parse().unwrap())
}

/// The end of a certificate, in seconds since 1970.
fn end(certificate: &[u8]) -> f64 {
    let end = trackgate::certificate::Facts::of(certificate).unwrap().to;
    end.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64()
}

/// Waits until new connections are shown another certificate than `old`.
async fn another(pebble: &Pebble, old: Option<&[u8]>) -> Vec<u8> {
    soon("another certificate", async {
        loop {
            match shown(pebble).await {
                Some(certificate) if Some(&*certificate) != old => return certificate,
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    })
    .await
}

/// Waits for a failure, and says which.
async fn trouble(open: &Open) -> String {
    until("a failure", || keeper(open).trouble().is_some()).await;
    keeper(open).trouble().unwrap()
}

/// Waits until it was looked twice more whether something is to be done: one look may have been under way.
async fn look_again(open: &Open) {
    let before = keeper(open).looks();
    until("a look", || keeper(open).looks() >= before + 2).await;
}

/// The folder of the authority.
fn kept(state: &Folder) -> PathBuf {
    let mut folders = std::fs::read_dir(state.path().join("state/acme")).unwrap();
    let folder = folders.next().unwrap().unwrap().path();
    assert!(folders.next().is_none());
    folder
}

fn attempts(state: &Folder) -> Value {
    serde_json::from_slice(&std::fs::read(kept(state).join("attempts.json")).unwrap()).unwrap()
}

async fn documents(address: SocketAddr, method: &str, host: &str, path: &str) -> (u16, Vec<u8>) {
    let request = Request::builder().method(method).uri(path).header("host", host).body(nothing()).unwrap();
    let (status, body) = Client::http1(address).await.ask(request).await;
    (status, body.to_vec())
}

#[tokio::test]
async fn a_certificate_is_had_by_either_challenge_used_again_and_renewed_without_dropping_a_connection() {
    for challenge in [Challenge::TlsAlpn01, Challenge::Http01] {
        let Some(mut pebble) = Pebble::start("certificates by ACME", false).await else { return };
        let (state, clock) = (Folder::new(), now());
        // A nonce that is refused is no failure (RFC 8555 section 6.5).
        pebble.meddle("newOrder", Meddling::Refuse { times: 1, status: 400, retry_after: None, kind: "badNonce" });
        let more = format!("challenge = \"{}\"\ndomains = [\"{NAME}\", \"also.example.com\"]", challenge.name());
        let text = config(&pebble, &state, &more);
        let gate = open(&text, &clock).await;
        let first = another(&pebble, None).await;
        let root = pebble.root().await;
        for name in [NAME, "also.example.com"] {
            shake(pebble.tls, Some(name), &["h2"], Some(&root)).await.unwrap();
        }
        assert!(shake(pebble.tls, Some("elsewhere.example.com"), &["h2"], Some(&root)).await.is_err());
        until("the end of the attempt", || attempts(&state)["failures"] == 0).await;
        let files = |folder: PathBuf| {
            let mut names: Vec<_> =
                std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(files(kept(&state)), ["account.json", "attempts.json", "certificate.pem", "lock"]);
        gate.close().await.unwrap();

        // A restart uses what is kept.
        let gate = open(&text, &clock).await;
        assert_eq!(shown(&pebble).await.as_ref(), Some(&first));
        assert_eq!(told_expiry(&gate).await, Some(end(&first)));
        let old = shake(pebble.tls, Some(NAME), &["h2"], Some(&root)).await.unwrap();
        let mut old = Client::http2_over(old).await;
        assert!(old.ask(Request::get("/").header("host", NAME).body(nothing()).unwrap()).await.0 >= 200);
        clock.advance(DAY * 59);
        keeper(&gate).hasten();
        assert_eq!(shown(&pebble).await.as_ref(), Some(&first));
        assert_eq!((pebble.count("newOrder"), pebble.count("newAccount")), (1, 1), "nobody was asked again");

        // Two thirds of 90 days, and at the most a hundredth more.
        clock.advance(DAY * 2);
        let second = another(&pebble, Some(&first)).await;
        assert_eq!((pebble.count("newOrder"), pebble.count("newAccount")), (2, 1));
        assert_eq!(told_expiry(&gate).await, Some(end(&second)));
        assert!(old.ask(Request::get("/").header("host", NAME).body(nothing()).unwrap()).await.0 >= 200);

        // The authority is gone: the old one is shown until its end, and beyond.
        look_again(&gate).await;
        pebble.stop();
        for days in [65, 40] {
            let before = attempts(&state)["failures"].as_u64().unwrap();
            clock.advance(DAY * days);
            until("a failure", || attempts(&state)["failures"].as_u64().unwrap() > before).await;
            assert_eq!(shown(&pebble).await.as_ref(), Some(&second));
        }
        assert!(trouble(&gate).await.contains("502"), "{:?}", keeper(&gate).trouble());
        gate.close().await.unwrap();
        let gate = open(&text, &clock).await;
        assert_eq!(shown(&pebble).await, Some(second), "also after a restart");
        gate.close().await.unwrap();
    }
}

#[tokio::test]
async fn without_a_first_certificate_handshakes_are_refused() {
    let Some(mut pebble) = Pebble::start("no certificate yet", false).await else { return };
    pebble.stop();
    let state = Folder::new();
    let gate = open(&config(&pebble, &state, ""), &now()).await;
    for (name, alpn) in [(Some(NAME), "h2"), (Some(NAME), "http/1.1"), (Some(NAME), "acme-tls/1"), (None, "acme-tls/1")]
    {
        assert!(shake(pebble.tls, name, &[alpn], None).await.is_err(), "{name:?} {alpn}");
    }
    assert!(trouble(&gate).await.contains("502"), "{:?}", keeper(&gate).trouble());
    assert_eq!(told_expiry(&gate).await, None);
    // Waiting is the same after a restart.
    let written = attempts(&state);
    assert_eq!(written["failures"], 1);
    gate.close().await.unwrap();
    let asked = pebble.heard("dir");
    let gate = open(&config(&pebble, &state, ""), &now()).await;
    look_again(&gate).await;
    assert_eq!((attempts(&state), pebble.heard("dir")), (written, asked));
    gate.close().await.unwrap();
}

#[tokio::test]
async fn a_tls_challenge_is_shown_in_challenge_handshakes_for_its_name_alone() {
    let Some(pebble) = Pebble::start("handshakes during a challenge", false).await else { return };
    let (state, let_go) = (Folder::new(), Arc::new(tokio::sync::Notify::new()));
    pebble.meddle("chalZ", Meddling::Hold(Arc::clone(&let_go)));
    let gate = open(&config(&pebble, &state, ""), &now()).await;
    until("a challenge", || pebble.heard("chalZ") == 1).await;
    let proof = shake(pebble.tls, Some(NAME), &["acme-tls/1"], None).await.unwrap();
    assert_eq!(proof.get_ref().1.alpn_protocol(), Some(&b"acme-tls/1"[..]));
    assert!(shake(pebble.tls, Some("MLFLOW.Example.com"), &["acme-tls/1"], None).await.is_ok(), "names have no case");
    for (name, alpn) in [
        (Some("other.example.com"), &["acme-tls/1"][..]),
        (None, &["acme-tls/1"]),
        // Not a challenge handshake (RFC 8737 section 4), and there is no certificate for others yet.
        (Some(NAME), &["acme-tls/1", "h2"]),
        (Some(NAME), &["h2", "acme-tls/1"]),
        (Some(NAME), &["h2"]),
        (Some(NAME), &[]),
    ] {
        assert!(shake(pebble.tls, name, alpn, None).await.is_err(), "{name:?} {alpn:?}");
    }
    let_go.notify_one();
    another(&pebble, None).await;
    for alpn in [&["acme-tls/1", "h2"][..], &["h2", "acme-tls/1"]] {
        let ordinary = shake(pebble.tls, Some(NAME), alpn, Some(&pebble.root().await)).await.unwrap();
        assert_eq!(ordinary.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    }
    assert!(shake(pebble.tls, Some(NAME), &["acme-tls/1"], None).await.is_err(), "the challenge is over");
    gate.close().await.unwrap();
}

#[tokio::test]
async fn a_document_is_answered_for_the_token_under_its_name_alone() {
    let Some(pebble) = Pebble::start("documents during a challenge", false).await else { return };
    let (state, let_go) = (Folder::new(), Arc::new(tokio::sync::Notify::new()));
    pebble.meddle("chalZ", Meddling::Hold(Arc::clone(&let_go)));
    let gate = open(&config(&pebble, &state, "challenge = \"http-01\""), &now()).await;
    until("a challenge", || pebble.heard("chalZ") == 1).await;
    let token = pebble.token();
    let path = format!("/.well-known/acme-challenge/{token}");
    let (status, document) = documents(pebble.http, "GET", NAME, &path).await;
    let document = String::from_utf8(document).unwrap();
    assert_eq!((status, document.split('.').next()), (200, Some(&*token)));
    assert_eq!(documents(pebble.http, "GET", &format!("{NAME}:80"), &path).await.0, 200);
    for (method, host, path) in [
        ("GET", "other.example.com", path.clone()),
        ("GET", "", path.clone()),
        ("POST", NAME, path.clone()),
        ("GET", NAME, format!("{path}x")),
        ("GET", NAME, format!("{path}/")),
        ("GET", NAME, "/.well-known/acme-challenge/".to_owned()),
        ("GET", NAME, "/.well-known/acme-challenge/evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA".to_owned()),
        ("GET", NAME, "/.well-known/acme-challenge/../../../../etc/passwd".to_owned()),
        ("GET", NAME, "/.well-known/acme-challenge/..%2f..%2fstate%2facme".to_owned()),
        ("GET", NAME, format!("/.well-known/acme-challenge/./{token}")),
        ("GET", NAME, format!("/.well-known/acme-challenge/%{:02X}{}", token.as_bytes()[0], &token[1..])),
    ] {
        let (status, body) = documents(pebble.http, method, host, &path).await;
        assert_eq!((status, body.len()), (404, 0), "{method} {host} {path}");
    }
    // All else is sent to https as ever.
    assert_eq!(documents(pebble.http, "GET", "other.example.com", "/x").await.0, 308);
    let_go.notify_one();
    another(&pebble, None).await;
    assert_eq!(documents(pebble.http, "GET", NAME, &path).await.0, 404, "the challenge is over");
    gate.close().await.unwrap();
}

#[tokio::test]
async fn what_the_authority_refuses_is_told_in_words() {
    let Some(pebble) = Pebble::start("refusals of an authority", false).await else { return };
    let fails = async |more: &str| {
        let state = Folder::new();
        let gate = open(&config(&pebble, &state, more), &now()).await;
        let fault = trouble(&gate).await;
        assert!(!keeper(&gate).is_certified());
        gate.close().await.unwrap();
        fault
    };
    let fault = fails(&format!("domains = [\"{NAME}\", \"{FORBIDDEN}\"]")).await;
    assert!(fault.contains("rejectedIdentifier") && fault.contains("acme.domains"), "{fault}");
    // The name leads to somebody else, where nobody listens.
    pebble.lead("astray.example.com", "127.0.0.2").await;
    for challenge in ["http-01", "tls-alpn-01"] {
        let fault =
            fails(&format!("challenge = \"{challenge}\"\ndomains = [\"{NAME}\", \"astray.example.com\"]")).await;
        assert!(fault.contains("`astray.example.com`") && fault.contains(challenge), "{fault}");
    }
}

#[tokio::test]
async fn an_authority_that_knows_its_customers_is_shown_the_binding() {
    let Some(pebble) = Pebble::start("external account binding", true).await else { return };
    let state = Folder::new();
    let fails = async |more: &str| {
        let gate = open(&config(&pebble, &state, more), &now()).await;
        let fault = trouble(&gate).await;
        gate.close().await.unwrap();
        fault
    };
    let fault = fails("").await;
    assert!(fault.contains("acme.eab_key_id"), "{fault}");
    let file = state.path().join("eab.key");
    let bound = |key_id: &str| format!("eab_key_id = \"{key_id}\"\neab_key_file = \"{}\"", file.display());
    std::fs::write(&file, "c29tZWJvZHktZWxzZSdzLWtleS1vZi0zMi1ieXRlcw").unwrap();
    let fault = fails(&bound(BINDING.0)).await;
    assert!(fault.contains("an account cannot be had"), "{fault}");
    std::fs::write(&file, format!("{}\n", BINDING.1)).unwrap();
    let fault = fails(&bound("kid-of-nobody")).await;
    assert!(fault.contains("an account cannot be had"), "{fault}");
    // Other settings do not wait for the failures of these.
    let gate = open(&config(&pebble, &state, &bound(BINDING.0)), &now()).await;
    another(&pebble, None).await;
    gate.close().await.unwrap();
    std::fs::write(&file, "not base64 at all").unwrap();
    let Err(fault) = try_open(&config(&pebble, &state, &bound(BINDING.0)), &now()).await else { panic!("it opened") };
    assert!(fault.contains("base64url") && !fault.contains("not base64 at all"), "{fault}");
}

#[tokio::test]
async fn the_authority_says_when_it_may_be_asked_again() {
    let Some(pebble) = Pebble::start("Retry-After", false).await else { return };
    let (state, clock) = (Folder::new(), now());
    let refuse = Meddling::Refuse { times: 1, status: 429, retry_after: Some("86400"), kind: "rateLimited" };
    pebble.meddle("newOrder", refuse);
    let gate = open(&config(&pebble, &state, ""), &clock).await;
    let fault = trouble(&gate).await;
    assert!(fault.contains("rateLimited"), "{fault}");
    until("the time that was told", || attempts(&state)["told"] == true).await;
    let until_then = attempts(&state)["not_before"].as_u64().unwrap() - clock.seconds();
    assert!((86_300..=86_400).contains(&until_then), "{until_then}");
    // Neither time, nor haste, nor a restart makes it earlier.
    clock.advance(DAY.saturating_sub(Duration::from_mins(2)));
    keeper(&gate).hasten();
    look_again(&gate).await;
    gate.close().await.unwrap();
    let gate = open(&config(&pebble, &state, ""), &clock).await;
    keeper(&gate).hasten();
    look_again(&gate).await;
    assert_eq!(pebble.heard("newOrder"), 1);
    clock.advance(Duration::from_mins(3));
    another(&pebble, None).await;
    assert_eq!((pebble.heard("newOrder"), pebble.count("newOrder")), (2, 1));
    gate.close().await.unwrap();
}

#[tokio::test]
async fn an_authority_that_will_revoke_is_heard() {
    let Some(pebble) = Pebble::start("suggestions of an authority", false).await else { return };
    let (state, clock) = (Folder::new(), now());
    let gate = open(&config(&pebble, &state, ""), &clock).await;
    let first = another(&pebble, None).await;
    until("the end of the attempt", || attempts(&state)["failures"] == 0).await;
    gate.close().await.unwrap();
    pebble.suggest("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
    let gate = open(&config(&pebble, &state, ""), &clock).await;
    another(&pebble, Some(&first)).await;
    let facts = trackgate::certificate::Facts::of(&first).unwrap();
    let replaced = pebble.last_order()["replaces"].as_str().unwrap().to_owned();
    let encoded = |bytes: &[u8]| base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, bytes);
    assert_eq!(replaced, format!("{}.{}", encoded(&facts.authority.unwrap()), encoded(&facts.serial)));
    gate.close().await.unwrap();
}

#[tokio::test]
async fn a_clock_that_jumps_orders_once_and_not_again_and_again() {
    let Some(pebble) = Pebble::start("a clock that jumps", false).await else { return };
    let (state, clock) = (Folder::new(), now());
    // Ten years ahead: what the authority gives has ended before it comes.
    clock.advance(DAY * 3650);
    let gate = open(&config(&pebble, &state, ""), &clock).await;
    let certificate = another(&pebble, None).await;
    look_again(&gate).await;
    assert_eq!((pebble.count("newOrder"), attempts(&state)["failures"].as_u64()), (1, Some(1)));
    gate.close().await.unwrap();
    // A year behind: the kept one is not valid yet, and another would be younger still.
    let clock = Clock::set_to(SystemTime::now() - DAY * 365);
    let gate = open(&config(&pebble, &state, ""), &clock).await;
    keeper(&gate).hasten();
    look_again(&gate).await;
    assert_eq!((shown(&pebble).await, pebble.count("newOrder")), (Some(certificate), 1));
    gate.close().await.unwrap();
}

#[tokio::test]
async fn a_renewal_that_fails_for_weeks_leaves_the_old_certificate_in_use_to_its_end_and_after_it() {
    let Some(pebble) = Pebble::start("a renewal that fails for weeks", false).await else { return };
    let (state, clock) = (Folder::new(), now());
    let gate = open(&config(&pebble, &state, ""), &clock).await;
    let old = another(&pebble, None).await;
    until("the end of the attempt", || attempts(&state)["failures"] == 0).await;
    let refuse = |times| Meddling::Refuse { times, status: 500, retry_after: None, kind: "serverInternal" };
    pebble.meddle("newOrder", refuse(usize::MAX));
    let facts = trackgate::certificate::Facts::of(&old).unwrap();
    clock.advance(facts.life() * 7 / 10);
    let mut days = 0;
    while clock.now() < facts.to + DAY * 2 {
        let before = attempts(&state)["failures"].as_u64().unwrap();
        clock.advance(DAY);
        until("another attempt", || attempts(&state)["failures"].as_u64() > Some(before)).await;
        assert_eq!(shown(&pebble).await.as_ref(), Some(&old));
        assert!(trouble(&gate).await.contains("serverInternal"));
        assert_eq!(keeper(&gate).is_certified(), clock.now() < facts.to);
        days += 1;
    }
    assert!(days > 21, "{days}");
    // A restart in the middle of it shows what there is.
    gate.close().await.unwrap();
    let gate = open(&config(&pebble, &state, ""), &clock).await;
    assert_eq!(shown(&pebble).await, Some(old.clone()));
    pebble.meddle("newOrder", refuse(0));
    clock.advance(DAY);
    another(&pebble, Some(&old)).await;
    assert_eq!(pebble.count("newOrder"), 2);
    gate.close().await.unwrap();
}

#[tokio::test]
async fn nothing_is_ordered_that_could_not_be_kept() {
    let Some(pebble) = Pebble::start("a folder that cannot be written", false).await else { return };
    let state = Folder::new();
    let folder = state.path().join("state");
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    // A file where the folder should be: so even root cannot write there.
    std::fs::write(folder.join("acme"), "").unwrap();
    let Err(fault) = try_open(&config(&pebble, &state, ""), &now()).await else { panic!("it opened") };
    assert!(fault.contains("acme") && fault.contains("cannot be made"), "{fault}");
    std::fs::remove_file(folder.join("acme")).unwrap();
    let clock = now();
    let gate = open(&config(&pebble, &state, ""), &clock).await;
    let first = another(&pebble, None).await;
    until("the end of the attempt", || attempts(&state)["failures"] == 0).await;
    std::fs::remove_file(kept(&state).join("attempts.json")).unwrap();
    std::fs::create_dir(kept(&state).join("attempts.json")).unwrap();
    clock.advance(DAY * 61);
    let fault = trouble(&gate).await;
    assert!(fault.contains("attempts.json") && fault.contains("cannot be written"), "{fault}");
    assert_eq!((shown(&pebble).await, pebble.count("newOrder")), (Some(first), 1));
    gate.close().await.unwrap();
}

#[tokio::test]
async fn two_gates_of_one_folder_order_one_certificate() {
    let Some(mut pebble) = Pebble::start("two gates of one folder", false).await else { return };
    let (state, clock) = (Folder::new(), now());
    let text = config(&pebble, &state, "");
    let one = open(&text, &clock).await;
    let tls = std::mem::replace(&mut pebble.tls, "127.0.0.1:0".parse().unwrap());
    let other =
        open(&config(&pebble, &state, "").replace(&format!("redirect = \"{}\"", pebble.http), ""), &clock).await;
    pebble.tls = other.addresses().https.unwrap();
    let theirs = another(&pebble, None).await;
    pebble.tls = tls;
    assert_eq!(shown(&pebble).await, Some(theirs.clone()));
    assert_eq!(pebble.count("newOrder"), 1);
    one.close().await.unwrap();
    // The one that is left takes over.
    until("the end of the attempt", || attempts(&state)["failures"] == 0).await;
    until("the other one to take over", || keeper(&other).leads()).await;
    other.close().await.unwrap();
}

/// The program itself.
struct Program(Child);

impl Program {
    fn start(state: &Folder, text: &str) -> Self {
        let file = state.path().join("trackgate.toml");
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_trackgate"));
        Self(command.arg("--config").arg(&file).arg("serve").stdin(Stdio::null()).spawn().unwrap())
    }

    /// `kill -9`.
    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn an_order_that_a_kill_interrupted_is_finished_and_not_made_again() {
    let Some(pebble) = Pebble::start("kill -9 between order and certificate", false).await else { return };
    let state = Folder::new();
    let text = config(&pebble, &state, "");
    let never = Arc::new(tokio::sync::Notify::new());
    pebble.meddle("certZ", Meddling::Hold(Arc::clone(&never)));
    let program = Program::start(&state, &text);
    until("a certificate on its way", || pebble.heard("certZ") == 1).await;
    program.kill();
    let order: Value = serde_json::from_slice(&std::fs::read(kept(&state).join("order.json")).unwrap()).unwrap();
    assert!(!kept(&state).join("certificate.pem").exists());
    never.notify_one();
    pebble.meddle("certZ", Meddling::Refuse { times: 0, status: 500, retry_after: None, kind: "" });
    // What was begun is finished at once, though the attempt counts as failed.
    assert_eq!(attempts(&state)["failures"], 1);
    let program = Program::start(&state, &text);
    another(&pebble, None).await;
    assert_eq!((pebble.count("newOrder"), pebble.count("newAccount")), (1, 1));
    let written = std::fs::read_to_string(kept(&state).join("certificate.pem")).unwrap();
    assert!(written.starts_with(order["key"].as_str().unwrap().trim()), "the key is the one that the order was for");
    until("a clean folder", || !kept(&state).join("order.json").exists()).await;
    program.kill();
}

/// What was begun may be paid for: an authority that is out of order for a moment does not cost another one.
#[tokio::test]
async fn an_order_that_was_begun_outlives_a_bad_hour_of_the_authority() {
    let Some(pebble) = Pebble::start("an authority out of order", false).await else { return };
    let state = Folder::new();
    let text = config(&pebble, &state, "");
    let never = Arc::new(tokio::sync::Notify::new());
    pebble.meddle("certZ", Meddling::Hold(Arc::clone(&never)));
    let program = Program::start(&state, &text);
    until("a certificate on its way", || pebble.heard("certZ") == 1).await;
    program.kill();
    never.notify_one();
    let refuses = |times| Meddling::Refuse { times, status: 503, retry_after: None, kind: "serverInternal" };
    pebble.meddle("certZ", refuses(0));
    pebble.meddle("my-order", refuses(1));
    let clock = now();
    let gate = open(&text, &clock).await;
    let why = trouble(&gate).await;
    assert!(why.contains("the order cannot be seen"), "{why}");
    assert!(kept(&state).join("order.json").exists());
    // The second failure in a row: two hours, and up to a quarter more.
    clock.advance(Duration::from_hours(3));
    another(&pebble, None).await;
    assert_eq!((pebble.heard("newOrder"), pebble.count("newOrder")), (1, 1));
    gate.close().await.unwrap();
}

#[tokio::test]
async fn check_says_what_would_be_asked_and_orders_nothing() {
    let Some(pebble) = Pebble::start("trackgate check with ACME", true).await else { return };
    let state = Folder::new();
    let check = |more: &str| {
        let file = state.path().join("trackgate.toml");
        std::fs::write(&file, config(&pebble, &state, more)).unwrap();
        let output =
            Command::new(env!("CARGO_BIN_EXE_trackgate")).arg("--config").arg(&file).arg("check").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let said = check("");
    assert!(said.contains("FAULT acme") && said.contains("acme.eab_key_id"), "{said}");
    let file = state.path().join("eab.key");
    std::fs::write(&file, BINDING.1).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let said = check(&format!("eab_key_id = \"{}\"\neab_key_file = \"{}\"", BINDING.0, file.display()));
    assert!(said.contains("ok    acme") && said.contains(NAME) && said.contains("tls-alpn-01"), "{said}");
    assert!(said.contains("port 443"), "the listener has another port: {said}");
    assert_eq!((pebble.count("newOrder"), pebble.count("newAccount")), (0, 0));
}
