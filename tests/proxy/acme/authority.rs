//! A real authority that speaks ACME: Let's Encrypt's Pebble, with its own name server, and a proxy of ours in front that counts,
//! holds and changes what goes by (suggestions of RFC 9773 and `Retry-After` are not in the version that Debian ships).
//!
//! Where Pebble is not installed (`apt-get install pebble`), the tests are skipped by name; with `TRACKGATE_REQUIRE_ALL=1`
//! that is a failure.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::harness::certs::{Authority, Folder};
use crate::harness::client::{self, Client, get, payload};
use crate::harness::server::{Answer, Server, full};
use crate::harness::{ports, until};

/// The keys that Pebble's customers are given.
pub(super) const BINDING: (&str, &str) = ("kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W");
/// A name for which it gives none.
pub(super) const FORBIDDEN: &str = "forbidden.example.com";
/// How long its certificates are good: 90 days.
const LIFE: u64 = 90 * 86_400;

/// A process that ends with this value; by itself after some minutes if we are killed.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // What we started is `timeout`, which hands SIGTERM on; killed, it would leave its charge behind.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

/// What the proxy does with a request besides counting it.
#[derive(Clone)]
pub(super) enum Meddling {
    /// Waits until it is let go.
    Hold(Arc<tokio::sync::Notify>),
    /// Answers by itself, so often.
    Refuse { times: usize, status: u16, retry_after: Option<&'static str>, kind: &'static str },
}

#[derive(Default)]
struct Book {
    /// What came, by the name of the directory's entry, or the first word of the path.
    heard: HashMap<String, usize>,
    /// What was granted.
    counts: HashMap<String, usize>,
    paths: HashMap<String, String>,
    meddling: HashMap<String, Meddling>,
    /// What the last order asked for.
    order: Value,
    /// The tokens of challenges that went by.
    tokens: Vec<String>,
    /// What is suggested, if anything is.
    window: Option<(String, String)>,
}

/// Pebble and all that belongs to it.
pub(super) struct Pebble {
    pub(super) folder: Folder,
    pub(super) api: Authority,
    pub(super) http: SocketAddr,
    pub(super) tls: SocketAddr,
    proxy: Server,
    names: SocketAddr,
    management: SocketAddr,
    book: Arc<Mutex<Book>>,
    programs: Vec<Program>,
}

fn run(folder: &Folder, program: &str, arguments: &[&str]) -> Result<Program, String> {
    let log = File::create(folder.path().join(format!("{program}.log"))).unwrap();
    Command::new("timeout")
        .args(["300", program])
        .args(arguments)
        .current_dir(folder.path())
        // Challenges are looked at without delay, and every time.
        .env("PEBBLE_VA_NOSLEEP", "1")
        .env("PEBBLE_AUTHZREUSE", "0")
        // Where a good nonce is refused, it is by us, and when a test expects it: the third refusal ends an attempt.
        .env("PEBBLE_WFE_NONCEREJECT", "0")
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .map(Program)
        .map_err(|error| format!("{program}: {error}"))
}

