//! Numbers that an option gives, or takes back with a word: `--max-keys 5`, `--max-keys unlimited`.

use std::ops::RangeInclusive;

/// A value that an option gives. A type of its own: clap reads more into an `Option` of an `Option`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Given<T>(pub(super) Option<T>);

/// Reads a number within `bounds`, or `none` for no number.
pub(super) fn number(text: &str, bounds: RangeInclusive<i64>, none: &str) -> Result<Given<i64>, String> {
    if text == none {
        return Ok(Given(None));
    }
    let number = text.parse().ok().filter(|number| bounds.contains(number));
    let or = || format!("give {} to {}, or `{none}`", bounds.start(), bounds.end());
    number.map(|number| Given(Some(number))).ok_or_else(or)
}

/// Sets what was given.
pub(super) fn take<T: Copy>(given: Option<Given<T>>, to: &mut Option<T>) {
    if let Some(Given(value)) = given {
        *to = value;
    }
}
