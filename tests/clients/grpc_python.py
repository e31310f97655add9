"""Drives Orqen over gRPC with grpcio and stubs that were generated from `proto/` a moment ago.

Errors are read as a generated client reads them: the code, and `google.rpc` details out of the trailers.
"""

import json

import grpc
from google.api import httpbody_pb2
from google.protobuf import field_mask_pb2, json_format, struct_pb2
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status
from orqen.v1 import (
    account_service_pb2,
    account_service_pb2_grpc,
    chat_pb2,
    chat_service_pb2,
    chat_service_pb2_grpc,
    key_pb2,
    key_service_pb2,
    key_service_pb2_grpc,
    usage_service_pb2,
    usage_service_pb2_grpc,
)
from world import FIRST_KEY, ORQEN, UNKNOWN_KEY, Provider, check, done, function_tool

provider = Provider()
channel = grpc.insecure_channel(ORQEN.removeprefix("http://"))
keys = key_service_pb2_grpc.KeyServiceStub(channel)
chat = chat_service_pb2_grpc.ChatServiceStub(channel)
usage = usage_service_pb2_grpc.UsageServiceStub(channel)
accounts = account_service_pb2_grpc.AccountServiceStub(channel)


def bearer(secret):
    return {"metadata": [("authorization", f"Bearer {secret}")], "timeout": 15}


OPERATOR = bearer(FIRST_KEY)


def create_key(name, **more):
    return keys.CreateKey(key_service_pb2.CreateKeyRequest(name=name, **more), **OPERATOR).issued_key


def names(*values):
    return key_pb2.StringList(values=values)


def mask(*paths):
    return field_mask_pb2.FieldMask(paths=paths)


def refused(call):
    """The code, the reason and the fields of the error that `call` ends with."""
    try:
        call()
    except grpc.RpcError as error:
        details = rpc_status.from_call(error)
        assert details is not None, f"no details: {error}"
        info, fields = error_details_pb2.ErrorInfo(), []
        for detail in details.details:
            if detail.Is(info.DESCRIPTOR):
                detail.Unpack(info)
            bad = error_details_pb2.BadRequest()
            if detail.Is(bad.DESCRIPTOR):
                detail.Unpack(bad)
                fields += [violation.field for violation in bad.field_violations]
        assert info.domain == "orqen", info
        return error.code(), info.reason, fields
    raise AssertionError("expected an error, got an answer")


def typed_tools(*wanted):
    return [json_format.ParseDict(function_tool(name), chat_pb2.ChatTool()) for name in wanted]


def user(text):
    return [chat_pb2.ChatMessage(role="user", content=struct_pb2.Value(string_value=text))]


def tool_counts(metadata):
    values = dict(metadata)
    return [values[f"x-orqen-tools-{name}"] for name in ("input", "denied", "output")]


@check("grpc-python: a key lives: created, got, listed, changed, switched off and on, revoked twice")
def _():
    key = create_key("grpc", rate_limit_rpm=30)
    assert len(key.key) == 71 and key.key.startswith(key.key_prefix) and key.status == key_pb2.KEY_STATUS_ACTIVE
    assert key.limits.rate_limit_rpm.value == 30 and key.limits.rate_limit_rpm.source == key_pb2.LIMIT_SOURCE_KEY
    assert not key.HasField("allowed_tools") and not key.HasField("expires_at")
    got = keys.GetKey(key_service_pb2.GetKeyRequest(key_id=key.id), **OPERATOR).key
    assert got.name == "grpc" and got.revision == 1
    page = keys.ListKeys(key_service_pb2.ListKeysRequest(page_size=1), **OPERATOR)
    assert [one.id for one in page.keys] == [key.id] and page.next_page_token
    assert accounts.GetMe(account_service_pb2.GetMeRequest(), **bearer(key.key)).key.id == key.id

    def update(**fields):
        return keys.UpdateKey(key_service_pb2.UpdateKeyRequest(key_id=key.id, **fields), **OPERATOR).key

    assert update(name="renamed").name == "renamed"
    assert update(disabled=True, update_mask=mask("disabled")).status == key_pb2.KEY_STATUS_DISABLED
    call = lambda: accounts.GetMe(account_service_pb2.GetMeRequest(), **bearer(key.key))
    assert refused(call)[:2] == (grpc.StatusCode.UNAUTHENTICATED, "API_KEY_DISABLED")
    back = update(disabled=False)
    assert back.status == key_pb2.KEY_STATUS_ACTIVE and back.name == "renamed"
    assert call().key.name == "renamed"
    for _ in range(2):
        gone = keys.RevokeKey(key_service_pb2.RevokeKeyRequest(key_id=key.id), **OPERATOR)
        assert gone.id == key.id and gone.revoked
    assert refused(call)[:2] == (grpc.StatusCode.UNAUTHENTICATED, "API_KEY_REVOKED")


