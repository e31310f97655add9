//! A URL that may carry a password. Whoever prints it gets `***` in its place; whoever connects asks for the
//! text by name. Redaction errs on the side of hiding: what cannot be told from a password is not shown.

use std::{fmt, net::IpAddr};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A URL whose password never shows: `Debug`, `Display` and `Serialize` write it as `***`.
#[derive(Clone)]
pub struct SecretUrl(SecretString);

impl SecretUrl {
    /// Takes a URL as it was given; it is not checked here.
    pub fn new(url: impl Into<String>) -> Self {
        Self(SecretString::from(url.into()))
    }

    /// The URL itself, to connect with.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// What stands before `://`, in lower case; empty if nothing does.
    pub fn scheme(&self) -> String {
        self.expose().split_once("://").map_or_else(String::new, |(scheme, _)| scheme.to_lowercase())
    }

    /// Whether it names this machine: `localhost`, a loopback address, or no host at all.
    pub fn is_local(&self) -> bool {
        let Ok(uri) = self.expose().parse::<http::Uri>() else { return false };
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let address = host.parse::<IpAddr>();
        host.is_empty() || host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }

    fn redacted(&self) -> String {
        let Some((scheme, rest)) = self.expose().split_once("://") else {
            return if self.expose().contains(['@', ':', '=']) { "***".into() } else { self.expose().into() };
        };
        // The last `@`, not the first: a password may hold one, or a `/`, that somebody forgot to encode.
        let (user, rest) = match rest.rsplit_once('@') {
            Some((userinfo, rest)) => {
                // Without a colon it may be a name or, with Redis, a token.
                let name = userinfo.split_once(':').map_or("", |(name, _)| name);
                let colon = if userinfo.contains(':') { ":" } else { "" };
                (format!("{name}{colon}***@"), rest)
            }
            None => (String::new(), rest),
        };
        let (address, query) = match rest.split_once('?') {
            Some((address, query)) => (address, Some(query)),
            None => (rest, None),
        };
        let query = query.map_or_else(String::new, |query| format!("?{}", redacted_query(query)));
        format!("{scheme}://{user}{address}{query}")
    }
}

/// A query whose values are hidden unless their names are known to be harmless: drivers take passwords, and
/// passwords of certificates, under many names.
fn redacted_query(query: &str) -> String {
    const HARMLESS: [&str; 9] =
        ["mode", "cache", "immutable", "host", "port", "sslmode", "application_name", "dbname", "protocol"];
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if !HARMLESS.contains(&name) => format!("{name}=***"),
        _ => pair.to_owned(),
    });
    pairs.collect::<Vec<_>>().join("&")
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretUrl({})", self.redacted())
    }
}

impl<'de> Deserialize<'de> for SecretUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl Serialize for SecretUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_hidden_wherever_it_stands() {
        for (given, shown) in [
            ("postgres://orqen:hunter2@db/orqen", "postgres://orqen:***@db/orqen"),
            ("postgres://orqen:hun/ter@2@db/orqen", "postgres://orqen:***@db/orqen"),
            (
                "postgres://db/orqen?password=hunter2&sslmode=require",
                "postgres://db/orqen?password=***&sslmode=require",
            ),
            ("redis://:hunter2@cache/0", "redis://:***@cache/0"),
            ("redis://hunter2@cache/0", "redis://***@cache/0"),
            ("orqen:hunter2@db", "***"),
            ("sqlite://orqen.db", "sqlite://orqen.db"),
            ("sqlite://orqen.db?mode=rwc", "sqlite://orqen.db?mode=rwc"),
        ] {
            let url = SecretUrl::new(given);
            assert_eq!(url.to_string(), shown, "{given}");
            assert!(!format!("{url:?}").contains("hunter2"));
            assert_eq!(url.expose(), given);
        }
    }

    #[test]
    fn the_scheme_is_read_in_lower_case() {
        assert_eq!(SecretUrl::new("PostgreSQL://h/d").scheme(), "postgresql");
        assert_eq!(SecretUrl::new("orqen.db").scheme(), "");
    }

    #[test]
    fn an_address_of_this_machine_is_known() {
        for url in [
            "redis://localhost/0",
            "redis://:p@127.0.0.1:6379/0",
            "redis://[::1]/0",
            "postgres://u:p@127.9.9.9/d",
        ] {
            assert!(SecretUrl::new(url).is_local(), "{url}");
        }
        for url in [
            "redis://redis/0",
            "postgres://u:localhost@db/d",
            "sqlite://orqen.db",
            "postgres://10.0.0.1/d",
            "x",
        ] {
            assert!(!SecretUrl::new(url).is_local(), "{url}");
        }
    }
}
