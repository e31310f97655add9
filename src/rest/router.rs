//! From a verb and a path to a binding: a tree of segments, literals before variables.
//!
//! A path that several templates match (`/keys/{id}` and `/keys/mine`) belongs to the first that has the verb;
//! what a path takes (`Allow`) is the sum of all of them.

use foldhash::{HashMap, HashMapExt};
use http::Method as Verb;

use super::{
    bindings::{Binding, BindingError, BindingProblem},
    percent,
    refusal::Refusal,
    template::Segment,
};

/// Every binding, found by path.
#[derive(Debug)]
pub(super) struct Router {
    bindings: Vec<Binding>,
    /// The root is the first.
    nodes: Vec<Node>,
    /// How many segments the longest template has.
    longest: usize,
    /// The paths that are found as they stand, since nothing but literals can match them: where they lead. Hashed quickly,
    /// as no client adds to it.
    plain: HashMap<String, usize>,
}

#[derive(Debug, Default)]
struct Node {
    literals: HashMap<String, usize>,
    variable: Option<usize>,
    /// The bindings that end here, each with another verb.
    ends: Vec<usize>,
}

impl Router {
    /// Takes the bindings, none of which may match the same requests as another.
    pub(super) fn new(bindings: Vec<Binding>) -> Result<Self, BindingError> {
        let mut router =
            Self { bindings: Vec::new(), nodes: vec![Node::default()], longest: 0, plain: HashMap::new() };
        for binding in bindings {
            router.add(binding)?;
        }
        router.plain = router.plain_paths();
        Ok(router)
    }

    /// Every binding, in the order of the descriptors.
    pub(super) fn bindings(&self) -> &[Binding] {
        &self.bindings
    }

    /// The binding of a request, with the decoded values of the path's variables.
    pub(super) fn find(&self, verb: &Verb, path: &str) -> Result<(&Binding, Vec<String>), Refusal> {
        if let Some(index) = self.plain.get(path).filter(|index| self.bindings[**index].verb == *verb) {
            return Ok((&self.bindings[*index], Vec::new()));
        }
        let not_found = || Refusal::RouteNotFound { verb: verb.clone(), path: path.to_owned() };
        let segments = self.segments(path).ok_or_else(not_found)?;
        let mut ends = Vec::new();
        self.collect(0, &segments, &mut ends);
        let matches: Vec<&Binding> = ends.iter().map(|&index| &self.bindings[index]).collect();
        if matches.is_empty() {
            return Err(not_found());
        }
        let wanted = if verb == Verb::HEAD { &Verb::GET } else { verb };
        match matches.iter().find(|binding| binding.verb == *wanted) {
            Some(binding) => Ok((binding, binding.template.values(&segments).cloned().collect())),
            None => Err(Refusal::MethodNotAllowed {
                verb: verb.clone(),
                path: path.to_owned(),
                allow: allow(&matches),
            }),
        }
    }

    /// Each path without variables that only one binding matches, which is most of those that are asked often.
    fn plain_paths(&self) -> HashMap<String, usize> {
        let mut plain = HashMap::new();
        for (index, binding) in self.bindings.iter().enumerate() {
            let literal = |segment: &Segment| match segment {
                Segment::Literal(text) => Some(text.clone()),
                Segment::Variable(_) => None,
            };
            let Some(segments) = binding.template.segments().iter().map(literal).collect::<Option<Vec<_>>>()
            else {
                continue;
            };
            let mut ends = Vec::new();
            self.collect(0, &segments, &mut ends);
            let path = format!("/{}", segments.join("/"));
            if ends == [index] && self.segments(&path).is_some_and(|read| read == segments) {
                plain.insert(path, index);
            }
        }
        plain
    }

    fn add(&mut self, binding: Binding) -> Result<(), BindingError> {
        let mut at = 0;
        for segment in binding.template.segments() {
            let next = self.nodes.len();
            let child = match segment {
                Segment::Literal(text) => *self.nodes[at].literals.entry(text.clone()).or_insert(next),
                Segment::Variable(_) => *self.nodes[at].variable.get_or_insert(next),
            };
            if child == next {
                self.nodes.push(Node::default());
            }
            at = child;
        }
        let same_verb = self.nodes[at].ends.iter().find(|&&index| self.bindings[index].verb == binding.verb);
        if let Some(&index) = same_verb {
            let other = self.bindings[index].method.descriptor.full_name().to_owned();
            let problem = BindingProblem::Collision { verb: binding.verb, path: binding.path, other };
            return Err(BindingError { method: binding.method.descriptor.full_name().to_owned(), problem });
        }
        self.nodes[at].ends.push(self.bindings.len());
        self.longest = self.longest.max(binding.template.segments().len());
        self.bindings.push(binding);
        Ok(())
    }

    /// The segments, each decoded once, of a path that is short enough to be bound.
    fn segments(&self, path: &str) -> Option<Vec<String>> {
        let path = path.strip_prefix('/')?;
        let pieces: Vec<&str> = path.splitn(self.longest + 1, '/').collect();
        if pieces.len() > self.longest {
            return None;
        }
        pieces.into_iter().map(percent::decode).collect()
    }

    /// What ends where `segments` lead. As deep as the longest template.
    fn collect(&self, node: usize, segments: &[String], ends: &mut Vec<usize>) {
        let node = &self.nodes[node];
        let Some((first, rest)) = segments.split_first() else {
            ends.extend(&node.ends);
            return;
        };
        if let Some(&child) = node.literals.get(first) {
            self.collect(child, rest, ends);
        }
        if let Some(child) = node.variable.filter(|_| !first.is_empty()) {
            self.collect(child, rest, ends);
        }
    }
}

/// In one order, whatever that of the rules.
fn allow(bindings: &[&Binding]) -> Vec<Verb> {
    let order = [Verb::GET, Verb::HEAD, Verb::POST, Verb::PUT, Verb::PATCH, Verb::DELETE];
    let bound = |verb: &Verb| bindings.iter().any(|binding| binding.verb == *verb);
    order.into_iter().filter(|verb| bound(verb) || (*verb == Verb::HEAD && bound(&Verb::GET))).collect()
}
