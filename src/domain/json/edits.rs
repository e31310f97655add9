//! Cuts bytes out of a body and puts others in; what is not cut stays as it is.

use bytes::Bytes;

use super::Span;

/// Changes to one body. They do not overlap.
#[derive(Debug, Default)]
pub(crate) struct Edits(Vec<(Span, String)>);

impl Edits {
    /// Puts `text` in the place of `span`.
    pub(crate) fn replace(&mut self, span: Span, text: String) {
        self.0.push((span, text));
    }

    /// The places that go, where nothing was put in.
    pub(crate) fn into_cuts(mut self) -> Vec<Span> {
        self.0.sort_by_key(|(span, _)| span.start);
        self.0.into_iter().map(|(span, _)| span).collect()
    }

    /// Takes one place out.
    pub(crate) fn take(&mut self, span: Span) {
        self.cut(span.start, span.end);
    }

    /// Takes the marked elements out of a list of them (the members of an object, the elements of an array), each
    /// with one comma and the white space between: that before it, or, where nothing stays before it, that after
    /// it. White space next to the brackets stays, so that all that stays is as it was written.
    pub(crate) fn take_out(&mut self, elements: impl Iterator<Item = (Span, bool)>) {
        let mut before: Option<Span> = None;
        let mut leading: Option<usize> = None;
        let mut stays = false;
        for (span, gone) in elements {
            match (gone, before) {
                (true, Some(before)) if stays => self.cut(before.end, span.end),
                (true, _) => {
                    leading.get_or_insert(span.start);
                }
                (false, _) => {
                    if let Some(start) = leading.take() {
                        self.cut(start, span.start);
                    }
                    stays = true;
                }
            }
            before = Some(span);
        }
        if let (Some(start), Some(last)) = (leading, before) {
            self.cut(start, last.end);
        }
    }

    /// Takes places of a part of the body out of it.
    pub(crate) fn trim(&mut self, part: Span, cuts: Vec<Span>) {
        for cut in cuts {
            self.cut(part.start + cut.start, part.start + cut.end);
        }
    }

    /// The body with the changes in it: the very same buffer when there are none, else one new one.
    pub(crate) fn apply(mut self, body: Bytes) -> Bytes {
        if self.0.is_empty() {
            return body;
        }
        // Stable, so that what is put in where something else is cut comes before it.
        self.0.sort_by_key(|(span, _)| span.start);
        let cut: usize = self.0.iter().map(|(span, _)| span.end - span.start).sum();
        let added: usize = self.0.iter().map(|(_, text)| text.len()).sum();
        let mut spliced = Vec::with_capacity(body.len() - cut + added);
        let mut at = 0;
        for (span, text) in &self.0 {
            spliced.extend_from_slice(&body[at..span.start]);
            spliced.extend_from_slice(text.as_bytes());
            at = span.end;
        }
        spliced.extend_from_slice(&body[at..]);
        Bytes::from(spliced)
    }

    fn cut(&mut self, start: usize, end: usize) {
        self.0.push((Span { start, end }, String::new()));
    }
}
