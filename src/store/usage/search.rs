//! Pages of requests, newest first.
//!
//! A page goes on after a place (time and id) and not after a number of rows: what is added meanwhile shifts
//! nothing, and a deep page costs what the first does.
//!
//! PostgreSQL has an index for each filter. A SQLite file has its records in the order of their time, an index over
//! failures and one over sessions; for the rest it is gone through, newest first, in slices of bounded length. A
//! search that has gone through some of them stops where it is and says so, so that no call grows with the table: its
//! page may hold fewer requests than were asked for, or none, and the next goes on from there. More indexes
//! were turned down since each is paid for by every request (m0004).

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use sea_orm::{
    ColumnTrait, DbBackend, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect, Select,
    sea_query::Expr,
};
use uuid::Uuid;

use super::{UsageStore, records::record_from_row};
use crate::{
    domain::{
        key::{AccountId, KeyId},
        request_id::RequestId,
        usage::Record,
    },
    store::{
        database::bounded,
        entity::{
            usage_daily,
            usage_record::{Column, Entity},
        },
        error::StoreError,
        rows::{storable_text, storable_time},
    },
};

/// Which requests are listed; `None` means any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordFilter {
    /// The key they came with.
    pub key_id: Option<KeyId>,
    /// The model they asked for.
    pub model: Option<String>,
    /// The HTTP status that the client was told.
    pub status: Option<u16>,
    /// The client's name for the conversation.
    pub session: Option<String>,
    /// The earliest beginning.
    pub since: Option<DateTime<Utc>>,
    /// The end of the time, exclusive.
    pub until: Option<DateTime<Utc>>,
}

/// A page of requests, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordPage {
    /// How many at most.
    pub size: u32,
    /// The last of the page before; `None` for the first.
    pub before: Option<(DateTime<Utc>, RequestId)>,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The requests, newest first.
    pub records: Vec<Record>,
    /// Where it stopped before it had looked at everything; `None` once nothing is left to look at or the page is
    /// full.
    pub stopped: Option<(DateTime<Utc>, RequestId)>,
}

/// How far a search goes at once.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Reach {
    /// Records a slice.
    pub(in crate::store) slice: u64,
    /// Slices a call.
    pub(in crate::store) slices: u32,
}

/// Two hundred thousand records a call: some tenths of a second of one reader.
const REACH: Reach = Reach { slice: 20_000, slices: 10 };

impl UsageStore {
    /// The account's requests that fit `filter`, newest first.
    pub async fn requests(
        &self,
        account: AccountId,
        filter: &RecordFilter,
        page: RecordPage,
    ) -> Result<Found, StoreError> {
        self.requests_within(account, filter, page, REACH).await
    }

    pub(in crate::store) async fn requests_within(
        &self,
        account: AccountId,
        filter: &RecordFilter,
        page: RecordPage,
        reach: Reach,
    ) -> Result<Found, StoreError> {
        if self.database.backend() != DbBackend::Sqlite || filter.has_an_order() {
            let records = self.page(select(account, filter, page)).await?;
            return Ok(Found { records, stopped: None });
        }
        let (mut records, mut before) = (Vec::new(), page.before);
        for _ in 0..reach.slices {
            if let Some(key) = filter.key_id {
                match self.latest_day(account, key, before).await? {
                    Some(end) => before = end,
                    None => return Ok(Found { records, stopped: None }),
                }
            }
            let floor = self.floor(account, filter, before, reach.slice).await?;
            let wanted = page.size.saturating_sub(u32::try_from(records.len()).unwrap_or(u32::MAX));
            let mut slice = select(account, filter, RecordPage { size: wanted, before });
            if let Some(floor) = floor {
                slice = slice.filter(place().gte(stored(floor)));
            }
            records.extend(self.page(slice).await?);
            if floor.is_none() || records.len() >= page.size as usize {
                return Ok(Found { records, stopped: None });
            }
            before = floor;
        }
        Ok(Found { records, stopped: before })
    }

    async fn page(&self, select: Select<Entity>) -> Result<Vec<Record>, StoreError> {
        bounded(async {
            let rows = select.all(self.database.reads()).await?;
            Ok(rows.into_iter().map(record_from_row).collect())
        })
        .await
    }

