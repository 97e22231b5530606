//! What does a program ask of whoever sits before the browser?
//!
//! The request of the authorization endpoint (RFC 6749 section 4.1.1) as far as this server goes along: a code, to a port of
//! this very computer (RFC 8252 section 7.3), bound to a secret of the program by S256 (RFC 7636 section 4.3). Whoever names
//! another client or another address is told so on a page, since the browser must not be sent there; of anything else that
//! is wrong the program hears.

use std::net::IpAddr;

use super::CLIENT;

/// The longest `state` that is carried.
const LONGEST_STATE: usize = 512;
/// The longest name of a device, in characters.
const LONGEST_DEVICE: usize = 64;

/// A program of this computer that waits for its code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loopback {
    text: String,
    /// Where it listens.
    pub address: IpAddr,
    /// At which port.
    pub port: u16,
}

impl Loopback {
    /// `http://127.0.0.1:PORT/callback` or `http://[::1]:PORT/callback`, to the letter. Not `localhost`, which may lead
    /// elsewhere (RFC 8252 section 8.3).
    fn read(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("http://")?;
        let (address, rest) = if let Some(rest) = rest.strip_prefix("127.0.0.1:") {
            (IpAddr::from([127, 0, 0, 1]), rest)
        } else {
            (IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]), rest.strip_prefix("[::1]:")?)
        };
        let digits = rest.strip_suffix("/callback")?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
        let port = digits.parse().ok().filter(|_| plain)?;
        Some(Self { text: text.to_owned(), address, port })
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Where the browser goes with this answer.
    fn with(&self, answer: &[(&str, &str)]) -> String {
        let answer = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(answer).finish();
        format!("{}?{answer}", self.text)
    }
}

/// A request that this server goes along with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Where the code goes.
    pub redirect: Loopback,
    /// Hash of the program's secret.
    pub challenge: String,
    /// What the program wants to see again.
    pub state: Option<String>,
    /// What the program calls the computer; empty where it does not say.
    pub device: String,
}

/// A request that it does not go along with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadAsk {
    /// Not our client. Nobody is sent anywhere.
    Client,
    /// Not a program of this computer. Nobody is sent anywhere (CWE-601).
    Redirect,
    /// Something else; the program hears of it.
    Told {
        /// Where it listens.
        redirect: Loopback,
        /// What it wants to see again.
        state: Option<String>,
        /// The word for it (RFC 6749 section 4.1.2.1).
        error: &'static str,
        /// For people.
        why: &'static str,
    },
}

/// Reads a request. An empty parameter is one that is not there (RFC 6749 section 3.1); one that comes twice is refused before.
///
/// # Errors
/// [`BadAsk`].
pub fn read<'a>(field: impl Fn(&str) -> Option<&'a str>) -> Result<Asked, BadAsk> {
    if field("client_id") != Some(CLIENT) {
        return Err(BadAsk::Client);
    }
    let redirect = field("redirect_uri").and_then(Loopback::read).ok_or(BadAsk::Redirect)?;
    let state = field("state").map(str::to_owned);
    let told = |error, why, state| BadAsk::Told { redirect: redirect.clone(), state, error, why };
    if state.as_ref().is_some_and(|state| state.len() > LONGEST_STATE) {
        return Err(told("invalid_request", "`state` is too long", None));
    }
    let bad = |error, why| Err(told(error, why, state.clone()));
    match field("response_type") {
        Some("code") => {}
        Some(_) => return bad("unsupported_response_type", "`response_type` is `code`"),
        None => return bad("invalid_request", "`response_type` is missing"),
    }
    // Without a method the challenge would be the secret itself (RFC 7636 section 4.3): no program of ours sends it so.
    match field("code_challenge_method") {
        Some("S256") => {}
        Some(_) | None => return bad("invalid_request", "`code_challenge_method` is `S256`"),
    }
    let challenge = match field("code_challenge") {
        Some(challenge) if is_hash(challenge) => challenge.to_owned(),
        Some(_) => return bad("invalid_request", "`code_challenge` is no SHA-256 in base64url"),
        None => return bad("invalid_request", "`code_challenge` is missing"),
    };
    Ok(Asked { redirect, challenge, state, device: device(field("device_name").unwrap_or_default()) })
}

