"""The messages of ttrpc (request.proto) and NRI (api.proto, v0.2 to v0.12), with the fields that this plugin uses.

How to use: `MESSAGES["CreateContainerRequest"](...)`. PARTS are the same messages, but fields marked with `?` stay bytes: most
containers of a node share these values, which are then parsed once. Other fields are skipped on reading and never sent. NRI never
used a field's number again, so one table is right for every version.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError

from oci_systemd.nri.table import messages

TABLE = """
Request                     service=1s method=2s payload=3y timeout_nano=4j
Response                    status=1Status payload=2y
Status                      code=1i message=2s
Empty
RegisterPluginRequest       plugin_name=1s plugin_idx=2s NRI_version=3s
ConfigureRequest            config=1s runtime_name=2s runtime_version=3s registration_timeout=4j request_timeout=5j NRI_version=6s
ConfigureResponse           events=2i
SynchronizeRequest          pods=1PodSandbox* containers=2Container* more=3b
SynchronizeResponse         more=2b
CreateContainerRequest      pod=1PodSandbox container=2Container
CreateContainerResponse     adjust=1ContainerAdjustment
PodSandbox                  id=1s name=2s uid=3s namespace=4s annotations=6M runtime_handler=7s
Container                   id=1s pod_sandbox_id=2s name=3s state=4i annotations=6M args=7s* env=8s* mounts=9Mount*? \
linux=11LinuxContainer user=21User
Mount                       destination=1s type=2s source=3s options=4s*
LinuxContainer              namespaces=1LinuxNamespace*? devices=2LinuxDevice*? resources=3LinuxResources cgroups_path=5s
LinuxNamespace              type=1s path=2s
LinuxDevice                 path=1s
LinuxResources              unified=6M
User                        uid=1u
ContainerAdjustment         annotations=2M mounts=3Mount* env=4KeyValue* linux=6LinuxContainerAdjustment args=9s*
KeyValue                    key=1s value=2s
LinuxContainerAdjustment    resources=2LinuxResources
"""

MESSAGES = messages("nri", TABLE)
PARTS = messages("nri_parts", TABLE, parts=True)


def whole(message: Any) -> Any:
    """Return a message of PARTS as one of MESSAGES; unchanged if a part of it is invalid."""
    try:
        return MESSAGES[message.DESCRIPTOR.name].FromString(message.SerializeToString())
    except (DecodeError, UnicodeDecodeError):  # the latter with protobuf in pure Python
        return message