    /// The place of the last record of a slice; `None` if there are not so many.
    async fn floor(
        &self,
        account: AccountId,
        filter: &RecordFilter,
        before: Option<(DateTime<Utc>, RequestId)>,
        slice: u64,
    ) -> Result<Option<(DateTime<Utc>, RequestId)>, StoreError> {
        let times = RecordFilter { since: filter.since, until: filter.until, ..RecordFilter::default() };
        let last = select(account, &times, RecordPage { size: 1, before })
            .select_only()
            .columns([Column::At, Column::Id])
            .offset(slice.saturating_sub(1));
        bounded(async {
            let last: Option<(DateTime<Utc>, Uuid)> = last.into_tuple().one(self.database.reads()).await?;
            Ok(last.map(|(at, id)| (at, RequestId::from_bytes(id.into_bytes()))))
        })
        .await
    }

    /// The place from which a key's requests are searched: `before`, or the end of the latest day before it on which
    /// the key has sums; `None` if there is none. A key that is hardly used is found without going through what others
    /// did since.
    async fn latest_day(
        &self,
        account: AccountId,
        KeyId(key): KeyId,
        before: Option<(DateTime<Utc>, RequestId)>,
    ) -> Result<Option<Option<(DateTime<Utc>, RequestId)>>, StoreError> {
        let mut days = usage_daily::Entity::find()
            .select_only()
            .column(usage_daily::Column::Day)
            .filter(usage_daily::Column::AccountId.eq(account.0))
            .filter(usage_daily::Column::KeyId.eq(key));
        if let Some((at, _)) = before {
            days = days.filter(usage_daily::Column::Day.lte(at.date_naive()));
        }
        let days = days.order_by_desc(usage_daily::Column::Day).limit(1);
        let latest: Option<NaiveDate> =
            bounded::<_, StoreError>(async { Ok(days.into_tuple().one(self.database.reads()).await?) })
                .await?;
        Ok(latest.map(|day| {
            let end = day.checked_add_days(Days::new(1)).unwrap_or(NaiveDate::MAX);
            let end = (end.and_time(NaiveTime::MIN).and_utc(), RequestId::from_bytes([0; 16]));
            match before {
                Some(before) if before.0 <= end.0 => Some(before),
                _ => Some(end),
            }
        }))
    }
}

impl RecordFilter {
    /// Whether SQLite has what fits in the order of a page, all of it or by an index.
    fn has_an_order(&self) -> bool {
        let Self { key_id, model, status, session, .. } = self;
        let failure = status.is_some_and(|status| status >= FAILURE);
        let any = key_id.is_none() && model.is_none() && status.is_none();
        any || session.is_some() || failure
    }
}

/// The least status that is a failure, and in the index over failures.
const FAILURE: u16 = 400;

/// The account's requests that fit `filter`, newest first, of one page.
pub(in crate::store) fn select(
    account: AccountId,
    filter: &RecordFilter,
    page: RecordPage,
) -> Select<Entity> {
    let mut select = Entity::find().filter(Column::AccountId.eq(account.0));
    if let Some(KeyId(key)) = filter.key_id {
        select = select.filter(Column::KeyId.eq(key));
    }
    if let Some(model) = &filter.model {
        select = select.filter(Column::Model.eq(storable_text(model)));
    }
    if let Some(status) = filter.status {
        select = select.filter(Column::Status.eq(i32::from(status)));
        if status >= FAILURE {
            // Written out: SQLite takes a partial index only where the text of a query implies its condition.
            select = select.filter(Expr::cust("status >= 400"));
        }
    }
    if let Some(session) = &filter.session {
        select = select.filter(Column::Session.eq(storable_text(session)));
    }
    if let Some(since) = filter.since {
        select = select.filter(Column::At.gte(since));
    }
    if let Some(until) = filter.until {
        select = select.filter(Column::At.lt(until));
    }
    if let Some((at, id)) = page.before {
        select = select.filter(place().lt(stored((at, id))));
    }
    select.order_by_desc(Column::At).order_by_desc(Column::Id).limit(u64::from(page.size))
}

/// A record's place in the list.
fn place() -> Expr {
    Expr::tuple([Column::At.into_expr(), Column::Id.into_expr()])
}

fn stored((at, id): (DateTime<Utc>, RequestId)) -> Expr {
    Expr::tuple([Expr::val(storable_time(at)), Expr::val(Uuid::from_bytes(id.bytes()))])
}
