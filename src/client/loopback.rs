//! How does the browser bring the code back to this program?
//!
//! To a port of the loopback address that is open for this one login (RFC 8252 section 7.3). Other local programs and pages in
//! the browser can reach it too: only a request with our own `Host` counts (a page whose name was pointed here keeps its own),
//! for one path, with `state` as it was sent, and from the issuer that was asked (RFC 9207). Whatever else comes is refused and
//! the wait goes on.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use secrecy::SecretString;
use subtle::ConstantTimeEq as _;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use url::form_urlencoded;

use super::fault::harmless;

/// The one path (RFC 8252 leaves it to us; the server knows it).
const PATH: &str = "/callback";
/// Connections at a time: a browser opens some to be ready.
const MOST: usize = 16;
/// For a request's head, and for the last answer to be on its way.
const SHORTLY: Duration = Duration::from_secs(5);

/// A port that waits for one browser.
pub(super) struct Loopback {
    listener: TcpListener,
    expected: Expected,
}

/// What the browser must bring.
#[derive(Clone)]
pub(super) struct Expected {
    pub(super) state: String,
    /// Who answers.
    pub(super) issuer: String,
    /// Whether it has promised to say so.
    pub(super) names_itself: bool,
    host: String,
}

/// What the browser brought.
pub(super) enum Brought {
    /// A code.
    Code(SecretString),
    /// A word of RFC 6749 section 4.1.2.1.
    Refusal(String),
}

impl Loopback {
    /// Opens a port.
    pub(super) async fn open(state: String, issuer: String, names_itself: bool) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let host = listener.local_addr()?.to_string();
        Ok(Self { listener, expected: Expected { state, issuer, names_itself, host } })
    }

    /// Where the browser is to come.
    pub(super) fn redirect(&self) -> String {
        format!("http://{}{PATH}", self.expected.host)
    }

    /// Waits for it; `None` after so long.
    pub(super) async fn wait(self, patience: Duration) -> Option<Brought> {
        let (sender, mut receiver) = mpsc::channel(1);
        let expected = Arc::new(self.expected);
        let room = Arc::new(Semaphore::new(MOST));
        let mut connections = JoinSet::new();
        let end = tokio::time::Instant::now() + patience;
        let brought = loop {
            tokio::select! {
                brought = receiver.recv() => break brought,
                () = tokio::time::sleep_until(end) => break None,
                Some(_) = connections.join_next() => {}
                accepted = self.listener.accept() => {
                    // Too many at once are dropped: whoever floods the port hinders one login, and learns nothing.
                    let (Ok((stream, _)), Ok(place)) = (accepted, Arc::clone(&room).try_acquire_owned()) else { continue };
                    let (expected, sender) = (Arc::clone(&expected), sender.clone());
                    connections.spawn(async move {
                        let service = service_fn(move |request| {
                            let answer = answer(&request, &expected, &sender);
                            async move { Ok::<_, Infallible>(answer) }
                        });
                        let mut http = http1::Builder::new();
                        http.timer(TokioTimer::new()).header_read_timeout(SHORTLY).max_buf_size(16 * 1024);
                        let _ = http.serve_connection(TokioIo::new(stream), service).await;
                        drop(place);
                    });
                }
            }
        };
        // The page that says so should reach the browser; idle connections are not waited for.
        if brought.is_some() {
            let _ = tokio::time::timeout(Duration::from_millis(500), async {
                while connections.join_next().await.is_some() {}
            })
            .await;
        }
        brought
    }
}

fn answer<B>(request: &Request<B>, expected: &Expected, sender: &mpsc::Sender<Brought>) -> Response<Full<Bytes>> {
    match read(request, expected) {
        Ok(brought) => {
            let title = match &brought {
                Brought::Code(_) => "Almost there",
                Brought::Refusal(_) => "Not signed in",
            };
            // A second one finds the place taken.
            let _ = sender.try_send(brought);
            page(StatusCode::OK, title, "You can close this window and go back to the terminal.")
        }
        Err((status, words)) => page(status, "This is not for you", words),
    }
}

