//! What is a row of the table, and of which words is it made?

mod answer;
mod effect;
mod need;
mod people;
mod words;

pub use self::answer::{Answer, Cut, Graph, Link, List, Offer, Own, Paging};
pub use self::effect::{Effect, New, Stamp};
pub use self::need::{Check, Count, Need, QueueRight};
pub use self::people::{RoleRight, Take, What};
pub(in crate::policy) use self::words::*;

/// One endpoint: where it is, what it is called, what the caller needs, how the answer is treated, what follows.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is one column of the table")]
pub struct Row {
    /// The HTTP method. HEAD is judged as GET.
    pub verb: Verb,
    /// Path template without static prefix and without `/api` or `/ajax-api`; `{name}` takes one segment,
    /// `{*rest}` all that follow.
    pub path: &'static str,
    /// Which prefixes the endpoint is served under.
    pub prefixes: Prefixes,
    /// MLflow's own message or handler name, or ours. Used in the audit log, `explain`, metrics and tests.
    pub name: &'static str,
    /// All of these must hold.
    pub needs: &'static [Need],
    /// What the active workspace is to it.
    pub scope: Scope,
    /// What happens to the answer on its way back.
    pub answer: Answer,
    /// What follows from success.
    pub effect: Effect,
    /// Where the request says who did it: the caller's own name is written there, whatever was sent.
    pub stamps: &'static [Stamp],
    /// What follows besides: a call may make two things.
    pub also: Effect,
    /// No route of MLflow's: a path that its routers would read in another way than its neighbours, kept closed.
    pub guard: bool,
    /// What the endpoint takes besides, where Trackgate answers it.
    pub takes: &'static [Take],
    /// The fields stand in the query, whatever the method is.
    pub by_query: bool,
    /// The setting without which nobody may.
    pub behind: Option<Switch>,
    /// How large and how slow a body may be.
    pub body: BodyClass,
    /// The answer is a file that MLflow may have to fetch whole before its first byte (or to delete), or a language
    /// model's: it takes its time.
    pub fetches: bool,
    /// Whether the connection may become a tunnel (WebSocket).
    pub upgrade: bool,
}

/// The methods that rows have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// GET, and HEAD.
    Get,
    /// POST
    Post,
    /// PUT
    Put,
    /// PATCH
    Patch,
    /// DELETE
    Delete,
}

/// Where an endpoint is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefixes {
    /// Under `/api/` and `/ajax-api/`.
    Both,
    /// Under `/api/` alone.
    Api,
    /// Under `/ajax-api/` alone.
    Ajax,
    /// At the root, without either.
    None,
}

/// What the active workspace is to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// It acts in it: to whom the workspace is hidden, the call is.
    Inside,
    /// Nothing: it is answered whatever workspace is named, even one that does not exist.
    Anywhere,
    /// It is about workspaces themselves. Where they are off, there is no such call.
    Workspaces,
}

/// A part that a setting opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// Addresses of a bucket to read from, which lead past this gate until they end.
    PresignedDownload,
    /// Those to write to.
    PresignedUpload,
    /// Those to write to in parts.
    MultipartUpload,
    /// Requests act in the workspace that they name.
    Workspaces,
}

impl Switch {
    /// The key in the configuration.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::PresignedDownload | Self::PresignedUpload | Self::MultipartUpload => "access.presigned_artifacts",
            Self::Workspaces => "upstream.workspaces",
        }
    }

    /// What is missing without the setting, in the words of a server whose artifacts lie where it cannot be had (MLflow
    /// 3.17.2, `_UnsupportedMultipartUploadException` and its kin): clients and pages then take the way through the
    /// server, those up to 3.17 by these very words.
    #[must_use]
    pub const fn lack(self) -> &'static str {
        match self {
            Self::PresignedDownload => "Presigned download is not supported for the current artifact repository",
            Self::PresignedUpload => "Presigned upload is not supported for the current artifact repository",
            Self::MultipartUpload => "Multipart upload is not supported for the current artifact repository",
            Self::Workspaces => "Workspaces are not supported",
        }
    }

    /// Why it is off unless it is set, for whoever is refused.
    #[must_use]
    pub const fn why(self) -> &'static str {
        match self {
            Self::PresignedDownload | Self::PresignedUpload | Self::MultipartUpload => {
                "the setting `access.presigned_artifacts` is off, since the address that it answers with leads past this gate"
            }
            Self::Workspaces => "the setting `upstream.workspaces` is off",
        }
    }
}

/// How large and how slow a request's body may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyClass {
    /// JSON of ordinary size.
    Json,
    /// `log-batch` and the like.
    LargeJson,
    /// Spans, as OpenTelemetry sends them (OTLP): protobuf or JSON, perhaps compressed.
    Otlp,
    /// Streamed: artifacts.
    Artifact,
    /// A form of one of our own pages.
    Form,
}

impl Verb {
    /// The verb of a method; HEAD is judged as GET. Method names are case-sensitive (RFC 9110 section 9.1), though
    /// MLflow takes `get` for GET (measured on 3.17.2).
    #[must_use]
    pub fn of(method: &http::Method) -> Option<Self> {
        match method.as_str() {
            "GET" | "HEAD" => Some(Self::Get),
            "POST" => Some(Self::Post),
            "PUT" => Some(Self::Put),
            "PATCH" => Some(Self::Patch),
            "DELETE" => Some(Self::Delete),
            _ => None,
        }
    }

    /// The method's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

impl std::fmt::Display for Verb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where programs learn how to sign in (RFC 8414 section 3).
const WELL_KNOWN: &str = ".well-known/oauth-authorization-server";

/// Whether an address, without its leading slash, is one of our own.
#[must_use]
pub(super) fn is_ours(place: &str) -> bool {
    place.starts_with("trackgate/") || place == WELL_KNOWN
}

impl Row {
    /// Whether the row is closed to everybody, and why.
    #[must_use]
    pub fn closed(&self) -> Option<&'static str> {
        self.needs.iter().find_map(|need| if let Need::Nobody(why) = need { Some(*why) } else { None })
    }

    /// Where the id of the experiment stands that may get another name.
    #[must_use]
    pub fn renamed(&self) -> Option<&'static str> {
        self.needs.iter().find_map(|need| if let Need::Renames { id, .. } = need { Some(*id) } else { None })
    }

    /// Whether the endpoint is our own.
    #[must_use]
    pub fn is_local(&self) -> bool {
        is_ours(self.path)
    }

    /// The part that a setting opens: the whole call, or what one of its fields asks for.
    #[must_use]
    pub fn switch(&self) -> Option<Switch> {
        let asks = self.needs.iter().any(|need| matches!(need, Need::Checked(Check::Presigned(_))));
        self.behind.or(asks.then_some(Switch::PresignedDownload))
    }

    /// Whether MLflow itself adds spans to the trace that a request names: whose trace that is, is judged.
    #[must_use]
    pub fn adds_to_traces(&self) -> bool {
        self.needs.iter().any(|need| matches!(need, Need::Checked(Check::TraceParent(_))))
    }

    /// Whether strangers may call it.
    #[must_use]
    pub fn open_to_strangers(&self) -> bool {
        self.needs.iter().all(|need| *need == Need::Anyone)
    }
}
