//! Delegated tokens: JWTs that this server signs itself, for sub-agents of a key.
//!
//! One algorithm (EdDSA), one issuer, one audience and a `typ` of their own (RFC 8725, 3.11), so that none of them
//! passes for a token of the house's issuer, nor one of those for them. A claim that is not known is refused: a newer
//! version could have restricted the token by it. Whether the key still lives is not asked here.

use chrono::{DateTime, Utc};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode,
    errors::ErrorKind, jwk::Jwk,
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    auth::jwt::TokenError,
    domain::{
        delegation::Delegation,
        key::{Generation, KeyId, Scope, ToolMode},
        signing::{SEED_LENGTH, SigningKeys},
        toollist::Toollist,
    },
};

/// The `typ` of the header.
const TYPE: &str = "orqen-delegated+jwt";
/// The `iss` and the `aud`: no URL, as an issuer's is, since both are this server and its replicas.
const ISSUER: &str = "orqen";
const AUDIENCE: &str = "orqen-delegated";
/// How far the clocks of two replicas may differ, in seconds. `exp` has no leeway: its holder was told that time.
const LEEWAY: i64 = 5;
/// The longest token, in bytes: what proxies take as one header line.
pub const LONGEST: usize = 8 * 1024;

/// What stands before the key in PKCS#8 (RFC 8410, section 7): version 0, Ed25519, an octet string in another.
const PKCS8: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// Signs tokens, and believes its own.
pub struct DelegatedTokens {
    keys: Vec<Signer>,
    validation: Validation,
}

struct Signer {
    kid: String,
    signs: EncodingKey,
    checks: DecodingKey,
}

/// A token that would be longer than headers may be.
#[derive(Debug, thiserror::Error)]
#[error(
    "the token would have {0} bytes, more than the {LONGEST} that fit a header: give shorter lists, or patterns"
)]
pub struct TooLong(pub usize);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    iss: String,
    aud: String,
    sub: Uuid,
    iat: i64,
    nbf: i64,
    exp: i64,
    jti: Uuid,
    /// Which of the key's secrets it dies with.
    generation: i32,
    /// Words with spaces between (RFC 8693, 4.2).
    scope: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    allowed_tools: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    denied_tools: Option<Vec<String>>,
    tool_mode: String,
    link: u32,
}

impl DelegatedTokens {
    /// By these keys: the newest signs.
    pub fn new(keys: &SigningKeys) -> Self {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "nbf", "aud", "iss", "sub"]);
        // The times are checked below, against the clock that is handed in.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        Self { keys: keys.seeds().map(Signer::new).collect(), validation }
    }

    /// Whether a token says of itself that it is one of these.
    pub(super) fn is_one(token: &str) -> bool {
        token.len() <= LONGEST && decode_header(token).is_ok_and(|header| header.typ.as_deref() == Some(TYPE))
    }

    /// The token that says this.
    pub fn mint(&self, delegation: &Delegation) -> Result<SecretString, TooLong> {
        let signer = &self.keys[0];
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(signer.kid.clone());
        let token = encode(&header, &Claims::of(delegation), &signer.signs)
            .expect("the key was tried when it was read, and the claims are texts and numbers");
        if token.len() > LONGEST { Err(TooLong(token.len())) } else { Ok(token.into()) }
    }

    /// What `token` says, once its signature and claims are found good at `now`.
    pub(super) fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Delegation, TokenError> {
        let header = decode_header(token)?;
        if header.alg != Algorithm::EdDSA || header.typ.as_deref() != Some(TYPE) {
            return Err(TokenError::Header("`alg` must be `EdDSA`, and `typ` that of a delegated token"));
        }
        if header.crit.is_some() {
            return Err(TokenError::Header("`crit` names extensions that are not known here"));
        }
        let signer = self.keys.iter().find(|signer| Some(&signer.kid) == header.kid.as_ref());
        let signer = signer.ok_or(TokenError::NoKey)?;
        let claims = decode::<Claims>(token, &signer.checks, &self.validation)?.claims;
        if claims.exp <= now.timestamp() {
            return Err(jsonwebtoken::errors::Error::from(ErrorKind::ExpiredSignature).into());
        }
        if claims.nbf.saturating_sub(LEEWAY) > now.timestamp() {
            return Err(jsonwebtoken::errors::Error::from(ErrorKind::ImmatureSignature).into());
        }
        claims.read()
    }
}

impl Signer {
    fn new((version, seed): (u32, &[u8; SEED_LENGTH])) -> Self {
        let mut der = PKCS8.to_vec();
        der.extend_from_slice(seed);
        let signs = EncodingKey::from_ed_der(&der);
        let public = Jwk::from_encoding_key(&signs, Algorithm::EdDSA);
        let checks = public.and_then(|public| DecodingKey::from_jwk(&public));
        Self { kid: version.to_string(), signs, checks: checks.expect("any 32 bytes are an Ed25519 key") }
    }
}

impl Claims {
    fn of(delegation: &Delegation) -> Self {
        let issued_at = delegation.issued_at.timestamp();
        let scopes: Vec<_> = delegation.scopes.iter().map(Scope::as_str).collect();
        Self {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: delegation.generation.key_id.0,
            iat: issued_at,
            nbf: issued_at,
            exp: delegation.expires_at.timestamp(),
            jti: delegation.id,
            generation: delegation.generation.number,
            scope: scopes.join(" "),
            allowed_tools: delegation.toollist.allowed().map(<[String]>::to_vec),
            denied_tools: delegation.toollist.denied().map(<[String]>::to_vec),
            tool_mode: delegation.tool_mode.as_str().to_owned(),
            link: delegation.link,
        }
    }

    /// What is signed was checked before, so that only another version of the server could fail here.
    fn read(self) -> Result<Delegation, TokenError> {
        let time = |seconds| DateTime::from_timestamp(seconds, 0).ok_or(TokenError::Claim("a time"));
        Ok(Delegation {
            id: self.jti,
            generation: Generation { key_id: KeyId(self.sub), number: self.generation },
            scopes: self.scope.split(' ').filter_map(Scope::from_word).collect(),
            toollist: Toollist::new(self.allowed_tools, self.denied_tools)
                .map_err(|_| TokenError::Claim("a tool list"))?,
            tool_mode: ToolMode::from_stored(&self.tool_mode),
            issued_at: time(self.iat)?,
            expires_at: time(self.exp)?,
            link: self.link,
        })
    }
}
