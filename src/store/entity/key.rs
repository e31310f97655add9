//! `key`: everything about a key but its secret.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "key")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub account_id: Uuid,
    pub name: String,
    pub prefix: String,
    pub disabled: bool,
    pub scopes: String,
    pub allowed_tools: Option<String>,
    pub denied_tools: Option<String>,
    pub tool_mode: String,
    pub rate_limit_rpm: Option<i64>,
    pub daily_token_budget: Option<i64>,
    pub weekly_token_budget: Option<i64>,
    pub k_target_override: Option<i64>,
    pub created_at: DateTimeUtc,
    pub created_by: String,
    pub expires_at: Option<DateTimeUtc>,
    pub revoked_at: Option<DateTimeUtc>,
    pub rotated_at: Option<DateTimeUtc>,
    pub revision: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    #[sea_orm(
        belongs_to = "super::account::Entity",
        from = "Column::AccountId",
        to = "super::account::Column::Id"
    )]
    Account,
    #[sea_orm(
        belongs_to = "super::policy::Entity",
        from = "Column::AccountId",
        to = "super::policy::Column::AccountId"
    )]
    Policy,
}

impl ActiveModelBehavior for ActiveModel {}
