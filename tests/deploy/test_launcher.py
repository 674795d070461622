"""Ray's cluster launcher: the files are valid to Ray itself, and to (a replica of) Amazon's EC2."""

import copy
from pathlib import Path
from typing import Any

import pytest
from jsonschema import ValidationError

from tests.deploy.files import DEPLOY, PROJECT, ROOT, documents

LAUNCHER = DEPLOY / "launcher"
FILES = [LAUNCHER / "aws.yaml", LAUNCHER / "machines.yaml"]


def validated(config: dict[str, Any]) -> dict[str, Any]:
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared: dict[str, Any] = prepare_config(copy.deepcopy(config))
    validate_config(prepared)
    return prepared


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_ray_accepts_the_file(file: Path) -> None:
    (config,) = documents(file)
    assert validated(config)["available_node_types"]
    with pytest.raises(ValidationError):
        validated(config | {"setup_command": []})


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_is_copied_and_installed_exists(file: Path) -> None:
    (config,) = documents(file)
    for source in config["file_mounts"].values():
        assert source in {"dist", "~/.ray/auth_token"} or (ROOT / source).exists()
    assert any(f"crysift-{PROJECT['version']}-py3" in command for command in config["setup_commands"])


def test_both_files_set_the_machines_up_alike() -> None:
    (aws,), (machines,) = (documents(file) for file in FILES)
    for key in ("file_mounts", "setup_commands", "worker_start_ray_commands"):
        assert aws[key] == machines[key]


def test_amazon_starts_the_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray makes keys, networks and instances of the file in moto, which refuses what EC2 would refuse."""
    from ray.autoscaler._private.commands import _bootstrap_config
    from ray.autoscaler._private.providers import _get_node_provider

    moto = pytest.importorskip("moto", reason="pip install '.[peers]'")
    for name, value in {
        "HOME": str(tmp_path),
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / ".ssh").mkdir()
    (config,) = documents(LAUNCHER / "aws.yaml")
    with moto.mock_aws():
        import boto3  # type: ignore[import-untyped]

        boto3.client("iam").create_instance_profile(InstanceProfileName="crysift")
        config = _bootstrap_config(validated(config), no_config_cache=True)
        provider = _get_node_provider(config["provider"], config["cluster_name"], use_cache=False)
        for name, kind in config["available_node_types"].items():
            tags = {"ray-cluster-name": "crysift", "ray-node-type": "head" if name == "head" else "worker"}
            (instance,) = provider.create_node(kind["node_config"], tags, 1).values()
            assert instance.instance_type == kind["node_config"]["InstanceType"]
            assert instance.metadata_options["HttpTokens"] == "required"
            assert instance.key_name
