"""Every lane's wake-ups go by a queue that some process serves."""

import itertools
from collections.abc import Sequence

from channels.settings import ChannelSettings
from models.settings import StorageSettings
from models.vocabulary import Channel, Lane
from tests.support import procfile
from wireroom.up import API, KEEPER, worker_service
from worker import actors, queues
from worker.broker import make_broker
from worker.process import WorkerProcess
from worker.settings import WorkerSettings
from worker.wakeups import SUSPECTS


def used() -> set[str]:
    """The queues that wake-ups go by."""
    lanes = (*(lane.value for lane in Lane), SUSPECTS, queues.STATUS_EVENTS)
    of_channels = {queues.of(channel.value.lower(), lane) for channel, lane in itertools.product(Channel, lanes)}
    return of_channels | {queues.of(queues.TRACKER, queues.EVENTS)}


def served(command: Sequence[str]) -> set[str]:
    return set(command[command.index("--queues") + 1 :])


def test_a_worker_that_is_told_nothing_serves_every_queue() -> None:
    broker = make_broker("redis://127.0.0.1:1")
    process = WorkerProcess(StorageSettings.read({}), ChannelSettings.read({}), WorkerSettings.read({}))
    actors.declare(broker, process)
    assert broker.get_declared_queues() == used()


def test_people_and_bulk_share_no_queue_and_have_all() -> None:
    assert not set(queues.PEOPLE) & set(queues.BULK)
    assert set(queues.PEOPLE) | set(queues.BULK) == used()
    assert served(worker_service(1, queues.BULK, name="bulk").command) == set(queues.BULK)


def test_procfile_starts_what_up_starts() -> None:
    processes = procfile.processes()
    assert served(processes["worker"]) == set(queues.PEOPLE)
    assert served(processes["bulk"]) == set(queues.BULK)
    ours = {
        "api": API,
        "keeper": KEEPER,
        "worker": worker_service(1, queues.PEOPLE),
        "bulk": worker_service(1, queues.BULK),
    }
    for name, service in ours.items():
        # Each looks for our packages where they are installed, and not in the folder that it runs in first.
        there = [word for word in processes[name][1:] if word != "-P"]
        assert there == [word for word in service.command[1:] if word != "--path"], name
