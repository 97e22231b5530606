//! Does each source give what it should, and say what helps where it cannot?

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use http::Request;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};
use trackgate::clock::Clock;
use trackgate::connect::source::choice::{Kind, Surroundings};
use trackgate::connect::source::{Adc, GitHub, Metadata, Source, SourceFault, TokenFile};
use trackgate::fetch::{self, Fetcher};

use super::{Running, claims, form, json_answer, now, token};
use crate::harness::certs::Folder;
use crate::harness::google::{ACCOUNT, Google};
use crate::harness::server::{Server, full};

const AUDIENCE: &str = "https://mlflow.example.com";

fn fetcher() -> Fetcher {
    trackgate::cli::install_crypto();
    Fetcher::new(&fetch::Settings::default()).unwrap()
}

/// The claims of what a source gives.
async fn given(source: &dyn Source) -> Result<Value, SourceFault> {
    let credential = source.fresh(None).await?;
    assert!(credential.field().is_sensitive());
    Ok(claims(Some(credential.field())).unwrap())
}

fn adc(folder: &Folder, file: &Value) -> Result<Adc, SourceFault> {
    let path = folder.path().join("adc.json");
    std::fs::write(&path, file.to_string()).unwrap();
    Adc::read(&path, AUDIENCE, fetcher(), Clock::System)
}

#[tokio::test]
async fn the_metadata_server_gives_a_token_for_the_audience() {
    let google = Google::start();
    let host = google.url.strip_prefix("http://").unwrap();
    let source = Metadata::new(Some(host), AUDIENCE, fetcher()).unwrap();
    let told = given(&source).await.unwrap();
    assert_eq!((&told["aud"], &told["email"]), (&json!(AUDIENCE), &json!(ACCOUNT)));
    // Somebody else on that address is no metadata server; nor is anything by a name or elsewhere.
    let other = Server::ok();
    let source = Metadata::new(Some(&other.address.to_string()), AUDIENCE, fetcher()).unwrap();
    let fault = given(&source).await.unwrap_err();
    assert!(fault.to_string().contains("another server"), "{fault}");
    for host in ["10.0.0.1", "metadata.evil.example", "127.0.0.1@evil.example", ""] {
        assert_eq!(Metadata::new(Some(host), AUDIENCE, fetcher()).is_err(), !host.is_empty(), "{host}");
    }
}

#[tokio::test]
async fn a_key_of_a_service_account_gives_a_token_for_the_audience() {
    let (google, folder) = (Google::start(), Folder::new());
    let source = adc(&folder, &google.key_file()).unwrap();
    let told = given(&source).await.unwrap();
    assert_eq!((&told["aud"], &told["email"]), (&json!(AUDIENCE), &json!(ACCOUNT)));
    // Another key is made, and this one counts no more.
    google.key_file();
    let fault = given(&source).await.unwrap_err();
    assert!(fault.is_lasting() && fault.to_string().contains("still one of the account's"), "{fault}");
}

