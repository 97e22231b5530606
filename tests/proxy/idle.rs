//! Ten thousand clients that hold a connection and ask nothing.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpSocket;

use super::numbers::Numbers;
use super::signals::Program;
use crate::harness::client::{Client, get};
use crate::harness::raw::Raw;
use crate::harness::soon;

/// What is allowed unless somebody says otherwise (`limits.connections`).
const MOST: usize = 10_000;
/// Below what one address may have (`limits.connections_per_address`).
const EACH: usize = 100;
const QUESTION: &str = "GET /trackgate/livez HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// Lets this process, and the program that it starts, hold so many files.
fn allow(files: u64) -> bool {
    let now = getrlimit(Resource::Nofile);
    if now.maximum.is_some_and(|most| most < files) {
        return false;
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(files), ..now }).is_ok()
}

#[tokio::test]
async fn ten_thousand_idle_connections_keep_nobody_out_and_one_more_is_told_so() {
    if !allow(MOST as u64 + 2000) {
        let missing = "ten thousand idle connections: skipped, `ulimit -Hn` is too low";
        assert!(std::env::var_os("TRACKGATE_REQUIRE_ALL").is_none_or(|all| all != "1"), "{missing}");
        eprintln!("{missing}");
        return;
    }
    let program = Program::start("[limits]\nkeep_alive = \"10m\"\n").await;
    // The look whether the door is open was a connection too.
    Numbers::awaited(program.monitor, "trackgate_connections_open", &[], 0.0).await;
    let from = async |number: usize| {
        let socket = TcpSocket::new_v4().unwrap();
        let address = format!("127.0.1.{}:0", number / EACH + 1);
        socket.bind(address.parse().unwrap()).unwrap();
        Raw::over(soon("connect", socket.connect(program.plain)).await.unwrap())
    };
    let mut idle = Vec::with_capacity(MOST);
    for number in 0..MOST - 1 {
        let mut raw = from(number).await;
        raw.send(QUESTION).await;
        assert_eq!(raw.answer().await.status, 200, "{number}");
        idle.push(raw);
    }

    // The last place is as good as the first.
    let mut last = from(MOST - 1).await;
    for _ in 0..3 {
        last.send(QUESTION).await;
        assert_eq!(last.answer().await.status, 200);
    }
    let mut more = from(MOST).await;
    more.send(QUESTION).await;
    let said = more.answer().await;
    assert_eq!((said.status, said.header("retry-after")), (503, Some("5")));
    more.is_closed().await;
    // Whoever watches comes by another door.
    assert_eq!(Client::http1(program.monitor).await.ask(get("/livez")).await.0, 200);
    assert!(Numbers::of(program.monitor).await.sum("trackgate_connections_open", &[]) > 9998.5);

    // Those who were silent are still heard.
    for raw in idle.iter_mut().step_by(999) {
        raw.send(QUESTION).await;
        assert_eq!(raw.answer().await.status, 200);
    }
    drop((idle, last));
    Numbers::awaited(program.monitor, "trackgate_connections_open", &[], 0.0).await;
    let mut again = from(0).await;
    again.send(QUESTION).await;
    assert_eq!(again.answer().await.status, 200);
}
