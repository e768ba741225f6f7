"""What a node changes on this machine, and how it is put back. Needs root."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Final

# What kubelet and kube-proxy set.
_KERNEL: Final = (
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "net/bridge/bridge-nf-call-iptables",
    "net/ipv4/conf/all/route_localnet",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
)
# Folders at fixed places that kubelet makes.
_FOLDERS: Final = ("/var/log/pods", "/var/log/containers", "/var/lib/kubelet")


def docker(*arguments: str) -> str:
    """What a docker command prints."""
    done = subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def bridge_address() -> str:
    """This machine's address on Docker's default bridge: pods reach it, the world does not."""
    return docker("network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}")


def bridge_network() -> str:
    """The addresses of pods."""
    return docker("network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Subnet}}")


def pod_containers() -> list[str]:
    """Ids of the containers of any kubelet on this engine."""
    return docker("ps", "--all", "--quiet", "--filter", "label=io.kubernetes.pod.uid").split()


def make_pause_image(name: str, program: Path) -> None:
    """The image that holds a pod's network: this one program. Kept when it is there."""
    if docker("images", "--quiet", name):
        return
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        entry = tarfile.TarInfo("pause")
        entry.size, entry.mode = program.stat().st_size, 0o755
        with program.open("rb") as content:
            archive.addfile(entry, content)
    command = ["docker", "import", "--change", 'ENTRYPOINT ["/pause"]', "-", name]
    subprocess.run(command, input=layer.getvalue(), check=True, capture_output=True)


def remember(file: Path) -> None:
    """Write down how the machine is now."""
    kernel = {name: _setting(name).read_text() for name in _KERNEL if _setting(name).exists()}
    absent = [folder for folder in _FOLDERS if not Path(folder).exists()]
    file.write_text(json.dumps({"kernel": kernel, "absent": absent}))


def route(network: str, address: str) -> None:
    """Keep what is sent to a Service without a rule on this machine."""
    via = ["dev", "docker0", "src", address]
    subprocess.run(["ip", "route", "replace", network, *via], check=True, capture_output=True)


def has_service_rules() -> bool:
    """Whether the API has its Service's rules."""
    listed = ["iptables", "-w", "-t", "nat", "-S", "KUBE-SERVICES"]
    done = subprocess.run(listed, check=False, capture_output=True, text=True)
    return "default/kubernetes" in done.stdout


def restore(file: Path, kubelet: Path, network: str) -> None:
    """Remove what a node has left on the engine and the machine; put back what `remember` wrote."""
    before = json.loads(file.read_text())
    if containers := pod_containers():
        docker("rm", "--force", "--volumes", *containers)
    _unmount(kubelet)
    for program in ("iptables", "ip6tables"):
        for table in ("nat", "filter", "mangle"):
            _remove_chains(program, table)
    subprocess.run(["ip", "route", "del", network], check=False, capture_output=True)
    for name, value in before["kernel"].items():
        _setting(name).write_text(value)
    for folder in before["absent"]:
        shutil.rmtree(folder, ignore_errors=True)
    for group in Path("/sys/fs/cgroup").glob("**/kubepods"):
        for path in sorted(group.glob("**/"), reverse=True):
            path.rmdir()


def _setting(name: str) -> Path:
    return Path("/proc/sys") / name


def _unmount(folder: Path) -> None:
    """The folder, which a kubelet mounts on itself, and what is mounted below; OSError when
    something stays, for that must not be deleted."""

    def mounts() -> list[str]:
        lines = Path("/proc/self/mounts").read_text().splitlines()
        points = (line.split()[1].encode().decode("unicode_escape") for line in lines)
        return sorted((one for one in points if f"{one}/".startswith(f"{folder}/")), reverse=True)

    for point in mounts():
        subprocess.run(["umount", point], check=False, capture_output=True)
    if left := mounts():
        raise OSError(f"cannot unmount {left[0]}")


def _remove_chains(program: str, table: str) -> None:
    """Kubernetes' chains, and the jumps to them from others."""
    listed = [program, "-w", "-t", table, "-S"]
    rules = subprocess.run(listed, check=False, capture_output=True, text=True).stdout.splitlines()
    ours = [rule.split()[1] for rule in rules if rule.startswith("-N KUBE-")]
    if not ours:
        return
    jumps = [rule for rule in rules if rule.startswith("-A ") and " -j KUBE-" in rule]
    lines = [f"-D {rule[3:]}" for rule in jumps if not rule.startswith("-A KUBE-")]
    lines += [f"-F {chain}" for chain in ours] + [f"-X {chain}" for chain in ours]
    document = "\n".join([f"*{table}", *lines, "COMMIT", ""])
    restore_command = [f"{program}-restore", "-w", "--noflush"]
    subprocess.run(restore_command, input=document, check=True, capture_output=True, text=True)
