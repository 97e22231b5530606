//! `trackgate doctor --url`: what is in order is said so, and what is not is loud.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use rustls_pki_types::pem::PemObject as _;
use trackgate::serve::{Files, Https, Pair, Redirect};

use crate::harness::certs::{Authority, Folder};
use crate::harness::client::{Client, nothing};
use crate::harness::gate::{AUDIENCE, Gate, HOST};
use crate::harness::server::{Answer, Server, full};

/// A certificate of this authority's for a name, with so many days left.
fn pair(authority: &Authority, name: &str, days: i64) -> (String, String) {
    authority.issue_until(&[name], time::OffsetDateTime::now_utc() + time::Duration::days(days))
}

fn acceptor((certificate, key): (String, String)) -> tokio_rustls::TlsAcceptor {
    let chain = vec![rustls_pki_types::CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = rustls_pki_types::PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    tokio_rustls::TlsAcceptor::from(Arc::new(config))
}

/// Asks the doctor about `https://mlflow.example.com`, which is at `address`.
async fn doctor(
    folder: &Path,
    authority: &Authority,
    address: SocketAddr,
    more: &[&str],
    env: &[(&str, &str)],
) -> (i32, String) {
    let ca = folder.join("ca.pem");
    std::fs::write(&ca, &authority.ca_pem).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_trackgate"));
    command.args(["doctor", "--url", &format!("https://{HOST}"), "--address", &address.to_string()]);
    // Port 9 is nobody's.
    let port = if more.contains(&"--http-port") { Vec::new() } else { vec!["--http-port", "9"] };
    command.arg("--ca").arg(&ca).args(port).args(more).stdin(Stdio::null());
    for name in ["TRACKGATE_TOKEN", "TRACKGATE_TOKEN_FILE", "MLFLOW_TRACKING_TOKEN", "TRACKGATE_IAP_AUDIENCE"] {
        command.env_remove(name);
    }
    command.env("TRACKGATE_CONFIG_DIR", folder.join("nobody")).envs(env.iter().copied());
    let output: Output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

/// A gate with a certificate of the authority's, and a redirect.
async fn gate(authority: &Authority, folder: &Path, days: i64) -> Gate {
    let (certificate, key) = pair(authority, HOST, days);
    let paths: [PathBuf; 2] = [folder.join("cert.pem"), folder.join("key.pem")];
    std::fs::write(&paths[0], certificate).unwrap();
    std::fs::write(&paths[1], key).unwrap();
    let [certificate, private_key] = paths;
    let upstream = Server::scripted(|request: Request<Incoming>| async move {
        match request.uri().path() {
            "/version" => full(200, "3.17.2"),
            _ => full(200, "{}"),
        }
    });
    Gate::with(upstream, "", |config| {
        let address = "127.0.0.1:0".parse().unwrap();
        let pair = Pair::Files(Files { certificate, private_key, poll: Duration::from_hours(1) });
        config.serve.https = Some(Https { address, pair });
        config.serve.redirect = Some(Redirect { address, to: format!("https://{HOST}"), desk: None });
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_that_is_in_order_is_said_so_by_strangers_and_with_a_credential() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let gate = gate(&authority, folder.path(), 60).await;
    let addresses = gate.open().addresses();
    let (https, redirect) = (addresses.https.unwrap(), addresses.redirect.unwrap().port().to_string());
    let http = ["--http-port", redirect.as_str()];
    let (code, said) = doctor(folder.path(), &authority, https, &http, &[]).await;
    assert_eq!(code, 0, "{said}");
    for line in [
        "ok    certificate: good for 59 days, until ",
        "leads to https",
        "ok    sign-in: Trackgate ",
        "ok    without a credential: MLflow's API refuses (401)",
        "ok    Trackgate: it knows itself as https://mlflow.example.com",
        "note  credential: none",
    ] {
        assert!(said.contains(line), "`{line}` is not in:\n{said}");
    }
    assert!(!said.contains("FAULT"), "{said}");

    for name in ["TRACKGATE_TOKEN", "MLFLOW_TRACKING_TOKEN"] {
        let (code, said) = doctor(folder.path(), &authority, https, &http, &[(name, &gate.token("alice"))]).await;
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("ok    whoami: alice@example.com (by "), "{said}");
        assert!(said.contains("ok    MLflow: version 3.17.2 answers through the gate"), "{said}");
    }
    // What alice says, under what was signed of bob.
    let (alice, bob) = (gate.token("alice"), gate.token("bob"));
    let (said_of_alice, signed) = (alice.rsplit_once('.').unwrap().0, bob.rsplit_once('.').unwrap().1);
    let forged = format!("{said_of_alice}.{signed}");
    let (code, said) = doctor(folder.path(), &authority, https, &http, &[("TRACKGATE_TOKEN", &forged)]).await;
    assert_eq!(code, 5, "{said}");
    assert!(said.contains("FAULT whoami: it answers 401") && !said.contains(signed), "{said}");

    let (code, said) = doctor(folder.path(), &authority, https, &["--json", "--http-port", &redirect], &[]).await;
    let told: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &told["faults"]), (0, &serde_json::json!(0)));
    assert!(told["findings"].as_array().unwrap().iter().any(|one| one["finding"] == "ok" && one["what"] == "sign-in"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_ends_soon_has_ended_or_is_anothers_is_a_fault() {
    let (folder, authority) = (Folder::new(), Authority::new());
    for (name, days, words) in [
        (HOST, 20, "should have been renewed by now"),
        (HOST, -2, "FAULT certificate: it has expired: renew it"),
        ("other.example.com", 60, "FAULT certificate: it is for another name than `mlflow.example.com`"),
    ] {
        let server = Server::with_tls(acceptor(pair(&authority, name, days)), |_| async { full(401, "{}") });
        let (code, said) = doctor(folder.path(), &authority, server.address, &[], &[]).await;
        assert_eq!(code, 5, "{said}");
        assert!(said.contains(words), "{name} {days}: {said}");
    }
    let server = Server::with_tls(acceptor(pair(&Authority::new(), HOST, 60)), |_| async { full(401, "{}") });
    let (code, said) = doctor(folder.path(), &authority, server.address, &[], &[("TRACKGATE_TOKEN", "secret")]).await;
    assert!(code == 5 && said.contains("none of the trusted authorities signed it"), "{said}");
    assert!(server.seen().is_empty(), "nothing is sent to whom nobody vouches for");
    let (code, said) = doctor(folder.path(), &authority, "127.0.0.1:9".parse().unwrap(), &[], &[]).await;
    assert!(code == 5 && said.contains("FAULT connection: nothing listens there"), "{said}");
}

/// Servers that are no Trackgate: what each is, is told, and no credential is shown to any of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_there_in_the_place_of_a_gate_is_told_and_an_open_mlflow_loudest() {
    fn with(status: u16, name: &str, value: &str, body: &'static str) -> Answer {
        let mut answer: Response<_> = full(status, body);
        answer.headers_mut().insert(http::HeaderName::try_from(name).unwrap(), value.parse().unwrap());
        answer
    }
    type Script = fn(&str) -> Answer;
    let scripts: [(&str, Script, &str); 5] = [
        (
            "open",
            |_| full(200, "{\"experiments\": []}"),
            "FAULT without a credential: OPEN: MLflow's API answers anybody",
        ),
        (
            "basic-auth",
            |_| with(401, "www-authenticate", "Basic realm=\"mlflow\"", "You are not authenticated."),
            "as MLflow's basic-auth does: this is not Trackgate",
        ),
        ("down", |_| full(502, "bad gateway"), "FAULT without a credential: it answers 502"),
        (
            "another proxy",
            |_| with(302, "location", "https://sso.example.com/start", ""),
            "FAULT sign-in: a browser is led to https://sso.example.com/start",
        ),
        (
            "half of IAP",
            |path| {
                if path == "/" {
                    with(302, "location", "https://accounts.google.com/o/oauth2/v2/auth?x", "")
                } else {
                    full(200, "{}")
                }
            },
            "browsers are stopped by Google's Identity-Aware Proxy, and this call is not",
        ),
    ];
    let (folder, authority) = (Folder::new(), Authority::new());
    for (what, script, words) in scripts {
        let server = Server::with_tls(acceptor(pair(&authority, HOST, 60)), move |request| async move {
            script(request.uri().path())
        });
        let token = [("TRACKGATE_TOKEN", "secret-of-alice")];
        let (code, said) = doctor(folder.path(), &authority, server.address, &[], &token).await;
        assert_eq!(code, 5, "{what}: {said}");
        assert!(said.contains(words), "{what}: {said}");
        let shown = server.seen().iter().any(|seen| seen.headers.contains_key("authorization"));
        assert!(!shown, "{what} was shown the credential");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn iap_in_front_is_seen_by_its_header_or_by_where_it_leads() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let server = Server::with_tls(acceptor(pair(&authority, HOST, 60)), |request: Request<Incoming>| async move {
        let page = request.headers().get("accept").is_some_and(|accept| accept == "text/html");
        let mut answer = full(if page { 302 } else { 401 }, "Invalid IAP credentials: empty token");
        let headers = answer.headers_mut();
        if page {
            headers.insert("location", "https://accounts.google.com/o/oauth2/v2/auth?client_id=x".parse().unwrap());
        } else {
            headers.insert("x-goog-iap-generated-response", "true".parse().unwrap());
        }
        answer
    });
    let (code, said) = doctor(folder.path(), &authority, server.address, &[], &[]).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("ok    sign-in: Google's Identity-Aware Proxy asks for it"), "{said}");
    assert!(said.contains("ok    without a credential: Google's Identity-Aware Proxy refuses"), "{said}");
    assert!(said.contains("--iap-audience"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_that_answers_in_the_clear_or_leads_elsewhere_is_a_fault() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let gate = gate(&authority, folder.path(), 60).await;
    let https = gate.open().addresses().https.unwrap();
    let clear = Server::scripted(|_| async { full(200, "hello") });
    let port = clear.address.port().to_string();
    let (code, said) = doctor(folder.path(), &authority, https, &["--http-port", &port], &[]).await;
    assert!(code == 5 && said.contains("answers 200 in the clear"), "{said}");
    let elsewhere = Server::scripted(|_| async {
        let mut answer = full(301, "");
        answer.headers_mut().insert("location", "https://evil.example/".parse().unwrap());
        answer
    });
    let port = elsewhere.address.port().to_string();
    let (code, said) = doctor(folder.path(), &authority, https, &["--http-port", &port], &[]).await;
    assert!(code == 5 && said.contains("leads to https://evil.example/"), "{said}");
}

/// The metadata server of the machine. It says what it was asked for, and gives out one of `tokens` for each audience.
fn metadata(tokens: Vec<(&'static str, String)>) -> Server {
    Server::scripted(move |request: Request<Incoming>| {
        let query = request.uri().query().unwrap_or_default().as_bytes();
        let asked: HashMap<String, String> = url::form_urlencoded::parse(query).into_owned().collect();
        let flavor = request.headers().get("metadata-flavor").is_some_and(|flavor| flavor == "Google");
        let path = "/computeMetadata/v1/instance/service-accounts/default/identity";
        let token = tokens.iter().find(|(audience, _)| asked.get("audience").is_some_and(|asked| asked == audience));
        let token = token.filter(|_| flavor && request.uri().path() == path).map(|(_, token)| token.clone());
        async move {
            let mut answer = token.map_or_else(|| full(403, "no"), |token| full(200, token));
            answer.headers_mut().insert("metadata-flavor", "Google".parse().unwrap());
            answer
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_shows_what_its_metadata_server_gives_and_only_where_that_is_wished_for() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let gate = gate(&authority, folder.path(), 60).await;
    let https = gate.open().addresses().https.unwrap();
    let token = gate.token("trainer");
    let server = metadata(vec![(AUDIENCE, token.clone())]);
    let host = server.address.to_string();
    let env = [("GCE_METADATA_HOST", host.as_str())];
    let (code, said) = doctor(folder.path(), &authority, https, &["--credential", "metadata"], &env).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("ok    credential: the metadata server"), "{said}");
    assert!(said.contains("ok    whoami: trainer@example.com (by "), "{said}");
    assert!(said.contains("ok    MLflow: version 3.17.2"), "{said}");
    assert!(!said.contains(&token) && !said.contains(token.rsplit_once('.').unwrap().1), "{said}");
    // A server that was only to be looked at is shown nothing of what the machine has.
    let asked = server.seen().len();
    let (code, said) = doctor(folder.path(), &authority, https, &[], &env).await;
    assert!(code == 0 && said.contains("note  credential: none"), "{said}");
    assert_eq!(server.seen().len(), asked);
    // Where there is none, or it gives nothing, that is said, and is a fault.
    let nobody = metadata(Vec::new());
    let hosts = [nobody.address.to_string(), "127.0.0.1:9".to_owned(), "metadata.evil.example".to_owned()];
    for host in hosts {
        let env = [("GCE_METADATA_HOST", host.as_str())];
        let (code, said) = doctor(folder.path(), &authority, https, &["--credential", "metadata"], &env).await;
        assert!(code == 5 && said.contains("FAULT credential"), "{host}: {said}");
    }
}

/// IAP takes its own credential out of `Proxy-Authorization` and passes the other on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_iap_both_credentials_are_shown_each_to_whom_it_is_for() {
    const OAUTH_CLIENT: &str = "1234.apps.googleusercontent.com";
    let (folder, authority) = (Folder::new(), Authority::new());
    let gate = gate(&authority, folder.path(), 60).await;
    let behind = gate.address();
    let for_iap = gate.issuer.bearer(OAUTH_CLIENT, &serde_json::json!({"sub": "iap", "email": "trainer@example.com"}));
    let wanted = format!("Bearer {for_iap}");
    let through = wanted.clone();
    let server = Server::with_tls(acceptor(pair(&authority, HOST, 60)), move |request: Request<Incoming>| {
        let shown = request.headers().get("proxy-authorization").and_then(|field| field.to_str().ok());
        let let_in = shown == Some(through.as_str());
        async move {
            if !let_in {
                let mut answer = full(401, "Invalid IAP credentials: empty token");
                answer.headers_mut().insert("x-goog-iap-generated-response", "true".parse().unwrap());
                return answer;
            }
            let mut request = request.map(|_| nothing());
            request.headers_mut().remove("proxy-authorization");
            let (head, body) = Client::http1(behind).await.send(request).await.into_parts();
            let body = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
            Response::from_parts(head, full(200, body).into_body())
        }
    });
    let machine = metadata(vec![(AUDIENCE, gate.token("trainer")), (OAUTH_CLIENT, for_iap.clone())]);
    let host = machine.address.to_string();
    let env = [("GCE_METADATA_HOST", host.as_str())];
    let both = ["--credential", "metadata", "--iap-audience", OAUTH_CLIENT, "--iap-credential", "metadata"];
    let (code, said) = doctor(folder.path(), &authority, server.address, &both, &env).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("ok    without a credential: Google's Identity-Aware Proxy refuses"), "{said}");
    assert!(said.contains("ok    whoami: trainer@example.com (by "), "{said}");
    assert!(said.contains("ok    MLflow: version 3.17.2") && !said.contains(&for_iap), "{said}");
    // One credential for the other is shown to nobody: what IAP's is for is not what the gate's is for.
    let (iap, own): (Vec<_>, Vec<_>) = (shown(&server, "proxy-authorization"), shown(&server, "authorization"));
    assert!(!iap.is_empty() && iap.iter().all(|field| *field == wanted), "{iap:?}");
    assert!(!own.is_empty() && own.iter().all(|field| *field != wanted), "{own:?}");
    let (code, said) = doctor(folder.path(), &authority, server.address, &both[..2], &env).await;
    assert_eq!(code, 5, "IAP lets nobody through without its own: {said}");
}

fn shown(server: &Server, name: &str) -> Vec<String> {
    let seen = server.seen();
    seen.iter().filter_map(|seen| Some(seen.headers.get(name)?.to_str().ok()?.to_owned())).collect()
}
