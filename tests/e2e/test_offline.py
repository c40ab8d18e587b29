"""The recipe of docs/offline.md, word for word: from an empty directory to a systemd that runs, without an engine."""

import re
from pathlib import Path

import pytest

from tests.e2e.lab.container import Container
from tests.e2e.lab.node import SOURCE, Node
from tests.e2e.lab.rootfs import RootFS

pytestmark = pytest.mark.engine

RECIPE = re.search(r"```sh\n(.*?)```", (Path(SOURCE) / "docs/offline.md").read_text(), re.DOTALL)


def test_the_recipe_ends_in_a_running_systemd(node: Node, image: RootFS) -> None:
    assert RECIPE
    with Container(node, image) as place:  # an image's root file system, mounted
        script = RECIPE[1].replace("machine", place.id)
        done = node.run("sh", "-exc", f"cd {place.bundle}; rm config.json; {script}", check=False)
        assert (done.stdout.strip(), done.returncode) == ("running", 0), done.stderr
        assert "missing" not in done.stderr


def test_what_runc_spec_grants_is_reported(node: Node, image: RootFS) -> None:
    with Container(node, image) as place:
        done = node.run("sh", "-exc", f"cd {place.bundle}; rm config.json; runc spec; {NAMED}", check=False)
    assert "CAP_SETGID and CAP_SETUID are missing: units with User= fail" in done.stderr


NAMED = """jq '.process.args = ["/sbin/init"]' config.json >new; mv new config.json; oci-systemd rewrite -i --id x ."""
