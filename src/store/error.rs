//! What can go wrong in the store, and which of it passes by itself.
//!
//! The one question that callers ask is whether the store could not be reached (they answer 503 and live on
//! their cache) or has answered something wrong (500). So every error of the drivers is sorted here, once, by
//! its code; the names of the drivers end here too.

use sea_orm::{DbErr, RuntimeErr, sqlx};

/// Any error, kept as a source.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, is busy for too long, or took too long. Trying again later is sensible.
    #[error("the store cannot be reached")]
    Unavailable {
        /// What the driver said.
        source: Source,
    },
    /// The URL names something that Orqen cannot store in.
    #[error(
        "`store.url` {reason}; supported are `sqlite://FILE` and `postgres://USER:PASSWORD@HOST:PORT/DATABASE`"
    )]
    UnsupportedUrl {
        /// What is wrong with it, without its password.
        reason: String,
    },
    /// The SQLite file cannot be opened or created.
    #[error("the store's file `{path}` cannot be opened: its folder must exist and be writable")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A row is there and cannot be understood.
    #[error("the store holds {what} in a form that cannot be read")]
    Corrupt {
        /// Which row: `key 0190…`.
        what: String,
        /// What is wrong with it.
        source: Source,
    },
    /// The tables could not be brought to this version's form.
    #[error("the store's tables cannot be brought to this version's form")]
    Migration {
        /// What the driver said.
        source: Source,
    },
    /// Anything else: a fault of Orqen's own, or of the database.
    #[error("the store refused a statement")]
    Other {
        /// What the driver said.
        source: Source,
    },
}

impl StoreError {
    /// Whether trying again later is sensible: 503, not 500.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    pub(super) fn corrupt(what: impl Into<String>, source: impl Into<Source>) -> Self {
        Self::Corrupt { what: what.into(), source: source.into() }
    }

    pub(super) fn migration(error: DbErr) -> Self {
        match Self::from(error) {
            Self::Other { source } => Self::Migration { source },
            unavailable => unavailable,
        }
    }
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        let passing = match &error {
            DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => true,
            DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => {
                is_passing(error)
            }
            _ => false,
        };
        let source = Box::new(error);
        if passing { Self::Unavailable { source } } else { Self::Other { source } }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if is_passing(&error) {
            Self::Unavailable { source: Box::new(error) }
        } else {
            Self::Other { source: Box::new(error) }
        }
    }
}

/// Whether a driver's error speaks of the connection or the server's state rather than of our statement.
fn is_passing(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => true,
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            if error.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
                is_passing_in_sqlite(&code)
            } else {
                is_passing_in_postgres(&code)
            }
        }
        _ => false,
    }
}

/// <https://www.sqlite.org/rescode.html>: the low byte of an extended code is the primary one.
fn is_passing_in_sqlite(code: &str) -> bool {
    const BUSY: u32 = 5;
    const LOCKED: u32 = 6;
    const IO: u32 = 10;
    const FULL: u32 = 13;
    const CANNOT_OPEN: u32 = 14;
    matches!(code.parse::<u32>().map(|code| code & 0xff), Ok(BUSY | LOCKED | IO | FULL | CANNOT_OPEN))
}

/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>: connections (08), credentials that are being
/// changed (28), a transaction that lost a race (40), resources (53), an operator's intervention or a time-out
/// (57), a lock that was not had in time (55P03), a stand-by or a transaction that sat idle (25006, 25P03).
fn is_passing_in_postgres(code: &str) -> bool {
    let class = code.get(..2).unwrap_or_default();
    matches!(class, "08" | "28" | "40" | "53" | "57") || matches!(code, "55P03" | "25006" | "25P03")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_file_and_a_server_that_goes_away_pass_by_themselves() {
        for code in ["5", "261", "517", "6", "10", "13", "14"] {
            assert!(is_passing_in_sqlite(code), "{code}");
        }
        for code in ["08006", "28P01", "40001", "40P01", "53300", "55P03", "57014", "57P01", "25006"] {
            assert!(is_passing_in_postgres(code), "{code}");
        }
    }

    #[test]
    fn a_broken_constraint_and_bad_sql_do_not() {
        for code in ["1", "19", "787", "2067", "", "x"] {
            assert!(!is_passing_in_sqlite(code), "{code}");
        }
        for code in ["23505", "22021", "42601", "", "é"] {
            assert!(!is_passing_in_postgres(code), "{code}");
        }
    }

    #[test]
    fn a_pool_without_a_free_connection_is_unavailable() {
        assert!(StoreError::from(sqlx::Error::PoolTimedOut).is_unavailable());
        assert!(!StoreError::from(DbErr::Type("text".into())).is_unavailable());
    }
}
