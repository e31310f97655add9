//! Failed authentications by source.

use std::{net::IpAddr, time::Duration};

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn failures_are_limited_by_source_and_successes_are_not() {
    let (limiter, now) = (FailedAuth::new(10, 1_000), at(NOON));
    for _ in 0..1_000 {
        limiter.attempt(ip("192.0.2.1"), now).unwrap().succeeded();
    }
    for _ in 0..10 {
        let _failed = limiter.attempt(ip("192.0.2.1"), now).unwrap();
    }
    assert_eq!(limiter.attempt(ip("192.0.2.1"), now).unwrap_err(), Duration::from_secs(6));
    assert_eq!(limiter.attempt(ip("::ffff:192.0.2.1"), now).unwrap_err(), Duration::from_secs(6));
    assert!(limiter.attempt(ip("192.0.2.2"), now).is_ok());
    assert!(limiter.attempt(ip("192.0.2.1"), now + TimeDelta::seconds(6)).is_ok());
}

#[test]
fn attempts_at_once_do_not_all_pass_the_same_check() {
    let (limiter, now) = (FailedAuth::new(10, 1_000), at(NOON));
    let open: Vec<_> = (0..100).filter_map(|_| limiter.attempt(ip("192.0.2.1"), now).ok()).collect();
    assert_eq!(open.len(), 10);
    open.into_iter().for_each(Attempt::succeeded);
    assert!(limiter.attempt(ip("192.0.2.1"), now).is_ok());
}

#[test]
fn an_ipv6_host_is_its_network() {
    let (limiter, now) = (FailedAuth::new(2, 1_000), at(NOON));
    for host in ["2001:db8::1", "2001:db8::2"] {
        let _failed = limiter.attempt(ip(host), now).unwrap();
    }
    assert!(limiter.attempt(ip("2001:db8:0:0:ffff::3"), now).is_err());
    assert!(limiter.attempt(ip("2001:db8:0:1::3"), now).is_ok());
}

#[test]
fn more_sources_than_can_be_remembered_share_a_bucket() {
    let (limiter, now) = (FailedAuth::new(1, 160), at(NOON));
    let passed = (0..100_000u32)
        .filter(|i| limiter.attempt(IpAddr::from(std::net::Ipv4Addr::from_bits(*i)), now).is_ok())
        .count();
    assert_eq!(passed, 160 + 16 * 16, "all that are remembered, and the crowds");
    let later = now + minutes(2);
    assert!(limiter.attempt(ip("198.51.100.7"), later).is_ok(), "the old ones were forgotten");
    assert!(limiter.attempt(ip("198.51.100.7"), later).is_err());
}
