"""Protobuf messages built at import time from a small table of fields: no protoc, no generated code.

How to use: `messages("package", TABLE)` returns the message classes by name; with `parts=True`, fields marked with `?` are the
bytes of their messages. Needs protobuf 3.20 or later.

A line of the table is a message's name and its fields, each `name=NUMBERtype`. Types: s string, y bytes, b bool,
i int32 or an enumeration, j int64, u uint32, v uint64, M map<string, string>, otherwise the name of another message in
the table; `*` after it means repeated, `?` that it may stay bytes. Fields that are not in the table are skipped on reading and
never sent.
"""

import re
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SCALARS = {"s": 9, "y": 12, "b": 8, "i": 5, "j": 3, "u": 13, "v": 4}
MESSAGE, OPTIONAL, REPEATED = 11, 1, 3
FIELD = re.compile(r"(\w+)=(\d+)([A-Za-z0-9]+)(\*?)(\??)")


def messages(package: str, table: str, *, parts: bool = False) -> dict[str, Any]:
    """Return the message classes of `table`, by name."""
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for line in table.strip().splitlines():
        name, *fields = line.split()
        message = file.message_type.add(name=name)
        for field in fields:
            _add_field(package, message, field, parts=parts)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    # The function is new in 4.22; before, it was a method of a factory (Debian 12 and 13 have 4.21).
    factory: Any = message_factory
    class_of = getattr(factory, "GetMessageClass", None) or factory.MessageFactory(pool).GetPrototype
    return {
        message.name: class_of(pool.FindMessageTypeByName(f"{package}.{message.name}")) for message in file.message_type
    }


def _add_field(package: str, message: Any, text: str, *, parts: bool) -> None:
    match = FIELD.fullmatch(text)
    if not match:
        raise ValueError(f"{message.name}: not a field: {text}")
    name, number, kind, star, part = match.groups()
    kind = "y" if part and parts else kind
    label = REPEATED if star or kind == "M" else OPTIONAL
    field = message.field.add(name=name, number=int(number), label=label)
    if kind in SCALARS:
        field.type = SCALARS[kind]
        return
    field.type = MESSAGE
    field.type_name = f".{package}.{kind}"
    if kind == "M":
        field.type_name = f".{package}.{message.name}.{_add_map_entry(message, name)}"


def _add_map_entry(message: Any, field: str) -> str:
    name = "".join(part.capitalize() for part in field.split("_")) + "Entry"
    entry = message.nested_type.add(name=name)
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, label=OPTIONAL, type=SCALARS["s"])
    entry.field.add(name="value", number=2, label=OPTIONAL, type=SCALARS["s"])
    return name
