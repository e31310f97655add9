//! `audit_event`: who changed what, and what was refused. Rows are added and read, never changed.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_event")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub account_id: Uuid,
    pub at: DateTimeUtc,
    pub actor: String,
    pub request_id: Option<String>,
    pub action: String,
    pub key_id: Option<Uuid>,
    pub changes: Option<String>,
    pub code: Option<String>,
    pub field: Option<String>,
    pub message: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