@check("grpc-python: a name is replaced, an expiry cleared, by the update mask")
def _():
    key = create_key("masked")
    request = key_service_pb2.UpdateKeyRequest(key_id=key.id)
    request.expires_at.FromJsonString("2099-01-01T00:00:00Z")
    assert keys.UpdateKey(request, **OPERATOR).key.HasField("expires_at")
    request = key_service_pb2.UpdateKeyRequest(key_id=key.id, update_mask=mask("expires_at"))
    assert not keys.UpdateKey(request, **OPERATOR).key.HasField("expires_at")


@check("grpc-python: a tool list is left, cleared or emptied, as the mask says")
def _():
    key = create_key("lists", denied_tools=names("delete_*"))

    def set_toollist(**fields):
        return keys.SetToollist(key_service_pb2.SetToollistRequest(key_id=key.id, **fields), **OPERATOR).key

    both = set_toollist(allowed_tools=names("search", "get_*"))
    assert list(both.allowed_tools.values) == ["search", "get_*"] and list(both.denied_tools.values) == ["delete_*"]
    none = set_toollist(allowed_tools=names(), update_mask=mask("allowed_tools"))
    assert none.HasField("allowed_tools") and not none.allowed_tools.values and none.HasField("denied_tools")
    every = set_toollist(update_mask=mask("allowed_tools", "denied_tools"))
    assert not every.HasField("allowed_tools") and not every.HasField("denied_tools")
    unchanged = set_toollist()
    assert unchanged.revision == every.revision
    unmasked = lambda: set_toollist(allowed_tools=names("search"), update_mask=mask("denied_tools"))
    code, reason, fields = refused(unmasked)
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST_ERROR"), (code, reason)
    assert "allowed_tools" in fields, fields


@check("grpc-python: errors carry their reason, and every field that is wrong")
def _():
    me = account_service_pb2.GetMeRequest()
    assert refused(lambda: accounts.GetMe(me, timeout=15))[:2] == (grpc.StatusCode.UNAUTHENTICATED, "INVALID_API_KEY")
    unknown = refused(lambda: accounts.GetMe(me, **bearer(UNKNOWN_KEY)))
    assert unknown[:2] == (grpc.StatusCode.UNAUTHENTICATED, "INVALID_API_KEY")
    code, reason, fields = refused(lambda: create_key(" ", rate_limit_rpm=0))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST_ERROR")
    assert set(fields) == {"name", "rate_limit_rpm"}, fields
    for key_id in ("nonsense", "0199c1f4-0000-7000-8000-000000000000"):
        missing = refused(lambda: keys.GetKey(key_service_pb2.GetKeyRequest(key_id=key_id), **OPERATOR))
        assert missing[:2] == (grpc.StatusCode.NOT_FOUND, "KEY_NOT_FOUND")
    reader = create_key("reader", scopes=key_pb2.ScopeList(values=[key_pb2.SCOPE_USAGE]))
    call = lambda: keys.ListKeys(key_service_pb2.ListKeysRequest(), **bearer(reader.key))
    assert refused(call)[:2] == (grpc.StatusCode.PERMISSION_DENIED, "INSUFFICIENT_SCOPE")
    listing = lambda: accounts.ListAccounts(account_service_pb2.ListAccountsRequest(), **OPERATOR)
    assert refused(listing)[0] == grpc.StatusCode.PERMISSION_DENIED
    bounded = create_key("bounded", denied_tools=names("delete_*"))
    request = key_service_pb2.CreateKeyRequest(name="wider", denied_tools=names())
    escalation = refused(lambda: keys.CreateKey(request, **bearer(bounded.key)))
    assert escalation[:2] == (grpc.StatusCode.PERMISSION_DENIED, "PRIVILEGE_ESCALATION")


@check("grpc-python: CreateChatCompletion answers typed, and calls a tool")
def _():
    request = chat_service_pb2.CreateChatCompletionRequest(
        model="scripted-1", messages=user("Weather?"), tools=typed_tools("get_weather", "search"), temperature=0.5
    )
    provider.forget()
    answer, call = chat.CreateChatCompletion.with_call(request, **OPERATOR)
    assert answer.choices[0].finish_reason == "tool_calls" and answer.usage.total_tokens == 18
    function = answer.choices[0].message.tool_calls[0].function
    assert function.name == "get_weather" and json.loads(function.arguments)["city"] == "Zürich"
    assert tool_counts(call.initial_metadata()) == ["2", "0", "2"]
    body = provider.received_one()[1]
    assert body["temperature"] == 0.5 and body["messages"] == [{"role": "user", "content": "Weather?"}]
    assert body["tools"] == [function_tool("get_weather"), function_tool("search")]


