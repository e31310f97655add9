//! What must hold where several replicas serve one configuration: `orqen config check --replicas N`.
//!
//! A start refuses none of this: a process knows neither how many of its kind there are nor what stands in front of it.
//! So whoever deploys says it, in a flag and not in a setting: a setting would have to be changed with every scaling and
//! on every replica, and nothing that serves would read it.
//!
//! An error is what breaks a promise (keys or limits that differ between replicas, requests lost at a restart); a warning
//! is what may be meant.

use std::time::Duration;

use crate::config::{Config, Loaded, Origin, Problem, SecretUrl, duration, problem::Problems};

mod memory;
#[cfg(test)]
mod tests;

pub use memory::bytes_of;

/// The longest time that a hosted balancer takes between two probes where it takes the least that it can be set to: 5 s.
const PROBE: Duration = Duration::from_secs(5);
/// How long a PostgreSQL takes to fail over to its standby, as its usual orchestrators are set.
const FAILOVER: Duration = Duration::from_secs(30);
/// From where on a revoked key would live on for long, on a replica that the store cannot tell.
const LONG_STALE: Duration = Duration::from_secs(10 * 60);
/// Polls that a replica misses before it says degraded, and the second that it adds (`app::health`).
const MISSED_POLLS: u32 = 8;
/// Polls of all replicas a second that a PostgreSQL takes beside its work, a fifth of what it answered on two busy cores
/// (the README, "Scale on paper").
const POLLS: f64 = 5_000.0;
/// PostgreSQL's default `max_connections` less those it keeps for superusers.
const CONNECTIONS: u64 = 97;

/// Who is to serve a configuration.
#[derive(Debug, Clone, Copy)]
pub struct Cluster {
    /// How many processes serve it at most, one that joins at a rolling restart aside.
    pub replicas: u32,
    /// How much memory each may take, in bytes; `None`: that is not known.
    pub memory: Option<u64>,
}

/// What a cluster must not have, and what it should think about.
#[derive(Debug, Default)]
pub struct Findings {
    /// What breaks a promise.
    pub errors: Vec<Problem>,
    /// What may be meant.
    pub warnings: Vec<Problem>,
}

impl Cluster {
    /// Everything that is wrong with a configuration for these replicas.
    pub fn findings(&self, loaded: &Loaded) -> Findings {
        let mut errors = Problems::new(&loaded.origins);
        let mut warnings = Problems::new(&loaded.origins);
        let config = &loaded.config;
        if self.replicas > 1 {
            self.sharing(config, &mut errors, &mut warnings);
        }
        self.store_load(config, &mut warnings);
        stops(config, &mut errors, &mut warnings);
        staleness(config, &mut errors, &mut warnings);
        doors(loaded, &mut warnings);
        self.memory(config, &mut errors, &mut warnings);
        Findings { errors: errors.into_vec(), warnings: warnings.into_vec() }
    }

    /// What replicas must have in common.
    fn sharing(&self, config: &Config, errors: &mut Problems<'_>, warnings: &mut Problems<'_>) {
        let (url, replicas) = (&config.store.url, self.replicas);
        if url.scheme() == "sqlite" {
            errors.add(
                "store.url",
                format!(
                    "{url} is a file, and {replicas} replicas cannot share one: each would have keys of its own, and on \
                     shared storage they would destroy it; write `postgres://USER:PASSWORD@HOST/DATABASE`"
                ),
            );
        }
        match &config.redis {
            None => errors.add(
                "redis.url",
                format!(
                    "is missing: each of {replicas} replicas would count for itself, and grant every limit {replicas} \
                     times; write `redis://HOST/0`"
                ),
            ),
            Some(redis) => local("redis.url", &redis.url, warnings),
        }
        local("store.url", url, warnings);
        if config.store.bootstrap {
            warnings.add(
                "store.bootstrap",
                "true prints the first key's secret into the log of one replica: write `false`, and make the first key \
                 with `orqen account create` and `orqen key create`",
            );
        }
    }

