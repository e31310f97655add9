//! Many rows a statement: how rows are cut into statements of few lengths, each text of which a database parses once.
//!
//! A statement is known again by its text. Were each as long as what there is to write, nearly every batch would
//! bring a text of its own, and reading it would cost more than the rows it carries. So there are few lengths, and
//! the drivers keep what they made of each. Each is twice the next: a statement goes to another thread or another machine
//! and back, and a few dozen rows are three of them on average.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Statement, Value};

/// The lengths: 256 rows of 28 values lie below SQLite's 32,766 and PostgreSQL's 65,535 parameters.
const LENGTHS: [usize; 9] = [256, 128, 64, 32, 16, 8, 4, 2, 1];

/// Runs `head`, rows of `N` places in brackets, then `tail`, over all rows.
pub(super) async fn execute<const N: usize>(
    transaction: &DatabaseTransaction,
    (head, tail): (&str, &str),
    rows: impl ExactSizeIterator<Item = [Value; N]>,
) -> Result<(), DbErr> {
    execute_with(transaction, (head, "", tail), rows).await
}

/// The same with `constants` at the end of every row (`,0,NULL`): what is alike in all of them need not be handed over.
pub(super) async fn execute_with<const N: usize>(
    transaction: &DatabaseTransaction,
    around: (&str, &str, &str),
    rows: impl ExactSizeIterator<Item = [Value; N]>,
) -> Result<(), DbErr> {
    let backend = transaction.get_database_backend();
    let mut rows = rows;
    for length in LENGTHS {
        while rows.len() >= length {
            let mut values = Vec::with_capacity(length * N);
            rows.by_ref().take(length).for_each(|row| values.extend(row));
            let sql = text(around, backend, length, N);
            transaction.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
        }
    }
    Ok(())
}

/// The statement for so many rows of so many places.
fn text(
    (head, constants, tail): (&str, &str, &str),
    backend: DbBackend,
    rows: usize,
    places: usize,
) -> String {
    let listed = match backend {
        DbBackend::Postgres => {
            let row =
                |row| (1..=places).map(|place| format!("${}", row * places + place)).collect::<Vec<_>>();
            let row = |number| format!("({}{constants})", row(number).join(","));
            (0..rows).map(row).collect::<Vec<_>>().join(",")
        }
        // Numbered places would make the text five times as long, and it is hashed and compared at every use.
        _ => vec![format!("({}{constants})", vec!["?"; places].join(",")); rows].join(","),
    };
    [head, &listed, tail].join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_a_place_for_every_value() {
        let around = ("INSERT INTO a (b, c) VALUES", "", "ON CONFLICT DO NOTHING");
        let sql = text(around, DbBackend::Sqlite, 2, 2);
        assert_eq!(sql, "INSERT INTO a (b, c) VALUES (?,?),(?,?) ON CONFLICT DO NOTHING");
        let sql = text(around, DbBackend::Postgres, 2, 2);
        assert_eq!(sql, "INSERT INTO a (b, c) VALUES ($1,$2),($3,$4) ON CONFLICT DO NOTHING");
    }

    #[test]
    fn constants_end_every_row() {
        let around = ("INSERT INTO a (b, c, d) VALUES", ",0,NULL", "");
        assert_eq!(
            text(around, DbBackend::Sqlite, 2, 1),
            "INSERT INTO a (b, c, d) VALUES (?,0,NULL),(?,0,NULL) "
        );
        assert_eq!(
            text(around, DbBackend::Postgres, 2, 1),
            "INSERT INTO a (b, c, d) VALUES ($1,0,NULL),($2,0,NULL) "
        );
    }

    #[test]
    fn every_number_of_rows_is_a_sum_of_the_lengths() {
        assert!(LENGTHS.windows(2).all(|pair| pair[0] % pair[1] == 0));
        assert_eq!(LENGTHS.last(), Some(&1));
    }
}
