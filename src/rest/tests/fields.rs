//! From bodies, paths and queries to messages: what is taken, and each thing that is not, by name.

use super::Rest;
use crate::proto::v1;

#[tokio::test]
async fn create_takes_every_field() {
    let rest = Rest::orqen();
    let body = r#"{"name":"caf\u00e9 \ud83d\ude00","expires_at":"2030-01-02T03:04:05.25+01:00","scopes":["chat","usage"],
        "rate_limit_rpm":9007199254740993,"daily_token_budget":1e3,"allowed_tools":[],"denied_tools":["a","a"],
        "toolMode":"block","weekly_token_budget":null}"#;
    assert_eq!(rest.json("POST", "/v1/account/keys", body).await.status, 200);
    let called: v1::CreateKeyRequest = rest.called();
    let expected = v1::CreateKeyRequest {
        name: "café 😀".to_owned(),
        expires_at: Some(prost_types::Timestamp { seconds: 1_893_549_845, nanos: 250_000_000 }),
        scopes: Some(v1::ScopeList { values: vec![v1::Scope::Chat as i32, v1::Scope::Usage as i32] }),
        rate_limit_rpm: Some(9_007_199_254_740_993),
        daily_token_budget: Some(1000),
        allowed_tools: Some(v1::StringList { values: vec![] }),
        denied_tools: Some(v1::StringList { values: vec!["a".to_owned(), "a".to_owned()] }),
        tool_mode: v1::ToolMode::Block as i32,
        ..v1::CreateKeyRequest::default()
    };
    assert_eq!(called, expected);
}

#[tokio::test]
async fn empty_body_is_an_empty_object() {
    let rest = Rest::orqen();
    for body in ["", " \n", "{}", r#"{"name":null}"#] {
        assert_eq!(rest.json("POST", "/v1/keys", body).await.status, 200);
        assert_eq!(rest.called::<v1::CreateKeyRequest>(), v1::CreateKeyRequest::default());
    }
}

