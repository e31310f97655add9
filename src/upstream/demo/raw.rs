//! JSON looked at in place: members and elements are found in the text, and nothing becomes a tree.
//!
//! A body may have 32 MiB, and a tree of one full of small objects takes eighty times that. What the demo model
//! needs of a request are a few texts.

use std::{borrow::Cow, fmt};

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Deserializer, value::RawValue};

/// The values of these members of an object; `None` for one that is null or not there, and all of them for what is
/// no object. Of a repeated member the last counts.
pub(super) fn members<'a, const N: usize>(
    object: Option<&'a RawValue>,
    names: [&str; N],
) -> [Option<&'a RawValue>; N] {
    let mut found = [None; N];
    let text = object.map_or("", RawValue::get);
    // A value that was read as one can only be of another type, and leaves everything as it is.
    let _ = Deserializer::from_str(text).deserialize_map(Members { names, found: &mut found });
    found.map(|value| value.filter(|value| value.get() != "null"))
}

/// Calls `each` with every element of an array; whether it is one.
pub(super) fn elements<'a>(array: Option<&'a RawValue>, each: impl FnMut(&'a RawValue)) -> bool {
    let text = array.map_or("", RawValue::get);
    Deserializer::from_str(text).deserialize_seq(Elements(each)).is_ok()
}

/// The text that a value is, if it is one.
pub(super) fn text(value: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(value?.get()).ok()
}

struct Members<'f, 'a, const N: usize> {
    names: [&'f str; N],
    found: &'f mut [Option<&'a RawValue>; N],
}

impl<'a, const N: usize> Visitor<'a> for Members<'_, 'a, N> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Cow<'a, str>>()? {
            match self.names.iter().position(|wanted| *wanted == name) {
                Some(place) => self.found[place] = Some(map.next_value()?),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

struct Elements<F>(F);

impl<'a, F: FnMut(&'a RawValue)> Visitor<'a> for Elements<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut array: A) -> Result<(), A::Error> {
        while let Some(element) = array.next_element()? {
            (self.0)(element);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_and_elements_are_found_in_place() {
        let raw = |text: &'static str| serde_json::from_str::<&RawValue>(text).unwrap();
        let object = raw(r#"{"a": {"b": [1]}, "\u0062": null, "c": 1, "c": "x", "d": 4}"#);
        let [a, b, c] = members(Some(object), ["a", "b", "c"]);
        assert_eq!(
            (a.map(RawValue::get), b.is_none(), text(c)),
            (Some(r#"{"b": [1]}"#), true, Some("x".into()))
        );
        let mut found = Vec::new();
        assert!(elements(Some(raw(r#"[1, [2,3], "x"]"#)), |element| found.push(element.get())));
        assert_eq!(found, ["1", "[2,3]", "\"x\""]);
        for other in ["1", "null", "\"x\"", "[]"] {
            assert!(members(Some(raw(other)), ["a"])[0].is_none(), "{other}");
        }
        assert!(!elements(Some(raw("{}")), |_| ()) && !elements(None, |_| ()));
    }
}
