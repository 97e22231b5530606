//! Agents that live of one login: `credentials.json`, its lock, and refresh tokens that can be used once.

use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use http::Request;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};
use trackgate::client::{Client, Folder, Server as Address};
use trackgate::clock::Clock;
use trackgate::connect::source::Login;
use trackgate::token_form;

use super::{Running, clock, date, form, json_answer, now};
use crate::harness::server::Server;
use crate::harness::{certs, until};

/// A gate that knows one login, whose refresh token it takes once.
struct LoggedIn {
    server: Server,
    folder: certs::Folder,
    renewals: Arc<AtomicU64>,
    /// The access token and the refresh token that count.
    counts: Arc<Mutex<(String, String)>>,
}

fn fresh() -> (String, String) {
    (token_form::make("tgl_").unwrap().to_string(), token_form::make("tgr_").unwrap().to_string())
}

impl LoggedIn {
    fn until(access_expires_at: u64) -> Self {
        Self::by(&Clock::System, access_expires_at, 0)
    }

    /// By a clock of the test's; the server's own is so many seconds ahead of it.
    fn by(clock: &Clock, access_expires_at: u64, ahead: i64) -> Self {
        let counts = Arc::new(Mutex::new(fresh()));
        let renewals: Arc<AtomicU64> = Arc::default();
        let (known, count, servers) = (Arc::clone(&counts), Arc::clone(&renewals), clock.clone());
        let server = Server::scripted(move |request: Request<Incoming>| {
            let (known, count) = (Arc::clone(&known), Arc::clone(&count));
            let now = servers.seconds().saturating_add_signed(ahead);
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let mut known = known.lock().unwrap();
                if head.uri.path() == "/trackgate/oauth/token" {
                    if form(&body).get("refresh_token") != Some(&known.1) {
                        return json_answer(400, &json!({"error": "invalid_grant"}));
                    }
                    count.fetch_add(1, Ordering::SeqCst);
                    *known = fresh();
                    return json_answer(
                        200,
                        &json!({"access_token": known.0, "token_type": "Bearer", "expires_in": 3600, "refresh_token": known.1}),
                    );
                }
                let shown = head.headers.get("authorization").map_or("", |field| field.to_str().unwrap());
                let mut answer = if shown == format!("Bearer {}", known.0) {
                    json_answer(200, &json!({}))
                } else {
                    json_answer(401, &json!({"error_code": "UNAUTHENTICATED", "message": "not this one"}))
                };
                answer.headers_mut().insert("date", date(now).parse().unwrap());
                answer
            }
        });
        let folder = certs::Folder::new();
        let inner = folder.path().join("trackgate");
        std::fs::DirBuilder::new().mode(0o700).create(&inner).unwrap();
        let url = format!("http://{}", server.address);
        let (access, refresh) = counts.lock().unwrap().clone();
        let entry = json!({"user": "alice@example.com", "access_token": access, "access_expires_at": access_expires_at,
            "refresh_token": refresh, "refresh_expires_at": clock.seconds() + 86_400, "token_endpoint": format!("{url}/trackgate/oauth/token")});
        let mut file = json!({"version": 1, "servers": {}});
        file["servers"][&url] = entry;
        let path = inner.join("credentials.json");
        std::fs::write(&path, file.to_string()).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        Self { server, folder, renewals, counts }
    }

    fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("trackgate")
    }

    /// An agent as in a process of its own: it shares nothing but the folder.
    async fn agent(&self) -> Running {
        self.agent_by(&Clock::System).await
    }

    async fn agent_by(&self, clock: &Clock) -> Running {
        trackgate::cli::install_crypto();
        let client = Client::new(Folder::at(self.path()), None, clock.clone()).unwrap();
        let say: trackgate::connect::Say = Arc::new(|_: &str| {});
        let login = Login::new(client, Address::parse(&self.url()).unwrap(), say);
        Running::before(&self.url(), |settings| {
            settings.own = Some(Box::new(login));
            settings.clock = clock.clone();
        })
        .await
    }

    fn renewed(&self) -> u64 {
        self.renewals.load(Ordering::SeqCst)
    }

    fn kept(&self) -> Value {
        kept(&self.path())["servers"][self.url()].clone()
    }
}

