//! `usage_daily`: the sums of a key's requests in a UTC day.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "usage_daily")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub key_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub day: Date,
    pub complete: i64,
    pub client: i64,
    pub upstream: i64,
    pub error: i64,
    pub tools_input: i64,
    pub tools_denied: i64,
    pub tools_would_deny: i64,
    pub tools_output: i64,
    pub tools_called: i64,
    pub recall_misses: i64,
    pub prompt_tokens: i64,
    pub completion_tokens: i64,
    pub cached_tokens: i64,
    pub tokens_saved: i64,
    pub tokens_saved_pruning: i64,
    pub tokens_saved_lists: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
