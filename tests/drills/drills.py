"""The drills. Each is a coroutine of a house and a table, in which it says what was promised and what was measured."""

import asyncio
import collections
import random
import time

from house import ASKING, CHAT, LOST, until


def share(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * part))]


def ms(seconds):
    return f"{seconds * 1000:.0f} ms"


class Load:
    """Clients that ask one request after the other until they are told to stop, and count what they are told."""

    def __init__(self):
        self.counts, self.ids, self.slowest, self.tasks, self.going = {}, set(), {}, [], True

    def add(self, kind, ask, pause=0.0):
        self.counts[kind], self.slowest[kind] = collections.Counter(), 0.0
        self.tasks.append(asyncio.create_task(self._run(kind, ask, pause)))

    async def _run(self, kind, ask, pause):
        while self.going:
            began = time.monotonic()
            try:
                answer = await ask()
                self.counts[kind][answer.headers.get("x-balancer", answer.status)] += 1
                if answer.status == 200 and kind != "management":
                    self.ids.add(answer.headers["x-request-id"])
            except LOST as error:
                self.counts[kind][repr(error)] += 1
            self.slowest[kind] = max(self.slowest[kind], time.monotonic() - began)
            await asyncio.sleep(pause)

    async def stop(self):
        self.going = False
        await asyncio.gather(*self.tasks)

    def total(self, *kinds):
        counts = collections.Counter()
        for kind in kinds or self.counts:
            counts.update(self.counts[kind])
        return counts

    def told(self, *kinds):
        return ", ".join(f"{count} x {what}" for what, count in sorted(self.total(*kinds).items(), key=str)) or "none"


def chats(client, keys):
    """Asks for a completion, a stream every third time, with one key after the other."""
    turn = 0

    def ask():
        nonlocal turn
        turn += 1
        return client.ask("POST", CHAT, keys[turn % len(keys)], {**ASKING, "stream": turn % 3 == 0})

    return ask


async def revocation(house, table, scale):
    """One replica revokes a key that all of them know: when do all of them refuse it?"""
    count = scale(1000, 90)

    async def dead(replica, secret, since):
        pause = 0.002
        while True:
            # When it was asked counts: what is refused then was refused for as long as the answer took.
            if (await replica.client.ask("GET", "/v1/account/me", secret)).status == 401:
                return time.monotonic() - since
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.01)

    async def one():
        replica = house.any()
        key = await house.make_key(replica.client, "to be revoked")
        for other in house.replicas:
            assert (await other.client.ask("GET", "/v1/account/me", key["key"])).status == 200
        answer = await replica.client.ask("DELETE", f"/v1/keys/{key['id']}", house.first_key)
        assert answer.status == 200, answer.body
        since = time.monotonic()
        return max(await asyncio.gather(*(dead(other, key["key"], since) for other in house.replicas)))

    async def measured(ways):
        took = []

        async def work():
            while len(took) < count:
                took.append(await one())

        ways = asyncio.create_task(ways) if ways else None
        await asyncio.gather(*(work() for _ in range(3)))
        if ways:
            ways.cancel()
        return took

    def turn(way):
        for replica in house.replicas:
            replica.postgres.turn_listeners(way)

    async def flapping():
        while True:
            for way in ("cut", "open"):
                turn(way)
                await asyncio.sleep(random.uniform(0.1, 0.8))

    for name, ways in (("up", None), ("cut", None), ("flapping", flapping())):
        turn("cut" if name == "cut" else "open")
        if name == "up":
            await house.settled()
        took = await measured(ways)
        figures = f"p50 {ms(share(took, .5))}, p99 {ms(share(took, .99))}, worst {ms(max(took))}"
        table.row(f"revoked everywhere, listener {name}, {len(took)} keys", "within 1 s", figures, max(took) <= house.patience)
    turn("open")
    await house.settled()


async def shared_limit(house, table, scale):
    """One key of 1,000 requests a minute, asked for more through all replicas."""
    apart = "orqen_limiter_counted_apart_total"
    for attempt in range(3):
        key = (await house.make_key(house.front, "limited", rate_limit_rpm=1000))["key"]
        before = await house.total(apart)
        load, began = Load(), time.monotonic()
        for number in range(12):
            load.add(f"{number}", lambda: house.front.ask("POST", CHAT, key, ASKING))
        await asyncio.sleep(scale(30, 12))
        await load.stop()
        took = time.monotonic() - began
        house.answered |= load.ids
        alone = await house.total(apart) - before
        # On a machine so busy that Redis takes 50 ms, replicas count alone for a moment; that is another drill.
        if alone == 0:
            break
        await house.settled()
    passed, most = load.total()[200], 1000 + int(took * 1000 / 60) + 1
    # Whoever did not use the limit up has not shown that it holds.
    kept = passed <= most + alone and load.total()[429] > 0
    table.row(f"1,000 a minute, three replicas, {took:.1f} s", f"at most {most}", f"{load.told()}; {alone:.0f} counted alone", kept)


