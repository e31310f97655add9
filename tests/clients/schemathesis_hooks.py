"""What the description cannot say: a time that must lie in the future."""

import schemathesis


@schemathesis.hook
def map_body(context, body):
    if isinstance(body, dict):
        body.pop("expires_at", None)
    return body
