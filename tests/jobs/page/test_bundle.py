"""The committed bundle of the page is that of the present sources, and whole."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import jobs.page

FOLDER = Path(jobs.page.__file__).parent
DIST = FOLDER / "dist"


def sources() -> list[Path]:
    """Return what build.mjs hashes, in its order."""
    fixed = ["build.mjs", "package-lock.json", "package.json", "page.css", "tsconfig.json"]
    return [FOLDER / name for name in fixed] + sorted((FOLDER / "src").iterdir())


def test_bundle_is_built_from_the_present_sources() -> None:
    digest = hashlib.sha256()
    for path in sources():
        name = path.relative_to(FOLDER).as_posix().encode()
        digest.update(name + b"\0" + path.read_bytes() + b"\0")
    banner = (DIST / "page.js").read_text().splitlines()[0]
    assert f"sha256:{digest.hexdigest()};" in banner, "run `npm ci && npm run build` in jobs/page"


def test_bundle_can_stand_inside_a_script_element() -> None:
    for name in ("page.js", "viewer.js"):
        text = (DIST / name).read_text()
        assert re.search(r"</script|<!--", text, re.IGNORECASE) is None, name
    assert "</style" not in (DIST / "page.css").read_text().lower()


def test_bundle_asks_for_nothing() -> None:
    style = (DIST / "page.css").read_text()
    assert "url(" not in style
    assert "@import" not in style
    assert "sourceMappingURL" not in (DIST / "viewer.js").read_text()


def test_page_is_typed_without_markup_from_data() -> None:
    for path in sorted((FOLDER / "src").iterdir()):
        found = re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|: any\b", path.read_text()
        )
        assert found is None, f"{path.name}: {found}"


def test_every_dependency_has_its_licence() -> None:
    texts = (DIST / "LICENSES.txt").read_text()
    lock = json.loads((FOLDER / "package-lock.json").read_text())["packages"]
    direct = json.loads((FOLDER / "package.json").read_text())["dependencies"]
    for name, version in direct.items():
        assert lock[f"node_modules/{name}"]["version"] == version
        assert f"\n{name} {version} (" in texts
    sections = re.split(r"^={100}$", texts, flags=re.MULTILINE)
    for title, text in zip(sections[1::2], sections[2::2], strict=True):
        assert len(text.strip()) > 500, f"{title.strip()} has no licence text"
