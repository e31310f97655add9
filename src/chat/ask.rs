//! What a request may ask of the pruner, in its headers and by whom it comes from.

use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderName};

use super::ChatError;
use crate::{
    domain::{caller::Caller, chat_request::Malformed, policy::PruneMode, violation::shown},
    prune::Ask,
};

const PRUNE: HeaderName = HeaderName::from_static("x-orqen-prune");
const SESSION: HeaderName = HeaderName::from_static("x-orqen-session-id");

/// The longest name of a session, in bytes.
const SESSION_MAX: usize = 256;

/// What the client's headers say.
#[derive(Debug)]
pub struct Wish<'h> {
    most: PruneMode,
    session: Option<&'h str>,
}

impl<'h> Wish<'h> {
    pub(super) fn read(headers: &'h HeaderMap) -> Result<Self, Malformed> {
        let modes = headers.get_all(PRUNE).iter();
        let modes = modes.map(|value| value.to_str().unwrap_or("bytes that are no text"));
        Self::said(modes, headers.get(SESSION).map(|value| value.to_str().unwrap_or_default()))
    }

    /// The same from what the headers would say: each mode that is wished for, and the name of the session.
    pub fn said(modes: impl Iterator<Item = &'h str>, session: Option<&'h str>) -> Result<Self, Malformed> {
        let mut most = PruneMode::Aggressive;
        for word in modes {
            let word = word.trim();
            let mode = PruneMode::from_word(word).ok_or_else(|| Malformed {
                param: Some(PRUNE.as_str().to_owned()),
                message: format!(
                    "the header {PRUNE} is {}: send off, safe, balanced or aggressive, or leave it out",
                    shown(word)
                ),
            })?;
            most = most.min(mode);
        }
        let plain = |byte: u8| byte == b'\t' || (b' '..=b'~').contains(&byte);
        let fits = |session: &&str| (1..=SESSION_MAX).contains(&session.len()) && session.bytes().all(plain);
        let session = session.map(|session| {
            Some(session).filter(fits).ok_or_else(|| Malformed {
                param: Some(SESSION.as_str().to_owned()),
                message: format!(
                    "the header {SESSION} is empty, longer than {SESSION_MAX} bytes or not plain ASCII: send a shorter id"
                ),
            })
        });
        Ok(Self { most, session: session.transpose()? })
    }

    /// The client's name for the conversation.
    pub(super) fn session(&self) -> Option<&'h str> {
        self.session
    }

    /// What is asked for `caller`: the account's mode, or the configured one, and no more than the header wishes.
    pub(super) fn ask(
        &self,
        caller: &Caller,
        configured: Option<PruneMode>,
        now: DateTime<Utc>,
    ) -> Result<Ask<'h>, ChatError> {
        let account = caller.account().ok_or(ChatError::NoAccount)?.load();
        let mode = configured.map_or(PruneMode::Off, |mode| account.policy.prune_mode.unwrap_or(mode));
        let least = match caller.key() {
            Some(key) => key.limits(&account.policy).k_target.value,
            None => account.policy.tool_window,
        };
        Ok(Ask {
            account: account.id,
            key: caller.key_id(),
            mode: mode.min(self.most),
            least: least.and_then(|least| usize::try_from(least).ok()).unwrap_or_default(),
            session: self.session,
            now,
        })
    }
}
