#!/usr/bin/env python3
"""Checks ops/k8s: every document by the schemas of Kubernetes, which permit no unknown field, and the names that the
documents use of each other and of the folders that `passbook setup` writes.

Usage: k8s.py PASSBOOK. Needs Python 3.11 with venv.
"""

import copy
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
BASE = ROOT / "ops/k8s"
ENVIRONMENT = ROOT / "target/k8s"
VERSIONS = ("1.30", "1.37")


def prepare():
    """Continues in an environment with the validator and the schemas that it brings."""
    if Path(sys.prefix).resolve() == ENVIRONMENT.resolve():
        return
    subprocess.run([sys.executable, "-m", "venv", ENVIRONMENT], check=True)
    pip = [ENVIRONMENT / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "kubernetes-validate==1.37.0"]
    subprocess.run(pip, check=True)
    raise SystemExit(subprocess.run([ENVIRONMENT / "bin/python", __file__, *sys.argv[1:]]).returncode)


def invalid(document):
    """Returns the reason for which a document is invalid in one of the versions, or None."""
    import kubernetes_validate

    for version in VERSIONS:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            return f"{version}: {error.message}"
        except kubernetes_validate.SchemaNotFoundError as error:
            return f"{version}: {error.message}"
    return None


def kind(documents, name):
    return [document for document in documents if document["kind"] == name]


def pods(documents):
    return [(document["metadata"]["name"], document["spec"]["template"]) for document in kind(documents, "Deployment") + kind(documents, "Job")]


def faults(documents, kustomization, folders):
    """Yields names that nothing has, and pods with more rights than they need."""
    maps = {entry["name"] for entry in kustomization["configMapGenerator"]}
    for name, template in pods(documents):
        spec = template["spec"]
        (container,) = spec["containers"]
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        for volume in volumes.values():
            secret = volume.get("secret", {}).get("secretName")
            if secret and secret not in folders:
                yield f"{name}: setup has no folder {secret}"
        mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
        for mount in mounts.values():
            if mount["name"] not in volumes:
                yield f"{name}: no volume {mount['name']}"
        for variable in container["env"]:
            path = Path(variable["value"])
            if not path.is_absolute():
                continue
            mount = mounts.get(str(path.parent), {"name": None})
            folder = volumes.get(mount["name"], {}).get("secret", {}).get("secretName")
            if path.name not in folders.get(folder, []):
                yield f"{name}: {variable['name']} names {path}, which setup does not write"
        for source in container["envFrom"]:
            if source["configMapRef"]["name"] not in maps:
                yield f"{name}: no settings {source['configMapRef']['name']}"
        ports = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
        for probe in ("livenessProbe", "readinessProbe"):
            if container.get(probe, {"httpGet": {"port": "ops"}})["httpGet"]["port"] != "ops":
                yield f"{name}: {probe} does not ask the listener for operators"
            if ports and (probe not in container or "ops" not in ports):
                yield f"{name}: no {probe}"
        rights = container["securityContext"]
        if rights != {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}:
            yield f"{name}: its container has rights that it does not need"
        if spec["securityContext"]["runAsNonRoot"] is not True or spec["automountServiceAccountToken"] is not False:
            yield f"{name}: its pod has rights that it does not need"
        if "memory" not in container["resources"]["limits"]:
            yield f"{name}: no limit of memory"
    yield from selections(documents)


def selections(documents):
    """Yields selectors that select no pod, and ports that no pod has."""
    templates = [template for _, template in pods(documents)]
    selectors = [(document["kind"], document["spec"]["selector"]["matchLabels"]) for document in kind(documents, "Deployment") + kind(documents, "PodDisruptionBudget")]
    selectors += [("Service", document["spec"]["selector"]) for document in kind(documents, "Service")]
    for what, selector in selectors:
        if not any(selector.items() <= template["metadata"]["labels"].items() for template in templates):
            yield f"a {what} selects no pod: {selector}"
    for service in kind(documents, "Service"):
        selected = [template for template in templates if service["spec"]["selector"].items() <= template["metadata"]["labels"].items()]
        ports = {port["name"] for template in selected for port in template["spec"]["containers"][0].get("ports", [])}
        for port in service["spec"]["ports"]:
            if port["targetPort"] not in ports:
                yield f"{service['metadata']['name']}: no port {port['targetPort']}"
    names = {label for template in templates for label in template["metadata"]["labels"].values()}
    for policy in kind(documents, "NetworkPolicy"):
        selector = policy["spec"]["podSelector"]
        wanted = set(selector.get("matchLabels", {}).values()) | {value for rule in selector.get("matchExpressions", []) for value in rule["values"]}
        if not wanted or wanted - names:
            yield f"{policy['metadata']['name']}: no pods {wanted - names}"


def changed(document, path, value):
    """Returns the document with one value changed."""
    result = copy.deepcopy(document)
    place = result
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return result


def check_the_check(documents, kustomization, folders):
    """Fails if faults would not be noticed."""
    deployment = kind(documents, "Deployment")[0]
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
        ((*container, "livenessProbe", "httpGet", "port"), "https"),
        ((*container, "securityContext", "readOnlyRootFilesystem"), False),
        (("spec", "selector", "matchLabels"), {"app": "other"}),
    ]:
        if not list(faults([*others, changed(deployment, path, value)], kustomization, folders)):
            raise SystemExit(f"{path} = {value!r} is not noticed")


def main(passbook):
    import yaml

    with tempfile.TemporaryDirectory() as work:
        subprocess.run([passbook, "setup", f"{work}/secrets"], check=True, stdout=subprocess.DEVNULL)
        folders = {path.name: [file.name for file in path.iterdir()] for path in Path(work, "secrets").iterdir() if path.is_dir()}
    kustomization = yaml.safe_load((BASE / "kustomization.yaml").read_text())
    files = set(kustomization["resources"])
    if files != {path.name for path in BASE.glob("*.yaml")} - {"kustomization.yaml"}:
        raise SystemExit(f"kustomization.yaml lists {sorted(files)}")
    documents = [document for file in sorted(files) for document in yaml.safe_load_all((BASE / file).read_text())]
    for document in documents:
        if reason := invalid(document):
            raise SystemExit(f"{document['kind']} {document['metadata']['name']}: {reason}")
    if found := list(faults(documents, kustomization, folders)):
        raise SystemExit("\n".join(found))
    check_the_check(documents, kustomization, folders)
    print(f"{len(documents)} passed, 0 failed")


prepare()
main(sys.argv[1])
