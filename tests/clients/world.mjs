// What the JavaScript clients share: where Orqen and the scripted provider are, an operator, and `check`.
//
// `await check("a sentence", async () => { … })` prints `ok` or `FAILED` with the sentence; a program that saw a
// failure exits with 1. The operator speaks plain HTTP, so that no client vouches for itself.

import assert from "node:assert/strict";

export const ORQEN = process.env.ORQEN_URL;
export const FIRST_KEY = process.env.ORQEN_FIRST_KEY;
export const PROVIDER = process.env.SCRIPTED_URL;
export const PROVIDER_KEY = process.env.SCRIPTED_API_KEY;
export const UNKNOWN_KEY = "sk-orq-" + "0".repeat(64);

export async function check(sentence, test) {
  try {
    await test();
    console.log(`ok      ${sentence}`);
  } catch (error) {
    process.exitCode = 1;
    console.log(`FAILED  ${sentence}\n${error.stack}`);
  }
}

/** The error that the call rejects with, which must be exactly of this kind. */
export async function refused(kind, call) {
  const error = await call().then(
    () => assert.fail(`expected ${kind.name}, got an answer`),
    (error) => error,
  );
  assert.equal(error.constructor, kind, `expected ${kind.name}, got ${error.stack}`);
  return error;
}

async function ask(method, url, body, key) {
  const headers = { "content-type": "application/json" };
  if (key) headers.authorization = `Bearer ${key}`;
  const response = await fetch(url, { method, headers, body: body && JSON.stringify(body) });
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return JSON.parse(text);
}

/** Whoever holds the first key. */
export const operator = {
  createKey: (name, more = {}) => ask("POST", `${ORQEN}/v1/keys`, { name, ...more }, FIRST_KEY),
  revokeKey: (key) => ask("DELETE", `${ORQEN}/v1/keys/${key.id}`, undefined, FIRST_KEY),
};

/** What the scripted provider received. */
export const provider = {
  forget: () => ask("DELETE", `${PROVIDER}/received`),
  received: () => ask("GET", `${PROVIDER}/received`),
  async receivedOne() {
    const requests = await this.received();
    assert.equal(requests.length, 1, `the provider received ${requests.length} requests`);
    return { ...requests[0], document: JSON.parse(requests[0].body) };
  },
};

export function functionTool(name) {
  const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
  return { type: "function", function: { name, description: `Does ${name}.`, parameters } };
}
