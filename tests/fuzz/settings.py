"""Settings files. Any text gives Settings or a SettingsError of sentences without line breaks, nothing else.

What `plain_toml` reads, it reads as tomllib does.
"""

from __future__ import annotations

from pathlib import Path

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(include=["oci_systemd", "tomllib"]):
    import tomllib

    from oci_systemd.core.adjust import adjust
    from oci_systemd.core.container import Container, Mount
    from oci_systemd.core.edits import SetUnified
    from oci_systemd.core.errors import Problem, SettingsError
    from oci_systemd.core.host import Host
    from oci_systemd.core.settings import TABLE
    from oci_systemd.host import plain_toml, settings_file

from tests.fuzz.run import run

SHIPPED = (Path(__file__).parents[2] / "packaging" / "config.toml").read_text()

SEEDS = [
    "",
    '[detect]\ncommands = ["/init", "entry.sh"]\n',
    "[cgroup]\nrequire_nsdelegate = false\nmax_descendants = 0x10\n",
    '[tmpfs]\npaths = ["/run", "/run/lock"]\nsize = "64m"\ncopy_up = true\n',
    '[env]\ncontainer = "oci"\n[machine_id]\nsource = "pod"\n[stop]\nsignal = "SIGRTMIN+4"\n',
    'security = { selinux_init = false, allow = ["io.systemd.container.selinux"] }\n',
    "log.level = 'debug'\nlog.file = ''\n",
    'log.level = "debug"\ncgroup.require_nsdelegate = false\n[tmpfs]\nsize = "1m"\n',
    "[a.b]\nc.d = 1\nc . e = true\n[a.b.c.f]\n[g]\n",
    '"tmpfs.size" = "1g"\n[[tmpfs]]\nx = 1979-05-27T07:32:00Z\n',
    SHIPPED,
    SHIPPED.replace("\n# ", "\n"),
    "# only a comment\n[tmpfs]\nsizes = 10\n",
]
DEEPEST = 500  # dots: beyond, tomllib takes seconds for one key, and dicts are too deep to be compared
WANTED = Container(
    id="0" * 64,
    args=["/sbin/init"],
    namespaces={"pid": "", "cgroup": ""},
    mounts=[Mount("/sys/fs/cgroup", "cgroup", "cgroup", ["ro"])],
)


def check(data: bytes) -> None:
    text = data.decode(errors="replace")
    document = plain_toml.read(text)
    if document is not None and text.count(".") < DEEPEST:
        assert document == tomllib.loads(text)
    try:
        settings = settings_file.parse(text, "/etc/oci-systemd/config.toml")
    except SettingsError as problem:
        assert problem.sentences
        assert "\n" not in str(problem)
        return
    assert settings.values.keys() == TABLE.keys()
    try:
        edits = adjust(WANTED, settings, Host()).edits
    except Problem:
        return
    limits = [edit.value for edit in edits if isinstance(edit, SetUnified)]
    assert all(len(limit) < 11 for limit in limits)


def main() -> None:
    tables, keys = zip(*(name.split(".") for name in TABLE), strict=True)
    run(
        check,
        map(str.encode, SEEDS),
        sorted({".", "=", *tables, *keys, *TABLE, *(f"[{table}]\n" for table in tables), "true", '"""', "0x", "inf"}),
    )


if __name__ == "__main__":
    main()