@check("grpc-python: a denied tool never reaches the provider, typed, streamed or raw")
def _():
    agent = bearer(create_key("bounded", denied_tools=names("delete_*")).key)
    fields = {"model": "scripted-1", "messages": user("Hi"), "tools": typed_tools("DELETE_all", "get_weather")}
    body = {"model": "scripted-1", "messages": [{"role": "user", "content": "Hi"}]}
    body["tools"] = [function_tool("DELETE_all"), function_tool("get_weather")]
    provider.forget()
    chat.CreateChatCompletion(chat_service_pb2.CreateChatCompletionRequest(**fields), **agent)
    stream = chat.StreamChatCompletion(chat_service_pb2.StreamChatCompletionRequest(**fields), **agent)
    assert tool_counts(stream.initial_metadata()) == ["2", "1", "1"] and len(list(stream)) > 3
    raw = httpbody_pb2.HttpBody(content_type="application/json", data=json.dumps(body).encode())
    assert list(chat.CreateRawChatCompletion(raw, **agent))
    received = provider.received()
    assert len(received) == 3 and not any("delete" in request["body"].lower() for request in received)
    forced = struct_pb2.Value()
    json_format.ParseDict({"type": "function", "function": {"name": "DELETE_all"}}, forced)
    request = chat_service_pb2.CreateChatCompletionRequest(tool_choice=forced, **fields)
    denied = refused(lambda: chat.CreateChatCompletion(request, **agent))
    assert denied[:2] == (grpc.StatusCode.PERMISSION_DENIED, "TOOL_NOT_ALLOWED")


@check("grpc-python: StreamChatCompletion sends a message for each chunk, usage when asked")
def _():
    fields = {"model": "scripted-1", "messages": user("Hi")}
    request = chat_service_pb2.StreamChatCompletionRequest(**fields)
    chunks = list(chat.StreamChatCompletion(request, **OPERATOR))
    text = "".join(chunk.choices[0].delta.content.string_value for chunk in chunks)
    assert text == "The scripted provider says hello." and not any(chunk.HasField("usage") for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"
    request.stream_options.include_usage = True
    chunks = list(chat.StreamChatCompletion(request, **OPERATOR))
    assert chunks[-1].usage.total_tokens == 18 and not chunks[-1].choices


@check("grpc-python: CreateRawChatCompletion gives the provider's bytes, plain and streamed")
def _():
    body = b'{ "model":"scripted-1", "n" : 1.50, "seed":12345678901234567890, "messages":[{"role":"user","content":"\\u0048i"}]}'
    provider.forget()
    raw = httpbody_pb2.HttpBody(content_type="application/json", data=body)
    pieces = list(chat.CreateRawChatCompletion(raw, **OPERATOR))
    assert pieces[0].content_type == "application/json"
    assert json.loads(b"".join(piece.data for piece in pieces))["x_provider_member"] == {"kept": 9007199254740993}
    assert provider.received_one()[0]["body"].encode() == body
    streamed = httpbody_pb2.HttpBody(data=body[:-1] + b',"stream":true}')
    pieces = list(chat.CreateRawChatCompletion(streamed, **OPERATOR))
    assert pieces[0].content_type.startswith("text/event-stream")
    assert b"".join(piece.data for piece in pieces).endswith(b"data: [DONE]\n\n")


@check("grpc-python: a provider's error is the matching code, with the provider's body in the details")
def _():
    request = chat_service_pb2.CreateChatCompletionRequest(model="scripted-error-429", messages=user("Hi"))
    try:
        chat.CreateChatCompletion(request, **OPERATOR)
        raise AssertionError("expected an error, got an answer")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        bodies = [detail for detail in rpc_status.from_call(error).details if detail.Is(httpbody_pb2.HttpBody.DESCRIPTOR)]
        body = httpbody_pb2.HttpBody()
        bodies[0].Unpack(body)
        assert json.loads(body.data)["error"]["code"] == "scripted_429"
    request = chat_service_pb2.StreamChatCompletionRequest(model="nobody-serves-it", messages=user("Hi"))
    missing = refused(lambda: list(chat.StreamChatCompletion(request, **OPERATOR)))
    assert missing[:2] == (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")


@check("grpc-python: models and the summary, typed")
def _():
    models = [model.id for model in chat.ListModels(chat_service_pb2.ListModelsRequest(), **OPERATOR).data]
    assert models == ["orqen/demo", "scripted-1", "scripted-2"], models
    fresh = bearer(create_key("fresh").key)
    summary = usage.GetSummary(usage_service_pb2.GetSummaryRequest(), **fresh)
    assert summary.requests.total == 0 and summary.tools.input == 0 and summary.HasField("account")


@check("grpc-python: health answers anyone, for the whole and for each service")
def _():
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", "orqen.v1.KeyService", "orqen.v1.ChatService"):
        answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=15)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING, service


@check("grpc-python: reflection tells the services and their methods")
def _():
    database = ProtoReflectionDescriptorDatabase(channel)
    wanted = {f"orqen.v1.{name}Service" for name in ("Key", "Chat", "Usage", "Account")}
    assert wanted <= set(database.get_services()), database.get_services()
    file = database.FindFileContainingSymbol("orqen.v1.KeyService")
    methods = {method.name for service in file.service for method in service.method}
    assert {"CreateKey", "ListKeys", "SetToollist", "RevokeKey"} <= methods


done()
