//! Who may use the agent, and what of a request crosses it.

use std::process::Command;

use http::Request;
use hyper::body::Incoming;
use trackgate::connect::{Agent, OpenFault, Settings};

use super::{Gatekeeper, Mint, Running, boxed, clock};
use crate::harness::client::{nothing, payload};
use crate::harness::server::{Server, full};

async fn agent(change: impl FnOnce(&mut Settings)) -> (Running, Gatekeeper) {
    let clock = clock();
    let (mint, gate) = (Mint::by(&clock), Gatekeeper::by(&clock));
    let agent = Running::before(&gate.url(), |settings| {
        (settings.own, settings.clock) = (Some(boxed(&mint)), clock.clone());
        change(settings);
    })
    .await;
    (agent, gate)
}

#[tokio::test]
async fn pages_of_other_origins_and_rebound_names_reach_nothing() {
    let (agent, gate) = agent(|_| {}).await;
    let host = agent.address.to_string();
    let attack = |method: &str, headers: &[(&str, &str)]| {
        let mut request = Request::builder().method(method).uri("/api/2.0/mlflow/experiments/search");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(payload("{}")).unwrap()
    };
    for (method, headers) in [
        ("POST", &[("host", host.as_str()), ("origin", "https://evil.example"), ("content-type", "text/plain")][..]),
        ("GET", &[("host", &host), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")]),
        ("GET", &[("host", &host), ("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors")]),
        ("OPTIONS", &[("host", &host), ("origin", "null"), ("access-control-request-method", "POST")]),
        ("GET", &[("host", "rebound.evil.example:5000")]),
        ("POST", &[("host", "localhost.evil.example")]),
    ] {
        let told = agent.send(attack(method, headers)).await;
        assert_eq!((told.status, told.code().as_str()), (403, "PERMISSION_DENIED"), "{headers:?}");
        assert!(!told.headers.keys().any(|name| name.as_str().starts_with("access-control")), "{told:?}");
    }
    // A link that somebody clicks on leads to the server, where they have a login of their own.
    let click = [("host", host.as_str()), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
    let told = agent.send(attack("GET", &click)).await;
    assert_eq!(
        (told.status, told.header("location")),
        (302, format!("{}/api/2.0/mlflow/experiments/search", gate.url()).as_str())
    );
    assert!(gate.heard().is_empty(), "{:?}", gate.heard());
}

#[tokio::test]
async fn a_secret_path_is_wanted_where_there_is_one_and_does_not_cross() {
    let (agent, gate) = agent(|settings| settings.secret_path = true).await;
    let path = agent.uri.strip_prefix(&format!("http://{}", agent.address)).unwrap().to_owned();
    assert!(path.len() > 40, "{path}");
    assert_eq!(agent.get(&format!("{path}/api/2.0/mlflow/runs/get?run_id=1")).await.status, 200);
    for wrong in ["/api/2.0/mlflow/runs/get", &path[..path.len() - 1], &format!("/x{path}/api")] {
        assert_eq!(agent.get(wrong).await.status, 403, "{wrong}");
    }
    let heard: Vec<String> = gate.heard().into_iter().map(|heard| heard.target).collect();
    assert_eq!(heard, ["/api/2.0/mlflow/runs/get?run_id=1"]);
}

#[tokio::test]
async fn what_a_program_shows_stays_here_and_what_the_server_sets_stays_there() {
    let (agent, gate) = agent(|_| {}).await;
    let request = Request::post("/a")
        .header("host", agent.address.to_string())
        .header("authorization", "Basic bWluZTpodW50ZXIy")
        .header("proxy-authorization", "Basic aHVudGVyMg==")
        .header("cookie", "__Host-trackgate=stolen")
        .header("connection", "x-hop")
        .header("x-hop", "1")
        .header("x-mlflow-workspace", "team")
        .header("user-agent", "mlflow-python-client/3.17.2")
        .body(payload("{}"))
        .unwrap();
    assert_eq!(agent.send(request).await.status, 200);
    let heard = gate.heard().pop().unwrap();
    assert!(heard.headers["authorization"].to_str().unwrap().starts_with("Bearer e"));
    for gone in ["proxy-authorization", "cookie", "x-hop", "connection"] {
        assert!(!heard.headers.contains_key(gone), "{gone}: {heard:?}");
    }
    assert_eq!(heard.headers["x-mlflow-workspace"], "team");
    assert_eq!(heard.headers["user-agent"], "mlflow-python-client/3.17.2");
    assert_eq!(heard.headers["host"], gate.server.address.to_string().as_str());
}

#[tokio::test]
async fn redirects_within_the_server_lead_through_the_agent() {
    let clock = clock();
    let mint = Mint::by(&clock);
    let server = Server::scripted(|request: Request<Incoming>| async move {
        let to = request.uri().query().unwrap_or_default().to_owned();
        let own = format!("http://{}", request.headers()["host"].to_str().unwrap());
        let mut answer = full(307, "");
        answer.headers_mut().insert("location", to.replace("OWN", &own).parse().unwrap());
        answer.headers_mut().insert("set-cookie", "a=b".parse().unwrap());
        answer
    });
    let agent = Running::before(&format!("http://{}/team/", server.address), |settings| {
        (settings.own, settings.clock, settings.secret_path) = (Some(boxed(&mint)), clock.clone(), true);
    })
    .await;
    let path = agent.uri.strip_prefix(&format!("http://{}", agent.address)).unwrap().to_owned();
    for (to, wanted) in [
        ("OWN/team/x?y", format!("{path}/x?y")),
        ("/team/x", format!("{path}/x")),
        ("https://storage.example/bucket", "https://storage.example/bucket".to_owned()),
        ("//evil.example/x", "//evil.example/x".to_owned()),
        ("OWN.evil.example/x", format!("http://{}.evil.example/x", server.address)),
    ] {
        let told = agent.get(&format!("{path}/a?{to}")).await;
        assert_eq!((told.status, told.header("location")), (307, wanted.as_str()), "{to}");
        assert_eq!(told.header("set-cookie"), "");
    }
    assert_eq!(server.seen()[0].target, "/team/a?OWN/team/x?y");
}

#[tokio::test]
async fn other_machines_are_not_served_unless_that_is_meant_and_then_below_a_secret_path() {
    let open = |listen: &str, url: &str, remote: bool| {
        let mut settings =
            Settings::new(url.parse().unwrap(), listen.parse().unwrap(), std::sync::Arc::new(|_: &str| {}));
        settings.remote = remote;
        Agent::open(settings)
    };
    trackgate::cli::install_crypto();
    assert!(matches!(open("0.0.0.0:0", "http://127.0.0.1:9", false).await, Err(OpenFault::Remote(_))));
    let agent = open("0.0.0.0:0", "http://127.0.0.1:9", true).await.ok().unwrap();
    assert!(agent.uri().rsplit('/').next().unwrap().len() > 40, "{}", agent.uri());
    for url in
        ["http://mlflow.example.com", "https://u:p@mlflow.example.com", "https://mlflow.example.com/?a=b", "ftp://x"]
    {
        assert!(matches!(open("127.0.0.1:0", url, false).await, Err(OpenFault::Address)), "{url}");
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let fault = open(&taken.local_addr().unwrap().to_string(), "http://127.0.0.1:9", false).await.err().unwrap();
    assert!(fault.to_string().contains("is another agent or MLflow there?"), "{fault}");
}

/// Needs root, to be somebody else.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_of_another_local_user_is_turned_away_also_with_the_stolen_path() {
    use std::os::unix::process::CommandExt as _;
    let test = "a_program_of_another_local_user_is_turned_away_also_with_the_stolen_path";
    let root = std::process::Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
    if !root {
        eprintln!("skipped: {test}: only root can be somebody else");
        return;
    }
    let (guarded, gate) = agent(|settings| settings.secret_path = true).await;
    let (open, _gate) = agent(|settings| (settings.secret_path, settings.any_user) = (true, true)).await;
    let asked = |agent: &Running, uid: u32| {
        let url = format!("{}/api/2.0/mlflow/experiments/search", agent.uri);
        let mut curl = Command::new("curl");
        curl.args(["-s", "-o", "-", "-w", "%{http_code}", "--noproxy", "*", &url]).uid(uid).current_dir("/");
        tokio::task::spawn_blocking(move || String::from_utf8_lossy(&curl.output().unwrap().stdout).into_owned())
    };
    let told = asked(&guarded, 65_534).await.unwrap();
    assert!(told.ends_with("403") && told.contains("the user who started it alone"), "{told}");
    assert!(guarded.said().contains("a program of user 65534 was turned away"), "{}", guarded.said());
    assert!(gate.heard().is_empty());
    assert!(asked(&guarded, 0).await.unwrap().ends_with("200"));
    assert!(asked(&open, 65_534).await.unwrap().ends_with("200"), "told to serve anybody");
}

/// Needs root, to be somebody else.
#[tokio::test(flavor = "multi_thread")]
async fn connections_of_strangers_are_closed_at_once_beyond_a_few_and_told_of_once() {
    use std::os::unix::process::CommandExt as _;
    let test = "connections_of_strangers_are_closed_at_once_beyond_a_few_and_told_of_once";
    let root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
    if !root {
        eprintln!("skipped: {test}: only root can be somebody else");
        return;
    }
    let (guarded, _gate) = agent(|_| {}).await;
    // Says how many of 200 that ask for nothing were closed before the five seconds that the few are kept.
    let script = "import select,socket,sys,time\n\
        held={}\n\
        for _ in range(200):\n    one=socket.create_connection(('127.0.0.1',int(sys.argv[1])),20); held[one]=time.monotonic()\n\
        early=0\n\
        while held:\n\
        \x20   for one in select.select(list(held),[],[])[0]:\n\
        \x20       early+=time.monotonic()-held.pop(one)<4\n\
        print(early)";
    let mut stranger = Command::new("python3");
    stranger.args(["-c", script, &guarded.address.port().to_string()]).uid(65_534).current_dir("/");
    let output = tokio::task::spawn_blocking(move || stranger.output()).await.unwrap().unwrap();
    let early: u32 = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap_or_else(|_| panic!("{output:?}"));
    // Some at least, however slow the machine: who waits for their turn waits five seconds.
    assert!(early > 0 && early < 200, "{early}");
    assert_eq!(guarded.said().matches("a program of user 65534 was turned away").count(), 1, "{}", guarded.said());
    assert_eq!(guarded.get("/a").await.status, 200);
}

#[tokio::test]
async fn nodes_fetch_is_a_program_and_no_page() {
    let (agent, gate) = agent(|_| {}).await;
    let url = format!("http://{}/api/2.0/mlflow/runs/log-metric", agent.address);
    let script = format!("fetch('{url}', {{method: 'POST', body: '{{}}'}}).then(r => console.log(r.status))");
    let run = tokio::task::spawn_blocking(move || Command::new("node").args(["-e", &script]).output());
    match run.await.unwrap() {
        Ok(output) => assert_eq!(String::from_utf8_lossy(&output.stdout), "200\n", "{output:?}"),
        Err(_) => return eprintln!("skipped: nodes_fetch_is_a_program_and_no_page: there is no node"),
    }
    assert_eq!(gate.heard().len(), 1);
    // The answer to HEAD has no body, and its length is the server's word.
    let head = agent.send(agent.request("HEAD", "/a", nothing())).await;
    assert_eq!((head.status, head.header("content-length")), (200, "11"));
}