/// 256 bits in base64url without padding.
fn is_hash(text: &str) -> bool {
    text.len() == 43 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

impl Asked {
    /// Where the browser goes when the person agreed. `issuer` is this server's name (RFC 9207).
    #[must_use]
    pub fn agreed(&self, code: &str, issuer: &str) -> String {
        answer(&self.redirect, self.state.as_deref(), &[("code", code)], issuer)
    }

    /// Where it goes when they did not.
    #[must_use]
    pub fn refused(&self, issuer: &str) -> String {
        refusal(&self.redirect, self.state.as_deref(), "access_denied", "the person refused", issuer)
    }
}

/// Where the browser goes with an error.
#[must_use]
pub fn refusal(redirect: &Loopback, state: Option<&str>, error: &str, why: &str, issuer: &str) -> String {
    answer(redirect, state, &[("error", error), ("error_description", why)], issuer)
}

fn answer(redirect: &Loopback, state: Option<&str>, pairs: &[(&str, &str)], issuer: &str) -> String {
    let mut all = pairs.to_vec();
    all.extend(state.map(|state| ("state", state)));
    all.push(("iss", issuer));
    redirect.with(&all)
}

/// What a program calls its computer, as it is shown: one line, not too long, and nothing in it that would turn the line
/// around or hide in it.
#[must_use]
pub fn device(said: &str) -> String {
    let turns = |sign: char| matches!(sign, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{61c}' | '\u{feff}');
    let plain: String =
        said.chars().filter(|sign| (!sign.is_control() || sign.is_whitespace()) && !turns(*sign)).collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    words.join(" ").chars().take(LONGEST_DEVICE).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    const GOOD: [(&str, &str); 7] = [
        ("client_id", CLIENT),
        ("redirect_uri", "http://127.0.0.1:4711/callback"),
        ("response_type", "code"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("state", "a b&c"),
        ("device_name", "laptop"),
    ];

    /// The good request with one parameter changed, or taken out.
    fn changed(name: &str, value: Option<&str>) -> Result<Asked, BadAsk> {
        read(|wanted| {
            if wanted == name {
                return value;
            }
            GOOD.iter().find(|(known, _)| *known == wanted).map(|(_, value)| *value)
        })
    }

    #[test]
    fn a_program_of_this_computer_gets_its_code_and_its_state() {
        let asked = changed("", None).unwrap();
        assert_eq!(
            asked.agreed("x/y", "https://mlflow.example.com"),
            "http://127.0.0.1:4711/callback?code=x%2Fy&state=a+b%26c&iss=https%3A%2F%2Fmlflow.example.com"
        );
        assert!(asked.refused("https://x").contains("error=access_denied"));
        let six = changed("redirect_uri", Some("http://[::1]:1/callback")).unwrap();
        assert_eq!((six.redirect.port, six.redirect.address.is_ipv6()), (1, true));
        assert!(!changed("state", None).unwrap().agreed("x", "i").contains("state"));
    }

    #[test]
    fn an_open_redirect_in_any_spelling_is_refused_on_a_page() {
        for redirect in [
            "https://evil.example/callback",
            "http://evil.example:80/callback",
            "https://127.0.0.1:4711/callback",
            "http://127.0.0.1/callback",
            "http://127.0.0.1:/callback",
            "http://127.0.0.1:0/callback",
            "http://127.0.0.1:04711/callback",
            "http://127.0.0.1:+4711/callback",
            "http://127.0.0.1:65536/callback",
            "http://127.0.0.1:4711/callback/",
            "http://127.0.0.1:4711/callback?x=y",
            "http://127.0.0.1:4711/callback#x",
            "http://127.0.0.1:4711/other",
            "http://127.0.0.1:4711@evil.example/callback",
            "http://127.0.0.1:4711.evil.example/callback",
            "http://127.0.0.1.evil.example:4711/callback",
            "http://user@127.0.0.1:4711/callback",
            "http://localhost:4711/callback",
            "http://127.0.0.2:4711/callback",
            "http://127.1:4711/callback",
            "http://2130706433:4711/callback",
            "http://0x7f000001:4711/callback",
            "http://[::ffff:127.0.0.1]:4711/callback",
            "http://[0:0:0:0:0:0:0:1]:4711/callback",
            "HTTP://127.0.0.1:4711/callback",
            " http://127.0.0.1:4711/callback",
            "http:\\\\127.0.0.1:4711/callback",
            "javascript:alert(1)",
            "myapp://callback",
            "//127.0.0.1:4711/callback",
            "",
        ] {
            assert_eq!(changed("redirect_uri", Some(redirect)), Err(BadAsk::Redirect), "{redirect}");
        }
        assert_eq!(changed("redirect_uri", None), Err(BadAsk::Redirect));
        for client in [None, Some("another"), Some("Trackgate-CLI"), Some("")] {
            assert_eq!(changed("client_id", client), Err(BadAsk::Client), "{client:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_taken_for_an_address_is_a_port_of_this_computer_to_every_reader(
            host in "(127\\.0\\.0\\.1|\\[::1\\]|localhost|[a-z0-9.:@%\\[\\]/\\\\-]{0,12})", port in "[0-9:@.]{0,7}",
            rest in "(/callback|/callback[?#/@a-z.]{0,5}|[a-z/?#@.]{0,9})",
        ) {
            let text = format!("http://{host}:{port}{rest}");
            if let Ok(asked) = changed("redirect_uri", Some(&text)) {
                let url = url::Url::parse(&asked.agreed("x", "i")).unwrap();
                prop_assert!(matches!(url.host_str(), Some("127.0.0.1" | "[::1]")), "{}", text);
                prop_assert_eq!((url.path(), url.username(), url.fragment()), ("/callback", "", None));
                prop_assert_eq!(url.port_or_known_default(), Some(asked.redirect.port));
            }
        }
    }

    #[test]
    fn pkce_cannot_be_left_out_nor_made_weaker() {
        for (name, value, wanted) in [
            ("code_challenge", None, "invalid_request"),
            ("code_challenge", Some("short"), "invalid_request"),
            ("code_challenge", Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw+cM"), "invalid_request"),
            ("code_challenge_method", None, "invalid_request"),
            ("code_challenge_method", Some("plain"), "invalid_request"),
            ("code_challenge_method", Some("s256"), "invalid_request"),
            ("response_type", None, "invalid_request"),
            ("response_type", Some("token"), "unsupported_response_type"),
            ("response_type", Some("code token"), "unsupported_response_type"),
        ] {
            let Err(BadAsk::Told { error, state, .. }) = changed(name, value) else { panic!("{name} {value:?}") };
            assert_eq!((error, state.as_deref()), (wanted, Some("a b&c")), "{name} {value:?}");
        }
        let long = "x".repeat(LONGEST_STATE + 1);
        assert!(matches!(changed("state", Some(&long)), Err(BadAsk::Told { state: None, .. })));
    }

    #[test]
    fn a_device_is_called_what_it_says_in_one_plain_line() {
        assert_eq!(device("  alice's\tlaptop \r\n"), "alice's laptop");
        assert_eq!(device("cluster\u{202e}evil\u{200b}"), "clusterevil");
        assert_eq!(device(&"ä".repeat(99)).chars().count(), LONGEST_DEVICE);
        assert_eq!(device("\0\u{7f}"), "");
    }
}
