//! `[server]`: the port, and how it opens and closes.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use http::Uri;
use serde::{Deserialize, Serialize};

use crate::{
    config::{duration, inspect::Section, problem::Problems},
    domain::violation::shown,
};

/// `[server]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// The one port for gRPC, gRPC-Web and HTTP/JSON.
    pub listen: SocketAddr,
    /// A second port for operators: the whole API, and reflection for whoever reaches it; absent: reflection is on
    /// the main port, to loopback only.
    #[serde(default)]
    pub admin_listen: Option<SocketAddr>,
    /// A PEM certificate chain; with `tls_key`, the port speaks TLS.
    #[serde(default)]
    pub tls_cert: Option<PathBuf>,
    /// The PEM private key of `tls_cert`.
    #[serde(default)]
    pub tls_key: Option<PathBuf>,
    /// Origins of browsers that may call, `*` for any; empty: none.
    #[serde(default)]
    pub cors_origins: Vec<String>,
    /// Connections that are open at once; beyond them new ones wait to be accepted.
    pub connections: usize,
    /// How long connections are still accepted after SIGTERM, while `/readyz` says 503.
    #[serde(with = "duration")]
    pub drain_delay: Duration,
    /// How long running requests and streams may take after that.
    #[serde(with = "duration")]
    pub drain_deadline: Duration,
}

impl Section for Server {
    fn check(&self, at: &str, problems: &mut Problems<'_>) {
        if let Some(admin) = self.admin_listen.filter(|admin| collide(self.listen, *admin)) {
            let listen = self.listen;
            problems.add(
                format!("{at}.admin_listen"),
                format!(
                    "{admin} is taken by `listen` ({listen}): give it a port of its own, or leave it out"
                ),
            );
        }
        problems.within(&format!("{at}.connections"), self.connections, 1..=1_000_000);
        for (given, missing) in [("tls_cert", "tls_key"), ("tls_key", "tls_cert")] {
            let is_set =
                |name| if name == "tls_cert" { self.tls_cert.is_some() } else { self.tls_key.is_some() };
            if is_set(given) && !is_set(missing) {
                problems.add(
                    format!("{at}.{missing}"),
                    format!("is missing beside `{given}`: TLS needs both; leave both out for plain text"),
                );
            }
        }
        for (i, origin) in self.cors_origins.iter().enumerate() {
            if !is_origin(origin) {
                problems.add(
                    format!("{at}.cors_origins[{i}]"),
                    format!(
                        "{} is no origin as browsers send it: write `https://app.example`, in lower case and \
                         without a path, or `*`",
                        shown(origin)
                    ),
                );
            }
        }
    }
}

/// Whether two addresses cannot both be listened on. Port 0 never collides: the system picks.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let same_host = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && same_host
}

fn is_origin(text: &str) -> bool {
    if text == "*" {
        return true;
    }
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let plain = host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '?', '#', '@', '*']));
    let lower = !text.contains(|c: char| c.is_ascii_uppercase());
    plain && lower && text.parse::<Uri>().is_ok_and(|uri| uri.host().is_some_and(|host| !host.is_empty()))
}
