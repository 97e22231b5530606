//! What stands in a file of Application Default Credentials?

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use url::Url;
use zeroize::Zeroizing;

use super::access::{Access, Federated, Subject};
use crate::fetch::{is_metadata, is_secure};
use crate::google::Key;

/// Where people's refresh tokens are used, unless the file says otherwise.
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";

/// The kinds of credentials that give ID tokens.
pub(super) enum Kind {
    Person(Person),
    Key(Box<Key>),
    /// A service account that another credential may speak for.
    Impersonated {
        access: Box<Access>,
        url: Url,
        delegates: Vec<String>,
    },
}

/// `authorized_user`.
pub(super) struct Person {
    pub(super) client_id: String,
    pub(super) client_secret: Zeroizing<String>,
    pub(super) refresh_token: Zeroizing<String>,
    pub(super) token_uri: Url,
}

#[derive(Deserialize)]
struct PersonFile {
    client_id: String,
    client_secret: Zeroizing<String>,
    refresh_token: Zeroizing<String>,
    token_uri: Option<Url>,
}

#[derive(Deserialize)]
struct ImpersonatedFile {
    service_account_impersonation_url: Url,
    source_credentials: Value,
    #[serde(default)]
    delegates: Vec<String>,
}

#[derive(Deserialize)]
struct ExternalFile {
    audience: String,
    subject_token_type: String,
    token_url: Url,
    service_account_impersonation_url: Option<Url>,
    credential_source: SubjectFile,
}

#[derive(Deserialize)]
struct SubjectFile {
    file: Option<PathBuf>,
    url: Option<Url>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    environment_id: Option<String>,
    executable: Option<Value>,
    #[serde(default)]
    format: Format,
}

#[derive(Deserialize, Default)]
struct Format {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    subject_token_field_name: String,
}

impl Kind {
    /// Reads the file's text; what it says of faults repeats nothing of it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let file: Value = serde_json::from_str(text).map_err(|_| "it is no JSON".to_owned())?;
        match kind_of(&file) {
            "authorized_user" => person(file).map(Self::Person),
            "service_account" => Key::parse(text).map(|key| Self::Key(Box::new(key))).map_err(ToOwned::to_owned),
            "impersonated_service_account" => {
                let file: ImpersonatedFile = lacking(file)?;
                let access = match kind_of(&file.source_credentials) {
                    "authorized_user" => Access::Person(person(file.source_credentials)?),
                    "service_account" => Access::Key(Box::new(Key::parse(&file.source_credentials.to_string())?)),
                    "external_account" => Access::Federated(external(file.source_credentials)?.0),
                    other => return Err(format!("its source credentials are of the unknown type `{}`", short(other))),
                };
                let url = for_id_tokens(&file.service_account_impersonation_url)?;
                Ok(Self::Impersonated { access: Box::new(access), url, delegates: file.delegates })
            }
            "external_account" => {
                let (federated, url) = external(file)?;
                let url = url.ok_or(
                    "it names no service account: only a service account has ID tokens. Make it again with \
                     `gcloud iam workload-identity-pools create-cred-config --service-account=...`",
                )?;
                Ok(Self::Impersonated {
                    access: Box::new(Access::Federated(federated)),
                    url: for_id_tokens(&url)?,
                    delegates: Vec::new(),
                })
            }
            "external_account_authorized_user" => {
                Err("people of another identity provider have no ID tokens of Google".to_owned())
            }
            other => Err(format!("its type `{}` is unknown", short(other))),
        }
    }

    pub(super) fn describe(&self) -> &'static str {
        match self {
            Self::Person(_) => "credentials of a person",
            Self::Key(_) => "key of a service account",
            Self::Impersonated { access, .. } if matches!(**access, Access::Federated(_)) => {
                "workload identity federation"
            }
            Self::Impersonated { .. } => "credentials to speak for a service account",
        }
    }
}

fn kind_of(file: &Value) -> &str {
    file["type"].as_str().unwrap_or_default()
}

/// Somebody may have put a secret where the type belongs.
fn short(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_lowercase() || *c == '_').take(40).collect()
}

fn lacking<T: for<'a> Deserialize<'a>>(file: Value) -> Result<T, String> {
    serde_json::from_value(file).map_err(|_| "a field that its type must have is missing or wrong".to_owned())
}

fn person(file: Value) -> Result<Person, String> {
    let file: PersonFile = lacking(file)?;
    let token_uri = match file.token_uri {
        Some(url) => Some(url),
        None => Url::parse(TOKEN_URI).ok(),
    };
    let token_uri = token_uri.filter(is_secure).ok_or("its `token_uri` is not an https address")?;
    let PersonFile { client_id, client_secret, refresh_token, .. } = file;
    Ok(Person { client_id, client_secret, refresh_token, token_uri })
}

fn external(file: Value) -> Result<(Federated, Option<Url>), String> {
    let file: ExternalFile = lacking(file)?;
    if !is_secure(&file.token_url) {
        return Err("its `token_url` is not an https address".to_owned());
    }
    let from = file.credential_source;
    if from.environment_id.is_some() {
        return Err("identities of AWS are not taken by Trackgate; use a source of the kind `file` or `url`".to_owned());
    }
    if from.executable.is_some() {
        return Err("Trackgate runs no programs for a credential; use a source of the kind `file` or `url`".to_owned());
    }
    let field = (from.format.kind == "json").then_some(from.format.subject_token_field_name);
    let subject = match (from.file, from.url) {
        (Some(path), None) => Subject::File { path, field },
        (None, Some(url)) if is_secure(&url) || is_metadata(&url) => {
            Subject::Url { url, headers: from.headers.into_iter().collect(), field }
        }
        (None, Some(_)) => return Err("the address of its `credential_source` is not https".to_owned()),
        _ => return Err("its `credential_source` is neither a file nor an address".to_owned()),
    };
    let federated = Federated {
        audience: file.audience,
        subject_token_type: file.subject_token_type,
        token_url: file.token_url,
        subject,
    };
    Ok((federated, file.service_account_impersonation_url))
}

/// The file names the method that gives access tokens; its neighbour gives ID tokens.
fn for_id_tokens(url: &Url) -> Result<Url, String> {
    let bad = "its `service_account_impersonation_url` is not what Google writes there";
    let path = url.path().strip_suffix(":generateAccessToken").ok_or(bad)?;
    let path = format!("{path}:generateIdToken");
    let mut url = url.clone();
    url.set_path(&path);
    if is_secure(&url) { Ok(url) } else { Err(bad.to_owned()) }
}
