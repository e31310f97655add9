"""How many instructions a chat request costs, counted by callgrind, held against what was recorded.

budget.py ORQEN [--save]: starts the binary under valgrind with every rule on (both lists, all limits, pruning, recording into
SQLite), sends requests of three sizes over one connection to a provider in this process, and counts all threads. A
count moves by a percent or two from run to run, and by five on a busy machine, where times double: what is done by the
clock is in it. `budget.json` has what was recorded, beside two loops that kept both cores busy; more than that and ROOM is
a failure. The binary is that of the profile `budget` (`tests/budget/run` builds it): counts of other builds say nothing
about these.
"""

import functools
import http.client
import http.server
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import payload

ROOM = 0.05
AGAIN = 2
# Requests before the count, by which everything that is remembered is there, and within it.
WARM = 64
COUNTED = 200
RECORD = pathlib.Path(__file__).with_name("budget.json")
# Some processors copy with one instruction that valgrind counts for each byte, and others do not.
TUNABLES = "glibc.cpu.x86_rep_movsb_threshold=1000000000:glibc.cpu.x86_rep_stosb_threshold=1000000000"
LIMITS = [
    f"{account}{limit}"
    for account in ("", "account_")
    for limit in ("requests_per_minute", "concurrent_requests", "daily_token_budget", "weekly_token_budget")
]
ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-mini",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Of the two that are open one is late. " * 6}}],
        "usage": {"prompt_tokens": 40, "completion_tokens": 60, "total_tokens": 100},
    }
).encode()


class Provider(http.server.BaseHTTPRequestHandler):
    """Answers every request alike, and remembers how long the last one was."""

    protocol_version = "HTTP/1.1"
    received = 0

    def do_POST(self):
        Provider.received = len(self.rfile.read(int(self.headers["content-length"])))
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(ANSWER)}\r\n\r\n"
        self.wfile.write(head.encode() + ANSWER)

    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def configuration(folder, port, provider):
    limits = "".join(f"{limit} = 1000000000000\n" for limit in LIMITS)
    return f"""
[server]
listen = "127.0.0.1:{port}"
[store]
url = "sqlite://{folder}/orqen.db"
bootstrap = false
# What is done by the clock (looks at the store, batches of records) a slow machine does more often for each request.
poll_every = "1s"
[policy]
{limits}
[pruning]
mode = "safe"
learning_share = 0.0
# Under valgrind everything takes fifty times as long, and what is given up is not counted.
scoring_budget = "1s"
indexing_budget = "1s"
[[upstreams]]
name = "provider"
base_url = "http://127.0.0.1:{provider}/v1"
models = ["gpt-*"]
"""


class Started:
    """An Orqen in front of a provider, with a key whose lists take some of the tools."""

    def __init__(self, orqen, folder, provider, environment, under=()):
        self.folder, self.port = folder, free_port()
        file = folder / "orqen.toml"
        file.write_text(configuration(folder, self.port, provider))
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("ORQEN_")}
        command = [orqen, "--config", str(file)]
        self.ask(command, "account", "create", "default")
        lists = ["--allow", "north_*", "--allow", "south_*", "--deny", "*_close_*", "--deny", "exec"]
        self.key = self.ask(command, "key", "create", "budget", *lists)
        self.log = open(folder / "log", "w")
        self.process = subprocess.Popen(
            [*under, *command, "serve"], cwd=folder, env=self.environment | environment, stdout=self.log, stderr=self.log
        )

    def ask(self, command, *words):
        done = subprocess.run([*command, *words], env=self.environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{words}: {done.stderr}")
        return done.stdout.strip()

    def connect(self):
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
                connection.connect()
                return connection
            except OSError:
                time.sleep(0.1)
        sys.exit(f"Orqen did not start:\n{(self.folder / 'log').read_text()}")

    def stop(self):
        """As an operator would; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def end(self):
        self.process.kill()
        self.process.wait()
        self.log.close()


class Counted(Started):
    """One under callgrind."""

    def __init__(self, orqen, folder, provider):
        valgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder}/counts"]
        super().__init__(orqen, folder, provider, {"GLIBC_TUNABLES": TUNABLES}, valgrind)

    def instructions(self, bodies):
        """The instructions of a request, and the headers of the last answer."""
        connection = self.connect()
        self.send(connection, bodies, WARM)
        # What the first requests left to be done behind them, such as counting the tokens of their tools.
        time.sleep(2)
        self.send(connection, bodies, len(bodies))
        self.counting("on")
        headers = self.send(connection, bodies, COUNTED)
        self.counting("off")
        self.stop()
        totals = re.search(r"^totals: (\d+)", (self.folder / "counts").read_text(), re.M)
        return int(totals[1]) // COUNTED, headers

    def send(self, connection, bodies, number):
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json", "accept": "application/json"}
        for place in range(number):
            connection.request("POST", "/v1/chat/completions", bodies[place % len(bodies)], headers)
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status == 200 and text == ANSWER, (answer.status, text)
        return dict(answer.getheaders())

    def counting(self, word):
        subprocess.run(["callgrind_control", "-i", word, str(self.process.pid)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def counted(orqen, size, provider):
    bodies = payload.bodies(size)
    with tempfile.TemporaryDirectory() as folder:
        server = Counted(orqen, pathlib.Path(folder), provider)
        try:
            number, headers = server.instructions(bodies)
        finally:
            server.end()
    # What is not done costs nothing, so that it must have been done.
    if size == "large":
        assert headers["x-orqen-tools-denied"] == "16" and "x-orqen-prune-skipped" not in headers, headers
        assert int(headers["x-orqen-tools-output"]) < 112 and "x-orqen-tokens-saved" in headers, headers
        assert Provider.received < len(bodies[0]) * 2 // 3, Provider.received
    return number


def main():
    orqen, save = str(pathlib.Path(sys.argv[1]).resolve()), "--save" in sys.argv
    provider = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=provider.serve_forever, daemon=True).start()
    count = functools.partial(counted, orqen, provider=provider.server_address[1])
    numbers = {size: count(size) for size in ("small", "medium", "large")}
    if save:
        RECORD.write_text(json.dumps(numbers, indent=2) + "\n")
    budget = json.loads(RECORD.read_text())

    def over():
        return [size for size, number in numbers.items() if number > budget[size] * (1 + ROOM)]

    # A busy machine adds and never takes away: what is over is counted again, and the least holds.
    for _ in range(AGAIN):
        for size in over():
            numbers[size] = min(numbers[size], count(size))
    for size, number in numbers.items():
        verdict, change = "over" if size in over() else "ok", number / budget[size] - 1
        print(f"{verdict:<5} {size:<7} {number:>9} instructions a request, recorded {budget[size]:>9}, {change:+.1%}")
    if over():
        print("A request costs more than was recorded: find what it is (callgrind_annotate), or, where it is worth it, say so")
        print("in the commit and record anew: tests/budget/run --save")
    sys.exit(bool(over()))


if __name__ == "__main__":
    main()
