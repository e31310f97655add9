//! A key is made with a name alone; what is left out is inherited, and the secret is shown once.

use chrono::{DateTime, TimeDelta, Utc};
use orqen::domain::secret::PlainSecret;
use serde_json::json;
use uuid::Uuid;

use crate::{
    keys::{id, shown, with_an_operator},
    support::actors::Caller,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_all_that_a_key_needs() {
    with_an_operator(async |server, operator| {
        let issued = operator.create_key(json!({"name": "  my agent "})).await.success();
        let members: Vec<&str> = issued.as_object().unwrap().keys().map(String::as_str).collect();
        let expected = [
            "allowed_tools",
            "created_at",
            "created_by",
            "denied_tools",
            "expires_at",
            "generations",
            "id",
            "key",
            "key_prefix",
            "last_used_at",
            "limits",
            "name",
            "revision",
            "revoked_at",
            "rotated_at",
            "scopes",
            "status",
            "tool_mode",
        ];
        assert_eq!(members, expected);
        assert_eq!(issued["name"], "my agent");
        assert_eq!(issued["status"], "active");
        assert_eq!(issued["scopes"], json!(["chat", "keys", "usage"]));
        assert_eq!(issued["tool_mode"], "filter");
        assert_eq!(issued["revision"], 1);
        for absent in
            ["allowed_tools", "denied_tools", "last_used_at", "expires_at", "revoked_at", "rotated_at"]
        {
            assert_eq!(issued[absent], json!(null), "{absent}");
        }
        let secret = json!({
            "number": 1, "key_prefix": issued["key_prefix"], "created_at": issued["created_at"],
            "expires_at": null, "last_used_at": null,
        });
        assert_eq!(issued["generations"], json!([secret]));
        assert_eq!(issued["limits"]["rate_limit_rpm"], json!({"value": null, "source": "policy"}));
        assert_eq!(issued["limits"]["daily_token_budget"], json!({"value": null, "source": "policy"}));
        assert_eq!(Uuid::parse_str(id(&issued)).unwrap().get_version_num(), 7);
        let first = operator.me().await.success();
        assert_eq!(issued["created_by"], format!("key:{}", id(&first["key"])));
        let created_at = issued["created_at"].as_str().unwrap();
        assert!(created_at.ends_with('Z'), "{created_at}");
        let created_at: DateTime<Utc> = created_at.parse().unwrap();
        assert!(server.now() - created_at < TimeDelta::minutes(5), "{created_at}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_is_in_the_create_answer_and_nowhere_else() {
    with_an_operator(async |_, operator| {
        let (agent, issued) = operator.equip(json!({"name": "agent"})).await;
        let secret = agent.secret();
        assert!(PlainSecret::parse(secret).is_ok());
        assert_eq!(secret.len(), 71);
        assert_eq!(issued["key_prefix"], secret[..15]);
        let digits = &secret[15..];
        for answer in [
            operator.list_keys("?include_revoked=true").await,
            operator.key(id(&issued)).await,
            operator.update_key(id(&issued), json!({"name": "renamed"})).await,
            operator.set_toollist(id(&issued), json!({"denied_tools": ["rm"]})).await,
            agent.me().await,
            operator.revoke_key(id(&issued)).await,
            agent.me().await,
        ] {
            let text = format!("{answer:?}");
            assert!(!text.contains(digits), "{text}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_of_a_new_key_is_kept() {
    with_an_operator(async |server, operator| {
        let expires_at = "2099-12-31T23:59:59.123456Z";
        let body = json!({
            "name": "b\u{fc}cher \u{1f4da}",
            "expires_at": "2100-01-01T01:59:59.1234569+02:00",
            "scopes": ["usage", "chat", "chat"],
            "rate_limit_rpm": 5,
            "daily_token_budget": 0,
            "weekly_token_budget": 1_000_000_000_000_i64,
            "k_target_override": 1000,
            "allowed_tools": ["a", "github_*"],
            "denied_tools": [],
            "tool_mode": "block",
        });
        let (agent, issued) = operator.equip(body).await;
        assert_eq!(issued["name"], "b\u{fc}cher \u{1f4da}");
        assert_eq!(issued["expires_at"], expires_at);
        assert_eq!(issued["scopes"], json!(["chat", "usage"]));
        assert_eq!(issued["allowed_tools"], json!(["a", "github_*"]));
        assert_eq!(issued["denied_tools"], json!([]));
        assert_eq!(issued["tool_mode"], "block");
        let limits = &issued["limits"];
        assert_eq!(limits["rate_limit_rpm"], json!({"value": 5, "source": "key"}));
        assert_eq!(limits["daily_token_budget"], json!({"value": 0, "source": "key"}));
        assert_eq!(limits["weekly_token_budget"], json!({"value": 1_000_000_000_000_i64, "source": "key"}));
        assert_eq!(limits["k_target"], json!({"value": 1000, "source": "key"}));
        assert_eq!(limits["concurrent_requests"], json!({"value": null, "source": "policy"}));

        assert_eq!(operator.key(id(&issued)).await.success(), shown(&issued));
        agent.list_keys("").await.refused(403, "insufficient_scope");
        let expires_at: DateTime<Utc> = expires_at.parse().unwrap();
        assert!(expires_at > server.now());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_out_comes_from_the_creating_key() {
    with_an_operator(async |_, operator| {
        let parent = json!({
            "name": "parent",
            "expires_at": "2099-01-01T00:00:00Z",
            "scopes": ["chat", "keys"],
            "rate_limit_rpm": 5,
            "daily_token_budget": 100,
            "weekly_token_budget": 200,
            "k_target_override": 8,
            "allowed_tools": ["a", "b*"],
            "denied_tools": ["bad"],
            "tool_mode": "block",
        });
        let (agent, parent) = operator.equip(parent).await;
        let child = agent.create_key(json!({"name": "child"})).await.success();
        for member in ["expires_at", "scopes", "limits", "allowed_tools", "denied_tools", "tool_mode"] {
            assert_eq!(child[member], parent[member], "{member}");
        }
        assert_eq!(child["created_by"], format!("key:{}", id(&parent)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_wrong_is_told_in_one_answer() {
    with_an_operator(async |_, operator| {
        let body = json!({
            "name": "\u{0}",
            "expires_at": "2001-01-01T00:00:00Z",
            "scopes": [],
            "rate_limit_rpm": 0,
            "daily_token_budget": -1,
            "weekly_token_budget": -1,
            "k_target_override": 1001,
            "allowed_tools": [""],
        });
        let error = operator.create_key(body.clone()).await.refused(400, "invalid_request_error");
        let message = error["message"].as_str().unwrap();
        for field in body.as_object().unwrap().keys() {
            assert!(message.contains(field.as_str()), "{field}: {message}");
        }
        assert_eq!(error["param"], "name");
        for field in ["rate_limit_rpm", "daily_token_budget", "weekly_token_budget"] {
            let body = json!({"name": "x", field: 1_000_000_000_001_i64});
            assert_eq!(operator.create_key(body).await.refused(400, "invalid_request_error")["param"], field);
        }
        let unknown = operator.create_key(json!({"name": "x", "colour": "red"})).await;
        assert_eq!(unknown.refused(400, "invalid_request_error")["param"], "colour");
        assert_eq!(operator.list_keys("").await.success()["keys"].as_array().unwrap().len(), 1);
    })
    .await;
}
