"""How long does a copy to a distant MLflow server take? `python benchmarks/distant_mlflow.py --trials 1000`

A made-up finished study is copied to an MLflow server on this machine through a proxy that delays each call by 50 ms:
first its runs, then the models of its best trial. For comparison: one writer, and a plain script with a call per epoch,
both on fewer trials. The floor is the delay alone, divided by the writers; the server shares the cores with them.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import Process, Value
from pathlib import Path
from typing import Any
from unittest.mock import patch

from rich.console import Console
from rich.table import Table

from study.ledger.ledger import Ledger
from study.reporting.results_files import write_results
from study.tracking import mlflow_store
from study.tracking.metric_names import epoch_values, figure_values
from study.tracking.mlflow_store import load_mlflow
from study.tracking.mlflow_sync import MlflowCopy
from study.tracking.tracker import Progress

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))  # for its helpers
EPOCHS, FOLDS = 20, 5
METHODS = (b"GET ", b"POST", b"PUT ", b"PATC", b"DELE")


@dataclass
class Distance:
    """A proxy in front of a server; each call waits in it."""

    port: int
    server: int
    seconds: float
    calls: Any = field(default_factory=lambda: Value("q"))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asks: bool) -> None:
        try:
            while content := await reader.read(1 << 20):
                if asks and content.startswith(METHODS):
                    self.calls.value += 1
                    await asyncio.sleep(self.seconds)
                writer.write(content)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, questions = await asyncio.open_connection("127.0.0.1", self.server)
        await asyncio.gather(self._pass_on(reader, questions, True), self._pass_on(answers, writer, False))

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connect, "127.0.0.1", self.port)
        await server.serve_forever()

    def run(self) -> None:
        """Serve until the process ends."""
        asyncio.run(self._serve())


@contextmanager
def distant_server(folder: Path, seconds: float) -> Iterator[Distance]:
    """An MLflow server whose calls wait."""
    from helpers.mlflow_server import end, serve  # type: ignore[import-not-found]
    from helpers.ports import find_port  # type: ignore[import-not-found]

    distance = Distance(find_port(), find_port(), seconds)
    server = serve(folder, distance.server, workers=4)  # MLflow's default
    proxy = Process(target=distance.run, daemon=True)
    proxy.start()
    try:
        yield distance
    finally:
        proxy.terminate()
        end(server)


def make_ledger(root: Path, trials: int) -> Ledger:
    """A finished study."""
    from helpers.made_up import make_corpus, make_study  # type: ignore[import-not-found]

    configs = [{"augmentation": "mixup", "alpha": round(0.001 * number, 4)} for number in range(trials)]
    corpus = make_corpus(groups=20, clips=5, tags=7, folds=FOLDS)
    ledger = make_study(root, configs, corpus=corpus, epochs=EPOCHS)
    write_results(ledger, "finished")
    return ledger


def log_plainly(ledger: Ledger, uri: str) -> None:
    """Log each trial as a training script does: parameters, the metrics of each epoch, those of the fold."""
    mlflow = load_mlflow()
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("plain")
    for folder in ledger.trials():
        for fold in ledger.study.folds:
            record = folder.read_fold(fold)
            assert record is not None
            with mlflow.start_run():
                mlflow.log_params(folder.trial.config)
                for epoch in record.history:
                    mlflow.log_metrics(epoch_values(epoch), step=epoch.epoch)
                mlflow.log_metrics({k: v for k, v in figure_values(record.figures).items() if v is not None})


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--delay", type=float, default=0.05, help="s per call")
    arguments = parser.parse_args()
    trials = arguments.trials
    table = Table("", "trials", "s", "s per trial", "calls", "x the delay alone")
    with tempfile.TemporaryDirectory(prefix="distant-") as name, distant_server(Path(name), arguments.delay) as there:
        uri = f"http://127.0.0.1:{there.port}"

        def time_copy(title: str, ledger: Ledger, copy: Callable[[Ledger], None], writers: int) -> None:
            before, began = there.calls.value, time.perf_counter()
            with patch.object(mlflow_store, "SIDE_BY_SIDE", writers):
                copy(ledger)
            seconds, calls = time.perf_counter() - began, there.calls.value - before
            count, ratio = ledger.study.trials, seconds * writers / (calls * arguments.delay)
            table.add_row(title, str(count), f"{seconds:.0f}", f"{seconds / count:.2f}", str(calls), f"{ratio:.2g}")

        def copy_all(ledger: Ledger) -> None:
            MlflowCopy(ledger, uri).update(Progress("finished"))

        def copy_runs(ledger: Ledger) -> None:
            with patch("study.tracking.mlflow_sync.register_best"):
                copy_all(ledger)

        sizes = {"whole": trials, "small": max(2, trials // 20), "tiny": 5}
        whole, small, tiny = (make_ledger(Path(name) / study, size) for study, size in sizes.items())
        time_copy("a study's runs", whole, copy_runs, mlflow_store.SIDE_BY_SIDE)
        time_copy("its models, after a look at the runs", whole, copy_all, mlflow_store.SIDE_BY_SIDE)
        time_copy("runs, by one writer", small, copy_runs, 1)
        time_copy("as a script logs", tiny, lambda ledger: log_plainly(ledger, uri), 1)
    Console(width=110).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
