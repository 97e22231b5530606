//! Three running gates on one PostgreSQL before one MLflow: who still gets in after somebody was shut out at another gate, and
//! what is lost when the database, the network or a gate goes? What is measured is printed:
//! `cargo test --test proxy replicas -- --nocapture`.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::Request;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;

use crate::harness::certs::Folder;
use crate::harness::client::{Client, nothing, payload};
use crate::harness::cluster::{Cluster, start};
use crate::harness::forge::Forge;
use crate::harness::issuer::{CLIENT, Issuer, SECRET};
use crate::harness::server::{Server, full};
use crate::harness::{BOUND, ports, until};

/// The demand is a second; a busy machine may need more.
const MARGIN: Duration = Duration::from_secs(10);
/// `store.stale_after` of these gates.
const STALE: Duration = Duration::from_secs(2);
const PUBLIC: &str = "https://mlflow.example.com";

/// What all gates share.
struct World {
    cluster: Cluster,
    database: String,
    issuer: Issuer,
    upstream: Server,
}

/// One gate: the real program, with a state directory of its own, whose way to the database can be cut.
struct Gate {
    child: Child,
    folder: Folder,
    wire: Arc<Wire>,
    door: SocketAddr,
}

/// What lies between a gate and the database.
#[derive(Default)]
struct Wire {
    /// Nothing passes, and nobody is told.
    silent: AtomicBool,
    cut: Notify,
}

impl Wire {
    fn mend(&self) {
        self.silent.store(false, Ordering::Release);
        self.cut.notify_waiters();
    }
}

async fn pass(near: UnixListener, far: PathBuf, wire: Arc<Wire>) {
    while let Ok((one, _)) = near.accept().await {
        let (far, wire) = (far.clone(), Arc::clone(&wire));
        tokio::spawn(async move {
            let Ok(other) = UnixStream::connect(&far).await else { return };
            let ((from_one, to_one), (from_other, to_other)) = (one.into_split(), other.into_split());
            let (there, back) = (carry(from_one, to_other, &wire), carry(from_other, to_one, &wire));
            tokio::select! { () = there => {}, () = back => {}, () = wire.cut.notified() => {} }
        });
    }
}

async fn carry(mut from: tokio::net::unix::OwnedReadHalf, mut to: tokio::net::unix::OwnedWriteHalf, wire: &Wire) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        while wire.silent.load(Ordering::Acquire) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

impl World {
    async fn new(name: &str) -> Option<Self> {
        trackgate::cli::install_crypto();
        let cluster = start(name)?;
        let database = cluster.database().await;
        let upstream = Server::scripted(|request| {
            let version = request.uri().path() == "/version";
            async move { full(200, if version { "3.17.2" } else { "{\"experiment\": {}}" }) }
        });
        Some(Self { cluster, database, issuer: Issuer::start(vec![Arc::new(Forge::rsa("k1"))]), upstream })
    }

    async fn gate(&self) -> Gate {
        let folder = Folder::new();
        let wire = Arc::new(Wire::default());
        let near = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
        tokio::spawn(pass(near, self.cluster.folder.join(".s.PGSQL.5432"), Arc::clone(&wire)));
        let [door] = ports::free();
        let secret = folder.path().join("client-secret");
        std::fs::write(&secret, SECRET).unwrap();
        std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let config = format!(
            r#"
public_url = "{PUBLIC}"
state_dir = "{here}/state"
[store]
url = "postgres://trackgate@localhost/{database}?host={here}"
stale_after = "{stale}s"
[listen]
plain = "{door}"
workers = 1
[upstream]
url = "http://{mlflow}"
[[issuer]]
name = "test"
issuer = "{issuer}"
[issuer.login]
client_id = "{CLIENT}"
client_secret_file = "{here}/client-secret"
[issuer.bearer]
audiences = ["{PUBLIC}"]
[access]
admins = ["root@example.com"]
# Some of these ask without a pause, for as long as something counts.
[rates]
address = 0
person = 0
[audit]
file = "{here}/audit.jsonl"
"#,
            here = folder.path().display(),
            database = self.database,
            stale = STALE.as_secs(),
            mlflow = self.upstream.address,
            issuer = self.issuer.url,
        );
        std::fs::write(folder.path().join("trackgate.toml"), config).unwrap();
        let child = serve(&folder);
        let mut gate = Gate { child, folder, wire, door };
        gate.opened().await;
        gate
    }

