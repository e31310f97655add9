// Rotates a key again and again under a steady load of the official `openai` npm package, and revokes another in the same
// run: of the first no request may fail, of the second none may pass that began after the answer to its revocation.
//
// The agents take a new secret over some time after each rotation, as a fleet does, and the one before works on in its
// overlap. ORQEN_LOAD_RATE and ORQEN_LOAD_SECONDS say how fast and how long; what was reached is printed.

import assert from "node:assert/strict";
import OpenAI from "openai";
import { FIRST_KEY, ORQEN, check, operator } from "./world.mjs";

const RATE = Number(process.env.ORQEN_LOAD_RATE ?? 1000);
const SECONDS = Number(process.env.ORQEN_LOAD_SECONDS ?? 10);
const AGENTS = 32;
const OVERLAP = 60;

const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
const clientOf = (apiKey) => new OpenAI({ apiKey, baseURL: `${ORQEN}/v1`, maxRetries: 0, timeout: 15_000 });
const question = { model: "orqen/demo", messages: [{ role: "user", content: "hello" }] };

/** What one agent saw: how many answers, and each failure with the time at which its request began. */
const failures = [];
let answers = 0;

/** Asks at a steady rate until told to stop, whatever becomes of each request. */
async function load(agent, until) {
  const every = (AGENTS * 1000) / RATE;
  let next = performance.now() + Math.random() * every;
  while (performance.now() < until()) {
    const wait = next - performance.now();
    if (wait > 1) await sleep(wait);
    next += every;
    const began = performance.now();
    const { client } = agent;
    try {
      await client.chat.completions.create(question);
      answers += 1;
      agent.passed?.push(began);
    } catch (error) {
      failures.push({ began, agent, error });
    }
  }
}

async function rotated(key) {
  const response = await fetch(`${ORQEN}/v1/keys/${key.id}/rotate`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${FIRST_KEY}` },
    body: JSON.stringify({ overlap_seconds: OVERLAP }),
  });
  assert.equal(response.status, 200);
  return (await response.json()).key;
}

const key = await operator.createKey("rotation");
const doomed = await operator.createKey("rotation doomed");
const fleet = Array.from({ length: AGENTS - 8 }, () => ({ client: clientOf(key.key) }));
const doomedFleet = Array.from({ length: 8 }, () => ({ client: clientOf(doomed.key), doomed: true, passed: [] }));

const began = performance.now();
const end = began + SECONDS * 1000;
let doomedEnd = end;
const running = [...fleet.map((agent) => load(agent, () => end)), ...doomedFleet.map((agent) => load(agent, () => doomedEnd))];

let rotations = 0;
let revokedAt;
while (performance.now() < end - 1000) {
  await sleep(1500);
  const client = clientOf(await rotated(key));
  rotations += 1;
  for (const agent of fleet) setTimeout(() => (agent.client = client), Math.random() * 400);
  if (!revokedAt && performance.now() > began + (SECONDS * 1000) / 2) {
    await operator.revokeKey(doomed);
    revokedAt = performance.now();
    doomedEnd = Math.min(end, revokedAt + 1500);
  }
}
await Promise.all(running);
const reached = Math.round((answers + failures.length) / ((performance.now() - began) / 1000));
console.log(`        ${answers} answers at ${reached} requests a second, ${rotations} rotations`);

await check("rotation: under load no request of a key is lost, however often it is rotated", () => {
  const lost = failures.filter(({ agent }) => !agent.doomed);
  assert.equal(lost.length, 0, `${lost.length} lost, the first: ${lost[0]?.error.stack}`);
  assert.ok(rotations >= 2 && answers > 100, `${rotations} rotations, ${answers} answers`);
});

await check("rotation: no request passes that began after the answer to a key's revocation", () => {
  const passed = doomedFleet.flatMap((agent) => agent.passed);
  const late = passed.filter((began) => began > revokedAt);
  const refused = failures.filter(({ agent, began }) => agent.doomed && began > revokedAt);
  assert.equal(late.length, 0, `${late.length} passed, up to ${Math.max(...late) - revokedAt} ms after`);
  assert.ok(passed.length > 10 && refused.length > 10, `${passed.length} passed before, ${refused.length} refused after`);
  const codes = new Set(failures.filter(({ agent }) => agent.doomed).map(({ error }) => error.code));
  assert.deepEqual([...codes], ["api_key_revoked"]);
});
