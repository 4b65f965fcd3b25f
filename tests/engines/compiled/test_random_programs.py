"""Random programs compute and do on the compiled engine what they do on the scalar one."""

from importlib.util import find_spec

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_programs import PRELUDE, Writer, difference, module, numbers, outcome, recorded, smallest

from microgpt.engines.compiled import loops

generated = settings(  # each example is a whole program on two engines
    max_examples=settings.default.max_examples * 3 // 5,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
seeds = st.integers(0, 2**32 - 1)


def assert_same(seed, directory, batch=2, run=outcome, engine="compiled", **options):
    """A program does the same on an engine as on the scalar one; if not, the fewest of its statements are shown."""
    arguments = numbers(seed, 2)
    arguments = arguments[0], *[array[:batch] for array in arguments[1:]]

    def differs(statements):
        text = module(statements)
        expected = outcome(text, directory, "scalar", *arguments)
        if run is recorded:
            found = recorded(text, directory, *arguments)
            found.gradients, found.log, found.printed = expected.gradients, expected.log, expected.printed
        else:
            found = outcome(text, directory, engine, *arguments)
        return difference(expected, found)

    statements = Writer(seed, choices=directory is not None, **options).statements()
    if differs(statements):
        fewest = smallest(statements, differs)
        pytest.fail(f"{differs(fewest)}\n{module(fewest)[len(PRELUDE) :]}")


@pytest.fixture(autouse=True)
def short_loops_carry_state(monkeypatch):
    """The lists are short, and loops of few turns are otherwise written out."""
    monkeypatch.setattr(loops, "FEW_TURNS", 2)


@pytest.mark.slow
@generated
@given(seeds)
def test_random_programs_are_recorded(tmp_path, seed):
    assert_same(seed, tmp_path, run=recorded)


@pytest.mark.slow
@generated
@given(seeds, st.booleans(), st.sampled_from(["compiled", "torch"] if find_spec("torch") else ["compiled"]))
def test_random_programs(tmp_path, seed, has_source, engine):
    assert_same(seed, tmp_path if has_source else None, engine=engine)


@pytest.mark.slow
@generated
@given(seeds, st.booleans())
def test_random_programs_with_effects(tmp_path, seed, has_source):
    assert_same(seed, tmp_path if has_source else None, batch=1, effects=True)


@pytest.mark.slow
@generated
@given(seeds, st.booleans())
def test_random_programs_that_may_fail(tmp_path, seed, effects):
    assert_same(seed, tmp_path, batch=1, effects=effects, failing=True)