/// Reads what a request brings, if it comes from where the browser was sent.
fn read<B>(request: &Request<B>, expected: &Expected) -> Result<Brought, (StatusCode, &'static str)> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let own = hosts.next().is_some_and(|host| host.as_bytes() == expected.host.as_bytes()) && hosts.next().is_none();
    if !own {
        return Err((StatusCode::MISDIRECTED_REQUEST, "This port has another name."));
    }
    if request.uri().path() != PATH {
        return Err((StatusCode::NOT_FOUND, "There is nothing here."));
    }
    if request.method() != Method::GET {
        return Err((StatusCode::METHOD_NOT_ALLOWED, "There is nothing to send here."));
    }
    let bad = (StatusCode::BAD_REQUEST, "This is not the answer to the login that waits here.");
    let one = |name: &str| {
        let query = request.uri().query().unwrap_or_default().as_bytes();
        let mut values = form_urlencoded::parse(query).filter(|(key, _)| key == name).map(|(_, value)| value);
        let first = values.next();
        // RFC 6749 section 3.1: parameters are not included more than once.
        if values.next().is_some() { Err(bad) } else { Ok(first) }
    };
    let state = one("state")?.ok_or(bad)?;
    if !bool::from(state.as_bytes().ct_eq(expected.state.as_bytes())) {
        return Err(bad);
    }
    // RFC 9207 section 2.4.
    match one("iss")? {
        Some(issuer) if issuer != expected.issuer => return Err(bad),
        None if expected.names_itself => return Err(bad),
        _ => {}
    }
    match (one("code")?, one("error")?) {
        (Some(code), None) if !code.is_empty() => Ok(Brought::Code(code.into_owned().into())),
        (None, Some(error)) => Ok(Brought::Refusal(harmless(&error))),
        _ => Err(bad),
    }
}

fn page(status: StatusCode, title: &str, words: &str) -> Response<Full<Bytes>> {
    let text = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Trackgate</title></head><body><h1>{title}</h1>\
         <p>{words}</p></body></html>\n"
    );
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (CONNECTION, "close"),
    ] {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    const GOOD: &str = "/callback?state=s3cret&code=c0de&iss=https%3A%2F%2Fmlflow.example.com";

    fn expected() -> Expected {
        let issuer = "https://mlflow.example.com".to_owned();
        Expected { state: "s3cret".to_owned(), issuer, names_itself: true, host: "127.0.0.1:4242".to_owned() }
    }

    fn request(method: &str, target: &str, host: &str) -> Request<()> {
        Request::builder().method(method).uri(target).header(HOST, host).body(()).unwrap()
    }

    fn status(request: &Request<()>) -> u16 {
        read(request, &expected()).err().map_or(200, |(status, _)| status.as_u16())
    }

    #[test]
    fn the_answer_to_our_own_login_is_taken() {
        match read(&request("GET", GOOD, "127.0.0.1:4242"), &expected()) {
            Ok(Brought::Code(code)) => assert_eq!(code.expose_secret(), "c0de"),
            _ => panic!("no code"),
        }
        let refusal = "/callback?state=s3cret&error=access_denied&iss=https%3A%2F%2Fmlflow.example.com";
        match read(&request("GET", refusal, "127.0.0.1:4242"), &expected()) {
            Ok(Brought::Refusal(word)) => assert_eq!(word, "access_denied"),
            _ => panic!("no refusal"),
        }
    }

    #[test]
    fn a_page_whose_name_was_pointed_here_is_refused() {
        for host in
            ["evil.example", "evil.example:4242", "localhost:4242", "127.0.0.1", "127.0.0.1:4243", "[::1]:4242", ""]
        {
            assert_eq!(status(&request("GET", GOOD, host)), 421, "{host}");
        }
        let mut twice = request("GET", GOOD, "127.0.0.1:4242");
        twice.headers_mut().append(HOST, HeaderValue::from_static("evil.example"));
        assert_eq!(status(&twice), 421);
        twice.headers_mut().remove(HOST);
        assert_eq!(status(&twice), 421);
    }

    #[test]
    fn another_state_path_method_or_issuer_is_refused() {
        let own = "127.0.0.1:4242";
        for (target, wanted) in [
            (GOOD.replace("s3cret", "s3creT"), 400),
            (GOOD.replace("s3cret", ""), 400),
            (GOOD.replace("state=s3cret&", ""), 400),
            (format!("{GOOD}&state=s3cret"), 400),
            (format!("{GOOD}&state=other"), 400),
            (format!("{GOOD}&code=other"), 400),
            (GOOD.replace("c0de", ""), 400),
            (GOOD.replace("code=c0de&", ""), 400),
            (format!("{GOOD}&error=access_denied"), 400),
            (GOOD.replace("mlflow.example.com", "evil.example"), 400),
            (GOOD.replace("&iss=https%3A%2F%2Fmlflow.example.com", ""), 400),
            (GOOD.replace("/callback", "/"), 404),
            (GOOD.replace("/callback", "/callback/"), 404),
            ("/favicon.ico".to_owned(), 404),
        ] {
            assert_eq!(status(&request("GET", &target, own)), wanted, "{target}");
        }
        for method in ["POST", "HEAD", "OPTIONS", "PUT"] {
            assert_eq!(status(&request(method, GOOD, own)), 405, "{method}");
        }
    }
}
