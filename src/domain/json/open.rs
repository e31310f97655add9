//! Which containers are open while a value is skipped.
//!
//! A bit each in one word, so that the nesting of real requests never leaves a register. A recursive scanner would
//! be shorter, and hand its stack to whoever sends brackets.

/// The containers that a skipped value has open, outermost first: one bit each, whether it is an object.
#[derive(Debug, Default)]
pub(super) struct Open {
    pub(super) depth: usize,
    /// The innermost ones, the last of them in the lowest bit.
    bits: u64,
    /// Full words of those further out; real requests never get here.
    outer: Vec<u64>,
}

impl Open {
    #[inline]
    pub(super) fn push(&mut self, object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.outer.push(self.bits);
        }
        self.bits = self.bits << 1 | u64::from(object);
        self.depth += 1;
    }

    #[inline]
    pub(super) fn pop(&mut self) {
        self.depth -= 1;
        self.bits >>= 1;
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.bits = self.outer.pop().unwrap_or_default();
        }
    }

    #[inline]
    pub(super) fn innermost_is_object(&self) -> bool {
        self.bits & 1 == 1
    }
}