impl Pebble {
    /// `None`: it is not installed, and that was said.
    pub(super) async fn start(test: &str, bound: bool) -> Option<Self> {
        let there = |program: &str| {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
        };
        if !there("pebble") || !there("pebble-challtestsrv") {
            let missing = "pebble is not installed (Debian: apt-get install pebble)";
            assert!(std::env::var_os("TRACKGATE_REQUIRE_ALL").is_none_or(|all| all != "1"), "{missing}");
            let _ = writeln!(std::io::stderr(), "skipped: {test}: {missing}");
            return None;
        }
        trackgate::cli::install_crypto();
        let (folder, api) = (Folder::new(), Authority::new());
        api.write(folder.path());
        std::fs::write(folder.path().join("ca.pem"), &api.ca_pem).unwrap();
        let [listen, management, names, dns, http, tls] = ports::free();
        let mut config = json!({
            "listenAddress": listen.to_string(), "managementListenAddress": management.to_string(),
            "certificate": "cert.pem", "privateKey": "key.pem", "httpPort": http.port(), "tlsPort": tls.port(),
            "ocspResponderURL": "", "externalAccountBindingRequired": bound, "domainBlocklist": [FORBIDDEN],
            "certificateValidityPeriod": LIFE,
        });
        if bound {
            config["externalAccountMACKeys"] = json!({ BINDING.0: BINDING.1 });
        }
        std::fs::write(folder.path().join("pebble.json"), json!({ "pebble": config }).to_string()).unwrap();
        let (dns, managed) = (dns.to_string(), names.to_string());
        let name_server = [
            "-defaultIPv4",
            "127.0.0.1",
            "-defaultIPv6",
            "",
            "-http01",
            "",
            "-https01",
            "",
            "-tlsalpn01",
            "",
            "-dns01",
            &dns,
            "-management",
            &managed,
        ];
        let programs = vec![
            run(&folder, "pebble-challtestsrv", &name_server).unwrap(),
            run(&folder, "pebble", &["-strict", "-config", "pebble.json", "-dnsserver", &dns]).unwrap(),
        ];
        for (what, address) in [("pebble", listen), ("its management", management), ("its name server", names)] {
            until(what, || std::net::TcpStream::connect(address).is_ok()).await;
        }
        let book = Arc::new(Mutex::new(Book::default()));
        let told = Arc::clone(&book);
        let trusted = api.client(&["http/1.1"]);
        let proxy = Server::with_tls(api.acceptor(), move |request| {
            meddle(request, listen, trusted.clone(), Arc::clone(&told))
        });
        Some(Self { folder, api, http, tls, proxy, names, management, book, programs })
    }

    /// Its directory.
    pub(super) fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.proxy.address.port())
    }

    /// Who signs what it gives.
    pub(super) async fn root(&self) -> String {
        let tls = client::tls(self.management, self.api.client(&["http/1.1"])).await.unwrap();
        let (status, body) = Client::http1_over(tls).await.ask(get("/roots/0")).await;
        assert_eq!(status, 200);
        String::from_utf8(body.to_vec()).unwrap()
    }

    /// Lets a name lead elsewhere.
    pub(super) async fn lead(&self, name: &str, address: &str) {
        let body = payload(json!({ "host": name, "addresses": [address] }).to_string());
        let (status, _) = Client::http1(self.names).await.ask(client::post("/add-a", body)).await;
        assert_eq!(status, 200);
    }

    /// How often something came: `newOrder`, `newAccount`, `certZ`, ...
    pub(super) fn heard(&self, what: &str) -> usize {
        self.book.lock().unwrap().heard.get(what).copied().unwrap_or_default()
    }

    /// How often something was granted: `newOrder`, `newAccount`, `certZ`, ...
    pub(super) fn count(&self, what: &str) -> usize {
        self.book.lock().unwrap().counts.get(what).copied().unwrap_or_default()
    }

    /// What the last order asked for.
    pub(super) fn last_order(&self) -> Value {
        self.book.lock().unwrap().order.clone()
    }

    /// The token of the last authorization's challenge of this kind.
    pub(super) fn token(&self) -> String {
        self.book.lock().unwrap().tokens.last().cloned().expect("an authorization")
    }

    pub(super) fn meddle(&self, with: &str, how: Meddling) {
        self.book.lock().unwrap().meddling.insert(with.to_owned(), how);
    }

    /// Suggests a window for renewal from now on.
    pub(super) fn suggest(&self, start: &str, end: &str) {
        self.book.lock().unwrap().window = Some((start.to_owned(), end.to_owned()));
    }

    /// Ends it; its address stays, and answers nothing that makes sense.
    pub(super) fn stop(&mut self) {
        self.programs.clear();
    }
}

