//! The scanner takes exactly what RFC 8259 does, says where it stops, and never falls over.

use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::*;

/// Deeper than any document of these tests but the deep ones.
const DEPTH: usize = 1_000_000;

fn scan(body: &[u8], limit: usize) -> Result<Span, Invalid> {
    let mut scanner = Scanner::new(body, limit)?;
    let span = scanner.skip()?;
    scanner.end()?;
    Ok(span)
}

/// The same, but stepping into every object and array that is not too deep for the test's own stack.
fn walk(body: &[u8]) -> Result<(), Invalid> {
    fn value(scanner: &mut Scanner<'_>, depth: usize) -> Result<(), Invalid> {
        match scanner.kind()? {
            Kind::Object if depth < 50 => scanner.object(|s, _| value(s, depth + 1)).map(|_| ()),
            Kind::Array if depth < 50 => scanner.array(|s, _| value(s, depth + 1)).map(|_| ()),
            Kind::Text => scanner.text().map(|_| ()),
            _ => scanner.skip().map(|_| ()),
        }
    }
    let mut scanner = Scanner::new(body, DEPTH)?;
    value(&mut scanner, 0)?;
    scanner.end()
}

fn serde_takes(body: &[u8]) -> bool {
    std::str::from_utf8(body).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

fn said(body: &str) -> String {
    scan(body.as_bytes(), 128).unwrap_err().to_string()
}

#[test]
fn what_is_not_json_is_refused_with_its_place() {
    for (body, message) in [
        ("", "the body is empty: send a JSON object"),
        (" \n ", "the body is empty: send a JSON object"),
        ("{\"a\":1,}", "the body is not valid JSON at byte 7: expected a member's name in quotes"),
        ("{\"a\":tru}", "the body is not valid JSON at byte 8: expected true"),
        ("{\"a\" 1}", "the body is not valid JSON at byte 5: expected a colon after the member's name"),
        (
            "{\"a\":1",
            "the body is not valid JSON at byte 6: it ends here, but expected a comma or } after a member; was it cut off?",
        ),
        (
            "{\"a\":\"b",
            "the body is not valid JSON at byte 7: it ends here, but expected the closing quote of a string; was it cut off?",
        ),
        ("{} {}", "the body is not valid JSON at byte 3: expected nothing after the first document"),
        ("[1 2]", "the body is not valid JSON at byte 3: expected a comma or ] after an element"),
        ("\u{feff}{}", "the body begins with a byte order mark: send UTF-8 without one"),
    ] {
        assert_eq!(said(body), message, "{body:?}");
    }
    assert_eq!(scan(b"[\"\xff\"]", 9).unwrap_err(), Invalid::Encoding { at: 2 });
}

#[test]
fn the_grammar_is_kept_to_the_letter() {
    let valid = [
        "0",
        "-0",
        "10",
        "1.5e+10",
        "1E-9",
        "12345678901234567890",
        "1e999",
        "\"\\u00e9\\ud83d\\ude00\\/\"",
        "\"\\ud800\"",
        "[]",
        "[ ]",
        "{}",
        "{ }",
        "[[],{}]",
        "{\"\":{}}",
        " \t\r\n[1 , 2]\n",
        "true",
        "\"\u{7f}\"",
        "{\"a\":1,\"a\":2}",
        "\"1234567\\\"\"",
        "\"12345678\\n\"",
        "\"é\u{2028}\"",
    ];
    let invalid = [
        "01",
        "-",
        "+1",
        "1.",
        ".5",
        "1e",
        "1e+",
        "0x1",
        "NaN",
        "Infinity",
        "-Infinity",
        "'a'",
        "{a:1}",
        "[1,]",
        "[,1]",
        "[,]",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,,}",
        "[1]]",
        "]",
        "}",
        "[}",
        "{]",
        "[1}",
        "{\"a\":1]",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\\u123\"",
        "\"\t\"",
        "\"\0\"",
        "\"a\nb\"",
        "nul",
        "truex",
        "// a\n1",
        "[1]/**/",
        "\u{a0}1",
        "\u{b}1",
        "1\0",
        "{\"a\":1 \"b\":2}",
        "[1 ,]",
        "{1:2}",
        "\"",
        "\"\\",
        "\"\\u",
        "[\"a\",",
        "{\"",
    ];
    for body in valid {
        assert!(scan(body.as_bytes(), 128).is_ok() && walk(body.as_bytes()).is_ok(), "{body:?}");
        assert!(serde_takes(body.as_bytes()), "{body:?}");
    }
    for body in invalid {
        assert!(scan(body.as_bytes(), 128).is_err() && walk(body.as_bytes()).is_err(), "{body:?}");
        assert!(!serde_takes(body.as_bytes()), "{body:?}");
    }
}

