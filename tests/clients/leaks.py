"""Uses secrets in every way there is, wrong ones above all, and looks for them wherever an operator could find one.

A key that is created, rotated twice and delegated from; then each of its secrets and tokens where none belongs: in paths,
queries, bodies, headers, names, models, methods. No answer may repeat one, and neither metrics nor the audit trail nor a
trace may hold one. `run` looks into the log, at the level `trace`, and into the database once Orqen has stopped; for that
the secrets go into the file that is the argument.
"""

import http.client
import json
import sys
import time
import urllib.parse

import grpc
from orqen.v1 import key_service_pb2, key_service_pb2_grpc
from world import FIRST_KEY, ORQEN, PROVIDER, check, done

HOST = ORQEN.removeprefix("http://")
JSON = {"content-type": "application/json"}
# What of a secret no place may show: more than the 8 digits behind the prefix; of a token, its signature.
answers = []


def ask(method, path, body=None, key=FIRST_KEY, raw=None, host=HOST, **headers):
    connection = http.client.HTTPConnection(host, timeout=20)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    bearer = {"authorization": f"Bearer {key}"} if key else {}
    data = raw if raw is not None else None if body is None else json.dumps(body)
    connection.request(method, path, data, {**JSON, **bearer, **named})
    response = connection.getresponse()
    told = response.read().decode()
    connection.close()
    return response.status, told, json.dumps(response.getheaders())


def made(method, path, body):
    status, told, _ = ask(method, path, body)
    assert status == 200, told
    return json.loads(told)


def chat(key, **more):
    body = {"model": "orqen/demo", "messages": [{"role": "user", "content": "hello"}], **more}
    return ask("POST", "/v1/chat/completions", body, key)


key = made("POST", "/v1/keys", {"name": "secret"})
path = f"/v1/keys/{key['id']}"
first = key["key"]
second = made("POST", f"{path}/rotate", {"overlap_seconds": 600})["key"]
token = made("POST", f"{path}/tokens", {"scopes": ["chat", "keys"]})["token"]
works = [chat(secret)[0] for secret in (first, second, token)]
third = made("POST", f"{path}/rotate", {"overlap_seconds": 600})["key"]
dead = made("POST", "/v1/keys", {"name": "dead"})
ask("DELETE", f"/v1/keys/{dead['id']}")
secrets = [FIRST_KEY, first, second, third, dead["key"], token]
typo = third[:20] + ("0" if third[20] != "0" else "1") + third[21:]


def tails():
    for secret in [*secrets, typo]:
        yield secret[16:] if secret.startswith("sk-orq-") else secret.rsplit(".", 1)[1]


def misused(secret):
    """Requests that have `secret` in a place where it does not belong."""
    quoted = urllib.parse.quote(secret)
    yield ask("GET", f"/v1/keys/{quoted}")
    yield ask("DELETE", f"/v1/account/keys/{quoted}")
    yield ask("PATCH", f"/v1/keys/{quoted}", {"name": "x"})
    yield ask("POST", f"/v1/keys/{quoted}/rotate", {})
    yield ask("GET", f"/v1/requests/{quoted}")
    yield ask("GET", f"/{quoted}")
    yield ask("GET", f"/v1/keys?page_token={quoted}")
    yield ask("GET", f"/v1/keys?{quoted}=1")
    yield ask("GET", f"/v1/account/audit?key_id={quoted}")
    yield ask("GET", f"/v1/account/requests?key_id={quoted}&model={quoted}&session={quoted}")
    yield ask("GET", f"/v1/account/usage/daily?first_day={quoted}")
    yield ask("POST", "/v1/keys", {"name": secret})
    yield ask("POST", "/v1/keys", {"name": f"of ann: {secret}"})
    yield ask("POST", "/v1/keys", {"name": "x", secret: 1})
    yield ask("POST", "/v1/keys", {"name": "x", "expires_at": secret})
    yield ask("POST", "/v1/keys", {"name": "x", "scopes": [secret]})
    yield ask("POST", "/v1/keys", {"name": "x", "allowed_tools": [secret]})
    yield ask("POST", "/v1/keys", {"name": "x", "denied_tools": [f"{secret}_*"]})
    yield ask("POST", "/v1/keys", {"name": "x"}, idempotency_key=secret)
    yield ask("PATCH", path, {"name": secret, "scopes": [secret]})
    yield ask("PUT", f"{path}/toollist", {"allowed_tools": [secret, "search"]})
    yield ask("POST", f"{path}/tokens", {"allowed_tools": [secret]})
    yield ask("PATCH", path, {"name": "x"}, if_match=secret)
    yield ask("POST", "/v1/keys", raw=secret)
    yield ask("POST", "/v1/keys", raw=f'{{"name": {secret}}}')
    yield ask("POST", "/v1/accounts", {"name": secret})
    yield ask(secret[:16].replace("-", "X"), "/v1/keys")
    yield chat(second, model=secret)
    yield chat(second, model=f"orqen/{secret}")
    yield chat(second, user=secret, metadata={secret: secret})
    yield chat(second, messages=[{"role": secret, "content": secret}])
    yield chat(second, tools=[{"type": "function", "function": {"name": secret, "parameters": {}}}])
    yield chat(second, tool_choice={"type": "function", "function": {"name": secret}})
    yield ask("POST", "/v1/chat/completions/explain", {"model": secret, "messages": [], "tools": secret}, second)
    yield ask("POST", "/v1/chat/completions", {"model": "orqen/demo", "messages": []}, second, x_orqen_session_id=secret)
    yield ask("GET", "/v1/models", key=secret + "0")
    yield ask("GET", "/v1/models", key=None, authorization=f"Basic {secret}")
    yield ask("GET", "/v1/models", key=None, authorization=secret)
    yield ask("GET", "/v1/models", key=None, x_api_key=secret, cookie=f"key={secret}", user_agent=secret)
    yield ask("GET", "/v1/models", origin=f"https://{secret}.example", x_request_id=secret, traceparent=secret)
    yield ask("GET", "/v1/models", accept=secret, accept_encoding=secret)


