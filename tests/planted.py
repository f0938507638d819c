#!/usr/bin/env python3
"""Plants bugs, one at a time, and demands that a test catches each.

Usage: tests/planted.py [NAME…]     plants the named bugs, or all of them: about a minute each
       tests/planted.py --check     checks that each patch applies and that its test exists

A bug is a patch in tests/planted. Its head names the package and target of the test, as arguments of `cargo test -p`,
and the test. The patches are applied to a copy of the last commit. Without a patch, the test must pass; with it, the
test must fail. A patch that does not compile is an error, not a bug that was caught.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLANTED = ROOT / "tests/planted"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
# Always at the same path, so that a second run compiles less.
TREE = TARGET / "planted"


class Bug:
    """One patch."""

    def __init__(self, path):
        self.path, self.name = path, path.stem
        head = dict(line.split(": ", 1) for line in path.read_text().split("\n\n")[0].splitlines())
        self.package, self.test = head["Package"].split(), head["Test"]

    def apply(self, tree, *options):
        subprocess.run(["git", "apply", *options, self.path], cwd=tree, check=True)


def run(package, tests):
    """Runs tests, and returns the output and the names of those that passed and that failed."""
    environment = {**os.environ, "CARGO_TARGET_DIR": str(TARGET), "RUST_BACKTRACE": "0"}
    command = ["cargo", "test", "--locked", "-p", *package, "--", "--exact", *tests]
    done = subprocess.run(command, cwd=TREE, env=environment, capture_output=True, text=True)
    outcomes = {"ok": [], "FAILED": []}
    for line in done.stdout.splitlines():
        if line.startswith("test ") and " ... " in line:
            name, outcome = line.removeprefix("test ").split(" ... ", 1)
            outcomes.setdefault(outcome.strip(), []).append(name)
    return done.stdout + done.stderr, outcomes["ok"], outcomes["FAILED"]


def check(bugs):
    """Checks the patches without compiling them."""
    sources = "\n".join(path.read_text() for path in ROOT.glob("*/**/*.rs") if "target" not in path.parts)
    for bug in bugs:
        bug.apply(ROOT, "--check")
        name = bug.test.rsplit("::", 1)[-1]
        if f"fn {name}(" not in sources:
            raise SystemExit(f"{bug.name}: there is no test {name}")
    print(f"{len(bugs)} patches apply, and their tests exist")


def pass_without(bugs):
    for package in sorted({tuple(bug.package) for bug in bugs}):
        tests = sorted({bug.test for bug in bugs if tuple(bug.package) == package})
        output, passed, _ = run(package, tests)
        if sorted(passed) != tests:
            raise SystemExit(f"without a bug, these must pass: {tests}\n{output}")
        print(f"{' '.join(package)}: {len(tests)} tests pass without a bug", flush=True)


def is_caught(bug):
    bug.apply(TREE)
    begun = time.monotonic()
    output, passed, failed = run(bug.package, [bug.test])
    bug.apply(TREE, "--reverse")
    if not passed and not failed:
        raise SystemExit(f"{bug.name} does not compile:\n{output}")
    seconds = time.monotonic() - begun
    print(f"{'caught' if failed else 'NOT CAUGHT'} after {seconds:.0f} s: {bug.name}, by {bug.test}", flush=True)
    return failed == [bug.test]


def main(arguments):
    bugs = [Bug(path) for path in sorted(PLANTED.glob("*.patch"))]
    if arguments == ["--check"]:
        return check(bugs)
    if arguments:
        bugs = [bug for bug in bugs if bug.name in arguments]
    # Bugs of one package follow each other, so that less is compiled.
    bugs.sort(key=lambda bug: (bug.package, bug.name))
    git = ["git", "worktree"]
    subprocess.run([*git, "remove", "--force", TREE], cwd=ROOT, capture_output=True)
    subprocess.run([*git, "add", "--quiet", "--force", "--detach", TREE], cwd=ROOT, check=True)
    try:
        pass_without(bugs)
        missed = [bug.name for bug in bugs if not is_caught(bug)]
    finally:
        subprocess.run([*git, "remove", "--force", TREE], cwd=ROOT, check=True)
    if missed:
        raise SystemExit(f"not caught: {', '.join(missed)}")
    print(f"{len(bugs)} bugs caught")


main(sys.argv[1:])
