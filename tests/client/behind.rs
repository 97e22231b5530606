//! A machine that reaches the internet by a proxy alone.

use std::fs;

use crate::harness::certs::{Authority, Folder};
use crate::harness::tunnel::Proxy;
use crate::lookalike::Lookalike;
use crate::person::{Person, text};

const NAME: &str = "mlflow.example.com";

/// A server whose name nobody can look up here, its authority's certificate, and somebody with a login there.
struct Behind {
    server: Lookalike,
    _folder: Folder,
    ca: String,
    person: Person,
}

impl Behind {
    fn new() -> Self {
        let (authority, folder) = (Authority::new(), Folder::new());
        let server = Lookalike::with_tls(authority.acceptor_for(&[NAME])).called(NAME);
        let ca = folder.path().join("ca.pem");
        fs::write(&ca, &authority.ca_pem).unwrap();
        Self { server, ca: ca.display().to_string(), _folder: folder, person: Person::new() }
    }

    /// Exit status, and all that was said.
    fn run(&self, line: &str, proxy: &[(&str, String)]) -> (Option<i32>, String) {
        let mut program = self.person.program(line);
        let output = program.env("TRACKGATE_CA_FILE", &self.ca).envs(proxy.iter().cloned()).output().unwrap();
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    }
}

#[test]
fn a_login_and_the_agent_reach_the_server_through_the_proxy_that_the_environment_names() {
    let behind = Behind::new();
    let proxy = Proxy::new(Some("Basic dXNlcjpodW50ZXIy"));
    let through = [("HTTPS_PROXY", format!("http://user:hunter2@{}", proxy.address))];
    let url = &behind.server.url;
    let (code, said) = behind.run(&format!("login {url} --device"), &through);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = behind.run("whoami", &through);
    assert!(code == Some(0) && said.contains("alice@example.com"), "{said}");
    let before = proxy.asked().len();
    // What the command asks of the agent goes straight, and the agent through the proxy.
    let script = format!("connect {url} -- sh -c curl${{IFS}}-sS${{IFS}}$MLFLOW_TRACKING_URI/trackgate/whoami");
    let (code, said) = behind.run(&script, &through);
    assert!(code == Some(0) && said.contains("alice@example.com"), "{said}");
    let asked = proxy.asked();
    assert!(asked.len() > before);
    let wanted = format!("CONNECT {} HTTP/1.1", url.trim_start_matches("https://"));
    assert!(asked.iter().all(|head| head[0] == wanted), "{asked:?}");
    let shown = asked.concat().concat();
    assert!(!shown.contains("Bearer") && !shown.contains("tgl_"), "the proxy sees no credential of ours: {shown}");
}

#[test]
fn a_proxy_that_refuses_or_is_not_there_is_named_without_its_password() {
    let behind = Behind::new();
    let proxy = Proxy::new(Some("Basic dXNlcjpodW50ZXIy"));
    let login = format!("login {} --device", behind.server.url);
    let (code, said) = behind.run(&login, &[("HTTPS_PROXY", format!("http://user:hunter3@{}", proxy.address))]);
    let wanted = format!("the proxy {} of HTTPS_PROXY: ", proxy.address);
    assert!(code == Some(7) && said.contains(&wanted) && said.contains("proxy authorization"), "{said}");
    assert!(!said.contains("hunter"), "{said}");
    let (code, said) = behind.run(&login, &[("https_proxy", "http://user:hunter3@127.0.0.1:9".to_owned())]);
    assert!(code == Some(7) && said.contains("the proxy 127.0.0.1:9 of HTTPS_PROXY: "), "{said}");
    assert!(!said.contains("hunter"), "{said}");
}

#[test]
fn a_server_on_this_machine_is_reached_without_the_proxy() {
    let (authority, folder, person) = (Authority::new(), Folder::new(), Person::new());
    let server = Lookalike::with_tls(authority.acceptor());
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, &authority.ca_pem).unwrap();
    let mut login = person.program(&format!("login {} --device", server.url));
    let output = login.env("TRACKGATE_CA_FILE", &ca).env("HTTPS_PROXY", "http://127.0.0.1:9").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}
