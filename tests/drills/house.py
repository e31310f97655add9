"""Three replicas, the ways to their servers, the balancer before them, and the database behind their backs."""

import asyncio
import os
import random
import re
import secrets
import signal
import socket
import subprocess
import time
from urllib.parse import urlsplit

from wire import Balancer, Client, Proxy

CHAT = "/v1/chat/completions"
ASKING = {"model": "orqen/demo", "messages": [{"role": "user", "content": "How is the weather?"}]}
LOST = (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


async def until(what, holds, patience=60):
    began = time.monotonic()
    while True:
        try:
            if await holds():
                return time.monotonic() - began
        except LOST:
            pass
        if time.monotonic() - began > patience:
            raise AssertionError(f"never: {what}")
        await asyncio.sleep(0.02)


class Replica:
    """A process that serves, with ways of its own to PostgreSQL and Redis."""

    def __init__(self, house, number):
        self.house, self.number, self.port = house, number, free_port()
        self.client, self.process = Client(self.port), None
        self.postgres, self.redis = Proxy(*house.postgres), Proxy(*house.redis)

    def spawn(self):
        environment = {**os.environ, **self.house.settings}
        environment["ORQEN_SERVER__LISTEN"] = f"127.0.0.1:{self.port}"
        environment["ORQEN_STORE__URL"] = self.house.store_url(self.postgres.port)
        environment["ORQEN_REDIS__URL"] = self.house.redis_url(self.redis.port)
        log = open(f"{self.house.folder}/replica-{self.number}.log", "ab")
        command = [self.house.orqen, "serve"]
        self.process = subprocess.Popen(command, cwd=self.house.folder, env=environment, stdout=log, stderr=log)

    async def ready(self):
        async def is_ready():
            assert self.process.poll() is None, f"replica {self.number} ended: see its log"
            return (await self.client.ask("GET", "/readyz")).status == 200

        return await until(f"replica {self.number} is ready", is_ready)

    async def start(self):
        self.spawn()
        return await self.ready()

    async def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self.process.wait)

    async def kill(self):
        self.process.kill()
        await asyncio.to_thread(self.process.wait)

    async def figure(self, name):
        text = (await self.client.ask("GET", "/metrics")).body.decode()
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.M))


class House:
    REPLICAS = 3

    def __init__(self, orqen, folder):
        self.orqen, self.folder = orqen, folder
        server, redis = (urlsplit(os.environ[f"ORQEN_TEST_{name}_URL"]) for name in ("POSTGRES", "REDIS"))
        self.server, self.postgres, self.redis = server, (server.hostname, server.port or 5432), (redis.hostname, redis.port or 6379)
        self.redis_path, self.database = redis.path, f"orqen_drills_{os.getpid()}"
        self.settings = {
            "ORQEN_STORE__BOOTSTRAP": "true",
            "ORQEN_AUTH__PEPPERS": f'["1:{secrets.token_hex(32)}"]',
            "ORQEN_AUTH__SIGNING_KEYS": f'["1:{secrets.token_hex(32)}"]',
            "ORQEN_POLICY__REQUESTS_PER_MINUTE": "unlimited",
            "ORQEN_LIMITS__ACCOUNT_REQUESTS_PER_MINUTE": "unlimited",
            "ORQEN_LIMITS__FAILED_AUTH_PER_MINUTE": "unlimited",
        }
        self.replicas = []

    def store_url(self, port):
        user = self.server.netloc.rpartition("@")[0]
        return f"postgres://{user + '@' if user else ''}127.0.0.1:{port}/{self.database}?sslmode=disable"

    def redis_url(self, port):
        return f"redis://127.0.0.1:{port}{self.redis_path}"

    async def sql(self, statement, database=None):
        target = self.server._replace(scheme="postgresql", path=f"/{database or self.database}").geturl()
        command = ["psql", target, "-w", "-qAt", "-v", "ON_ERROR_STOP=1", "-c", statement]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
        return done.stdout.split()

    async def open(self):
        admin = self.server.path.lstrip("/") or "postgres"
        await self.sql(f"CREATE DATABASE {self.database}", admin)
        self.replicas = [Replica(self, number) for number in range(self.REPLICAS)]
        for replica in self.replicas:
            await replica.postgres.start()
            await replica.redis.start()
        # Together, as a deployment starts them: one makes the tables, and the key.
        for replica in self.replicas:
            replica.spawn()
        for replica in self.replicas:
            await replica.ready()
        logs = "".join(open(f"{self.folder}/replica-{number}.log").read() for number in range(self.REPLICAS))
        found = set(re.findall(r"sk-orq-[0-9a-f]{64}", logs))
        assert len(found) == 1, f"{len(found)} first keys were printed"
        self.first_key = found.pop()
        self.balancer = Balancer([replica.port for replica in self.replicas])
        await self.balancer.start()
        self.front = Client(self.balancer.port)
        await self.settled()

    async def close(self):
        for replica in self.replicas:
            if replica.process and replica.process.poll() is None:
                replica.process.kill()
                replica.process.wait()
        admin = self.server.path.lstrip("/") or "postgres"
        await self.sql(f"DROP DATABASE IF EXISTS {self.database} WITH (FORCE)", admin)

    async def settled(self):
        """All replicas are ready, told of changes, share limits, and are known to the balancer."""

        async def is_settled():
            for replica in self.replicas:
                ready = (await replica.client.ask("GET", "/readyz")).json()["status"] == "ready"
                told = await replica.figure("orqen_store_listening") == 1
                if not (ready and told and await replica.figure("orqen_limiter_redis_away") == 0):
                    return False
            return len(self.balancer.ready) == len(self.replicas)

        await until("the house is settled", is_settled)

    async def total(self, name):
        return sum([await replica.figure(name) for replica in self.replicas])

    def any(self):
        return random.choice(self.replicas)

    async def make_key(self, client, name, **fields):
        answer = await client.ask("POST", "/v1/keys", self.first_key, {"name": name, **fields})
        assert answer.status == 200, answer.body
        return answer.json()

    async def known_keys(self, count):
        """Keys that every replica has in its cache."""
        made = [await self.make_key(self.front, f"known-{number}") for number in range(count)]
        for key in made:
            for replica in self.replicas:
                assert (await replica.client.ask("GET", "/v1/account/me", key["key"])).status == 200
        return [key["key"] for key in made]
