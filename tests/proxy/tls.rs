//! TLS: versions, ALPN, certificates that are replaced.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use trackgate::message::Door;
use trackgate::serve::{Files, Https, Limits, Pair, Redirect, Settings};

use crate::harness::certs::{Authority, Folder};
use crate::harness::client::{self, Client, get};
use crate::harness::raw::Raw;
use crate::harness::soon;
use crate::harness::street::{Street, text};

pub(crate) fn settings(folder: &Folder, authority: &Authority, limits: Limits) -> Settings {
    let (certificate, private_key) = authority.write(folder.path());
    let https = Https {
        address: "127.0.0.1:0".parse().unwrap(),
        pair: Pair::Files(Files { certificate, private_key, poll: Duration::from_millis(50) }),
    };
    Settings { https: Some(https), workers: 1, limits, ..Settings::default() }
}

fn open(folder: &Folder, authority: &Authority) -> Street {
    Street::open(settings(folder, authority, Limits::default()), |peer, request| async move {
        assert!(peer.secure && peer.door == Door::Https && !peer.trusted_front);
        text(200, &format!("{:?}", request.version()))
    })
}

#[tokio::test]
async fn alpn_chooses_the_protocol() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let street = open(&folder, &authority);
    for (offered, chosen, version) in [
        (&["h2", "http/1.1"][..], Some("h2"), "HTTP/2.0"),
        (&["http/1.1"][..], Some("http/1.1"), "HTTP/1.1"),
        (&[][..], None, "HTTP/1.1"),
    ] {
        let stream = client::tls(street.https(), authority.client(offered)).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), chosen.map(str::as_bytes));
        let mut client =
            if chosen == Some("h2") { Client::http2_over(stream).await } else { Client::http1_over(stream).await };
        let answer = client.send(get("/")).await;
        assert_eq!(answer.headers()["strict-transport-security"], "max-age=31536000");
        let (_, body) = client.ask(get("/")).await;
        assert_eq!(body, version);
    }
    assert!(client::tls(street.https(), authority.client(&["spdy/3"])).await.is_err());
}

#[tokio::test]
async fn tls_1_2_and_1_3_are_spoken_with_forward_secrecy() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let street = open(&folder, &authority);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let stream = client::tls(street.https(), authority.client_with(&["h2"], &[version])).await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
    }
}

/// The certificate that a new connection is shown.
async fn shown(street: &Street, authority: &Authority) -> Vec<u8> {
    let stream = client::tls(street.https(), authority.client(&["http/1.1"])).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn a_new_certificate_is_used_without_dropping_a_connection() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let street = open(&folder, &authority);
    let before = shown(&street, &authority).await;
    let stream = client::tls(street.https(), authority.client(&["h2"])).await.unwrap();
    let mut old = Client::http2_over(stream).await;
    assert_eq!(old.ask(get("/")).await.0, 200);
    authority.write(folder.path());
    soon("the poll", async {
        while shown(&street, &authority).await == before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(old.ask(get("/")).await.0, 200, "the old connection lives on");
}

#[tokio::test]
async fn a_key_that_does_not_fit_is_refused_and_the_old_pair_stays() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let street = open(&folder, &authority);
    let before = shown(&street, &authority).await;
    std::fs::write(folder.path().join("key.pem"), authority.issue().1).unwrap();
    street.running().reload_certificate();
    assert_eq!(shown(&street, &authority).await, before);
    std::fs::write(folder.path().join("cert.pem"), "nonsense").unwrap();
    street.running().reload_certificate();
    assert_eq!(shown(&street, &authority).await, before);
    std::fs::remove_file(folder.path().join("cert.pem")).unwrap();
    street.running().reload_certificate();
    assert_eq!(shown(&street, &authority).await, before);
    authority.write(folder.path());
    street.running().reload_certificate();
    assert_ne!(shown(&street, &authority).await, before);
}

#[tokio::test]
async fn plain_text_at_the_tls_door_gets_nothing() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let street = open(&folder, &authority);
    let mut raw = Raw::connect(street.https()).await;
    raw.send("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let rest = raw.rest().await;
    assert!(!rest.starts_with(b"HTTP"), "{rest:?}");
    assert_eq!(street.handled(), 0);
}

#[tokio::test]
async fn http_is_redirected_to_the_public_url_whatever_the_host_says() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let mut settings = settings(&folder, &authority, Limits::default());
    settings.redirect = Some(Redirect {
        address: "127.0.0.1:0".parse().unwrap(),
        to: "https://mlflow.example.com".to_owned(),
        desk: None,
    });
    let street = Street::open(settings, |_, _| async { text(200, "ok") });
    let address = street.addresses().redirect.unwrap();
    let mut raw = Raw::connect(address).await;
    raw.send("GET /a/b?c=d HTTP/1.1\r\nhost: evil.example\r\n\r\n").await;
    let said = raw.answer().await;
    assert_eq!((said.status, said.header("location")), (308, Some("https://mlflow.example.com/a/b?c=d")));
    assert!(said.header("strict-transport-security").is_none());
    raw.is_closed().await;
    let mut raw = Raw::connect(address).await;
    raw.send("OPTIONS * HTTP/1.1\r\nhost: evil.example\r\n\r\n").await;
    assert_eq!(raw.answer().await.status, 400);
    assert_eq!(street.handled(), 0);
}

