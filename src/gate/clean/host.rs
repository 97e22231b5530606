//! Which host is asked, and is it ours?

use http::header::HOST;
use http::{HeaderMap, Uri};
use url::Url;

use super::Unclean;

/// The names under which the gate may be reached, in lower case, without ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosts(Vec<String>);

impl Hosts {
    /// The public address's host and further ones.
    #[must_use]
    pub fn new(public_url: &Url, extra: &[String]) -> Self {
        let mut names: Vec<String> = public_url.host_str().map(str::to_ascii_lowercase).into_iter().collect();
        names.extend(extra.iter().map(|name| name.trim_end_matches('.').to_ascii_lowercase()));
        Self(names)
    }

    /// Their names, the public address's first, without ports.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    pub(super) fn know(&self, host: &str) -> bool {
        self.0.iter().any(|name| name.eq_ignore_ascii_case(host))
    }
}

/// The one host of a request, without its port. `Host` and the request target's authority (absolute form, or HTTP/2's
/// `:authority`) must agree where both are there.
pub(super) fn sole(uri: &Uri, headers: &HeaderMap) -> Result<String, Unclean> {
    let mut fields = headers.get_all(HOST).iter();
    let field = fields.next();
    if fields.next().is_some() {
        return Err(Unclean::BadHost);
    }
    let field = match field {
        Some(value) => Some(value.to_str().map_err(|_| Unclean::BadHost)?),
        None => None,
    };
    let whole = match (uri.authority().map(http::uri::Authority::as_str), field) {
        (None, None) => return Err(Unclean::NoHost),
        (Some(target), Some(field)) if !target.eq_ignore_ascii_case(field) => return Err(Unclean::HostsDiffer),
        (Some(host), _) | (None, Some(host)) => host,
    };
    split(whole).map(str::to_owned).ok_or(Unclean::BadHost)
}

/// `name`, `name:8443`, `[::1]:8443` without the port; nothing else is a host (RFC 9110 section 7.2).
fn split(whole: &str) -> Option<&str> {
    let (host, port) = match whole.strip_prefix('[') {
        Some(rest) => {
            let end = rest.find(']')?;
            rest[..end].parse::<std::net::Ipv6Addr>().ok()?;
            (&whole[..end + 2], &whole[end + 2..])
        }
        None => match whole.find(':') {
            Some(colon) => (&whole[..colon], &whole[colon..]),
            None => (whole, ""),
        },
    };
    let port_is_one = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok());
    let good = !host.is_empty()
        && (host.starts_with('[')
            || host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-')));
    // A name in its absolute form is the same name (RFC 3986 section 3.2.2).
    (good && port_is_one).then(|| host.strip_suffix('.').unwrap_or(host)).filter(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        for (whole, host) in [
            ("mlflow.example.com", Some("mlflow.example.com")),
            ("mlflow.example.com:8443", Some("mlflow.example.com")),
            ("mlflow.example.com.:443", Some("mlflow.example.com")),
            ("127.0.0.1:5", Some("127.0.0.1")),
            ("[::1]", Some("[::1]")),
            ("[::1]:443", Some("[::1]")),
            ("", None),
            (".", None),
            (":443", None),
            ("a:", None),
            ("a:x", None),
            ("a:1:2", None),
            ("a:99999", None),
            ("a:+1", None),
            ("user@a", None),
            ("a/b", None),
            ("a b", None),
            ("a_b", None),
            ("[::1", None),
            ("[zz]", None),
            ("[::1]x", None),
            ("a,b", None),
        ] {
            assert_eq!(split(whole), host, "{whole:?}");
        }
    }

    #[test]
    fn names_are_compared_without_case_and_port() {
        let hosts =
            Hosts::new(&Url::parse("https://MLflow.Example.com:8443").unwrap(), &["Other.example.com.".to_owned()]);
        assert!(
            hosts.know("mlflow.example.com") && hosts.know("MLFLOW.example.COM") && hosts.know("other.example.com")
        );
        assert!(!hosts.know("example.com") && !hosts.know("mlflow.example.com.evil.example"));
        assert!(Hosts::new(&Url::parse("https://[::1]:8443").unwrap(), &[]).know("[::1]"));
    }
}
