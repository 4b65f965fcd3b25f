"""The clinic: each patient is sick, each cure is seen, and each suspicion is answered."""

import json
import random
from math import nan
from pathlib import Path

import pytest

from microgpt.errors import InputError
from microgpt.workshop.clinic import visit, ward
from microgpt.workshop.clinic.chart import findings
from microgpt.workshop.clinic.patients import FAULTS, PATIENTS
from microgpt.workshop.clinic.visit import Clinic, Record, is_cured
from microgpt.workshop.clinic.ward import Observation

NAMES = Path(__file__).parents[2] / "data" / "names.txt"
NUMBER = {patient.fault: number for number, patient in enumerate(PATIENTS, 1)}


@pytest.fixture(autouse=True, scope="module")
def runs():
    """Let a program run once for all visits: it does the same each time."""
    seen = {}

    def run(path, text):
        program = path.read_text(encoding="utf-8")
        if program not in seen:
            seen[program] = ward.run(path, text)
        return seen[program]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(visit, "run", run)
        yield


def clinic_that_hears(folder, *answers):
    heard = iter(answers)
    return Clinic(folder, NAMES, read=lambda question: next(heard, ""))


def choice(number, fault):
    return str(PATIENTS[number - 1].suspects.index(fault) + 1)


def test_each_fault_has_its_patient():
    assert sorted(NUMBER) == sorted(FAULTS)
    assert len(PATIENTS) == 15


@pytest.mark.parametrize("patient", PATIENTS, ids=lambda patient: patient.fault)
def test_patient_has_five_suspects_and_a_program(patient):
    assert patient.fault in patient.suspects
    assert len(set(patient.suspects)) == 5
    assert set(patient.suspects) <= set(FAULTS)
    compile(patient.source(), "patient", "exec")
    assert patient.source() != patient.source(sick=False)


@pytest.mark.slow
@pytest.mark.parametrize("number", NUMBER.values(), ids=NUMBER)
def test_patient_is_sick_until_it_is_mended(number, tmp_path, capsys):
    patient = PATIENTS[number - 1]
    clinic = clinic_that_hears(tmp_path, *[choice(number, suspect) for suspect in patient.suspects])
    assert not clinic.visit(number)
    said = capsys.readouterr().out
    assert "Yes." in said
    for guess in patient.suspects[: patient.suspects.index(patient.fault)]:
        assert f"If {FAULTS[guess].name}, " in said.replace("\n", " ")
    assert max(map(len, said.splitlines())) <= 80
    clinic.path(number).write_text(patient.source(sick=False))
    assert clinic.visit(number)
    said = capsys.readouterr().out
    assert "Cured" in said
    assert "nan" not in said
    assert clinic.records[number].attempts == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "old", "new", "name"),
    [
        ("zero", "STEPS, RATE = 80, 1.0", "STEPS, RATE = 80, 0.1", "RATE"),
        ("overflow", "10 * weights(", "weights(", "the norm of h0.qkv.weight"),
        ("residual", "BATCH, RATE = 4,", "BATCH, RATE = 1,", "LAYERS"),
    ],
)
def test_milder_settings_are_no_cure(fault, old, new, name, tmp_path, capsys):
    number = NUMBER[fault]
    clinic = clinic_that_hears(tmp_path)
    clinic.visit(number)
    text = clinic.path(number).read_text()
    assert old in text
    clinic.path(number).write_text(text.replace(old, new))
    assert not clinic.visit(number)
    assert f"Not cured: it trains now, but {name} is" in capsys.readouterr().out.replace("\n", " ")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "old", "new"),
    [
        ("dead", "[Value(-3.0) for", "[Value(rng.gauss(0, 0.1)) for"),
        ("overwritten", "one.grad = derivative", "one.grad = one.grad + derivative"),
        ("zero", "one.data -= RATE * one.grad", "one.data -= RATE * one.grad; one.grad = 0.0"),
        ("future", "range(len(xs))\n            heads", "range(0, 1 + t)\n            heads"),
        ("equal", "np.full(shape, INITIAL_SCALE)", "rng.uniform(-INITIAL_SCALE, INITIAL_SCALE, shape)"),
    ],
)
def test_another_cure_counts_as_well(fault, old, new, tmp_path):
    number = NUMBER[fault]
    clinic = clinic_that_hears(tmp_path)
    clinic.visit(number)
    text = clinic.path(number).read_text()
    assert old in text
    clinic.path(number).write_text(text.replace(old, new))
    assert clinic.visit(number)


