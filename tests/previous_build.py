#!/usr/bin/env python3
"""Builds the `passbook` of an earlier commit, and prints its path.

Usage: PASSBOOK_PREVIOUS_BUILD=$(tests/previous_build.py [COMMIT]) cargo test -p passbook --test e2e previous_build

Without COMMIT, builds the one in tests/previous-build, whose schemas are older. Dependencies are those of this build,
as far as Cargo.lock agrees: it takes minutes, not an hour.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
BUILT = TARGET / "debug/passbook"


def git(*arguments):
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)


def fetch(commit):
    """Makes sure that a shallow clone has the commit."""
    if git("cat-file", "-e", f"{commit}^{{commit}}").returncode == 0:
        return
    fetched = git("fetch", "--quiet", "--depth=1", "origin", commit)
    if fetched.returncode != 0:
        raise SystemExit(f"this clone has no commit {commit}, and `origin` does not give it: {fetched.stderr}")


def build(commit):
    """Builds the commit in a tree of its own, and returns the program."""
    previous = TARGET / "previous"
    tree, program, present = previous / "tree", previous / f"passbook-{commit[:12]}", previous / "passbook-present"
    previous.mkdir(parents=True, exist_ok=True)
    git("worktree", "remove", "--force", str(tree))
    added = git("worktree", "add", "--quiet", "--force", "--detach", str(tree), commit)
    if added.returncode != 0:
        raise SystemExit(added.stderr)
    if BUILT.exists():
        shutil.copy2(BUILT, present)
    try:
        command = ["cargo", "build", "--locked", "--package", "passbook", "--bin", "passbook"]
        environment = {**os.environ, "CARGO_TARGET_DIR": str(TARGET)}
        subprocess.run(command, cwd=tree, env=environment, check=True, stdout=sys.stderr)
        shutil.copy2(BUILT, program)
    finally:
        # The next steps run the program of this tree.
        if present.exists():
            present.replace(BUILT)
        git("worktree", "remove", "--force", str(tree))
    return program


def main(commit=None):
    commit = commit or (ROOT / "tests/previous-build").read_text().strip()
    fetch(commit)
    print(build(commit))


main(*sys.argv[1:])
