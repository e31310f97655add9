//! No chain of calls gives a key more than its caller has: every call of every key of a lattice, judged by an oracle
//! that knows nothing of `covers`.
//!
//! The oracle asks what a key can do: which of all short names its lists let through, in which hours it works, how
//! much it may under this policy or that. Each call may give the caller's hand a new key; four calls are followed, and
//! whoever calls is taken to hold on to every key it ever got, which is more than any sequence can give it.

use super::*;
use crate::domain::key::Scope;

/// A place in a lattice: one index for each field.
type Point = [usize; 9];

const ALLOWED: usize = 0;
const DENIED: usize = 1;
const SCOPES: usize = 2;
const MODE: usize = 3;
const EXPIRY: usize = 4;
const LIMITS: usize = 5;

/// The values that each field takes. Where there can be none, none is the first.
struct Lattice {
    lists: [Vec<Option<Vec<String>>>; 2],
    scopes: Vec<Scopes>,
    modes: Vec<ToolMode>,
    expiries: Vec<Option<DateTime<Utc>>>,
    /// Requests, tokens a day and a week, tools kept.
    limits: [Vec<Option<i64>>; 4],
    policy: PolicyValues,
    compiled: Vec<Vec<Toollist>>,
}

/// What a key can do.
#[derive(PartialEq, Eq)]
struct Powers {
    /// Of `names`, a bit each.
    tools: u128,
    scopes: Vec<Scope>,
    lenience: u8,
    /// At `instants`.
    works: Vec<bool>,
    /// Under each policy, and at last the tools kept.
    amounts: Vec<i64>,
}

fn texts(lists: &[Option<&[&str]>]) -> Vec<Option<Vec<String>>> {
    let owned = |list: &&[&str]| list.iter().map(|&entry| entry.to_owned()).collect();
    lists.iter().map(|list| list.as_ref().map(owned)).collect()
}

fn time(day: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(day * 86_400, 0).unwrap()
}

/// Every name of up to four letters of three, and some that only look like one.
fn names() -> Vec<String> {
    let mut all = vec![String::new()];
    for length in 0..4 {
        let longest: Vec<_> = all.iter().filter(|name| name.len() == length).cloned().collect();
        all.extend(longest.iter().flat_map(|name| ["a", "A", "b"].map(|letter| format!("{name}{letter}"))));
    }
    all.extend(["ａ", "ａb", "a\u{200b}b", " ab", "c"].map(str::to_owned));
    assert!(all.len() <= 128);
    all
}

/// Every point below `sizes`.
fn points(sizes: Point) -> impl Iterator<Item = Point> {
    (0..sizes.iter().product()).map(move |mut number: usize| {
        sizes.map(|size| {
            let index = number % size;
            number /= size;
            index
        })
    })
}

impl Lattice {
    fn new(allowed: &[Option<&[&str]>], denied: &[Option<&[&str]>]) -> Self {
        let lists = [texts(allowed), texts(denied)];
        let with = |allowed: &Option<Vec<String>>| {
            let with = |denied: &Option<Vec<String>>| Toollist::new(allowed.clone(), denied.clone()).unwrap();
            lists[DENIED].iter().map(with).collect()
        };
        let compiled = lists[ALLOWED].iter().map(with).collect();
        Self {
            lists,
            compiled,
            scopes: vec![Scopes::all()],
            modes: vec![ToolMode::Filter],
            expiries: vec![None],
            limits: [(); 4].map(|()| vec![None]),
            policy: PolicyValues::default(),
        }
    }

    /// Tool lists of every kind, and nothing else.
    fn of_lists() -> Self {
        let none: &[&str] = &[];
        let allowed = [
            None,
            Some(none),
            Some(&["a"]),
            Some(&["A"]),
            Some(&["ab"]),
            Some(&["a*"]),
            Some(&["*b"]),
            Some(&["a*b"]),
            Some(&["a**b", "b"]),
            Some(&["*"]),
            Some(&["a", "b"]),
            Some(&["a*", "*b"]),
        ];
        let denied = [
            None,
            Some(none),
            Some(&["a"]),
            Some(&["AB"]),
            Some(&["a*"]),
            Some(&["*b"]),
            Some(&["a*", "b"]),
            Some(&["*"]),
            Some(&["ａ*"]),
        ];
        Self::new(&allowed, &denied)
    }

