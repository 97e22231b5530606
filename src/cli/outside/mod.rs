//! `trackgate doctor --url`: is the whole chain in order, seen from outside?
//!
//! Name, certificate, the way from http, sign-in, and above all that nobody gets at MLflow without a credential; with one,
//! who one is and which MLflow answers. It needs no configuration, and sees what a stranger sees.

mod door;

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use clap::Args;
use http::StatusCode;
use http::header::{ACCEPT, AUTHORIZATION, HeaderName, HeaderValue, PROXY_AUTHORIZATION};
use serde::Serialize;
use url::Url;
use zeroize::Zeroizing;

use self::door::{Deaf, Door, Heard};
use super::client::Reach;
use super::connect::{around, audience};
use super::{Ended, say};
use crate::certificate::Facts;
use crate::client::{Server, Who, harmless};
use crate::clock::Clock;
use crate::connect::source::choice::Kind;
use crate::connect::source::{Credential, SourceFault};
use crate::fetch::{self, Fetcher, is_secure};

/// A certificate with fewer days left should have been renewed; one that lives shorter, when a quarter of its life is left
/// (an authority's is renewed at a third).
const DAYS: u64 = 21;
const DAY: Duration = Duration::from_hours(24);

#[derive(Debug, Args)]
pub(super) struct Outside {
    /// Look at a server from outside, as strangers and programs do, such as `https://mlflow.example.com`.
    #[arg(long, value_name = "URL", conflicts_with_all = ["routes", "python", "list_script"])]
    url: Option<Url>,
    /// Where to find it, in the place of what its name says: a load balancer that is to get the name.
    #[arg(long, value_name = "ADDRESS:PORT", requires = "url")]
    address: Option<SocketAddr>,
    /// The port at which http leads to https. Without: 80 where the address has no port, else it is not looked at.
    #[arg(long, value_name = "PORT", requires = "url")]
    http_port: Option<u16>,
    /// Where the credential comes from: env, file, login, github, adc, metadata, none. Without: the first of `TRACKGATE_TOKEN`,
    /// `TRACKGATE_TOKEN_FILE`, `MLFLOW_TRACKING_TOKEN`, a login; or none.
    #[arg(long, value_name = "KIND", requires = "url")]
    credential: Option<Kind>,
    /// Print JSON.
    #[arg(long, requires = "url")]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// One thing that was found.
#[derive(Debug, Serialize)]
struct Finding {
    #[serde(rename = "finding")]
    kind: &'static str,
    what: &'static str,
    words: String,
}

/// All of it.
#[derive(Debug)]
struct Findings {
    json: bool,
    found: Vec<Finding>,
}

impl Findings {
    fn add(&mut self, finding: &'static str, what: &'static str, words: impl Into<String>) -> anyhow::Result<()> {
        let words = words.into();
        if !self.json {
            say::line(format!("{finding:<5} {what}: {words}"))?;
        }
        self.found.push(Finding { kind: finding, what, words });
        Ok(())
    }

    fn ok(&mut self, what: &'static str, words: impl Into<String>) -> anyhow::Result<()> {
        self.add("ok", what, words)
    }

    fn fault(&mut self, what: &'static str, words: impl Into<String>) -> anyhow::Result<()> {
        self.add("FAULT", what, words)
    }

    fn note(&mut self, what: &'static str, words: impl Into<String>) -> anyhow::Result<()> {
        self.add("note", what, words)
    }
}

impl Outside {
    /// Whether this is what was asked for.
    pub(super) fn is_wanted(&self) -> bool {
        self.url.is_some()
    }

    pub(super) async fn run(self) -> anyhow::Result<Ended> {
        let mut url = self.url.clone().context("which URL?")?;
        if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none_or(str::is_empty) {
            bail!("an address such as https://mlflow.example.com is wanted");
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            bail!("an address without user, password, query and fragment is wanted");
        }
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        let mut findings = Findings { json: self.json, found: Vec::new() };
        self.examine(&url, &path, &mut findings).await?;
        let faults = findings.found.iter().filter(|one| one.kind == "FAULT").count();
        if self.json {
            say::json(&serde_json::json!({"url": url.as_str(), "faults": faults, "findings": findings.found}))?;
        }
        Ok(if faults > 0 { Ended::FoundFaults } else { Ended::Well })
    }

