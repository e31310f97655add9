//! Limits that replicas share through Redis: one script a request, which takes everything or nothing by the server's
//! clock. Everything it writes expires, so that nothing is left of a key that is gone, or of a replica that crashed.
//!
//! Redis is asked for [`Timing::answer`] at most. At the first error or silence it counts as away: nobody asks it until
//! [`Upkeep`] has a connection that answers in time, and each replica counts for itself. What it counts begins at
//! Redis' last answers, and what it counted is held against its keys afterwards, so that neither change of hands gives
//! anybody more than one replica's bucket. A slow Redis is thus no worse than a dead one.

mod link;
mod names;
mod question;
mod upkeep;

use std::time::Duration;

pub(super) use self::link::Link;
pub use self::upkeep::Upkeep;

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long a request waits for Redis. At 50 ms, a hundred times a healthy one's answer.
    pub answer: Duration,
    /// How long connecting may take, and what is not on any request's path.
    pub background: Duration,
    /// How long the slots of a replica that crashed stay taken. Those of running requests are renewed three times as
    /// often.
    pub lease: Duration,
    /// The longest pause between two attempts to reach Redis.
    pub longest_pause: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            answer: Duration::from_millis(50),
            background: Duration::from_secs(1),
            lease: Duration::from_secs(60),
            longest_pause: Duration::from_secs(5),
        }
    }
}

/// Why limits cannot be shared.
#[derive(Debug, thiserror::Error)]
pub enum SharedError {
    /// The URL is no address of a Redis.
    #[error("{url} is no address of a Redis")]
    Url {
        /// The URL, without its password.
        url: String,
        /// What is wrong with it.
        source: redis::RedisError,
    },
}
