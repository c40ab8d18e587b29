"""Apply edits to an OCI spec: APPLY has one function for each kind of edit.

Law: the given spec is never modified. Changed values are copied along their path; the rest is shared with the given spec.
`json_text.patch` relies on that: shared values keep their bytes.
"""

from __future__ import annotations

from oci_systemd.core import edits as e

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Never, TypeAlias

    from oci_systemd.core.json_text import Json

    Spec: TypeAlias = "dict[str, Json]"
    Change: TypeAlias = "Callable[[Json], Json]"


def apply(spec: Spec, edits: Iterable[e.Edit]) -> Spec:
    """Return the spec with every edit applied in order; the same object if there is no edit."""
    for edit in edits:
        spec = APPLY[type(edit)](spec, edit)  # type: ignore[arg-type]  # the key is the parameter's own class
    return spec


def _object(value: Json) -> Spec:
    return value if isinstance(value, dict) else {}


def _array(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _within(spec: Spec, path: tuple[str, ...], change: Change) -> Spec:
    """Return `spec` with the value at `path` changed; objects on the way are copied, or created if missing."""
    key, rest = path[0], path[1:]
    value = spec.get(key)
    return {**spec, key: _within(_object(value), rest, change) if rest else change(value)}


def _add_mount(spec: Spec, edit: e.AddMount) -> Spec:
    mount: Spec = {
        "destination": edit.mount.destination,
        "type": edit.mount.type,
        "source": edit.mount.source,
        "options": list(edit.mount.options),
    }
    return _within(
        spec, ("mounts",), lambda mounts: [*_array(mounts)[: edit.index], mount, *_array(mounts)[edit.index :]]
    )


def _remove_mount(spec: Spec, edit: e.RemoveMount) -> Spec:
    return _within(spec, ("mounts",), lambda mounts: [*_array(mounts)[: edit.index], *_array(mounts)[edit.index + 1 :]])


def _set_mount_options(spec: Spec, edit: e.SetMountOptions) -> Spec:
    def change(value: Json) -> Json:
        mounts = list(_array(value))
        old = _object(mounts[edit.index])
        given = _array(old.get("options"))
        kept: list[Json] = [was if was == now else now for was, now in zip(given, edit.options, strict=True)]
        mounts[edit.index] = {**old, "options": kept}
        return mounts

    return _within(spec, ("mounts",), change)


def _set_env(spec: Spec, edit: e.SetEnv) -> Spec:
    prefix = edit.name + "="

    def change(value: Json) -> Json:
        env = list(_array(value))
        given = [index for index, item in enumerate(env) if isinstance(item, str) and item.startswith(prefix)]
        if not given:
            return [*env, prefix + edit.value]
        if env[given[0]] != prefix + edit.value:
            env[given[0]] = prefix + edit.value
        for index in reversed(given[1:]):
            del env[index]
        return env

    return _within(spec, ("process", "env"), change)


def _append_arguments(spec: Spec, edit: e.AppendArguments) -> Spec:
    return _within(spec, ("process", "args"), lambda args: [*_array(args), *edit.arguments])


def _set_annotation(spec: Spec, edit: e.SetAnnotation) -> Spec:
    return _within(spec, ("annotations", edit.key), lambda _: edit.value)


def _set_unified(spec: Spec, edit: e.SetUnified) -> Spec:
    return _within(spec, ("linux", "resources", "unified", edit.key), lambda _: edit.value)


def _set_selinux_label(spec: Spec, edit: e.SetSelinuxLabel) -> Spec:
    return _within(spec, ("process", "selinuxLabel"), lambda _: edit.label)


def _set_apparmor_profile(spec: Spec, edit: e.SetApparmorProfile) -> Spec:
    def change(process: Json) -> Json:
        kept = {key: value for key, value in _object(process).items() if key != "apparmorProfile"}
        return {**_object(process), "apparmorProfile": edit.profile} if edit.profile else kept

    return _within(spec, ("process",), change)


def _remove_device(spec: Spec, edit: e.RemoveDevice) -> Spec:
    return _within(
        spec,
        ("linux", "devices"),
        lambda devices: [device for device in _array(devices) if _object(device).get("path") != edit.path],
    )


APPLY: dict[type[e.Edit], Callable[[Spec, Never], Spec]] = {
    e.AddMount: _add_mount,
    e.RemoveMount: _remove_mount,
    e.SetMountOptions: _set_mount_options,
    e.SetEnv: _set_env,
    e.SetMachineId: _set_env,
    e.AppendArguments: _append_arguments,
    e.SetAnnotation: _set_annotation,
    e.SetUnified: _set_unified,
    e.SetSelinuxLabel: _set_selinux_label,
    e.SetApparmorProfile: _set_apparmor_profile,
    e.RemoveDevice: _remove_device,
}
