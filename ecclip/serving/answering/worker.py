"""A process that answers with the code of a bundle, whichever version of it started the process.

``python -m ecclip.serving.answering.worker BUNDLE THREADS`` with the bundle's code on PYTHONPATH: batches of questions
come in through stdin and answers go out through stdout, pickled; it ends with its input.
"""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path

from ecclip.serving.answering.answerer import Answerer


def main(bundle: str, threads: str) -> None:
    """Answer until there are no more questions; the first thing sent is None: ready."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the answers
    answerer = Answerer(Path(bundle), int(threads))
    answer: object = None
    while True:
        pickle.dump(answer, answers)
        answers.flush()
        try:
            questions = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        answer = answerer.answer(questions)


if __name__ == "__main__":
    main(*sys.argv[1:])
