#!/usr/bin/env bash
# The documented calls, with curl, as the documentation writes them: primary paths and their aliases.
#
# `ask` keeps the answer's status, headers and body; `expect` tests a Python expression over `status`, `headers`
# (names in lower case) and `body` (JSON where it is), since jq is not on every machine and Python is needed anyway.
set -euo pipefail

answer=$(mktemp -d)
trap 'rm -rf "$answer"' EXIT
failed=0
ORQEN_API_KEY=$ORQEN_FIRST_KEY

ask() {
    curl -sS --max-time 15 -o "$answer/body" -D "$answer/headers" "$@"
}

expect() { # expect SENTENCE EXPRESSION
    if python3 - "$answer" "$2" <<'PYTHON'; then
import json, sys
folder, expression = sys.argv[1:]
lines = open(f"{folder}/headers").read().replace("\r", "").strip().split("\n")
status = int(lines[0].split()[1])
headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines[1:] if ":" in line)}
text = open(f"{folder}/body").read()
try:
    body = json.loads(text)
except ValueError:
    body = None
if not eval(f"({expression})"):
    sys.exit(f"not so: {expression}\n{status} {headers}\n{text}")
PYTHON
        echo "ok      curl: $1"
    else
        echo "FAILED  curl: $1"
        failed=1
    fi
}

field() { # field NAME: a member of the last answer
    python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$answer/body" "$1"
}

ask "$ORQEN_URL/healthz"
expect "the process says that it lives" 'status == 200'
ask "$ORQEN_URL/readyz"
expect "and that it is ready" 'status == 200'

if bash -c "$ORQEN_FIRST_CURL -sS -o '$answer/body' -D '$answer/headers'"; then
    expect "the line that the first start printed works as it stands" \
        'status == 200 and "Hello" in body["choices"][0]["message"]["content"]'
else
    echo "FAILED  curl: the line that the first start printed works as it stands"
    failed=1
fi

