"""A Ray cluster on this machine: a head without cores, and nodes of one core that share no disk with it.

As root each node is a machine of its own as far as Linux goes without a second kernel: a network, a host name, and
empty folders in place of the program, the studies and the caches. Else it has an address of its own alone.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from place import kill, processes

SILENCE, NOTICE = 75.0, 3.0  # s that a node is not heard, of which Ray waits some 60; and before one is taken away
BRIDGE, HEAD, SUBNET = "audiotag-soak", "10.77.0.1", "10.77.0"
ISOLATED = os.getuid() == 0
NAMESPACE = """
hostname $1
shift
for folder in {folders}; do mount -t tmpfs none $folder; done
exec "$@"
"""


@dataclass
class RayCluster:
    """The head and the nodes, each in a session of its own.

    Attributes:
        root: A folder for logs and Ray's files.
        hidden: Folders that are empty on the nodes.
        nodes: The session of each, by its address.
    """

    root: Path
    hidden: list[Path]
    port: int = 0
    head: int = 0
    nodes: dict[str, int] = field(default_factory=dict)
    made: int = 1  # addresses that have been given away

    def start(self, nodes: int) -> None:
        """Start the head and so many nodes."""
        if ISOLATED and not Path("/sys/class/net", BRIDGE).exists():
            run_ip(f"link add {BRIDGE} type bridge", f"addr add {HEAD}/24 dev {BRIDGE}", f"link set {BRIDGE} up")
        with socket.create_server((self._host, 0)) as free:
            self.port = free.getsockname()[1]
        words = ["start", "--head", "--node-ip-address", self._host, "--port", str(self.port), "--num-cpus", "0"]
        self.head = self._ray(*words).pid
        self.wait_for(0)
        for _ in range(nodes):
            self.add()

    @property
    def address(self) -> str:
        """What `--address` takes."""
        return f"{self._host}:{self.port}"

    @property
    def _host(self) -> str:
        return HEAD if ISOLATED else "127.0.0.1"

    def add(self) -> None:
        """Add a node and wait until the cluster has it."""
        self.made += 1
        node = f"{SUBNET}.{self.made}" if ISOLATED else f"127.0.0.{self.made}"
        if ISOLATED:
            plug_in(node)
        self.nodes[node] = self._ray(
            *("start", "--address", self.address, "--node-ip-address", node, "--num-cpus", "1"), node=node
        ).pid
        self.wait_for(len(self.nodes))

    def wait_for(self, nodes: int) -> None:
        """Wait until so many nodes and the head are there."""
        for _ in range(120):
            listed = subprocess.run(self._words(), env=self.environment, capture_output=True, text=True)
            if listed.returncode == 0 and len(listed.stdout.split()) >= 1 + nodes:
                return
            time.sleep(1)
        raise RuntimeError(f"the cluster does not come to have {nodes} nodes: {listed.stdout} {listed.stderr[-500:]}")

    def kill(self, node: str) -> None:
        """Kill all processes of a node."""
        kill(self.nodes.pop(node))
        self._unplug(node)

    def drain(self, node: str) -> None:
        """Take a node away as a spot node is: with a notice, after which it is killed."""
        subprocess.run(self._words(node), env=self.environment, check=True, capture_output=True)
        time.sleep(NOTICE)
        self.kill(node)

    def freeze(self, node: str) -> None:
        """Stop all processes of a node for longer than Ray waits for it, let them go on for a moment, and kill it."""
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for process in processes(self.nodes[node]):
                os.kill(process, number)
            time.sleep(SILENCE if number == signal.SIGSTOP else 5)
        self.kill(node)

    def cut_off(self, node: str) -> None:
        """Take the network from a node for longer than Ray waits for it, while it works on; give it back; kill it."""
        for state in ("down", "up"):
            run_ip(f"link set {_plug(node)} {state}")
            time.sleep(SILENCE if state == "down" else 5)
        self.kill(node)

    def stop(self) -> None:
        """Kill all of it."""
        for node in list(self.nodes):
            self.kill(node)
        if self.head:
            kill(self.head)

    @property
    def environment(self) -> dict[str, str]:
        """What Ray's processes see."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        more = {"RAY_AUTH_MODE": "disabled", "RAY_TMPDIR": str(self.root / "ray"), "RAY_USAGE_STATS_ENABLED": "0"}
        return own | more | {"PYTHONPATH": ""}

    def _ray(self, *words: str, node: str = "") -> subprocess.Popen[bytes]:
        command = [str(Path(sys.executable).parent / "ray"), *words, "--block", "--disable-usage-stats"]
        if node and ISOLATED:
            script = NAMESPACE.format(folders=" ".join(map(str, self.hidden)))
            alone = ["unshare", "--mount", "--uts", "--propagation", "private", "bash", "-c", script, "node"]
            name = _plug(node)
            command = ["ip", "netns", "exec", name, *alone, name, *command]
        with (self.root / "ray.log").open("ab") as log:
            return subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, env=self.environment, cwd=self.root
            )

    def _unplug(self, node: str) -> None:
        if ISOLATED:
            with suppress(RuntimeError):  # its processes are not all gone yet
                run_ip(f"netns del {_plug(node)}")

    def _words(self, *more: str) -> list[str]:
        return [sys.executable, __file__, self.address, *more]


def plug_in(node: str) -> None:
    """Make a network for a node, with a cable to the bridge on which the head is."""
    name = _plug(node)
    run_ip(
        f"netns add {name}",
        f"link add {name} type veth peer name eth0 netns {name}",
        f"link set {name} master {BRIDGE} up",
        f"-n {name} addr add {node}/24 dev eth0",
        f"-n {name} link set eth0 up",
        f"-n {name} link set lo up",
    )


def _plug(node: str) -> str:
    """The name of a node's network, of its cable and of its host."""
    return f"soak-{node.rpartition('.')[2]}"


def run_ip(*commands: str) -> None:
    """Run commands of iproute2.

    Raises:
        RuntimeError: If one does not succeed.
    """
    for command in commands:
        done = subprocess.run(["ip", *command.split()], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"ip {command}: {done.stderr.strip()}")


def unplug_all() -> None:
    """Remove the networks that are left."""
    if ISOLATED:
        for name in Path("/run/netns").glob("soak-*"):
            run_ip(f"netns del {name.name}")
        with suppress(RuntimeError):
            run_ip(f"link del {BRIDGE}")


def ask_cluster(address: str, drained: str | None = None) -> None:
    """Print the addresses of a cluster's nodes, or drain one of them. In a process of its own: it may not answer.

    `ray list nodes` needs the dashboard, which requirements.txt does without, and `ray drain-node` is hidden: this is
    what they call.
    """
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # its stub lacks it
    from ray.core.generated import autoscaler_pb2

    client = GcsClient(address=address)
    infos = client.get_all_node_info(timeout=5).items()
    nodes = {info.node_manager_address: node for node, info in infos if info.state == 0}  # alive
    if drained is None:
        print(*nodes)
        return
    reason = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")  # type: ignore[attr-defined]
    client.drain_node(nodes[drained].hex(), reason, "taken away", int(1000 * (time.time() + NOTICE)))


if __name__ == "__main__":
    ask_cluster(*sys.argv[1:])
