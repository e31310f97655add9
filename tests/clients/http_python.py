"""Drives Orqen over a bare HTTP/1.1 connection, as pooled clients use one: head and body in two writes, one request
after the other.

A refusal comes before the body is read. The next request must still find the connection, or have been told that it
closes; otherwise a client that does not retry sees it fail, now and then, for no fault of its own.
"""

import http.client
import time

from world import FIRST_KEY, ORQEN, UNKNOWN_KEY, check, done

BODY = b'{"model": "scripted-1", "messages": [{"role": "user", "content": "Hi"}]}'


def connect():
    return http.client.HTTPConnection(ORQEN.removeprefix("http://"), timeout=15)


def post(connection, key, body=BODY, pause=0.0, path="/v1/chat/completions", kind="application/json"):
    """The answer and its body, to a request whose body is sent `pause` seconds after its head."""
    connection.putrequest("POST", path)
    for name, value in (("authorization", f"Bearer {key}"), ("content-type", kind), ("content-length", len(body))):
        connection.putheader(name, str(value))
    connection.endheaders()
    time.sleep(pause)
    connection.send(body)
    answer = connection.getresponse()
    return answer, answer.read()


@check("http-python: after a refusal the same connection takes the next request")
def _():
    connection = connect()
    for pause in (0.0, 0.02, 0.05):
        for path, key, kind, status in (
            ("/v1/chat/completions", UNKNOWN_KEY, "application/json", 401),
            ("/v1/nothing", FIRST_KEY, "application/json", 404),
            ("/v1/chat/completions", FIRST_KEY, "text/plain", 415),
            ("/orqen.v1.KeyService/ListKeys", UNKNOWN_KEY, "application/grpc-web", 200),
        ):
            answer, _ = post(connection, key, pause=pause, path=path, kind=kind)
            assert answer.status == status and not answer.will_close, (path, answer.status, answer.getheaders())
            socket = connection.sock
            answer, _ = post(connection, FIRST_KEY)
            assert answer.status == 200 and connection.sock is socket


@check("http-python: a body that is not waited for closes the connection, and the client is told")
def _():
    connection = connect()
    connection.putrequest("POST", "/v1/chat/completions")
    connection.putheader("authorization", f"Bearer {UNKNOWN_KEY}")
    connection.putheader("content-length", str(32 << 20))
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 401 and answer.getheader("connection") == "close"


done()