    /// What all replicas together ask of the store.
    fn store_load(&self, config: &Config, warnings: &mut Problems<'_>) {
        if config.store.url.scheme() == "sqlite" {
            return;
        }
        let (store, replicas) = (&config.store, self.replicas);
        let polls = f64::from(replicas) / store.poll_every.as_secs_f64();
        if polls > POLLS {
            warnings.add(
                "store.poll_every",
                format!(
                    "\"{}\" makes {polls:.0} polls a second of {replicas} replicas, where PostgreSQL has better to do from \
                     {POLLS:.0} on: poll less often (\"1s\" at most)",
                    duration::format(store.poll_every)
                ),
            );
        }
        let connections = (u64::from(store.max_connections) + 1) * u64::from(replicas);
        if connections > CONNECTIONS {
            warnings.add(
                "store.max_connections",
                format!(
                    "{} and one that listens make {connections} connections of {replicas} replicas, and PostgreSQL grants \
                     {CONNECTIONS} unless its own `max_connections` says more: raise that, or give less here",
                    store.max_connections
                ),
            );
        }
    }
}

/// How replicas leave, behind a balancer.
fn stops(config: &Config, errors: &mut Problems<'_>, warnings: &mut Problems<'_>) {
    let (delay, deadline) = (config.server.drain_delay, config.server.drain_deadline);
    let given = duration::format(delay);
    if delay.is_zero() {
        errors.add(
            "server.drain_delay",
            format!(
                "\"{given}\" closes the door before the balancer knows: requests are refused at every restart; give the \
                 time that it takes to see `/readyz` fail, such as \"10s\""
            ),
        );
    } else if delay < PROBE {
        warnings.add(
            "server.drain_delay",
            format!(
                "\"{given}\" is shorter than most balancers take to see `/readyz` fail: give their probes' interval times \
                 their threshold and a second, such as \"10s\""
            ),
        );
    }
    if deadline.is_zero() {
        errors.add(
            "server.drain_deadline",
            "\"0s\" cuts every answer that runs at a restart: give what your streams take, such as \"2m\"",
        );
    }
}

/// How long replicas go on without the store.
fn staleness(config: &Config, errors: &mut Problems<'_>, warnings: &mut Problems<'_>) {
    let (stale, poll) = (config.store.stale_for, config.store.poll_every);
    let degraded = poll * MISSED_POLLS + Duration::from_secs(1);
    let [given, poll, least] = [stale, poll, degraded].map(duration::format);
    if stale <= degraded {
        errors.add(
            "store.stale_for",
            format!(
                "\"{given}\" is no longer than the \"{least}\" after which a replica with `poll_every` \"{poll}\" notices: \
                 any pause of the store would take every replica out at once; give more, such as \"60s\""
            ),
        );
    } else if stale < FAILOVER {
        warnings.add(
            "store.stale_for",
            format!(
                "\"{given}\" is shorter than a fail-over of PostgreSQL often takes: known keys would get 503 meanwhile, on \
                 every replica at once; \"60s\" carries over most"
            ),
        );
    } else if stale > LONG_STALE {
        warnings.add(
            "store.stale_for",
            format!(
                "\"{given}\" is how long a revoked key goes on at a replica that is cut off from the store, and that \
                 replica stays in the balancer for as long: \"60s\" carries over most fail-overs"
            ),
        );
    }
}

/// How replicas are reached.
fn doors(loaded: &Loaded, warnings: &mut Problems<'_>) {
    let config = &loaded.config;
    let listen = config.server.listen;
    if listen.ip().is_loopback() {
        warnings.add(
            "server.listen",
            format!("{listen} is reached from this machine alone: write \"0.0.0.0:{}\"", listen.port()),
        );
    }
    if config.server.admin_listen.is_none() {
        warnings.add(
            "server.admin_listen",
            "is missing: `/metrics` answers to this machine alone, so that Prometheus sees no replica; write \
             \"0.0.0.0:9090\", and keep that port from the balancer",
        );
    }
    let failures = config.limits.failed_auth_per_minute;
    if let (Origin::Default, Some(failures)) = (loaded.origins.of("limits.failed_auth_per_minute"), failures)
    {
        warnings.add(
            "limits.failed_auth_per_minute",
            format!(
                "{failures} are of one address, and behind a balancer all callers have one: a single agent with a dead key \
                 would use them up for every new key; give more, or \"unlimited\" where the balancer limits"
            ),
        );
    }
}

/// Warns of an address that is another one on each machine.
fn local(field: &str, url: &SecretUrl, warnings: &mut Problems<'_>) {
    if url.is_local() {
        warnings.add(
            field,
            format!("{url} is this machine: replicas elsewhere would find another server there, or none"),
        );
    }
}
