#!/usr/bin/env python3
"""Pages of other origins in a real Chromium try to reach both services and their listeners for operators.

Usage: tests/browser/check.py PASSBOOK. Runs with authentication and with AUTH=off. A page of another site, one of
another port of the same host, and one whose name comes to resolve to the service (DNS rebinding) send what a browser
lets them. No response is readable, each change is refused, and nothing has changed afterwards.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT / "docs/generate"), str(ROOT / "tests/fixtures"), str(HERE)]
from every_event import request  # noqa: E402
from forwarder import Forwarder  # noqa: E402
from pair import Pair  # noqa: E402

ACCOUNT = "01990d2c-6f4a-7d3e-9b1a-5c8e2f7a4b60"
ATTACKER, REBOUND = "attacker.example", "rebound.example"
DEPOSIT = json.dumps({"amount": 666})
TRANSFER = json.dumps({"from": ACCOUNT, "to": ACCOUNT, "amount": 1})
OPENING = json.dumps({"owner": "eve", "currency": "EUR"})
CHANGES = {
    "command": [
        ["POST", f"/v1/accounts/{ACCOUNT}/deposits", DEPOSIT],
        ["POST", f"/v1/accounts/{ACCOUNT}/freeze", '{"reason":"evil"}'],
        ["POST", "/v1/accounts", OPENING],
        ["POST", "/v1/transfers", TRANSFER],
        ["PUT", f"/v1/accounts/{ACCOUNT}/overdraft-limit", '{"overdraft_limit":666}'],
    ],
    "views": [
        ["POST", "/admin/replays", '{"from":"beginning"}'],
        ["POST", "/admin/verify", "{}"],
    ],
    "command operators": [["POST", "/health/live", "{}"], ["PUT", "/metrics", "{}"]],
    "views operators": [["POST", "/health/live", "{}"], ["PUT", "/metrics", "{}"]],
}
READS = {
    "command": [f"/v1/accounts/{ACCOUNT}/events", "/v1/store"],
    "views": [f"/v1/accounts/{ACCOUNT}", "/admin/projection"],
    "command operators": ["/metrics", "/health/ready"],
    "views operators": ["/metrics", "/health/ready"],
}


def fail_unless(holds, what):
    if not holds:
        raise SystemExit(what)


def state(pair):
    """Returns everything that a page could have changed."""
    events = pair.get(pair.commands, "/v1/events?partition=0"), pair.get(pair.commands, f"/v1/accounts/{ACCOUNT}/events")
    replays = pair.get(pair.views, "/admin/replays")
    projection = pair.get(pair.views, "/admin/projection")
    kept = {name: projection[name] for name in ("generation", "quarantined")}
    return events, replays, kept, pair.get(pair.views, "/v1/accounts"), pair.get(pair.views, "/admin/verify")


@contextlib.contextmanager
def chromium(url):
    """Opens a page. The browser's own rules for local networks are off: the services must not need them."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    fail_unless(program, "no chromium: install Debian's package `chromium`")
    off = "LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests,HttpsUpgrades,HttpsFirstBalancedModeAutoEnable"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        arguments = [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", f"--disable-features={off}",
            f"--user-data-dir={profile}", "--no-proxy-server",
            f"--host-resolver-rules=MAP {ATTACKER} 127.0.0.1, MAP {REBOUND} 127.0.0.1",
        ]  # fmt: skip
        with (Path(profile) / "log").open("w") as log:
            browser = subprocess.Popen([program, *arguments, url], stdout=log, stderr=log)
            try:
                yield
            finally:
                browser.terminate()
                browser.wait()


def visit(server, host, targets):
    """Opens the page under a host name of its server, and returns its report."""
    origin = f"http://{host}:{server.port}"
    server.targets[f"/evil/{host}"] = {"origin": origin, "targets": targets}
    server.reported.clear()
    with chromium(f"{origin}/evil/{host}"):
        fail_unless(server.reported.wait(120), f"the page of {origin} does not report")
    return server.reports.pop()["report"]


def target(name, base):
    return {"name": name, "base": base, "changes": CHANGES[name], "reads": READS[name]}


def check_cross_origin(kind, report):
    for entry in report:
        fail_unless("read" not in entry, f"{kind}: the page could read: {entry}")


def check_rebound(name, report):
    """A rebound page may read each response, and each is a refusal."""
    for entry in report:
        exempt = name in ("command", "views") and entry["path"].startswith("/health")
        refused = entry.get("read") in (403, "frame") and "host_not_allowed" in entry.get("text", "")
        silent = "blocked" in entry or entry.get("opaque")
        fail_unless(exempt or refused or silent, f"rebound {name}: {entry}")
    fail_unless(any(entry.get("read") == 403 for entry in report), f"rebound {name}: nothing was read")


def check_exchanges(name, exchanges):
    """Returns the number of requests that the browser has sent and the service has refused."""
    refused = 0
    for exchange in exchanges:
        context = f"{name}: {exchange}"
        foreign = exchange["host"].split(":")[0] == REBOUND
        allowed = [header for header in exchange["headers"] if header.startswith("access-control")]
        fail_unless(not allowed and exchange["status"] != 101, context)
        if exchange["method"] in ("POST", "PUT") or foreign:
            operators = name.endswith("operators") and exchange["status"] in (404, 405)
            fail_unless(exchange["status"] == 403 or operators and not foreign, context)
            refused += 1
    return refused


def attack(pair, mode):
    addresses = [pair.commands, pair.views, *pair.operators]
    with contextlib.ExitStack() as stack:
        servers = {name: stack.enter_context(Forwarder(a)) for name, a in zip(CHANGES, addresses)}
        page = stack.enter_context(Forwarder("127.0.0.1:1"))
        targets = [target(name, f"http://127.0.0.1:{server.port}") for name, server in servers.items()]
        for host in (ATTACKER, "localhost"):
            report = visit(page, host, targets)
            check_cross_origin(f"{mode}, {host}", report)
            print(f"{mode}: {len(report)} attempts of a page of {host}, none readable")
        for name, server in servers.items():
            report = visit(server, REBOUND, [target(name, f"http://{REBOUND}:{server.port}")])
            check_rebound(name, report)
            refused = check_exchanges(name, server.exchanges)
            upgrades = sum(exchange["upgrade"] is not None for exchange in server.exchanges)
            fail_unless(refused >= 10 and upgrades > 0, f"{name}: {refused} refused, {upgrades} upgrades")
            print(f"{mode}, {name}: {len(server.exchanges)} requests sent, {refused} refused as changes or by host")


def main(program):
    for mode in ("keys", "off"):
        os.environ["AUTH"] = mode
        with Pair(program) as pair:
            opening = {"account_id": ACCOUNT, "owner": "ada", "currency": "EUR", "initial_deposit": 1000}
            status, _, text = request(f"http://{pair.commands}", "POST", "/v1/accounts", opening)
            fail_unless(status == 201, text)
            read = request(f"http://{pair.views}", "GET", f"/v1/accounts/{ACCOUNT}?min_version=1")
            fail_unless(read[0] == 200 and json.loads(read[2])["balance"] == 1000, f"{read}")
            before = state(pair)
            attack(pair, f"AUTH={mode}")
            fail_unless(state(pair) == before, f"changed: {before} to {state(pair)}")


main(sys.argv[1])
