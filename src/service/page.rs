//! Pages of a list: their size, and the token that says where the next one begins.
//!
//! A token is the id or name of the last row of the page before, so that rows which are added or removed meanwhile
//! shift nothing and a page costs the same at any depth.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use uuid::Uuid;

use crate::domain::violation::{Violations, shown};

const DEFAULT_SIZE: i32 = 100;
const LARGEST: i32 = 1000;

/// What the last row of a page is known by.
pub(super) trait Cursor: Sized {
    /// The token that says so.
    fn token(&self) -> String;

    /// What a token of ours says.
    fn of_token(token: &str) -> Option<Self>;
}

impl Cursor for Uuid {
    fn token(&self) -> String {
        self.simple().to_string()
    }

    fn of_token(token: &str) -> Option<Self> {
        Uuid::parse_str(token).ok()
    }
}

impl Cursor for String {
    fn token(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self)
    }

    fn of_token(token: &str) -> Option<Self> {
        BASE64_URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok())
    }
}

/// Where a page begins and how long it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Page<C = Uuid> {
    pub(super) size: u32,
    /// The last row of the page before.
    pub(super) last: Option<C>,
}

impl<C: Cursor> Page<C> {
    /// Reads what a caller asked for.
    pub(super) fn parse(size: Option<i32>, token: &str) -> Result<Self, Violations> {
        let mut violations = Violations::new();
        let size = size.unwrap_or(DEFAULT_SIZE);
        if !(1..=LARGEST).contains(&size) {
            violations.add("page_size", format!("is {size}: give a number from 1 to {LARGEST}"));
        }
        let last = match token {
            "" => None,
            token => {
                let last = C::of_token(token).filter(|last| last.token() == token);
                if last.is_none() {
                    violations.add(
                        "page_token",
                        format!("{} is no token of ours: pass next_page_token as it was given", shown(token)),
                    );
                }
                last
            }
        };
        violations.into_result()?;
        Ok(Self { size: size.unsigned_abs(), last })
    }

    /// Cuts `rows`, which hold one more than the page if there are more, and says where the next page begins.
    pub(super) fn cut<T>(&self, rows: &mut Vec<T>, cursor: impl Fn(&T) -> C) -> String {
        if rows.len() <= self.size as usize {
            return String::new();
        }
        rows.truncate(self.size as usize);
        rows.last().map(|last| cursor(last).token()).unwrap_or_default()
    }
}
