//! What does a caller's credential cost once it is known: a token of our own, beside an ID token whose verdict is cached?
//!
//! `cargo bench --bench tokens`. The two are asked in turns, so that a busy machine slows both alike; the ratio is what counts.

#![allow(clippy::unwrap_used, reason = "a benchmark may panic")]

#[path = "../tests/harness/forge.rs"]
mod forge;
#[path = "../tests/harness/issuer.rs"]
mod issuer;

use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue};
use serde_json::json;
use trackgate::access::ceiling::Ceiling;
use trackgate::authenticate::credential::{self, Credentials};
use trackgate::authenticate::own::{self, Wish};
use trackgate::authenticate::{Authenticator, Settings, issuer as room};
use trackgate::clock::Clock;
use trackgate::message::{Door, Peer};
use trackgate::mlflow::ids::UserName;
use trackgate::seal::Seal;
use trackgate::store::{self, By, Store, TokenKind};
use url::Url;

const AUDIENCE: &str = "https://mlflow.example.com";
const ROUNDS: usize = 400;
const CALLS: u32 = 500;
/// Tokens in the store besides.
const OTHERS: usize = 2000;

fn shown(field: &str) -> Credentials {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", HeaderValue::from_str(field).unwrap());
    credential::take(&mut headers)
}

async fn make(store: &Store, owner: &str, settings: &own::Settings) -> String {
    let owner = UserName::parse(owner).unwrap();
    store.add_user(&owner, By::Trackgate).await.unwrap();
    let (name, ceiling, expires) = ("bench".to_owned(), Ceiling::default(), None);
    let wish = Wish { owner, kind: TokenKind::Personal, name, ceiling, expires };
    own::make(store, settings, wish, Clock::System.millis(), By::Trackgate).await.unwrap().text.to_string()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    trackgate::cli::install_crypto();
    let provider = issuer::Issuer::start(vec![Arc::new(forge::Forge::rsa("k1"))]);
    let folder = std::env::temp_dir().join(format!("trackgate-bench-tokens-{}", std::process::id()));
    let mut settings = Settings::new(Url::parse(AUDIENCE).unwrap());
    let mut here = room::Settings::new("here", &provider.url);
    here.bearer_audiences = vec![AUDIENCE.to_owned()];
    settings.issuers = vec![here];
    let tokens = settings.tokens;
    let store = Store::open(&store::Settings::new(folder.clone()), Clock::System).await.unwrap();
    let seal = Arc::new(Seal::ephemeral().unwrap());
    let authenticator = Authenticator::new(settings, store.clone(), seal, Clock::System).unwrap();
    for index in 0..OTHERS {
        make(&store, &format!("user{index}@example.com"), &tokens).await;
    }
    let token = make(&store, "alice@example.com", &tokens).await;
    let jwt = provider.bearer(AUDIENCE, &json!({"groups": ["one", "two"], "name": "Alice Example"}));
    let basic = STANDARD.encode(format!("token:{token}"));
    let credentials = [
        ("ID token, verdict cached", shown(&format!("Bearer {jwt}"))),
        ("our token as Bearer", shown(&format!("Bearer {token}"))),
        ("our token as Basic", shown(&format!("Basic {basic}"))),
    ];
    let peer = Peer { address: IpAddr::from([192, 0, 2, 1]), trusted_front: false, secure: true, door: Door::Https };
    let mut times: [Vec<Duration>; 3] = Default::default();
    for round in 0..=ROUNDS {
        for ((_, credential), times) in credentials.iter().zip(&mut times) {
            let begun = Instant::now();
            for _ in 0..CALLS {
                let known = authenticator.authenticate(&peer, black_box(credential)).await.unwrap();
                assert!(black_box(known).is_some());
            }
            // The first round warms.
            if round > 0 {
                times.push(begun.elapsed() / CALLS);
            }
        }
    }
    println!("{} bytes of ID token, {} of ours, {} tokens in the store", jwt.len(), token.len(), OTHERS + 1);
    let mut base = 0.0;
    for ((what, _), mut times) in credentials.iter().zip(times) {
        times.sort_unstable();
        let median = times[times.len() / 2];
        if base == 0.0 {
            base = median.as_secs_f64();
        }
        println!("{what}: median {median:?}, ratio {:.2}", median.as_secs_f64() / base);
    }
    store.close().await;
    let _ = std::fs::remove_dir_all(folder);
}
