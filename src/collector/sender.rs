//! How is one batch sent?
//!
//! A POST of protobuf (OTLP/HTTP). What may be sent again is, twice, with a pause (OTLP/HTTP, "Failures"); at the end of the process
//! not any more.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{Settings, SetupFault, fetch};
use crate::clock::Clock;
use crate::fetch::{FetchFault, Fetcher};
use crate::google::{Key, NoToken, Source, Token, Tokens};

/// What Google wants (Telemetry API, "Authorization scopes").
const SCOPE: &str = "https://www.googleapis.com/auth/trace.append";
const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
const AGENT: HeaderValue = HeaderValue::from_static(concat!("trackgate/", env!("CARGO_PKG_VERSION")));
/// Between two attempts, unless the collector asks for more.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];
/// The longest pause that the collector can ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Why spans were not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendFault {
    /// No answer.
    #[error(transparent)]
    Fetch(#[from] FetchFault),
    /// Another status than 200.
    #[error("the collector answers with status {status}")]
    Status {
        /// Which.
        status: u16,
        /// The pause that it asks for.
        retry_after: Option<Duration>,
    },
    /// Our own credentials brought no access token.
    #[error("no access token for Google: {0}")]
    Token(#[from] NoToken),
    /// The process ends.
    #[error("the gate closes")]
    Over,
}

impl SendFault {
    /// The pause before the next attempt, if there is to be one.
    fn pause(&self, usual: Duration) -> Option<Duration> {
        match self {
            Self::Fetch(FetchFault::Connection(_) | FetchFault::TimedOut) => Some(usual),
            Self::Status { status: 429 | 502 | 503 | 504, retry_after } => {
                Some(retry_after.unwrap_or(usual).min(LONGEST_PAUSE))
            }
            Self::Fetch(_) | Self::Status { .. } | Self::Token(_) | Self::Over => None,
        }
    }
}

pub(super) struct Sender {
    url: Url,
    fetcher: Fetcher,
    tokens: Option<Tokens>,
    closing: CancellationToken,
}

impl Sender {
    pub(super) fn new(settings: &Settings, clock: &Clock) -> Result<Self, SetupFault> {
        let fetcher = Fetcher::new(&fetch(settings))?;
        let tokens = match &settings.credentials {
            None => None,
            Some(credentials) => {
                let source = match &credentials.key_file {
                    Some(file) => Source::Key(Box::new(Key::read(file)?)),
                    None => Source::Metadata(credentials.metadata_url.clone()),
                };
                Some(Tokens::new(SCOPE, source, fetcher.clone(), clock.clone()))
            }
        };
        Ok(Self { url: settings.traces_url(), fetcher, tokens, closing: CancellationToken::new() })
    }

    /// From now on nothing is sent twice.
    pub(super) fn hurry(&self) {
        self.closing.cancel();
    }

    /// Sends a batch; how many of its spans the collector threw away.
    pub(super) async fn send(&self, body: Bytes) -> Result<u64, SendFault> {
        let mut pauses = PAUSES.into_iter();
        loop {
            let fault = match self.try_to(body.clone()).await {
                Ok(rejected) => return Ok(rejected),
                Err(fault) => fault,
            };
            let Some(pause) = pauses.next().and_then(|usual| fault.pause(usual)) else { return Err(fault) };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.closing.cancelled() => return Err(fault),
            }
        }
    }

    /// One attempt.
    pub(super) async fn try_to(&self, body: Bytes) -> Result<u64, SendFault> {
        let Some(tokens) = &self.tokens else { return read(&self.post(body, None).await?) };
        let token = tokens.get().await?;
        let answer = self.post(body.clone(), Some(&token)).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return read(&answer);
        }
        tokens.forget(&token);
        read(&self.post(body, Some(&*tokens.get().await?)).await?)
    }

    async fn post(&self, body: Bytes, token: Option<&Token>) -> Result<Response<Bytes>, FetchFault> {
        let mut request = Request::post(self.url.as_str()).header(CONTENT_TYPE, PROTOBUF).header(USER_AGENT, AGENT);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, token.field.clone());
        }
        let request = request.body(Full::new(body)).map_err(|fault| FetchFault::Connection(fault.to_string()))?;
        match token {
            // A token is shown by TLS alone.
            Some(_) => self.fetcher.send(&self.url, request).await,
            None => self.fetcher.send_openly(request).await,
        }
    }
}

/// What the collector says of a batch.
fn read(answer: &Response<Bytes>) -> Result<u64, SendFault> {
    if answer.status() != StatusCode::OK {
        let seconds = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        return Err(SendFault::Status {
            status: answer.status().as_u16(),
            retry_after: seconds.map(Duration::from_secs),
        });
    }
    // What cannot be read says nothing against the spans.
    let said = ExportTraceServiceResponse::decode(answer.body().clone()).unwrap_or_default();
    let rejected = said.partial_success.map_or(0, |partial| partial.rejected_spans);
    Ok(u64::try_from(rejected).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;

    use super::*;

    fn answer(status: u16, retry_after: Option<&str>, body: Vec<u8>) -> Response<Bytes> {
        let answer = retry_after
            .iter()
            .fold(Response::builder().status(status), |answer, value| answer.header("retry-after", *value));
        answer.body(body.into()).unwrap()
    }

    #[test]
    fn what_may_be_sent_again_is_what_the_protocol_says() {
        let usual = Duration::from_secs(1);
        for (status, retry_after, pause) in [
            (400, None, None),
            (401, None, None),
            (404, Some("1"), None),
            (429, None, Some(1)),
            (429, Some("3"), Some(3)),
            (502, None, Some(1)),
            (503, Some("86400"), Some(10)),
            (504, Some("tomorrow"), Some(1)),
            (500, None, None),
        ] {
            let fault = read(&answer(status, retry_after, Vec::new())).unwrap_err();
            assert_eq!(fault.pause(usual), pause.map(Duration::from_secs), "{status} {retry_after:?}");
        }
        assert_eq!(SendFault::from(FetchFault::TimedOut).pause(usual), Some(usual));
        assert_eq!(SendFault::from(FetchFault::Insecure).pause(usual), None);
    }

    #[test]
    fn what_the_collector_threw_away_is_heard() {
        let partial = ExportTracePartialSuccess { rejected_spans: 3, error_message: "too old".to_owned() };
        let said = ExportTraceServiceResponse { partial_success: Some(partial) };
        assert_eq!(read(&answer(200, None, said.encode_to_vec())), Ok(3));
        assert_eq!(read(&answer(200, None, Vec::new())), Ok(0));
        assert_eq!(read(&answer(200, None, b"{}".to_vec())), Ok(0), "no protobuf");
    }
}
