"""The messages of the container runtime interface (CRI, runtime.v1), with the fields that a kubelet's pod needs.

How to use: `MESSAGES["PodSandboxConfig"](...)`.
"""

from oci_systemd.nri.table import messages

TABLE = """
VersionRequest
VersionResponse                runtime_name=2s runtime_version=3s
PodSandboxMetadata             name=1s uid=2s namespace=3s attempt=4u
DNSConfig                      servers=1s* searches=2s* options=3s*
NamespaceOption                network=1i pid=2i ipc=3i userns_options=5UserNamespace
UserNamespace                  mode=1i uids=2IDMapping* gids=3IDMapping*
IDMapping                      host_id=1u container_id=2u length=3u
LinuxSandboxSecurityContext    namespace_options=1NamespaceOption selinux_options=2SELinuxOption privileged=6b \
seccomp=9SecurityProfile apparmor=10SecurityProfile
LinuxPodSandboxConfig          cgroup_parent=1s security_context=2LinuxSandboxSecurityContext \
overhead=4LinuxContainerResources resources=5LinuxContainerResources
PodSandboxConfig               metadata=1PodSandboxMetadata hostname=2s log_directory=3s dns_config=4DNSConfig \
labels=6M annotations=7M linux=8LinuxPodSandboxConfig
RunPodSandboxRequest           config=1PodSandboxConfig runtime_handler=2s
RunPodSandboxResponse          pod_sandbox_id=1s
StopPodSandboxRequest          pod_sandbox_id=1s
StopPodSandboxResponse
RemovePodSandboxRequest        pod_sandbox_id=1s
RemovePodSandboxResponse
ContainerMetadata              name=1s attempt=2u
ImageSpec                      image=1s user_specified_image=18s
KeyValue                       key=1s value=2y
Mount                          container_path=1s host_path=2s readonly=3b selinux_relabel=4b propagation=5i \
uid_mappings=6IDMapping* gid_mappings=7IDMapping* recursive_read_only=8b
SecurityProfile                profile_type=1i localhost_ref=2s
Capability                     add_capabilities=1s* drop_capabilities=2s*
SELinuxOption                  user=1s role=2s type=3s level=4s
Int64Value                     value=1j
LinuxContainerSecurityContext  capabilities=1Capability privileged=2b namespace_options=3NamespaceOption \
selinux_options=4SELinuxOption run_as_user=5Int64Value readonly_rootfs=7b no_new_privs=11b run_as_group=12Int64Value \
masked_paths=13s* readonly_paths=14s* seccomp=15SecurityProfile apparmor=16SecurityProfile
HugepageLimit                  page_size=1s limit=2v
LinuxContainerResources        cpu_period=1j cpu_quota=2j cpu_shares=3j memory_limit_in_bytes=4j oom_score_adj=5j \
hugepage_limits=8HugepageLimit* unified=9M memory_swap_limit_in_bytes=10j
LinuxContainerConfig           resources=1LinuxContainerResources security_context=2LinuxContainerSecurityContext
ContainerConfig                metadata=1ContainerMetadata image=2ImageSpec command=3s* args=4s* working_dir=5s \
envs=6KeyValue* mounts=7Mount* labels=9M annotations=10M log_path=11s stdin=12b tty=14b linux=15LinuxContainerConfig \
stop_signal=18i
CreateContainerRequest         pod_sandbox_id=1s config=2ContainerConfig sandbox_config=3PodSandboxConfig
CreateContainerResponse        container_id=1s
StartContainerRequest          container_id=1s
StartContainerResponse
StopContainerRequest           container_id=1s timeout=2j
StopContainerResponse
RemoveContainerRequest         container_id=1s
RemoveContainerResponse
ExecSyncRequest                container_id=1s cmd=2s* timeout=3j
ExecSyncResponse               stdout=1y stderr=2y exit_code=3i
ContainerStatusRequest         container_id=1s verbose=2b
ContainerStatusResponse        status=1ContainerStatus info=2M
ContainerStatus                id=1s state=3i exit_code=7i reason=10s message=11s
StatusRequest                  verbose=1b
StatusResponse                 runtime_handlers=3RuntimeHandler* info=2M
RuntimeHandler                 name=1s features=2RuntimeHandlerFeatures
RuntimeHandlerFeatures         recursive_read_only_mounts=1b user_namespaces=2b
"""

MESSAGES = messages("cri", TABLE)
