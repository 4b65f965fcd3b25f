"""The parts of a batch on several threads, if that is faster.

Whether it is depends on the size of the work and on what else the machine does, so it is measured: now and then each
way is tried, and the faster one is taken. The results are the same bits either way. Threads that wait sleep: a busy
machine is not made busier.
"""

import os
import time
from collections.abc import Callable
from itertools import count
from queue import SimpleQueue
from threading import RLock, Thread
from typing import Any, ClassVar

TINY = 60e-6  # seconds of work that are over before another thread has woken up
ALONE, TOGETHER = 2, 4  # the first calls, in which each way is tried
AGAIN = 64  # calls after which the slower way is tried again


class Worker:
    """A thread that does what it is given, and says when it is done."""

    def __init__(self) -> None:
        self.jobs: SimpleQueue[Any] = SimpleQueue()
        self.done: SimpleQueue[Any] = SimpleQueue()
        Thread(target=self.work, daemon=True, name="microgpt").start()

    def work(self) -> None:
        while True:
            job = self.jobs.get()
            try:
                job()
                self.done.put(None)
            except BaseException as error:
                self.done.put(error)


class Lock:
    """A lock that its thread may take again, and that is open in a process that was forked while it was closed."""

    ALL: ClassVar[list["Lock"]] = []

    def __init__(self) -> None:
        self.lock = RLock()
        Lock.ALL.append(self)

    def __enter__(self) -> None:
        self.lock.acquire()

    def __exit__(self, *_: object) -> None:
        self.lock.release()


WORKERS: list[Worker] = []


def forget_threads() -> None:
    """In a process that was forked: threads do not come along, nor what they held. New ones start when needed."""
    WORKERS.clear()
    for lock in Lock.ALL:
        lock.lock = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget_threads)


class Team:
    """One kind of work, done by one thread or several, whichever was faster lately."""

    def __init__(self) -> None:
        self.seconds: dict[int, float] = {}  # that a call takes lately, by the number of threads
        self.calls = 0

    def run(self, run_part: Callable[[int, int], None], parts: int, threads: int) -> None:
        """run_part(part, slot) for every part, each thread in a slot of its own."""
        threads = self.choose(min(threads, parts))
        start = time.perf_counter()
        if threads == 1:
            for part in range(parts):
                run_part(part, 0)
        else:
            self.together(run_part, parts, threads)
        seconds = time.perf_counter() - start
        before = self.seconds.get(threads)
        self.seconds[threads] = seconds if before is None else min(seconds, before + 0.25 * (seconds - before))

    def choose(self, most: int) -> int:
        """How many threads to take, of 1 or `most`."""
        self.calls += 1
        if most == 1 or self.calls <= ALONE or self.seconds.get(1, 0.0) < TINY:
            return 1
        if self.calls <= ALONE + TOGETHER:
            return most
        faster, slower = (1, most) if self.seconds[1] <= self.seconds.get(most, 0.0) else (most, 1)
        again = self.calls % AGAIN < 2 or self.calls in (16, 17, 32, 33)  # twice: the first finds its memory cold
        return slower if again else faster

    @staticmethod
    def together(run_part: Callable[[int, int], None], parts: int, threads: int) -> None:
        while len(WORKERS) < threads - 1:
            WORKERS.append(Worker())
        following = count()

        def work(slot: int) -> None:
            while (part := next(following)) < parts:
                run_part(part, slot)

        helpers = WORKERS[: threads - 1]
        for slot, worker in enumerate(helpers, 1):
            worker.jobs.put(lambda slot=slot: work(slot))
        error: BaseException | None = None
        try:
            work(0)
        finally:
            for worker in helpers:
                error = worker.done.get() or error
        if error is not None:
            raise error
