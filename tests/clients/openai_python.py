"""Drives Orqen with the official `openai` Python package: plain, streamed, tools, and errors as its own exceptions.

Where it matters the assertion is on what the provider received, not on what Orqen says it sent.
"""

import asyncio
import json

import openai
from world import (
    FIRST_KEY,
    ORQEN,
    PROVIDER_KEY,
    UNKNOWN_KEY,
    Operator,
    Provider,
    check,
    done,
    function_tool,
    refused,
)

operator = Operator()
provider = Provider()


def agent_with(secret):
    return openai.OpenAI(api_key=secret, base_url=f"{ORQEN}/v1", max_retries=0, timeout=15)


def ask(agent, model="scripted-1", text="What is the weather in Zürich?", **more):
    messages = [{"role": "user", "content": text}]
    return agent.chat.completions.create(model=model, messages=messages, **more)


key = operator.create_key("openai-python")
agent = agent_with(key["key"])
bounded_key = operator.create_key("openai-python bounded", denied_tools=["delete_*"])
bounded = agent_with(bounded_key["key"])
TOOLS = [function_tool(name) for name in ("get_weather", "Delete_Everything", "search")]


@check("openai-python: the demo model answers without a provider")
def _():
    answer = ask(agent, model="orqen/demo", text="Hello")
    assert answer.choices[0].finish_reason == "stop"
    assert "Hello" in answer.choices[0].message.content
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0


@check("openai-python: a plain answer comes back as the provider gave it, unknown members included")
def _():
    answer = ask(agent)
    assert answer.id == "chatcmpl-scripted"
    assert answer.choices[0].message.content == "The scripted provider says hello."
    assert answer.usage.total_tokens == 18
    assert answer.model_extra["x_provider_member"] == {"kept": 9007199254740993}


@check("openai-python: the provider receives the request, its own credential and not the agent's key")
def _():
    provider.forget()
    ask(agent, temperature=0.25, seed=12345678901234567890, extra_body={"x_unknown": [1, {"a": None}]})
    request, body = provider.received_one()
    assert body["temperature"] == 0.25 and body["seed"] == 12345678901234567890
    assert body["x_unknown"] == [1, {"a": None}]
    assert request["headers"]["authorization"] == f"Bearer {PROVIDER_KEY}"
    assert key["key"] not in json.dumps(request)
    assert not [name for name in request["headers"] if name.startswith("x-stainless")]


@check("openai-python: a prefix of the model names the upstream and is taken off")
def _():
    provider.forget()
    ask(agent, model="scripted/scripted-7")
    assert provider.received_one()[1]["model"] == "scripted-7"
    refused(openai.NotFoundError, lambda: ask(agent, model="scripted/unrouted-1"))


@check("openai-python: headers tell the request's id and what became of the tools")
def _():
    raw = agent.chat.completions.with_raw_response.create(
        model="scripted-1", messages=[{"role": "user", "content": "Hi"}], tools=TOOLS
    )
    assert len(raw.headers["x-request-id"]) >= 16 and raw.headers["x-request-id"] != "scripted-request"
    assert raw.headers["x-upstream-request-id"] == "scripted-request"
    counts = [raw.headers[f"x-orqen-tools-{name}"] for name in ("input", "denied", "output")]
    assert counts == ["3", "0", "3"], counts
    assert raw.parse().id == "chatcmpl-scripted"


@check("openai-python: a streamed answer arrives in pieces, without usage unless asked")
def _():
    pieces = list(ask(agent, stream=True))
    text = "".join(piece.choices[0].delta.content or "" for piece in pieces)
    assert text == "The scripted provider says hello."
    assert len(pieces) > 5 and pieces[-1].choices[0].finish_reason == "stop"
    assert all(piece.usage is None for piece in pieces)


@check("openai-python: a streamed answer ends with usage when asked")
def _():
    pieces = list(ask(agent, stream=True, stream_options={"include_usage": True}))
    assert pieces[-1].choices == [] and pieces[-1].usage.total_tokens == 18
    demo = list(ask(agent, model="orqen/demo", stream=True, stream_options={"include_usage": True}))
    assert demo[-1].choices == [] and demo[-1].usage.total_tokens > 0


@check("openai-python: a tool call comes back, and its result is answered")
def _():
    answer = ask(agent, tools=TOOLS)
    assert answer.choices[0].finish_reason == "tool_calls"
    call = answer.choices[0].message.tool_calls[0]
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "Zürich", "unit": "celsius"}
    messages = [
        {"role": "user", "content": "What is the weather in Zürich?"},
        answer.choices[0].message,
        {"role": "tool", "tool_call_id": call.id, "content": "21 degrees"},
    ]
    last = agent.chat.completions.create(model="scripted-1", messages=messages, tools=TOOLS)
    assert last.choices[0].finish_reason == "stop"


@check("openai-python: a streamed tool call comes back in parts of its arguments")
def _():
    pieces = list(ask(agent, tools=TOOLS, stream=True))
    parts = [call for piece in pieces for call in piece.choices[0].delta.tool_calls or []]
    assert parts[0].function.name == "get_weather" and len(parts) > 3
    arguments = "".join(part.function.arguments for part in parts)
    assert json.loads(arguments) == {"city": "Zürich", "unit": "celsius"}
    assert pieces[-1].choices[0].finish_reason == "tool_calls"


@check("openai-python: the package's own stream helper puts the demo's tool call together")
def _():
    messages = [{"role": "user", "content": "What is the weather in Zürich?"}]
    with agent.chat.completions.stream(model="orqen/demo", messages=messages, tools=TOOLS) as stream:
        call = stream.get_final_completion().choices[0].message.tool_calls[0]
    assert call.function.name == "get_weather"
    assert isinstance(json.loads(call.function.arguments)["city"], str)


