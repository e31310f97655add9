//! Why a turn would keep each tool, for people, without being one: the same decision, of which nothing is noted.
//!
//! One thing cannot be had otherwise: a conversation that is looked at is remembered for another hour, as after a turn.

use std::panic::AssertUnwindSafe;

use super::{
    Ask, Likeness, Pruner, Skipped,
    caches::Keep,
    decide::{Compared, Outcome, Weighed},
    scored::Always,
};
use crate::domain::{
    chat_request::{PermittedRequest, Selection},
    usage::Routing,
};

/// What a turn would decide about a request's tools.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    /// Which of the permitted tools would go on.
    pub selection: Selection,
    /// How they were compared; `None` where there are none.
    pub routing: Option<Routing>,
    /// Why all of them would go on, where they would.
    pub skipped: Option<Skipped>,
    /// One for each of the permitted tools, in their order.
    pub tools: Vec<Reading>,
}

/// What would become of one tool, and why.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// How much speaks for it this turn; `None` where nothing was compared.
    pub score: Option<f32>,
    /// Its place among those that have to compete, the best being 1; `None` for one that need not.
    pub rank: Option<usize>,
    /// Why it is kept; `None` for one that is not.
    pub kept: Option<Reason>,
}

/// Why a tool is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Nothing is pruned.
    Unpruned,
    /// It is useful whatever is asked.
    Core,
    /// The conversation has called it.
    Called,
    /// The user wrote its name.
    Named,
    /// It is among the best of this turn.
    Window,
    /// It is nearest in meaning to what was said.
    Meaning,
    /// So many tools are kept at least.
    Least,
    /// The conversation has it since an earlier turn.
    Conversation,
}

impl Pruner {
    /// What `choose_by` would decide, and why. Nothing is noted: no conversation, no count, nothing learnt.
    pub fn explain(
        &self,
        request: &PermittedRequest,
        ask: &Ask<'_>,
        likeness: Option<&Likeness>,
    ) -> Explained {
        let weighed = std::panic::catch_unwind(AssertUnwindSafe(|| {
            self.weigh(request, ask, likeness, Keep::No).map(|Weighed { outcome, .. }| outcome)
        }));
        let number = request.tools().len();
        match weighed {
            Ok(None) => Explained { routing: None, ..unpruned(None, 0) },
            Ok(Some(Outcome::Unpruned(skipped, _))) => unpruned(Some(skipped), number),
            Ok(Some(Outcome::Compared(compared))) => compared.explained(),
            Err(_) => unpruned(Some(Skipped::Error), number),
        }
    }
}

fn unpruned(skipped: Option<Skipped>, number: usize) -> Explained {
    let reading = Reading { score: None, rank: None, kept: Some(Reason::Unpruned) };
    Explained {
        selection: Selection::All,
        routing: Some(Routing::Keyword),
        skipped,
        tools: vec![reading; number],
    }
}

impl Compared {
    fn explained(self) -> Explained {
        let mut ranks = vec![None; self.scored.scores.len()];
        for (rank, place) in self.scored.ranked.iter().enumerate() {
            ranks[*place] = Some(rank);
        }
        let reading = |(place, rank): (usize, &Option<usize>)| Reading {
            score: Some(self.scored.scores[place]),
            rank: rank.map(|rank| rank + 1),
            kept: self.chosen.kept[place].then(|| self.reason(place, *rank)),
        };
        let tools = ranks.iter().enumerate().map(reading).collect();
        let skipped = (self.selection == Selection::All).then_some(Skipped::NoEvidence);
        Explained { tools, skipped, routing: Some(self.routing), selection: self.selection }
    }

    /// Why the tool is kept at this place, which it is.
    fn reason(&self, place: usize, rank: Option<usize>) -> Reason {
        let chosen = |rank: usize| match self.renewed.sizes {
            Some((window, _)) if rank < window => Reason::Window,
            Some(_) if self.scored.nearest.contains(&place) => Reason::Meaning,
            Some((_, any)) if rank < any => Reason::Least,
            _ => Reason::Conversation,
        };
        match self.scored.always[place] {
            Some(Always::Core) => Reason::Core,
            Some(Always::Called) => Reason::Called,
            Some(Always::Named) => Reason::Named,
            None => rank.map_or(Reason::Conversation, chosen),
        }
    }
}
