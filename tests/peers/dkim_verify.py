"""dkimpy as a judge of our DKIM signatures, and as a signer for our verifier: one process for all mails of a folder.

verify FOLDER: for each *.eml, what each of its signatures is worth, as JSON: {"file": [true, "why not", ...]}.
sign FOLDER: for each *.eml, signatures of every algorithm and canonicalization in front of it, into file.signed.
records.json has the key records by name; key.rsa (PEM) and key.ed25519 (32 octets in base64) are the keys to sign with.
"""

import glob
import json
import os
import sys

import dkim

action, folder = sys.argv[1:]
with open(os.path.join(folder, "records.json")) as file:
    RECORDS = json.load(file)


def txt(name, timeout=5):
    name = name.decode() if isinstance(name, bytes) else name
    record = RECORDS.get(name.rstrip("."))
    return record.encode() if record else None


def verify(mail):
    results = []
    count = sum(name.lower() == b"dkim-signature" for name, _ in dkim.rfc822_parse(mail)[0])
    for n in range(count):
        try:
            results.append(bool(dkim.DKIM(mail, minkey=1024).verify(idx=n, dnsfunc=txt)) or "it does not verify")
        except Exception as e:
            results.append(f"{type(e).__name__}: {e}")
    return results


def signed(mail):
    fields = b""
    for algorithm, selector, name in ((b"rsa-sha256", b"r1", "key.rsa"), (b"ed25519-sha256", b"e1", "key.ed25519")):
        with open(os.path.join(folder, name), "rb") as file:
            key = file.read()
        for header in (b"simple", b"relaxed"):
            for body in (b"simple", b"relaxed"):
                made = dkim.sign(
                    mail, selector, b"dkim.test", key, canonicalize=(header, body), signature_algorithm=algorithm
                )
                fields = made + fields
    return fields


results = {}
for path in sorted(glob.glob(os.path.join(folder, "*.eml"))):
    with open(path, "rb") as file:
        mail = file.read()
    if action == "verify":
        results[os.path.basename(path)] = verify(mail)
    else:
        with open(path + ".signed", "wb") as file:
            file.write(signed(mail) + mail)
print(json.dumps(results))