    async fn three(&self) -> [Gate; 3] {
        [self.gate().await, self.gate().await, self.gate().await]
    }

    fn token(&self, name: &str) -> String {
        let claims =
            json!({"sub": format!("sub-{name}"), "email": format!("{name}@example.com"), "email_verified": true});
        format!("Bearer {}", self.issuer.bearer(PUBLIC, &claims))
    }

    /// A call of the administrator's at one gate; its status, or 0 where there was no answer.
    async fn root(&self, gate: &Gate, method: &str, path: &str, body: Value) -> (u16, Value) {
        let credential = ("authorization", self.token("root"));
        let (status, body) = ask(gate.door, method, path, &credential, Some(body)).await;
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn grant(&self, gate: &Gate, who: &str, id: &str, level: &str) -> u16 {
        self.root(gate, "POST", "/api/3.0/mlflow/users/permissions/grant", on(who, id, level)).await.0
    }

    async fn revoke(&self, gate: &Gate, who: &str, id: &str) -> u16 {
        self.root(gate, "POST", "/api/3.0/mlflow/users/permissions/revoke", on(who, id, "READ")).await.0
    }

    /// Whether somebody may read an experiment at a gate; `None`: it does not know.
    async fn may(&self, gate: &Gate, who: &str, id: &str) -> Option<bool> {
        let path = format!("/api/2.0/mlflow/experiments/get?experiment_id={id}");
        match ask(gate.door, "GET", &path, &("authorization", self.token(who)), None).await.0 {
            200 => Some(true),
            403 => Some(false),
            _ => None,
        }
    }
}

pub(super) fn on(who: &str, id: &str, level: &str) -> Value {
    let username = format!("{who}@example.com");
    json!({"username": username, "resource_type": "experiment", "resource_id": id, "permission": level})
}

fn serve(folder: &Folder) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_trackgate"))
        .args(["--config", &folder.path().join("trackgate.toml").display().to_string(), "serve"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stderr.take().unwrap());
    // What it says is passed on, so that a failure shows its reason.
    std::thread::spawn(move || said.lines().map_while(Result::ok).for_each(|line| eprintln!("{line}")));
    child
}

impl Gate {
    async fn opened(&mut self) {
        let (door, child) = (self.door, &mut self.child);
        until("an open door", || {
            assert!(child.try_wait().unwrap().is_none(), "the program ended");
            std::net::TcpStream::connect(door).is_ok()
        })
        .await;
    }