@pytest.mark.parametrize(
    ("level", "sick", "cured"),
    [(2.2, 2.8, True), (1.8, 2.8, True), (0.9, 2.8, False), (2.6, 2.8, False), (1.8, 0.2, False), (1.8, nan, True)],
)
def test_better_is_cured_but_not_too_good(level, sick, cured):
    assert is_cured(Observation(losses=[level]), Record(sick=sick, healthy=2.2)) == cured


@pytest.mark.slow
def test_another_sick_program_is_not_cured(tmp_path, capsys):
    number = NUMBER["labels"]
    clinic = clinic_that_hears(tmp_path)
    clinic.visit(number)
    clinic.path(number).write_text(clinic.path(number).read_text() + "\n# seen\n")
    assert not clinic.visit(number)
    assert "Not cured" in capsys.readouterr().out


@pytest.mark.slow
def test_visit_goes_on_where_it_was(tmp_path, capsys):
    number = NUMBER["sign"]
    assert clinic_that_hears(tmp_path).current() == 1
    clinic_that_hears(tmp_path, "7", choice(number, "rate")).visit(number)
    said = capsys.readouterr().out
    assert "'7' is no number from 1 to 5" in said
    assert "Here the loss is -" in said.replace("\n", " ")
    later = clinic_that_hears(tmp_path, choice(number, "sign"))
    assert later.current() == number
    later.visit(number)
    assert later.report() == {f"patient {number}": {"guesses": 2, "known": True, "attempts": 0, "cured": False}}
    assert "cross-entropy is log" in capsys.readouterr().out


@pytest.mark.slow
def test_program_of_the_learner_is_never_overwritten(tmp_path):
    clinic = clinic_that_hears(tmp_path)
    clinic.path(1).parent.mkdir()
    clinic.path(1).write_text("STEPS = 2\n\n\ndef train(watch):\n    watch(1, 5.0, {})\n    return []\n")
    before = clinic.path(1).read_text()
    assert not clinic.visit(1)
    assert clinic.path(1).read_text() == before


def test_any_other_patient_is_a_new_one(tmp_path):
    clinic = clinic_that_hears(tmp_path)
    clinic.records = dict.fromkeys(range(2, 16))
    assert clinic.any_other(random.Random(0)) == 1
    clinic.records[1] = None
    assert clinic.any_other(random.Random(0)) is None


def test_damaged_notes_are_named(tmp_path):
    clinic = clinic_that_hears(tmp_path)
    clinic.folder.mkdir()
    (clinic.folder / "progress.json").write_text("{")
    with pytest.raises(InputError, match=r"progress\.json is damaged"):
        clinic_that_hears(tmp_path)


@pytest.mark.parametrize(
    ("program", "found"),
    [
        ("def train(:", "SyntaxError in line 1"),
        ("STEPS = 4\ndef train(watch):\n    watch(1, 2.0, {})\n    return 1 / 0\n", "ZeroDivisionError in line 4"),
        ("while True:\n    pass\n", "does a loop never end"),
    ],
)
def test_what_stops_a_program_is_named(program, found, tmp_path, monkeypatch):
    if "while" in program:
        monkeypatch.setattr(ward, "SECONDS", 2.0)
    path = tmp_path / "patient.py"
    path.write_text(program)
    observed = ward.run(path, NAMES)
    assert found in observed.error
    assert found in "\n".join(findings(observed))


@pytest.mark.slow
def test_notes_are_plain(tmp_path):
    clinic = clinic_that_hears(tmp_path)
    clinic.visit(NUMBER["overflow"])
    notes = json.loads((clinic.folder / "progress.json").read_text())
    assert list(notes) == [str(NUMBER["overflow"])]
    assert any("NaN" in line for line in clinic.lines())
