//! What passes a list, what is refused as one, and which list lies within which.

use proptest::{collection::vec, option, prelude::*};

use super::*;

fn names(names: &[&str]) -> Option<Vec<String>> {
    Some(names.iter().map(|&name| name.to_owned()).collect())
}

fn allow(entries: &[&str]) -> Toollist {
    Toollist::new(names(entries), None).unwrap()
}

fn deny(entries: &[&str]) -> Toollist {
    Toollist::new(None, names(entries)).unwrap()
}

#[test]
fn without_lists_everything_passes() {
    assert!(Toollist::unbound().permits("anything"));
    assert_eq!(Toollist::new(None, None).unwrap(), Toollist::unbound());
}

#[test]
fn an_empty_allowlist_lets_nothing_through_and_an_empty_denylist_everything() {
    assert!(!allow(&[]).permits("get_weather"));
    assert!(!allow(&[]).permits(""));
    assert!(deny(&[]).permits("get_weather"));
    assert_ne!(deny(&[]), Toollist::unbound(), "an empty list is still a list");
}

#[test]
fn allowed_names_match_exactly() {
    let list = allow(&["get_weather", "github_*"]);
    assert!(list.permits("get_weather"));
    assert!(list.permits("github_get"));
    for other in ["Get_Weather", "get_weather ", "get\u{200b}_weather", "ｇet_weather", "GitHub_get", ""] {
        assert!(!list.permits(other), "{other:?}");
    }
}

#[test]
fn denied_names_match_under_every_spelling() {
    let list = deny(&["Delete_File", "Git\u{200b}Hub_*"]);
    for other in
        ["delete_file", "DELETE_FILE", " delete_file", "ｄelete_file", "delete\u{ad}_file", "github_X"]
    {
        assert!(!list.permits(other), "{other:?}");
    }
    assert!(list.permits("delete_files"));
}

#[test]
fn denied_wins_over_allowed() {
    let list = Toollist::new(names(&["*"]), names(&["a"])).unwrap();
    assert!(!list.permits("a"));
    assert!(!list.permits("A"));
    assert!(list.permits("b"));
}

#[test]
fn every_bad_entry_is_named_at_once() {
    let long = "x".repeat(257);
    let violations =
        Toollist::new(names(&["ok", "", &long, "a\nb"]), names(&["ok", "\u{200b}", "", "a\u{7}b"]))
            .unwrap_err();
    let fields: Vec<_> = violations.as_slice().iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(
        fields,
        ["allowed_tools[1]", "allowed_tools[2]", "allowed_tools[3]", "denied_tools[1]", "denied_tools[2]"]
    );
    assert!(Toollist::new(names(&[&"é".repeat(256)]), None).is_ok(), "characters count, not bytes");
}

#[test]
fn a_huge_bad_list_is_answered_briefly() {
    let violations = Toollist::new(Some(vec![String::new(); 100_000]), None).unwrap_err();
    assert_eq!(violations.as_slice().len(), 22);
    assert!(violations.to_string().contains("has 100000 names"));
    assert!(violations.to_string().contains("99980 more"));
    assert!(Toollist::new(Some(vec!["a".to_owned(); 1_001]), None).is_err());
    assert!(Toollist::new(Some(vec!["a".to_owned(); 1_000]), None).is_ok());
}

#[test]
fn entries_come_back_as_they_were_given() {
    let list = Toollist::new(names(&["b", "a", "b"]), names(&["Ｘ", "*"])).unwrap();
    assert_eq!(list.allowed().unwrap(), ["b", "a", "b"]);
    assert_eq!(list.denied().unwrap(), ["Ｘ", "*"]);
    assert_eq!(
        format!("{list:?}"),
        r#"Toollist { allowed: Some(["b", "a", "b"]), denied: Some(["Ｘ", "*"]) }"#
    );
}

