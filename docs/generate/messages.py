"""Checks that OPERATIONS.md explains every warning and error that the services log."""

import re

from pair import DOCS

ROOT = DOCS.parent
SOURCES = ["command-service/src", "projection-service/src", "shared/src"]
MACRO = re.compile(r"tracing::(?:warn|error)!\(")
FAULT = re.compile(r'Fault::new\(\s*"([^"]*)"')
TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
# Texts that the page explains by the check or the fault that they name.
GENERIC = {"degraded", "failing", "… still", "…", "… is slow"}


def logged():
    """Returns the messages in the code, with `…` for each value."""
    found = set()
    for source in SOURCES:
        for path in sorted((ROOT / source).rglob("*.rs")):
            if path.name == "tests.rs" or "tests" in path.parts:
                continue
            code = path.read_text().partition("#[cfg(test)]\nmod tests {")[0]
            found |= set(FAULT.findall(code))
            for macro in MACRO.finditer(code):
                found |= set(TEXT.findall(arguments(code, macro.end()))[-1:])
    return {normal(text) for text in found} - GENERIC


def arguments(code, start):
    """Returns the code up to the parenthesis that closes the one before `start`."""
    depth = 1
    for token in re.finditer(r'"(?:[^"\\]|\\.)*"|[()]', code[start:], re.DOTALL):
        depth += {"(": 1, ")": -1}.get(token[0], 0)
        if depth == 0:
            return code[start : start + token.start()]
    raise ValueError(f"no end: {code[start : start + 80]}")


def normal(text):
    text = re.sub(r"\\\n\s*", "", text)
    return re.sub(r"\{[^}]*\}", "…", text)


def missing(page):
    """Returns the messages that a page does not have as code."""
    explained = set(re.findall(r"`([^`\n]+)`", page))
    return sorted(logged() - explained)


def outdated(page):
    """Returns the messages in the page's tables of messages that no code has."""
    section = page.partition("## Log messages")[2].partition("\n## ")[0]
    explained = set(re.findall(r"^\| `([^`\n]+)` \|", section, re.MULTILINE))
    return sorted(explained - logged())


if __name__ == "__main__":
    print("\n".join(sorted(logged())))
