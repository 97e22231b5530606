//! Will an answer do?
//!
//! The configuration's own words decide where it has some: a key with the answer is read alone. It takes any text for domains and
//! for IAP's audiences, which are compared with what Google says; what cannot ever be equal is refused here.

use super::Place;
use super::written::text;
use crate::config::Config;
use crate::mlflow::ids::UserName;

type Good = Result<(), String>;

/// What the configuration says of a file in which this key alone stands.
fn read_as(key: &str, file: &str) -> Good {
    let faults = Config::parse(file).err().unwrap_or_default();
    match faults.into_iter().find(|fault| fault.key == key) {
        None => Ok(()),
        Some(fault) => Err(fault.hint.map_or_else(|| fault.what.clone(), |hint| format!("{}; {hint}", fault.what))),
    }
}

pub(super) fn url(answer: &str) -> Good {
    read_as("public_url", &format!("public_url = {}", text(answer)))
}

pub(super) fn mlflow(answer: &str) -> Good {
    read_as("upstream.url", &format!("[upstream]\nurl = {}", text(answer)))
}

pub(super) fn contact(answer: &str) -> Good {
    read_as("acme.contact", &format!("[acme]\ncontact = {}", text(answer)))
}

pub(super) fn google_project(answer: &str) -> Good {
    read_as("log.google_project", &format!("[log]\ngoogle_project = {}", text(answer)))
}

/// `alone`: nobody else says who comes.
pub(super) fn issuer(answer: &str, alone: bool) -> Good {
    match answer {
        "none" if alone => Err("nobody could sign in: without IAP an issuer is needed".to_owned()),
        "none" | "google" => Ok(()),
        address => read_as("issuer[1].issuer", &format!("[[issuer]]\nname = \"sso\"\nissuer = {}", text(address))),
    }
}

pub(super) fn database(answer: &str, place: Place) -> Good {
    match answer {
        "none" if place == Place::CloudRun => {
            Err("Cloud Run has no disk that lasts: a PostgreSQL database is needed".to_owned())
        }
        "none" => Ok(()),
        url => read_as("store.url", &format!("[store]\nurl = {}", text(url))),
    }
}

pub(super) fn user(answer: &str) -> Good {
    UserName::parse(answer).map(|_| ()).map_err(|error| format!("must be a user name ({})", error.why))
}

pub(super) fn word(answer: &str) -> Good {
    let good = !answer.is_empty() && !answer.contains(|c: char| c.is_whitespace() || c.is_control());
    if good { Ok(()) } else { Err("must be one word".to_owned()) }
}

/// As Google's `hd` has them, and mail addresses after the `@`.
pub(super) fn domain(answer: &str) -> Good {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let labels = answer.split('.').all(|label| !label.is_empty() && label.chars().all(plain));
    if answer.contains('.') && labels {
        Ok(())
    } else {
        Err("must be a domain such as example.com, without `@` or `*`".to_owned())
    }
}

/// What assertions are for: a load balancer's backend service, a service of Cloud Run's, an App Engine application (Google: "Securing
/// your app with signed headers", the `aud` claim; `gcloud compute backend-services describe` shows a service's number as `id`).
pub(super) fn iap_audience(answer: &str) -> Good {
    let number = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let name = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let parts: Vec<&str> = answer.split('/').collect();
    let good = match parts.as_slice() {
        ["", "projects", project, place @ .., "backendServices", id] => {
            let region = match place {
                [region] | ["regions", region] => name(region),
                _ => false,
            };
            number(project) && region && number(id)
        }
        ["", "projects", project, "locations", region, "services", service] => {
            number(project) && name(region) && name(service)
        }
        ["", "projects", project, "apps", app] => number(project) && name(app),
        _ => false,
    };
    if good {
        Ok(())
    } else {
        Err("must be /projects/NUMBER/global/backendServices/ID, both of digits, or on Cloud Run \
             /projects/NUMBER/locations/REGION/services/NAME (Console: Identity-Aware Proxy, \"Get JWT audience code\")"
            .to_owned())
    }
}