    /// A few values of every field.
    fn of_all_fields() -> Self {
        let keys = [Scope::Keys];
        Self {
            scopes: vec![
                keys.into_iter().collect(),
                keys.into_iter().chain([Scope::Chat]).collect(),
                [Scope::Usage].into_iter().collect(),
            ],
            modes: vec![ToolMode::Observe, ToolMode::Filter, ToolMode::Block],
            expiries: vec![None, Some(time(2))],
            limits: [vec![None, Some(5), Some(7), Some(9)], vec![None], vec![None], vec![None]],
            policy: PolicyValues { requests_per_minute: Some(7), ..PolicyValues::default() },
            ..Self::new(&[None, Some(&["a*"]), Some(&["ab"])], &[None, Some(&["ab"])])
        }
    }

    /// Limits and expiries of every kind, under a policy that is tighter than some.
    fn of_limits() -> Self {
        let limit = || vec![None, Some(5), Some(7), Some(9)];
        Self {
            expiries: vec![None, Some(time(1)), Some(time(2))],
            limits: [limit(), limit(), vec![None, Some(5), Some(7)], vec![None, Some(7)]],
            policy: PolicyValues {
                requests_per_minute: Some(7),
                daily_token_budget: Some(7),
                weekly_token_budget: Some(5),
                ..PolicyValues::default()
            },
            ..Self::new(&[None], &[None])
        }
    }

    fn sizes(&self) -> Point {
        let [rpm, day, week, kept] = self.limits.each_ref().map(Vec::len);
        let [allowed, denied] = self.lists.each_ref().map(Vec::len);
        [allowed, denied, self.scopes.len(), self.modes.len(), self.expiries.len(), rpm, day, week, kept]
    }

    fn key_at(&self, point: Point) -> Granted {
        Granted {
            scopes: self.scopes[point[SCOPES]],
            toollist: self.compiled[point[ALLOWED]][point[DENIED]].clone(),
            tool_mode: self.modes[point[MODE]],
            limits: self.limits_at(point),
            expires_at: self.expiries[point[EXPIRY]],
        }
    }

    fn limits_at(&self, point: Point) -> OwnLimits {
        let limit = |which: usize| self.limits[which][point[LIMITS + which]];
        OwnLimits {
            rate_limit_rpm: limit(0),
            daily_token_budget: limit(1),
            weekly_token_budget: limit(2),
            k_target_override: limit(3),
        }
    }

    /// Where a key is in the lattice, which must hold it.
    fn place_of(&self, key: &Granted) -> Point {
        fn of<T: PartialEq>(all: &[T], one: &T) -> usize {
            all.iter().position(|other| other == one).expect("the lattice is closed")
        }
        let limits = key.limits;
        [
            of(&self.lists[ALLOWED], &key.toollist.allowed().map(<[String]>::to_vec)),
            of(&self.lists[DENIED], &key.toollist.denied().map(<[String]>::to_vec)),
            of(&self.scopes, &key.scopes),
            of(&self.modes, &key.tool_mode),
            of(&self.expiries, &key.expires_at),
            of(&self.limits[0], &limits.rate_limit_rpm),
            of(&self.limits[1], &limits.daily_token_budget),
            of(&self.limits[2], &limits.weekly_token_budget),
            of(&self.limits[3], &limits.k_target_override),
        ]
    }

    /// Everything that `CreateKey` can be asked for: each field a value, or left out.
    fn requests(&self) -> impl Iterator<Item = Point> {
        let mut sizes = self.sizes();
        // The others are left out where they are none.
        sizes[SCOPES] += 1;
        sizes[MODE] += 1;
        points(sizes)
    }

