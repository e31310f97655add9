//! `usage_record`: one row a request. Times are microseconds where their name says so.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "usage_record")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub at: DateTimeUtc,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub key_id: Option<Uuid>,
    pub generation: Option<i32>,
    pub policy_revision: Option<i64>,
    pub session: Option<String>,
    pub model: Option<String>,
    pub upstream: Option<String>,
    pub streamed: bool,
    pub status: Option<i32>,
    pub ended: String,
    pub total_us: i64,
    pub upstream_us: Option<i64>,
    pub own_us: i64,
    pub first_byte_us: Option<i64>,
    pub tools_input: i64,
    pub tools_denied: i64,
    pub tools_would_deny: i64,
    pub tools_output: i64,
    pub tools_called: i64,
    pub recall_misses: i64,
    pub routing: Option<String>,
    pub prompt_tokens: Option<i64>,
    pub completion_tokens: Option<i64>,
    pub cached_tokens: Option<i64>,
    pub tokens_saved_pruning: i64,
    pub tokens_saved_lists: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
