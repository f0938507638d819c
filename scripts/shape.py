#!/usr/bin/env python3
"""Prints measures of the code's shape and language; `--check` fails where one is beyond its limit.

Usage: scripts/shape.py [--check] [DIRECTORY]; with `--check`, each finding is printed as `file:line: reason`.
"""

import argparse
import re
import statistics
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

FILE_LINES, FUNCTION_LINES, COLUMNS, RIDDLES_PERCENT = 250, 50, 100, 4.0
# One exhaustive match from refusals to problems: cut in two, neither half would be exhaustive.
LONG_BY_CHOICE = {"command-service/src/http/problems.rs"}

# Modules by how far they are from `main`. An import from a later rank to an earlier one runs up.
RANKS = [
    {"main"},
    {"startup", "cli", "launcher", "standalone"},
    {"http", "operate"},
    {"lanes", "relay", "restore", "upkeep", "consumer", "replay", "agreement", "quarantine", "verify"},
    {"log", "store", "services"},
    {"domain", "projection"},
]
RANK = {module: rank for rank, modules in enumerate(RANKS) for module in modules}

# Decisions and projections are functions of their arguments: no I/O, no clock and no randomness.
PURE = re.compile(r"(command-service/src/(domain|decision)|projection-service/src/projection)(/|\.rs)")
IMPURE = re.compile(
    r"\b(?:Utc|Instant|SystemTime|Timestamp)::now\b|\bUuid::(?:now_v7|new_v4)\b|\bLogClock\b|\b(?:sqlx|tokio|rdkafka)::|\basync\b"
)

RIDDLE = re.compile(r"(What|How|Where|Whether|Of)\b")
BANNED = re.compile(
    r"(?<![.`/\w-])(told|beside|made anew|so many|given free|taken back|gone on with|bears|come to be|"
    r"set aside|thrown away|labels|settle[sd]?|as any query)(?![`/\w-])",
    re.IGNORECASE,
)
# Pages that define the terms name the banned ones; a metric has labels.
MAY_NAME_ALL = ("docs/CONVENTIONS.md", "docs/GLOSSARY.md")
MAY_HAVE_LABELS = ("metrics.rs", "telemetry.rs")

TOKEN = re.compile(
    r"""(?P<doc>//[/!][^\n]*)
      | (?P<comment>//[^\n]*|/\*.*?\*/)
      | (?P<string>\bb?r(?P<hashes>\#*)".*?"(?P=hashes) | b?"(?:\\.|[^"\\])*")
      | b?'(?:\\(?:u\{[0-9a-fA-F_]+\}|x..|.)|[^\\'\n])'""",
    re.DOTALL | re.VERBOSE,
)
ITEM = re.compile(
    r"^[ ]*(?P<pub>pub(?:\([^)]*\))?[ ]+)?(?:(?:async|const|unsafe|default)[ ]+)*"
    r"(?:fn|struct|enum|trait|type|const|static|mod|union)[ ]+\w",
    re.MULTILINE,
)
PATH = re.compile(r"\b((?:crate|super|self)(?:::\w+)*)(?:::\{)?")


@dataclass
class Source:
    """One Rust file: its text, and the same text with comments and literals blanked out."""

    name: str
    text: str
    tokens: list = field(default_factory=list)

    def __post_init__(self):
        self.code = TOKEN.sub(self._blank, self.text)

    def _blank(self, token):
        if token.lastgroup or token.group("string"):
            kind = next(k for k in ("doc", "comment", "string") if token.group(k))
            self.tokens.append((kind, self.line_of(token.start()), token.group()))
        return re.sub(r"[^\n]", " ", token.group())

    def line_of(self, offset):
        return self.text.count("\n", 0, offset) + 1

    @cached_property
    def lines(self):
        return self.text.splitlines()

    @cached_property
    def is_test(self):
        return "/tests/" in f"/{self.name}" or self.name.endswith(("/tests.rs", "_test.rs"))

    def without_inline_tests(self):
        before, _, _ = self.code.partition("#[cfg(test)]\nmod tests {")
        return Source(self.name, self.text[: len(before)])

    def code_lines(self):
        return sum(1 for line in self.code.splitlines() if line.strip())

    def functions(self):
        """Yields the first line and the number of lines of each function with a body."""
        for match in re.finditer(r"\bfn\s+\w+", self.code):
            start, depth = match.start(), 0
            for bracket in re.finditer(r"[(\[)\]{;]", self.code[match.end():]):
                at = match.end() + bracket.start()
                depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(self.code[at], 0)
                if depth == 0 and self.code[at] in "{;":
                    break
            else:
                continue
            if self.code[at] == "{":
                end = closing(self.code, at)
                yield self.line_of(start), self.code.count("\n", start, end) + 1

    def docs(self):
        """Yields the line and the text of each doc comment."""
        start, block, last = 0, [], 0
        for kind, line, text in self.tokens:
            if kind != "doc":
                continue
            if line != last + 1 and block:
                yield start, "\n".join(block)
                block = []
            start, last = (start if block else line), line
            block.append(text[3:].strip())
        if block:
            yield start, "\n".join(block)

    def prose(self):
        """Yields the line and the text of comments and string literals; a literal without a space is a name."""
        yield from self.docs()
        for kind, line, text in self.tokens:
            if kind == "comment" or kind == "string" and " " in text:
                yield line, text


