// Drives Orqen with the official `openai` npm package: plain, streamed, tools, and errors as its own classes.
//
// Where it matters the assertion is on what the provider received, not on what Orqen says it sent.

import assert from "node:assert/strict";
import OpenAI from "openai";
import { FIRST_KEY, ORQEN, PROVIDER_KEY, UNKNOWN_KEY, check, functionTool, operator, provider, refused } from "./world.mjs";

const agentWith = (apiKey) => new OpenAI({ apiKey, baseURL: `${ORQEN}/v1`, maxRetries: 0, timeout: 15_000 });
const messages = [{ role: "user", content: "What is the weather in Zürich?" }];
const asked = (more = {}) => ({ model: "scripted-1", messages, ...more });
const tools = ["get_weather", "Delete_Everything", "search"].map(functionTool);
const counts = (response) => ["input", "denied", "output"].map((name) => response.headers.get(`x-orqen-tools-${name}`));

const key = await operator.createKey("openai-node");
const agent = agentWith(key.key);
const bounded = agentWith((await operator.createKey("openai-node bounded", { denied_tools: ["delete_*"] })).key);

async function collect(stream) {
  const pieces = [];
  for await (const piece of stream) pieces.push(piece);
  return pieces;
}

await check("openai-node: the demo model answers without a provider", async () => {
  const answer = await agent.chat.completions.create(asked({ model: "orqen/demo" }));
  assert.equal(answer.choices[0].finish_reason, "stop");
  assert.match(answer.choices[0].message.content, /Zürich/);
  assert.ok(answer.usage.total_tokens > 0);
});

await check("openai-node: a plain answer comes back as the provider gave it", async () => {
  const answer = await agent.chat.completions.create(asked());
  assert.equal(answer.id, "chatcmpl-scripted");
  assert.equal(answer.choices[0].message.content, "The scripted provider says hello.");
  assert.equal(answer.usage.total_tokens, 18);
  assert.ok(answer.x_provider_member);
});

await check("openai-node: the provider receives the request, its own credential and not the agent's key", async () => {
  await provider.forget();
  await agent.chat.completions.create(asked({ temperature: 0.25, x_unknown: [1, { a: null }] }));
  const request = await provider.receivedOne();
  assert.deepEqual(request.document, asked({ temperature: 0.25, x_unknown: [1, { a: null }] }));
  assert.equal(request.headers.authorization, `Bearer ${PROVIDER_KEY}`);
  assert.ok(!JSON.stringify(request).includes(key.key));
});

await check("openai-node: headers tell the request's id and what became of the tools", async () => {
  const { data, response } = await agent.chat.completions.create(asked({ tools })).withResponse();
  assert.ok(response.headers.get("x-request-id").length >= 16);
  assert.equal(response.headers.get("x-upstream-request-id"), "scripted-request");
  assert.deepEqual(counts(response), ["3", "0", "3"]);
  assert.equal(data._request_id, response.headers.get("x-request-id"));
});

await check("openai-node: a streamed answer arrives in pieces, without usage unless asked", async () => {
  const pieces = await collect(await agent.chat.completions.create(asked({ stream: true })));
  const text = pieces.map((piece) => piece.choices[0].delta.content ?? "").join("");
  assert.equal(text, "The scripted provider says hello.");
  assert.ok(pieces.length > 5 && pieces.every((piece) => !piece.usage));
  assert.equal(pieces.at(-1).choices[0].finish_reason, "stop");
});

await check("openai-node: a streamed answer ends with usage when asked", async () => {
  const more = { stream: true, stream_options: { include_usage: true } };
  const pieces = await collect(await agent.chat.completions.create(asked(more)));
  assert.equal(pieces.at(-1).usage.total_tokens, 18);
});

await check("openai-node: a tool call comes back", async () => {
  const answer = await agent.chat.completions.create(asked({ tools }));
  const [call] = answer.choices[0].message.tool_calls;
  assert.equal(answer.choices[0].finish_reason, "tool_calls");
  assert.equal(call.function.name, "get_weather");
  assert.deepEqual(JSON.parse(call.function.arguments), { city: "Zürich", unit: "celsius" });
});

await check("openai-node: a streamed tool call comes back in parts of its arguments", async () => {
  const pieces = await collect(await agent.chat.completions.create(asked({ tools, stream: true })));
  const parts = pieces.flatMap((piece) => piece.choices[0].delta.tool_calls ?? []);
  assert.equal(parts[0].function.name, "get_weather");
  const written = parts.map((part) => part.function.arguments).join("");
  assert.deepEqual(JSON.parse(written), { city: "Zürich", unit: "celsius" });
});

