//! How does a program on somebody's computer come to a token of its own?
//!
//! Trackgate is an authorization server (RFC 6749, with what OAuth 2.1 and RFC 9700 leave of it) for one public client, the
//! command line, on top of whatever a person signs in with: by a code that their browser carries to a port of their own
//! computer (RFC 8252, RFC 7636), or by a short code that they type in a browser elsewhere (RFC 8628). What it gives is a
//! login: an access token for an hour and a refresh token, which is another one each time that it is used.

pub mod ask;
mod device;
pub mod fault;
mod give;
pub mod user_code;

use std::time::Duration;

pub use self::device::{DeviceCodes, EXPIRES_IN, INTERVAL};
pub(super) use self::device::{Polls, Typed};
pub use self::fault::OAuthFault;
pub use self::give::{Grant, Tokens};

/// The one client: it has no secret, since a program on somebody's computer keeps none (RFC 8252 section 8.5).
pub const CLIENT: &str = "trackgate-cli";
/// Where a person agrees.
pub const AUTHORIZE: &str = "/trackgate/oauth/authorize";
/// Where codes and refresh tokens become tokens.
pub const TOKEN: &str = "/trackgate/oauth/token";
/// Where a device gets its codes.
pub const DEVICE_AUTHORIZATION: &str = "/trackgate/oauth/device_authorization";
/// Where a login is ended.
pub const REVOKE: &str = "/trackgate/oauth/revoke";
/// Where a person types the code of a device.
pub const DEVICE: &str = "/trackgate/device";
/// The grant type of a device (RFC 8628 section 3.4).
pub const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// `[login]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Whether there are any: without, none is made and none counts.
    pub allow: bool,
    /// How long an access token lets in.
    pub access_lifetime: Duration,
    /// How long a login lasts, however often it is renewed.
    pub refresh_lifetime: Duration,
    /// A login that is not renewed for so long ends.
    pub refresh_idle: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let day = Duration::from_hours(24);
        Self {
            allow: true,
            access_lifetime: Duration::from_hours(1),
            refresh_lifetime: 90 * day,
            refresh_idle: 30 * day,
        }
    }
}