def by_grpc(secret):
    with grpc.insecure_channel(HOST) as channel:
        keys = key_service_pb2_grpc.KeyServiceStub(channel)
        for call, request in [
            (keys.GetKey, key_service_pb2.GetKeyRequest(key_id=secret)),
            (keys.CreateKey, key_service_pb2.CreateKeyRequest(name=secret)),
            (keys.ListKeys, key_service_pb2.ListKeysRequest(page_token=secret)),
            (keys.RevokeKey, key_service_pb2.RevokeKeyRequest(key_id=secret)),
        ]:
            for metadata in [("authorization", f"Bearer {FIRST_KEY}")], [("authorization", secret), ("x-key", secret)]:
                try:
                    yield str(call(request, metadata=metadata, timeout=20))
                except grpc.RpcError as error:
                    yield f"{error.details()} {error.trailing_metadata()}"


def found(text):
    return [tail[:12] for tail in tails() if tail in text]


@check("leaks: every secret and token of the key works where it belongs")
def _():
    assert works == [200, 200, 200], works
    assert [chat(secret)[0] for secret in (second, third)] == [200, 200]
    assert chat(first)[0] == chat(dead["key"])[0] == chat(typo)[0] == 401


@check("leaks: no answer repeats a secret that was put in a wrong place")
def _():
    count = 0
    for secret in [*secrets, typo]:
        for number, (status, told, headers) in enumerate(misused(secret)):
            count += 1
            assert status < 500, f"{number}: {status} {told}"
            # The answer of a chat, and an explanation of a request, are the caller's own words.
            own = status == 200
            assert own or not found(told + headers), f"{number}: {status} {told} {headers}"
        for told in by_grpc(secret):
            count += 1
            assert not found(told), told
    print(f"        {count} misuses")


@check("leaks: none of them is a name, a list or a record of a key")
def _():
    for place in "/v1/keys?page_size=1000&include_revoked=true", "/v1/account/requests?page_size=1000":
        status, told, _ = ask("GET", place)
        assert status == 200 and not found(told), f"{place}: {found(told)}"


@check("leaks: the audit trail tells of them and shows none")
def _():
    status, told, _ = ask("GET", "/v1/account/audit?page_size=1000")
    assert status == 200 and "rotate_key" in told and "delegate_key" in told
    assert not found(told), found(told)


@check("leaks: the metrics show none")
def _():
    status, told, _ = ask("GET", "/metrics")
    assert status == 200 and "orqen_requests_total" in told
    assert not found(told), found(told)


@check("leaks: the traces show none")
def _():
    for _ in range(100):
        told = ask("GET", "/traces", host=PROVIDER.removeprefix("http://"), key=None)[1]
        if "gen_ai" in told:
            break
        time.sleep(0.1)
    assert "gen_ai" in told
    assert not found(told), found(told)


with open(sys.argv[1], "w") as file:
    file.writelines(f"{tail}\n" for tail in tails())
done()
