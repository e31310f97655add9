//! `default.toml` as data: the defaults, and with its optional fields uncommented the list of every field that
//! there is, each with a value of the right shape. So the text that people read is the one that names are
//! checked against, and the two cannot drift.

use std::sync::LazyLock;

use toml::{Table, Value};

/// The commented reference of every section and field.
pub const TEXT: &str = include_str!("default.toml");

/// Tables whose keys are free.
const FREE: [&str; 1] = ["tool_members"];

/// Fields whose values are never shown.
const SECRET: [&str; 5] =
    ["store.url", "redis.url", "auth.peppers", "auth.signing_keys", "auth.jwt.jwks_url"];

/// The default of every field that has one.
pub(super) static DEFAULTS: LazyLock<Table> = LazyLock::new(|| parse(TEXT));

/// Every field, with an example.
pub(super) static FIELDS: LazyLock<Table> = LazyLock::new(|| {
    let lines = TEXT.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => rest,
        _ => line,
    });
    parse(&lines.collect::<Vec<_>>().join("\n"))
});

fn parse(text: &str) -> Table {
    text.parse().expect("the reference is TOML: a test reads it")
}

/// Whether the table with this name may have any keys.
pub(super) fn is_free(name: &str) -> bool {
    FREE.contains(&name)
}

/// Whether the field's value must not be shown.
pub(super) fn is_secret(field: &str) -> bool {
    SECRET.contains(&field)
}

/// The fields of one upstream.
pub(super) fn upstream() -> &'static Table {
    let upstreams = FIELDS.get("upstreams").and_then(Value::as_array);
    upstreams.and_then(|all| all.first()).and_then(Value::as_table).expect("the reference shows an upstream")
}

/// The example of the field at a path below the sections; `None` if there is no such field, or it is a table.
/// Upstreams are not among them: a list of tables has no place in the environment.
pub(super) fn example(path: &[String]) -> Option<&'static Value> {
    let (last, tables) = path.split_last()?;
    let table = tables.iter().try_fold(&*FIELDS, |table, name| table.get(name)?.as_table())?;
    table.get(last).filter(|value| !value.is_table() && last != "upstreams")
}

/// The dotted path of every field below the sections, upstreams left out.
pub(super) fn paths() -> Vec<String> {
    fn gather(at: &str, table: &Table, paths: &mut Vec<String>) {
        for (name, value) in table {
            let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
            match value {
                Value::Table(inner) => gather(&path, inner, paths),
                _ if path == "upstreams" => {}
                _ => paths.push(path),
            }
        }
    }
    let mut paths = Vec::new();
    gather("", &FIELDS, &mut paths);
    paths
}

/// The name among `known` that was most likely meant, if one is near: one change for three letters, or the
/// beginning of it.
pub(super) fn nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let apart = |name: &str| match name.starts_with(given) && given.len() >= 4 {
        true => 1,
        false => distance(given, name),
    };
    let (apart, name) = known.map(|name| (apart(name), name)).min()?;
    (apart * 3 <= given.chars().count().max(3)).then_some(name)
}

/// The edit distance by Levenshtein, over bytes: names of fields are ASCII.
fn distance(one: &str, other: &str) -> usize {
    // Unknown names come from outside: a long one costs nothing, and is near to none.
    if one.len() > 64 {
        return usize::MAX / 4;
    }
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.bytes().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}
