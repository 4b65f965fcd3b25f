"""A text to explain, where nobody has chosen one."""

from microgpt.explain.page import beginning_that_fits, shortest
from microgpt.runs.directory import Run
from microgpt.sampling import sample
from microgpt.text import characters_of, decode, make_corpus

SHORT = 8  # characters of it


def some_text(run: Run) -> tuple[str, str]:
    """A held-out name of a usual length, or as much of some prose as a page can hold and, in brackets, what it is."""
    checkpoint, lines = run.checkpoint, run.documents == "lines"
    if checkpoint is None or run.text is None:
        room = min(SHORT, run.config.n_positions - lines)
        text, what = sample(run, max_new_tokens=SHORT).strip("\n")[:room], "it wrote that"
        if len(text) < shortest(run):
            text, what = 2 * characters_of(run.vocabulary, run.documents)[-1], "it wrote nothing"
    else:
        seed = checkpoint.origin.settings.get("seed", 0)
        corpus = make_corpus(run.text, run.config.n_positions, seed, run.documents, run.vocabulary)
        texts = [decode(sequence, run.vocabulary) for sequence in corpus.validation]
        if lines:
            names = [text.strip("\n") for text in texts]
            return next((name for name in names if 4 <= len(name) <= SHORT), names[0]), ""
        held_out = texts[0] + "".join(text[1:] for text in texts[1:9])
        line = held_out.partition("\n")[2].lstrip("\n") or held_out
        room = min(SHORT, run.config.n_positions + 1)
        text, what = line[:room], "from the text that was held out"
    if lines:
        return text[:room], ""
    fitting = beginning_that_fits(run, text)
    return fitting, f" ({what}{', as much as a page of this model can hold' if fitting != text else ''})"
