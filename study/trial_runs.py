"""The trials of a study run to their end: again without what failed, and with what the cluster has."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from study.announcement import resources_line
from study.cli import say
from study.ledger.context import StudyContext
from study.ledger.ledger import Ledger
from study.ledger.results import count_ended
from study.plan.plan import Plan
from study.reporting.live_table import LiveTable
from study.search.asha import Rungs
from study.search.searcher import MANY, make_searcher
from study.tuning.cluster import ResourceError
from study.tuning.crew import Crew
from study.tuning.failures import RunAgain, UnfitNode
from study.tuning.faults import Faults
from study.tuning.features import StudyFeatures
from study.tuning.memory import run_in_memory
from study.tuning.nodes import Node, alive_nodes, count_slots
from study.tuning.scheduler import FoldScheduler
from study.tuning.tune import run_trials
from study.tuning.watch import Watch


@dataclass(eq=False)
class TrialRuns:
    """Runs what is left of a study's trials.

    Attributes:
        head_lost: Ends the process, from a thread, where the head of the cluster at an address has gone.
    """

    plan: Plan
    ledger: Ledger
    features: StudyFeatures
    crew: Crew
    live: LiveTable
    listeners: list[Any]
    console: Console
    head_lost: Callable[[str], None]
    faults: Faults = field(default_factory=Faults)

    def run(self) -> None:
        """Run them until all have ended.

        Raises:
            LedgerError: If the ledger cannot be written.
            LowMemory: If there is too little memory for one trial alone.
            ResourceError: If no node is left that will do.
        """
        nodes = self._nodes()
        slots = self._count_slots(nodes)
        self.console.print(resources_line(self.crew.per_trial, slots, len(nodes)))
        while self._left():
            try:
                run_in_memory(self._run, slots, self._warn)
                return
            except UnfitNode as unfit:
                self._leave_out(unfit)
            except RunAgain as reason:
                self._warn(f"the trials go on after their last saved epochs: {reason}")
            slots = self._count_slots(self._nodes())

    def _run(self, slots: int) -> None:
        """Run so many side by side; where memory was never low, as many as the cluster comes to hold."""
        self.live.begin(slots)
        with self._watched(slots) as slots_now:
            run_trials(
                make_searcher(self.plan.scan, self.ledger, StudyContext(self.ledger.study), slots_now),
                self.ledger,
                self.plan.corpus,
                self.features,
                trials=self._left(),
                slots=slots,
                crew=self.crew,
                listeners=[self.live, *self.listeners],
                faults=self.faults,
                scheduler=self._scheduler(),
            )

    def _count_slots(self, nodes: list[Node]) -> int:
        """How many of the trials that are left run side by side on some nodes; one where these have just gone."""
        return max(1, min(count_slots(nodes, self.crew.per_trial), self._left()))

    def _left(self) -> int:
        return self.ledger.study.trials - count_ended(self.ledger)

    def _nodes(self) -> list[Node]:
        return [node for node in alive_nodes(self.crew.unused) if node.holds(self.crew.per_trial)]

    @contextmanager
    def _watched(self, slots: int) -> Iterator[Callable[[], int]]:
        """Watch a cluster that was joined during the block: how many trials may run side by side at a time."""
        if self.crew.expected is None:
            yield lambda: slots
            return
        with Watch(self.crew, self._say_slots, self.head_lost) as watch:
            most = slots if slots < watch.slots else MANY  # memory is low where there are fewer than fit
            yield lambda: min(most, watch.slots)

    def _say_slots(self, nodes: list[Node]) -> None:
        """Say how many trials the cluster holds now that nodes have come or gone."""
        if not nodes:
            self._warn("no node of the cluster holds a trial any more; waiting for one ...")
            return
        slots = count_slots(nodes, self.crew.per_trial)
        self.live.slots = self._count_slots(nodes)
        where = "1 node" if len(nodes) == 1 else f"{len(nodes)} nodes"
        say(self.console, f"the cluster now has {where} for trials, {slots} side by side")

    def _leave_out(self, unfit: UnfitNode) -> None:
        """Go on without some nodes.

        Raises:
            ResourceError: If that leaves none.
        """
        names = [node.name for node in self._nodes() if node.id in unfit.nodes]
        self.crew = self.crew.without(unfit.nodes)
        for name in names:
            self._warn(f"node {name} is not used any more: {unfit.reason}")
        if not self._nodes():
            raise ResourceError(
                f"No node is left on which a trial runs ({unfit.reason}). What was trained is kept: mend it, then "
                f"continue with --resume {self.ledger.root.name}."
            )

    def _scheduler(self) -> FoldScheduler | None:
        """What prunes weak trials; None where all run to their end."""
        if self.ledger.study.scheduler != "asha":
            return None
        return FoldScheduler(Rungs(self.ledger), StudyContext(self.ledger.study))

    def _warn(self, text: str) -> None:
        say(self.console, text, style="yellow")
