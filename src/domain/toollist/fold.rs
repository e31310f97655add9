//! The form in which two names that a reader, or a lenient parser, may take for the same are the same.
//!
//! The denylist compares in this form and so do the members that decide something in a request: what Orqen takes
//! for two names must not be one name to anybody behind it. Close to Unicode's `NFKC_Casefold` (UAX #31, UTS #46),
//! which no crate at hand offers as a whole, so its steps are repeated until nothing changes.

use std::borrow::Cow;

use icu_casemap::CaseMapper;
use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{DefaultIgnorableCodePoint, GeneralCategory},
};

/// One step can uncover work for another: a taken-out joiner lets two characters compose, a composed one folds.
/// Two rounds settle every string known to us; the bound is there so that no string can make it endless.
const ROUNDS: usize = 8;

/// The folded form of `name`: NFKC, full case folding, without control, format and default-ignorable characters
/// and without white space at its ends. Borrows when the name is folded already, as nearly every name is.
pub(crate) fn fold(name: &str) -> Cow<'_, str> {
    if name.is_ascii() {
        return fold_ascii(name);
    }
    let mut folded = fold_once(name);
    for _ in 1..ROUNDS {
        let next = fold_once(&folded);
        if next == folded {
            break;
        }
        folded = next;
    }
    Cow::Owned(folded)
}

/// NFKC leaves ASCII alone, and its case folding is its lower case.
fn fold_ascii(name: &str) -> Cow<'_, str> {
    // Without an early exit, so that it is done with vectors.
    let unsettled = |byte: &u8| byte.is_ascii_uppercase() | byte.is_ascii_control();
    if !name.bytes().fold(false, |found, byte| found | unsettled(&byte)) {
        let spaced = name.starts_with(' ') || name.ends_with(' ');
        return Cow::Borrowed(if spaced { name.trim() } else { name });
    }
    let mut folded: String = name.chars().filter(|c| !c.is_control()).collect();
    folded.make_ascii_lowercase();
    Cow::Owned(folded.trim().to_owned())
}

fn fold_once(name: &str) -> String {
    let visible: String = name.chars().filter(|c| !invisible(*c)).collect();
    let composed = ComposingNormalizerBorrowed::new_nfkc().normalize(&visible);
    CaseMapper::new().fold_string(&composed).trim().to_owned()
}

/// Format characters go with the control characters: the few of them that are not default-ignorable, such as the
/// interlinear annotations, show as nothing too. A denylist errs on the broad side.
fn invisible(c: char) -> bool {
    matches!(
        CodePointMapData::<GeneralCategory>::new().get(c),
        GeneralCategory::Control | GeneralCategory::Format
    ) || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn disguises_of_a_name_fold_to_it() {
        for disguise in [
            "Delete_File",
            "DELETE_FILE",
            " delete_file\t",
            "\u{a0}delete_file\u{3000}",
            "ｄｅｌｅｔｅ＿ｆｉｌｅ",
            "del\u{200b}ete_file",
            "\u{feff}delete_file",
            "delete\u{ad}_file",
            "delete_file\0",
            "delete\u{7f}_fi\u{85}le",
            "𝐝𝐞𝐥𝐞𝐭𝐞_𝐟𝐢𝐥𝐞",
            "delete_ﬁle",
            "delete_\u{202e}file",
            "delete_\u{fff9}file",
            "delete_f\u{e0069}ile",
            "delete\u{fe0f}_file",
            "\u{200b} delete_file \u{200b}",
            "\u{3164}delete_file",
            "DELETE\u{ff3f}ﬁLE",
        ] {
            assert_eq!(fold(disguise), "delete_file", "{disguise:?}");
        }
    }

    #[test]
    fn compatible_and_composed_spellings_meet() {
        assert_eq!(fold("to\u{212a}en"), "token", "the Kelvin sign");
        assert_eq!(fold("toolſ"), "tools", "the long s");
        assert_eq!(fold("straße"), fold("STRASSE"));
        assert_eq!(fold("cafe\u{301}"), fold("CAFÉ"));
        assert_eq!(fold("cafe\u{200d}\u{301}"), fold("café"), "a joiner between letter and accent");
        assert_eq!(fold("Å"), fold("\u{212b}"));
        assert_eq!(fold("α\u{345}\u{301}"), fold("ά\u{345}"));
        assert_eq!(fold("\u{390}"), fold("ι\u{308}\u{301}"));
    }

    #[test]
    fn a_folded_name_is_borrowed() {
        assert!(matches!(fold("get_weather"), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn folding_twice_is_folding_once(name in any::<String>()) {
            let once = fold(&name).into_owned();
            prop_assert_eq!(fold(&once).into_owned(), once);
        }

        #[test]
        fn case_and_invisible_characters_never_matter(name in "\\PC{0,12}", at in any::<prop::sample::Index>()) {
            let mut chars: Vec<char> = name.chars().collect();
            chars.insert(at.index(chars.len() + 1), '\u{200b}');
            let disguised: String = chars.into_iter().collect();
            prop_assert_eq!(fold(&disguised), fold(&name));
        }
    }
}