async def store_away(house, table, scale):
    """The store is cut off, then silent, under load. Known keys go on, others hear 503, and nobody 401."""
    known = await house.known_keys(20)
    for way in ("cut", "stalled"):
        unknown = [(await house.make_key(house.front, "unknown"))["key"] for _ in range(50)]
        made, load, names = [], Load(), iter(range(10**6))

        async def manage():
            name = f"{way}-{next(names)}"
            answer = await house.front.ask("POST", "/v1/keys", house.first_key, {"name": name})
            made.append((name, answer.status))
            return answer

        for number in range(6):
            load.add(f"known {number}", chats(house.front, known), 0.01)
        await asyncio.sleep(1)
        for replica in house.replicas:
            replica.postgres.turn(way)
        for number in range(4):
            load.add(f"unknown {number}", chats(house.front, unknown[number * 10:number * 10 + 10]), 0.1)
        load.add("management", manage, 0.2)
        await asyncio.sleep(scale(15, 5))
        words = {(await replica.client.ask("GET", "/readyz")).json()["status"] for replica in house.replicas}
        for replica in house.replicas:
            replica.postgres.turn("open")
        last = unknown[-1]
        back = 0
        for replica in house.replicas:

            async def looks_up():
                return (await replica.client.ask("GET", "/v1/account/me", last)).status == 200

            back = max(back, await until("keys are looked up again", looks_up))
        await load.stop()
        kinds = [kind for kind in load.counts if kind.startswith("known")]
        others = [kind for kind in load.counts if not kind.startswith("known")]
        table.row(f"store {way}: known keys", "all 200", load.told(*kinds), set(load.total(*kinds)) == {200})
        fine = set(load.total(*others)) <= {200, 503} and load.total(*others)[503] > 0
        table.row(f"store {way}: unknown keys, management", "503 or 200", load.told(*others), fine)
        table.row(f"store {way}: /readyz meanwhile", "degraded, with 200", ", ".join(words), words == {"degraded"})
        table.row(f"store {way}: from its return to the last replica", "within 15 s", f"{back:.1f} s", back < 15)
        house.answered |= load.ids
        there = set(await house.sql(f"SELECT name FROM key WHERE name LIKE '{way}-%'"))
        lost = [name for name, status in made if status == 200 and name not in there]
        more = [name for name, status in made if status != 200 and name in there]
        # The one whose commit was under way at the cut may be there without its answer, as with any store.
        table.row(f"store {way}: keys confirmed and gone, refused and there", "0, at most 1", f"{len(lost)}, {len(more)}", not lost and len(more) <= 1)
        await house.settled()


async def redis_away(house, table, scale):
    """Redis is cut off, silent and slow, under load. Each replica counts for itself, and nobody waits for it."""
    known = await house.known_keys(20)
    limit = 120
    for way in ("cut", "stalled", "slow"):
        key = (await house.make_key(house.front, "limited", rate_limit_rpm=limit))["key"]
        load, began = Load(), time.monotonic()
        for number in range(4):
            load.add(f"known {number}", chats(house.front, known), 0.01)
        for number in range(2):
            load.add(f"limited {number}", lambda: house.front.ask("POST", CHAT, key, ASKING), 0.02)
        await asyncio.sleep(1)
        for replica in house.replicas:
            replica.redis.turn(way)
        await asyncio.sleep(scale(10, 4))
        for replica in house.replicas:
            replica.redis.turn("open")
        limited = [kind for kind in load.counts if kind.startswith("limited")]
        others = [kind for kind in load.counts if kind.startswith("known")]
        await house.settled()
        took, passed = time.monotonic() - began, load.total(*limited)[200]
        most = len(house.replicas) * int(limit + took * limit / 60 + 1)
        fine = passed <= most and set(load.total(*limited)) <= {200, 429}
        table.row(f"Redis {way}: a key of {limit} a minute, {took:.0f} s", f"at most three buckets ({most})", load.told(*limited), fine)
        began, outages = time.monotonic(), await house.total("orqen_limiter_redis_outages_total")
        await asyncio.sleep(scale(10, 4))
        await load.stop()
        took, burst = time.monotonic() - began, load.total(*limited)[200] - passed
        outages = await house.total("orqen_limiter_redis_outages_total") - outages
        # On a machine so busy that Redis takes 50 ms it is away again, for those who noticed.
        most = (min(1 + outages, len(house.replicas))) * int(took * limit / 60) + 2
        figures = f"{burst}, with {outages:.0f} more outages"
        table.row(f"Redis {way}: the same key in {took:.0f} s from its return", f"at most {most:.0f}", figures, burst <= most)
        table.row(f"Redis {way}: other keys", "all 200", load.told(*others), set(load.total(*others)) == {200})
        house.answered |= load.ids


