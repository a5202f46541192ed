"""A real cluster of two nodes on this machine: what is found out about each, and where trials are placed."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

SCRIPT = """
import json, time
import ray
from ray.cluster_utils import Cluster
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from study.tuning.failures import UnfitNode, node_is_gone
from study.tuning.cluster import start_ray
from study.tuning.node_check import why_not
from study.tuning.nodes import alive_nodes, count_slots, place_trials
from study.tuning.probe import describe

cluster = Cluster(initialize_head=True, head_node_args=dict(num_cpus=0, include_dashboard=False))
raylets = [cluster.add_node(num_cpus=3) for _ in range(2)]
start_ray(cluster.address)
per_trial = {"cpu": 2.0, "gpu": 0.0}
nodes = alive_nodes()
holding = [node for node in nodes if node.holds(per_trial)]
used, unused = holding
groups = [place_trials(per_trial, [unused.id]).to_placement_group() for _ in range(2)]
ready = [group.wait(20 - 18 * number) for number, group in enumerate(groups)]  # the first has taken the one place
places = {name for group in groups for name in ray.util.placement_group_table(group)["bundles_to_node_id"].values()}
found = {
    "nodes": len(nodes),
    "slots": count_slots(nodes, per_trial),
    "bad": why_not(holding, describe(), False),
    "without cuda": list(why_not(holding, describe(), True).values()),
    "ready": ready,
    "places": [name == used.id for name in places if name],
}


class Worker:
    def give_up(self):
        raise UnfitNode(("node",), "its torch is 1, here 2")


worker = ray.remote(Worker).options(scheduling_strategy=NodeAffinitySchedulingStrategy(unused.id, soft=False)).remote()
errors = []
try:
    ray.get(worker.give_up.remote())
except Exception as error:
    errors.append(error.cause)
cluster.remove_node(next(each for each in raylets if each.node_id == unused.id), allow_graceful=False)
while unused in alive_nodes():
    time.sleep(0.1)
try:
    ray.get(worker.give_up.remote())
except Exception as error:
    errors.append(error)
print(json.dumps(found | {
    "errors": [[type(error).__name__, node_is_gone(error)] for error in errors],
    "unfit": [list(errors[0].nodes), str(errors[0])],
}))
ray.shutdown()
cluster.shutdown()
"""


@pytest.mark.slow
def test_nodes_are_asked_and_trials_are_kept_off_those_that_are_not_used(tmp_path: Path) -> None:
    folder = tempfile.mkdtemp(dir="/tmp")  # a short path: sockets are in it
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"RAY_TMPDIR": folder, "RAY_AUTH_MODE": "disabled", "PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    environment |= {"RAY_USAGE_STATS_ENABLED": "0", "CUDA_VISIBLE_DEVICES": ""}
    try:
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300, check=False)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert [reason.startswith("CUDA does not start (") for reason in found.pop("without cuda")] == [True, True]
    assert found.pop("errors") == [["UnfitNode", False], ["ActorDiedError", True]]
    assert found.pop("unfit") == [["node"], "its torch is 1, here 2"]
    assert found == {"nodes": 3, "slots": 2, "bad": {}, "ready": [True, False], "places": [True]}
    assert list(tmp_path.iterdir()) == []
