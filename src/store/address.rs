//! How is the address of a PostgreSQL database written?
//!
//! `postgres://user@host:port/database`, as the manual has it (PostgreSQL 15, section 34.1.1.2), and of the parameters
//! `sslmode` and `host` alone. A folder of sockets stands in the host's place, encoded, or in `host`.

use std::net::IpAddr;

use percent_encoding::percent_decode_str;
use url::Url;

use super::Postgres;

/// An address that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an address such as \"postgres://trackgate@db.example.com/trackgate\"{0}")]
pub struct BadAddress(&'static str);

impl Postgres {
    /// Reads an address.
    ///
    /// # Errors
    /// [`BadAddress`], which repeats nothing of the text: there could be a password in it.
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        // An empty host, as in `postgres://user@/database?host=/run/postgresql`, is none that the parser of URLs takes.
        let text = text.replacen("@/", "@localhost/", 1);
        let url = Url::parse(&text).map_err(|_| BadAddress(""))?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(BadAddress(""));
        }
        if url.password().is_some() {
            return Err(BadAddress(": the password stands in a file of its own, `password_file`"));
        }
        let decoded = |text: &str| percent_decode_str(text).decode_utf8().map(std::borrow::Cow::into_owned);
        let user = decoded(url.username()).map_err(|_| BadAddress(""))?;
        let mut host = decoded(url.host_str().unwrap_or_default()).map_err(|_| BadAddress(""))?;
        let database = decoded(url.path().trim_start_matches('/')).map_err(|_| BadAddress(""))?;
        let mut plain = false;
        for (key, value) in url.query_pairs() {
            match (&*key, &*value) {
                ("sslmode", "verify-full") => plain = false,
                ("sslmode", "disable") => plain = true,
                ("sslmode", _) => {
                    return Err(BadAddress(": `sslmode` is \"verify-full\", or \"disable\" on this very host"));
                }
                ("host", folder) if folder.starts_with('/') => folder.clone_into(&mut host),
                _ => return Err(BadAddress(": of the parameters, `sslmode` and `host` (a folder of sockets) alone")),
            }
        }
        if user.is_empty()
            || host.is_empty()
            || database.is_empty()
            || database.contains('/')
            || url.fragment().is_some()
        {
            return Err(BadAddress(", with user, host and database"));
        }
        let socket = host.starts_with('/');
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if plain && !socket && !here {
            return Err(BadAddress(": without TLS a database is reached on this very host alone"));
        }
        let port = url.port().unwrap_or(5432);
        Ok(Self { host, port, user, database, password_file: None, ca: None, plain: plain || socket })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_verified_but_on_this_very_host() {
        let db = Postgres::parse("postgres://gate@db.example.com/trackgate").unwrap();
        assert_eq!((db.host.as_str(), db.port, db.user.as_str()), ("db.example.com", 5432, "gate"));
        assert_eq!((db.database.as_str(), db.plain), ("trackgate", false));
        assert_eq!(db.to_string(), "postgres://gate@db.example.com:5432/trackgate");
        let db = Postgres::parse("postgresql://gate@127.0.0.1:6432/t?sslmode=disable").unwrap();
        assert_eq!((db.port, db.plain), (6432, true));
        assert!(!Postgres::parse("postgres://gate@localhost/t").unwrap().plain, "not unless it is asked for");
        assert!(Postgres::parse("postgres://gate@[::1]/t?sslmode=disable").unwrap().plain);
        for socket in ["postgres://gate@%2Frun%2Fpostgresql/t", "postgres://gate@/t?host=/run/postgresql"] {
            let db = Postgres::parse(socket).unwrap();
            assert_eq!((db.host.as_str(), db.plain), ("/run/postgresql", true), "{socket}");
        }
    }

    #[test]
    fn what_is_no_address_or_gives_the_password_away_is_refused_and_not_repeated() {
        for text in [
            "",
            "db.example.com",
            "mysql://gate@db/t",
            "postgres://db/t",
            "postgres://gate@db",
            "postgres://gate@db/",
            "postgres://gate@db/a/b",
            "postgres://gate:secret@db/t",
            "postgres://gate@db/t?password=secret",
            "postgres://gate@db.example.com/t?sslmode=disable",
            "postgres://gate@db/t?sslmode=require",
            "postgres://gate@db/t?sslmode=prefer",
            "postgres://gate@db/t?host=10.0.0.1",
            "postgres://gate@10.0.0.1/t?sslmode=disable",
        ] {
            let fault = Postgres::parse(text).unwrap_err().to_string();
            assert!(!fault.contains("secret"), "{text}: {fault}");
        }
    }
}
