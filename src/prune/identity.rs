//! What makes two conversations, and two sets of tools, the same.
//!
//! A conversation is its key and the session that the client names, or else its key and its opening messages: up to
//! the first of the user, which stay the same however long it grows, so that any replica recognises it. A set of tools
//! is its names, in whatever order: descriptions are reworded, and what was learnt of the tools stays true.

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::{Ask, conversation::is_of_user};

/// The most opening messages that are looked at for the first one of the user.
const OPENING: usize = 8;

/// The hash of a tool's name, whatever its case.
pub(super) fn name_hash(name: &str) -> u64 {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return xxh3_64(name.to_ascii_lowercase().as_bytes());
    }
    xxh3_64(name.as_bytes())
}

fn of_asker(ask: &Ask<'_>) -> Xxh3 {
    let mut hash = Xxh3::new();
    hash.update(ask.account.0.as_bytes());
    if let Some(key) = ask.key {
        hash.update(key.0.as_bytes());
    }
    hash
}

/// The conversation that these messages belong to.
pub(super) fn conversation(ask: &Ask<'_>, messages: &[&[u8]], depth: usize) -> u64 {
    let mut hash = of_asker(ask);
    match ask.session {
        Some(session) => {
            hash.update(b"session");
            hash.update(session.as_bytes());
        }
        None => {
            for message in messages.iter().take(OPENING) {
                hash.update(message);
                hash.update(b"\0");
                if is_of_user(message, depth) {
                    break;
                }
            }
        }
    }
    hash.digest()
}

/// The set that tools of these names are, to the one who asks.
pub(super) fn set(ask: &Ask<'_>, names: &[u64]) -> u64 {
    let mut hash = of_asker(ask);
    // A sum does not know the order; each name is mixed first, or two names could make up for two others.
    let sum = names.iter().fold(0_u64, |sum, name| sum.wrapping_add(xxh3_64(&name.to_le_bytes())));
    hash.update(&sum.to_le_bytes());
    hash.digest()
}
