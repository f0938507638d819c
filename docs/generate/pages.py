"""Tables within pages, between the lines `<!-- generated: NAME -->` and `<!-- end -->`."""

import json
import os
import re
import subprocess

from pair import DOCS

SECTION = re.compile(r"(<!-- generated: ([\w -]+) -->\n).*?(<!-- end -->\n)", re.DOTALL)
OPTION = re.compile(r"^ {6}(--[\w-]+)(?: <[\w=]+>)?\n(.*?)(?=^ {6}-|\Z)", re.MULTILINE | re.DOTALL)
UNITS = {
    "MS": "milliseconds",
    "MIB": "MiB",
    "DAYS": "days",
    "SECONDS": "seconds",
    "PERCENT": "percent",
    "PORT": "port",
    "ADDR": "host:port",
    "URL": "URL",
    "FILE": "path",
    "DIR": "path",
    "BIN": "path",
}


def files(program, documents):
    """Returns the pages with their tables as they are now."""
    tables = configuration(program) | events(documents) | routes(documents)
    names = ["API.md", "CONFIGURATION.md", "EVENTS.md"]
    return {DOCS / name: filled((DOCS / name).read_text(), tables) for name in names}


def filled(page, tables):
    return SECTION.sub(lambda match: f"{match[1]}\n{tables[match[2]]}\n\n{match[3]}", page)


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def cell(text):
    return " ".join(text.split()).replace("|", "\\|")


# --- options of the programs


def configuration(program):
    command, projection = ["command-service"], ["projection-service"]
    return {
        "options of the launcher": options(program, []),
        "options of the command-service": options(program, command),
        "options of command-service migrate": options(program, [*command, "migrate"]),
        "options of the projection-service": options(program, projection),
        "options of projection-service migrate": options(program, [*projection, "migrate"]),
    }


def options(program, subcommand):
    """Returns the options that a program's --help lists, except --help and --version."""
    # Without the environment: the help shows the values of variables that are set.
    arguments = [program, *subcommand, "--help"]
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": "-", "PROJECTION_DATABASE_URL": "-"}
    text = subprocess.run(arguments, env=environment, capture_output=True, text=True).stdout
    rows = [option(name, body) for name, body in OPTION.findall(text)]
    return table(["variable", "option", "default", "unit", "meaning"], filter(None, rows))


def option(name, body):
    if name in ("--help", "--version"):
        return None
    variable = re.search(r"\[env: (\w+)", body)
    default = re.search(r"\[default: (.*?)\]", body)
    values = re.findall(r"^ +- (\w+): +(.*)$", body, re.MULTILINE)
    meaning = re.split(r"\[env|\[default|Possible values:", body)[0]
    if values:
        each = "; ".join(f"`{value}`: {what}" for value, what in values)
        meaning = f"{meaning.strip()} ({each})"
    unit = UNITS.get(variable[1].rpartition("_")[2], "") if variable else ""
    return [
        f"`{variable[1]}`" if variable else "",
        f"`{name}`",
        f"`{default[1]}`" if default else "",
        unit,
        cell(meaning),
    ]


# --- routes


def routes(documents):
    services = ["command-service", "projection-service"]
    paths = [DOCS / f"openapi/{service}.json" for service in services]
    tables = {
        f"routes of the {service}": operations(documents[path])
        for service, path in zip(services, paths)
    }
    return tables | {"problem codes": problem_codes([documents[path] for path in paths])}


def operations(document):
    rows = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            answers = [status for status in operation["responses"] if status < "400"]
            route, name = f"`{method.upper()} {path}`", f"`{operation['operationId']}`"
            scopes = [f"`{scope}`" for one in operation["security"] for scope in sum(one.values(), [])]
            success, needed = ", ".join(sorted(answers)), " or ".join(scopes) or "no key"
            rows.append([route, name, cell(operation["summary"]), success, needed])
    return table(["route", "operation", "summary", "success", "scope"], rows)


def problem_codes(documents):
    """Returns each code with its statuses and the operations that may answer it."""
    found = {}
    for document in documents:
        for operation in (each for path in document["paths"].values() for each in path.values()):
            for code, status in codes(document, operation):
                statuses, names = found.setdefault(code, (set(), set()))
                statuses.add(status)
                names.add(operation["operationId"])
    rows = [
        [f"`{code}`", ", ".join(sorted(statuses)), used_by(names)]
        for code, (statuses, names) in sorted(found.items())
    ]
    return table(["code", "status", "operations"], rows)


def used_by(names):
    """Returns a list of a few operations, or their number."""
    return ", ".join(f"`{name}`" for name in sorted(names)) if len(names) <= 4 else f"{len(names)}"


def codes(document, operation):
    """Yields the pairs of code and status that an operation documents."""
    for status, answer in operation["responses"].items():
        for content in answer.get("content", {}).values():
            named = [
                content.get("example"),
                *(each.get("value") for each in content.get("examples", {}).values()),
            ]
            yield from ((each["code"], status) for each in named if each and "code" in each)


# --- events


def events(documents):
    document = documents[DOCS / "asyncapi/command-service.json"]
    schemas = document["components"]["schemas"]
    kinds = sorted(document["components"]["messages"])
    parts = [f"### {kind}\n\n{members(schemas[f'{kind}Data'])}" for kind in kinds]
    example = document["components"]["messages"]["MoneyDeposited"]["examples"][0]["payload"]
    record = json.dumps(example, indent=2, ensure_ascii=False)
    return {
        "example of a record": f"```json\n{record}\n```",
        "data of each type": "\n\n".join(parts),
    }


def members(schema):
    required = schema.get("required", [])
    rows = [
        [
            f"`{name}`",
            kind(member),
            "yes" if name in required else "",
            cell(member.get("description", "")),
        ]
        for name, member in schema.get("properties", {}).items()
    ]
    return table(["member", "type", "always", "meaning"], rows) if rows else "No members."


def kind(member):
    if "$ref" in member:
        return f"`{member['$ref'].rpartition('/')[2]}`"
    if "enum" in member:
        return ", ".join(f"`{value}`" for value in member["enum"])
    form = member.get("format")
    name = member.get("type", "object")
    name = " or ".join(name) if isinstance(name, list) else name
    least = f", at least {member['minimum']}" if "minimum" in member else ""
    return (f"{name} ({form})" if form and not form.startswith("int") else name) + least
