//! What is a request, and what is a body, once inside the house?
//!
//! [`Request`] is made only in `gate/clean`: its path and query have one spelling, its headers are free of
//! credentials, identity and framing.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName};
use http_body::{Frame, SizeHint};

use crate::mlflow::ids::WorkspaceName;
use crate::policy::path::Path;
use crate::policy::route::Verb;

/// Who is at the other end of the connection, as far as the socket tells. Made only in `serve`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The client's address: the socket's, or what a trusted front says in `X-Forwarded-For`.
    pub address: IpAddr,
    /// Whether the connection came from a listed front, whose forwarding headers count.
    pub trusted_front: bool,
    /// Whether the client spoke TLS to us, or to the trusted front.
    pub secure: bool,
    /// Which door it came through.
    pub door: Door,
}

/// The listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// TLS, terminated here.
    Https,
    /// Plain, behind a load balancer or Cloud Run.
    Plain,
}

/// A request in its one spelling.
#[derive(Debug)]
pub struct Request {
    /// Our name for it: in the audit log, in the answer, in error pages.
    pub id: Arc<str>,
    /// The workspace that it acts in; `None` where workspaces are off.
    pub workspace: Option<WorkspaceName>,
    /// The method, HEAD being GET with [`Request::head_only`].
    pub verb: Verb,
    /// Whether the client asked with HEAD.
    pub head_only: bool,
    /// Whether the answer is read whole on its way back: then a HEAD is asked with GET.
    pub looked_over: bool,
    /// The path.
    pub path: Path,
    /// The query as sent, without `?`, if there is one.
    pub query: Option<String>,
    /// What is left of the headers.
    pub headers: HeaderMap,
    /// The body.
    pub payload: Payload,
    /// Who sent it.
    pub peer: Peer,
}

/// A request's body: passed through, or read and judged.
#[derive(Debug)]
pub enum Payload {
    /// Not looked at.
    Stream(Body),
    /// Read whole in `gate/body`; these very bytes were judged.
    Judged(Bytes),
}

impl Payload {
    /// The bytes that were judged, if the body was read.
    #[must_use]
    pub fn judged(&self) -> Option<&[u8]> {
        match self {
            Self::Stream(_) => None,
            Self::Judged(bytes) => Some(bytes),
        }
    }
}

/// A body in either direction.
#[derive(Default)]
pub enum Body {
    /// Nothing.
    #[default]
    Empty,
    /// All of it.
    Full(Bytes),
    /// From the wire.
    Incoming(hyper::body::Incoming),
    /// From the wire, with limits or records around it.
    Boxed(Pin<Box<dyn http_body::Body<Data = Bytes, Error = BodyError> + Send + Sync>>),
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What a body holds is nobody's business in a log.
        f.write_str(match self {
            Self::Empty => "Body::Empty",
            Self::Full(_) => "Body::Full(..)",
            Self::Incoming(_) => "Body::Incoming(..)",
            Self::Boxed(_) => "Body::Boxed(..)",
        })
    }
}

/// Removes every field that has one of these names. One walk over the names that are there, of which mostly none is
/// unwanted, costs less than a look-up for each unwanted name.
pub(crate) fn remove_fields(headers: &mut HeaderMap, unwanted: &[HeaderName]) {
    while let Some(name) = headers.keys().find(|name| unwanted.contains(name)).cloned() {
        headers.remove(name);
    }
}

/// Fields that speak of one connection only, and those that frame (RFC 9110 section 7.6.1).
static HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Removes every field that is for one connection only, and those that `Connection` names.
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| HeaderName::try_from(name.trim()).ok())
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    remove_fields(headers, &HOP_BY_HOP);
}

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// More bytes than allowed.
    #[error("the body is larger than {most} bytes")]
    TooLarge {
        /// How many are allowed.
        most: u64,
    },
    /// No byte for too long.
    #[error("the body stalled")]
    Stalled,
    /// Bytes, but too few of them.
    #[error("the body comes slower than the least rate")]
    TooSlow,
    /// The connection broke, or its framing is wrong.
    #[error("the body broke off: {0}")]
    Broken(#[source] hyper::Error),
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            this @ Self::Full(_) => match std::mem::take(this) {
                Self::Full(bytes) if !bytes.is_empty() => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                _ => Poll::Ready(None),
            },
            Self::Incoming(incoming) => {
                Pin::new(incoming).poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(BodyError::Broken)))
            }
            Self::Boxed(inner) => inner.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Incoming(incoming) => incoming.is_end_stream(),
            Self::Boxed(inner) => inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Incoming(incoming) => incoming.size_hint(),
            Self::Boxed(inner) => inner.size_hint(),
        }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Full(Bytes::from(bytes))
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Full(bytes)
    }
}