    fn wanted(&self, request: Point, caller: &Granted) -> Wanted {
        let list = |which: usize| self.lists[which][request[which]].clone().map(Some);
        Wanted {
            scopes: request[SCOPES].checked_sub(1).map(|index| self.scopes[index]),
            toollist: caller.toollist.replaced(list(ALLOWED), list(DENIED)).unwrap(),
            tool_mode: request[MODE].checked_sub(1).map(|index| self.modes[index]),
            limits: self.limits_at(request),
            expires_at: self.expiries[request[EXPIRY]],
        }
    }

    /// What an update of one field makes of a key: another value of it, none included.
    fn changes(&self, key: Point) -> impl Iterator<Item = Point> {
        let sizes = self.sizes();
        let field = move |field: usize| (0..sizes[field]).map(move |value| (field, value));
        (0..sizes.len()).flat_map(field).map(move |(field, value)| {
            let mut changed = key;
            changed[field] = value;
            changed
        })
    }

    fn number(&self, point: Point) -> usize {
        point.iter().zip(self.sizes()).rev().fold(0, |number, (index, size)| number * size + index)
    }
}

impl Powers {
    fn of(key: &Granted, names: &[String]) -> Self {
        let passes = |name: &String| key.tool_mode == ToolMode::Observe || key.toollist.permits(name);
        let bit = |(at, name)| u128::from(passes(name)) << at;
        // A policy can be changed at any time: nothing may hang on what it is today.
        let under = |policy: i64| {
            let own = key.limits;
            let own = [own.rate_limit_rpm, own.daily_token_budget, own.weekly_token_budget];
            own.map(|own| own.unwrap_or(i64::MAX).min(policy))
        };
        // Not held against the policy, whose window is a default that a key may go beyond.
        let kept = key.limits.k_target_override.unwrap_or(i64::MAX);
        Self {
            tools: names.iter().enumerate().map(bit).fold(0, |all, bit| all | bit),
            scopes: Scope::ALL.into_iter().filter(|scope| key.scopes.contains(*scope)).collect(),
            lenience: match key.tool_mode {
                ToolMode::Block => 0,
                ToolMode::Filter => 1,
                ToolMode::Observe => 2,
            },
            works: (0..4).map(|day| key.expires_at.is_none_or(|at| time(day) < at)).collect(),
            amounts: [0, 4, 6, 8, i64::MAX].into_iter().flat_map(under).chain([kept]).collect(),
        }
    }

    fn within(&self, other: &Powers) -> bool {
        self.tools & !other.tools == 0
            && self.scopes.iter().all(|scope| other.scopes.contains(scope))
            && self.lenience <= other.lenience
            && self.works.iter().zip(&other.works).all(|(mine, theirs)| !mine || *theirs)
            && self.amounts.iter().zip(&other.amounts).all(|(mine, theirs)| mine <= theirs)
    }
}

/// Every key, what it can do, and which keys it can bring about with one call, as bits.
struct Walk {
    keys: Vec<Granted>,
    powers: Vec<Powers>,
    makes: Vec<Vec<u64>>,
    granted: usize,
    refused: usize,
}

impl Walk {
    fn of(lattice: &Lattice) -> Self {
        let names = names();
        let keys: Vec<Granted> = points(lattice.sizes()).map(|point| lattice.key_at(point)).collect();
        let powers = keys.iter().map(|key| Powers::of(key, &names)).collect();
        let makes = vec![vec![0; keys.len().div_ceil(64)]; keys.len()];
        let mut walk = Self { keys, powers, makes, granted: 0, refused: 0 };
        for caller in 0..walk.keys.len() {
            // What the guard asks for before any of this.
            if walk.keys[caller].scopes.contains(Scope::Keys) {
                walk.create(lattice, caller);
                walk.change(lattice, caller);
            }
        }
        walk
    }

    fn create(&mut self, lattice: &Lattice, caller: usize) {
        for request in lattice.requests() {
            let key = &self.keys[caller];
            let made = lattice.wanted(request, key).granted(Some(key.holding()), &lattice.policy);
            let made = made.map(|made| lattice.number(lattice.place_of(&made))).ok();
            self.told(caller, made, "made");
        }
    }

