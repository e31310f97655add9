//! Words that people use for one another: `trash` for `delete`, `meeting` for `appointment`.
//!
//! The groups stand in `synonyms.txt`, a group a line. Words of tools and of users differ in such ways far more
//! often than in meaning, and a list can be read, corrected and trusted, which a model cannot.

use std::{collections::HashMap, sync::LazyLock};

use super::words::{PassThrough, Term, terms};

/// For each term those of its groups.
static GROUPS: LazyLock<HashMap<Term, Box<[Term]>, PassThrough>> =
    LazyLock::new(|| grouped(concat!(include_str!("synonyms.txt"), "\n", include_str!("languages.txt"))));

/// Calls `each` with every term that may stand for `term`.
pub(super) fn of(term: Term, each: impl FnMut(Term)) {
    if let Some(others) = GROUPS.get(&term) {
        others.iter().copied().for_each(each);
    }
}

fn grouped(text: &str) -> HashMap<Term, Box<[Term]>, PassThrough> {
    let mut groups: HashMap<Term, Vec<Term>, PassThrough> = HashMap::with_hasher(PassThrough);
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut group = Vec::new();
        terms(line, |term| group.push(term));
        for term in &group {
            groups.entry(*term).or_default().extend(group.iter().filter(|other| *other != term));
        }
    }
    let sorted = groups.into_iter().map(|(term, mut others)| {
        others.sort_unstable();
        others.dedup();
        (term, others.into_boxed_slice())
    });
    sorted.collect()
}

#[cfg(test)]
mod tests {
    use super::{super::words::term, *};

    #[test]
    fn words_of_one_group_stand_for_each_other() {
        let (delete, erase, weather) =
            (term("delete").unwrap(), term("erase").unwrap(), term("weather").unwrap());
        let mut others = Vec::new();
        of(delete, |other| others.push(other));
        assert!(others.contains(&erase) && !others.contains(&weather) && !others.contains(&delete));
    }
}