async def rolling_restart(house, table, scale):
    """Each replica in turn is asked to stop and started again, behind the balancer."""
    known, load = await house.known_keys(20), Load()
    for number in range(8):
        load.add(f"{number}", chats(house.front, known), 0.005)
    codes, took = [], []
    for _ in range(scale(2, 1)):
        for replica in house.replicas:
            began = time.monotonic()
            codes.append(await replica.stop())
            await replica.start()
            took.append(time.monotonic() - began)
            await house.settled()
    await load.stop()
    table.row(f"rolling restart, {len(codes)} stops", "no request fails", load.told(), set(load.total()) == {200})
    table.row("rolling restart: exit codes, time to be back", "all 0", f"{codes}, {max(took):.1f} s", not any(codes))
    house.answered |= load.ids


async def killed(house, table, scale):
    """Replicas are killed in the middle of requests and writes."""
    known, rounds, gone, kills = await house.known_keys(20), scale(20, 4), [], []
    made, revoked = [], []
    for number in range(rounds):
        replica = house.replicas[number % len(house.replicas)]
        answered, ask = [], chats(replica.client, known)

        async def chat():
            while True:
                answer = await ask()
                assert answer.status == 200, answer.body
                answered.append((answer.headers["x-request-id"], time.monotonic()))
                # Busy, and yet not so that what is measured is who gets the processor.
                await asyncio.sleep(0.01)

        async def manage():
            while True:
                made.append(await house.make_key(replica.client, "confirmed"))
                key = await house.make_key(replica.client, "confirmed and revoked")
                answer = await replica.client.ask("DELETE", f"/v1/keys/{key['id']}", house.first_key)
                assert answer.status == 200, answer.body
                revoked.append(key)
                await asyncio.sleep(0.01)

        tasks = [asyncio.create_task(one()) for one in (chat, chat, manage)]
        await asyncio.sleep(random.uniform(0.6, 1.2))
        kills.append(time.monotonic())
        await replica.kill()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(outcome, LOST) for outcome in outcomes), outcomes
        gone.append(answered)
        replica.client.forget()
        await replica.start()
    there = await recorded(house)
    lost = [(kill - at, id) for kill, answered in zip(kills, gone) for id, at in answered if id not in there]
    ages = [age for age, _ in lost] or [0]
    worst = [max([0, *(kill - at for id, at in answered if id not in there)]) for kill, answered in zip(kills, gone)]
    wrong = []
    for wanted, keys in ((200, made), (401, revoked)):
        for key in keys:
            for replica in house.replicas:
                status = (await replica.client.ask("GET", "/v1/account/me", key["key"])).status
                if status != wanted:
                    wrong.append((wanted, status))
    table.row(f"{rounds} kills: {len(made)} keys made, {len(revoked)} revoked", "none lost", f"{len(wrong)} wrong", not wrong)
    asked = sum(len(answered) for answered in gone)
    figures = f"{len(lost)} of {asked} records, the oldest {ms(max(ages))}, in the median round {ms(share(worst, .5))}"
    table.row(f"{rounds} kills: usage gone", "at most the last 250 ms", figures, max(ages) <= 0.25 * house.patience)
    house.answered |= {id for answered in gone for id, _ in answered} - {id for _, id in lost}
    await house.settled()


async def recorded(house):
    return {f"req_{id.replace('-', '')}" for id in await house.sql("SELECT id FROM usage_record")}


async def sums(house, table, scale):
    """After all of it: every answer is recorded once, and the sums are those of the records."""
    missing = None

    async def is_written():
        nonlocal missing
        missing = house.answered - await recorded(house)
        return not missing

    try:
        await until("all is written", is_written, 20)
    except AssertionError:
        pass
    table.row(f"{len(house.answered)} answers of every drill", "each on record", f"{len(missing)} missing", not missing)
    differing = await house.sql("""
        WITH records AS (
            SELECT account_id, coalesce(key_id, '00000000-0000-0000-0000-000000000000') AS key_id,
                   (at AT TIME ZONE 'UTC')::date AS day, count(*) AS requests, sum(coalesce(prompt_tokens, 0)) AS prompt,
                   sum(coalesce(completion_tokens, 0)) AS completion
            FROM usage_record GROUP BY 1, 2, 3),
        sums AS (
            SELECT account_id, key_id, day, complete + client + upstream + error AS requests,
                   prompt_tokens AS prompt, completion_tokens AS completion FROM usage_daily)
        SELECT count(*) FROM records FULL JOIN sums USING (account_id, key_id, day)
        WHERE (records.requests, records.prompt, records.completion) IS DISTINCT FROM (sums.requests, sums.prompt, sums.completion)""")
    both = await house.sql("SELECT (SELECT count(*) FROM usage_record), (SELECT sum(complete + client + upstream + error) FROM usage_daily)")
    table.row("records and sums by day and key", "the same", f"{both[0]}, {differing[0]} rows differ", differing == ["0"])


DRILLS = {
    "revocation": revocation,
    "limit": shared_limit,
    "store": store_away,
    "redis": redis_away,
    "restart": rolling_restart,
    "kill": killed,
}