/// The port answers authorities' challenges too: whoever could hold it would keep certificates from being renewed.
#[tokio::test]
async fn who_holds_the_http_port_open_keeps_nobody_else_from_it() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let limits = Limits { head_timeout: Duration::from_mins(5), ..Limits::default() };
    let mut settings = settings(&folder, &authority, limits);
    let to = "https://mlflow.example.com".to_owned();
    settings.redirect = Some(Redirect { address: "127.0.0.1:0".parse().unwrap(), to, desk: None });
    let street = Street::open(settings, |_, _| async { text(200, "ok") });
    let address = street.addresses().redirect.unwrap();
    let mut held = Vec::new();
    for _ in 0..300 {
        let mut one = tokio::net::TcpStream::connect(address).await.unwrap();
        let _ = one.write_all(b"GET / HTTP/1.1\r\n").await;
        held.push(one);
    }
    // The last of them was let go, so all of them have been seen.
    let mut read = Vec::new();
    let _ = soon("the end of the last", held.last_mut().unwrap().read_to_end(&mut read)).await;
    let other = tokio::net::TcpSocket::new_v4().unwrap();
    other.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = other.connect(address).await.unwrap();
    other.write_all(b"GET /a HTTP/1.1\r\nhost: mlflow.example.com\r\n\r\n").await.unwrap();
    let mut said = String::new();
    soon("a redirect", other.read_to_string(&mut said)).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 308 "), "{said}");
}

/// MLflow's client (`requests`) reads no answer before it has sent all of an upload.
#[tokio::test]
async fn who_is_refused_in_a_large_upload_can_send_all_of_it_and_reads_why() {
    const LENGTH: usize = 12 * 1024 * 1024;
    let (folder, authority) = (Folder::new(), Authority::new());
    let settings = settings(&folder, &authority, Limits::default());
    let settings = Settings { plain: Some("127.0.0.1:0".parse().unwrap()), ..settings };
    let street = Street::open(settings, |_, _| async { text(401, "who are you") });
    let head = format!("PUT /a HTTP/1.1\r\nhost: localhost\r\ncontent-length: {LENGTH}\r\n\r\n");
    let body = vec![7; LENGTH];
    let mut raw = Raw::connect(street.plain()).await;
    raw.send(&head).await;
    raw.send(&body).await;
    let said = raw.answer().await;
    assert_eq!((said.status, said.body.as_slice()), (401, &b"who are you"[..]));
    raw.is_closed().await;
    let mut tls = client::tls(street.https(), authority.client(&["http/1.1"])).await.unwrap();
    soon("a head", tls.write_all(head.as_bytes())).await.unwrap();
    soon("a body", tls.write_all(&body)).await.unwrap();
    soon("a body", tls.flush()).await.unwrap();
    let mut said = Vec::new();
    soon("an answer", tls.read_to_end(&mut said)).await.unwrap();
    assert!(said.starts_with(b"HTTP/1.1 401 ") && said.ends_with(b"who are you"), "{}", String::from_utf8_lossy(&said));
}