@check("openai-python: a denied tool never reaches the provider, plain or streamed")
def _():
    for stream in (False, True):
        provider.forget()
        raw = bounded.chat.completions.with_raw_response.create(
            model="scripted-1", messages=[{"role": "user", "content": "Hi"}], tools=TOOLS, stream=stream
        )
        counts = [raw.headers[f"x-orqen-tools-{name}"] for name in ("input", "denied", "output")]
        assert counts == ["3", "1", "2"], counts
        if stream:
            list(raw.parse())  # left unread, it would count as a client that hung up
        request, body = provider.received_one()
        assert body["tools"] == [TOOLS[0], TOOLS[2]]
        assert "delete" not in request["body"].lower()


@check("openai-python: with the last tool go its dependants, or the provider would refuse the request")
def _():
    provider.forget()
    answer = ask(bounded, tools=[TOOLS[1]], tool_choice="auto", parallel_tool_calls=False)
    assert answer.choices[0].finish_reason == "stop"
    body = provider.received_one()[1]
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & body.keys()


@check("openai-python: models are listed, and each is one that can be asked")
def _():
    models = {model.id: model.owned_by for model in agent.models.list()}
    assert models == {"orqen/demo": "orqen", "scripted-1": "scripted", "scripted-2": "scripted"}, models


@check("openai-python: an unknown, malformed, disabled or revoked key is an AuthenticationError")
def _():
    error = refused(openai.AuthenticationError, lambda: ask(agent_with(UNKNOWN_KEY)))
    assert (error.status_code, error.code, error.type) == (401, "invalid_api_key", "authentication_error")
    assert error.request_id
    error = refused(openai.AuthenticationError, lambda: ask(agent_with("sk-something-else")))
    assert error.code == "invalid_api_key"
    passing = operator.create_key("soon gone")
    assert ask(agent_with(passing["key"])).id
    operator.disable_key(passing)
    error = refused(openai.AuthenticationError, lambda: ask(agent_with(passing["key"])))
    assert error.code == "api_key_disabled"
    operator.revoke_key(passing)
    error = refused(openai.AuthenticationError, lambda: ask(agent_with(passing["key"])))
    assert error.code == "api_key_revoked"


@check("openai-python: a forced tool that is denied, and any in mode block, is a PermissionDeniedError")
def _():
    forced = {"type": "function", "function": {"name": "Delete_Everything"}}
    provider.forget()
    error = refused(openai.PermissionDeniedError, lambda: ask(bounded, tools=TOOLS, tool_choice=forced))
    assert (error.status_code, error.code, error.type) == (403, "tool_not_allowed", "permission_error")
    assert "Delete_Everything" in error.message
    strict = operator.create_key("blocked", denied_tools=["delete_*"], tool_mode="block")
    error = refused(openai.PermissionDeniedError, lambda: ask(agent_with(strict["key"]), tools=TOOLS))
    assert error.code == "tool_not_allowed"
    assert provider.received() == []


@check("openai-python: a key without the scope chat gets a PermissionDeniedError")
def _():
    reader = agent_with(operator.create_key("reader", scopes=["usage"])["key"])
    assert refused(openai.PermissionDeniedError, lambda: ask(reader)).code == "insufficient_scope"
    assert refused(openai.PermissionDeniedError, reader.models.list).code == "insufficient_scope"


@check("openai-python: a model that nobody serves is a NotFoundError")
def _():
    error = refused(openai.NotFoundError, lambda: ask(agent, model="gpt-unheard-of"))
    assert (error.status_code, error.code, error.param) == (404, "model_not_found", "model")
    assert "gpt-unheard-of" in error.message


@check("openai-python: a request that can be read in two ways is a BadRequestError")
def _():
    error = refused(openai.BadRequestError, lambda: ask(agent, extra_body={"Tools": TOOLS}))
    assert (error.status_code, error.code, error.param) == (400, "invalid_request_error", "Tools")


@check("openai-python: the provider's errors come through as they are")
def _():
    for status, kind in (
        (400, openai.BadRequestError),
        (404, openai.NotFoundError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
    ):
        error = refused(kind, lambda: ask(agent, model=f"scripted-error-{status}"))
        assert (error.status_code, error.code) == (status, f"scripted_{status}")
        error = refused(kind, lambda: ask(agent, model=f"scripted-error-{status}", stream=True))
        assert (error.status_code, error.code) == (status, f"scripted_{status}")


@check("openai-python: a provider that refuses Orqen's credential is a 502 that shows nothing of it")
def _():
    error = refused(openai.InternalServerError, lambda: ask(agent, model="scripted-rejects-us"))
    assert (error.status_code, error.code) == (502, "upstream_credential_rejected")
    assert PROVIDER_KEY not in str(error.body) + str(error.response.headers)


@check("openai-python: the asynchronous client, twenty at a time, plain and streamed")
def _():
    async def plain(agent):
        messages = [{"role": "user", "content": "Hi"}]
        answer = await agent.chat.completions.create(model="scripted-1", messages=messages)
        return answer.choices[0].message.content

    async def streamed(agent):
        messages = [{"role": "user", "content": "Hi"}]
        stream = await agent.chat.completions.create(model="scripted-1", messages=messages, stream=True)
        return "".join([piece.choices[0].delta.content or "" async for piece in stream])

    async def all_at_once():
        async with openai.AsyncOpenAI(api_key=FIRST_KEY, base_url=f"{ORQEN}/v1", max_retries=0) as agent:
            return await asyncio.gather(*[ask(agent) for ask in (plain, streamed) for _ in range(10)])

    assert set(asyncio.run(all_at_once())) == {"The scripted provider says hello."}


done()