    async fn examine(&self, url: &Url, prefix: &str, findings: &mut Findings) -> anyhow::Result<()> {
        let tls = fetch::tls(&fetch::Settings { ca_file: self.reach.ca_file(), ..fetch::Settings::default() })?;
        let Some(addresses) = self.addresses(url, findings).await? else { return Ok(()) };
        let door = Door::new(url.clone(), addresses, tls);
        let secure = url.scheme() == "https";
        if secure {
            if !certificate(&door, findings).await? {
                return findings.note("the rest", "not looked at: nothing can be believed of it");
            }
        } else {
            findings
                .fault("certificate", "there is none: whoever is on the way reads passwords and tokens; use https")?;
        }
        let http = self.http_port.or(if secure && url.port().is_none() { Some(80) } else { None });
        if let Some(port) = http {
            from_http(&door, port, findings).await?;
        }
        let page = sign_in(&door, prefix, findings).await?;
        let Some(iap) = anonymous(&door, prefix, page, findings).await? else { return Ok(()) };
        if !iap {
            itself(&door, findings).await?;
        }
        self.with_credential(&door, prefix, iap, findings).await
    }

    async fn addresses(&self, url: &Url, findings: &mut Findings) -> anyhow::Result<Option<Vec<SocketAddr>>> {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        if let Some(address) = self.address {
            findings.note("name", format!("{host} is looked at on {address}, wherever it leads"))?;
            return Ok(Some(vec![address]));
        }
        let port = url.port_or_known_default().unwrap_or(443);
        match tokio::net::lookup_host((host, port)).await {
            Ok(found) => {
                let found: Vec<SocketAddr> = found.collect();
                let mut shown: Vec<String> = found.iter().map(|at| at.ip().to_string()).collect();
                shown.dedup();
                findings.ok("name", format!("{host} is {}", shown.join(", ")))?;
                Ok(Some(found))
            }
            Err(error) => {
                findings.fault("name", format!("{host} leads nowhere ({error}): is the record in the DNS zone?"))?;
                Ok(None)
            }
        }
    }

    /// What somebody with a credential sees.
    async fn with_credential(
        &self,
        door: &Door,
        prefix: &str,
        iap: bool,
        findings: &mut Findings,
    ) -> anyhow::Result<()> {
        if !is_secure(&door.url) {
            return findings.note("credential", "none is sent in the clear");
        }
        let server = Server::parse(door.url.as_str())?;
        let mut shown = Vec::new();
        match self.credential(&server).await {
            Ok(Some((from, field))) => {
                findings.ok("credential", from)?;
                shown.push((AUTHORIZATION, field));
            }
            Ok(None) => {}
            Err(error) => return findings.fault("credential", super::sentence(&error)),
        }
        let beside = self.reach.beside()?;
        if let Some(beside) = beside {
            match beside.show().await {
                Ok(field) => shown.push((PROXY_AUTHORIZATION, field)),
                Err(error) => findings.fault("credential for IAP", error.to_string())?,
            }
        }
        if shown.is_empty() {
            let how = if iap { "; behind IAP, `--iap-audience` says for whom IAP's is" } else { "" };
            return findings.note(
                "credential",
                format!(
                    "none, so nobody was asked who one is: `trackgate login {server}`, or set TRACKGATE_TOKEN{how}"
                ),
            );
        }
        shown.push((ACCEPT, HeaderValue::from_static("application/json")));
        match door.get("/trackgate/whoami", &shown).await {
            Ok(heard) if heard.status == StatusCode::OK => match serde_json::from_slice::<Who>(&heard.body) {
                Ok(who) => findings.ok("whoami", format!("{} (by {})", harmless(&who.user), harmless(&who.proof)))?,
                Err(_) => findings.fault("whoami", "its answer is not Trackgate's")?,
            },
            Ok(heard) => findings.fault("whoami", refused(&heard))?,
            Err(deaf) => findings.fault("whoami", deaf.to_string())?,
        }
        match door.get(&format!("{prefix}/version"), &shown).await {
            Ok(heard) if heard.status == StatusCode::OK => {
                let text = String::from_utf8_lossy(&heard.body).trim().to_owned();
                match text.parse::<crate::mlflow::version::Version>() {
                    Ok(version) => findings.ok("MLflow", format!("version {version} answers through the gate")),
                    Err(_) => findings.fault("MLflow", "what it answers to `/version` is no version of MLflow"),
                }
            }
            Ok(heard) => findings.fault("MLflow", refused(&heard)),
            Err(deaf) => findings.fault("MLflow", deaf.to_string()),
        }
    }

