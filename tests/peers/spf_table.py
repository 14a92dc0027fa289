"""pyspf over a table of SPF scenarios: the result and the explanation of each test, as JSON: {"scenario/test": [result, words]}.

The table is that of tests/data/spf/table.json (src/spf/suite_tests.rs says what it holds). Its zones stand in for the DNS.
"""

import json
import socket
import sys

import spf

with open(sys.argv[1]) as file:
    SCENARIOS = json.load(file)
ZONES = {}


def lookup(name, kind, strict=True, timeout=None, level=0):
    name = name.rstrip(".").lower()
    if any(not 0 < len(label) < 64 for label in name.split(".")):
        raise spf.TempError("not a name")
    found = False
    for record in ZONES.get(name, []):
        if record == "TIMEOUT":
            if not found:
                raise spf.TempError("no answer")
            return
        for of, value in record.items():
            if of == "CNAME" and level < 8:
                yield (name, of), value
                yield from lookup(value, kind, strict, timeout, level + 1)
            elif of == kind:
                found = True
                if kind == "AAAA":
                    value = socket.inet_pton(socket.AF_INET6, value)
                elif kind == "TXT":
                    value = tuple(part.encode() for part in ([value] if isinstance(value, str) else value))
                elif kind == "MX":
                    value = tuple(value)
                yield (name, kind), value


spf.DNSLookup = lookup
spf.set_default_explanation = lambda *_: None
results = {}
for scenario in SCENARIOS:
    ZONES = {name.lower(): records for name, records in scenario["zonedata"].items()}
    for name, test in scenario["tests"].items():
        query = spf.query(test["host"], test["mailfrom"], test["helo"], receiver="receiver.example", strict=True, timeout=20)
        query.set_default_explanation("DEFAULT")
        result, _, words = query.check()
        results[f"{scenario['description']}/{name}"] = [result, words]
json.dump(results, sys.stdout)
