//! Pages of a list: their size, and the token that says where the next one begins.
//!
//! A token is the id of the last row of the page before, so that rows which are added or removed meanwhile shift
//! nothing and a page costs the same at any depth.

use uuid::Uuid;

use crate::domain::violation::{Violations, shown};

const DEFAULT_SIZE: i32 = 100;
const LARGEST: i32 = 1000;

/// Where a page begins and how long it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) size: u32,
    pub(super) before: Option<Uuid>,
}

impl Page {
    /// Reads what a caller asked for.
    pub(super) fn parse(size: Option<i32>, token: &str) -> Result<Self, Violations> {
        let mut violations = Violations::new();
        let size = size.unwrap_or(DEFAULT_SIZE);
        if !(1..=LARGEST).contains(&size) {
            violations.add("page_size", format!("is {size}: give a number from 1 to {LARGEST}"));
        }
        let before = match token {
            "" => None,
            token => {
                let id = Uuid::parse_str(token).ok().filter(|id| id.simple().to_string() == token);
                if id.is_none() {
                    violations.add(
                        "page_token",
                        format!("{} is no token of ours: pass next_page_token as it was given", shown(token)),
                    );
                }
                id
            }
        };
        violations.into_result()?;
        Ok(Self { size: size.unsigned_abs(), before })
    }

    /// Cuts `rows`, which hold one more than the page if there are more, and says where the next page begins.
    pub(super) fn cut<T>(self, rows: &mut Vec<T>, id: impl Fn(&T) -> Uuid) -> String {
        if rows.len() <= self.size as usize {
            return String::new();
        }
        rows.truncate(self.size as usize);
        rows.last().map(|last| id(last).simple().to_string()).unwrap_or_default()
    }
}