#[test]
fn depth_is_counted_alike_in_what_is_skipped_and_in_what_is_walked() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    for depth in [1, 5, 128] {
        assert!(scan(nested(depth).as_bytes(), depth).is_ok());
        let refused = Err(Invalid::TooDeep { at: depth - 1, limit: depth - 1 });
        assert_eq!(scan(nested(depth).as_bytes(), depth - 1), refused);
    }
    let body = nested(9);
    let step = |limit| {
        let mut scanner = Scanner::new(body.as_bytes(), limit)?;
        scanner.array(|s, _| s.array(|s, _| s.skip().map(|_| ())).map(|_| ()))
    };
    assert!(step(9).is_ok());
    assert_eq!(step(8), Err(Invalid::TooDeep { at: 8, limit: 8 }));
}

#[test]
fn no_depth_overflows_the_stack() {
    for opener in ["[", "{\"a\":"] {
        let body = opener.repeat(100_000);
        assert!(matches!(scan(body.as_bytes(), 128), Err(Invalid::TooDeep { limit: 128, .. })));
        assert!(matches!(scan(body.as_bytes(), DEPTH), Err(Invalid::Unterminated { .. })));
    }
}

#[test]
fn strings_are_decoded_and_lone_surrogates_told() {
    let decode = |body: &str| {
        let mut scanner = Scanner::new(body.as_bytes(), 1).unwrap();
        scanner.text().unwrap().decode(body).map(std::borrow::Cow::into_owned)
    };
    assert_eq!(decode(r#""\u0067et_weather""#).unwrap(), "get_weather");
    assert_eq!(decode(r#""a\"\\\/\b\f\n\r\t\u0000z""#).unwrap(), "a\"\\/\u{8}\u{c}\n\r\t\0z");
    assert_eq!(decode(r#""\uD83D\uDE00é\ud83d\ude00""#).unwrap(), "😀é😀");
    for lone in [r#""\ud800""#, r#""\udc00""#, r#""\ud800\ud800""#, r#""\ud800x\udc00""#, r#""\ud800\n""#] {
        assert_eq!(decode(lone), Err(LoneSurrogate), "{lone}");
    }
}

#[test]
fn special_bytes_are_found_at_every_offset() {
    for special in ["\"", "\\", "\u{1f}", "\0"] {
        for before in 0..40 {
            let text =
                "é~ !#[]\u{7f}".chars().cycle().take(before).collect::<String>() + special + "abc\"\\\n0123";
            let expected = text.find(special).unwrap();
            assert_eq!(super::token::next_special(text.as_bytes(), 0), expected, "{text:?}");
            assert_eq!([&text[..], &text[..expected]].map(has_special), [true, false], "{text:?}");
            let (last, _) = text.split_at(expected + 1);
            assert!(has_special(last), "{last:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn any_bytes_are_taken_exactly_when_serde_json_takes_them(body in prop::collection::vec(any::<u8>(), 0..40)) {
        prop_assert_eq!(scan(&body, DEPTH).is_ok(), serde_takes(&body));
    }

    #[test]
    fn anything_like_json_is_taken_exactly_when_serde_json_takes_it(
        body in prop::collection::vec(prop::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"", "\\", "\"a\"", "\"\\u00e9\"", "\\ud800", "u", "0", "-", "1", ".",
            "e", "+", "true", "null", "fals", "e", " ", "\n", "\t", "\u{0}", "é", "\u{feff}", "{\"a\":", "[1,",
        ]), 0..12)
    ) {
        let body = body.concat();
        prop_assert_eq!(scan(body.as_bytes(), DEPTH).is_ok(), serde_takes(body.as_bytes()));
        prop_assert_eq!(walk(body.as_bytes()).is_ok(), serde_takes(body.as_bytes()));
    }

    #[test]
    fn a_decoded_string_is_what_serde_json_reads(text in any::<String>(), ascii in any::<bool>()) {
        let mut body = serde_json::to_string(&text).unwrap();
        if ascii {
            let units = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect::<String>();
            body = format!("\"{units}\"");
        }
        let mut scanner = Scanner::new(body.as_bytes(), 1).unwrap();
        prop_assert_eq!(scanner.text().unwrap().decode(&body).unwrap(), text);
    }
}
