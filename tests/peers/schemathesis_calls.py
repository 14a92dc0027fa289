"""What schemathesis does to each call: true credentials in most, our composition and days in many, and a count of statuses."""

import atexit
import collections
import json
import os

import schemathesis

USER = os.environ["HIKYAKU_API_USER"]
KEY = os.environ["HIKYAKU_API_KEY"]
counts = collections.Counter()
calls = 0


@schemathesis.hook
def before_call(context, case, kwargs):
    global calls
    calls += 1
    body = case.body
    # A wrong key costs the server a hash, and its source address its patience: few of them.
    if not isinstance(body, dict) or calls % 50 == 0:
        return
    body["api_user"], body["api_key"] = USER, KEY
    if "server_composition" in body and calls % 5:
        body["server_composition"] = "main"


@schemathesis.hook
def after_call(context, case, response):
    counts[str(response.status_code)] += 1


@atexit.register
def tell():
    with open(os.environ["HIKYAKU_COUNTS"], "w") as file:
        json.dump(counts, file)
