"""The parts of a batch on several threads, where that is faster.

Whether it is depends on the size of the work and on what else the machine does. So a tuner measures: now and then it
tries one thread and several, and takes the faster. The results are the same bits either way. Waiting threads sleep, so
that they take no time from others.
"""

import os
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from queue import SimpleQueue
from threading import RLock, Thread
from typing import TypeVar

T = TypeVar("T")

TINY = 60e-6  # seconds of work that are over before another thread has woken up
ALONE, TOGETHER = 2, 4  # the first calls: so many on one thread, then so many on several
OFTEN, RARELY = 16, 64  # after so many calls the slower way is tried again: first often, later rarely


def after_fork(forget: Callable[[], None]) -> None:
    """Call `forget` in each forked process: threads do not come along, nor does anyone release what they held."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=forget)


class Lock:
    """A lock that its thread may take again, and that is open in a forked process."""

    def __init__(self) -> None:
        self.open()
        after_fork(self.open)

    def open(self) -> None:
        self.lock = RLock()

    def __enter__(self) -> None:
        self.lock.acquire()

    def __exit__(self, *_: object) -> None:
        self.lock.release()


class Worker:
    """A thread that runs the jobs it is given, one after the other."""

    def __init__(self) -> None:
        self.jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        Thread(target=self.work, daemon=True, name="microgpt").start()

    def work(self) -> None:
        while True:
            self.jobs.get()()


class ThreadPool:
    """Threads beside the calling one, started when first needed."""

    def __init__(self) -> None:
        self.workers: list[Worker] = []
        after_fork(self.workers.clear)

    def run(
        self, run_part: Callable[[int, int], None], parts: int, threads: int, stop: Callable[[], None] = lambda: None
    ) -> None:
        """run_part(part, slot) for every part. Each thread takes the next part that is left, in a slot of its own.

        `stop` tells parts that wait for each other that one has failed.
        Ctrl-C is raised when all threads have ended what they have begun: they write to the caller's memory.
        """
        while len(self.workers) < threads - 1:
            self.workers.append(Worker())
        following, ended, bell = count(), list[BaseException | None](), SimpleQueue[None]()

        def work(slot: int) -> None:
            error: BaseException | None = None
            try:
                while (part := next(following)) < parts:
                    run_part(part, slot)
            except BaseException as raised:
                error = raised
                stop()
            ended.append(error)
            bell.put(None)

        helpers = self.workers[: max(threads - 1, 0)]
        for slot, worker in enumerate(helpers, 1):
            worker.jobs.put(partial(work, slot))
        work(0)
        error: BaseException | None = None
        while len(ended) <= len(helpers):
            try:
                bell.get()
            except KeyboardInterrupt as raised:
                error = raised
        for one in (error, *ended):
            if one is not None:
                raise one


# One of each for the process, because all programs share its cores, its memory and what LLVM has compiled.
LOCK = Lock()  # held while a program is recorded or run, or a kernel is compiled
POOL = ThreadPool()


class Tuner:
    """Runs one kind of work on one thread or on several, whichever was faster lately."""

    def __init__(self) -> None:
        self.seconds: dict[int, float] = {}  # that a call takes lately, by the number of threads
        self.calls = 0

    def run(self, run_part: Callable[[int, int], None], parts: int, threads: int) -> None:
        """run_part(part, slot) for every part."""
        self.measured(lambda chosen: POOL.run(run_part, parts, chosen), min(threads, parts))

    def either(self, alone: Callable[[], T], together: Callable[[], T], threads: int) -> T:
        """What one of two functions returns: the first takes one thread, the second several."""
        return self.measured(lambda chosen: alone() if chosen == 1 else together(), threads)

    def measured(self, run: Callable[[int], T], most: int) -> T:
        """What a function of the number of threads returns, 1 or `most`."""
        threads = self.choose(most)
        start = time.perf_counter()
        found = run(threads)
        seconds = time.perf_counter() - start
        before = self.seconds.get(threads, seconds)
        self.seconds[threads] = min(seconds, before + 0.25 * (seconds - before))
        return found

    def choose(self, most: int) -> int:
        """How many threads to take: 1 or `most`."""
        self.calls += 1
        if most == 1 or self.calls <= ALONE or self.seconds.get(1, 0.0) < TINY:
            return 1
        if self.calls <= ALONE + TOGETHER:
            return most
        faster, slower = (1, most) if self.seconds[1] <= self.seconds.get(most, 0.0) else (most, 1)
        again = self.calls % (OFTEN if self.calls < RARELY else RARELY) < 2  # twice: the first finds a cold cache
        return slower if again else faster