/// Google's token endpoint, STS and IAM as these tests need them, and what they were asked.
fn clouds() -> (Server, Arc<Mutex<Vec<Value>>>) {
    let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
    let asks = Arc::clone(&asked);
    let server = Server::scripted(move |request: Request<Incoming>| {
        let asks = Arc::clone(&asks);
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let field = |name: &str| head.headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
            match head.uri.path() {
                "/token" => {
                    let form = form(&body);
                    asks.lock().unwrap().push(json!(form));
                    match form["refresh_token"].as_str() {
                        "good" => {
                            json_answer(200, &json!({"access_token": "ya29.person", "id_token": token(1, now(), 3600)}))
                        }
                        "unscoped" => json_answer(200, &json!({"access_token": "ya29.person"})),
                        _ => json_answer(
                            400,
                            &json!({"error": "invalid_grant", "error_description": "Token has been expired or revoked."}),
                        ),
                    }
                }
                "/sts" => {
                    let form = form(&body);
                    asks.lock().unwrap().push(json!(form));
                    let good = form["grant_type"] == "urn:ietf:params:oauth:grant-type:token-exchange"
                        && form["audience"]
                            == "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x"
                        && form["subject_token_type"] == "urn:ietf:params:oauth:token-type:jwt"
                        && form["subject_token"] == "of-the-cluster";
                    if good {
                        json_answer(
                            200,
                            &json!({"access_token": "ya29.federated", "token_type": "Bearer", "expires_in": 3600}),
                        )
                    } else {
                        json_answer(400, &json!({"error": "invalid_request"}))
                    }
                }
                "/subject" if field("x-own") == "1" => json_answer(200, &json!({"value": "of-the-cluster"})),
                "/v1/projects/-/serviceAccounts/t@p.iam.gserviceaccount.com:generateIdToken" => {
                    let wanted: Value = serde_json::from_slice(&body).unwrap();
                    asks.lock().unwrap().push(json!({"by": field("authorization"), "wanted": wanted}));
                    if field("authorization") == "Bearer ya29.person" && wanted["delegates"] == json!(["none"]) {
                        return json_answer(
                            403,
                            &json!({"error": {"code": 403, "message": "Permission 'iam.serviceAccounts.getOpenIdToken' denied"}}),
                        );
                    }
                    json_answer(200, &json!({"token": token(2, now(), 3600)}))
                }
                _ => full(404, "{}"),
            }
        }
    });
    (server, asked)
}

fn person(server: &Server, refresh_token: &str) -> Value {
    json!({"type": "authorized_user", "client_id": "gcloud", "client_secret": "x", "refresh_token": refresh_token,
        "token_uri": format!("http://{}/token", server.address)})
}

fn impersonation(server: &Server) -> String {
    format!("http://{}/v1/projects/-/serviceAccounts/t@p.iam.gserviceaccount.com:generateAccessToken", server.address)
}

fn federation(server: &Server, source: Value) -> Value {
    json!({"type": "external_account", "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x",
        "token_url": format!("http://{}/sts", server.address), "credential_source": source,
        "service_account_impersonation_url": impersonation(server)})
}

#[tokio::test]
async fn a_persons_credentials_give_their_id_token_and_an_ended_sign_in_says_what_helps() {
    let ((server, asked), folder) = (clouds(), Folder::new());
    let told = given(&adc(&folder, &person(&server, "good")).unwrap()).await.unwrap();
    assert_eq!(told["jti"], 1);
    assert_eq!(asked.lock().unwrap()[0]["grant_type"], "refresh_token");
    let fault = given(&adc(&folder, &person(&server, "ended")).unwrap()).await.unwrap_err();
    assert!(fault.is_lasting() && fault.to_string().contains("gcloud auth application-default login"), "{fault}");
    let fault = given(&adc(&folder, &person(&server, "unscoped")).unwrap()).await.unwrap_err();
    assert!(fault.is_lasting() && fault.to_string().contains("--scopes=openid"), "{fault}");
}

#[tokio::test]
async fn who_may_speak_for_a_service_account_gives_its_token() {
    let ((server, asked), folder) = (clouds(), Folder::new());
    let file = |delegates: Value| {
        json!({"type": "impersonated_service_account", "source_credentials": person(&server, "good"),
            "service_account_impersonation_url": impersonation(&server), "delegates": delegates})
    };
    assert_eq!(given(&adc(&folder, &file(json!([]))).unwrap()).await.unwrap()["jti"], 2);
    let last = asked.lock().unwrap().last().unwrap().clone();
    let wanted = json!({"audience": AUDIENCE, "includeEmail": true, "delegates": []});
    assert_eq!(last, json!({"by": "Bearer ya29.person", "wanted": wanted}));
    let fault = given(&adc(&folder, &file(json!(["none"]))).unwrap()).await.unwrap_err();
    assert!(fault.to_string().contains("roles/iam.serviceAccountOpenIdTokenCreator"), "{fault}");
}