/// What Pebble hears, and what is heard of it.
async fn meddle(
    request: Request<Incoming>,
    pebble: SocketAddr,
    trusted: rustls::ClientConfig,
    book: Arc<Mutex<Book>>,
) -> Answer {
    let path = request.uri().path().to_owned();
    if path.starts_with("/suggestion/") {
        let window = book.lock().unwrap().window.clone();
        let Some((start, end)) = window else { return full(404, "{}") };
        let mut answer = full(200, json!({ "suggestedWindow": { "start": start, "end": end } }).to_string());
        answer.headers_mut().insert("retry-after", "21600".parse().unwrap());
        return answer;
    }
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let what = {
        let mut book = book.lock().unwrap();
        let first = path.trim_start_matches('/').split('/').next().unwrap_or_default().to_owned();
        let what = book.paths.get(&path).cloned().unwrap_or(first);
        *book.heard.entry(what.clone()).or_default() += 1;
        if what == "newOrder" {
            book.order = said(&body);
        }
        what
    };
    let meddling = book.lock().unwrap().meddling.get(&what).cloned();
    match meddling {
        Some(Meddling::Hold(until)) => {
            until.notified().await;
            book.lock().unwrap().meddling.remove(&what);
        }
        Some(Meddling::Refuse { times, status, retry_after, kind }) if times > 0 => {
            let left = Meddling::Refuse { times: times - 1, status, retry_after, kind };
            book.lock().unwrap().meddling.insert(what, left);
            let kind = format!("urn:ietf:params:acme:error:{kind}");
            let mut answer = full(status, json!({ "type": kind, "detail": "too much", "status": status }).to_string());
            answer.headers_mut().insert("content-type", "application/problem+json".parse().unwrap());
            answer.headers_mut().insert("replay-nonce", "none-at-all".parse().unwrap());
            if let Some(seconds) = retry_after {
                answer.headers_mut().insert("retry-after", seconds.parse().unwrap());
            }
            return answer;
        }
        _ => {}
    }
    let Ok(tls) = client::tls(pebble, trusted).await else { return full(502, "<h1>Bad Gateway</h1>") };
    let answer = Client::http1_over(tls).await.send(Request::from_parts(head, payload(body))).await;
    let (mut head, body) = answer.into_parts();
    let mut body = body.collect().await.unwrap().to_bytes();
    let mut book = book.lock().unwrap();
    if head.status.is_success() {
        *book.counts.entry(what.clone()).or_default() += 1;
    }
    if what == "dir" && head.status == 200 {
        let mut directory: Value = serde_json::from_slice(&body).unwrap();
        for (name, url) in directory.as_object().unwrap() {
            if let Some(path) =
                url.as_str().and_then(|url| url.parse::<http::Uri>().ok()).map(|url| url.path().to_owned())
            {
                book.paths.insert(path, name.clone());
            }
        }
        if book.window.is_some() {
            let here = directory["newOrder"].as_str().unwrap().rsplit_once('/').unwrap().0.to_owned();
            directory["renewalInfo"] = json!(format!("{here}/suggestion"));
        }
        body = Bytes::from(directory.to_string());
    }
    if what == "authZ" && head.status == 200 {
        let authorization: Value = serde_json::from_slice(&body).unwrap();
        let challenges = authorization["challenges"].as_array().cloned().unwrap_or_default();
        let ours = challenges.iter().filter(|challenge| challenge["type"] == "http-01");
        book.tokens.extend(ours.map(|challenge| challenge["token"].as_str().unwrap().to_owned()));
    }
    let replaces = book.order["replaces"].clone();
    if what == "newOrder" && head.status == 201 && !replaces.is_null() {
        // RFC 9773 section 5: it says which one is replaced.
        let mut order: Value = serde_json::from_slice(&body).unwrap();
        order["replaces"] = replaces;
        body = Bytes::from(order.to_string());
    }
    head.headers.remove("content-length");
    Response::from_parts(head, full(200, body).into_body())
}

/// What a signed request says.
fn said(body: &[u8]) -> Value {
    let signed: Value = serde_json::from_slice(body).unwrap_or_default();
    let payload = URL_SAFE_NO_PAD.decode(signed["payload"].as_str().unwrap_or_default()).unwrap_or_default();
    serde_json::from_slice(&payload).unwrap_or_default()
}