def closing(code, start):
    depth = 0
    for bracket in re.compile(r"[{}]").finditer(code, start):
        depth += 1 if bracket.group() == "{" else -1
        if depth == 0:
            return bracket.start()
    return len(code)


def sentences(doc):
    """Splits a doc comment into sentences; code blocks and headings are none."""
    doc = re.sub(r"```.*?```", "", doc, flags=re.DOTALL)
    paragraphs = re.split(r"\n\s*\n|\n(?=[-*#] )", doc)
    texts = [" ".join(p.split()).lstrip("-* ") for p in paragraphs if not p.lstrip().startswith("#")]
    return [s for text in texts for s in re.split(r"(?<=[.;!?])\s+(?=[A-Z`\[])", text) if s]


class Modules:
    """The modules of one crate and their imports of each other."""

    def __init__(self, crate, sources):
        prefix = f"{crate}/src/"
        self.files = {module_of(s.name[len(prefix):]): s for s in sources}
        self.imports = {m: self._imports(m) for m in self.files}

    def _imports(self, module):
        found = {}
        for path, offset in paths(self.files[module].code):
            target = self._resolve(module, path)
            # A child sees its ancestors' items: their file is its own subject's first page.
            if target and target != module[: len(target)]:
                found.setdefault(target, offset)
        return found

    def _resolve(self, module, path):
        parts = list(path)
        at = () if parts[0] == "crate" else module
        while parts and parts[0] in ("crate", "super", "self"):
            at = at[:-1] if parts.pop(0) == "super" else at
        full = at + tuple(parts)
        return next((full[:n] for n in range(len(full), 0, -1) if full[:n] in self.files), None)

    def cycles(self):
        """Returns the groups of modules that import each other, by Tarjan's algorithm."""
        index, low, stack, groups = {}, {}, [], []

        def visit(node):
            index[node] = low[node] = len(index)
            stack.append(node)
            for target in self.imports[node]:
                if target not in index:
                    visit(target)
                if target in stack:
                    low[node] = min(low[node], low[target])
            if low[node] == index[node]:
                at = stack.index(node)
                groups.append(stack[at:])
                del stack[at:]

        for node in self.imports:
            if node not in index:
                visit(node)
        return [sorted("::".join(m) for m in group) for group in groups if len(group) > 1]

    def upward(self):
        for module, targets in self.imports.items():
            for target, offset in targets.items():
                ranks = RANK.get(module[0] if module else ""), RANK.get(target[0])
                if None not in ranks and ranks[0] > ranks[1]:
                    source = self.files[module]
                    yield source.name, source.line_of(offset), f"imports {'::'.join(target)}, which is above it"


def module_of(file):
    parts = tuple(file.removesuffix(".rs").split("/"))
    return () if parts == ("lib",) else parts


def paths(code):
    """Yields each path that begins with `crate`, `super` or `self`, with groups in braces written out."""
    for match in PATH.finditer(code):
        start = tuple(match.group(1).split("::"))
        if not match.group().endswith("{"):
            yield start, match.start()
            continue
        group = code[match.end():closing(code, match.end() - 1)]
        for part in re.findall(r"(?:^|[{,])\s*([\w:]+)", group):
            yield start + tuple(p for p in part.split("::") if p and p != "self"), match.start()


def spread(values):
    values = sorted(values) or [0]
    return f"{statistics.median(values):.0f} / {values[int(len(values) * 0.9)]} / {values[-1]}"


def percent(part, whole):
    return f"{100 * part / max(whole, 1):.1f} %"


def sizes(sources, production, find):
    long_files = [s for s in production if len(s.lines) > FILE_LINES]
    for s in long_files:
        find(s.name, 1, f"{len(s.lines)} lines")
    functions = [(s, *f) for s in production for f in s.functions()]
    long_functions = [f for f in functions if f[2] > FUNCTION_LINES]
    for s, line, length in long_functions:
        if s.name not in LONG_BY_CHOICE:
            find(s.name, line, f"a function of {length} lines")
    wide = [(s.name, n) for s in sources for n, line in enumerate(s.lines, 1) if len(line) > COLUMNS]
    for name, n in wide:
        find(name, n, f"over {COLUMNS} columns")
    lengths = [len(s.lines) for s in production]
    total = sum(len(s.lines) for s in sources)
    yield "production files / lines", f"{len(production)} / {sum(lengths)}", ""
    yield "file: median / p90 / worst", spread(lengths), ""
    yield f"files over {FILE_LINES} lines", len(long_files), "0"
    yield f"test files over {FILE_LINES} lines", sum(s.is_test and len(s.lines) > FILE_LINES for s in sources), ""
    yield "function: median / p90 / worst", spread(f[2] for f in functions), ""
    yield f"functions over {FUNCTION_LINES} lines", len(long_functions), f"{len(LONG_BY_CHOICE)}, named"
    yield f"lines over {COLUMNS} columns", f"{len(wide)} ({percent(len(wide), total)})", "0"
    yield "test share of lines", percent(total - sum(lengths), total), ""