#[tokio::test]
async fn workload_identity_federation_takes_a_token_from_a_file_or_an_address() {
    let ((server, _), folder) = (clouds(), Folder::new());
    let subject = folder.path().join("subject");
    std::fs::write(&subject, "of-the-cluster\n").unwrap();
    let json_subject = folder.path().join("subject.json");
    std::fs::write(&json_subject, "{\"token\":\"of-the-cluster\"}").unwrap();
    let field = |name: &str| json!({"type": "json", "subject_token_field_name": name});
    for source in [
        json!({"file": subject}),
        json!({"file": json_subject, "format": field("token")}),
        json!({"url": format!("http://{}/subject", server.address), "headers": {"x-own": "1"}, "format": field("value")}),
    ] {
        assert_eq!(given(&adc(&folder, &federation(&server, source)).unwrap()).await.unwrap()["jti"], 2);
    }
    std::fs::write(&subject, "of-somebody-else").unwrap();
    let fault = given(&adc(&folder, &federation(&server, json!({"file": subject}))).unwrap()).await.unwrap_err();
    assert!(fault.to_string().contains("workload identity pool"), "{fault}");
    std::fs::write(&subject, "").unwrap();
    let fault = given(&adc(&folder, &federation(&server, json!({"file": subject}))).unwrap()).await.unwrap_err();
    assert!(!fault.is_lasting(), "somebody may be writing it: {fault}");
}

#[test]
fn files_of_google_that_give_no_id_token_are_refused_with_their_reason_and_without_their_secrets() {
    let ((server, _), folder) = (clouds(), Folder::new());
    let mut nobody = federation(&server, json!({"file": "/x"}));
    nobody.as_object_mut().unwrap().remove("service_account_impersonation_url");
    let mut insecure = person(&server, "hunter2");
    insecure["token_uri"] = json!("http://oauth2.evil.example/token");
    let mut elsewhere = federation(&server, json!({"file": "/x"}));
    elsewhere["service_account_impersonation_url"] = json!("https://iam.example/v1/x:signJwt");
    for (file, why) in [
        (json!({"type": "hunter2!"}), "unknown"),
        (json!("hunter2"), "unknown"),
        (json!({"type": "authorized_user", "client_id": "hunter2"}), "missing or wrong"),
        (insecure, "not an https address"),
        (nobody, "names no service account"),
        (elsewhere, "not what Google writes"),
        (federation(&server, json!({"environment_id": "aws1"})), "AWS"),
        (federation(&server, json!({"executable": {"command": "/bin/hunter2"}})), "runs no programs"),
        (federation(&server, json!({"url": "http://10.0.0.1/token"})), "not https"),
        (federation(&server, json!({})), "neither a file nor an address"),
    ] {
        let fault = adc(&folder, &file).err().unwrap().to_string();
        assert!(fault.contains(why) && !fault.contains("hunter2"), "{fault}");
    }
    let fault = Adc::read(&folder.path().join("none"), AUDIENCE, fetcher(), Clock::System).err().unwrap();
    assert!(fault.to_string().contains("No such file"), "{fault}");
}

#[tokio::test]
async fn a_job_of_github_actions_asks_for_a_token_of_the_audience() {
    let server = Server::scripted(|request: Request<Incoming>| async move {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let authorization = request.headers()["authorization"].to_str().unwrap().to_owned();
        match (query.as_str(), authorization.as_str()) {
            ("api-version=2.0&audience=https%3A%2F%2Fmlflow.example.com", "bearer of-the-runner") => {
                json_answer(200, &json!({"count": 1, "value": token(3, now(), 300)}))
            }
            _ => full(401, "{}"),
        }
    });
    let url = format!("http://{}/idtoken?api-version=2.0", server.address);
    let job = |token: &str| GitHub::new(&url, token, AUDIENCE, fetcher()).unwrap();
    assert_eq!(given(&job("of-the-runner")).await.unwrap()["jti"], 3);
    let fault = given(&job("of-another")).await.unwrap_err();
    assert!(fault.is_lasting() && fault.to_string().contains("id-token: write"), "{fault}");
    assert!(GitHub::new("http://10.0.0.1/x", "t", AUDIENCE, fetcher()).is_err());
}

