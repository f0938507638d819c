"""Server of an attacker: it serves a page, and forwards all other requests to a service.

A page whose name resolves to this server first and to the service later has the same port in both. The forwarder is
both: `/evil/…` is the attacker, everything else is the service. It records each exchange.
"""

import http.client
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PAGE = (Path(__file__).parent / "page.html").read_text()
# Of one connection only.
HOP = {"connection", "transfer-encoding", "keep-alive"}


class Forwarder:
    """Forwards the requests to one address, until the end of the `with` block."""

    def __init__(self, upstream):
        self.upstream, self.exchanges, self.reports, self.targets = upstream, [], [], {}
        self.reported = threading.Event()
        handler = type("Handler", (Handler,), {"forwarder": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class Handler(BaseHTTPRequestHandler):
    """One request."""

    def log_message(self, *_):
        pass

    def respond(self, status, headers, body):
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def handle_request(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.path == "/evil/report":
            self.forwarder.reports.append(json.loads(body))
            self.forwarder.reported.set()
            self.respond(204, [], b"")
        elif self.path.startswith("/evil/"):
            targets = json.dumps(self.forwarder.targets[self.path])
            page = PAGE.replace("TARGETS", targets).encode()
            self.respond(200, [("content-type", "text/html")], page)
        elif self.path == "/favicon.ico":
            self.respond(404, [], b"")
        else:
            self.forward(body)

    def forward(self, body):
        connection = http.client.HTTPConnection(self.forwarder.upstream, timeout=10)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            connection.putheader(name, value)
        connection.endheaders(body or None)
        response = connection.getresponse()
        read = b"" if response.status == 101 else response.read()
        headers = [(n, v) for n, v in response.getheaders() if n.lower() not in HOP]
        self.forwarder.exchanges.append(
            {
                "method": self.command,
                "path": self.path,
                "host": self.headers.get("host"),
                "origin": self.headers.get("origin"),
                "upgrade": self.headers.get("upgrade"),
                "status": response.status,
                "headers": {name.lower(): value for name, value in headers},
                "body": read.decode(errors="replace"),
            }
        )
        self.respond(response.status, headers, read)

    do_GET = do_POST = do_PUT = do_OPTIONS = do_HEAD = do_DELETE = handle_request
