"""Writes the generated parts of docs/ from the answers of a running Passbook, and checks the rest.

Usage: python3 docs/generate PASSBOOK [--check]

PASSBOOK is the launcher, such as target/debug/passbook. With --check nothing is written: the exit
code is 1 if a file differs from what would be written, and the differences are printed. In both
cases it is 1 if a reference leads nowhere or OPERATIONS.md lacks a log message.

Needs bash, curl, jq and psql.
"""

import difflib
import sys

import contracts
import links
import messages
import pages
import tour
from pair import DOCS, Pair


def outputs(program):
    """Returns the text of every generated file, by path."""
    written = {}
    with Pair(program) as pair:
        # The tour comes first: its positions and versions count from an empty log.
        written[DOCS / "TOUR.md"] = tour.refreshed(DOCS / "TOUR.md", pair)
        documents = contracts.read(pair)
        written |= contracts.files(documents)
        written |= pages.files(program, documents)
    return written


def difference(path, text):
    before = path.read_text() if path.exists() else ""
    name = str(path.relative_to(DOCS.parent))
    lines = difflib.unified_diff(
        before.splitlines(), text.splitlines(), name, f"{name}, as generated", lineterm=""
    )
    return "\n".join(lines)


def main(program, check):
    differences = 0
    for path, text in outputs(program).items():
        if not (differs := difference(path, text)):
            continue
        differences += 1
        if check:
            print(differs)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            print(f"wrote {path.relative_to(DOCS.parent)}")
    wrong = faults()
    if check and differences:
        wrong.append(f"{differences} files differ: run python3 docs/generate {program}")
    if wrong:
        raise SystemExit("\n".join(wrong))


def faults():
    """Returns a line for each fault in the parts that are written by hand."""
    operations = (DOCS / "OPERATIONS.md").read_text()
    return [
        *(f"leads nowhere: {reference}" for reference in links.broken()),
        *(f"not in OPERATIONS.md: {message}" for message in messages.missing(operations)),
        *(
            f"in OPERATIONS.md, but not logged: {message}"
            for message in messages.outdated(operations)
        ),
    ]


arguments = [argument for argument in sys.argv[1:] if argument != "--check"]
if len(arguments) != 1:
    raise SystemExit(__doc__)
main(arguments[0], "--check" in sys.argv)
