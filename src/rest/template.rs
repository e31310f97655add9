//! The path of a rule: literals and single-segment variables, `/v1/keys/{key_id}/toollist`.
//!
//! Multi-segment variables (`{name=keys/*}`) and verbs (`/{id}:cancel`) are refused: no route needs them, and a
//! matcher without them needs no backtracking within a segment.

/// A parsed path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Segment>);

/// What lies between two slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    /// This text, once decoded.
    Literal(String),
    /// Any text but none, which is the value of the field of this name.
    Variable(String),
}

impl Template {
    /// Parses a rule's path, or says what is wrong with it.
    pub(super) fn parse(path: &str) -> Result<Self, String> {
        let path = path.strip_prefix('/').ok_or("it does not start with `/`")?;
        let segments: Vec<Segment> = path.split('/').map(segment).collect::<Result<_, _>>()?;
        let template = Self(segments);
        let mut names: Vec<&str> = template.variables().collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(format!("the variable `{}` is there twice", pair[0])),
            None => Ok(template),
        }
    }

    /// The segments, from the left.
    pub(super) fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// The names of the variables, from the left.
    pub(super) fn variables(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|segment| match segment {
            Segment::Variable(name) => Some(name.as_str()),
            Segment::Literal(_) => None,
        })
    }

    /// The values of the variables in a path's decoded segments.
    pub(super) fn values<'p>(&self, path: &'p [String]) -> impl Iterator<Item = &'p String> {
        let both = self.0.iter().zip(path);
        both.filter(|(segment, _)| matches!(segment, Segment::Variable(_))).map(|(_, value)| value)
    }
}

fn segment(text: &str) -> Result<Segment, String> {
    if let Some(name) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        return match !name.is_empty() && name.chars().all(word) {
            true => Ok(Segment::Variable(name.to_owned())),
            false => Err(format!("`{text}` is no variable over one field and one segment")),
        };
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~' | ':');
    match !text.is_empty() && text.chars().all(plain) {
        true => Ok(Segment::Literal(text.to_owned())),
        false => Err(format!("`{text}` is no literal segment")),
    }
}