#[test]
fn a_list_covers_what_lies_within_it() {
    let unbound = Toollist::unbound();
    let both = |allowed: &[&str], denied: &[&str]| Toollist::new(names(allowed), names(denied)).unwrap();
    for (outer, inner, expected) in [
        (unbound.clone(), unbound.clone(), true),
        (unbound.clone(), allow(&["a"]), true),
        (allow(&["a"]), unbound.clone(), false),
        (allow(&[]), allow(&[]), true),
        (allow(&["a", "b"]), allow(&["a"]), true),
        (allow(&["a"]), allow(&["a", "b"]), false),
        (allow(&["a"]), allow(&["A"]), false),
        (allow(&["github_*"]), allow(&["github_get", "github_get_*", "github_*"]), true),
        (allow(&["github_*"]), allow(&["git*"]), false),
        (allow(&["github_*"]), allow(&["*"]), false),
        (allow(&["a*c"]), allow(&["a*bc", "ac", "a**c"]), true),
        (allow(&["a*c"]), allow(&["a*"]), false),
        (allow(&["a**c"]), allow(&["a*c"]), true),
        (allow(&["a**c"]), allow(&["a**c"]), true),
        (deny(&["a"]), unbound.clone(), false),
        (deny(&[]), unbound.clone(), true),
        (unbound.clone(), deny(&["a"]), true),
        (deny(&["a"]), deny(&["A", "b"]), true),
        (deny(&["a*"]), deny(&["a"]), false),
        (deny(&["a"]), deny(&["a*"]), true),
        (deny(&["a", "b"]), deny(&["*"]), true),
        (both(&["a"], &["b"]), both(&["a"], &["b"]), true),
        (both(&["a*"], &["ab"]), allow(&["a"]), false),
    ] {
        assert_eq!(outer.covers(&inner), expected, "{outer:?} {inner:?}");
    }
}

fn lists() -> impl Strategy<Value = Toollist> {
    let entries = || option::of(vec("[aAb*]{1,4}", 0..4));
    (entries(), entries()).prop_map(|(allowed, denied)| Toollist::new(allowed, denied).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn what_a_covered_list_permits_is_permitted(a in lists(), b in lists(), names in vec("[aAbB]{0,5}", 12)) {
        prop_assert!(a.covers(&a));
        if a.covers(&b) {
            for name in names {
                prop_assert!(!b.permits(&name) || a.permits(&name), "{name}");
            }
        }
    }

    #[test]
    fn covering_carries_over(a in lists(), b in lists(), c in lists()) {
        prop_assert!(!(a.covers(&b) && b.covers(&c)) || a.covers(&c));
    }

    #[test]
    fn a_denied_name_passes_under_no_list(allowed in option::of(vec("[a-c*]{1,3}", 0..4)), name in "[a-cA-C]{1,6}") {
        let list = Toollist::new(allowed, Some(vec![name.clone()])).unwrap();
        prop_assert!(!list.permits(&name));
        prop_assert!(!list.permits(&name.to_uppercase()));
    }
}

#[test]
fn a_list_within_another_passes_what_both_pass() {
    let list = |allowed: &[&str], denied: &[&str]| Toollist::new(names(allowed), names(denied)).unwrap();
    let outer = list(&["a*"], &["ab"]);
    let inner = list(&["*c", "ab"], &[]).within(&outer);
    for (name, passes) in [("ac", true), ("c", false), ("ab", false), ("a", false), ("abc", true)] {
        assert_eq!(inner.permits(name), passes, "{name}");
    }
    assert!(inner.denies("AB") && inner.denies_some() && !inner.permits_all());
    assert_eq!(inner.patterns(), 2);
    assert!(outer.covers(&inner) && inner.covers(&inner) && !inner.covers(&outer));
    assert!(inner.covers(&list(&["ac"], &["ab"])), "both cover it");
    assert!(!inner.covers(&list(&["c"], &["ab"])), "the outer one does not");
    assert!(!inner.covers(&list(&["ad"], &["ab"])), "the inner one does not");
    assert!(!inner.covers(&allow(&["ac"])), "a denied entry is gone");
    assert_ne!(inner, list(&["*c", "ab"], &[]));
    assert_eq!(Toollist::unbound().within(&outer), outer);
    assert_eq!(outer.within(&Toollist::unbound()), outer);
    let deeper = deny(&["acc"]).within(&inner);
    for (name, passes) in [("ac", true), ("acc", false), ("ab", false), ("ad", false)] {
        assert_eq!(deeper.permits(name), passes, "{name}");
    }
}
