//! JSON as an oracle reads it: by serde_json, one level at a time, with every member of an object, also one that is
//! there twice. A tree would keep only one of those, and which one a provider keeps nobody knows.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A value, not looked into yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Json<'a>(&'a RawValue);

impl<'a> Json<'a> {
    /// The value that these bytes are, all of them; `None` where they are no JSON.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok().map(Self)
    }

    /// As it is written.
    pub(super) fn raw(self) -> &'a str {
        self.0.get()
    }

    /// Whether it is null.
    pub(super) fn is_null(self) -> bool {
        self.raw() == "null"
    }

    /// Whether it is an object or an array.
    pub(super) fn holds_more(self) -> bool {
        self.raw().starts_with(['{', '['])
    }

    /// What a string says; `None` for anything else, and for one with half of a surrogate pair.
    pub(super) fn text(self) -> Option<String> {
        serde_json::from_str(self.raw()).ok()
    }

    /// A number that counts something.
    pub(super) fn count(self) -> Option<u64> {
        serde_json::from_str(self.raw()).ok()
    }

    /// The elements of an array; none of anything else.
    pub(super) fn elements(self) -> Vec<Json<'a>> {
        let elements: Vec<&RawValue> = serde_json::from_str(self.raw()).unwrap_or_default();
        elements.into_iter().map(Json).collect()
    }

    /// The members of an object, in order; none of anything else. A name that is no text is replaced by one that
    /// means nothing.
    pub(super) fn members(self) -> Vec<(String, Json<'a>)> {
        let members: Members<'a> = serde_json::from_str(self.raw()).unwrap_or(Members(Vec::new()));
        members.0.into_iter().map(|(name, value)| (name.unwrap_or_default(), Json(value))).collect()
    }

    /// Every member of this name.
    pub(super) fn all(self, name: &str) -> Vec<Json<'a>> {
        let members = self.members().into_iter();
        members.filter(|(member, _)| member == name).map(|(_, value)| value).collect()
    }

    /// The last member of this name.
    pub(super) fn get(self, name: &str) -> Option<Json<'a>> {
        self.all(name).pop()
    }
}

struct Members<'a>(Vec<(Option<String>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(name) = map.next_key::<&RawValue>()? {
            let value = map.next_value::<&RawValue>().map_err(A::Error::custom)?;
            members.push((serde_json::from_str(name.get()).ok(), value));
        }
        Ok(Members(members))
    }
}
