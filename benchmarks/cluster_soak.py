"""Does a study survive its nodes? `python benchmarks/cluster_soak.py --blows 20 --seed 0`

A Ray cluster of a head and three nodes is made on this machine (`ray_cluster.py`: as root without a common disk or
network). A study runs once on one node undisturbed, and once while a node is killed, drained as a spot node is, frozen
or cut off from the network for longer than Ray waits for it, or while the head or the driver is killed, after which it
is resumed on a new cluster or on the same. Another node joins for each that goes. Then the two must not differ:
results.json without its clock times and every probability array, bit for bit, and MLflow's runs and epochs, each
exactly once. No epoch that was in the study's folder before a blow is trained again (its seconds would betray that).

With `--cloud` the struck studies are kept in an object store that takes 200 ms per call: then the server also goes away
for some seconds, or has no room, and each resumed session is on a machine that has never seen the study.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from object_server import ObjectServer
from place import ROOT, Place, kill
from ray_cluster import ISOLATED, RayCluster, unplug_all
from rich.console import Console
from rich.table import Table
from soak import Epochs, changed, differences, mlflow_differences, saved_epochs

from audiotag.synthetic.corpus import write_synthetic_corpus

NODES, TRIALS, EPOCHS = 3, 6, 12
CLIPS = 120, 20  # of the synthetic corpus: development and evaluation
KILLED, DRAINED, FROZEN, CUT_OFF = "node killed", "node drained", "node frozen", "node cut off"
HEAD, DRIVER, AWAY, FULL = "head killed", "driver killed", "store away", "store full"
LOCAL = [KILLED, DRAINED, CUT_OFF if ISOLATED else FROZEN, HEAD, DRIVER]
CLOUD = [KILLED, AWAY, FULL, HEAD, DRIVER]
DELAY, ABSENCE = 0.2, 20.0  # s per call to the store, and without it
TRAINS = "\nRunning "  # begins what a driver prints once its trials may run
HIDDEN = ("studies", "space", "cache", "ray")


@dataclass
class Struck:
    """A study on a cluster that is struck again and again.

    Attributes:
        server: The object store that keeps it; None for a folder.
    """

    place: Place
    cluster: RayCluster
    name: str
    words: list[str]
    chance: random.Random
    server: ObjectServer | None = None
    blows: Counter[str] = field(default_factory=Counter)
    driver: subprocess.Popen[bytes] | None = None
    sessions: int = 0
    said: int = 0  # characters of output before this session
    kept: list[Epochs] = field(default_factory=list)  # what the ledger's folder held before each blow

    def start(self) -> None:
        """Start the study, or continue it; from the cloud on another machine each time."""
        self.sessions, self.said = self.sessions + 1, len(self.place.output())
        if self.server is not None:
            self.place.machine = f"cache-{self.name}-{self.sessions}"
            again = self.server.has(self.name)
        else:
            again = (self.place.study(self.name) / "study.json").is_file()
        words = ["--resume", self.name] if again else [*self.words, "--name", self.name]
        os.environ |= {name: value for name, value in self.cluster.environment.items() if name.startswith("RAY_")}
        self.driver = self.place.start(*words, "--address", self.cluster.address)

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
            if code == 0:
                return
            self._begin_again(code)

    def strike(self, kind: str) -> None:
        """Strike a node, the head, the driver or the store, and make good for it."""
        self.kept.append(saved_epochs(self.place.study(self.name)))
        cluster, victim = self.cluster, self.chance.choice(sorted(self.cluster.nodes))
        takes = {KILLED: cluster.kill, DRAINED: cluster.drain, FROZEN: cluster.freeze, CUT_OFF: cluster.cut_off}
        if kind in takes:
            takes[kind](victim)
            cluster.add()
        elif kind == AWAY:
            assert self.server is not None
            self.server.kill()
            time.sleep(ABSENCE)
            self.server.start()
        else:
            self._end_session(kind)

    def _end_session(self, kind: str) -> None:
        """End the driver as a blow does, and continue the study unless it had ended just before."""
        assert self.driver is not None
        if kind == DRIVER:
            kill(self.driver.pid)
        else:
            if kind == HEAD:
                self.cluster.stop()
            elif self.server is not None:
                self.server.full = True
            code, due = self.driver.wait(300), 130 if kind == HEAD else 2
            if kind == HEAD:
                self.cluster.start(NODES)
            elif self.server is not None:
                self.server.full = False
            if code == 0:
                return
            if code != due:
                return self._begin_again(code)
        self.start()

    def _begin_again(self, code: int) -> None:
        """Start a driver again that ended before it trained: it does not wait for a cluster or a store.

        Raises:
            RuntimeError: If it had trained.
        """
        if code != 2 or TRAINS in self.place.output()[self.said :]:
            raise RuntimeError(f"the study {self.name} ended with {code}:\n{self.place.output()[-3000:]}")
        self.start()


def soak(place: Place, cluster: RayCluster, words: list[str], arguments: argparse.Namespace) -> int:
    """Run the undisturbed study and the struck ones; print the table and give what is wrong."""
    chance, server = random.Random(arguments.seed), ObjectServer(delay=DELAY) if arguments.cloud else None
    known = CLOUD if server is not None else LOCAL
    kinds = [known[number % len(known)] for number in range(arguments.blows)]
    chance.shuffle(kinds)
    blows, found, number, again = Counter[str](), list[str](), 0, 0
    cluster.start(1)
    Struck(place, cluster, "whole", words, chance).run([], 0)
    for _ in range(NODES - 1):
        cluster.add()
    if server is not None:
        server.start()
        place.url = server.url
    while kinds:  # a study that ends before it was struck often enough is followed by another
        number += 1
        struck = Struck(place, cluster, f"struck-{number}", words, chance, server)
        struck.run(kinds, arguments.seconds)
        blows += struck.blows
        if server is not None:
            server.fetch(struck.name, place.root / place.studies)
        final = saved_epochs(place.study(struck.name))
        again += sum(changed(kept, final) for kept in struck.kept)
        found += differences(place.study("whole"), place.study(struck.name))
        found += mlflow_differences(place.store, place.study(struck.name))
    print(*found, sep="\n")
    table = Table(*known, "studies", "saved epochs trained again", "differences found")
    table.add_row(*(str(blows[kind]) for kind in known), str(number), "-" if server else str(again), str(len(found)))
    Console(width=120).print(table)
    return len(found) + again


def main() -> int:
    """Run the soak; the exit code is 1 where anything differed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--blows", type=int, default=20)
    parser.add_argument("--cloud", action="store_true", help="keep the struck studies in an object store")
    parser.add_argument("--space", default="mixup_alpha", help="a name, or a file in a folder of its own")
    parser.add_argument("--seconds", type=float, default=40.0, help="at most between two blows")
    parser.add_argument("--verbose", action="store_true", help="print what the studies have printed")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        place = Place(Path(folder))
        write_synthetic_corpus(place.root / "corpus", 0, *CLIPS)
        for made in HIDDEN:
            (place.root / made).mkdir()
        if (space := Path(arguments.space)).is_file():
            for module in space.parent.glob("*.py"):
                shutil.copy(module, place.root / "space")
            arguments.space = str(place.root / "space" / space.name)
        words = ["--space", arguments.space, "--corpus", str(place.root / "corpus")]
        words += ["--trials", str(TRIALS), "--epochs", str(EPOCHS)]
        hidden = [ROOT / "audiotag", ROOT / "study", ROOT / "search_spaces", *map(place.root.joinpath, HIDDEN)]
        cluster = RayCluster(place.root, hidden)
        try:
            found = soak(place, cluster, words, arguments)
        finally:
            cluster.stop()
            unplug_all()
            if arguments.verbose:
                print(place.output())
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
