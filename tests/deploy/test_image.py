"""The images, the environments and the lock: they agree with pyproject.toml."""

import re

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tests.deploy.files import DEPLOY, LOCKED, PROJECT, ROOT, documents

DOCKERFILE = (DEPLOY / "Dockerfile").read_text()


def image_python() -> str:
    found = re.search(r"PYTHON_IMAGE=python:(\d+\.\d+\.\d+)-slim", DOCKERFILE)
    assert found, "the base image is not pinned"
    return found[1]


def test_the_images_have_a_python_that_crysift_supports() -> None:
    assert image_python() in SpecifierSet(PROJECT["requires-python"])


def test_conda_has_the_python_of_the_images() -> None:
    (environment,) = documents(DEPLOY / "environment.yml")
    assert f"python={'.'.join(image_python().split('.')[:2])}" in environment["dependencies"]


def test_the_images_are_named_by_the_version() -> None:
    assert set(re.findall(r"--tag crysift:([\d.]+)", DOCKERFILE)) == {PROJECT["version"]}


def test_the_images_run_as_nobody_special() -> None:
    runtime = DOCKERFILE.partition("AS runtime")[2]
    assert "USER 1000" in runtime
    assert "USER root" not in runtime


def test_the_images_get_every_package_and_nothing_else() -> None:
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    copied = {line[1:] for line in ignored if line.startswith("!")}
    packages = {folder.parent.name for folder in ROOT.glob("*/__init__.py")} - {"tests"}
    needed = {"crysift.py", "pyproject.toml", "constraints.txt", "README.md", "LICENSE", "deploy/install.sh"}
    assert copied == packages | needed
    assert all((ROOT / name).exists() for name in copied)


def test_gpus_change_no_version_but_those_left_out_of_the_lock() -> None:
    """So that machines with and without GPUs understand each other in one cluster."""
    left_out = set(re.findall(r"\^\(([\w|]+)\)==", (DEPLOY / "install.sh").read_text())[0].split("|"))
    wanted = [Requirement(text) for text in PROJECT["optional-dependencies"]["gpu"]]
    differing = {
        each.name
        for each in wanted
        if each.name in LOCKED and not each.specifier.contains(LOCKED[each.name].partition("+")[0])
    }
    assert differing <= left_out
    assert left_out <= {"numba", "llvmlite"}


def test_what_is_installed_exists() -> None:
    named = re.findall(r"extras=([\w,]+)", (DEPLOY / "install.sh").read_text())
    assert {extra for extras in named for extra in extras.split(",")} <= PROJECT[
        "optional-dependencies"
    ].keys()
