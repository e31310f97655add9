//! What a provider wrote, made fit for the log.
//!
//! Providers echo the key they refuse, whole, cut or starred out (`sk-ab****yz`). A word that looks like any of
//! these is replaced; better a harmless word too many than a credential in a log.

const REDACTED: &str = "[redacted]";
/// How much of a credential must be shared, at its start or its end, for a word to be taken for a piece of it.
const SHARED: usize = 4;

/// `text` without anything like `credential`, and without control characters, which could forge log lines.
pub(super) fn redacted(text: &str, credential: Option<&str>) -> String {
    let whole = match credential {
        Some(credential) if !credential.is_empty() => text.replace(credential, REDACTED),
        _ => text.to_owned(),
    };
    let mut clean = String::with_capacity(whole.len());
    let mut word = String::new();
    for character in whole.chars() {
        if character.is_ascii_alphanumeric()
            || matches!(character, '-' | '_' | '.' | '*' | '+' | '/' | '=' | '…')
        {
            word.push(character);
            continue;
        }
        flush(&mut clean, &mut word, credential);
        clean.push(if character.is_control() { ' ' } else { character });
    }
    flush(&mut clean, &mut word, credential);
    clean
}

fn flush(clean: &mut String, word: &mut String, credential: Option<&str>) {
    clean.push_str(if is_suspicious(word, credential) { REDACTED } else { word });
    word.clear();
}

fn is_suspicious(word: &str, credential: Option<&str>) -> bool {
    let of_credential = credential.filter(|known| known.len() >= 2 * SHARED).is_some_and(|known| {
        // A credential is visible ASCII, checked when it was read: every cut is on a boundary.
        let (start, end) = (&known[..SHARED], &known[known.len() - SHARED..]);
        word.contains(start) || word.trim_end_matches('.').ends_with(end)
    });
    of_credential || word.contains("sk-") || word.contains("**")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_taken_out_whole_cut_or_starred() {
        let credential = "Zx81-secret-credential/90+x";
        for echoed in [
            "bad key Zx81-secret-credential/90+x!",
            "bad key Zx81-secret…",
            "bad key Zx81****0+x.",
            "bad key …90+x",
            "bad key sk-abcdef",
            "bad key 'ab***yz'",
        ] {
            let clean = redacted(echoed, Some(credential));
            assert!(clean.starts_with("bad key") && clean.contains(REDACTED), "{clean}");
            assert!(
                !clean.contains("secret") && !clean.contains("90+x") && !clean.contains("abcdef"),
                "{clean}"
            );
        }
    }

    #[test]
    fn other_words_stay_and_control_characters_do_not() {
        let text = "{\"error\":\n\"no access\u{1b}[0m to gpt-4o\"}";
        assert_eq!(redacted(text, Some("abcdefghijkl")), "{\"error\": \"no access [0m to gpt-4o\"}");
    }
}
