"""Does a study survive its nodes? `python benchmarks/cluster_soak.py --blows 20 --seed 0`

A Ray cluster of a head without cores and three nodes is made on this machine. As root each node has empty folders in
place of the program, the studies and the caches, so that no disk is shared; else it sees those of this machine. A study
runs once on one node undisturbed, and once while a node is killed, drained as a spot node is, or frozen for longer than
Ray waits for it and then woken up, or while the head or the driver is killed, after which it is resumed on a new
cluster or on the same. Another node joins for each that goes. Then the two must not differ: results.json without its
clock times and every probability array, bit for bit, and MLflow's runs and epochs, each exactly once.
"""

import argparse
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from place import ROOT, Place, kill, processes
from rich.console import Console
from rich.table import Table
from soak import differences, mlflow_differences

from audiotag.synthetic.corpus import write_synthetic_corpus

NODES, TRIALS, EPOCHS = 3, 6, 12
CLIPS = 120, 20  # of the synthetic corpus: development and evaluation
SILENCE, NOTICE = 75.0, 3.0  # s that a node is frozen, of which Ray waits some 60; and before one is taken away
KINDS = ("node killed", "node drained", "node frozen", "head killed", "driver killed")
KILLED, DRAINED, FROZEN, HEAD, DRIVER = KINDS
HIDDEN = ("studies", "cache")
NAMESPACE = """
for folder in {folders}; do mount -t tmpfs none $folder; done
exec "$@"
"""


@dataclass
class RayCluster:
    """A head without cores, and nodes of one core, each in a session of its own.

    Attributes:
        nodes: The session of each, by its address.
    """

    root: Path
    hidden: list[Path]  # from the nodes
    port: int = 0
    head: int = 0
    nodes: dict[str, int] = field(default_factory=dict)
    made: int = 1  # addresses that have been given away

    def start(self, nodes: int = NODES) -> None:
        """Start the head and so many nodes."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.head = self._ray("start", "--head", "--port", str(self.port), "--num-cpus", "0", "--block").pid
        self.wait_for(0)
        for _ in range(nodes):
            self.add()

    def add(self) -> None:
        """Add a node and wait until the cluster has it."""
        self.made += 1
        address = f"127.0.0.{self.made}"
        words = ["start", "--address", f"127.0.0.1:{self.port}", "--node-ip-address", address, "--num-cpus", "1"]
        self.nodes[address] = self._ray(*words, "--block", hidden=True).pid
        self.wait_for(len(self.nodes))

    def wait_for(self, nodes: int) -> None:
        """Wait until so many nodes and the head are there."""
        for _ in range(120):
            listed = subprocess.run(self._words(), env=self.environment, capture_output=True, text=True)
            if listed.returncode == 0 and len(listed.stdout.split()) >= 1 + nodes:
                return
            time.sleep(1)
        raise RuntimeError(f"the cluster does not come to have {nodes} nodes: {listed.stdout} {listed.stderr[-500:]}")

    def drain(self, address: str) -> None:
        """Take a node away as a spot node is: with a notice, after which it is killed."""
        subprocess.run(self._words(address), env=self.environment, check=True, capture_output=True)
        time.sleep(NOTICE)
        kill(self.nodes.pop(address))

    def freeze(self, address: str) -> None:
        """Stop all processes of a node for longer than Ray waits for it, then let them go on."""
        session = self.nodes.pop(address)
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for process in processes(session):
                os.kill(process, number)
            time.sleep(SILENCE if number == signal.SIGSTOP else 5)
        kill(session)

    def stop(self) -> None:
        """Kill all of it."""
        for session in (self.head, *self.nodes.values()):
            kill(session)
        self.nodes.clear()

    @property
    def environment(self) -> dict[str, str]:
        """What Ray's processes see."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        more = {"RAY_AUTH_MODE": "disabled", "RAY_TMPDIR": str(self.root / "ray"), "RAY_USAGE_STATS_ENABLED": "0"}
        return own | more | {"PYTHONPATH": ""}

    def _ray(self, *words: str, hidden: bool = False) -> subprocess.Popen[bytes]:
        command = [str(Path(sys.executable).parent / "ray"), *words, "--disable-usage-stats"]
        if hidden and os.getuid() == 0:
            script = NAMESPACE.format(folders=" ".join(map(str, self.hidden)))
            command = ["unshare", "--mount", "--propagation", "private", "bash", "-c", script, "node", *command]
        with (self.root / "ray.log").open("ab") as log:
            return subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, env=self.environment, cwd=self.root
            )

    def _words(self, *more: str) -> list[str]:
        return [sys.executable, __file__, "--ask", f"127.0.0.1:{self.port}", *more]


