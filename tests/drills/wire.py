"""HTTP and TCP for the drills: a client that keeps connections, a balancer that honours `/readyz`, a proxy that can be cut.

None of them tries anything again: a request that fails is a failure, or the figures would say how good the drills are.
"""

import asyncio
import collections
import json

PATIENCE = 30


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


async def read_head(reader):
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
    return first, headers


async def read_body(reader, headers):
    if headers.get("transfer-encoding") == "chunked":
        parts = []
        while True:
            size = int((await reader.readline()).split(b";")[0], 16)
            parts.append(await reader.readexactly(size))
            await reader.readexactly(2)
            if size == 0:
                return b"".join(parts)
    return await reader.readexactly(int(headers.get("content-length", 0)))


class Client:
    """Speaks HTTP/1.1 to one port over connections that it keeps."""

    def __init__(self, port):
        self.port, self.idle = port, []

    async def ask(self, method, path, key=None, body=None):
        data = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "host: orqen", f"content-length: {len(data)}"]
        if data:
            lines.append("content-type: application/json")
        if key:
            lines.append(f"authorization: Bearer {key}")
        return await self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + data)

    async def send(self, request):
        return await asyncio.wait_for(self._send(request), PATIENCE)

    async def _send(self, request):
        while self.idle and self.idle[-1][0].at_eof():
            self.idle.pop()[1].close()
        reader, writer = self.idle.pop() if self.idle else await asyncio.open_connection("127.0.0.1", self.port)
        kept = False
        try:
            writer.write(request)
            first, headers = await read_head(reader)
            body = await read_body(reader, headers)
            kept = headers.get("connection") != "close"
            return Answer(int(first.split()[1]), headers, body)
        finally:
            if kept:
                self.idle.append((reader, writer))
            else:
                writer.close()

    def forget(self):
        for _, writer in self.idle:
            writer.close()
        self.idle.clear()


class Balancer:
    """Round robin over the ports whose `/readyz` was 200 a moment ago."""

    EVERY = 0.1

    def __init__(self, ports):
        self.backends = [Client(port) for port in ports]
        self.probes = [Client(port) for port in ports]
        self.ready = collections.deque()

    async def start(self):
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self.tasks = [asyncio.create_task(self._watch(*pair)) for pair in zip(self.backends, self.probes)]

    async def _watch(self, backend, probe):
        while True:
            try:
                up = (await asyncio.wait_for(probe.ask("GET", "/readyz"), 2)).status == 200
            except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
                up = False
            if up and backend not in self.ready:
                self.ready.append(backend)
            if not up and backend in self.ready:
                self.ready.remove(backend)
                backend.forget()
            await asyncio.sleep(self.EVERY)

    async def _serve(self, reader, writer):
        try:
            while True:
                first, headers = await read_head(reader)
                body = await read_body(reader, headers)
                lines = [first] + [f"{name}: {value}" for name, value in headers.items()]
                answer = await self._pass("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
                skipped = ("transfer-encoding", "content-length", "connection")
                lines = [f"HTTP/1.1 {answer.status} -", f"content-length: {len(answer.body)}"]
                lines += [f"{name}: {value}" for name, value in answer.headers.items() if name not in skipped]
                writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + answer.body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _pass(self, request):
        if not self.ready:
            return Answer(502, {"x-balancer": "nobody is ready"}, b"")
        self.ready.rotate(1)
        try:
            return await self.ready[0].send(request)
        except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError) as error:
            return Answer(502, {"x-balancer": repr(error)}, b"")


class Proxy:
    """A way to a server: `open`, `cut` (connections are closed), `stalled` (taken, and silent) or `slow`.

    On the way to PostgreSQL `listeners` are those connections alone that say so at their start.
    """

    SLOW = 0.2

    def __init__(self, host, port):
        self.target, self.way, self.listeners, self.tasks = (host, port), "open", "open", {}

    async def start(self):
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]

    def turn(self, way):
        """Connections that there are never come back from a cut or a stall."""
        self.way = way
        if way in ("cut", "stalled"):
            self._end(lambda listener: True, way)

    def turn_listeners(self, way):
        self.listeners = way
        if way == "cut":
            self._end(lambda listener: listener, way)

    def _end(self, whom, way):
        for task, (listener, writers) in list(self.tasks.items()):
            if whom(listener):
                task.cancel()
                if way == "cut":
                    for writer in writers:
                        writer.close()

    async def _serve(self, reader, writer):
        if self.way == "cut":
            writer.close()
            return
        if self.way == "stalled":
            return
        try:
            first = await reader.read(65536)
            listener = b"orqen listener" in first
            if listener and self.listeners == "cut":
                writer.close()
                return
            there, back = await asyncio.open_connection(*self.target)
        except OSError:
            writer.close()
            return
        back.write(first)
        ways = asyncio.gather(self._pump(reader, back), self._pump(there, writer))
        self.tasks[ways] = (listener, (writer, back))
        try:
            await ways
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            # A process that was killed lets go of its connections; the server must see it here too. A stall it must not.
            if self.tasks.pop(ways, None) and self.way != "stalled":
                ways.cancel()
                writer.close()
                back.close()

    async def _pump(self, reader, writer):
        while data := await reader.read(65536):
            if self.way == "slow":
                await asyncio.sleep(self.SLOW)
            writer.write(data)
            await writer.drain()
        writer.close()
