"""A run while it trains: validation, files, messages, and a good end in every case.

    with Session(start, loss) as session:
        for update in train(...):
            session.record(update)
            if session.stopping:
                break
    return session.end()

If several processes train together, only the main one writes and prints.
"""

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial, wraps
from math import log
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from microgpt.commands import messages
from microgpt.commands.answers import answer
from microgpt.commands.memory_check import memory_needed
from microgpt.commands.messages import print_lines
from microgpt.commands.script import INTERRUPTED, Interruption, interruption, is_terminal
from microgpt.commands.start import MAY_CHANGE, Start, wanted_directory
from microgpt.engines.engine import evaluate
from microgpt.errors import DivergenceError, InputError
from microgpt.explain.any_program import MOST_OPERATIONS
from microgpt.explain.explanation import can_explain
from microgpt.learning.architecture import GPT
from microgpt.learning.batches import predictions
from microgpt.learning.bigram import bigram_loss, bigram_probabilities, sparse_bigram_loss
from microgpt.learning.model_check import check_model
from microgpt.learning.model_file import ModelFile
from microgpt.learning.parameters import count_of, flatten, shapes_of, views
from microgpt.learning.rules import ADAM
from microgpt.learning.sampling import sample, sample_many, worth_compiling
from microgpt.learning.training import Update, mean_loss
from microgpt.runs.checkpoint import Checkpoint, Evaluation, checkpoints, load_checkpoint
from microgpt.runs.directory import INTEGERS, Run, changed_code, create_run_directory, keep_text
from microgpt.runs.facts import facts_of
from microgpt.runs.files import quoted
from microgpt.runs.kept_code import FOLDER, keep_book, keep_model, keep_rule
from microgpt.runs.loss_plot import draw_losses, draw_tensors
from microgpt.runs.metrics import METRICS, lacks_validation, read_metrics, read_tensors
from microgpt.runs.recorder import Recorder

SAVE_EVERY = 60.0  # seconds from checkpoint to checkpoint, at most
CHECKED = 20_000_000  # parameters of a model, at most, whose gradient is checked
SAMPLES, LENGTH = 5, 60  # texts that the model writes at each validation, and their longest length


class StoppedError(Exception):
    """Ctrl-C stopped a validation."""


