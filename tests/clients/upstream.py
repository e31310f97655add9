"""A scripted provider that speaks OpenAI's Chat Completions format and remembers what it received.

What it answers follows from the request: a call to the first tool that is offered, else a sentence; streamed when
asked; and what the model's name says (`scripted-error-429`, `scripted-rejects-us`). `GET /received` gives what came,
`DELETE /received` forgets it. It is a collector of traces too: `GET /traces` gives those that came, as text. It prints its address on the first line. Standard library only: a double that needs
packages of its own would prove less.
"""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODELS = ["scripted-1", "scripted-2", "unrouted-1"]
TEXT = "The scripted provider says hello."
ARGUMENTS = '{"city": "Zürich", "unit": "celsius"}'

received = []
traces = []
lock = threading.Lock()


class Provider(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/received":
            with lock:
                self.answer(200, list(received))
        elif self.path == "/traces":
            with lock:
                self.answer(200, list(traces))
        elif self.path == "/v1/models":
            models = [{"id": name, "object": "model", "created": 1700000000, "owned_by": "x"} for name in MODELS]
            self.answer(200, {"object": "list", "data": models})
        else:
            self.answer(404, {"error": {"message": "no such path"}})

    def do_DELETE(self):
        with lock:
            received.clear()
        self.answer(200, {})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path == "/v1/traces":
            with lock:
                traces.append(body.decode("latin-1"))
            return self.answer(200, {})
        text = body.decode("utf-8")
        headers = {name.lower(): value for name, value in self.headers.items()}
        with lock:
            received.append({"path": self.path, "headers": headers, "body": text})
        request = json.loads(text)
        if self.path != "/v1/chat/completions":
            return self.answer(404, {"error": {"message": "no such path"}})
        model = request["model"]
        if error := re.fullmatch(r"scripted-error-(\d+)", model):
            status = int(error[1])
            detail = {"message": f"scripted {status}", "type": "scripted", "param": None, "code": f"scripted_{status}"}
            return self.answer(status, {"error": detail})
        if model == "scripted-rejects-us":
            detail = {"message": f"bad credential {self.headers['authorization']}", "code": "invalid_api_key"}
            return self.answer(401, {"error": detail})
        if request.get("stream"):
            return self.stream(request)
        return self.answer(200, completion(request))

    def answer(self, status, document):
        body = json.dumps(document, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.send_header("x-request-id", "scripted-request")
        self.end_headers()
        self.wfile.write(body)

    def stream(self, request):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        events = [json.dumps(chunk, ensure_ascii=False) for chunk in chunks(request)] + ["[DONE]"]
        for event in events:
            piece = f"data: {event}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_):
        pass


def first_tool(request):
    """The name of the first function that is offered, unless the conversation has its result already."""
    if request["messages"][-1]["role"] == "tool" or not request.get("tools"):
        return None
    return request["tools"][0]["function"]["name"]


def usage():
    return {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


def completion(request):
    tool = first_tool(request)
    message = {"role": "assistant", "content": None if tool else TEXT, "refusal": None}
    if tool:
        call = {"id": "call_1", "type": "function", "function": {"name": tool, "arguments": ARGUMENTS}}
        message["tool_calls"] = [call]
    finish = "tool_calls" if tool else "stop"
    return {
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": 1700000000,
        "model": request["model"],
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
        "usage": usage(),
        "x_provider_member": {"kept": 9007199254740993},
    }


def chunks(request):
    def chunk(choices, **more):
        head = {"id": "chatcmpl-scripted", "object": "chat.completion.chunk", "created": 1700000000}
        return {**head, "model": request["model"], "choices": choices, **more}

    def delta(finish=None, **delta):
        return chunk([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}])

    tool = first_tool(request)
    if tool:
        function = {"name": tool, "arguments": ""}
        call = {"index": 0, "id": "call_1", "type": "function", "function": function}
        yield delta(role="assistant", content=None, tool_calls=[call])
        for start in range(0, len(ARGUMENTS), 5):
            part = {"index": 0, "function": {"arguments": ARGUMENTS[start : start + 5]}}
            yield delta(tool_calls=[part])
        yield delta(finish="tool_calls")
    else:
        yield delta(role="assistant", content="")
        for word in re.findall(r"\S+\s*", TEXT):
            yield delta(content=word)
        yield delta(finish="stop")
    if (request.get("stream_options") or {}).get("include_usage"):
        yield chunk([], usage=usage())


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    server.daemon_threads = True
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()
