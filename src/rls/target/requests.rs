//! The requests that the audit plays: their roles, claims and settings.

use super::application::Application;
use super::identity::{Claims, Identity, masked};
use super::roles::Role;
use crate::pg::cstring::c_string;
use crate::rls::model::Audience;
use serde_json::{Map, Value};

impl Application {
    /// A request without claims: its session never set any.
    pub fn without_claims(&self, role: &Role) -> Identity {
        let label = format!("{} without claims", role.name);
        self.without_user(role, label, None)
    }

    /// A request with only the anonymous key.
    pub fn anon_key(&self, role: &Role) -> Identity {
        let claims = Map::from_iter([("role".to_owned(), Value::from(role.name.clone()))]);
        let label = match role.is_anonymous {
            true => format!("{} with the anonymous key", role.name),
            false => format!("{} without a user", role.name),
        };
        self.without_user(role, label, Some(&claims))
    }

    fn without_user(&self, role: &Role, label: String, claims: Option<&Claims>) -> Identity {
        Identity {
            label,
            role: role.oid,
            user: None,
            is_account: false,
            audience: match role.is_anonymous {
                true => Audience::Anonymous,
                false => Audience::Session,
            },
            is_privileged: false,
            is_scope: false,
            is_tried: false,
            settings: self.settings(claims),
        }
    }

    /// A new account that owns no rows.
    pub fn new_account(&self, role: &Role) -> Identity {
        self.stranger(role, "as a new account", |_| {})
    }

    /// A new account that signed in with a second factor (claim aal).
    pub fn second_factor(&self, role: &Role) -> Identity {
        self.stranger(role, "with a second factor", |claims| {
            claims.insert("aal".to_owned(), "aal2".into());
        })
    }

    /// An anonymous sign-in (claim is_anonymous) that owns no rows.
    pub fn anonymous_sign_in(&self, role: &Role) -> Identity {
        self.stranger(role, "as an anonymous sign-in", |claims| {
            claims.insert("is_anonymous".to_owned(), Value::Bool(true));
        })
    }

    /// A user without rows, whose claims are those of a new account after `change`.
    pub(super) fn stranger(
        &self,
        role: &Role,
        label: &str,
        change: impl FnOnce(&mut Claims),
    ) -> Identity {
        let id = self.unused_id();
        let mut claims = self.claims_of(role, &id, None);
        change(&mut claims);
        let settings = self.settings(Some(&claims));
        Identity {
            label: format!("{} {label}", role.name),
            role: role.oid,
            user: Some(id),
            is_account: false,
            audience: match role.is_client {
                true => Audience::AnyAccount,
                false => Audience::Session,
            },
            is_privileged: false,
            is_scope: false,
            is_tried: false,
            settings,
        }
    }

    /// A user with the claims of its account, if there is one.
    pub fn user(&self, role: &Role, id: &str, account: Option<&Claims>) -> Identity {
        let claims = self.claims_of(role, id, account);
        Identity {
            label: format!("{} as {}", role.name, masked(id)),
            role: role.oid,
            user: Some(id.to_owned()),
            is_account: true,
            audience: Audience::EveryUser,
            is_privileged: false,
            is_scope: false,
            is_tried: false,
            settings: self.settings(Some(&claims)),
        }
    }

    /// The identity of the self-test: its tables' policies read the id from a setting.
    pub fn self_test_user(&self, role: &Role, id: &str) -> Identity {
        let settings = vec![
            (c"row_security".to_owned(), c"on".to_owned()),
            // With it off, the planner can add a penalty that exceeds the cost limit.
            (c"enable_seqscan".to_owned(), c"on".to_owned()),
            (c"crewsnow_ops.self_test_user".to_owned(), c_string(id)),
        ];
        Identity {
            label: "self-test".to_owned(),
            role: role.oid,
            user: Some(id.to_owned()),
            is_account: false,
            audience: Audience::AnyAccount,
            is_privileged: false,
            is_scope: false,
            is_tried: false,
            settings,
        }
    }

    fn claims_of(&self, role: &Role, id: &str, account: Option<&Claims>) -> Claims {
        let claim = |column: &str| {
            account
                .and_then(|account| account.get(column))
                .filter(|value| !value.is_null())
                .cloned()
        };
        let object = || Map::new().into();
        Map::from_iter(
            [
                ("sub", id.into()),
                ("role", role.name.clone().into()),
                ("aud", role.name.clone().into()),
                ("aal", "aal1".into()),
                ("email", claim("email").unwrap_or_else(|| "".into())),
                ("phone", claim("phone").unwrap_or_else(|| "".into())),
                ("app_metadata", claim("raw_app_meta_data").unwrap_or_else(object)),
                ("user_metadata", claim("raw_user_meta_data").unwrap_or_else(object)),
                ("is_anonymous", claim("is_anonymous").unwrap_or(Value::Bool(false))),
            ]
            .map(|(name, value): (&str, Value)| (name.to_owned(), value)),
        )
    }
}