for keys in /v1/account/keys /v1/keys; do
    ask -X POST "$ORQEN_URL$keys" \
        -H "Authorization: Bearer $ORQEN_API_KEY" \
        -H "Content-Type: application/json" \
        -d '{"name": "my-agent"}'
    expect "POST $keys needs only a name, and shows the secret" 'status == 200 and body["name"] == "my-agent"
        and len(body["key"]) == 71 and body["key"].startswith(body["key_prefix"]) and len(body["key_prefix"]) == 15
        and body["status"] == "active" and set(body["scopes"]) == {"chat", "keys", "usage"}
        and body["allowed_tools"] is None and body["denied_tools"] is None and body["expires_at"] is None
        and body["tool_mode"] == "filter" and body["revision"] == 1'
    key_id=$(field id)
    key=$(field key)

    ask "$ORQEN_URL${keys%/keys}/usage/summary" -H "Authorization: Bearer $key"
    expect "GET ${keys%/keys}/usage/summary tests a new key: 200 and zeroes" 'status == 200
        and set(body["requests"].values()) == {0} and set(body["tools"].values()) == {0}
        and body["estimated_tokens_saved"] == 0'

    ask "$ORQEN_URL$keys" -H "Authorization: Bearer $ORQEN_API_KEY"
    expect "GET $keys lists it, newest first, without a secret" 'status == 200
        and body["keys"][0]["name"] == "my-agent" and body["next_page_token"] == ""
        and all("key" not in key for key in body["keys"])'

    ask "$ORQEN_URL$keys/$key_id" -H "Authorization: Bearer $ORQEN_API_KEY"
    expect "GET $keys/{id} gives it" "status == 200 and body['id'] == '$key_id' and 'key' not in body"

    ask -X PATCH "$ORQEN_URL$keys/$key_id" \
        -H "Authorization: Bearer $ORQEN_API_KEY" \
        -H "Content-Type: application/json" \
        -d '{"name": "renamed", "expires_at": "2099-01-01T00:00:00Z"}'
    expect "PATCH $keys/{id} renames it" 'status == 200 and body["name"] == "renamed"
        and body["expires_at"] == "2099-01-01T00:00:00Z" and body["revision"] == 2'

    ask -X PUT "$ORQEN_URL$keys/$key_id/toollist" \
        -H "Authorization: Bearer $ORQEN_API_KEY" \
        -H "Content-Type: application/json" \
        -d '{"allowed_tools": ["get_weather", "github_*"], "denied_tools": ["github_delete_*"]}'
    expect "PUT $keys/{id}/toollist sets both lists" 'status == 200
        and body["allowed_tools"] == ["get_weather", "github_*"] and body["denied_tools"] == ["github_delete_*"]'

    curl -sS -X DELETE "$SCRIPTED_URL/received" >"$answer/body"
    ask "$ORQEN_URL/v1/chat/completions" \
        -H "Authorization: Bearer $key" \
        -H "Content-Type: application/json" \
        -d '{"model": "scripted-1", "messages": [{"role": "user", "content": "Weather?"}], "tools": [
              {"type": "function", "function": {"name": "github_delete_repo"}},
              {"type": "function", "function": {"name": "get_weather"}}]}'
    expect "the key chats within its lists" 'status == 200
        and body["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "get_weather"
        and headers["x-orqen-tools-input"] == "2" and headers["x-orqen-tools-denied"] == "1"'
    ask "$SCRIPTED_URL/received"
    expect "and the provider never sees the other tool" 'len(body) == 1 and "github_delete" not in body[0]["body"]
        and "get_weather" in body[0]["body"]'

    ask -X PUT "$ORQEN_URL$keys/$key_id/toollist" \
        -H "Authorization: Bearer $ORQEN_API_KEY" \
        -H "Content-Type: application/json" \
        -d '{"allowed_tools": null}'
    expect "PUT with null clears a list and leaves the other" 'status == 200 and body["allowed_tools"] is None
        and body["denied_tools"] == ["github_delete_*"]'
    ask -X PUT "$ORQEN_URL$keys/$key_id/toollist" -H "Authorization: Bearer $ORQEN_API_KEY" \
        -H "Content-Type: application/json" -d '{"allowed_tools": []}'
    expect "PUT with [] as allowlist is kept as []" 'status == 200 and body["allowed_tools"] == []'

    ask -X DELETE "$ORQEN_URL$keys/$key_id" -H "Authorization: Bearer $ORQEN_API_KEY"
    expect "DELETE $keys/{id} revokes it" "status == 200 and body == {'id': '$key_id', 'revoked': True}"
    ask -X DELETE "$ORQEN_URL$keys/$key_id" -H "Authorization: Bearer $ORQEN_API_KEY"
    expect "and again, with the same answer" "status == 200 and body == {'id': '$key_id', 'revoked': True}"
    ask "$ORQEN_URL/v1/usage/summary" -H "Authorization: Bearer $key"
    expect "a revoked key is a 401 at once" 'status == 401 and body["error"]["code"] == "api_key_revoked"'
    ask "$ORQEN_URL$keys?include_revoked=true&page_size=1" -H "Authorization: Bearer $ORQEN_API_KEY"
    expect "the list shows revoked keys when asked, a page at a time" 'status == 200 and len(body["keys"]) == 1
        and body["keys"][0]["status"] == "revoked" and body["next_page_token"]'
done

ask "$ORQEN_URL/v1/chat/completions" \
    -H "Authorization: Bearer $ORQEN_API_KEY" \
    -H "Content-Type: application/json" \
    -d '{"model": "orqen/demo", "messages": [{"role": "user", "content": "Hello"}]}'
expect "POST /v1/chat/completions answers" 'status == 200 and body["object"] == "chat.completion"
    and len(headers["x-request-id"]) >= 16'
ask -N "$ORQEN_URL/v1/chat/completions" \
    -H "Authorization: Bearer $ORQEN_API_KEY" \
    -H "Content-Type: application/json" \
    -d '{"model": "orqen/demo", "messages": [{"role": "user", "content": "Hello"}], "stream": true}'
expect "and streams" 'status == 200 and headers["content-type"].startswith("text/event-stream")
    and text.count("data: ") > 2 and text.endswith("data: [DONE]\n\n")'
ask "$ORQEN_URL/v1/models" -H "Authorization: Bearer $ORQEN_API_KEY"
expect "GET /v1/models lists" 'status == 200 and "orqen/demo" in [model["id"] for model in body["data"]]'
ask "$ORQEN_URL/v1/account/me" -H "Authorization: Bearer $ORQEN_API_KEY"
expect "GET /v1/account/me tells who calls" 'status == 200 and body["account"]["name"] == "default"
    and body["key"]["created_by"] == "bootstrap"'

settled='status == 200 and body["requests"]["total"] >= 3 and body["tools"]["denied"] >= 0'
for _ in $(seq 50); do # recording never holds up an answer: the figures follow within a second
    ask "$ORQEN_URL/v1/usage/summary" -H "Authorization: Bearer $ORQEN_API_KEY"
    [[ $(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["requests"]["complete"] >= 3)' "$answer/body") == True ]] && break
    sleep 0.1
done
expect "the summary counts what was asked" "$settled and body['account']['requests']['total'] >= 5"

ask "$ORQEN_URL/v1/keys"
expect "no key is a 401 in OpenAI's shape" 'status == 401 and body["error"]["type"] == "authentication_error"
    and set(body["error"]) == {"message", "type", "param", "code"} and body["error"]["code"] == "invalid_api_key"'
ask -X POST "$ORQEN_URL/v1/keys" -H "Authorization: Bearer $ORQEN_API_KEY" \
    -H "Content-Type: application/json" -d '{"nmae": "typo", "k_target_override": 0}'
expect "a bad body is a 400 that names every field" 'status == 400 and "nmae" in body["error"]["message"]'
ask -X POST "$ORQEN_URL/v1/keys" -H "Authorization: Bearer $ORQEN_API_KEY" -d '{"name": "form"}'
expect "a body that is not said to be JSON is a 415" 'status == 415
    and body["error"]["code"] == "unsupported_media_type"'
ask -X PUT "$ORQEN_URL/v1/keys" -H "Authorization: Bearer $ORQEN_API_KEY"
expect "a method that a path does not take is a 405 that says which it takes" 'status == 405
    and set(headers["allow"].replace(" ", "").split(",")) >= {"GET", "POST"}'
ask "$ORQEN_URL/v1/nothing" -H "Authorization: Bearer $ORQEN_API_KEY"
expect "an unknown path is a 404" 'status == 404 and body["error"]["code"] == "route_not_found"'
ask "$ORQEN_URL/v1/keys/not-a-uuid" -H "Authorization: Bearer $ORQEN_API_KEY"
expect "a key that never was is a 404" 'status == 404 and body["error"]["code"] == "key_not_found"'

exit "$failed"
