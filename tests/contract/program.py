"""What functions and jobs of the contract run: only Python's standard library and a shell."""

from __future__ import annotations

# A Lambda Runtime API client that does what its event says and prints each event that it gets.
FUNCTION = r"""
import http.client, json, os, sys, time, urllib.error, urllib.request

def put(url, text):
    plain = {"Content-Type": "text/plain"}
    request = urllib.request.Request(url, text.encode(), plain, method="PUT")
    urllib.request.urlopen(request).read()

def hold(url):
    while True:
        try:
            return urllib.request.urlopen(url).read()
        except urllib.error.HTTPError:
            time.sleep(0.05)

if os.environ.get("START") == "exit":
    print("cannot start", flush=True)
    sys.exit(9)
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
base = "/2018-06-01/runtime/invocation"
me = os.urandom(8).hex()
count = 0
while True:
    api.request("GET", base + "/next")
    answer = api.getresponse()
    event = json.loads(answer.read())
    number = answer.headers["Lambda-Runtime-Aws-Request-Id"]
    count += 1
    print("event", json.dumps(event), flush=True)
    do = event if isinstance(event, dict) else {}
    if "put" in do:
        put(do["put"], do.get("body", ""))
    if "hold" in do:
        hold(do["hold"])
    if "sleep" in do:
        time.sleep(do["sleep"])
    if "late" in do:
        put(do["late"], "too late")
    if "eat" in do:
        eaten = b"x" * (do["eat"] << 20)
        time.sleep(60)
    if "exit" in do:
        sys.exit(do["exit"])
    kind, body = "response", {"echo": event, "count": count, "me": me, "env": dict(os.environ),
                              "deadline": answer.headers["Lambda-Runtime-Deadline-Ms"],
                              "arn": answer.headers["Lambda-Runtime-Invoked-Function-Arn"]}
    if "fail" in do:
        kind, body = "error", {"errorType": "My.Error", "errorMessage": do["fail"],
                               "stackTrace": []}
    if "size" in do:
        body = "x" * do["size"]
    api.request("POST", f"{base}/{number}/{kind}", json.dumps(body))
    api.getresponse().read()
"""

ZIP_FUNCTION = """
import urllib.request

def handler(event, context):
    if event.get("fail"):
        raise ValueError(event["fail"])
    print("in a zip", event["body"])
    request = urllib.request.Request(event["put"], event["body"].encode(), method="PUT")
    urllib.request.urlopen(request).read()
    return {"echo": event, "name": context.function_name}
"""

# Two shell functions before a job's script: `put URL TEXT`, and `hold URL` until it is there.
SHELL = r"""
put() { python3 -c 'import sys, urllib.request as u
plain = {"Content-Type": "text/plain"}
u.urlopen(u.Request(sys.argv[1], sys.argv[2].encode(), plain, method="PUT"))' "$@"; }
hold() { python3 -c 'import sys, time, urllib.error, urllib.request as u
while True:
    try:
        u.urlopen(sys.argv[1])
        break
    except urllib.error.HTTPError:
        time.sleep(0.05)' "$@"; }
"""
