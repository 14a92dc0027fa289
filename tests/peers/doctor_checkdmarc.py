"""What checkdmarc says of domains, through one resolver: a line of JSON for each.

usage: doctor_checkdmarc.py RESOLVER DOMAIN...
"""

import json
import sys

from checkdmarc import dmarc, mta_sts, smtp_tls_reporting, spf
from checkdmarc.utils import get_mx_records

resolver, domains = sys.argv[1], sys.argv[2:]
ask = {"nameservers": [resolver], "timeout": 5.0}


def of_spf(domain):
    found = spf.check_spf(domain, **ask)
    return {
        "record": found.get("record"),
        "valid": bool(found.get("valid")),
        "lookups": found.get("dns_lookups"),
        "void": found.get("dns_void_lookups"),
        "error": found.get("error"),
    }


def of_dmarc(domain):
    found = dmarc.check_dmarc(domain, **ask)
    return {
        "record": found.get("record"),
        "location": found.get("location"),
        "valid": bool(found.get("valid")),
        "error": found.get("error"),
    }


def of_mx(domain):
    try:
        return sorted(host["hostname"] for host in get_mx_records(domain, **ask))
    except Exception as error:
        return str(error)


def of_mta_sts(domain):
    try:
        found = mta_sts.query_mta_sts_record(domain, **ask)
        tag = mta_sts.parse_mta_sts_record(found["record"])["tags"]["id"]
        return {"id": tag["value"] if isinstance(tag, dict) else tag, "error": None}
    except Exception as error:
        return {"id": None, "error": str(error)}


def of_tls_rpt(domain):
    found = smtp_tls_reporting.check_smtp_tls_reporting(domain, **ask)
    rua = found.get("tags", {}).get("rua", {}).get("value")
    return {"valid": bool(found.get("valid")), "rua": rua, "error": found.get("error")}


for domain in domains:
    said = {"domain": domain}
    for name, look in [
        ("spf", of_spf),
        ("dmarc", of_dmarc),
        ("mx", of_mx),
        ("mta_sts", of_mta_sts),
        ("tls_rpt", of_tls_rpt),
    ]:
        said[name] = look(domain)
    print(json.dumps(said))
