//! An index over the tools of one request: which tools a term points to, and how strongly.
//!
//! Made once for a set of tools and kept by the hash of it; agents offer the same tools turn after turn. All that
//! does not depend on the conversation is worked out here, so that choosing is a few thousand additions. BM25 with
//! a length norm for each field (Robertson and Zaragoza, 2009); rarity (idf) is counted over this request's tools.

use std::{collections::HashMap, sync::Arc};

use super::{
    identity::name_hash,
    tool::{FIELDS, Field, Tool},
    words::{PassThrough, Term},
};

/// Saturation of repeated terms, how much length counts, and a usual length, by field. Chosen on development data.
const K1: [f32; FIELDS] = [0.8, 1.2, 1.2, 1.2, 1.5, 1.5, 0.8];
const B: [f32; FIELDS] = [0.3, 0.5, 0.6, 0.6, 0.7, 0.7, 0.3];
const USUAL: [f32; FIELDS] = [3.2, 9.0, 18.0, 6.0, 30.0, 6.0, 12.0];

/// A tool that holds a term in one field, and what that is worth.
#[derive(Debug, Clone, Copy)]
pub(super) struct Posting {
    pub(super) tool: u16,
    pub(super) field: u8,
    pub(super) impact: f32,
}

/// Where the postings of a term lie, and how rare it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    start: u32,
    end: u32,
    pub(super) idf: f32,
}

/// For each tool its share of each term, by the number of the term; and the same by term.
type Vectors = Box<[Box<[(u32, f32)]>]>;
type ByTerm = Box<[Box<[(u16, f32)]>]>;

/// The tools of a request, ready to be chosen from.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) tools: Box<[Arc<Tool>]>,
    terms: HashMap<Term, Entry, PassThrough>,
    postings: Box<[Posting]>,
    grams: HashMap<u32, Entry, PassThrough>,
    gram_tools: Box<[u16]>,
    /// The length of each tool's vector of character groups.
    pub(super) gram_norms: Box<[f32]>,
    /// Each tool as a vector of length one over the terms that tell what it is about, and the same by term.
    vectors: Vectors,
    vector_tools: ByTerm,
    /// For each tool the tools whose name speaks of a parameter that it requires.
    pub(super) suppliers: Box<[Box<[u16]>]>,
    /// For each tool the hash of its definition, and of its name.
    pub(super) ids: Box<[u64]>,
    pub(super) name_hashes: Box<[u64]>,
    /// The tool of each name.
    names: HashMap<u64, u16, PassThrough>,
    bytes: usize,
}

impl Index {
    /// An index over these tools, at most 65,535; `ids` are the hashes of their definitions, `names` their decoded
    /// names. Of several tools of one name the first is found by it.
    pub(super) fn new(tools: Vec<Arc<Tool>>, ids: Box<[u64]>, names: &[&str]) -> Self {
        let (terms, postings) = inverted(&tools);
        let (grams, gram_tools) = inverted_grams(&tools);
        let norm = |tool: &Arc<Tool>| {
            let squares = tool
                .grams
                .iter()
                .filter_map(|gram| grams.get(gram))
                .map(|entry: &Entry| entry.idf * entry.idf);
            squares.sum::<f32>().sqrt().max(1e-3)
        };
        let gram_norms: Box<[f32]> = tools.iter().map(norm).collect();
        let vectors = vectors(&tools, &terms);
        let name_hashes: Box<[u64]> = names.iter().map(|name| name_hash(name)).collect();
        let mut index = Self {
            vector_tools: transposed(&vectors),
            vectors,
            suppliers: Box::default(),
            names: (0..name_hashes.len()).rev().map(|place| (name_hashes[place], place as u16)).collect(),
            name_hashes,
            ids,
            tools: tools.into(),
            terms,
            postings,
            grams,
            gram_tools,
            gram_norms,
            bytes: 0,
        };
        index.suppliers = (0..index.tools.len()).map(|tool| index.suppliers_of(tool)).collect();
        index.bytes = index.weigh();
        index
    }

    /// How rare a term is among these tools; `None` where no tool has it.
    pub(super) fn term(&self, term: Term) -> Option<&Entry> {
        self.terms.get(&term)
    }

    pub(super) fn postings(&self, entry: &Entry) -> &[Posting] {
        &self.postings[entry.start as usize..entry.end as usize]
    }

    pub(super) fn gram(&self, gram: u32) -> Option<(&Entry, &[u16])> {
        let entry = self.grams.get(&gram)?;
        Some((entry, &self.gram_tools[entry.start as usize..entry.end as usize]))
    }

    /// Adds to `kin`, for every tool, how much it is about what `tool` is about, times `weight`.
    pub(super) fn add_kin(&self, tool: usize, weight: f32, kin: &mut [f32]) {
        for (term, share) in &self.vectors[tool] {
            for (other, other_share) in &self.vector_tools[*term as usize] {
                kin[usize::from(*other)] += weight * share * other_share;
            }
        }
    }

    /// The tool of this name, whatever its case.
    pub(super) fn named(&self, name: &str) -> Option<usize> {
        self.names.get(&name_hash(name)).map(|place| usize::from(*place))
    }

