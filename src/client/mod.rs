//! How does a person's machine come to a credential, and keep it fresh?
//!
//! `trackgate login` asks a server for one (RFC 8252 with a browser, RFC 8628 without), and keeps it in the person's own folder;
//! whoever needs it asks [`Client::fresh`]. Many programs may ask at once, on many threads and in many processes: one of them
//! renews it, under the lock beside the file, and all others find what that one wrote.
//!
//! This room knows nothing of the gate: the server is another machine, and speaks only OAuth to it.

mod beside;
pub mod browser;
mod credentials;
mod fault;
mod folder;
mod fresh;
mod login;
mod loopback;
mod oauth;
mod pace;
mod server;

pub use self::beside::{Beside, Showing};
pub use self::credentials::{Credentials, Document, Entry, Turn};
pub use self::fault::{ClientFault, FileFault, harmless};
pub use self::folder::{Folder, Homeless};
pub use self::fresh::{Client, Credential, LEAST};
pub use self::login::{LoggedIn, LoggedOut, Step, Way};
pub use self::oauth::Who;
pub use self::server::{BadServer, Server};
