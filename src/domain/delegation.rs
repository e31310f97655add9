//! What a key hands on to a sub-agent for a while: less than it holds, and no longer than it lives.
//!
//! A token carries its own lists, not those of the key: at each use the key is looked at as it is then, and `narrowed`
//! by the token. So a token follows when its key is narrowed, and its own part keeps it from following when the key is
//! widened. A chain needs no more than its last link: each link lies within the one before, which never changes.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::domain::{
    grant::{Escalation, Granted, Holding},
    key::{Generation, Key, Scope, Scopes, ToolMode},
    toollist::Toollist,
};

/// How long a token works where its maker does not say.
pub const LIFETIME: TimeDelta = TimeDelta::minutes(10);

/// The longest that a token may work.
pub const LIFETIME_MAX: TimeDelta = TimeDelta::hours(1);

/// The most names in one list of a token, which a header has to carry.
pub const ENTRIES_MAX: usize = 256;

/// How many tokens may follow on one another, each made from the one before: an agent that delegates to an agent, four
/// times over. Deeper chains are loops.
pub const LINKS_MAX: u32 = 4;

/// What a delegated token says of its bearer.
#[derive(Debug, Clone, PartialEq)]
pub struct Delegation {
    /// The token's own id.
    pub id: Uuid,
    /// The key, and which of its secrets: the token dies with that. A rotation is the answer to a secret that leaked,
    /// and must end what was made with it too; with an overlap it outlasts the token.
    pub generation: Generation,
    /// What for.
    pub scopes: Scopes,
    /// With which of the key's tools.
    pub toollist: Toollist,
    /// What happens with others, if the key is not stricter.
    pub tool_mode: ToolMode,
    /// When it was made.
    pub issued_at: DateTime<Utc>,
    /// When it stops working, in whole seconds.
    pub expires_at: DateTime<Utc>,
    /// Its place in a chain: 1 for one that was made from a key.
    pub link: u32,
}

/// What a token is asked to be made with; what is `None` comes from the parent.
#[derive(Debug, Clone)]
pub struct WantedToken {
    /// The id that it will have.
    pub id: Uuid,
    /// What for; without it `chat`, since that is what sub-agents are for.
    pub scopes: Option<Scopes>,
    /// The lists that were given.
    pub toollist: Toollist,
    /// What happens with other tools.
    pub tool_mode: Option<ToolMode>,
    /// How long it is to work, unless the parent ends before.
    pub lifetime: TimeDelta,
}

/// What a token is made from.
#[derive(Debug, Clone, Copy)]
pub struct Parent<'a> {
    /// The key as it is in the store.
    pub key: &'a Key,
    /// Which of its secrets the token is to die with.
    pub generation: Generation,
    /// The token of that key that it is made from, if it is.
    pub token: Option<&'a Delegation>,
}

impl Delegation {
    /// The key as the token's bearer has it.
    pub fn narrowed(&self, key: &Key) -> Key {
        Key {
            scopes: key.scopes.iter().filter(|scope| self.scopes.contains(*scope)).collect(),
            toollist: self.toollist.within(&key.toollist),
            tool_mode: self.tool_mode.max(key.tool_mode),
            expires_at: Some(key.expires_at.map_or(self.expires_at, |at| at.min(self.expires_at))),
            ..key.clone()
        }
    }
}

impl Parent<'_> {
    /// A token of what the parent holds at `now`, or the first thing that it would get too much of. `held` is what
    /// somebody else who makes it holds; `None` for the parent itself, and for operators.
    pub fn delegate(
        &self,
        held: Option<Holding<'_>>,
        wanted: &WantedToken,
        now: DateTime<Utc>,
    ) -> Result<Delegation, Escalation> {
        let link = 1 + self.token.map_or(0, |token| token.link);
        if link > LINKS_MAX {
            let message =
                format!("{LINKS_MAX} tokens follow on one another already: use the one that you have");
            return Err(Escalation { field: "key_id", message });
        }
        let parent = self.token.map_or_else(|| self.key.clone(), |token| token.narrowed(self.key));
        let until = [parent.expires_at, held.and_then(|held| held.expires_at)].into_iter().flatten().min();
        let asked = now + wanted.lifetime;
        let granted = Granted {
            scopes: wanted.scopes.unwrap_or_else(|| [Scope::Chat].into_iter().collect()),
            toollist: over(&wanted.toollist, &parent.toollist),
            tool_mode: wanted.tool_mode.unwrap_or(parent.tool_mode),
            limits: parent.own_limits,
            expires_at: Some(until.map_or(asked, |until| until.min(asked))),
        };
        Holding::of(&parent).covers(&granted.holding())?;
        if let Some(held) = held {
            held.covers(&Holding::of(&parent))?;
            held.covers(&granted.holding())?;
        }
        let expires_at = granted.expires_at.unwrap_or(asked);
        Ok(Delegation {
            id: wanted.id,
            generation: self.generation,
            scopes: granted.scopes,
            // What was not given is left to the key as it is at each use.
            toollist: self
                .token
                .map_or_else(|| wanted.toollist.clone(), |token| over(&wanted.toollist, &token.toollist)),
            tool_mode: granted.tool_mode,
            issued_at: now,
            // Whole seconds are what a JWT has; up would outlive the parent.
            expires_at: DateTime::from_timestamp(expires_at.timestamp(), 0).unwrap_or(now),
            link,
        })
    }
}

/// The lists of `inner`, and of `outer` where it has none.
fn over(inner: &Toollist, outer: &Toollist) -> Toollist {
    let given = |list: Option<&[String]>| list.map(|list| Some(list.to_vec()));
    let lists = outer.replaced(given(inner.allowed()), given(inner.denied()));
    lists.expect("each of the lists was checked when it was made")
}
