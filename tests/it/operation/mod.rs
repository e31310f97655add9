//! Starting, stopping and watching a server: what an operator does, and what a balancer and a browser see.

mod browsers;
mod described;
mod first_start;
mod metrics;
mod spans;
mod stopping;
mod tls;
mod watching;
