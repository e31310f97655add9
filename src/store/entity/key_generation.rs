//! `key_generation`: the secrets that a key has had, as digests, numbered from 1. The number is enough of an id:
//! usage records name a generation by key and number.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "key_generation")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub key_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub generation: i32,
    pub digest: Vec<u8>,
    pub pepper_version: i64,
    pub created_at: DateTimeUtc,
    pub expires_at: Option<DateTimeUtc>,
    pub last_used_at: Option<DateTimeUtc>,
    pub prefix: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    #[sea_orm(belongs_to = "super::key::Entity", from = "Column::KeyId", to = "super::key::Column::Id")]
    Key,
}

impl ActiveModelBehavior for ActiveModel {}
