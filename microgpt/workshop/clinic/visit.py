"""A visit to a patient: the findings, the question what is suspected, and whether it is cured."""

import json
import random
import textwrap
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from math import isnan
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from microgpt.errors import InputError
from microgpt.runs.files import write_file
from microgpt.workshop.clinic.chart import findings
from microgpt.workshop.clinic.patients import FAULTS, PATIENTS
from microgpt.workshop.clinic.ward import Observation, is_finite, run

NOTES = "progress.json"


@dataclass
class Record:
    """How far a patient is. The levels are those of its sick and its healthy program, on this machine."""

    guesses: int = 0
    known: bool = False  # the right suspicion was said
    attempts: int = 0  # to mend it
    cured: bool = False
    looked_at: str = ""  # the SHA-256 of the program that was looked at last
    sick: float = 0.0
    healthy: float = 0.0
    kept: dict[str, float] = field(default_factory=dict)  # where it begins, if the fault is not there


class Clinic:
    """The patients in a learner's folder: a file for each, and how far each is.

    Args:
        folder: of the learner; the clinic is in `clinic/` there.
        text: the file of names that the programs learn from.
        read: asks for a line, as `input` does.
    """

    def __init__(self, folder: Path, text: Path, read: Callable[[str], str] = input):
        self.folder, self.text, self.read = folder / "clinic", text, read
        self.records: dict[int, Record] = {}
        try:
            notes = json.loads((self.folder / NOTES).read_text(encoding="utf-8"))
            self.records = {int(number): Record(**record) for number, record in notes.items()}
        except FileNotFoundError:
            pass
        except (ValueError, TypeError, AttributeError):
            raise InputError(
                f"{self.folder / NOTES} is damaged: delete it; the programs beside it stay as they are"
            ) from None

    def save(self) -> None:
        """Write the notes, in one go."""
        self.folder.mkdir(parents=True, exist_ok=True)
        notes = {number: asdict(record) for number, record in sorted(self.records.items())}
        write_file(self.folder / NOTES, (json.dumps(notes, indent=1) + "\n").encode())

    def path(self, number: int) -> Path:
        """The file of a patient."""
        return self.folder / f"patient_{number:02}.py"

    def current(self) -> int | None:
        """The patient that is being looked at, else the first that is not cured; None if all are."""
        begun = [number for number, record in self.records.items() if not record.cured]
        rest = [number for number in range(1, len(PATIENTS) + 1) if number not in self.records]
        return next(iter([*sorted(begun), *rest]), None)

    def any_other(self, rng: random.Random) -> int | None:
        """A patient that nobody has looked at; None if there is none."""
        rest = [number for number in range(1, len(PATIENTS) + 1) if number not in self.records]
        return rng.choice(rest) if rest else None

    def visit(self, number: int, silent: bool = False) -> bool:
        """Go on with a patient: show it, ask what is suspected, or see whether it is cured. Return whether it is.

        `silent` leaves out what its owner says.
        """
        patient, path = PATIENTS[number - 1], self.path(number)
        record = self.records.get(number)
        if record is None or not path.exists():
            record = self.admit(number)
        program = sha256(path.read_bytes()).hexdigest()
        changed = program != record.looked_at
        if changed or not record.known:
            complaint = "" if silent else f' Its owner says: "{patient.complaint}"'
            say(f"Patient {number} of {len(PATIENTS)}: {path}.{complaint}")
        if changed:
            return self.look_again(number, program)
        if not record.known:
            found = run(path, self.text)
            say(*findings(found))
            self.ask(number, found)
        if record.known:
            say(patient.where)
            say(f"Mend {path}, and run this again. Cured is what trains.")
        return False

    def admit(self, number: int) -> Record:
        """Write the program of a patient, if it is not there, and note what is sick and what is healthy here."""
        patient, path = PATIENTS[number - 1], self.path(number)
        self.folder.mkdir(parents=True, exist_ok=True)
        sick, healthy = patient.source(), patient.source(sick=False)
        runs = []
        with TemporaryDirectory() as elsewhere:
            for text in (sick, healthy):
                place = Path(elsewhere) / "patient.py"
                place.write_text(text, encoding="utf-8")
                runs.append(run(place, self.text))
        if not path.exists():
            path.write_text(sick, encoding="utf-8", newline="\n")
        record = self.records[number] = Record(
            looked_at=sha256(sick.encode()).hexdigest(),
            sick=runs[0].level,
            healthy=runs[1].level,
            kept={name: x for name, x in runs[0].start.items() if runs[1].start.get(name) == x},
        )
        self.save()
        return record

    def ask(self, number: int, found: Observation) -> None:
        """Ask what is suspected until it is right, or nothing is typed."""
        patient, record = PATIENTS[number - 1], self.records[number]
        print("What do you suspect?", "")
        for i, suspect in enumerate(patient.suspects, 1):
            print(f"  {i}  {FAULTS[suspect].name}")
        print()
        while not record.known:
            try:
                typed = self.read("A number from 1 to 5, or nothing to think about it: ").strip()
            except EOFError:
                typed = ""
            print()
            if not typed:
                say("Take your time. The program is yours to read and to run; ask again when you know.")
                return
            if typed not in ("1", "2", "3", "4", "5"):
                say(f"{typed!r:.20} is no number from 1 to 5.")
                continue
            record.guesses += 1
            guess = patient.suspects[int(typed) - 1]
            record.known = guess == patient.fault
            self.save()
            if record.known:
                say("Yes.")
            else:
                here = patient.here.format(**seen(found, record))
                say(f"If {FAULTS[guess].name}, {FAULTS[guess].seen} Here {here}")

    def look_again(self, number: int, program: str) -> bool:
        """Run a program that was changed, and say whether it is cured. Its SHA-256 is noted."""
        patient, record = PATIENTS[number - 1], self.records[number]
        found = run(self.path(number), self.text)
        record.looked_at, record.attempts = program, record.attempts + 1
        trains, begins = is_cured(found, record), elsewhere(found, record)
        record.cured = trains and not begins
        self.save()
        say(*findings(found))
        if not record.cured:
            say(begins if trains else not_yet(found, record))
            return False
        say(
            f"Cured: the loss of its later half is {found.level:.3f}, that of the healthy program is "
            f"{record.healthy:.3f}, and it was {shown(record.sick)} before."
        )
        say(f"It was: {FAULTS[patient.fault].name}. {patient.lesson}")
        return True

    def report(self) -> dict[str, Any]:
        """What is done, for a teacher: by patient, with guesses and attempts."""
        kept = ("guesses", "known", "attempts", "cured")
        return {
            f"patient {number}": {name: getattr(record, name) for name in kept}
            for number, record in sorted(self.records.items())
        }

    def lines(self) -> list[str]:
        """The patients with what is done, for a list. What is wrong with them is said only of the cured."""
        found = []
        for number, patient in enumerate(PATIENTS, 1):
            record = self.records.get(number)
            mark = "" if record is None else "done" if record.cured else "ill"
            about = FAULTS[patient.fault].name if record and record.cured else f'"{patient.complaint}"'
            found.append(f"   {mark:5} {number:2}  {textwrap.shorten(about, 66, placeholder='...')}")
        return found


