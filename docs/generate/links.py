"""Checks the pages' references: relative links, anchors, and paths of the repository in code."""

import re

from pair import DOCS

ROOT = DOCS.parent
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
# Paths from the root of the repository.
PATH = re.compile(
    r"`((?:command-service|projection-service|shared|tests|docs|launcher|bench)/[\w./-]+)`"
)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
BLOCK = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)


def pages():
    return [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]


def broken():
    """Returns a line for each reference that leads nowhere."""
    return [f"{page.relative_to(ROOT)}: {target}" for page in pages() for target in dead(page)]


def dead(page):
    text = BLOCK.sub("", page.read_text())
    for target in LINK.findall(text):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        path = page.parent / file if file else page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            yield target
    for path in PATH.findall(text):
        if not (ROOT / path).exists():
            yield path


def anchors(path):
    """Returns the anchors of a page's headings, as GitHub makes them."""
    headings = HEADING.findall(BLOCK.sub("", path.read_text()))
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
