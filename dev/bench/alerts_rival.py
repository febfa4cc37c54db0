"""The page of metrics that Prometheus reads, and the receiver that Alertmanager notifies.

Each notification becomes a line of DIRECTORY/notified: its time, and the first subject in it.
"""
import http.server
import json
import subprocess
import sys
import time

DIRECTORY = sys.argv[1]
QUERY = "SELECT kind || '|' || subject || '|' || depth FROM queue"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        rows = subprocess.run(["psql", "-X", "-q", "-At", "-c", QUERY], capture_output=True,
                              check=True, text=True).stdout.split()
        page = "# TYPE queue_depth gauge\n"
        for row in rows:
            kind, subject, depth = row.split("|")
            page += f'queue_depth{{kind="{kind}",subject="{subject}"}} {depth}\n'
        self.answer(page.encode())

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        firing = [a for a in body["alerts"] if a["status"] == "firing"]
        if firing:
            with open(f"{DIRECTORY}/notified", "a", encoding="utf-8") as file:
                file.write(f"{time.time()} {firing[0]['labels']['subject']}\n")
        self.answer(b"")

    def answer(self, page):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *arguments):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", 59100), Handler).serve_forever()