#[tokio::test]
async fn update_mask_is_the_members_of_the_body() {
    let rest = Rest::orqen();
    for (body, paths, allowed) in [
        ("{}", &[][..], None),
        (
            r#"{"denied_tools":null,"allowed_tools":["a"]}"#,
            &["denied_tools", "allowed_tools"],
            Some(vec!["a"]),
        ),
        (r#"{"allowedTools":[]}"#, &["allowed_tools"], Some(vec![])),
        (r#"{"allowed_tools":null}"#, &["allowed_tools"], None),
    ] {
        assert_eq!(rest.json("PUT", "/v1/keys/k/toollist", body).await.status, 200, "{body}");
        let called: v1::SetToollistRequest = rest.called();
        assert_eq!(called.update_mask.unwrap().paths, paths);
        let values: Option<Vec<String>> = allowed.map(|names| names.into_iter().map(str::to_owned).collect());
        assert_eq!(called.allowed_tools.map(|list| list.values), values);
        assert_eq!(called.key_id, "k");
    }
}

#[tokio::test]
async fn members_that_are_not_the_clients_are_refused() {
    let rest = Rest::orqen();
    let body = r#"{"update_mask":"allowed_tools","key_id":"other","keyId":"x","updateMask":null,"allow":[]}"#;
    assert_eq!(rest.json("PUT", "/v1/keys/k/toollist", body).await.status, 400);
    let mask = "it is made from the members of the body; leave it out".to_owned();
    let path = "the path gives it; leave it out".to_owned();
    let unknown = "there is no such member; known are `allowed_tools`, `denied_tools`".to_owned();
    assert_eq!(
        rest.fields_refused(),
        [
            ("update_mask".to_owned(), mask.clone()),
            ("key_id".to_owned(), path.clone()),
            ("keyId".to_owned(), path),
            ("updateMask".to_owned(), mask),
            ("allow".to_owned(), unknown),
        ]
    );
}

#[tokio::test]
async fn wrong_values_are_named_with_what_is_expected() {
    let rest = Rest::orqen();
    let range = "expected a whole number from -9223372036854775808 to 9223372036854775807, got ";
    for (body, field, message) in [
        (r#"{"name":5}"#, "name", "expected a string, got 5".to_owned()),
        (r#"{"name":{"a":1}}"#, "name", "expected a string, got an object".to_owned()),
        (r#"{"name":"\ud800"}"#, "name", "half of a surrogate pair".to_owned()),
        (r#"{"name":"\ude00\ud83d"}"#, "name", "half of a surrogate pair".to_owned()),
        (r#"{"rate_limit_rpm":1.5}"#, "rate_limit_rpm", format!("{range}1.5")),
        (r#"{"rate_limit_rpm":1e400}"#, "rate_limit_rpm", format!("{range}1e400")),
        (r#"{"rate_limit_rpm":1e99999999999999999999}"#, "rate_limit_rpm", range.to_owned()),
        (r#"{"rate_limit_rpm":1e-99999999999999999999}"#, "rate_limit_rpm", range.to_owned()),
        (
            r#"{"rate_limit_rpm":9223372036854775808}"#,
            "rate_limit_rpm",
            format!("{range}9223372036854775808"),
        ),
        (
            r#"{"rate_limit_rpm":"10"}"#,
            "rate_limit_rpm",
            "expected a number, not a string: write 10 without quotes".to_owned(),
        ),
        (r#"{"rate_limit_rpm":"ten"}"#, "rate_limit_rpm", "expected a number, got \"ten\"".to_owned()),
        (r#"{"rate_limit_rpm":true}"#, "rate_limit_rpm", "expected a number, got true".to_owned()),
        (r#"{"scopes":"chat"}"#, "scopes", "expected an array, got \"chat\"".to_owned()),
        (r#"{"scopes":{"values":["chat"]}}"#, "scopes", "expected an array, got an object".to_owned()),
        (
            r#"{"scopes":["chat","admin"]}"#,
            "scopes[1]",
            "expected one of \"chat\", \"keys\", \"usage\", got \"admin\"".to_owned(),
        ),
        (r#"{"scopes":["SCOPE_CHAT"]}"#, "scopes[0]", "got \"SCOPE_CHAT\"".to_owned()),
        (r#"{"scopes":["unspecified"]}"#, "scopes[0]", "got \"unspecified\"".to_owned()),
        (r#"{"scopes":[1]}"#, "scopes[0]", "got 1".to_owned()),
        (r#"{"allowed_tools":["a",null]}"#, "allowed_tools[1]", "null cannot stand here".to_owned()),
        (r#"{"allowed_tools":["a",7]}"#, "allowed_tools[1]", "expected a string, got 7".to_owned()),
        (r#"{"expires_at":"tomorrow"}"#, "expires_at", "expected an RFC 3339 time such as".to_owned()),
        (r#"{"expires_at":1700000000}"#, "expires_at", "got 1700000000".to_owned()),
        (r#"{"expires_at":"2030-01-01 00:00:00Z"}"#, "expires_at", "RFC 3339".to_owned()),
        (r#"{"expires_at":"2030-01-01T00:00:00"}"#, "expires_at", "RFC 3339".to_owned()),
        (r#"{"expires_at":"2016-12-31T23:59:60Z"}"#, "expires_at", "RFC 3339".to_owned()),
        (r#"{"expires_at":"0000-01-01T00:00:00Z"}"#, "expires_at", "RFC 3339".to_owned()),
        (r#"{"expires_at":"9999-12-31T23:59:59-01:00"}"#, "expires_at", "RFC 3339".to_owned()),
        (r#"{"name":"a","name":"b"}"#, "name", "the member is given more than once; give it once".to_owned()),
        (
            r#"{"name":"a","n\u0061me":"b"}"#,
            "name",
            "the member is given more than once; give it once".to_owned(),
        ),
        (
            r#"{"tool_mode":"block","toolMode":"filter"}"#,
            "toolMode",
            "the member is given more than once, also as `tool_mode`".to_owned(),
        ),
        (r#"{"x":{"a":1,"b":[{"c":1,"c":2}]}}"#, "x.b[0].c", "the member is given more than once".to_owned()),
        ("{\"\\u0000\":1}", "\"\\0\"", "there is no such member".to_owned()),
    ] {
        assert_eq!(rest.json("POST", "/v1/keys", body).await.status, 400, "{body}");
        let (named, said) = rest.fields_refused().remove(0);
        assert_eq!(named, field, "{body}");
        assert!(said.contains(&message), "{body}: {said}");
    }
    assert_eq!(rest.path_called(), None);
}

#[tokio::test]
async fn all_findings_come_at_once_and_are_bounded() {
    let rest = Rest::orqen();
    rest.json(
        "POST",
        "/v1/keys",
        r#"{"nam":"a","name":1,"scopes":["x"],"tool_mode":null,"rate_limit_rpm":"1"}"#,
    )
    .await;
    let fields: Vec<String> = rest.fields_refused().into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["nam", "name", "scopes[0]", "rate_limit_rpm"]);

    let many = format!(r#"{{"allowed_tools":[{}1]}}"#, "1,".repeat(100_000));
    let answer = rest.json("POST", "/v1/keys", many).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text.ends_with("; and 99901 more"));
    assert!(answer.text.len() < 20_000);
}

#[tokio::test]
async fn texts_that_are_no_json_are_told_where() {
    let rest = Rest::orqen();
    for (body, message) in [
        (&b"{\"name\":\n \"a\""[..], "`,` or `}` is expected, but the text ends (line 2, column 5)"),
        (b"{\"name\":\"a\"} x", "there is more after the end of the JSON text (line 1, column 14)"),
        (b"{'name':1}", "a member's name in double quotes is expected"),
        (b"{\"name\":}", "a value is expected (line 1, column 9)"),
        (b"{\"a\":[1,]}", "a value is expected"),
        (b"{\"a\":1,}", "a member's name in double quotes is expected"),
        (b"{\"a\":01}", "`,` or `}` is expected"),
        (b"{\"a\":+1}", "a value is expected"),
        (b"{\"a\":1.}", "a digit is expected"),
        (b"{\"a\":NaN}", "a value is expected"),
        (b"{\"a\":nul}", "a value is expected"),
        (b"{\"a\":\"\\x\"}", "there is no such escape"),
        (b"{\"a\":\"\\u12\"}", "four hexadecimal digits"),
        (b"{\"a\":\"\n\"}", "a control character in a string must be escaped"),
        (b"{\"a\":\"", "a string does not end"),
        (b"{\"a\":\"\xff\"}", "it is not UTF-8 (at byte 6)"),
        (b"\xef\xbb\xbf{}", "a value is expected"),
        (b"[]", "expected an object, got an array"),
        (b"null", "expected an object, got null"),
        (b"\"name\"", "expected an object, got \"name\""),
    ] {
        let answer = rest.json("POST", "/v1/keys", body).await;
        assert_eq!(answer.status, 400);
        assert!(answer.text.contains(message), "{}: {}", String::from_utf8_lossy(body), answer.text);
    }
}

#[tokio::test]
async fn depth_is_bounded() {
    let rest = Rest::orqen();
    let nested = |depth: usize| format!(r#"{{"x":{}{}}}"#, "[".repeat(depth - 1), "]".repeat(depth - 1));
    rest.json("POST", "/v1/keys", nested(128)).await;
    assert_eq!(rest.fields_refused()[0].0, "x");
    for depth in [129, 200_000] {
        let answer = rest.json("POST", "/v1/keys", nested(depth)).await;
        assert!(answer.text.contains("more than 128 deep"), "{}", answer.text);
    }
    let deep = super::Options { json_depth: usize::MAX, ..super::options("orqen.v1") };
    let answer = Rest::over(&crate::proto::POOL, deep).json("POST", "/v1/keys", nested(400_000)).await;
    assert!(answer.text.contains("more than 512 deep"), "{}", answer.text);
}

#[tokio::test]
async fn query_gives_the_fields() {
    let rest = Rest::orqen();
    assert_eq!(
        rest.get("/v1/keys?page_size=10&includeRevoked=true&&page_token=a%2Bb+c%3D").await.status,
        200
    );
    let expected =
        v1::ListKeysRequest { page_size: Some(10), page_token: "a+b c=".to_owned(), include_revoked: true };
    assert_eq!(rest.called::<v1::ListKeysRequest>(), expected);
    for (query, field, message) in [
        (
            "limit=1",
            "limit",
            "there is no such parameter; known are `page_size`, `page_token`, `include_revoked`",
        ),
        ("page_size=1&page_size=2", "page_size", "the parameter is given more than once, again as \"2\""),
        ("page_size=1&pageSize=1", "pageSize", "the parameter is given more than once"),
        ("page_size=ten", "page_size", "expected a number, got \"ten\""),
        ("page_size=", "page_size", "expected a number, got \"\""),
        ("page_size=2147483648", "page_size", "from -2147483648 to 2147483647, got 2147483648"),
        ("page_size=1.5", "page_size", "expected a whole number"),
        ("include_revoked=yes", "include_revoked", "expected true or false, got \"yes\""),
        ("include_revoked", "include_revoked", "expected true or false, got \"\""),
        ("page_token=%f", "page_token", "percent-encoded"),
        ("page_token=%ff", "page_token", "percent-encoded"),
        ("page_token.x=1", "page_token.x", "`page_token` has no fields of its own"),
        ("=1", "\"\"", "there is no such parameter"),
    ] {
        assert_eq!(rest.get(&format!("/v1/keys?{query}")).await.status, 400, "{query}");
        let (named, said) = rest.fields_refused().remove(0);
        assert!(said.contains(message), "{query}: {said}");
        assert_eq!(named, field);
    }
    assert_eq!(rest.get("/v1/keys/a?key_id=b").await.status, 400);
    assert_eq!(rest.fields_refused(), [("key_id".to_owned(), "the path gives it; leave it out".to_owned())]);
    assert_eq!(rest.json("POST", "/v1/keys?name=x", "{}").await.status, 400);
    assert_eq!(rest.fields_refused()[0].0, "name");
}
