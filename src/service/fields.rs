//! The fields of a request on their own, checked without its caller and without the store: for a body of which some
//! fields could not even be read, so that what is wrong with the others comes in the same answer.

use chrono::{DateTime, Utc};
use prost::Message;
use prost_reflect::{DynamicMessage, ReflectMessage};
use uuid::Uuid;

use crate::{
    domain::{key::valid_name, violation::Violations},
    proto::v1,
    service::{accounts, keys, page::Page, revocations, usage},
};

/// What is wrong with the fields of `message`, whichever request it is. One that this does not know has no more.
pub(super) fn problems(message: &DynamicMessage, now: DateTime<Utc>) -> Violations {
    let checked = match message.descriptor().full_name() {
        "orqen.v1.CreateKeyRequest" => keys::check_create(read(message), now),
        "orqen.v1.UpdateKeyRequest" => keys::Update::read(&read(message), now).map(drop),
        "orqen.v1.RotateKeyRequest" => keys::Turn::read(&read(message)).map(drop),
        "orqen.v1.DelegateKeyRequest" => keys::wanted(read(message)).map(drop),
        "orqen.v1.SetToollistRequest" => keys::NewLists::read(read(message)).map(drop),
        "orqen.v1.GetDailyRequest" => usage::days_of(&read(message), now.date_naive()).map(drop),
        "orqen.v1.GetByKeyRequest" => usage::keys_of(&read(message), now.date_naive()).map(drop),
        "orqen.v1.ListRequestsRequest" => usage::asked(read(message)).map(drop),
        "orqen.v1.ListAccountsRequest" => {
            let request: v1::ListAccountsRequest = read(message);
            Page::<Uuid>::parse(request.page_size, &request.page_token).map(drop)
        }
        "orqen.v1.ListKeysRequest" => {
            let request: v1::ListKeysRequest = read(message);
            Page::<Uuid>::parse(request.page_size, &request.page_token).map(drop)
        }
        "orqen.v1.ListAuditEventsRequest" => keys::events_of(&read(message)).map(drop),
        "orqen.v1.ListToolHealthRequest" => {
            let request: v1::ListToolHealthRequest = read(message);
            Page::<String>::parse(request.page_size, &request.page_token).map(drop)
        }
        "orqen.v1.CreateAccountRequest" => {
            let request: v1::CreateAccountRequest = read(message);
            valid_name("name", &request.name).map(drop)
        }
        "orqen.v1.RevokeKeysRequest" => revocations::meant(&read(message)).map(drop),
        "orqen.v1.UpdatePolicyRequest" => accounts::policy(&read(message)).map(drop),
        _ => Ok(()),
    };
    checked.err().unwrap_or_default()
}

fn read<M: Message + Default>(message: &DynamicMessage) -> M {
    message.transcode_to().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::POOL;

    #[test]
    fn every_request_with_pages_is_known() {
        let lists = POOL.all_messages().filter(|message| {
            message.parent_file().package_name() == "orqen.v1"
                && message.get_field_by_name("page_size").is_some()
        });
        for descriptor in lists {
            let mut message = DynamicMessage::new(descriptor.clone());
            message.set_field_by_name("page_size", prost_reflect::Value::I32(0));
            let found = problems(&message, DateTime::UNIX_EPOCH);
            assert_eq!(found.as_slice().len(), 1, "{}", descriptor.full_name());
        }
    }
}
