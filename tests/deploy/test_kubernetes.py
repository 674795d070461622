"""The manifests for Kubernetes: valid, of our versions, and in agreement with each other."""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from tests.deploy.files import DEPLOY, LOCKED, PROJECT, documents, parse_crysift

MANIFESTS = DEPLOY / "kubernetes"
(CLUSTER,) = documents(MANIFESTS / "raycluster.yaml")
(JOB,) = documents(MANIFESTS / "rayjob.yaml")
SPEC: dict[str, Any] = CLUSTER["spec"]
TEMPLATES: dict[str, Any] = {
    "head": SPEC["headGroupSpec"]["template"],
    **{group["groupName"]: group["template"] for group in SPEC["workerGroupSpecs"]},
}


def containers() -> Iterator[dict[str, Any]]:
    for template in TEMPLATES.values():
        yield from template["spec"]["containers"]


def test_the_job_starts_the_same_cluster() -> None:
    assert JOB["spec"]["rayClusterSpec"] == SPEC


def test_the_versions_are_ours() -> None:
    assert SPEC["rayVersion"] == LOCKED["ray"]
    images = {container["image"] for container in containers()}
    assert images == {f"crysift:{PROJECT['version']}", f"crysift:{PROJECT['version']}-cuda"}


def test_nobody_gets_in_without_the_token() -> None:
    assert SPEC["authOptions"] == {"mode": "token", "secretName": "crysift-token"}


def test_keys_come_from_a_secret_only() -> None:
    for container in containers():
        assert {"secretRef": {"name": "crysift-keys", "optional": True}} in container["envFrom"]
        assert {variable["name"] for variable in container["env"]} == {"CRYSIFT_STORE"}
    assert JOB["spec"]["runtimeEnvYAML"] == "env_vars:\n  CRYSIFT_RAY: auto\n"


def test_every_pod_gets_what_it_asks_for_and_no_more() -> None:
    for container in containers():
        assert container["resources"]["requests"] == container["resources"]["limits"]


def test_the_job_runs_a_crysift_command() -> None:
    program, *words = shlex.split(JOB["spec"]["entrypoint"])
    assert program == "crysift"
    parse_crysift(words)


@pytest.mark.parametrize("group", TEMPLATES)
def test_kubernetes_accepts_the_pods(group: str) -> None:
    kubernetes = pytest.importorskip("kubernetes_validate", reason="pip install '.[dev]'")
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": group}, "spec": TEMPLATES[group]["spec"]}
    kubernetes.validate(pod, kubernetes.latest_version(), strict=True)
    wrong = pod | {"spec": TEMPLATES[group]["spec"] | {"volume": []}}
    with pytest.raises(kubernetes.ValidationError):
        kubernetes.validate(wrong, kubernetes.latest_version(), strict=True)


def test_kubernetes_accepts_the_volume() -> None:
    kubernetes = pytest.importorskip("kubernetes_validate", reason="pip install '.[dev]'")
    (claim,) = documents(MANIFESTS / "store.yaml")
    kubernetes.validate(claim, kubernetes.latest_version(), strict=True)


@pytest.mark.parametrize("manifest", [CLUSTER, JOB], ids=["RayCluster", "RayJob"])
def test_kuberay_accepts_the_manifest(manifest: dict[str, Any]) -> None:
    """By the published definitions; CRYSIFT_KUBERAY_CRDS names the folder with ray.io_rayclusters.yaml, …."""
    folder = os.environ.get("CRYSIFT_KUBERAY_CRDS")
    if folder is None:
        pytest.skip("CRYSIFT_KUBERAY_CRDS does not name KubeRay's ray-operator/config/crd/bases")
    (definition,) = documents(Path(folder) / f"ray.io_{manifest['kind'].lower()}s.yaml")
    (version,) = (each for each in definition["spec"]["versions"] if each["name"] == "v1")
    validator = Draft7Validator(strict(version["schema"]["openAPIV3Schema"]))
    assert not [f"{error.json_path}: {error.message}" for error in validator.iter_errors(manifest)]
    assert list(validator.iter_errors(manifest | {"spec": manifest["spec"] | {"unknown": 1}}))


def strict(schema: Any) -> Any:
    """Return the schema in the words of JSON Schema, unknown fields forbidden."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    made = {key: strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made["additionalProperties"] = False
    return made