def seen(found: Observation, record: Record) -> dict[str, str]:
    """The numbers that a text about a patient may name."""
    last = found.losses[-10:]
    of = {
        "first": found.losses[0] if found.losses else float("nan"),
        "last": sum(last) / len(last) if last else float("nan"),
        "level": found.level,
        "healthy": record.healthy,
    }
    return {name: f"{x:.3f}" for name, x in of.items()}


def is_cured(found: Observation, record: Record) -> bool:
    """Whether a program trains as the healthy one does: nearer to it than half of the way to the sick one.

    It may also be better, where the sick one is worse; but a loss of less than half is too good.
    """
    if not is_finite(found):
        return False
    if not record.sick < record.healthy and record.healthy / 2 < found.level < record.healthy:
        return True
    distance = abs(record.sick - record.healthy)
    room = 0.1 * abs(record.healthy) if isnan(distance) else min(distance / 2, 0.1 * abs(record.healthy))
    return abs(found.level - record.healthy) <= room


def elsewhere(found: Observation, record: Record) -> str:
    """Why it is no cure that a program trains: it begins with other numbers. Empty if it does not."""
    now = found.start
    for name, before in record.kept.items():
        room = 0.4 if name.startswith("the norm") else 0.0  # other random numbers are no other beginning
        if name in now and abs(now[name] - before) > room * abs(before):
            return (
                f"Not cured: it trains now, but {name} is {now[name]:.4g} in place of {before:.4g}. A healthy "
                f"program trains with {before:.4g}, too: put it back, and look for what does not bear it."
            )
    return ""


def not_yet(found: Observation, record: Record) -> str:
    """Why a program is not cured."""
    if found.error:
        return "Not cured: it stopped before its end."
    better = isnan(record.sick) or abs(found.level - record.healthy) < 0.9 * abs(record.sick - record.healthy)
    trend = "That is nearer, but not there." if better and not isnan(found.level) else "That is not nearer."
    return (
        f"Not cured: the loss of its later half is {found.level:.3f}. A healthy program has {record.healthy:.3f} "
        f"there, this one had {shown(record.sick)}. {trend}"
    )


def shown(level: float) -> str:
    """A mean loss; that of a run that stopped, or whose losses are NaN, is no number."""
    return "no number" if isnan(level) else f"{level:.3f}"


def say(*paragraphs: str) -> None:
    """Print paragraphs, 80 columns wide. What is indented or a picture keeps its lines."""
    for paragraph in paragraphs:
        as_it_is = paragraph.startswith(" ") or not paragraph or len(paragraph) <= 80
        print(paragraph if as_it_is else textwrap.fill(paragraph, 80, break_on_hyphens=False))
    print()