fn kept(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("credentials.json")).unwrap()).unwrap()
}

#[tokio::test]
async fn two_agents_on_one_login_make_one_renewal_and_lose_nothing() {
    let login = LoggedIn::until(now() - 10);
    let (one, other) = (login.agent().await, login.agent().await);
    let calls = (0..20).map(|number| if number % 2 == 0 { one.get("/a") } else { other.get("/a") });
    for told in join_all(calls).await {
        assert_eq!(told.status, 200, "{}", told.text());
    }
    assert_eq!(login.renewals.load(Ordering::SeqCst), 1);
    let counts = login.counts.lock().unwrap().clone();
    let kept = login.kept();
    assert_eq!((&kept["access_token"], &kept["refresh_token"]), (&json!(counts.0), &json!(counts.1)));
}

#[tokio::test]
async fn a_login_whose_token_was_revoked_is_renewed_once_after_the_401() {
    let login = LoggedIn::until(now() + 3000);
    let agent = login.agent().await;
    assert_eq!(agent.get("/a").await.status, 200);
    login.counts.lock().unwrap().0 = fresh().0;
    assert_eq!(agent.get("/a").await.status, 200);
    assert_eq!(login.renewals.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_login_is_renewed_at_four_fifths_of_its_life_also_between_two_whole_seconds() {
    for off in [0, 1, 400, 999] {
        let clock = clock();
        clock.advance(Duration::from_millis(off));
        let login = LoggedIn::by(&clock, clock.seconds() + 3600, 0);
        let agent = login.agent_by(&clock).await;
        assert_eq!(agent.get("/a").await.status, 200);
        clock.advance(Duration::from_secs(3600 / 5 * 4 - 1));
        assert_eq!((agent.get("/a").await.status, login.renewed()), (200, 0), "{off}");
        clock.advance(Duration::from_secs(1));
        assert_eq!(agent.get("/a").await.status, 200);
        until("a renewal", || login.renewed() == 1).await;
        assert_eq!((agent.get("/a").await.status, login.renewed()), (200, 1), "{off}");
    }
}

#[tokio::test]
async fn a_logins_end_is_by_the_clock_that_it_was_reckoned_by_however_the_servers_differs() {
    for ahead in [-7200, 7200] {
        let clock = clock();
        let login = LoggedIn::by(&clock, clock.seconds() + 3600, ahead);
        let agent = login.agent_by(&clock).await;
        for _ in 0..9 {
            assert_eq!(agent.get("/a").await.status, 200);
            clock.advance(Duration::from_mins(5));
        }
        assert_eq!(login.renewed(), 0, "45 minutes, {ahead}");
        clock.advance(Duration::from_mins(15));
        assert_eq!((agent.get("/a").await.status, login.renewed()), (200, 1), "over by our clock, {ahead}");
    }
}

#[tokio::test]
async fn a_login_that_was_ended_says_which_command_helps_and_the_next_login_counts_at_once() {
    let login = LoggedIn::until(now() - 10);
    let before = login.counts.lock().unwrap().clone();
    *login.counts.lock().unwrap() = fresh();
    let agent = login.agent().await;
    let told = agent.get("/a").await;
    assert_eq!((told.status, told.code().as_str()), (401, "UNAUTHENTICATED"));
    assert!(told.text().contains(&format!("run: trackgate login {}", login.url())), "{}", told.text());
    // Somebody logs in again beside it.
    let file = kept(&login.path()).to_string();
    let after = login.counts.lock().unwrap().clone();
    let file = file.replace(&before.0, &after.0).replace(&before.1, &after.1);
    std::fs::write(login.path().join("credentials.json"), file).unwrap();
    crate::harness::soon("the next try of the source", async {
        while agent.get("/a").await.status != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_file_that_others_may_read_is_refused_with_what_mends_it() {
    let login = LoggedIn::until(now() + 3000);
    let path = login.path().join("credentials.json");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let told = login.agent().await.get("/a").await;
    assert_eq!(told.status, 401);
    assert!(told.text().contains("chmod 600"), "{}", told.text());
}
