//! What do Google's Application Default Credentials on this machine prove?
//!
//! The file that `gcloud auth application-default login` writes, or that `GOOGLE_APPLICATION_CREDENTIALS` names: a person, a
//! service account's key, a service account that another credential may speak for, or an identity of another cloud (Google,
//! "How Application Default Credentials works"; AIP-4110 to 4117). Each is turned into an ID token for the audience.
//!
//! Our own code, since the libraries for this bring a second HTTP client or TLS provider.

mod access;
mod file;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use url::Url;
use zeroize::Zeroizing;

use self::access::{Access, refused};
use self::file::{Kind, Person};
use super::{Asking, Credential, Source, SourceFault};
use crate::clock::Clock;
use crate::fetch::Fetcher;
use crate::google::{Key, Wanted};

/// What signs a person in again.
const LOG_IN: &str = "run `gcloud auth application-default login`";
const FORM: &str = "application/x-www-form-urlencoded";

/// Application Default Credentials.
pub struct Adc {
    kind: Kind,
    path: PathBuf,
    audience: String,
    fetcher: Fetcher,
    clock: Clock,
}

impl Adc {
    /// Reads the file.
    ///
    /// # Errors
    /// [`SourceFault`] for one that cannot be read, or that gives no ID tokens.
    pub fn read(path: &Path, audience: &str, fetcher: Fetcher, clock: Clock) -> Result<Self, SourceFault> {
        let fault = |why: &str| {
            SourceFault::lasting(format!("Google's credentials in {} cannot be used, {why}", path.display()), LOG_IN)
        };
        let text = std::fs::read_to_string(path).map(Zeroizing::new).map_err(|why| fault(&why.to_string()))?;
        let kind = Kind::parse(&text).map_err(|why| fault(&why))?;
        Ok(Self { kind, path: path.to_owned(), audience: audience.to_owned(), fetcher, clock })
    }

    async fn ask(&self) -> Result<Credential, SourceFault> {
        let token = match &self.kind {
            Kind::Person(person) => self.of_person(person).await?,
            Kind::Key(key) => self.of_key(key).await?,
            Kind::Impersonated { access, url, delegates } => self.of_account(access, url, delegates).await?,
        };
        Credential::read(token).map_err(|why| SourceFault::passing(format!("{}: {why}", self.describe())))
    }

    /// A person's ID token is for the client that they signed in at, whatever audience one wants (OpenID Connect Core 1.0
    /// section 2): the server must have it in its list.
    async fn of_person(&self, person: &Person) -> Result<Zeroizing<String>, SourceFault> {
        #[derive(Deserialize)]
        struct Answer {
            id_token: Option<Zeroizing<String>>,
        }
        let answer = access::refresh(person, &self.fetcher).await?;
        let answer: Answer = read(&answer)?;
        answer.id_token.ok_or_else(|| {
            SourceFault::lasting(
                "Google gave no ID token for these credentials of a person".to_owned(),
                format!("{LOG_IN} with `--scopes=openid,https://www.googleapis.com/auth/userinfo.email,https://www.googleapis.com/auth/cloud-platform`"),
            )
        })
    }

    async fn of_key(&self, key: &Key) -> Result<Zeroizing<String>, SourceFault> {
        #[derive(Deserialize)]
        struct Answer {
            id_token: Zeroizing<String>,
        }
        let body = key
            .request(Wanted::Identity(&self.audience), self.clock.seconds())
            .map_err(|why| SourceFault::lasting(why.to_owned(), "make another key"))?;
        let answer = access::post(&self.fetcher, key.endpoint(), FORM, &body, None).await?;
        let answer =
            refused(answer, |_| "is the key still one of the account's, and this machine's clock right?".to_owned())?;
        Ok(read::<Answer>(&answer)?.id_token)
    }

    /// IAM Credentials API, `projects.serviceAccounts.generateIdToken`.
    async fn of_account(
        &self,
        access: &Access,
        url: &Url,
        delegates: &[String],
    ) -> Result<Zeroizing<String>, SourceFault> {
        #[derive(Deserialize)]
        struct Answer {
            token: Zeroizing<String>,
        }
        let token = access.token(&self.fetcher, &self.clock).await?;
        let body = json!({"audience": self.audience, "includeEmail": true, "delegates": delegates}).to_string();
        let answer = access::post(&self.fetcher, url, "application/json", &body, Some(&token)).await?;
        let help = |_: &str| {
            "the caller needs the role `roles/iam.serviceAccountOpenIdTokenCreator` on the service account".to_owned()
        };
        Ok(read::<Answer>(&refused(answer, help)?)?.token)
    }
}

impl Source for Adc {
    fn describe(&self) -> String {
        format!("Google's {} in {}", self.kind.describe(), self.path.display())
    }

    fn fresh<'a>(&'a self, _: Option<&'a Credential>) -> Asking<'a> {
        Box::pin(self.ask())
    }
}

fn read<T: for<'a> Deserialize<'a>>(answer: &Bytes) -> Result<T, SourceFault> {
    // What serde says may repeat a part of it.
    serde_json::from_slice(answer).map_err(|_| SourceFault::passing("Google's answer holds no token".to_owned()))
}
