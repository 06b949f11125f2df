#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A webhook receiver: appends what Alertmanager posts to a file, one line `STATUS ALERT INSTANCE` per alert.
Usage: receiver.py PORT_FILE OUT_FILE   (it takes a free port of loopback and writes it)"""
import http.server
import json
import sys


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert body["version"] == "4"
        with open(sys.argv[2], "a", encoding="utf-8") as out:
            for alert in body["alerts"]:
                labels = alert["labels"]
                assert alert["annotations"]["runbook"].startswith("docs/operations.md#")
                out.write(f"{alert['status']} {labels['alertname']} {labels.get('job', '-')}\n")
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Receiver)
with open(sys.argv[1], "w", encoding="utf-8") as out:
    out.write(str(server.server_port))
server.serve_forever()