def densities(production):
    code = sum(s.code_lines() for s in production)
    kinds = [kind for s in production for kind, _, _ in s.tokens]
    items = [(m["pub"] or "").strip() for s in production for m in ITEM.finditer(s.code)]

    def count(pattern):
        return sum(len(re.findall(pattern, s.code)) for s in production)

    def per_thousand(pattern):
        return f"{1000 * count(pattern) / max(code, 1):.1f} ({count(pattern)})"

    yield "unwrap + expect per 1000 lines", per_thousand(r"\.(?:unwrap|expect)\("), ""
    yield "closures bound by `let` per 1000 lines", per_thousand(r"\blet \w+ =\s+(?:async )?(?:move )?\|"), ""
    yield "`allow` / `expect` attributes", f"{count(r'#!?.allow[(]')} / {count(r'#!?.expect[(]')}", ""
    yield "items `pub`", percent(items.count("pub"), len(items)), ""
    yield "doc lines / code", percent(kinds.count("doc"), code), ""
    yield "inline comments / code", percent(kinds.count("comment"), code), ""


def language(sources, root, find):
    docs = [(s.name, line, x) for s in sources for line, doc in s.docs() for x in sentences(doc)]
    riddles = [d for d in docs if RIDDLE.match(d[2])]
    share = 100 * len(riddles) / max(len(docs), 1)
    if share >= RIDDLES_PERCENT:
        for name, line, text in riddles:
            find(name, line, f"begins with `{text.split()[0]}`")
    pages = [f for f in [root / "README.md", *sorted(root.glob("docs/**/*.md"))] if f.exists()]
    texts = [(s.name, line, text) for s in sources for line, text in s.prose()]
    texts += [(str(f.relative_to(root)), 1, f.read_text()) for f in pages]
    banned = 0
    for name, line, text in texts:
        for match in BANNED.finditer(text.replace("\n", " ")):
            word = match.group().lower()
            if not name.endswith(MAY_NAME_ALL if word != "labels" else MAY_NAME_ALL + MAY_HAVE_LABELS):
                banned += 1
                find(name, line + text.count("\n", 0, match.start()), f"says `{word}`")
    yield "doc sentences: What, How, Where, Whether, Of", f"{share:.1f} %", f"< {RIDDLES_PERCENT:.0f} %"
    yield "banned words", banned, "0"


def imports(production, find):
    crates = defaultdict(list)
    for s in production:
        crates[s.name.split("/src/")[0]].append(s)
    modules = {crate: Modules(crate, group) for crate, group in crates.items()}
    cycles = [(crate, cycle) for crate, m in modules.items() for cycle in m.cycles()]
    for crate, cycle in cycles:
        find(crate, 1, f"these import each other: {', '.join(cycle)}")
    upward = [u for m in modules.values() for u in m.upward()]
    for u in upward:
        find(*u)
    yield "import cycles", len(cycles), "0"
    yield "upward imports", len(upward), "0"


def purity(production, find):
    impure = [(s, m) for s in production if PURE.match(s.name) for m in IMPURE.finditer(s.code)]
    for s, match in impure:
        find(s.name, s.line_of(match.start()), f"`{match.group()}` in a pure module")
    yield "I/O, clocks and randomness in pure modules", len(impure), "0"


def measure(root):
    """Returns rows of (name, value, limit), and the findings beyond the limits."""
    elsewhere = {"target", "clients", "consumers", "peers"}
    files = [f for f in sorted(root.rglob("*.rs")) if not elsewhere & set(f.relative_to(root).parts)]
    sources = [Source(str(f.relative_to(root)), f.read_text()) for f in files]
    production = [s.without_inline_tests() for s in sources if not s.is_test]
    findings = []

    def find(where, line, reason):
        findings.append(f"{where}:{line}: {reason}")

    rows = [
        *sizes(sources, production, find),
        *densities(production),
        *language(sources, root, find),
        *imports(production, find),
        *purity(production, find),
    ]
    return rows, findings


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 beyond the limits")
    parser.add_argument("directory", nargs="?", type=Path, default=Path(__file__).resolve().parent.parent)
    arguments = parser.parse_args()
    rows, findings = measure(arguments.directory)
    for name, value, limit in rows:
        print(f"{name:46} {value!s:>22}   {limit}".rstrip())
    if arguments.check:
        print(*findings, sep="\n")
        sys.exit(bool(findings))


if __name__ == "__main__":
    main()