    fn change(&mut self, lattice: &Lattice, caller: usize) {
        for before in points(lattice.sizes()) {
            for after in lattice.changes(before) {
                let (before, after) = (lattice.number(before), lattice.number(after));
                let [held, was, is] = [caller, before, after].map(|key| self.keys[key].holding());
                let may = may_change(Some(held), &lattice.policy, &was, &is).is_ok();
                if may {
                    assert!(self.powers[before].within(&self.powers[caller]), "{held:?} took {was:?} over");
                }
                self.told(caller, may.then_some(after), "changed");
            }
        }
    }

    fn told(&mut self, caller: usize, key: Option<usize>, what: &str) {
        let Some(key) = key else {
            self.refused += 1;
            return;
        };
        self.granted += 1;
        let within = self.powers[key].within(&self.powers[caller]);
        assert!(within, "{:?} has {what} {:?}", self.keys[caller], self.keys[key]);
        self.makes[caller][key / 64] |= 1 << (key % 64);
    }

    /// Whoever starts with a key and calls four times, each time with any key that it got.
    fn follow_four_calls(&self) {
        for start in 0..self.keys.len() {
            let mut held = vec![0_u64; self.makes[start].len()];
            held[start / 64] |= 1 << (start % 64);
            for _ in 0..4 {
                for caller in self.among(&held.clone()) {
                    held.iter_mut().zip(&self.makes[caller]).for_each(|(held, made)| *held |= made);
                }
            }
            for key in self.among(&held) {
                let within = self.powers[key].within(&self.powers[start]);
                assert!(within, "{:?} came to {:?}", self.keys[start], self.keys[key]);
            }
        }
    }

    fn among(&self, set: &[u64]) -> impl Iterator<Item = usize> {
        (0..self.keys.len()).filter(|key| set[key / 64] & (1 << (key % 64)) != 0)
    }
}

fn nothing_is_gained_in(lattice: &Lattice) {
    let walk = Walk::of(lattice);
    walk.follow_four_calls();
    // Neither a lattice of equals nor one that refuses everything would show anything.
    assert!(walk.granted > 1_000 && walk.refused > 1_000, "{} and {}", walk.granted, walk.refused);
    let itself = |key: &usize| walk.makes[*key][key / 64] & (1 << (key % 64)) != 0;
    let callers = (0..walk.keys.len()).filter(|key| walk.keys[*key].scopes.contains(Scope::Keys));
    assert!(callers.into_iter().all(|key| itself(&key)), "every caller may at least repeat itself");
}

#[test]
fn no_chain_of_calls_gives_a_key_more_tools() {
    nothing_is_gained_in(&Lattice::of_lists());
}

#[test]
fn no_chain_of_calls_gives_a_key_more_of_anything() {
    nothing_is_gained_in(&Lattice::of_all_fields());
}

#[test]
fn no_chain_of_calls_gives_a_key_higher_limits_or_a_longer_life() {
    nothing_is_gained_in(&Lattice::of_limits());
}

#[test]
fn an_operator_is_bound_by_nothing() {
    let lattice = Lattice::of_all_fields();
    let unbound = Granted {
        scopes: Scopes::all(),
        toollist: Toollist::unbound(),
        tool_mode: ToolMode::Filter,
        limits: OwnLimits::default(),
        expires_at: None,
    };
    for request in lattice.requests() {
        let wanted = lattice.wanted(request, &unbound);
        let made = wanted.clone().granted(None, &lattice.policy).unwrap();
        assert_eq!((&made.toollist, made.limits), (&wanted.toollist, wanted.limits));
    }
    let [bound, free] =
        [Point::from([1, 1, 0, 2, 1, 1, 0, 0, 0]), Point::default()].map(|point| lattice.key_at(point));
    assert_eq!(may_change(None, &lattice.policy, &bound.holding(), &free.holding()), Ok(()));
}
