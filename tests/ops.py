#!/usr/bin/env python3
"""Checks ops/ with promtool and against the metrics of a running pair.

Usage: tests/ops.py PASSBOOK. Every alert has its texts, a test and an entry in docs/RUNBOOK.md. Every metric that an
alert or the dashboard reads exists, and every expression is valid.
"""

import contextlib
import json
import re
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "docs/generate"))
from pair import Pair  # noqa: E402
from running import until  # noqa: E402

sys.path.insert(0, str(ROOT / "tests/fixtures"))
from every_event import request  # noqa: E402

OPS = ROOT / "ops"
METRIC = re.compile(r"\b(?:passbook|process)_\w+")
# Only services with a certificate have it; the tests of TLS read it.
WITH_TLS = {"passbook_tls_certificate_remaining_seconds"}
ENTRY = ("**Meaning.**", "**First look.**", "**Remedy.**")


def fail_unless(holds, what):
    if not holds:
        raise SystemExit(what)


def promtool(*arguments, **options):
    done = subprocess.run(["promtool", *arguments], cwd=OPS, capture_output=True, text=True, **options)
    fail_unless(done.returncode == 0, f"promtool {' '.join(arguments)}:\n{done.stdout}{done.stderr}")
    fail_unless(not done.stderr.strip(), f"promtool {' '.join(arguments)}:\n{done.stderr}")


def alerts():
    """Returns the text of each alert by its name."""
    parts = re.split(r"^ *- alert: (\w+)$", (OPS / "alerts.yml").read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def check_texts(rules):
    """Checks that each alert has its texts, its test and its entry in the runbook, and that no entry has no alert."""
    tests = (OPS / "alerts_test.yml").read_text()
    sections = re.split(r"^## (\w+)$", (ROOT / "docs/RUNBOOK.md").read_text(), flags=re.MULTILINE)
    runbook = dict(zip(sections[1::2], sections[2::2]))
    for name, rule in rules.items():
        for text in ("summary:", "description:", f"runbook_url: docs/RUNBOOK.md#{name.lower()}\n"):
            fail_unless(text in rule, f"{name} has no `{text.strip()}`")
        fail_unless(f"- name: {name}\n" in tests, f"alerts_test.yml has no test of {name}")
        missing = [part for part in ENTRY if part not in runbook.get(name, "")]
        fail_unless(not missing, f"docs/RUNBOOK.md, {name}: lacks {missing}")
    fail_unless(set(runbook) == set(rules), f"entries without an alert: {set(runbook) - set(rules)}")


def queries():
    """Returns the expressions of the dashboard, with its variables replaced."""
    dashboard = json.loads((OPS / "dashboard.json").read_text())
    found = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    fail_unless(len(found) > 30, f"only {len(found)} queries")
    return [query.replace("$__rate_interval", "5m").replace("$job", ".*").replace("$instance", ".*") for query in found]


def check_expressions(expressions):
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(expressions)]
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        # JSON is YAML.
        json.dump({"groups": [{"name": "dashboard", "rules": rules}]}, file)
        file.flush()
        promtool("check", "rules", file.name)


def scrape(address):
    with urllib.request.urlopen(f"http://{address}/metrics") as response:
        return response.read().decode()


def exercise(pair):
    """Sends requests of all kinds, so that the metrics of each exist."""
    account = "01990d2c-6f4a-7d3e-9b1a-5c8e2f7a4b60"
    body = {"account_id": account, "owner": "ada", "currency": "EUR", "initial_deposit": 5}
    opened = request(f"http://{pair.commands}", "POST", "/v1/accounts", body)
    fail_unless(opened[0] == 201, f"{opened}")
    shown = request(f"http://{pair.views}", "GET", f"/v1/accounts/{account}?min_version=1")
    fail_unless(shown[0] == 200, f"{shown}")
    verify = [pair.program, "verify", f"--projection-addr={pair.views}"]
    subprocess.run(verify, check=True, capture_output=True)


def main(program):
    promtool("check", "config", "prometheus.yml")
    promtool("check", "rules", "alerts.yml")
    promtool("test", "rules", "alerts_test.yml")
    rules, expressions = alerts(), queries()
    check_texts(rules)
    check_expressions(expressions)
    used = set(METRIC.findall("\n".join([*rules.values(), *expressions])))
    with Pair(program) as pair:
        exercise(pair)

        def missing():
            lines = "\n".join(scrape(address) for address in pair.operators).splitlines()
            return used - WITH_TLS - {re.split(r"[{ ]", line)[0] for line in lines}

        # Some gauges are set by loops that run each second.
        with contextlib.suppress(SystemExit):
            until("every metric exists", lambda: not missing(), 30)
        fail_unless(not missing(), f"metrics that do not exist: {missing()}")
        for address in pair.operators:
            promtool("check", "metrics", input=scrape(address))
    print(f"{len(rules)} alerts, {len(expressions)} queries, {len(used)} metrics")


main(sys.argv[1])
