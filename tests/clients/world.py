"""What the Python clients share: where Orqen and the scripted provider are, an operator, and `check`.

`@check("a sentence")` runs the function under it at once and prints `ok` or `FAILED` with the sentence; a program ends
with `done()`, which fails when a check did. The operator speaks plain HTTP, so that no client vouches for itself.
"""

import json
import os
import sys
import traceback
import urllib.request

ORQEN = os.environ["ORQEN_URL"]
FIRST_KEY = os.environ["ORQEN_FIRST_KEY"]
PROVIDER = os.environ["SCRIPTED_URL"]
PROVIDER_KEY = os.environ["SCRIPTED_API_KEY"]
UNKNOWN_KEY = "sk-orq-" + "0" * 64

_failed = 0


def check(sentence):
    def run(function):
        global _failed
        try:
            function()
            print(f"ok      {sentence}", flush=True)
        except Exception:
            _failed += 1
            print(f"FAILED  {sentence}", flush=True)
            traceback.print_exc(file=sys.stdout)
        return function

    return run


def done():
    sys.exit(1 if _failed else 0)


def refused(kind, call):
    """The exception that `call` raises, which must be exactly of this kind."""
    try:
        call()
    except kind as error:
        assert type(error) is kind, f"expected {kind.__name__}, got {type(error).__name__}"
        return error
    raise AssertionError(f"expected {kind.__name__}, got an answer")


def _ask(method, url, body=None, key=None):
    headers = {"content-type": "application/json"}
    if key:
        headers["authorization"] = f"Bearer {key}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


class Operator:
    """Whoever holds the first key."""

    def create_key(self, name, **more):
        return _ask("POST", f"{ORQEN}/v1/keys", {"name": name, **more}, FIRST_KEY)

    def revoke_key(self, key):
        return _ask("DELETE", f"{ORQEN}/v1/keys/{key['id']}", key=FIRST_KEY)

    def disable_key(self, key):
        return _ask("PATCH", f"{ORQEN}/v1/keys/{key['id']}", {"disabled": True}, FIRST_KEY)


class Provider:
    """What the scripted provider received."""

    def forget(self):
        _ask("DELETE", f"{PROVIDER}/received")

    def received(self):
        return _ask("GET", f"{PROVIDER}/received")

    def received_one(self):
        requests = self.received()
        assert len(requests) == 1, f"the provider received {len(requests)} requests"
        return requests[0], json.loads(requests[0]["body"])


def function_tool(name):
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    return {"type": "function", "function": {"name": name, "description": f"Does {name}.", "parameters": schema}}
