//! The secret of a key, and what is kept of it.
//!
//! `PlainSecret` exists between the moment of creation and the answer, and while a request is authenticated;
//! `SecretDigest` is all that is stored. Two types, so that one cannot be passed for the other. Neither has a
//! `Debug` or `Display` that shows anything.

use std::{borrow::Cow, collections::HashSet, fmt};

use hmac::{Hmac, KeyInit, Mac};
use rand::CryptoRng;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// What every secret begins with.
pub const SECRET_PREFIX: &str = "sk-orq-";
/// The length of a secret: the prefix and 64 digits.
pub const SECRET_LENGTH: usize = SECRET_PREFIX.len() + 64;
/// How much of a secret may be shown: the prefix and 8 digits.
pub const SHOWN_LENGTH: usize = SECRET_PREFIX.len() + 8;
const RANDOM_BYTES: usize = 28;

/// A whole secret: `sk-orq-`, 56 random hexadecimal digits (224 bits), and 8 digits of checksum: the CRC-32
/// (IEEE) of everything before them, so that a typo is refused without a look-up.
#[derive(Clone)]
pub struct PlainSecret(SecretString);

/// Why a text is no secret of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedSecret {
    /// It does not begin with `sk-orq-`, or has not 64 lower-case hexadecimal digits after it.
    #[error("a key is `sk-orq-` and 64 lower-case hexadecimal digits")]
    Shape,
    /// The checksum does not fit the digits before it.
    #[error("the key has a typo: its checksum does not fit")]
    Checksum,
}

impl PlainSecret {
    /// A new one.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut random = [0; RANDOM_BYTES];
        rng.fill_bytes(&mut random);
        let mut text = String::with_capacity(SECRET_LENGTH);
        text.push_str(SECRET_PREFIX);
        text.push_str(&hex::encode(random));
        let checksum = crc32fast::hash(text.as_bytes());
        text.push_str(&hex::encode(checksum.to_be_bytes()));
        Self(text.into())
    }

    /// Reads one that a caller sent.
    pub fn parse(text: &str) -> Result<Self, MalformedSecret> {
        let digits = text.strip_prefix(SECRET_PREFIX).ok_or(MalformedSecret::Shape)?;
        let hexadecimal = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if digits.len() != 64 || !digits.bytes().all(hexadecimal) {
            return Err(MalformedSecret::Shape);
        }
        let (body, checksum) = text.split_at(SECRET_LENGTH - 8);
        let expected = crc32fast::hash(body.as_bytes());
        // The checksum guards against typos, not attackers: it needs no constant time.
        if u32::from_str_radix(checksum, 16) != Ok(expected) {
            return Err(MalformedSecret::Checksum);
        }
        Ok(Self(text.into()))
    }

    /// The text itself, for the one answer that shows it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// What people recognise it by.
    pub fn shown_prefix(&self) -> &str {
        &self.expose()[..SHOWN_LENGTH]
    }
}

impl fmt::Debug for PlainSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlainSecret(…)")
    }
}

/// What every token begins with: `{"` in base64url.
const TOKEN_START: &str = "eyJ";
/// The least length of a token, far below any that is signed.
const TOKEN_MIN: usize = 80;

/// `text` with every secret and token in it cut to what may be shown: for what repeats what a caller sent.
pub fn masked(text: &str) -> Cow<'_, str> {
    // Nearly every text, those of each chat request among them.
    if !text.contains(SECRET_PREFIX) && !text.contains(TOKEN_START) {
        return Cow::Borrowed(text);
    }
    // Up to where the text is written, and up to where there is no token: the rest of what is none is none either.
    let (mut out, mut done, mut tokenless) = (String::new(), 0, 0);
    let mut secrets = text.match_indices(SECRET_PREFIX).map(|(at, _)| at).peekable();
    let mut tokens = text.match_indices(TOKEN_START).map(|(at, _)| at).peekable();
    loop {
        let next = match (secrets.peek(), tokens.peek()) {
            (Some(secret), Some(token)) if secret > token => tokens.next(),
            (None, _) => tokens.next(),
            _ => secrets.next(),
        };
        let Some(at) = next else { break };
        let is_token = text[at..].starts_with(TOKEN_START);
        if at < done || (is_token && at < tokenless) {
            continue;
        }
        let (length, shown) = confidential(&text[at..]);
        tokenless = if is_token { at + length } else { tokenless };
        if shown < length {
            out.extend([&text[done..at + shown], "…"]);
            done = at + length;
        }
    }
    if done == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[done..]);
    Cow::Owned(out)
}

/// Whether `text` has a secret or a token in it, whole or in good part.
pub fn reveals(text: &str) -> bool {
    matches!(masked(text), Cow::Owned(_))
}