await check("openai-node: the package's own stream helper puts the demo's tool call together", async () => {
  const runner = agent.chat.completions.stream({ ...asked({ tools }), model: "orqen/demo" });
  const [call] = (await runner.finalChatCompletion()).choices[0].message.tool_calls;
  assert.equal(call.function.name, "get_weather");
  assert.equal(typeof JSON.parse(call.function.arguments).city, "string");
});

await check("openai-node: a denied tool never reaches the provider, plain or streamed", async () => {
  for (const stream of [false, true]) {
    await provider.forget();
    const { data, response } = await bounded.chat.completions.create(asked({ tools, stream })).withResponse();
    if (stream) await collect(data);
    assert.deepEqual(counts(response), ["3", "1", "2"]);
    const request = await provider.receivedOne();
    assert.deepEqual(request.document.tools, [tools[0], tools[2]]);
    assert.ok(!/delete/i.test(request.body));
  }
});

await check("openai-node: with the last tool go its dependants", async () => {
  await provider.forget();
  await bounded.chat.completions.create(asked({ tools: [tools[1]], tool_choice: "auto", parallel_tool_calls: false }));
  assert.deepEqual((await provider.receivedOne()).document, asked());
});

await check("openai-node: models are listed", async () => {
  const models = (await collect(agent.models.list())).map((model) => `${model.id} of ${model.owned_by}`);
  assert.deepEqual(models, ["orqen/demo of orqen", "scripted-1 of scripted", "scripted-2 of scripted"]);
});

await check("openai-node: an unknown, malformed or revoked key is an AuthenticationError", async () => {
  const chatWith = (secret) => () => agentWith(secret).chat.completions.create(asked());
  const unknown = await refused(OpenAI.AuthenticationError, chatWith(UNKNOWN_KEY));
  assert.deepEqual([unknown.status, unknown.code, unknown.type], [401, "invalid_api_key", "authentication_error"]);
  assert.ok(unknown.requestID);
  const malformed = await refused(OpenAI.AuthenticationError, chatWith("sk-something-else"));
  assert.equal(malformed.code, "invalid_api_key");
  const passing = await operator.createKey("soon gone");
  await chatWith(passing.key)();
  await operator.revokeKey(passing);
  assert.equal((await refused(OpenAI.AuthenticationError, chatWith(passing.key))).code, "api_key_revoked");
});

await check("openai-node: a denied tool that is forced is a PermissionDeniedError", async () => {
  await provider.forget();
  const tool_choice = { type: "function", function: { name: "Delete_Everything" } };
  const error = await refused(OpenAI.PermissionDeniedError, () =>
    bounded.chat.completions.create(asked({ tools, tool_choice })),
  );
  assert.deepEqual([error.status, error.code], [403, "tool_not_allowed"]);
  assert.match(error.message, /Delete_Everything/);
  assert.deepEqual(await provider.received(), []);
});

await check("openai-node: a model that nobody serves is a NotFoundError", async () => {
  const error = await refused(OpenAI.NotFoundError, () =>
    agent.chat.completions.create(asked({ model: "gpt-unheard-of" })),
  );
  assert.deepEqual([error.status, error.code, error.param], [404, "model_not_found", "model"]);
});

await check("openai-node: a request that can be read in two ways is a BadRequestError", async () => {
  const error = await refused(OpenAI.BadRequestError, () => agent.chat.completions.create(asked({ Tools: tools })));
  assert.deepEqual([error.status, error.code, error.param], [400, "invalid_request_error", "Tools"]);
});

await check("openai-node: the provider's errors come through as they are", async () => {
  const kinds = {
    400: OpenAI.BadRequestError,
    422: OpenAI.UnprocessableEntityError,
    429: OpenAI.RateLimitError,
    500: OpenAI.InternalServerError,
  };
  for (const [status, kind] of Object.entries(kinds)) {
    for (const stream of [false, true]) {
      const error = await refused(kind, () =>
        agent.chat.completions.create(asked({ model: `scripted-error-${status}`, stream })),
      );
      assert.deepEqual([error.status, error.code], [Number(status), `scripted_${status}`]);
    }
  }
});

await check("openai-node: twenty at a time, plain and streamed", async () => {
  const crowd = agentWith(FIRST_KEY);
  const plain = async () => (await crowd.chat.completions.create(asked())).choices[0].message.content;
  const streamed = async () =>
    (await collect(await crowd.chat.completions.create(asked({ stream: true }))))
      .map((piece) => piece.choices[0].delta.content ?? "")
      .join("");
  const answers = await Promise.all(Array.from({ length: 20 }, (_, place) => (place % 2 ? plain() : streamed())));
  assert.deepEqual(new Set(answers), new Set(["The scripted provider says hello."]));
});
