#!/usr/bin/env python3
"""Generates and compiles clients in Python, TypeScript, Go, Java and Rust from the OpenAPI documents.

Each client makes the same tour of a running Passbook. Spectral's rules check both services' OpenAPI
documents and the topic's AsyncAPI document.

Usage: check.py PASSBOOK. Needs Docker, Maven with Java 17, Node 20, Go 1.24, Rust and Python 3.11 with venv.
"""

import concurrent.futures
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "fixtures"))
from every_event import authorization, request  # noqa: E402
from running import Passbook, kafka  # noqa: E402

GENERATOR = "7.25.0"
SERVICES = ("command", "projection")


def run(*command, cwd=None, **environment):
    done = subprocess.run(command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{command}: {done.stdout[-10_000:]}\n{done.stderr[-10_000:]}")
    return done.stdout


def generate(work, language, service, output, document="", **properties):
    """Generates a client with openapi-generator."""
    properties = ",".join(f"{name}={value}" for name, value in properties.items())
    run(
        "java", "-jar", f"{work}/generator.jar", "generate", "-g", language, "-i", document or f"{work}/{service}.json",
        "-o", output, f"--additional-properties={properties}", "--global-property=apis,models,supportingFiles,apiTests=false,"
        "modelTests=false,apiDocs=false,modelDocs=false",
    )  # fmt: skip


def python(work):
    run(sys.executable, "-m", "venv", f"{work}/python")
    for service in SERVICES:
        generate(work, "python", service, f"{work}/python/{service}", packageName=f"passbook_{service}")
        run(f"{work}/python/bin/pip", "install", "--quiet", f"{work}/python/{service}")
    return [f"{work}/python/bin/python", HERE / "python/tour.py"]


def typescript(work):
    shutil.copytree(HERE / "typescript", f"{work}/typescript")
    for service in SERVICES:
        generate(work, "typescript-fetch", service, f"{work}/typescript/{service}", importFileExtension=".js")
    run("npm", "ci", "--ignore-scripts", "--silent", cwd=f"{work}/typescript")
    documents = [f"{work}/{document}.json" for document in (*SERVICES, "asyncapi")]
    run("npx", "spectral", "lint", "--fail-severity=warn", f"--ruleset={HERE}/spectral.yaml", *documents, cwd=f"{work}/typescript")
    run("npx", "tsc", cwd=f"{work}/typescript")
    return ["node", f"{work}/typescript/built/tour.js"]


def go(work):
    shutil.copytree(HERE / "go", f"{work}/go")
    for service in SERVICES:
        generate(work, "go", service, f"{work}/go/{service}", packageName=service, withGoMod="false", enumClassPrefix="true", useOneOfDiscriminatorLookup="true")
    run("go", "build", "-o", f"{work}/go/tour", ".", cwd=f"{work}/go", GOFLAGS="-mod=readonly")
    return [f"{work}/go/tour"]


def java(work):
    shutil.copytree(HERE / "java", f"{work}/java")
    for service in SERVICES:
        packages = {kind: f"passbook.{service}" for kind in ("invokerPackage", "apiPackage", "modelPackage")}
        generate(work, "java", service, f"{work}/java/{service}", library="native", openApiNullable="false", **packages)
    run("mvn", "-q", "-B", "package", "dependency:copy-dependencies", cwd=f"{work}/java")
    return ["java", "-cp", f"{work}/java/target/classes:{work}/java/target/dependency/*", "Tour"]


def rust(work):
    shutil.copytree(HERE / "rust", f"{work}/rust")
    for service in SERVICES:
        # The generator writes the discriminator twice. Without it, serde tells the variants apart by
        # their fields.
        document = json.loads(Path(f"{work}/{service}.json").read_text())
        for schema in document["components"]["schemas"].values():
            schema.pop("discriminator", None)
        plain = f"{work}/rust/{service}.json"
        Path(plain).write_text(json.dumps(document))
        generate(work, "rust", service, f"{work}/rust/{service}", plain, packageName=f"passbook-{service}", avoidBoxedModels="true")
    run("cargo", "build", "--quiet", "--locked", cwd=f"{work}/rust", CARGO_TARGET_DIR=f"{work}/rust/target")
    return [f"{work}/rust/target/debug/tour"]


def main(passbook):
    languages = (python, typescript, go, java, rust)
    # Postgres's own user must be able to enter.
    work = tempfile.mkdtemp()
    os.chmod(work, 0o755)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, work)
        artifact = f"org.openapitools:openapi-generator-cli:{GENERATOR}"
        run("mvn", "-q", "-B", "dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={work}", "-Dmdep.stripVersion=true")
        os.rename(f"{work}/openapi-generator-cli.jar", f"{work}/generator.jar")
        running = stack.enter_context(Passbook(passbook, work, stack.enter_context(kafka())))
        key = authorization()["Authorization"].removeprefix("Bearer ")
        urls = [running.command, running.projection]
        for service, url in zip(SERVICES, urls):
            Path(f"{work}/{service}.json").write_text(request(url, "GET", "/openapi.json")[2])
        Path(f"{work}/asyncapi.json").write_text(request(running.command, "GET", "/asyncapi.json")[2])
        with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
            for language, tour in zip(languages, pool.map(lambda language: language(work), languages)):
                run(*tour, *urls, PASSBOOK_KEY=key)
                print(f"{language.__name__}: generated, compiled, and the tour was made", flush=True)
    print(f"{len(languages)} passed, 0 failed")


main(os.path.abspath(sys.argv[1]))
