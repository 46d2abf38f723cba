"""``python -m bench.floors.raw_http``: finished requests on kept connections, each a single write."""

from typing import Final

from bench.floors.raw import one_by_one, write_all
from bench.floors.task import Done, Task, main
from bench.traffic import finished_hooks

_END_OF_HEAD: Final = b"\r\n\r\n"


async def run(task: Task) -> Done:
    """Post finished webhooks."""
    requests: list[bytes] = []
    for hook in finished_hooks(task.messages, task.port):
        fields = {"host": f"127.0.0.1:{task.port}", "content-length": str(len(hook.body)), **hook.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        requests.append(f"POST /in HTTP/1.1\r\n{head}\r\n".encode() + hook.body)
    waiting = iter(requests)
    return await write_all(task.port, [one_by_one(waiting) for _ in range(task.connections)], _END_OF_HEAD)


if __name__ == "__main__":
    main(run, Task)