#[tokio::test]
async fn a_token_file_is_read_again_when_it_changes_also_when_it_was_half_written() {
    let folder = Folder::new();
    let path = folder.path().join("token");
    let write = |text: &str| {
        // As Kubernetes does: another file in the place of the old one.
        let next = folder.path().join("next");
        std::fs::write(&next, text).unwrap();
        std::fs::rename(next, &path).unwrap();
    };
    write(&token(1, now(), 3600));
    let seen: Arc<Mutex<Vec<u64>>> = Arc::default();
    let sees = Arc::clone(&seen);
    let server = Server::scripted(move |request: Request<Incoming>| {
        let sees = Arc::clone(&sees);
        async move {
            let number = claims(request.headers().get("authorization")).unwrap()["jti"].as_u64().unwrap();
            sees.lock().unwrap().push(number);
            full(200, "{}")
        }
    });
    let file: PathBuf = path.clone();
    let agent = Running::before(&format!("http://{}", server.address), |settings| {
        settings.own = Some(Box::new(TokenFile::new(file)));
    })
    .await;
    assert_eq!(agent.get("/").await.status, 200);
    write(&format!("{}\n", token(2, now(), 3600)));
    assert_eq!(agent.get("/").await.status, 200);
    // Empty, cut off, gone: the one from before still counts.
    write("");
    assert_eq!(agent.get("/").await.status, 200);
    write(&token(3, now(), 3600)[..200]);
    assert_eq!(agent.get("/").await.status, 200);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(agent.get("/").await.status, 200);
    write(&token(4, now(), 3600));
    assert_eq!(agent.get("/").await.status, 200);
    assert_eq!(*seen.lock().unwrap(), [1, 2, 2, 2, 2, 4]);
    assert!(agent.said().contains("cannot be used"), "{}", agent.said());
}

#[tokio::test]
async fn a_token_file_that_is_none_is_said_to_be_so() {
    let folder = Folder::new();
    for (name, content, why) in [
        ("missing", None, "No such file"),
        ("empty", Some(String::new()), "it is empty"),
        ("half", Some(token(1, now(), 3600)[..100].to_owned()), "whole JWT"),
        ("cut", Some("tgp_8KdUa2Qx_hunter2".to_owned()), "cut off or mistyped"),
    ] {
        let path = folder.path().join(name);
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        let fault = given(&TokenFile::new(path)).await.unwrap_err();
        assert!(fault.to_string().contains(why) && !fault.to_string().contains("hunter2"), "{fault}");
    }
    let fault = given(&TokenFile::new(folder.path().to_owned())).await.unwrap_err();
    assert!(fault.to_string().contains("it is no file"), "{fault}");
}

#[test]
fn a_source_that_was_named_and_is_not_there_says_what_it_lacks() {
    let fetcher = fetcher();
    let around = Surroundings::default();
    for (kind, why) in [
        (Kind::Env, "TRACKGATE_TOKEN"),
        (Kind::File, "--token-file"),
        (Kind::GitHub, "id-token: write"),
        (Kind::Adc, "gcloud auth application-default login"),
    ] {
        let fault = around.source(kind, AUDIENCE, &fetcher, || unreachable!()).err().unwrap();
        assert!(fault.is_lasting() && fault.to_string().contains(why), "{fault}");
    }
    assert!(around.source(Kind::Nothing, AUDIENCE, &fetcher, || unreachable!()).unwrap().is_none());
    let cut = Surroundings { token: Some("tgp_hunter2".to_owned().into()), ..Surroundings::default() };
    let fault = cut.source(Kind::Env, AUDIENCE, &fetcher, || unreachable!()).err().unwrap().to_string();
    assert!(fault.contains("cut off or mistyped") && !fault.contains("hunter2"), "{fault}");
}
