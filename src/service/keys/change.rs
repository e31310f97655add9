//! What a caller wants changed of a key, checked before the key is looked up: a bad field is told as such even for a
//! key that is not there.

use chrono::{DateTime, Utc};

use crate::{
    domain::{
        key::{Key, valid_name},
        toollist::Toollist,
        violation::Violations,
    },
    proto::v1,
    service::convert,
};

/// New values of a key's own fields; `None` leaves one as it is.
pub(in crate::service) struct Update {
    name: Option<String>,
    expires_at: Option<Option<DateTime<Utc>>>,
    disabled: Option<bool>,
}

impl Update {
    /// Reads what a request names.
    pub(in crate::service) fn read(
        request: &v1::UpdateKeyRequest,
        now: DateTime<Utc>,
    ) -> Result<Self, Violations> {
        let mut violations = Violations::new();
        let fields = convert::masked(
            &mut violations,
            request.update_mask.as_ref(),
            &[
                ("name", request.name.is_some()),
                ("expires_at", request.expires_at.is_some()),
                ("disabled", request.disabled.is_some()),
            ],
        );
        let mut update = Self { name: None, expires_at: None, disabled: None };
        for field in fields {
            match field {
                "name" => {
                    let name = valid_name("name", request.name.as_deref().unwrap_or_default());
                    update.name = violations.collect(name);
                }
                "expires_at" => {
                    let expiry = convert::expiry(field, request.expires_at.as_ref(), now);
                    update.expires_at = violations.collect(expiry);
                }
                _ if request.disabled.is_none() => {
                    violations.add("disabled", "cannot be cleared: give true or false");
                }
                _ => update.disabled = request.disabled,
            }
        }
        violations.into_result().map(|()| update)
    }

    /// Makes them the key's.
    pub(super) fn apply(self, key: &mut Key) {
        key.name = self.name.unwrap_or_else(|| std::mem::take(&mut key.name));
        key.expires_at = self.expires_at.unwrap_or(key.expires_at);
        key.disabled = self.disabled.unwrap_or(key.disabled);
    }
}

/// New tool lists of a key.
pub(in crate::service) struct NewLists {
    given: Toollist,
    set_allowed: bool,
    set_denied: bool,
}

impl NewLists {
    /// Reads what a request names.
    pub(in crate::service) fn read(request: v1::SetToollistRequest) -> Result<Self, Violations> {
        let mut violations = Violations::new();
        let fields = convert::masked(
            &mut violations,
            request.update_mask.as_ref(),
            &[
                ("allowed_tools", request.allowed_tools.is_some()),
                ("denied_tools", request.denied_tools.is_some()),
            ],
        );
        let [allowed, denied] =
            [request.allowed_tools, request.denied_tools].map(|list| list.map(|list| list.values));
        let given = violations.collect(Toollist::new(allowed, denied)).unwrap_or_else(Toollist::unbound);
        let named = |field| fields.contains(&field);
        let (set_allowed, set_denied) = (named("allowed_tools"), named("denied_tools"));
        violations.into_result().map(|()| Self { given, set_allowed, set_denied })
    }

    /// Makes them the key's, beside the one that is not named.
    pub(super) fn apply(&self, key: &mut Key) -> Result<(), Violations> {
        let pick = |set: bool, given: Option<&[String]>, current: Option<&[String]>| {
            if set { given } else { current }.map(<[String]>::to_vec)
        };
        key.toollist = Toollist::new(
            pick(self.set_allowed, self.given.allowed(), key.toollist.allowed()),
            pick(self.set_denied, self.given.denied(), key.toollist.denied()),
        )?;
        Ok(())
    }
}