def ask_cluster(address: str, drained: str | None) -> None:
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


@dataclass
class Struck:
    """A study on a cluster that is struck again and again."""

    place: Place
    cluster: RayCluster
    name: str
    words: list[str]
    chance: random.Random
    blows: Counter[str] = field(default_factory=Counter)
    driver: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the study, or continue it."""
        again = (self.place.study(self.name) / "study.json").is_file()
        words = ["--resume", self.name] if again else [*self.words, "--name", self.name]
        os.environ |= {name: value for name, value in self.cluster.environment.items() if name.startswith("RAY_")}
        self.driver = self.place.start(*words, "--address", f"127.0.0.1:{self.cluster.port}")

    def run(self, kinds: list[str], seconds: float) -> None:
        """Run it to its end, with a blow after a random part of so many seconds; `kinds` keeps those that are left.

        Raises:
            RuntimeError: If it does not end well.
        """
        self.start()
        while True:
            assert self.driver is not None
            try:
                code = self.driver.wait(self.chance.uniform(seconds / 2, seconds) if kinds else None)
            except subprocess.TimeoutExpired:
                print(f"{time.strftime('%H:%M:%S')} {kinds[-1]}", flush=True)
                self.strike(kinds[-1])
                self.blows[kinds.pop()] += 1
                continue
            if code:
                raise RuntimeError(f"the study {self.name} ended with {code}:\n{self.place.output()[-3000:]}")
            return

    def strike(self, kind: str) -> None:
        """Strike a node, the head or the driver, and make good for it."""
        cluster, victim = self.cluster, self.chance.choice(sorted(self.cluster.nodes))
        if kind == KILLED:
            kill(cluster.nodes.pop(victim))
        elif kind == DRAINED:
            cluster.drain(victim)
        elif kind == FROZEN:
            cluster.freeze(victim)
        else:
            assert self.driver is not None
            if kind == HEAD:
                cluster.stop()
                code = self.driver.wait(120)
                cluster.start()
                if code == 0:  # it had ended just before
                    return
                if code != 130:
                    raise RuntimeError(f"the driver ended with {code} without a head:\n{self.place.output()[-3000:]}")
            else:
                kill(self.driver.pid)
            self.start()
            return
        cluster.add()


def main() -> int:
    """Run the soak and print its table; the exit code is 1 where anything differed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--blows", type=int, default=20)
    parser.add_argument("--space", default="mixup_alpha")
    parser.add_argument("--seconds", type=float, default=40.0, help="at most between two blows")
    parser.add_argument("--verbose", action="store_true", help="print what the studies have printed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ask", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ask:
        ask_cluster(arguments.ask[0], *(arguments.ask[1:] or [None]))
        return 0
    chance = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory(prefix="soak-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        place = Place(Path(folder))
        write_synthetic_corpus(place.root / "corpus", 0, *CLIPS)
        for made in ("studies", "cache"):
            (place.root / made).mkdir()
        hidden = [ROOT / "audiotag", ROOT / "study", ROOT / "search_spaces", *map(place.root.joinpath, HIDDEN)]
        cluster = RayCluster(place.root, hidden)
        words = ["--space", arguments.space, "--corpus", str(place.root / "corpus")]
        words += ["--trials", str(TRIALS), "--epochs", str(EPOCHS)]
        kinds = [KINDS[number % len(KINDS)] for number in range(arguments.blows)]
        chance.shuffle(kinds)
        blows, found, number = Counter[str](), list[str](), 0
        try:
            cluster.start(1)
            whole = Struck(place, cluster, "whole", words, chance)
            whole.run([], 0)
            for _ in range(NODES - 1):
                cluster.add()
            while kinds:  # a study that ends before it was struck often enough is followed by another
                number += 1
                struck = Struck(place, cluster, f"struck-{number}", words, chance)
                struck.run(kinds, arguments.seconds)
                blows += struck.blows
                found += differences(place.study("whole"), place.study(struck.name))
                found += mlflow_differences(place.store, place.study(struck.name))
        finally:
            cluster.stop()
        if arguments.verbose:
            print(place.output())
    print(*found, sep="\n")
    table = Table(*KINDS, "differences found")
    table.add_row(*(str(blows[kind]) for kind in KINDS), str(len(found)))
    Console(width=100).print(table)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
