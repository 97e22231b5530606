//! The command line: `trackgate connect`, alone and with a command.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};

use super::{Gatekeeper, clock, now, token};
use crate::harness::certs::Folder;
use crate::harness::until;
use trackgate::clock::Clock;

/// The program, with nothing of this machine's own credentials.
fn connect(folder: &Folder) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trackgate"));
    command.arg("connect").env("HOME", folder.path()).env("TRACKGATE_CONFIG_DIR", folder.path());
    for name in [
        "TRACKGATE_CREDENTIAL",
        "TRACKGATE_AUDIENCE",
        "TRACKGATE_TOKEN",
        "TRACKGATE_TOKEN_FILE",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "ACTIONS_ID_TOKEN_REQUEST_URL",
        "CLOUDSDK_CONFIG",
        "XDG_CONFIG_HOME",
        "KUBERNETES_SERVICE_HOST",
        "http_proxy",
        "HTTP_PROXY",
    ] {
        command.env_remove(name);
    }
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

async fn output(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_command_finds_the_agent_and_no_credential_and_its_exit_status_is_passed_on() {
    let (folder, gate) = (Folder::new(), Gatekeeper::by(&Clock::System));
    let mut command = connect(&folder);
    let script = "curl -s --fail \"$MLFLOW_TRACKING_URI/api/2.0/mlflow/experiments/get\" && echo \
                  \" [$MLFLOW_TRACKING_TOKEN$MLFLOW_TRACKING_PASSWORD$TRACKGATE_TOKEN] $NO_PROXY\"; exit 7";
    command
        .args([&gate.url(), "--", "sh", "-c", script])
        .env("TRACKGATE_TOKEN", token(1, now(), 3600))
        .env("MLFLOW_TRACKING_TOKEN", "hunter2")
        .env("MLFLOW_TRACKING_PASSWORD", "hunter2")
        .env("http_proxy", "http://127.0.0.1:9")
        .env("NO_PROXY", ".internal");
    let done = output(command).await;
    assert_eq!(done.status.code(), Some(7), "{}", text(&done.stderr));
    assert_eq!(text(&done.stdout), "{\"ok\":true} [] .internal,127.0.0.1,localhost\n");
    let said = text(&done.stderr);
    assert!(said.contains("does not see MLFLOW_TRACKING_TOKEN, MLFLOW_TRACKING_PASSWORD, TRACKGATE_TOKEN"), "{said}");
    assert_eq!(gate.heard()[0].target, "/api/2.0/mlflow/experiments/get", "the secret path stays here");
}

#[tokio::test]
async fn a_variable_that_is_set_to_nothing_is_not_set() {
    let (folder, gate) = (Folder::new(), Gatekeeper::by(&Clock::System));
    let mut command = connect(&folder);
    let script = "curl -s --fail \"$MLFLOW_TRACKING_URI/a\"";
    command.args([&gate.url(), "--", "sh", "-c", script]).env("TRACKGATE_TOKEN", token(1, now(), 3600));
    for name in [
        "TRACKGATE_TOKEN_FILE",
        "TRACKGATE_CREDENTIAL",
        "TRACKGATE_AUDIENCE",
        "TRACKGATE_IAP_AUDIENCE",
        "TRACKGATE_CA_FILE",
        "TRACKGATE_CONFIG",
    ] {
        command.env(name, "");
    }
    let done = output(command).await;
    assert_eq!((done.status.code(), text(&done.stdout).as_str()), (Some(0), "{\"ok\":true}"), "{}", text(&done.stderr));
    // One that is set counts.
    let mut command = connect(&folder);
    command.args([&gate.url(), "--", "true"]).env("TRACKGATE_CREDENTIAL", "nonsense");
    let done = output(command).await;
    assert_eq!(done.status.code(), Some(2));
    assert!(text(&done.stderr).contains("it is one of env, file, login"), "{}", text(&done.stderr));
}

#[tokio::test]
async fn commands_that_are_not_there_or_end_by_a_signal_are_told_as_shells_do() {
    let folder = Folder::new();
    for (words, code) in [
        (&["no-such-command-here"][..], 127),
        (&["/"], 126),
        (&["sh", "-c", "kill -KILL $$"], 137),
        (&["sh", "-c", "exit 0"], 0),
    ] {
        let mut command = connect(&folder);
        command.args(["http://127.0.0.1:9", "--"]).args(words).env("TRACKGATE_TOKEN", token(1, now(), 3600));
        let done = output(command).await;
        assert_eq!(done.status.code(), Some(code), "{words:?}: {}", text(&done.stderr));
    }
}

/// Ends what is left.
struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap().success());
}