    /// A credential, and where it is from.
    async fn credential(&self, server: &Server) -> anyhow::Result<Option<(String, HeaderValue)>> {
        let client = self.reach.client_for()?;
        let token_file = std::env::var_os("TRACKGATE_TOKEN_FILE").filter(|path| !path.is_empty()).map(Into::into);
        let logged_in = super::client::is_logged_in(&client, server);
        let around = around(token_file, logged_in);
        let mlflow = std::env::var("MLFLOW_TRACKING_TOKEN").ok().filter(|token| !token.is_empty()).map(Zeroizing::new);
        let kind = match (self.credential, around.first()) {
            (Some(kind), _) | (None, kind @ (Kind::Env | Kind::File)) => kind,
            (None, _) if mlflow.is_some() => {
                let token = mlflow.unwrap_or_default();
                let credential =
                    Credential::read(token).map_err(|why| anyhow::anyhow!("MLFLOW_TRACKING_TOKEN: {why}"))?;
                return Ok(Some(("MLFLOW_TRACKING_TOKEN".to_owned(), credential.field().clone())));
            }
            (None, Kind::Login) => Kind::Login,
            // What the machine has would be sent to a server that was only to be looked at.
            (None, _) => return Ok(None),
        };
        if kind == Kind::Login {
            let fresh = client.fresh(server).await?;
            let field = Zeroizing::new(format!("Bearer {}", secrecy::ExposeSecret::expose_secret(&fresh.secret)));
            return Ok(Some(("the login".to_owned(), HeaderValue::from_str(&field)?)));
        }
        let fetcher = Fetcher::new(&fetch::Settings::default())?;
        let login = || Err(SourceFault::lasting("the login is asked by itself".to_owned(), ""));
        let Some(source) = around.source(kind, &audience(server), &fetcher, login)? else { return Ok(None) };
        let credential = source.fresh(None).await?;
        Ok(Some((source.describe(), credential.field().clone())))
    }
}

/// Whether the certificate is good; tells of its days.
async fn certificate(door: &Door, findings: &mut Findings) -> anyhow::Result<bool> {
    match door.certificate().await {
        Ok(Some(der)) => {
            match Facts::of(&der) {
                Ok(facts) => match left(&facts, Clock::System.now()) {
                    (true, words) => findings.ok("certificate", words)?,
                    (false, words) => findings.fault("certificate", words)?,
                },
                Err(error) => findings.fault("certificate", error.to_string())?,
            }
            Ok(true)
        }
        Ok(None) => findings.fault("certificate", "none is shown").map(|()| false),
        Err(deaf @ (Deaf::Unreachable(_) | Deaf::TooSlow)) => {
            findings.fault("connection", deaf.to_string()).map(|()| false)
        }
        Err(deaf) => findings.fault("certificate", deaf.to_string()).map(|()| false),
    }
}

/// Whether a certificate has long enough left, and how long.
pub(super) fn left(facts: &Facts, now: SystemTime) -> (bool, String) {
    let Ok(left) = facts.to.duration_since(now) else {
        return (false, "it has expired: renew it".to_owned());
    };
    let days = left.as_secs() / DAY.as_secs();
    let wanted = (DAY * u32::try_from(DAYS).unwrap_or(0)).min(facts.life() / 4);
    let end = time::OffsetDateTime::from(facts.to);
    let end = format!("{:04}-{:02}-{:02}", end.year(), u8::from(end.month()), end.day());
    if left < wanted {
        return (false, format!("it ends in {days} days, on {end}, and should have been renewed by now"));
    }
    (true, format!("good for {days} days, until {end}"))
}

async fn from_http(door: &Door, port: u16, findings: &mut Findings) -> anyhow::Result<()> {
    match door.get_plain(port, "/").await {
        Err(Deaf::Unreachable(_) | Deaf::TooSlow) => findings
            .note("http", format!("nothing answers at port {port}: whoever types the name alone gets no further")),
        Err(deaf) => findings.fault("http", deaf.to_string()),
        Ok(heard) => match heard.leads_to(&door.url) {
            Some(to) if to.scheme() == "https" && to.host_str() == door.url.host_str() => {
                findings.ok("http", format!("port {port} leads to https"))
            }
            Some(to) => findings.fault("http", format!("port {port} leads to {}, not to https", harmless(to.as_str()))),
            None => findings.fault(
                "http",
                format!("port {port} answers {} in the clear, and does not lead to https", heard.status.as_u16()),
            ),
        },
    }
}

/// What a browser without a session sees. Whether it is IAP's.
async fn sign_in(door: &Door, prefix: &str, findings: &mut Findings) -> anyhow::Result<bool> {
    let browser = [(ACCEPT, HeaderValue::from_static("text/html")), field("sec-fetch-mode", "navigate")];
    let heard = match door.get(&format!("{prefix}/"), &browser).await {
        Ok(heard) => heard,
        Err(deaf) => {
            findings.fault("connection", deaf.to_string())?;
            return Ok(false);
        }
    };
    if heard.is_of_iap(&door.url) {
        findings.ok("sign-in", "Google's Identity-Aware Proxy asks for it")?;
        return Ok(true);
    }
    match heard.leads_to(&door.url) {
        Some(to) if to.origin() == door.url.origin() && to.path() == "/trackgate/login" => {
            let there = format!("{}{}", to.path(), to.query().map(|query| format!("?{query}")).unwrap_or_default());
            match door.get(&there, &browser).await {
                Ok(page) if page.status == StatusCode::OK => findings.ok("sign-in", "Trackgate offers it")?,
                Ok(page) => match page.leads_to(&door.url) {
                    Some(to) if to.origin() == door.url.origin() => findings.ok("sign-in", "Trackgate offers it")?,
                    Some(to) => findings
                        .ok("sign-in", format!("Trackgate leads to {}", harmless(to.host_str().unwrap_or_default())))?,
                    None => findings.fault("sign-in", refused(&page))?,
                },
                Err(deaf) => findings.fault("sign-in", deaf.to_string())?,
            }
        }
        Some(to) => findings.fault(
            "sign-in",
            format!("a browser is led to {}, and that is not Trackgate's sign-in", harmless(to.as_str())),
        )?,
        None if heard.status.is_success() => {
            findings.fault("sign-in", "a page is shown to whoever comes, without any sign-in")?;
        }
        None if heard.status == StatusCode::UNAUTHORIZED => {
            findings.note("sign-in", "none for browsers: programs with tokens alone come in")?;
        }
        None => findings.fault("sign-in", refused(&heard))?,
    }
    Ok(false)
}

/// The question that matters: what does MLflow's API say to a program without a credential? `None`: there is nothing more to
/// be looked at; else whether IAP stands in front.
async fn anonymous(door: &Door, prefix: &str, iap: bool, findings: &mut Findings) -> anyhow::Result<Option<bool>> {
    let what = "without a credential";
    let call = format!("{prefix}/api/2.0/mlflow/experiments/search?max_results=1");
    let heard = match door.get(&call, &[(ACCEPT, HeaderValue::from_static("*/*"))]).await {
        Ok(heard) => heard,
        Err(deaf) => return findings.fault(what, deaf.to_string()).map(|()| None),
    };
    if heard.is_of_iap(&door.url) {
        findings.ok(what, "Google's Identity-Aware Proxy refuses; what is behind it, it alone lets see")?;
        return Ok(Some(true));
    }
    if iap {
        findings.fault(what, "browsers are stopped by Google's Identity-Aware Proxy, and this call is not")?;
    }
    let challenge = heard.field("www-authenticate").to_ascii_lowercase();
    match heard.status {
        StatusCode::OK => findings.fault(
            what,
            "OPEN: MLflow's API answers anybody. Whoever reaches this address reads, changes and deletes everything. No gate \
             stands in front: close the port now, and let Trackgate alone reach MLflow",
        )?,
        StatusCode::UNAUTHORIZED if challenge.starts_with("basic") => {
            findings.fault(what, "a password is asked for, as MLflow's basic-auth does: this is not Trackgate")?;
        }
        StatusCode::UNAUTHORIZED if heard.json("error_code").as_deref() == Some("UNAUTHENTICATED") => {
            findings.ok(what, "MLflow's API refuses (401)")?;
            return Ok(Some(false));
        }
        StatusCode::MISDIRECTED_REQUEST => {
            findings.fault(what, "Trackgate goes by another name here: look at `public_url` and `extra_hosts`")?;
        }
        _ => findings.fault(what, format!("{}, and a 401 of Trackgate's is what should come", refused(&heard)))?,
    }
    // A credential is shown to nobody who is not known to be Trackgate.
    findings.note("the rest", "not looked at: this is not Trackgate, or not as it should be").map(|()| None)
}

/// By what name it knows itself.
async fn itself(door: &Door, findings: &mut Findings) -> anyhow::Result<()> {
    let heard = match door.get("/.well-known/oauth-authorization-server", &[]).await {
        Ok(heard) => heard,
        Err(deaf) => return findings.fault("Trackgate", deaf.to_string()),
    };
    let issuer = heard.json("issuer").and_then(|issuer| Url::parse(&issuer).ok());
    match issuer {
        Some(issuer) if issuer.origin() == door.url.origin() => {
            findings.ok("Trackgate", format!("it knows itself as {}", harmless(issuer.as_str().trim_end_matches('/'))))
        }
        Some(issuer) => findings.fault(
            "Trackgate",
            format!("it believes to be {}: `public_url` is another one", harmless(issuer.as_str())),
        ),
        None => findings.note("Trackgate", "it gives no logins to programs of people (`login.allow`)"),
    }
}

/// A status, with what was said of it.
fn refused(heard: &Heard) -> String {
    let words = heard.json("message").map(|words| format!(": {}", harmless(words.trim()))).unwrap_or_default();
    format!("it answers {}{words}", heard.status.as_u16())
}

fn field(name: &'static str, value: &'static str) -> (HeaderName, HeaderValue) {
    (HeaderName::from_static(name), HeaderValue::from_static(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_should_be_renewed_21_days_ahead_or_at_a_quarter_of_a_short_life() {
        let now = SystemTime::UNIX_EPOCH + DAY * 10_000;
        let facts = |life: u32, left: u32| Facts {
            serial: Vec::new(),
            authority: None,
            from: now + DAY * left - DAY * life,
            to: now + DAY * left,
            whole: Vec::new().into(),
        };
        for (life, days, good) in [
            (90, 60, true),
            (90, 21, true),
            (90, 20, false),
            (365, 22, true),
            (365, 3, false),
            (45, 13, true),
            (45, 10, false),
            (6, 4, true),
            (6, 1, false),
        ] {
            let (is, words) = left(&facts(life, days), now);
            assert_eq!(is, good, "{life} days, {days} left: {words}");
            assert!(words.contains(&format!("{days} days")), "{words}");
        }
        let (good, words) = left(&facts(90, 10), now + DAY * 11);
        assert!(!good && words.contains("expired"), "{words}");
    }
}
