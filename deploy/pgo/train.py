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


class Trained(budget.Started):
    """An Orqen at work."""

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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("orqen", type=pathlib.Path)
    parser.add_argument("--seconds", type=float, default=20)
    words = parser.parse_args()
    provider = Server(("127.0.0.1", 0), Provider)
    threading.Thread(target=provider.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        # What the command line does before is not what counts: only the server is told where to write.
        profile = {"LLVM_PROFILE_FILE": os.environ.get("LLVM_PROFILE_FILE", os.devnull)}
        os.environ["LLVM_PROFILE_FILE"] = os.devnull
        trained = Trained(str(words.orqen.resolve()), pathlib.Path(folder), provider.server_address[1], profile)
        done, until = [], time.monotonic() + words.seconds
        agents = [threading.Thread(target=trained.agent, args=(*agent, until, done)) for agent in 2 * AGENTS]
        for agent in agents:
            agent.start()
        for agent in agents:
            agent.join()
        try:
            status = trained.stop()
        finally:
            trained.end()
    wrong = [one for one in done if not isinstance(one, int)]
    if wrong or status or len(done) < len(agents) or 0 in done:
        sys.exit(f"ended with {status}; {wrong[:3]}; {len(done)} of {len(agents)} agents")
    print(f"{sum(done)} requests of {len(agents)} agents")


if __name__ == "__main__":
    main()
