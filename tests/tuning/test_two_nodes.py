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
import json, sys
from pathlib import Path
import ray
from ray.cluster_utils import Cluster
from study.tuning.cluster import start_ray
from study.tuning.node_check import why_not
from study.tuning.nodes import alive_nodes, count_slots, place_trials

cluster = Cluster(initialize_head=True, head_node_args=dict(num_cpus=0, include_dashboard=False))
for _ in range(2):
    cluster.add_node(num_cpus=3)
start_ray(cluster.address)
studies, per_trial = Path(sys.argv[1]), {"cpu": 2.0, "gpu": 0.0}
nodes = alive_nodes()
holding = [node for node in nodes if node.holds(per_trial)]
used, unused = holding
groups = [place_trials(per_trial, [unused.id]).to_placement_group() for _ in range(2)]
ready = [group.wait(20 - 18 * number) for number, group in enumerate(groups)]  # the first has taken the one place
places = {name for group in groups for name in ray.util.placement_group_table(group)["bundles_to_node_id"].values()}
print(json.dumps({
    "nodes": len(nodes),
    "slots": count_slots(nodes, per_trial),
    "bad": why_not(holding, studies, False),
    "without cuda": list(why_not(holding, studies, True).values()),
    "ready": ready,
    "places": [name == used.id for name in places if name],
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
    assert found == {"nodes": 3, "slots": 2, "bad": {}, "ready": [True, False], "places": [True]}
    assert list(tmp_path.iterdir()) == []
