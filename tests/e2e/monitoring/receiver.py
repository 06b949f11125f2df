#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A webhook receiver: appends what is posted to a file. Of Alertmanager's messages one line `STATUS ALERT WHAT` per alert,
where WHAT is the job, or of the monitor's own alerts the subject. Of the monitor's own messages, whose signature is verified
as standardwebhooks.com says, with the secret in SECRET_FILE: `signed STATUS ALERT SUBJECT`; `forged` when it is not right.
Usage: receiver.py PORT_FILE OUT_FILE SECRET_FILE   (it takes a free port of loopback and writes it)"""
import base64
import hashlib
import hmac
import http.server
import json
import sys
import time

PORT_FILE, OUT_FILE, SECRET_FILE = sys.argv[1:]


def is_signed(headers, body):
    with open(SECRET_FILE, encoding="utf-8") as f:
        key = base64.b64decode(f.read().strip().removeprefix("whsec_"))
    told = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    right = "v1," + base64.b64encode(hmac.new(key, told, hashlib.sha256).digest()).decode()
    is_fresh = abs(time.time() - int(headers["webhook-timestamp"])) < 300
    return is_fresh and any(hmac.compare_digest(right, given) for given in headers["webhook-signature"].split())


def of_alertmanager(body):
    assert body["version"] == "4"
    for alert in body["alerts"]:
        labels = alert["labels"]
        assert "subject" in labels or alert["annotations"]["runbook"].startswith("docs/operations.md#")
        yield f"{alert['status']} {labels['alertname']} {labels.get('subject') or labels.get('job', '-')}"


def of_monitor(event):
    assert event["specversion"] == "1.0"
    for alert in event["data"]["alerts"]:
        yield f"signed {event['type'].rpartition('.')[2]} {alert['name']} {alert['labels'].get('subject', '-')}"


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if "webhook-id" not in self.headers:
            lines = of_alertmanager(json.loads(body))
        else:
            lines = of_monitor(json.loads(body)) if is_signed(self.headers, body) else ["forged"]
        with open(OUT_FILE, "a", encoding="utf-8") as out:
            out.writelines(line + "\n" for line in lines)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Receiver)
with open(PORT_FILE, "w", encoding="utf-8") as out:
    out.write(str(server.server_port))
server.serve_forever()
