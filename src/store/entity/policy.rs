//! `policy`: what an account grants. A table of its own, so that creating a key locks this
//! row and not the account's, which foreign keys lean on.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "policy")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: Uuid,
    pub requests_per_minute: Option<i64>,
    pub concurrent_requests: Option<i64>,
    pub daily_token_budget: Option<i64>,
    pub weekly_token_budget: Option<i64>,
    pub tool_window: Option<i64>,
    pub max_keys: Option<i64>,
    pub prune_mode: Option<String>,
    pub revision: i64,
    pub updated_at: DateTimeUtc,
    pub account_requests_per_minute: Option<i64>,
    pub account_concurrent_requests: Option<i64>,
    pub account_daily_token_budget: Option<i64>,
    pub account_weekly_token_budget: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    #[sea_orm(
        belongs_to = "super::account::Entity",
        from = "Column::AccountId",
        to = "super::account::Column::Id"
    )]
    Account,
}

impl Related<super::account::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Account.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
