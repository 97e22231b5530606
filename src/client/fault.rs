//! Why is there no credential?
//!
//! Every sentence says what to do. None holds anything of a secret, and what a server said is quoted only as far as it is
//! plain text.

use std::path::PathBuf;

use super::folder::Homeless;
use super::server::{BadServer, Server};
use crate::fetch::{BadTrust, FetchFault};

/// What is wrong with the folder or the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileFault {
    /// Not a folder, or below something that is none.
    #[error("`{path}` is not a folder; set TRACKGATE_CONFIG_DIR to another one, or move away what is there")]
    NoFolder {
        /// Which one.
        path: PathBuf,
    },
    /// Others could put a file of theirs into it.
    #[error("`{path}` can be written by others (mode {mode:04o}); run: chmod 700 {path}")]
    LooseFolder {
        /// Which one.
        path: PathBuf,
        /// As it is.
        mode: u32,
    },
    /// Others can read or write it.
    #[error("`{path}` can be read or written by others (mode {mode:04o}); run: chmod 600 {path}")]
    Loose {
        /// Which one.
        path: PathBuf,
        /// As it is.
        mode: u32,
    },
    /// It would be replaced, not what it leads to.
    #[error(
        "`{path}` is a symbolic link, and would be replaced when it is next written; set TRACKGATE_CONFIG_DIR to the folder that \
         it leads into"
    )]
    Link {
        /// Which one.
        path: PathBuf,
    },
    /// A folder, a pipe, a device.
    #[error("`{path}` is not a file")]
    NotAFile {
        /// Which one.
        path: PathBuf,
    },
    /// The system says no.
    #[error("`{path}` cannot be read: {why}")]
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// In the system's words.
        why: String,
    },
    /// Not what we write.
    #[error(
        "`{path}` is not a file of credentials: {why}; it is left as it is: look at it, and move it away to begin anew"
    )]
    Garbage {
        /// Which one.
        path: PathBuf,
        /// Where, without a word of what is there.
        why: String,
    },
    /// A read-only or full disk, or no right to write there.
    #[error("`{path}` cannot be written: {why}")]
    Unwritable {
        /// Which one.
        path: PathBuf,
        /// In the system's words.
        why: String,
    },
    /// Another process of ours holds it, and does not let go.
    #[error("`{path}` has been locked by another process for a minute; end it, and try again")]
    Locked {
        /// Which one.
        path: PathBuf,
    },
}

/// Why there is no credential, or why nothing could be done with it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClientFault {
    /// There is nowhere to keep it.
    #[error(transparent)]
    Homeless(#[from] Homeless),
    /// The folder or the file.
    #[error(transparent)]
    File(#[from] FileFault),
    /// The address.
    #[error("this is no address of a server: {0}")]
    Server(#[from] BadServer),
    /// Nobody has signed in at this server from here.
    #[error("not signed in at {0}; run: trackgate login {0}")]
    NotSignedIn(Server),
    /// Nobody has signed in anywhere from here.
    #[error("not signed in anywhere; run: trackgate login https://...")]
    NowhereSignedIn,
    /// The credential is over, and the server gives no other: it was revoked, or ran out.
    #[error("the login at {0} has ended: it was revoked, or not used for too long; run: trackgate login {0}")]
    Ended(Server),
    /// The server gave nothing to renew it with.
    #[error("the login at {0} has run out, and the server gave no means to renew it; run: trackgate login {0}")]
    NotRenewable(Server),
    /// There is nothing to show to the proxy before the server.
    #[error("{0}; the proxy before the server wants a credential of its own")]
    NothingBeside(String),
    /// No connection, or none that lasted.
    #[error("{server} cannot be reached: {fault}")]
    Unreachable {
        /// Which one.
        server: Server,
        /// Why.
        fault: FetchFault,
    },
    /// It answers, but not as it should.
    #[error("{server} {what}")]
    Strange {
        /// Which one.
        server: Server,
        /// What it does.
        what: String,
    },
    /// It has no word of OAuth.
    #[error("{0} is no Trackgate, or one that is older than `trackgate login`{1}")]
    NotTrackgate(Server, String),
    /// The server refused with a word of OAuth (RFC 6749 section 5.2).
    #[error("{server} refuses: {word}")]
    Refused {
        /// Which one.
        server: Server,
        /// Its word, as far as it is plain.
        word: String,
    },
    /// The server does not count the credential (401).
    #[error("{server} does not accept the credential: {words}")]
    Unaccepted {
        /// Which one.
        server: Server,
        /// In its words.
        words: String,
    },
    /// No certificate to trust.
    #[error("{0}")]
    Trust(String),
    /// The system gave no randomness.
    #[error("the system has no randomness")]
    NoRandomness,
    /// Nobody signed in, in the time given for it.
    #[error("nobody signed in within {0} minutes; try again")]
    TooLate(u64),
    /// The person, or the server, said no.
    #[error("the login was refused at {server}: {word}")]
    Declined {
        /// Which one.
        server: Server,
        /// Its word, as far as it is plain.
        word: String,
    },
    /// The listener on this machine.
    #[error("no port could be opened on this machine: {0}; try: trackgate login --device")]
    NoPort(String),
    /// This program is being ended.
    #[error("the renewal was interrupted")]
    Interrupted,
    /// A token that was set by hand cannot be used.
    #[error("{0}")]
    BadToken(String),
}

impl From<BadTrust> for ClientFault {
    fn from(fault: BadTrust) -> Self {
        match fault {
            BadTrust::NoRoots => Self::Trust("the system has no root certificates; give --ca-file".to_owned()),
            fault => Self::Trust(fault.to_string()),
        }
    }
}

impl ClientFault {
    /// Whether signing in would help.
    #[must_use]
    pub fn wants_login(&self) -> bool {
        matches!(
            self,
            Self::NotSignedIn(_)
                | Self::NowhereSignedIn
                | Self::Ended(_)
                | Self::NotRenewable(_)
                | Self::Unaccepted { .. }
        )
    }

    /// Whether it may be otherwise in a while: the network, or a server that is away.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

/// What others wrote, as far as a terminal can be shown it.
#[must_use]
pub fn harmless(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    text.chars().map(plain).take(300).collect()
}
