// Drives Orqen over gRPC-Web with connect-web, and code that buf and protoc-gen-es made of `proto/` a moment ago.

import assert from "node:assert/strict";
import { toJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { BadRequestSchema, ErrorInfoSchema } from "./gen/es/google/rpc/error_details_pb.js";
import { AccountService } from "./gen/es/orqen/v1/account_service_pb.js";
import { ChatService } from "./gen/es/orqen/v1/chat_service_pb.js";
import { KeyStatus } from "./gen/es/orqen/v1/key_pb.js";
import { KeyService } from "./gen/es/orqen/v1/key_service_pb.js";
import { UsageService } from "./gen/es/orqen/v1/usage_service_pb.js";
import { FIRST_KEY, ORQEN, UNKNOWN_KEY, check, functionTool, provider, refused } from "./world.mjs";

const clientWith = (secret) => (service) => {
  const authorized = (next) => (request) => {
    if (secret) request.header.set("authorization", `Bearer ${secret}`);
    return next(request);
  };
  return createClient(service, createGrpcWebTransport({ baseUrl: ORQEN, interceptors: [authorized] }));
};
const keys = clientWith(FIRST_KEY)(KeyService);
const createKey = async (name, more = {}) => (await keys.createKey({ name, ...more })).issuedKey;
const string = (text) => ({ kind: { case: "stringValue", value: text } });
const user = (text) => [{ role: "user", content: string(text) }];
const text = (value) => (value ? toJson(ValueSchema, value) : "") ?? "";

/** The code, the reason and the wrong fields of the error that the call ends with. */
async function refusal(call) {
  const error = await refused(ConnectError, call);
  const [info] = error.findDetails(ErrorInfoSchema);
  const fields = error.findDetails(BadRequestSchema).flatMap((bad) => bad.fieldViolations.map(({ field }) => field));
  assert.equal(info?.domain, "orqen", error.stack);
  return { code: Code[error.code], reason: info.reason, fields };
}

await check("grpc-web: a key lives: created, got, changed, revoked", async () => {
  const key = await createKey("grpc-web", { deniedTools: { values: ["delete_*"] } });
  assert.equal(key.key.length, 71);
  assert.equal(key.status, KeyStatus.ACTIVE);
  const { key: got } = await keys.getKey({ keyId: key.id });
  assert.deepEqual([got.name, got.deniedTools.values, got.allowedTools], ["grpc-web", ["delete_*"], undefined]);
  const cleared = await keys.setToollist({ keyId: key.id, updateMask: { paths: ["denied_tools"] } });
  assert.equal(cleared.key.deniedTools, undefined);
  const nothing = await keys.setToollist({ keyId: key.id, allowedTools: { values: [] } });
  assert.deepEqual(nothing.key.allowedTools.values, []);
  const { keys: listed } = await keys.listKeys({ pageSize: 1 });
  assert.deepEqual(listed.map(({ id }) => id), [key.id]);
  const holder = clientWith(key.key)(AccountService);
  assert.equal((await holder.getMe({})).key.id, key.id);
  assert.equal((await keys.revokeKey({ keyId: key.id })).revoked, true);
  const { code, reason } = await refusal(() => holder.getMe({}));
  assert.deepEqual([code, reason], ["Unauthenticated", "API_KEY_REVOKED"]);
});

await check("grpc-web: errors carry code, reason and every field that is wrong", async () => {
  for (const secret of [undefined, UNKNOWN_KEY, "nonsense"]) {
    const { code, reason } = await refusal(() => clientWith(secret)(AccountService).getMe({}));
    assert.deepEqual([code, reason], ["Unauthenticated", "INVALID_API_KEY"]);
  }
  const bad = await refusal(() => createKey(" ", { rateLimitRpm: 0n }));
  assert.deepEqual([bad.code, bad.reason], ["InvalidArgument", "INVALID_REQUEST_ERROR"]);
  assert.deepEqual(bad.fields.sort(), ["name", "rate_limit_rpm"]);
  const missing = await refusal(() => keys.getKey({ keyId: "nonsense" }));
  assert.deepEqual([missing.code, missing.reason], ["NotFound", "KEY_NOT_FOUND"]);
  const operators = await refusal(() => clientWith(FIRST_KEY)(AccountService).listAccounts({}));
  assert.equal(operators.code, "PermissionDenied");
});

await check("grpc-web: a chat answer, typed, with what became of the tools", async () => {
  const key = await createKey("grpc-web bounded", { deniedTools: { values: ["delete_*"] } });
  let header;
  await provider.forget();
  const answer = await clientWith(key.key)(ChatService).createChatCompletion(
    {
      model: "scripted-1",
      messages: user("Weather?"),
      tools: ["Delete_all", "get_weather"].map(functionTool),
    },
    { onHeader: (headers) => (header = headers) },
  );
  assert.equal(answer.choices[0].message.toolCalls[0].function.name, "get_weather");
  assert.equal(header.get("x-orqen-tools-denied"), "1");
  const { document, body } = await provider.receivedOne();
  assert.deepEqual(document.tools, [functionTool("get_weather")]);
  assert.ok(!/delete/i.test(body));
});

await check("grpc-web: a streamed chat answer, message by message", async () => {
  const chat = clientWith(FIRST_KEY)(ChatService);
  const chunks = [];
  for await (const chunk of chat.streamChatCompletion({ model: "scripted-1", messages: user("Hi") })) chunks.push(chunk);
  const whole = chunks.map((chunk) => text(chunk.choices[0].delta.content)).join("");
  assert.equal(whole, "The scripted provider says hello.");
  assert.equal(chunks.at(-1).choices[0].finishReason, "stop");
});

await check("grpc-web: a stream that cannot begin ends with the error's details", async () => {
  const chat = clientWith(FIRST_KEY)(ChatService);
  const { code, reason } = await refusal(async () => {
    for await (const chunk of chat.streamChatCompletion({ model: "unheard-of", messages: user("Hi") })) assert.fail(chunk);
  });
  assert.deepEqual([code, reason], ["NotFound", "MODEL_NOT_FOUND"]);
});

await check("grpc-web: the raw call streams the provider's bytes", async () => {
  const body = JSON.stringify({ model: "scripted-1", stream: true, messages: [{ role: "user", content: "Hi" }] });
  const request = { contentType: "application/json", data: new TextEncoder().encode(body) };
  const bytes = [];
  for await (const piece of clientWith(FIRST_KEY)(ChatService).createRawChatCompletion(request)) bytes.push(piece.data);
  assert.ok(Buffer.concat(bytes).toString().endsWith("data: [DONE]\n\n"));
});

await check("grpc-web: a new key's summary is zeroes", async () => {
  const summary = await clientWith((await createKey("fresh")).key)(UsageService).getSummary({});
  assert.equal(summary.requests.total, 0n);
  assert.equal(summary.estimatedTokensSaved, 0n);
});

await check("grpc-web: a page of the configured origin may call and read its headers, another may not", async () => {
  const preflight = (origin) =>
    fetch(`${ORQEN}/orqen.v1.KeyService/ListKeys`, {
      method: "OPTIONS",
      headers: {
        origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-grpc-web",
      },
    });
  const allowed = await preflight("https://app.example");
  assert.equal(allowed.headers.get("access-control-allow-origin"), "https://app.example");
  assert.match(allowed.headers.get("access-control-allow-headers"), /authorization/);
  assert.equal((await preflight("https://elsewhere.example")).headers.get("access-control-allow-origin"), null);
});
