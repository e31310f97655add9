"""What an Orqen that is to be measured has to do: chat requests as agents send them, for a while.

train.py ORQEN [--seconds 20]: starts the binary with every rule on, in front of a provider in this process, and has agents
ask on connections of their own: small, middling and large requests, plain and streamed. Then it stops it as an operator
would, which is when a binary built to be measured writes down what it counted.
"""

import argparse
import http.client
import http.server
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "budget"))

import budget
import payload

# What each agent sends: most requests have tools, half of the answers are streams.
AGENTS = [
    (size, streamed)
    for size in ("small", "small", "medium", "medium", "medium", "large")
    for streamed in (False, True)
]
EVENTS = 40


def event(number):
    """One event of a stream."""
    choice = {"index": 0, "delta": {"content": f" word {number}"}, "finish_reason": None}
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini", "choices": [choice]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


class Provider(http.server.BaseHTTPRequestHandler):
    """Answers in one piece or as a stream, as it is asked."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if b'"stream":true' not in body:
            self.head("application/json", f"content-length: {len(budget.ANSWER)}")
            return self.wfile.write(budget.ANSWER)
        self.head("text/event-stream", "transfer-encoding: chunked")
        for part in [*map(event, range(EVENTS)), b"data: [DONE]\n\n", b""]:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))

    def head(self, kind, length):
        self.wfile.write(f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n{length}\r\n\r\n".encode())

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


class Trained:
    """Orqen at work, with a key."""

    def __init__(self, orqen, folder, provider):
        self.port = budget.free_port()
        file = folder / "orqen.toml"
        file.write_text(budget.configuration(folder, self.port, provider))
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("ORQEN_")}
        command = [orqen, "--config", str(file)]
        self.ask(command, "account", "create", "default")
        lists = ["--allow", "north_*", "--allow", "south_*", "--deny", "*_close_*", "--deny", "exec"]
        self.key = self.ask(command, "key", "create", "training", *lists)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen([*command, "serve"], cwd=folder, env=self.environment, **quiet)

    def ask(self, command, *words):
        # What the command line does is not what counts.
        environment = self.environment | {"LLVM_PROFILE_FILE": os.devnull}
        done = subprocess.run([*command, *words], env=environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{words}: {done.stderr}")
        return done.stdout.strip()

    def connect(self):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
                connection.connect()
                return connection
            except OSError:
                time.sleep(0.1)
        sys.exit("Orqen did not start")

    def agent(self, size, streamed, until, done):
        """Asks, again and again, until the time has come."""
        bodies = payload.bodies(size)
        if streamed:
            bodies = [body[:-1] + b',"stream":true}' for body in bodies]
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        connection, asked = self.connect(), 0
        while time.monotonic() < until:
            connection.request("POST", "/v1/chat/completions", bodies[asked % len(bodies)], headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200 or not (text.endswith(b"[DONE]\n\n") if streamed else text == budget.ANSWER):
                return done.append(f"{size}: {answer.status} {text[-200:]!r}")
            asked += 1
        done.append(asked)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        finally:
            self.process.kill()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("orqen", type=pathlib.Path)
    parser.add_argument("--seconds", type=float, default=20)
    words = parser.parse_args()
    provider = Server(("127.0.0.1", 0), Provider)
    threading.Thread(target=provider.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        trained = Trained(str(words.orqen.resolve()), pathlib.Path(folder), provider.server_address[1])
        done, until = [], time.monotonic() + words.seconds
        agents = [threading.Thread(target=trained.agent, args=(*agent, until, done)) for agent in 2 * AGENTS]
        for agent in agents:
            agent.start()
        for agent in agents:
            agent.join()
        status = trained.stop()
    wrong = [one for one in done if not isinstance(one, int)]
    if wrong or status or len(done) < len(agents) or 0 in done:
        sys.exit(f"ended with {status}; {wrong[:3]}; {len(done)} of {len(agents)} agents")
    print(f"{sum(done)} requests of {len(agents)} agents")


if __name__ == "__main__":
    main()
