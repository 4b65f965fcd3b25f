"""The text that the page explains if the user gives none."""

from microgpt.explain.explanation import positions_that_fit, room, shortest
from microgpt.learning.batches import make_corpus
from microgpt.learning.sampling import sample
from microgpt.learning.text import characters_of, decode
from microgpt.runs.directory import Run

SHORT = 8  # characters of it


def some_text(run: Run) -> tuple[str, str]:
    """Return a held-out name of a usual length, or the beginning of a text and, in brackets, its origin."""
    checkpoint, lines = run.checkpoint, run.documents == "lines"
    most = min(SHORT, room(run, positions_that_fit(run)))
    if checkpoint is None or run.text is None:
        text, what = sample(run, max_new_tokens=SHORT).strip("\n"), "written by the model"
        if len(text) < shortest(run):
            text, what = 2 * characters_of(run.vocabulary, run.documents)[-1], "the model wrote nothing"
    else:
        seed = checkpoint.origin.settings.get("seed", 0)
        corpus = make_corpus(run.text, run.config.n_positions, seed, run.documents, run.vocabulary)
        texts = [decode(sequence, run.vocabulary) for sequence in corpus.validation]
        what = "from the held-out text"
        if lines:
            names = [text.strip("\n") for text in texts]
            text = next((name for name in names if min(4, most) <= len(name) <= most), min(names, key=len))
        else:
            held_out = texts[0] + "".join(text[1:] for text in texts[1:9])
            text = held_out.partition("\n")[2].lstrip("\n") or held_out
    fits = text[:most]
    if lines and fits == text:
        return fits, ""
    cut = ", cut to what a page can hold" if fits != text and most < SHORT else ""
    return fits, f" ({what}{cut})"