/// How long what begins like a secret or a token is, and how much of that may be shown.
fn confidential(text: &str) -> (usize, usize) {
    let run = |text: &str, of: fn(u8) -> bool| text.bytes().take_while(|byte| of(*byte)).count();
    if let Some(rest) = text.strip_prefix(SECRET_PREFIX) {
        let length = SECRET_PREFIX.len() + run(rest, |byte| byte.is_ascii_hexdigit());
        return (length, length.min(SHOWN_LENGTH));
    }
    let length = run(text, |byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let parts = text[..length].bytes().filter(|byte| *byte == b'.').count();
    let is_token = length >= TOKEN_MIN && parts >= 2;
    (length, if is_token { TOKEN_START.len() } else { length })
}

/// The HMAC-SHA-256 of a secret under one version of the pepper.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretDigest(pub [u8; 32]);

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretDigest(…)")
    }
}

/// The peppers, the newest first. There is always one.
#[derive(Clone)]
pub struct Peppers(Vec<Pepper>);

/// One version of the server's pepper: a secret beside the store, without which a stolen store is worthless.
#[derive(Clone)]
struct Pepper {
    version: u32,
    // Keyed once: each digest clones the inner state and saves two compressions.
    keyed: Hmac<Sha256>,
    is_guessable: bool,
}

/// Why a list of peppers cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PepperError {
    /// There is none.
    #[error("no pepper is given")]
    None,
    /// Not `VERSION:DIGITS`.
    #[error(
        "a pepper is its version, a colon and 64 or more hexadecimal digits (`1:…`), as `openssl rand -hex 32` prints them"
    )]
    Shape,
    /// A version is there twice.
    #[error("pepper version {0} is there twice")]
    Repeated(u32),
}

impl Peppers {
    /// Reads peppers, each written `VERSION:HEX` with at least 32 bytes.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, PepperError> {
        let mut peppers = Vec::new();
        for entry in entries {
            let (version, digits) = entry.trim().split_once(':').ok_or(PepperError::Shape)?;
            let version: u32 = version.parse().map_err(|_| PepperError::Shape)?;
            let bytes = hex::decode(digits).map_err(|_| PepperError::Shape)?;
            if bytes.len() < 32 {
                return Err(PepperError::Shape);
            }
            if peppers.iter().any(|known: &Pepper| known.version == version) {
                return Err(PepperError::Repeated(version));
            }
            let keyed = Hmac::new_from_slice(&bytes).expect("HMAC takes a key of any length");
            peppers.push(Pepper { version, keyed, is_guessable: is_guessable(&bytes) });
        }
        if peppers.is_empty() {
            return Err(PepperError::None);
        }
        peppers.sort_by_key(|pepper| std::cmp::Reverse(pepper.version));
        Ok(Self(peppers))
    }

    /// A new pepper of version 1, written as `parse` reads it.
    pub fn generate(rng: &mut impl CryptoRng) -> SecretString {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        format!("1:{}", hex::encode(bytes)).into()
    }

    /// The versions that somebody typed instead of drawing them.
    pub fn guessable(&self) -> impl Iterator<Item = u32> {
        self.0.iter().filter(|pepper| pepper.is_guessable).map(|pepper| pepper.version)
    }

    /// Whether one of them is made of these bytes.
    pub fn holds(&self, bytes: &[u8]) -> bool {
        // The bytes are not kept, so that what both say of the same text is compared.
        let said = |keyed: Hmac<Sha256>| keyed.finalize().into_bytes();
        let other = Hmac::new_from_slice(bytes).expect("HMAC takes a key of any length");
        let other = said(other);
        self.0.iter().any(|pepper| said(pepper.keyed.clone()) == other)
    }

    /// The digest that a new secret is stored under, and the pepper's version.
    pub fn digest(&self, secret: &PlainSecret) -> (u32, SecretDigest) {
        let newest = &self.0[0];
        (newest.version, newest.digest(secret))
    }

    /// The digests that a secret may be stored under, one for each pepper, the newest first.
    pub fn candidates(&self, secret: &PlainSecret) -> impl Iterator<Item = SecretDigest> {
        self.0.iter().map(|pepper| pepper.digest(secret))
    }
}

/// Whether bytes are an example or a placeholder: a pattern, or a count. Of 32 random bytes some 30 differ; that fewer than
/// 16 do happens less than once in 10^15 draws.
pub(super) fn is_guessable(bytes: &[u8]) -> bool {
    let different: HashSet<_> = bytes.iter().collect();
    let mut steps = bytes.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]));
    let first = steps.next();
    different.len() < 16 || steps.all(|step| Some(step) == first)
}

impl fmt::Debug for Peppers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Peppers(…)")
    }
}

