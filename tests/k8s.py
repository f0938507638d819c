#!/usr/bin/env python3
"""Checks ops/k8s, and the overlay in docs/OPERATIONS.md, as kustomize builds them: every document by the schemas of
Kubernetes, which permit no unknown field, and the names that the documents use of each other and of the folders that
`passbook setup` writes.

Usage: k8s.py PASSBOOK. Needs Python 3.11 with venv, and Go.
"""

import copy
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / "target/k8s"
KUSTOMIZE = "sigs.k8s.io/kustomize/kustomize/v5@v5.7.1"
VERSIONS = ("1.30", "1.37")
RIGHTS = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
OVERLAY = re.compile(r"^```yaml\n(.*?kind: Kustomization\n.*?)^```$", re.MULTILINE | re.DOTALL)


def prepare():
    """Continues in an environment with the validator, which brings the schemas, and with kustomize."""
    if Path(sys.prefix).resolve() == TOOLS:
        return
    subprocess.run([sys.executable, "-m", "venv", TOOLS], check=True)
    pip = [TOOLS / "bin/pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "kubernetes-validate==1.37.0"], check=True)
    go = {**os.environ, "GOBIN": str(TOOLS / "bin")}
    done = subprocess.run(["go", "install", KUSTOMIZE], env=go, cwd="/", capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    raise SystemExit(subprocess.run([TOOLS / "bin/python", __file__, *sys.argv[1:]]).returncode)


def built(directory):
    """Returns the documents that kustomize builds."""
    import yaml

    done = subprocess.run([TOOLS / "bin/kustomize", "build", directory], capture_output=True, text=True)
    if done.returncode or done.stderr:
        raise SystemExit(f"kustomize build {directory}: {done.stderr}")
    return list(yaml.safe_load_all(done.stdout))


def overlay(work):
    """Returns the directory of the overlay in the documents, next to a copy of the base."""
    shutil.copytree(ROOT / "ops/k8s", work / "ops/k8s")
    (work / "overlay").mkdir()
    (text,) = OVERLAY.findall((ROOT / "docs/OPERATIONS.md").read_text())
    (work / "overlay/kustomization.yaml").write_text(text)
    return work / "overlay"


def invalid(document):
    """Returns the reason for which a document is invalid in one of the versions, or None."""
    import kubernetes_validate

    for version in VERSIONS:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
            return f"{version}: {error.message}"
    return None


def kinds(documents, *names):
    return [document for document in documents if document["kind"] in names]


def pods(documents):
    return [document["spec"]["template"] for document in kinds(documents, "Deployment", "Job")]


def faults(documents, folders):
    """Yields names that nothing has, and pods with more rights than they need."""
    maps = {document["metadata"]["name"] for document in kinds(documents, "ConfigMap")}
    for document in kinds(documents, "Deployment", "Job"):
        spec = document["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        found = [*secrets(spec, container, folders), *probes(document["kind"], container), *rights(spec, container)]
        named = {source["configMapRef"]["name"] for source in container["envFrom"]}
        found += [f"no settings {name}" for name in named - maps]
        yield from (f"{document['metadata']['name']}: {fault}" for fault in found)
    yield from selections(documents)


def secrets(spec, container, folders):
    """Yields secrets and files of them that setup does not write."""
    volumes = {volume["name"]: volume.get("secret", {}).get("secretName") for volume in spec["volumes"]}
    mounts = {mount["mountPath"]: volumes.get(mount["name"]) for mount in container["volumeMounts"]}
    yield from (f"setup has no folder {secret}" for secret in volumes.values() if secret and secret not in folders)
    yield from (f"no volume {mount['name']}" for mount in container["volumeMounts"] if mount["name"] not in volumes)
    for variable in container["env"]:
        path = Path(variable["value"])
        if path.is_absolute() and path.name not in folders.get(mounts.get(str(path.parent)), []):
            yield f"{variable['name']} names {path}, which setup does not write"


def probes(kind, container):
    ports = {port["name"] for port in container.get("ports", [])}
    for probe in ("livenessProbe", "readinessProbe") if kind == "Deployment" else ():
        if container.get(probe, {}).get("httpGet", {}).get("port") != "ops" or "ops" not in ports:
            yield f"{probe} does not ask the listener for operators"


def rights(spec, container):
    if container["securityContext"] != RIGHTS:
        yield "its container has rights that it does not need"
    if spec["securityContext"].get("runAsNonRoot") is not True or spec.get("automountServiceAccountToken") is not False:
        yield "its pod has rights that it does not need"
    if "memory" not in container["resources"]["limits"]:
        yield "no limit of memory"


def selections(documents):
    """Yields selectors that select no pod, and ports that no selected pod has."""
    templates = [(template["metadata"]["labels"], template["spec"]) for template in pods(documents)]
    for document in kinds(documents, "Deployment", "PodDisruptionBudget", "Service"):
        name, selector = document["metadata"]["name"], document["spec"]["selector"]
        selector = selector.get("matchLabels", selector)
        selected = [spec for labels, spec in templates if selector.items() <= labels.items()]
        if not selected:
            yield f"{document['kind']} {name} selects no pod"
        known = {port["name"] for spec in selected for port in spec["containers"][0].get("ports", [])}
        for port in document["spec"].get("ports", []):
            if port["targetPort"] not in known:
                yield f"{name}: no port {port['targetPort']}"
    names = {label for labels, _ in templates for label in labels.values()}
    for policy in kinds(documents, "NetworkPolicy"):
        selector = policy["spec"]["podSelector"]
        wanted = set(selector.get("matchLabels", {}).values())
        wanted |= {value for rule in selector.get("matchExpressions", []) for value in rule["values"]}
        if not wanted or wanted - names:
            yield f"{policy['metadata']['name']}: no pods {sorted(wanted - names)}"


def changed(document, path, value):
    """Returns the document with one value changed."""
    result = place = copy.deepcopy(document)
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return result


def check_the_check(documents, folders):
    """Fails if faults would not be noticed."""
    deployment = kinds(documents, "Deployment")[0]
    container = ("spec", "template", "spec", "containers", 0)
    for path, value in [
        (("spec", "replicaz"), 2),
        (("spec", "replicas"), "two"),
        ((*container, "livenessProbe", "httpGet", "url"), "/"),
        ((*container, "securityContext", "readonlyRootFilesystem"), True),
        (("apiVersion",), "apps/v2"),
    ]:
        if not invalid(changed(deployment, path, value)):
            raise SystemExit(f"{path} = {value!r} is not noticed")
    others = [document for document in documents if document is not deployment]
    for path, value in [
        (("spec", "template", "spec", "volumes", 0, "secret", "secretName"), "secrets"),
        ((*container, "env", 1, "value"), "/keys/other.toml"),
        ((*container, "envFrom", 0, "configMapRef", "name"), "other"),
        ((*container, "livenessProbe", "httpGet", "port"), "https"),
        ((*container, "securityContext", "readOnlyRootFilesystem"), False),
        (("spec", "template", "spec", "automountServiceAccountToken"), True),
        (("spec", "selector", "matchLabels"), {"app": "other"}),
    ]:
        if not list(faults([*others, changed(deployment, path, value)], folders)):
            raise SystemExit(f"{path} = {value!r} is not noticed")


def main(passbook):
    with tempfile.TemporaryDirectory() as work:
        secrets = Path(work, "secrets")
        subprocess.run([passbook, "setup", secrets], check=True, stdout=subprocess.DEVNULL)
        folders = {path.name: [file.name for file in path.iterdir()] for path in secrets.iterdir() if path.is_dir()}
        variants = [built(ROOT / "ops/k8s"), built(overlay(Path(work)))]
    for documents in variants:
        for document in documents:
            if reason := invalid(document):
                raise SystemExit(f"{document['kind']} {document['metadata']['name']}: {reason}")
        if found := list(faults(documents, folders)):
            raise SystemExit("\n".join(found))
    check_the_check(variants[0], folders)
    print(f"{sum(map(len, variants))} passed, 0 failed")


prepare()
main(sys.argv[1])
