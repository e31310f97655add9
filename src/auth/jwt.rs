//! JWTs of the house's own issuer, for internal gRPC clients and operators.
//!
//! Only asymmetric algorithms, pinned by the configuration: whoever can check a token must not be able to make
//! one. `typ` is checked here because the library does not; every registered claim that the contract names is
//! required, since a token without `aud` would otherwise pass. Keys are those of a file, or fetched (`jwks`): a token
//! that names a key which is not among them then has them fetched anew.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header, errors::ErrorKind};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    AuthError,
    issuer::{self, IssuerKey},
    jwks::FetchedKeys,
};
use crate::{
    config,
    domain::key::{AccountId, Scope, Scopes},
};

/// How far the clocks of issuer and server may differ, in seconds.
const LEEWAY: u64 = 5;
/// The longest token that is looked at, in bytes.
const LONGEST: usize = 8 * 1024;

/// Why a token is not to be trusted. The text is for its sender and says nothing that he does not know.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Longer than 8 KiB.
    #[error("the token is longer than {LONGEST} bytes")]
    TooLong,
    /// The header is not that of a signed token of ours.
    #[error("the token's header is not accepted: {0}")]
    Header(&'static str),
    /// No key of the issuer fits; of a delegated token, none of this server.
    #[error("no key of the issuer fits the token's `kid` and `alg`")]
    NoKey,
    /// Signature or claims do not hold.
    #[error("the token is not valid: {0}")]
    Invalid(#[from] jsonwebtoken::errors::Error),
    /// The secret that a delegated token was made with is gone.
    #[error("the secret of the key that the token was made with was replaced")]
    Rotated,
    /// A claim cannot be read.
    #[error("the token's claims hold {0} that is none here")]
    Claim(&'static str),
    /// `account` is not the id of an account.
    #[error("the token's `account` names no account")]
    UnknownAccount,
    /// Neither an account nor an operator.
    #[error("the token has neither an `account` nor the scope `operator`")]
    NoAccount,
}

/// Why the issuer's keys cannot be used. Stops the start.
#[derive(Debug, thiserror::Error)]
pub enum JwtSetupError {
    /// A file cannot be read.
    #[error("auth.jwt: cannot read {path}", path = path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds no key.
    #[error("auth.jwt: {path} holds no public key that one of the algorithms can use: {why}", path = path.display())]
    NoKey {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// `jwks_url` cannot be asked.
    #[error("auth.jwt.jwks_url: it is not an address that keys may come from")]
    Address,
    /// Nothing is there to check the certificate of `jwks_url` against.
    #[error(
        "auth.jwt.jwks_url: the system's root certificates cannot be read, without which no `https` can be trusted: \
         install them (`ca-certificates` in most distributions) or point SSL_CERT_FILE to a bundle"
    )]
    Roots(#[source] io::Error),
}

/// What a token says of its bearer.
#[derive(Debug, Clone)]
pub(super) struct TokenCaller {
    pub(super) subject: std::sync::Arc<str>,
    pub(super) account: Option<AccountId>,
    pub(super) scopes: Scopes,
    pub(super) operator: bool,
    pub(super) expires_at: DateTime<Utc>,
}

#[derive(Deserialize)]
struct Claims {
    /// Compared elsewhere. Said here too since it must be one text (RFC 7519, 4.1.1): the library takes a list of
    /// issuers, of which ours would only have to be one.
    #[serde(rename = "iss")]
    _iss: String,
    sub: String,
    exp: i64,
    nbf: i64,
    #[serde(default)]
    account: Option<String>,
    /// OAuth's form (RFC 8693): words with spaces between.
    #[serde(default)]
    scope: String,
}

/// Checks tokens against the issuer's public keys.
pub struct JwtVerifier {
    keys: Keys,
    validation: Validation,
}

/// Where the keys are.
enum Keys {
    /// Of a file, read at the start.
    Fixed(Vec<IssuerKey>),
    /// Of a URL.
    Fetched(Box<FetchedKeys>),
}

impl JwtVerifier {
    /// Reads the issuer's keys, as the configuration names them; those of a URL are not fetched here.
    pub fn load(config: &config::Jwt) -> Result<Self, JwtSetupError> {
        let algorithms: Vec<Algorithm> = config.algorithms.iter().map(|one| algorithm(*one)).collect();
        let keys = match (&config.jwks_url, &config.jwks_file, &config.public_key_file) {
            (Some(url), _, _) => {
                let address = config.jwks_address().ok_or(JwtSetupError::Address)?;
                Keys::Fetched(Box::new(FetchedKeys::new(address, url.to_string(), algorithms.clone())?))
            }
            (None, Some(path), _) => Keys::Fixed(jwks(path, &algorithms)?),
            (None, None, Some(path)) => Keys::Fixed(
                issuer::pem(&read(path)?, &algorithms)
                    .map_err(|why| JwtSetupError::NoKey { path: path.clone(), why })?,
            ),
            (None, None, None) => Keys::Fixed(Vec::new()),
        };
        let mut validation = Validation::new(algorithms.first().copied().unwrap_or(Algorithm::EdDSA));
        validation.algorithms = algorithms;
        validation.set_audience(&[&config.audience]);
        validation.set_issuer(&[&config.issuer]);
        validation.set_required_spec_claims(&["exp", "nbf", "aud", "iss", "sub"]);
        // The times are checked below, against the clock that is handed in.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        Ok(Self { keys, validation })
    }

    /// The keys that are fetched, if they are.
    pub(super) fn fetched(&self) -> Option<&FetchedKeys> {
        match &self.keys {
            Keys::Fixed(_) => None,
            Keys::Fetched(keys) => Some(keys),
        }
    }

    /// What `token` says of its bearer, once its signature and claims are found good at `now`. Waits only where the keys
    /// are to be fetched first.
    pub(super) async fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<TokenCaller, AuthError> {
        let header = self.header(token)?;
        let claims = match &self.keys {
            Keys::Fixed(keys) => self.claims(token, &header, keys)?,
            Keys::Fetched(keys) => self.claims_by(keys, (token, &header), now).await?,
        };
        timely(&claims, now)?;
        let account = claims
            .account
            .map(|id| Uuid::parse_str(&id).map(AccountId).map_err(|_| TokenError::UnknownAccount))
            .transpose()?;
        Ok(TokenCaller {
            subject: claims.sub.into(),
            account,
            scopes: claims.scope.split(' ').filter_map(Scope::from_word).collect(),
            operator: claims.scope.split(' ').any(|word| word == "operator"),
            expires_at: DateTime::from_timestamp(claims.exp.saturating_add(LEEWAY.cast_signed()), 0)
                .unwrap_or(DateTime::<Utc>::MAX_UTC),
        })
    }

    /// The header of a token, as far as it can be judged without a key.
    fn header(&self, token: &str) -> Result<Header, TokenError> {
        if token.len() > LONGEST {
            return Err(TokenError::TooLong);
        }
        let header = decode_header(token)?;
        match header.typ.as_deref() {
            Some(typ) if typ.eq_ignore_ascii_case("jwt") || typ.eq_ignore_ascii_case("at+jwt") => {}
            _ => return Err(TokenError::Header("`typ` must be `JWT` or `at+jwt`")),
        }
        if header.crit.is_some() {
            // RFC 7515, 4.1.11: what a token calls critical is understood or the token refused, and none is here.
            return Err(TokenError::Header("`crit` names extensions that are not known here"));
        }
        if !self.validation.algorithms.contains(&header.alg) {
            // No key could fit, and none is fetched for it.
            return Err(TokenError::NoKey);
        }
        Ok(header)
    }

    /// The claims by keys that are fetched: those at hand, or new ones where the token names one that is not there.
    async fn claims_by(
        &self,
        fetched: &FetchedKeys,
        (token, header): (&str, &Header),
        now: DateTime<Utc>,
    ) -> Result<Claims, AuthError> {
        if let Some(held) = fetched.held().as_ref().filter(|held| held.good_at(now)) {
            match self.claims(token, header, &held.keys) {
                Err(refused) if refused.is_of_another_key() && names_another(header, &held.keys) => {}
                told => return Ok(told?),
            }
        }
        let renewed = fetched.renewed(now).await.map_err(AuthError::IssuerAway)?;
        Ok(self.claims(token, header, &renewed.keys)?)
    }

    /// The claims, by the first key whose signature it is: the one that the token names, else any without a name.
    fn claims(&self, token: &str, header: &Header, keys: &[IssuerKey]) -> Result<Claims, TokenError> {
        let named = |key: &&IssuerKey| key.kid.is_some() && key.kid == header.kid;
        let unnamed = |key: &&IssuerKey| key.kid.is_none() || header.kid.is_none();
        let fitting = || keys.iter().filter(|key| key.algorithm == header.alg);
        let mut refused = TokenError::NoKey;
        for key in fitting().filter(named).chain(fitting().filter(unnamed)) {
            let mut validation = self.validation.clone();
            // One algorithm, that of the key: a list could let a token choose.
            validation.algorithms = vec![key.algorithm];
            match decode::<Claims>(token, &key.key, &validation) {
                Ok(decoded) => return Ok(decoded.claims),
                Err(error) if matches!(error.kind(), ErrorKind::InvalidSignature) => refused = error.into(),
                Err(error) => return Err(error.into()),
            }
        }
        Err(refused)
    }
}

impl TokenError {
    /// Whether another key could have made the token a good one.
    fn is_of_another_key(&self) -> bool {
        match self {
            Self::NoKey => true,
            Self::Invalid(error) => matches!(error.kind(), ErrorKind::InvalidSignature),
            _ => false,
        }
    }
}

/// Whether a token names a key that is not among these.
fn names_another(header: &Header, keys: &[IssuerKey]) -> bool {
    header.kid.is_some() && !keys.iter().any(|key| key.kid == header.kid)
}

fn timely(claims: &Claims, now: DateTime<Utc>) -> Result<(), TokenError> {
    let leeway = LEEWAY.cast_signed();
    if claims.exp.saturating_add(leeway) <= now.timestamp() {
        return Err(jsonwebtoken::errors::Error::from(ErrorKind::ExpiredSignature).into());
    }
    if claims.nbf.saturating_sub(leeway) > now.timestamp() {
        return Err(jsonwebtoken::errors::Error::from(ErrorKind::ImmatureSignature).into());
    }
    Ok(())
}

fn algorithm(configured: config::JwtAlgorithm) -> Algorithm {
    match configured {
        config::JwtAlgorithm::EdDsa => Algorithm::EdDSA,
        config::JwtAlgorithm::Es256 => Algorithm::ES256,
        config::JwtAlgorithm::Rs256 => Algorithm::RS256,
    }
}

fn read(path: &Path) -> Result<Vec<u8>, JwtSetupError> {
    let unreadable = |source| JwtSetupError::Unreadable { path: path.to_owned(), source };
    let size = fs::metadata(path).map_err(unreadable)?.len();
    if size > issuer::LARGEST as u64 {
        return Err(JwtSetupError::NoKey { path: path.to_owned(), why: format!("it has {size} bytes") });
    }
    fs::read(path).map_err(unreadable)
}

/// The keys of a file. One that cannot be read stops the start, while there is somebody to put it right.
fn jwks(path: &Path, algorithms: &[Algorithm]) -> Result<Vec<IssuerKey>, JwtSetupError> {
    let no_key = |why: String| JwtSetupError::NoKey { path: path.to_owned(), why };
    let read = issuer::jwks(&read(path)?, algorithms).map_err(no_key)?;
    match read.faults.into_iter().next() {
        Some(fault) => Err(no_key(fault)),
        None if read.keys.is_empty() => Err(no_key(issuer::NONE_FITS.into())),
        None => Ok(read.keys),
    }
}