impl Pepper {
    fn digest(&self, secret: &PlainSecret) -> SecretDigest {
        let mut mac = self.keyed.clone();
        mac.update(secret.expose().as_bytes());
        SecretDigest(mac.finalize().into_bytes().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> PlainSecret {
        PlainSecret::generate(&mut rand::rng())
    }

    #[test]
    fn a_new_secret_is_read_back() {
        let secret = secret();
        assert_eq!(secret.expose().len(), SECRET_LENGTH);
        assert_eq!(PlainSecret::parse(secret.expose()).unwrap().expose(), secret.expose());
        assert_eq!(secret.shown_prefix().len(), 15);
    }

    #[test]
    fn a_pepper_that_was_typed_is_known_from_one_that_was_drawn() {
        let count: Vec<u8> = (0..32).collect();
        let typed = ["00".repeat(32), "0123456789abcdef".repeat(4), "a1b2".repeat(16), hex::encode(&count)];
        for digits in &typed {
            let peppers = Peppers::parse([format!("3:{digits}").as_str()]).unwrap();
            assert_eq!(peppers.guessable().collect::<Vec<_>>(), [3], "{digits}");
            assert!(peppers.holds(&hex::decode(digits).unwrap()) && !peppers.holds(&[1; 32]));
        }
        for _ in 0..1_000 {
            let drawn = Peppers::generate(&mut rand::rng());
            assert_eq!(Peppers::parse([drawn.expose_secret()]).unwrap().guessable().count(), 0);
        }
    }

    #[test]
    fn every_single_typo_is_refused() {
        let text = secret().expose().to_owned();
        for at in 0..text.len() {
            let mut typo = text.clone().into_bytes();
            typo[at] = if typo[at] == b'0' { b'1' } else { b'0' };
            assert!(PlainSecret::parse(std::str::from_utf8(&typo).unwrap()).is_err(), "typo at {at}");
        }
    }

    #[test]
    fn upper_case_and_other_lengths_are_refused() {
        let text = secret().expose().to_owned();
        let upper = format!("sk-orq-{}", text[7..].to_uppercase());
        for bad in
            [&text[..70], &format!("{text}0"), &upper, "", "sk-orq-", &text.replace("sk-orq-", "sk-oai-")]
        {
            assert!(PlainSecret::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_message_that_repeats_secrets_shows_eight_digits_of_each() {
        let secret = secret();
        let text = format!("no model {0}/x, nor {0}", secret.expose());
        let shown = secret.shown_prefix();
        assert_eq!(masked(&text), format!("no model {shown}…/x, nor {shown}…"));
        assert_eq!(masked("send `Bearer sk-orq-…`"), "send `Bearer sk-orq-…`");
        assert!(reveals(&text) && !reveals(shown) && !reveals("sk-orq-…, eyJ, sk-orq-0123"));
    }

    #[test]
    fn a_message_that_repeats_a_token_shows_its_first_letters() {
        let token = format!("eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ4In0.{}", "aZ0-_".repeat(17));
        assert_eq!(masked(&format!("no {token}, nor é{token}")), "no eyJ…, nor éeyJ…");
        for harmless in ["eyJ", "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ4In0.x", &format!("eyJ{}", "a".repeat(200))]
        {
            assert_eq!(masked(harmless), harmless);
        }
        let in_front = format!("eyJ.sk-orq-{}", "0".repeat(64));
        assert_eq!(masked(&in_front), "eyJ.sk-orq-00000000…");
    }

    #[test]
    fn nothing_of_a_secret_is_in_its_debug_text() {
        assert_eq!(format!("{:?}", secret()), "PlainSecret(…)");
    }

    #[test]
    fn the_newest_pepper_digests_and_the_older_ones_are_tried() {
        let (old, new) = ("1:".to_owned() + &"a1".repeat(32), "2:".to_owned() + &"b2".repeat(32));
        let before = Peppers::parse([old.as_str()]).unwrap();
        let after = Peppers::parse([old.as_str(), new.as_str()]).unwrap();
        let secret = secret();
        assert_eq!(after.digest(&secret).0, 2);
        assert!(after.candidates(&secret).any(|digest| digest == before.digest(&secret).1));
    }

    #[test]
    fn a_pepper_that_is_short_or_repeated_is_refused() {
        let good = "1:".to_owned() + &"a1".repeat(32);
        assert_eq!(Peppers::parse([]).unwrap_err(), PepperError::None);
        assert_eq!(Peppers::parse(["1:a1"]).unwrap_err(), PepperError::Shape);
        assert_eq!(Peppers::parse([good.as_str(), good.as_str()]).unwrap_err(), PepperError::Repeated(1));
    }
}