    /// A command of the operator's beside a gate.
    fn command(&self, arguments: &[&str]) {
        let done = Command::new(env!("CARGO_BIN_EXE_trackgate"))
            .args(["--config", &self.folder.path().join("trackgate.toml").display().to_string()])
            .args(arguments)
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(done.success(), "{arguments:?}");
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One request on a connection of its own; status 0: there was no answer.
pub(super) async fn ask(
    door: SocketAddr,
    method: &str,
    path: &str,
    credential: &(&'static str, String),
    body: Option<Value>,
) -> (u16, Vec<u8>) {
    let request = Request::builder().method(method).uri(path).header("host", "mlflow.example.com");
    let request = request.header(credential.0, &credential.1).header("content-type", "application/json");
    let request = request.body(body.map_or_else(nothing, |body| payload(body.to_string()))).unwrap();
    let Ok(tcp) = tokio::net::TcpStream::connect(door).await else { return (0, Vec::new()) };
    let Ok(answer) = Client::http1_over(tcp).await.try_send(request).await else { return (0, Vec::new()) };
    let status = answer.status().as_u16();
    match http_body_util::BodyExt::collect(answer.into_body()).await {
        Ok(body) => (status, body.to_bytes().to_vec()),
        Err(_) => (0, Vec::new()),
    }
}

/// Sends the same request again and again, one after the other, and remembers when the last one that was allowed was sent.
struct Asking {
    last: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
    begun: Instant,
    task: tokio::task::JoinHandle<()>,
}

impl Asking {
    fn at(door: SocketAddr, path: &'static str, credential: (&'static str, String)) -> Self {
        let begun = Instant::now();
        let (last, refused) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (allowed, no) = (Arc::clone(&last), Arc::clone(&refused));
        let task = tokio::spawn(async move {
            loop {
                let sent = begun.elapsed();
                match ask(door, "GET", path, &credential, None).await.0 {
                    200 => allowed.store(u64::try_from(sent.as_micros()).unwrap(), Ordering::Release),
                    401 | 403 | 303 | 302 => no.store(1, Ordering::Release),
                    503 => no.store(503, Ordering::Release),
                    other => panic!("{other} from {path}"),
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        Self { last, refused, begun, task }
    }

    fn allowed(&self) -> bool {
        assert!(!self.task.is_finished(), "nobody asks any more");
        self.last.load(Ordering::Acquire) > 0
    }

    /// How long after `moment` the last request that was allowed was sent.
    fn late(&self, moment: Instant) -> Duration {
        (self.begun + Duration::from_micros(self.last.load(Ordering::Acquire))).saturating_duration_since(moment)
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Shuts somebody out at the first gate, and measures the last request that each gate allowed them after that was acknowledged.
async fn shut_out(
    what: &str,
    gates: &[Gate; 3],
    path: &'static str,
    credential: &(&'static str, String),
    change: impl Future<Output = ()>,
) {
    let asking: Vec<_> = gates.iter().map(|gate| Asking::at(gate.door, path, credential.clone())).collect();
    until(&format!("{what}: allowed at first, everywhere"), || asking.iter().all(Asking::allowed)).await;
    change.await;
    let acknowledged = Instant::now();
    for one in &asking {
        one.refused.store(0, Ordering::Release);
    }
    until(&format!("{what}: refused everywhere"), || asking.iter().all(|one| one.refused.load(Ordering::Acquire) != 0))
        .await;
    let late: Vec<_> = asking.iter().map(|one| one.late(acknowledged)).collect();
    let told: Vec<_> = late.iter().map(|late| format!("{:.1} ms", late.as_secs_f64() * 1000.0)).collect();
    println!("{what}: last request allowed after its acknowledgement: {}", told.join(", "));
    assert!(late.iter().all(|late| *late < MARGIN), "{what}: {told:?}");
    for gate in gates {
        let status = ask(gate.door, "GET", path, credential, None).await.0;
        assert!([401, 403].contains(&status), "{what}: {status}");
    }
}

const SEVEN: &str = "/api/2.0/mlflow/experiments/get?experiment_id=7";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_is_shut_out_at_one_gate_is_shut_out_at_all_within_a_second() {
    let Some(world) = World::new("gates-shut-out").await else { return };
    let gates = world.three().await;
    let first = &gates[0];
    let alice = ("authorization", world.token("alice"));
    assert_eq!(world.may(first, "alice", "7").await, Some(false), "alice comes");
    for round in 1..=3 {
        assert_eq!(world.grant(first, "alice", "7", "READ").await, 200);
        shut_out(&format!("a revoked grant ({round})"), &gates, SEVEN, &alice, async {
            assert_eq!(world.revoke(first, "alice", "7").await, 200);
        })
        .await;
    }

    let name = json!({"name": "readers", "workspace": "default"});
    let (status, made) = world.root(first, "POST", "/api/3.0/mlflow/roles/create", name).await;
    assert_eq!(status, 200, "{made}");
    let role = &made["role"]["id"];
    let held = json!({"role_id": role, "resource_type": "experiment", "resource_pattern": "7", "permission": "READ"});
    let (status, made) = world.root(first, "POST", "/api/3.0/mlflow/roles/permissions/add", held).await;
    assert_eq!(status, 200, "{made}");
    let permission = &made["role_permission"]["id"];
    let to = json!({"role_id": role, "username": "alice@example.com"});
    assert_eq!(world.root(first, "POST", "/api/3.0/mlflow/roles/assign", to.clone()).await.0, 200);
    shut_out("a permission of a role that becomes DENY", &gates, SEVEN, &alice, async {
        let deny = json!({"role_permission_id": permission, "permission": "DENY"});
        let (status, told) = world.root(first, "PATCH", "/api/3.0/mlflow/roles/permissions/update", deny).await;
        assert_eq!(status, 200, "{told}");
    })
    .await;
    let read = json!({"role_permission_id": permission, "permission": "READ"});
    assert_eq!(world.root(first, "PATCH", "/api/3.0/mlflow/roles/permissions/update", read).await.0, 200);
    shut_out("a role taken back", &gates, SEVEN, &alice, async {
        assert_eq!(world.root(first, "DELETE", "/api/3.0/mlflow/roles/unassign", to).await.0, 200);
    })
    .await;

    assert_eq!(world.grant(first, "alice", "7", "READ").await, 200);
    shut_out("a disabled user", &gates, SEVEN, &alice, async {
        first.command(&["user", "disable", "alice@example.com"]);
    })
    .await;
    first.command(&["user", "disable", "--off", "alice@example.com"]);
    shut_out("a removed user", &gates, SEVEN, &alice, async {
        first.command(&["user", "remove", "alice@example.com"]);
    })
    .await;
}

/// The cookies of an answer, as the browser sends them.
fn cookies(answer: &http::HeaderMap, before: &str) -> String {
    let mut jar: BTreeMap<String, String> =
        before.split("; ").filter_map(|one| one.split_once('=')).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    for field in answer.get_all("set-cookie") {
        let (name, value) = field.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
        jar.insert(name.to_owned(), value.to_owned());
    }
    jar.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
}

async fn visit(gate: &Gate, path: &str, cookie: &str) -> http::Response<hyper::body::Incoming> {
    let request = Request::get(path).header("host", "mlflow.example.com").header("accept", "text/html");
    let request = request.header("sec-fetch-mode", "navigate").header("cookie", cookie);
    Client::http1(gate.door).await.send(request.body(nothing()).unwrap()).await
}

/// A login that begins at one gate and ends at another; the session's cookie.
async fn sign_in(world: &World, begin: &Gate, end: &Gate) -> String {
    let started = visit(begin, "/trackgate/login/test", "").await;
    assert_eq!(started.status(), 303);
    let callback = world.issuer.agree(started.headers()["location"].to_str().unwrap());
    let jar = cookies(started.headers(), "");
    let landed = visit(end, callback.strip_prefix(PUBLIC).unwrap(), &jar).await;
    assert_eq!(landed.status(), 303, "what one gate sealed the other opens");
    let jar = cookies(landed.headers(), "");
    jar.split("; ").find(|one| one.starts_with("__Host-trackgate=")).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_login_goes_over_any_gate_and_a_logout_at_one_ends_it_at_all() {
    let Some(world) = World::new("gates-sessions").await else { return };
    let gates = world.three().await;
    for (begin, end, out) in [(0, 1, 2), (2, 0, 1)] {
        let cookie = sign_in(&world, &gates[begin], &gates[end]).await;
        for gate in &gates {
            let (mut status, begun) = (0, Instant::now());
            while status != 200 && begun.elapsed() < BOUND {
                status = ask(gate.door, "GET", "/trackgate/whoami", &("cookie", cookie.clone()), None).await.0;
            }
            assert_eq!(status, 200, "one session, everywhere");
        }
        let credential = ("cookie", cookie.clone());
        shut_out("a logout", &gates, "/trackgate/whoami", &credential, async {
            let request = Request::post("/trackgate/logout").header("host", "mlflow.example.com");
            let request = request.header("cookie", &cookie).header("origin", PUBLIC).body(nothing()).unwrap();
            let (status, _) = Client::http1(gates[out].door).await.ask(request).await;
            assert_eq!(status, 200);
        })
        .await;
    }
    for gate in &gates {
        let mine = gate.folder.path().join("state/seal.keys");
        assert!(!mine.exists(), "keys of its own are of no use here");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_gate_whose_network_is_cut_refuses_with_503_and_comes_back_with_the_truth() {
    let Some(world) = World::new("gates-cut").await else { return };
    let gates = world.three().await;
    let cut = &gates[1];
    assert_eq!(world.may(cut, "alice", "7").await, Some(false));
    for silent in [true, false] {
        assert_eq!(world.grant(&gates[0], "alice", "7", "READ").await, 200);
        let asking = Asking::at(cut.door, SEVEN, ("authorization", world.token("alice")));
        until("the other knows the grant", || asking.allowed()).await;
        asking.refused.store(0, Ordering::Release);
        cut.wire.silent.store(true, Ordering::Release);
        if !silent {
            // The connections end, and new ones hang.
            cut.wire.cut.notify_waiters();
        }
        let before = Instant::now();
        assert_eq!(world.revoke(&gates[0], "alice", "7").await, 200, "the others go on");
        until("it refuses", || asking.refused.load(Ordering::Acquire) == 503).await;
        let late = asking.late(before);
        let (status, body) = ask(cut.door, "GET", SEVEN, &("authorization", world.token("bob")), None).await;
        assert_eq!(status, 503, "nobody gets in: {}", String::from_utf8_lossy(&body));
        assert_eq!(world.grant(cut, "bob", "7", "READ").await, 503, "and nothing is changed there");
        cut.wire.mend();
        let mended = Instant::now();
        until("it answers again", || asking.refused.load(Ordering::Acquire) == 1).await;
        let again = mended.elapsed();
        assert_eq!(world.may(cut, "alice", "7").await, Some(false), "what was taken back meanwhile stays so");
        assert!(asking.late(before) == late, "it was never allowed after the cut again");
        assert!(late < STALE + MARGIN, "allowed for {late:?} after the cut");
        let how = if silent { "goes silent" } else { "is cut" };
        println!(
            "a network that {how}: last request allowed {:.0} ms after it (bound {STALE:?}), answers again {:.0} ms after \
             it is mended",
            late.as_secs_f64() * 1000.0,
            again.as_secs_f64() * 1000.0
        );
    }
}

/// What is known of somebody's grants: given, taken, or either, where the answer was lost.
type Known = BTreeMap<u64, Option<bool>>;

/// Waits until every gate answers, and sees that each says what is known, and all the same.
async fn agree(world: &World, gates: &[&Gate], known: &Known) {
    for (n, given) in known {
        let mut said = Vec::new();
        for gate in gates {
            let begun = Instant::now();
            let told = loop {
                // Each is current again by its own time; what it then says counts.
                match world.may(gate, "alice", &n.to_string()).await {
                    Some(told) if given.is_none_or(|given| told == given) || begun.elapsed() > MARGIN => break told,
                    _ => assert!(begun.elapsed() < BOUND, "a gate does not come back"),
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            };
            said.push(told);
        }
        if let Some(given) = given {
            assert!(
                said.iter().all(|told| told == given),
                "experiment {n}: {given} was acknowledged, and now {said:?}"
            );
        }
        assert!(said.iter().all(|told| *told == said[0]), "experiment {n}: {said:?}");
    }
}

/// Gives the next grant and takes back the third last, at one gate; whether both were acknowledged.
async fn give_and_take(world: &World, gate: &Gate, next: u64, known: &mut Known) -> bool {
    let given = world.grant(gate, "alice", &next.to_string(), "READ").await;
    known.insert(next, (given == 200).then_some(true));
    // INVARIANT of the test: a refusal other than 503 says that something else is wrong.
    assert!([0, 200, 503].contains(&given), "{given}");
    let mut all = given == 200;
    if let Some(old) = next.checked_sub(3)
        && known[&old] == Some(true)
    {
        let taken = world.revoke(gate, "alice", &old.to_string()).await;
        assert!([0, 200, 503].contains(&taken), "{taken}");
        known.insert(old, (taken == 200).then_some(false));
        all &= taken == 200;
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_database_that_starts_anew_amid_writes_loses_nothing_acknowledged_and_brings_nothing_back() {
    let Some(world) = World::new("gates-restart").await else { return };
    let world = Arc::new(world);
    let gates = world.three().await;
    assert_eq!(world.may(&gates[0], "alice", "0").await, Some(false));
    let (mut known, mut next) = (Known::new(), 0);
    for mode in ["fast", "immediate"] {
        let restarting = Arc::clone(&world);
        let restart = tokio::task::spawn_blocking(move || restarting.cluster.restart(mode));
        let (mut after, mut lost, begun) = (0, 0, Instant::now());
        while after < 6 {
            assert!(begun.elapsed() < 2 * BOUND, "nobody can write any more");
            let made = give_and_take(&world, &gates[usize::try_from(next % 3).unwrap()], next, &mut known).await;
            lost += u32::from(!made);
            after += u64::from(made && restart.is_finished());
            next += 1;
            if !made {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        restart.await.unwrap();
        agree(&world, &gates.each_ref(), &known).await;
        println!(
            "a database that starts anew ({mode}) amid writes at three gates: {lost} of {next} so far were refused, none was lost"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_gate_that_is_killed_amid_writes_leaves_the_others_with_what_was_acknowledged() {
    let Some(world) = World::new("gates-kill").await else { return };
    let mut gates = world.three().await;
    assert_eq!(world.may(&gates[0], "alice", "0").await, Some(false));
    let (mut known, mut next) = (Known::new(), 0);
    for round in 0..3_u64 {
        // Killed from aside, at whatever moment of whichever write that is.
        let id = gates[0].child.id().to_string();
        let killed = Arc::new(AtomicBool::new(false));
        let (now, written) = (Arc::clone(&killed), Arc::new(AtomicU64::new(0)));
        let count = Arc::clone(&written);
        let killer = tokio::spawn(async move {
            while count.load(Ordering::Acquire) < 4 + 3 * round {
                tokio::time::sleep(Duration::from_micros(300 + 700 * round)).await;
            }
            assert!(Command::new("kill").args(["-9", &id]).status().unwrap().success());
            now.store(true, Ordering::Release);
        });
        let mut refused = 0;
        while refused == 0 || !killed.load(Ordering::Acquire) {
            let made = give_and_take(&world, &gates[0], next, &mut known).await;
            written.fetch_add(u64::from(made), Ordering::AcqRel);
            refused += u32::from(!made);
            next += 1;
        }
        killer.await.unwrap();
        gates[0].child.wait().unwrap();
        // Its lock is gone with it: the others write on.
        for gate in &gates[1..] {
            assert!(give_and_take(&world, gate, next, &mut known).await, "the others write on");
            next += 1;
        }
        agree(&world, &[&gates[1], &gates[2]], &known).await;
        gates[0].child = serve(&gates[0].folder);
        gates[0].opened().await;
        agree(&world, &gates.each_ref(), &known).await;
    }
    println!("a gate killed three times amid {next} writes: nothing acknowledged was lost or came back");
}

/// A form, as a page or a program sends it.
async fn submit(gate: &Gate, path: &str, cookie: &str, fields: &[(&str, &str)]) -> (u16, String) {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let mut request = Request::post(path).header("host", "mlflow.example.com");
    request = request.header("content-type", "application/x-www-form-urlencoded");
    if !cookie.is_empty() {
        request = request.header("cookie", cookie).header("sec-fetch-site", "same-origin");
    }
    let answer = Client::http1(gate.door).await.send(request.body(payload(body)).unwrap()).await;
    let status = answer.status().as_u16();
    let body = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_device_that_asks_at_one_gate_is_agreed_to_at_another_and_gets_its_login_at_a_third() {
    let Some(world) = World::new("gates-device").await else { return };
    let gates = world.three().await;
    let cookie = sign_in(&world, &gates[0], &gates[1]).await;
    let client = ("client_id", "trackgate-cli");
    let (status, told) = submit(&gates[0], "/trackgate/oauth/device_authorization", "", &[client]).await;
    assert_eq!(status, 200, "{told}");
    let told: Value = serde_json::from_str(&told).unwrap();
    let (code, shown) = (told["device_code"].as_str().unwrap(), told["user_code"].as_str().unwrap());
    let page = visit(&gates[1], "/trackgate/device", &cookie).await;
    assert_eq!(page.status(), 200);
    let page = http_body_util::BodyExt::collect(page.into_body()).await.unwrap().to_bytes();
    let page = String::from_utf8_lossy(&page).into_owned();
    let token = page.split("name=\"token\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let fields = [("token", token), ("user_code", shown), ("answer", "yes")];
    let (status, told) = submit(&gates[1], "/trackgate/device/decide", &cookie, &fields).await;
    assert_eq!(status, 200, "{told}");
    let grant = ("grant_type", "urn:ietf:params:oauth:grant-type:device_code");
    let (status, told) = submit(&gates[2], "/trackgate/oauth/token", "", &[grant, client, ("device_code", code)]).await;
    assert_eq!(status, 200, "{told}");
    let told: Value = serde_json::from_str(&told).unwrap();
    let access = told["access_token"].as_str().unwrap();
    let credential = ("authorization", format!("Bearer {access}"));
    shut_out("an ended login", &gates, "/trackgate/whoami", &credential, async {
        gates[0].command(&["token", "revoke", &access[4..12]]);
    })
    .await;
    // It renews nowhere either.
    let renew = [("grant_type", "refresh_token"), client, ("refresh_token", told["refresh_token"].as_str().unwrap())];
    for gate in &gates {
        let (status, told) = submit(gate, "/trackgate/oauth/token", "", &renew).await;
        assert!(status == 400 && told.contains("invalid_grant"), "{status} {told}");
    }
}