class Session:
    """Opens a run directory, records every step of training, validates now and then, and ends well.

    Args:
        start: where training begins, with the settings.
        step: the function that `value_and_grad` made of the loss of one sequence, of (params, tokens, weights).
    """

    def __init__(self, start: Start, step: Any):
        self.start, self.loss = start, step.of_one
        self.settings, self.corpus, self.state = start.settings, start.corpus, start.state
        self.processes = start.processes
        self.begun = self.state.step
        steps = self.settings.steps
        self.interval = self.settings.eval_interval or max(1, steps // 5)
        # With little text the best model comes early, so there are early validations.
        little_text = messages.is_little(count_of(start.parameters), start.corpus)
        little_text = little_text and self.settings.eval_interval is None
        self.early = {max(1, steps // part) for part in (200, 100, 50, 20, 10)} if little_text else set()
        self.ctrl_c = Interruption()
        surprise = start.architecture.surprise
        validated: Any = step if surprise is None else partial(surprise, config=start.config)
        self.evaluated_loss = self.unless_stopped(
            evaluate(validated, self.settings.engine, self.settings.threads, self.processes.device)
        )
        self.directory: Path | None = None
        self.closing = ExitStack()  # closes the files, the bar and the lock
        self.stopping = self.interrupted = self.unvalidated = False
        self.given_up = False  # because it overfits and is worse than guessing
        rows = [row[METRICS.index("validation_loss")] for row in start.rows]
        before = [float(loss) for loss in rows if loss]
        self.blind = log(start.config.vocab_size)  # the loss of blind guessing
        self.resumed_anyway = len(before) > 1 and before[-1] > self.blind  # the user resumed a run that was given up
        self.losses: list[float] = []  # of the steps since the last validation
        self.means: list[float] = []  # of the training losses between validations
        self.warned = False  # of overfitting
        losses = METRICS.index("training_loss")
        self.all_losses = [float(row[losses]) for row in start.rows if row[losses]]
        self.without_gradient: list[str] = []  # the tensors whose gradient was 0 at the last observed step
        self.warned_of: set[str] = set()  # the kinds of warnings

    def __enter__(self) -> "Session":
        try:
            self.closing.callback(self.release)
            self.ctrl_c = self.closing.enter_context(interruption())
            if self.processes.is_main:
                self.begin()
        except BaseException as error:
            self.closing.close()
            self.explain(error)
            raise
        return self

    def begin(self) -> None:
        """Print the first messages, check the gradient, open the directory, and validate before the first step."""
        start, corpus, settings = self.start, self.corpus, self.settings
        print_lines(messages.of_text(corpus, start.data), messages.indented(start.why))
        count = count_of(start.parameters)
        print_lines(start.architecture.described(start.config, count), messages.of_little_text(count, corpus))
        print_lines(messages.of_memory(memory_needed(start)))
        some = corpus.training[0][: settings.block_size + 1]
        if start.own is not None:
            print_lines(*start.own.introduction(start.config, start.parameters, some))
        print_lines(self.processes.description(), messages.of_rule(start.rule.name, start.update))
        if count > CHECKED:
            print_lines("the gradient is not checked: a position of this model takes minutes on single numbers")
        elif not settings.skip_check:
            print_lines(check_model(self.loss, start.parameters, some, settings.engine, self.processes.exact))
            if start.own is not None:
                print_lines(*start.own.compared(start.config, start.parameters, some))
        if self.ctrl_c.requested:
            raise KeyboardInterrupt
        self.directory = self.directory_of_run()
        if corpus.unit == "token":
            self.baseline = sparse_bigram_loss(corpus.training, corpus.part, len(corpus.vocabulary))
        else:
            pairs = bigram_probabilities(corpus.training, len(corpus.characters))
            self.baseline = bigram_loss(pairs, corpus.part)
        print_lines(messages.of_losses(start.config, self.baseline, corpus.unit), messages.of_looks(corpus))
        self.run = Run(
            start.config, corpus.vocabulary, corpus.documents, start.parameters, self.directory,
            checkpoint=start.checkpoint,
            architecture=GPT if start.own is not None and start.own.is_gpt_2 else start.architecture,
        )  # fmt: skip
        print_lines(*(f"note: {line}" for line in changed_code(self.run)))
        hidden = not is_terminal(sys.stderr)
        self.bar = self.closing.enter_context(
            tqdm(total=settings.steps, initial=self.state.step, unit="step", dynamic_ncols=True, disable=hidden)
        )
        self.recorder = self.closing.enter_context(Recorder(self.run, start.origin, self.state, start.rows))
        try:
            if self.recorder.best is None:
                self.recorder.record(None, self.validate())
                self.recorder.save()
            elif lacks_validation(start.rows) and self.planned(self.state.step):
                self.recorder.complete(start.rows, self.validate())
                self.recorder.save()
        except StoppedError:  # before the first step there is nothing to save, later it is saved
            raise KeyboardInterrupt from None

    def directory_of_run(self) -> Path:
        """Return the directory of the run: the resumed one, or a new one."""
        start, settings = self.start, self.settings
        if start.checkpoint is not None and start.directory is not None:
            print_lines(*messages.of_resumption(start.checkpoint, start.directory, settings, MAY_CHANGE, self.interval))
            if isinstance(start.architecture, ModelFile):  # it may be another text, which the user trusts
                keep_model(start.directory, start.architecture)
            keep_rule(start.directory, start.rule)
            return start.directory
        wanted = wanted_directory(settings.out, settings.data)
        if start.directory is None:
            start.directory, start.lock = create_run_directory(wanted)
            keep_text(start.directory, str(start.text))
        directory = start.directory
        if isinstance(start.architecture, ModelFile):
            keep_model(directory, start.architecture)
        keep_rule(directory, start.rule)
        if start.own is not None:
            keep_book(directory, start.own.recordable, start.own.is_gpt_2)
        if settings.init_from:
            print_lines(f"starting from the weights in {settings.init_from}, with a new optimizer state")
        if directory != wanted:
            print_lines(f"writing to {directory}, because {wanted} exists")
        return directory

    def unless_stopped(self, evaluated: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
        """Return the function with a test for Ctrl-C between rows or batches, which raises StoppedError."""

        @wraps(evaluated)
        def part_by_part(parameters: Any, *batch: np.ndarray) -> np.ndarray:
            size = 1 if self.settings.engine == "scalar" else len(batch[0])
            found = []
            for i in range(0, len(batch[0]), size):
                self.go_on()
                found.append(evaluated(parameters, *(array[i : i + size] for array in batch)))
            return np.concatenate(found)

        return part_by_part

    def go_on(self) -> None:
        """Raise StoppedError if Ctrl-C was pressed a while ago."""
        if self.ctrl_c.overdue:
            raise StoppedError

    def validate_unless_stopped(self) -> Evaluation | None:
        """Validate, or return None after Ctrl-C. The resumed run then does a planned validation."""
        try:
            return self.validate()
        except StoppedError:
            return None

    def validate(self) -> Evaluation:
        """Measure and print the validation loss and some samples; return both."""
        self.processes.fetch()
        parameters, step = self.start.parameters, self.state.step
        loss = mean_loss(self.evaluated_loss, parameters, self.corpus.part, step)
        found = Evaluation(step, loss, flatten(parameters), self.samples())
        print_lines(messages.of_validation(found))
        if self.losses:
            self.means.append(float(np.mean(self.losses)))
            self.losses = []
        if self.recorder.best is not None and not self.warned:
            note = messages.of_overfitting(self.recorder.best, found, self.means)
            self.warned = bool(note)
            print_lines(note)
        return found

    def samples(self) -> list[str]:
        """Return some samples, or one where a model is as large as those of tokens are."""
        seed, count = self.settings.seed, 1 if self.corpus.unit == "token" else SAMPLES
        if self.settings.engine == "compiled" and worth_compiling(self.run.parameters, SAMPLES * LENGTH):
            return [text for text, _ in sample_many(self.run, count, seed=seed, max_new_tokens=LENGTH)]
        found = []
        for i in range(count):
            self.go_on()
            found.append(sample(self.run, seed=seed, index=i, max_new_tokens=LENGTH))
        return found

    def planned(self, step: int) -> bool:
        """Return whether a validation follows this step."""
        return step == self.settings.steps or step % self.interval == 0 or step in self.early

    def observed(self, step: int) -> bool:
        """Return whether this step measures its effect on each tensor: at validations, and at the beginning."""
        return step <= 2 or self.planned(step)

    def looks(self, step: int) -> bool:
        """Return whether the parameters are needed after this step, for a validation or a snapshot."""
        return self.planned(step) or self.recorder.wants_parameters(step)

    def warn(self, update: Update) -> None:
        """Print each warning once, after an observed step."""
        found = {"step": "", "gradient": "", "jump": ""}
        if update.step == 1 and self.start.rule is ADAM and not self.settings.init_from:
            matrices = [t for name, t in update.tensors.items() if self.start.parameters[name].ndim > 1]
            found["step"] = messages.of_step_size(update, matrices, self.settings)
        zero = [name for name, tensor in update.tensors.items() if tensor.gradient_norm == 0]
        again = [name for name in zero if name in self.without_gradient]
        found["gradient"] = messages.of_no_gradient(again, update.step)
        self.without_gradient = zero
        if self.planned(update.step):
            found["jump"] = messages.of_jump(self.all_losses, self.settings)
        print_lines(*(line for kind, line in found.items() if kind not in self.warned_of))
        self.warned_of |= {kind for kind, line in found.items() if line}

    def record(self, update: Update) -> None:
        """Record a step; if it is due, validate and save a checkpoint.

        Where steps are taken together, the parameters are those after the last of them. Only then is anything saved.
        """
        ends = update.step == self.state.step  # the last of the steps that were taken together
        if self.processes.is_main:
            step = update.step
            planned = self.planned(step)
            self.losses.append(update.loss)
            self.all_losses.append(update.loss)
            if ends and self.recorder.wants_parameters(step):
                self.processes.fetch()
            before, found = self.recorder.best, self.validate_unless_stopped() if planned else None
            self.unvalidated = planned and found is None
            self.recorder.record(update, found)
            if update.tensors:
                self.warn(update)
            if ends:
                best = self.recorder.best.loss if self.recorder.best else float("nan")
                self.bar.set_postfix_str(f"loss={update.loss:.3f}, validation={best:.3f}", refresh=False)
                self.bar.update(step - self.bar.n)
            if before and found and step < self.settings.steps and not self.resumed_anyway:
                directory, code = self.run.directory, self.code_options[0]
                why = messages.of_early_stop(before, found, self.means, self.blind, directory, code)
                self.given_up = bool(why)
                print_lines(why)
        self.stopping = ends and self.processes.agreed_to_stop(self.ctrl_c.requested or self.given_up)
        if self.processes.is_main and ends:
            if self.stopping:
                self.recorder.save(unplanned=None if planned else self.validate_unless_stopped())
            elif planned or time.monotonic() - self.recorder.saved > SAVE_EVERY:
                self.processes.fetch()
                self.recorder.save()

    def finish(self) -> None:
        """If validations used a part of the held-out text, validate the best model on all of it."""
        if self.processes.is_main:
            best, complete = self.recorder.best, self.state.step == self.settings.steps and not self.unvalidated
            done = complete or self.given_up
            if done and best is not None and len(self.corpus.part) < len(self.corpus.validation):
                self.validate_on_all(best)
            self.seconds = self.recorder.seconds
        wanted = not self.given_up if self.processes.is_main else self.ctrl_c.requested
        self.interrupted = self.unvalidated or (wanted and self.state.step < self.settings.steps)

    def validate_on_all(self, best: Evaluation) -> None:
        """Validate the best model on all held-out text, unless Ctrl-C is pressed."""
        print_lines(messages.of_last_validation(self.corpus))
        parameters, sequences = views(best.parameters, shapes_of(self.start.parameters)), self.corpus.validation
        self.bar.close()
        bar = self.closing.enter_context(
            tqdm(total=len(sequences), unit="sequence", dynamic_ncols=True, leave=False, disable=self.bar.disable)
        )

        @wraps(self.evaluated_loss)
        def evaluated(parameters: Any, *batch: np.ndarray) -> np.ndarray:
            bar.update(len(batch[0]))
            return self.evaluated_loss(parameters, *batch)

        try:
            on_all = mean_loss(evaluated, parameters, sequences, best.step)
        except StoppedError:
            print_lines("skipped; all else is saved")
            return
        self.recorder.best = replace(best, loss_on_all=on_all)
        self.recorder.save()

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            with self.closing:
                if error is None:
                    self.finish()
        except Exception as ours:
            self.explain(ours)
            raise
        self.explain(error)

    def release(self) -> None:
        """Release the lock of the directory. In a notebook this process goes on.

        Without a checkpoint nobody needs a large text.
        """
        if self.directory is not None and not checkpoints(self.directory):
            with suppress(OSError):  # on Windows while it is mapped
                (self.directory / INTEGERS).unlink(missing_ok=True)
        if self.start.lock is not None:
            self.start.lock.release()

    def explain(self, error: BaseException | None) -> None:
        """Raise an error that ended training again, with the saved files and the remedy."""
        if not self.processes.is_main:
            return
        saved = self.directory is not None and bool(checkpoints(self.directory))
        if isinstance(error, DivergenceError):
            remedy = messages.remedy_of(self.settings, self.state.step - self.begun)
            kept = f"{self.directory} has the last checkpoint; " if saved else ""
            raise DivergenceError(f"{error}; {kept}{remedy}") from error
        if isinstance(error, OSError) and self.directory is not None:
            further = messages.of_going_on(self.directory, self.code_options[0])
            kept = f"only the steps since the last checkpoint are lost; {further}"
            raise OSError(f"{error}; {kept if saved else f'{self.directory} has no checkpoint yet'}") from error

    @property
    def code_options(self) -> tuple[str, str]:
        """The option that the next command needs to run the user's own code: to go on, and to write."""
        if isinstance(self.start.architecture, ModelFile):
            return " --trust", " --trust"
        if self.start.rule.sha256 is not None:
            return " --trust", ""
        if self.start.own is None or self.directory is None:
            return "", ""
        option = f" --book {quoted(self.directory / FOLDER)}"
        return option, "" if self.start.own.is_gpt_2 else option

    @property
    def predictions(self) -> float:
        """About how many characters were predicted in training."""
        corpus = self.corpus
        in_a_sequence = (
            predictions(corpus.training) / len(corpus.training)
            if corpus.documents == "lines"
            else self.start.config.n_positions
        )
        return self.state.step * self.settings.batch_size * in_a_sequence

    def end(self) -> int:
        """Draw the losses, print the result, and return the exit code."""
        if self.processes.is_main and self.directory is not None:
            self.draw(self.directory)
            kept = load_checkpoint(self.directory)
            print_lines(*messages.of_end(kept, self.seconds, self.interrupted, self.directory, self.code_options))
            if not self.interrupted and self.can_explain(kept):
                print_lines(messages.of_explaining(self.directory, self.code_options[1]))
            print_lines(messages.of_blind_guessing(kept, self.settings))
            if self.start.own is not None:
                print_lines(self.start.own.faster(self.predictions, self.seconds))
            if self.settings.json:
                answer(facts_of(self.directory))
        self.processes.close()
        return INTERRUPTED if self.interrupted or self.ctrl_c.requested else 0

    def can_explain(self, kept: Checkpoint) -> bool:
        """Whether there is a page: one that can hold the shortest text, or that of the stages, for tokens."""
        if self.corpus.unit == "token":
            return True
        if isinstance(self.start.architecture, ModelFile):
            return 4 * kept.origin.parameters < MOST_OPERATIONS  # two predictions, a product and a sum for each
        return self.run.architecture.is_the_book and can_explain(kept.origin.config, kept.origin.documents)

    def draw(self, directory: Path) -> None:
        """Write loss.svg and tensors.svg."""
        try:
            draw_losses(directory, read_metrics(directory, self.state.step), self.baseline)
            draw_tensors(directory, read_tensors(directory, self.state.step))
        except (OSError, InputError) as error:
            print_lines(f"no picture of the losses: {error}")