    /// How many bytes of memory it takes, about, its tools included.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn weigh(&self) -> usize {
        let tools: usize = self.tools.iter().map(|tool| tool.bytes()).sum();
        let suppliers: usize = self.suppliers.iter().map(|list| 16 + list.len() * 2).sum();
        tools
            + suppliers
            + self.terms.capacity() * (size_of::<(Term, Entry)>() + 1)
            + self.grams.capacity() * (size_of::<(u32, Entry)>() + 1)
            + self.postings.len() * size_of::<Posting>()
            + self.gram_tools.len() * 2
            + self.vectors.iter().map(|vector| 32 + vector.len() * 16).sum::<usize>()
            + self.names.capacity() * 17
            + self.ids.len() * 16
    }

    /// Tools that may bring what `tool` requires: `find_user_id_by_email` for `user_id`.
    fn suppliers_of(&self, tool: usize) -> Box<[u16]> {
        let mut found = Vec::new();
        for wanted in &self.tools[tool].required {
            let rarest = wanted
                .iter()
                .filter_map(|term| self.term(*term))
                .max_by(|one, other| one.idf.total_cmp(&other.idf));
            let (Some(rarest), true) = (rarest, !wanted.is_empty()) else { continue };
            let named = self.postings(rarest).iter().filter(|posting| posting.field == Field::Name as u8);
            found.extend(named.map(|posting| posting.tool).filter(|other| {
                let other_tool = &self.tools[usize::from(*other)];
                usize::from(*other) != tool
                    && wanted.iter().all(|term| other_tool.name.contains(term))
                    && !wanted
                        .iter()
                        .all(|term| other_tool.required.iter().flatten().any(|mine| mine == term))
            }));
        }
        found.sort_unstable();
        found.dedup();
        found.into()
    }
}

/// Robertson's rarity, never below zero.
fn idf(tools: usize, holding: usize) -> f32 {
    let (tools, holding) = (tools as f32, holding as f32);
    (1.0 + (tools - holding + 0.5) / (holding + 0.5)).ln()
}

fn inverted(tools: &[Arc<Tool>]) -> (HashMap<Term, Entry, PassThrough>, Box<[Posting]>) {
    let mut all: Vec<(Term, Posting)> = Vec::with_capacity(tools.len() * 64);
    for (place, tool) in (0..).zip(tools) {
        for (field, terms) in tool.fields.iter().enumerate() {
            let length = f32::from(tool.lengths[field]) / USUAL[field];
            let (k1, b) = (K1[field], B[field]);
            for (term, count) in terms {
                let count = f32::from(*count);
                let impact = count * (k1 + 1.0) / (count + k1 * (1.0 - b + b * length));
                all.push((*term, Posting { tool: place, field: field as u8, impact }));
            }
        }
    }
    all.sort_unstable_by_key(|(term, posting)| (*term, posting.tool, posting.field));
    let mut terms = HashMap::with_hasher(PassThrough);
    let mut start = 0;
    for group in all.chunk_by(|(one, _), (other, _)| one == other) {
        let holding = group.chunk_by(|(_, one), (_, other)| one.tool == other.tool).count();
        let end = start + group.len();
        terms.insert(
            group[0].0,
            Entry { start: start as u32, end: end as u32, idf: idf(tools.len(), holding) },
        );
        start = end;
    }
    (terms, all.into_iter().map(|(_, posting)| posting).collect())
}

/// What each tool is about: the terms of its name, its summary and its parameters that not every third tool has.
fn vectors(tools: &[Arc<Tool>], terms: &HashMap<Term, Entry, PassThrough>) -> Vectors {
    let common = idf(tools.len(), tools.len() / 3 + 1);
    let mut numbers: HashMap<Term, u32, PassThrough> = HashMap::with_hasher(PassThrough);
    let vectors = tools.iter().map(|tool| {
        let mut vector: Vec<(u32, f32)> = Vec::new();
        for (field, weight) in [(Field::Name, 1.5), (Field::Summary, 1.0), (Field::Parameters, 1.0)] {
            for (term, _) in &tool.fields[field as usize] {
                let idf = terms.get(term).map_or(0.0, |entry| entry.idf);
                if idf > common {
                    let next = numbers.len() as u32;
                    vector.push((*numbers.entry(*term).or_insert(next), idf * weight));
                }
            }
        }
        vector.sort_unstable_by_key(|(term, _)| *term);
        vector.dedup_by(|other, kept| {
            let same = other.0 == kept.0;
            if same {
                kept.1 += other.1;
            }
            same
        });
        let norm = vector.iter().map(|(_, share)| share * share).sum::<f32>().sqrt().max(1e-3);
        vector.iter_mut().for_each(|(_, share)| *share /= norm);
        vector.into_boxed_slice()
    });
    vectors.collect()
}

/// The same vectors by term.
fn transposed(vectors: &Vectors) -> ByTerm {
    let terms = vectors.iter().flatten().map(|(term, _)| *term as usize + 1).max().unwrap_or_default();
    let mut tools = vec![Vec::new(); terms];
    for (place, vector) in (0..).zip(vectors) {
        for (term, share) in vector {
            tools[*term as usize].push((place, *share));
        }
    }
    tools.into_iter().map(Vec::into_boxed_slice).collect()
}

fn inverted_grams(tools: &[Arc<Tool>]) -> (HashMap<u32, Entry, PassThrough>, Box<[u16]>) {
    let mut all: Vec<(u32, u16)> = Vec::with_capacity(tools.len() * 128);
    for (place, tool) in (0..).zip(tools) {
        all.extend(tool.grams.iter().map(|gram| (*gram, place)));
    }
    all.sort_unstable();
    let mut grams = HashMap::with_hasher(PassThrough);
    let mut start = 0;
    for group in all.chunk_by(|(one, _), (other, _)| one == other) {
        let end = start + group.len();
        grams.insert(
            group[0].0,
            Entry { start: start as u32, end: end as u32, idf: idf(tools.len(), group.len()) },
        );
        start = end;
    }
    (grams, all.into_iter().map(|(_, tool)| tool).collect())
}