#[tokio::test]
async fn signals_reach_the_command_and_it_may_take_its_time() {
    let folder = Folder::new();
    for (name, code) in [("TERM", 40), ("INT", 41), ("HUP", 42), ("USR1", 43), ("USR2", 44), ("CONT", 45)] {
        let mut command = connect(&folder);
        let script = "trap 'echo told; exit 40' TERM; trap 'echo told; exit 41' INT; trap 'echo told; exit 42' HUP; \
                      trap 'echo told; exit 43' USR1; trap 'echo told; exit 44' USR2; trap 'echo told; exit 45' CONT; \
                      echo ready; while :; do sleep 0.05; done";
        command
            .args(["http://127.0.0.1:9", "--", "sh", "-c", script])
            .env("TRACKGATE_TOKEN", token(1, now(), 3600))
            .stdout(Stdio::piped());
        let mut child = Kept(command.spawn().unwrap());
        let mut said = BufReader::new(child.0.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        signal(&child.0, name);
        line.clear();
        said.read_line(&mut line).unwrap();
        assert_eq!(line, "told\n", "{name}");
        assert_eq!(child.0.wait().unwrap().code(), Some(code), "{name}");
    }
}

#[tokio::test]
async fn alone_it_prints_its_address_and_ends_in_order() {
    let (folder, gate) = (Folder::new(), Gatekeeper::by(&Clock::System));
    let file = folder.path().join("token");
    std::fs::write(&file, token(1, now(), 3600)).unwrap();
    let mut command = connect(&folder);
    command.args([&gate.url(), "--listen", "127.0.0.1:0", "--token-file"]).arg(&file).stdout(Stdio::piped());
    let mut child = Kept(command.spawn().unwrap());
    let mut line = String::new();
    let mut said = BufReader::new(child.0.stdout.take().unwrap());
    said.read_line(&mut line).unwrap();
    let uri = line.trim().strip_prefix("MLFLOW_TRACKING_URI=").unwrap().to_owned();
    // What a scheduler tells commands ends no agent.
    for name in ["USR1", "USR2", "CONT"] {
        signal(&child.0, name);
    }
    let mut curl = Command::new("curl");
    curl.args(["-s", "--noproxy", "*", &format!("{uri}/a")]);
    assert_eq!(text(&output(curl).await.stdout), "{\"ok\":true}");
    signal(&child.0, "TERM");
    let mut ended = None;
    until("its end", || {
        ended = child.0.try_wait().unwrap();
        ended.is_some()
    })
    .await;
    assert_eq!(ended.unwrap().code(), Some(0));
}

#[tokio::test]
async fn without_any_credential_it_says_which_command_helps() {
    let folder = Folder::new();
    let nobody = {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap().to_string()
    };
    let mut command = connect(&folder);
    command.args(["https://mlflow.example.com", "--listen", "127.0.0.1:0"]).env("GCE_METADATA_HOST", &nobody);
    let done = output(command).await;
    assert_eq!(done.status.code(), Some(1));
    let said = text(&done.stderr);
    assert!(said.contains("run: trackgate login https://mlflow.example.com"), "{said}");
    for (words, why) in [
        (&["https://mlflow.example.com", "--credential", "login"][..], "trackgate login https://mlflow.example.com"),
        (&["https://mlflow.example.com", "--credential", "none"], "--iap-audience"),
        (&["https://mlflow.example.com", "--credential", "metadata", "--listen", "0.0.0.0:0"], "--allow-remote-listen"),
        (
            &[
                "https://mlflow.example.com",
                "--credential",
                "metadata",
                "--iap-audience",
                "x",
                "--iap-credential",
                "login",
            ],
            "adc, metadata or file",
        ),
    ] {
        let mut command = connect(&folder);
        command.args(words).env("GCE_METADATA_HOST", &nobody);
        if !words.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let done = output(command).await;
        assert_eq!(done.status.code(), Some(1), "{words:?}");
        assert!(text(&done.stderr).contains(why), "{words:?}: {}", text(&done.stderr));
    }
    let _ = clock();
}
