"""The process of a contender: it is killed once, and started again."""

import json
import os
import sys
import warnings
from pathlib import Path

from benchmarks.drill.contenders import CONTENDERS
from benchmarks.drill.providers import FOLDER, make_backends
from benchmarks.drill.work import Work


def main(name: str = "", seed: str = "0", count: str = "0") -> None:
    """Do the work, and write the answers down; without a name, only get ready."""
    warnings.simplefilter("ignore")
    folder = Path(os.environ[FOLDER])
    place = folder / "kept"
    place.mkdir(exist_ok=True)
    backends = make_backends()
    if not name:
        return
    work = Work(int(seed), int(count))
    work.load(folder.parent / "circuits.qpy")
    answers = CONTENDERS[name](work, backends, place)
    told = {
        key: {text.replace(" ", ""): n for text, n in one.items()} for key, one in answers.items()
    }
    (folder / "answers.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
