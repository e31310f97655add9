//! `[auth.jwt]`: the issuer of internal callers, and where its public keys come from: exactly one of a JWKS by URL, a
//! JWKS file and a PEM file.
//!
//! Whoever answers at the URL decides who is let in, so that it has to be the host that the operator meant: one of a
//! list, by TLS, or on this machine.

use std::{net::IpAddr, path::PathBuf};

use http::Uri;
use serde::{Deserialize, Serialize};

use crate::{
    config::{SecretUrl, problem::Problems},
    domain::violation::shown,
};

/// How a URL of keys is written.
const EXAMPLE: &str = "write it like `https://issuer.example/jwks.json`";

/// `[auth.jwt]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Jwt {
    /// The `iss` that tokens must have.
    pub issuer: String,
    /// The `aud` that tokens must have.
    pub audience: String,
    /// The algorithms that are taken: `EdDSA`, `ES256`, `RS256`.
    pub algorithms: Vec<JwtAlgorithm>,
    /// The address of a JWKS. Its query is not shown: some put a secret there.
    #[serde(default)]
    pub jwks_url: Option<SecretUrl>,
    /// The hosts that `jwks_url` may be at; empty: that of `issuer`, if it is a URL.
    #[serde(default)]
    pub jwks_hosts: Vec<String>,
    /// A JWKS file.
    #[serde(default)]
    pub jwks_file: Option<PathBuf>,
    /// A PEM public key.
    #[serde(default)]
    pub public_key_file: Option<PathBuf>,
}

/// An algorithm that tokens may be signed with. Symmetric ones are left out: whoever checks could forge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
pub enum JwtAlgorithm {
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// ECDSA over P-256.
    #[serde(rename = "ES256")]
    Es256,
    /// RSA with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
}

impl Jwt {
    pub(super) fn check(&self, at: &str, problems: &mut Problems<'_>) {
        for (name, value) in [("issuer", &self.issuer), ("audience", &self.audience)] {
            if value.trim().is_empty() {
                problems.add(format!("{at}.{name}"), "must not be empty: without it any token would fit");
            }
        }
        if self.algorithms.is_empty() {
            problems.add(format!("{at}.algorithms"), "is empty: name at least one of EdDSA, ES256, RS256");
        }
        self.check_sources(at, problems);
        if self.jwks_url.is_none() && !self.jwks_hosts.is_empty() {
            let problem = "is given without `jwks_url`, the only thing that it is for: take it out";
            problems.add(format!("{at}.jwks_hosts"), problem);
        }
        for (place, host) in self.jwks_hosts.iter().enumerate() {
            if !is_host(host) {
                problems.add(
                    format!("{at}.jwks_hosts[{place}]"),
                    format!(
                        "{} is no host: write it like `issuer.example`, without scheme and port",
                        shown(host)
                    ),
                );
            }
        }
        if let Some(Err(problem)) = self.jwks_url.as_ref().map(|url| self.address(url)) {
            problems.add(format!("{at}.jwks_url"), problem);
        }
    }

    /// Names all but the first of the sources that are given.
    fn check_sources(&self, at: &str, problems: &mut Problems<'_>) {
        let given = [
            ("jwks_url", self.jwks_url.is_some()),
            ("jwks_file", self.jwks_file.is_some()),
            ("public_key_file", self.public_key_file.is_some()),
        ];
        let mut given = given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name);
        let Some(first) = given.next() else {
            problems.add(format!("{at}.jwks_file"), "is missing: name it, `jwks_url` or `public_key_file`");
            return;
        };
        for other in given {
            problems.add(format!("{at}.{other}"), format!("is given beside `{first}`: keep one of the two"));
        }
    }

    /// Where the keys are fetched from; `None` if there is no `jwks_url`, or it is not one that may be asked.
    pub fn jwks_address(&self) -> Option<Uri> {
        self.address(self.jwks_url.as_ref()?).ok()
    }

    fn address(&self, url: &SecretUrl) -> Result<Uri, String> {
        // Before anything else: an address with a password in it must not come back in a message.
        if url.expose().contains('@') {
            return Err(format!(
                "has an `@`, and may hold a user or password, which are not sent: {EXAMPLE}"
            ));
        }
        let text = shown(&url.to_string());
        if url.expose().contains('#') {
            return Err(format!(
                "{text} has a fragment, which no server is sent: take out `#` and what follows"
            ));
        }
        let uri: Uri = url.expose().parse().map_err(|_| format!("{text} is no URL: {EXAMPLE}"))?;
        let Some(host) = uri.host().map(plain).filter(|host| !host.is_empty()) else {
            return Err(format!("{text} has no host: {EXAMPLE}"));
        };
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if is_loopback(&host) => {}
            Some("http") => {
                return Err(format!(
                    "{text} is not by TLS, so that anyone on the way could put in keys of his own: write `https`; \
                     `http` is for this machine alone (`localhost`, `127.0.0.1`, `[::1]`)"
                ));
            }
            _ => return Err(format!("{text} is no https URL: {EXAMPLE}")),
        }
        self.allows(&host).map(|()| uri)
    }

    /// Whether keys may come from `host`.
    fn allows(&self, host: &str) -> Result<(), String> {
        let way_out = format!("if keys may come from there, write `jwks_hosts = [{}]`", shown(host));
        if !self.jwks_hosts.is_empty() {
            let listed = self.jwks_hosts.iter().any(|allowed| plain(allowed) == host);
            return if listed {
                Ok(())
            } else {
                Err(format!("is at {}, which is not in `jwks_hosts`: {way_out}", shown(host)))
            };
        }
        match self
            .issuer
            .parse::<Uri>()
            .ok()
            .filter(|uri| uri.scheme().is_some())
            .as_ref()
            .and_then(Uri::host)
        {
            Some(issuer) if plain(issuer) == host => Ok(()),
            Some(issuer) => Err(format!(
                "is at {}, not at the host of `issuer`, {}: {way_out}",
                shown(host),
                shown(&plain(issuer))
            )),
            None => {
                Err(format!("is at {}, and `issuer` is no URL that says its host: {way_out}", shown(host)))
            }
        }
    }
}

/// A host as it is compared: in lower case, an address of IPv6 without its brackets.
fn plain(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase()
}

fn is_host(text: &str) -> bool {
    let bare = plain(text);
    bare.parse::<IpAddr>().is_ok()
        || (!bare.is_empty()
            && bare.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
