"""States that were never reached, saved one after the other, in this process or in one that is killed meanwhile."""

import os
import random
import signal
import sys
import time
from pathlib import Path

from helpers import assert_same_checkpoint, make_checkpoint

from microgpt.runs.checkpoint import load_checkpoint, save_checkpoint
from microgpt.runs.directory import load_run
from microgpt.runs.hugging_face import restore_model, write_model

STATES = {step: make_checkpoint(seed=step, step=step) for step in range(1, 9)}


def save(directory, step):
    save_checkpoint(directory, STATES[step])
    write_model(directory, STATES[step])


def assert_one_of_the_states(directory, at_least):
    """The directory holds a whole state, not older than one that was saved, and its model files can be made whole."""
    loaded = load_checkpoint(directory)
    assert loaded.step >= at_least
    assert_same_checkpoint(loaded, STATES[loaded.step])
    restore_model(directory, loaded)
    assert restore_model(directory, loaded) == []
    best = loaded.named(loaded.best.parameters)
    for path in (directory, directory / "model.safetensors"):
        parameters = load_run(path).parameters
        assert all(parameters[name].tobytes() == best[name].tobytes() for name in best)
    return loaded.step


def save_on_and_on(directory):
    while True:
        for step in STATES:
            save(directory, step)
        for path in directory.glob("checkpoints/*"):  # begin again from the first state
            path.unlink()
            save(directory, 1)


def kill_at_random_moments(directory, rounds):
    """Let a copy of this process save until it is killed, at least so many times. Return the steps that were found.

    On a busy machine the copy starts late: so it gets a little longer in each round, until four states were found.
    """
    start = time.perf_counter()
    for step in (1, 2):
        save(directory, step)
    once = (time.perf_counter() - start) / 2
    random.seed(0)
    reached = set()
    for done in range(10 * rounds):
        if done >= rounds and len(reached) >= 4:
            break
        child = os.fork()
        if child == 0:
            save_on_and_on(directory)
        time.sleep(random.uniform(0, (8 + done) * once))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        reached.add(assert_one_of_the_states(directory, at_least=1))
    return reached


if __name__ == "__main__":
    print(len(kill_at_random_moments(Path(sys.argv[1]), int(sys.argv[2]))))
