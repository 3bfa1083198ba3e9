"""`--backend dask`: trials on the workers of a local cluster, in processes of its own."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from charrnn.cli.trials import cluster
from charrnn.cli.trials.cluster import connected, stop_file
from charrnn.cli.trials.trial import read_outcome
from charrnn.errors import StorageError, UsageError

CLUSTER = """
import sys
from distributed import LocalCluster

if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""
SMALL = ("--set", "batch-size=4", "--set", "seq-length=16", "--set", "backend=numpy")
SWEEP = Path("checkpoints/corpus-sweep")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scheduler with two workers."""
    pytest.importorskip("distributed")
    place = tmp_path_factory.mktemp("cluster")
    (place / "cluster.py").write_text(CLUSTER, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, "cluster.py"],
        cwd=place,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate("", timeout=60)


def start(*words: str) -> "subprocess.Popen[str]":
    """Start a command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "charrnn", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_trials_run_on_the_workers_and_give_the_results_of_local_ones(
    address: str, corpus: Path
) -> None:
    words = ("sweep", str(corpus), "--grid", "lr=0.05,1e30", "--steps", "8", *SMALL)
    common = (*words, "--set", "hidden=8", "--json")
    remote = start(*common, "--backend", "dask", "--scheduler", address)
    printed, told = remote.communicate(timeout=120)
    assert remote.returncode == 0, told
    assert f"2 trials, on the workers of {address}" in told
    found = json.loads(printed)
    assert [row["status"] for row in found["trials"]] == ["finished", "diverged"]
    local = start(*common, "--out", "local")
    printed, told = local.communicate(timeout=120)
    assert local.returncode == 0, told
    losses = [row["validation_nats_per_char"] for row in json.loads(printed)["trials"]]
    assert losses == [row["validation_nats_per_char"] for row in found["trials"]]
    best = Path("trial-001/best.npz")
    assert (SWEEP / best).read_bytes() == (Path("local") / best).read_bytes()


@pytest.mark.slow
def test_a_signal_stops_the_trials_on_the_workers_and_they_go_on_locally(
    address: str, corpus: Path
) -> None:
    words = ("sweep", str(corpus), "--grid", "seed=1,2,3", "--steps", "4000", *SMALL)
    cluster = ("--backend", "dask", "--scheduler", address, "--set", "save-every=20")
    process = start(*words, "--set", "hidden=8", *cluster)
    until = time.monotonic() + 60
    while not all((SWEEP / f"trial-00{number}/last.npz").exists() for number in (1, 2)):
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert told.splitlines()[-1].endswith(f"go on with: charrnn sweep --resume {SWEEP}")
    statuses = [read_outcome(SWEEP / f"trial-00{number}").status for number in (1, 2, 3)]
    assert statuses == ["interrupted", "interrupted", "waiting"]
    assert not (SWEEP / "stop").exists()
    again = start("sweep", "--resume", str(SWEEP), "--json")
    printed, told = again.communicate(timeout=120)
    assert again.returncode == 0, told
    assert {row["status"] for row in json.loads(printed)["trials"]} == {"finished"}
    assert "resuming" in (SWEEP / "trial-001/log.txt").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_folder_that_workers_do_not_see_is_named(address: str, tmp_path: Path) -> None:
    code = (
        "from pathlib import Path\n"
        "from charrnn.cli.trials.cluster import connected\n"
        "from charrnn.errors import UsageError\n"
        "try:\n"
        f"    with connected({address!r}, Path('/nowhere')):\n"
        "        pass\n"
        "except UsageError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert "does not see the folder '/nowhere'; try a cluster where all do" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("wrong", ["tcp://127.0.0.1:9", "nonsense", "tcp://x:y"])
def test_a_scheduler_that_does_not_answer_is_one_line(wrong: str, corpus: Path) -> None:
    pytest.importorskip("distributed")
    words = ("sweep", str(corpus), "--grid", "lr=0.1", "--steps", "8", "--backend", "dask")
    process = start(*words, "--scheduler", wrong)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 5, told
    assert "Traceback" not in told
    errors = [line for line in told.splitlines() if line.startswith("charrnn: error: ")]
    assert errors == [
        f"charrnn: error: no Dask scheduler answers at {wrong!r}; try --scheduler tcp://HOST:PORT"
    ]


def test_without_distributed_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(UsageError, match="pip install distributed"),
        connected("tcp://127.0.0.1:9", tmp_path),
    ):
        pass


def test_a_scheduler_without_workers_and_a_worker_without_charrnn_are_errors() -> None:
    class Client:
        """A client that has no workers, and a worker that finds nothing."""

        def wait_for_workers(self, count: int, timeout: float) -> None:
            """Find none."""
            raise TimeoutError

        def run(self, function: object, argument: str) -> dict[str, None]:
            """Return that the worker lacks it."""
            return {"tcp://one:1": None}

    with pytest.raises(StorageError, match="'tcp://x:1' has no workers"):
        cluster.wait_for_workers(Client(), "tcp://x:1")
    with pytest.raises(UsageError, match="tcp://one:1 has no charrnn installed"):
        cluster.require(Client(), lambda name: None, "charrnn", "has no charrnn installed")


def test_the_stop_file_follows_the_flag_and_is_removed(tmp_path: Path) -> None:
    stopped: list[bool] = []
    (tmp_path / "stop").touch()  # of an earlier sweep that was killed
    with stop_file(tmp_path, lambda: bool(stopped)) as flag:
        assert not flag()
        stopped.append(True)
        until = time.monotonic() + 10
        while not flag():
            assert time.monotonic() < until
            time.sleep(0.01)
    assert not (tmp_path / "stop").exists()
