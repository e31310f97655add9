"""What a store of ten million keys costs beside one of ten thousand: start, look-up by secret, a page, a new key.

Each is measured through one replica on a PostgreSQL whose rows were made in SQL. What counts is the ratio; the times are
those of the binary that was given. Fails when a ratio is beyond `--most`. Started as `tests/drills/keys`, which says more.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time

from house import House

# Copies of the first key, with ids of earlier times, and digests that no secret has.
FILL = """
    SET session_replication_role = replica;
    CREATE FUNCTION pg_temp.made(n bigint) RETURNS uuid IMMUTABLE LANGUAGE sql AS $$
        SELECT (lpad(to_hex(1735689600000 + n), 12, '0') || '7' || substr(md5(n::text), 1, 3) || '8'
                || substr(md5(n::text), 4, 15))::uuid $$;
    INSERT INTO key (id, account_id, name, prefix, disabled, scopes, tool_mode, created_at, created_by, revision)
    SELECT pg_temp.made(n), account_id, 'key ' || n, prefix, disabled, scopes, tool_mode, created_at, created_by, revision
    FROM (SELECT * FROM key LIMIT 1) one, generate_series(1, {count}) n;
    INSERT INTO key_generation (key_id, generation, digest, pepper_version, created_at, prefix)
    SELECT pg_temp.made(n), 1, decode(md5(n::text) || md5('+' || n), 'hex'), 1, created_at, prefix
    FROM (SELECT * FROM key_generation LIMIT 1) one, generate_series(1, {count}) n;
    UPDATE policy SET live_keys = (SELECT count(*) FROM key WHERE key.account_id = policy.account_id AND revoked_at IS NULL);
"""


class Alone(House):
    """One replica, and the times that its calls took."""

    REPLICAS = 1

    def __init__(self, orqen, folder, count):
        super().__init__(orqen, folder)
        self.database += f"_{count}"
        self.count, self.took, self.token = count, {}, ""

    async def fill(self, times):
        await self.open()
        client = self.replicas[0].client
        await self.sql("UPDATE policy SET max_keys = 2000000000")
        self.known = [(await self.make_key(client, "known"))["key"] for _ in range(times)]
        began = time.monotonic()
        await self.sql(FILL.format(count=self.count))
        for table in ("key", "key_generation", "policy"):
            await self.sql(f"VACUUM (ANALYZE) {table}")
        print(f"{self.count:,} keys were made in {time.monotonic() - began:.0f} s", flush=True)

    async def timed(self, what, call):
        began = time.monotonic()
        await call
        self.took.setdefault(what, []).append((time.monotonic() - began) * 1000)

    async def get(self, path, key=None):
        answer = await self.replicas[0].client.ask("GET", path, key or self.first_key)
        assert answer.status == 200, answer.body
        return answer.json()

    async def turn(self):
        """Each thing some times, after a start: nothing is in the cache."""
        replica = self.replicas[0]
        await replica.stop()
        replica.client.forget()
        await self.timed("start to /readyz", replica.start())
        await self.get("/v1/account/me")
        for what in ("look-up by secret", "the same, known"):
            for key in self.known:
                await self.timed(what, self.get("/v1/account/me", key))
        for _ in range(10):
            await self.timed("first page of 100", self.get("/v1/keys?page_size=100"))
            await self.timed("a page further on", self.next_page())
            await self.timed("creating a key, max_keys set", self.make_key(replica.client, "new"))

    async def next_page(self):
        self.token = (await self.get(f"/v1/keys?page_size=100&page_token={self.token}"))["next_page_token"]


async def run(arguments, folder):
    few, many = (Alone(arguments.orqen, f"{folder}/{count}", count) for count in (arguments.few, arguments.many))
    try:
        for house in (few, many):
            os.mkdir(house.folder)
            await house.fill(arguments.times)
        # In turns, so that whatever else the machine does, it does to both.
        for _ in range(arguments.rounds):
            for house in (few, many):
                await house.turn()
    finally:
        for house in (few, many):
            await house.close()
    print(f"\n| median | {few.count:,} keys | {many.count:,} keys | ratio |\n|---|---|---|---|")
    worst = 0
    for what in few.took:
        one, other = (statistics.median(house.took[what]) for house in (few, many))
        worst = max(worst, other / one)
        print(f"| {what} | {one:.1f} ms | {other:.1f} ms | {other / one:.2f} |")
    return worst


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--orqen", required=True)
    parser.add_argument("--few", type=int, default=10_000)
    parser.add_argument("--many", type=int, default=10_000_000)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--most", type=float, default=2.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(asyncio.run(run(arguments, folder)) > arguments.most)


main()
