"""Forked children of a test."""

import multiprocessing
import traceback
import warnings

# A child that hangs is told from one that is slow; no wait of a child that is well takes a second.
SECONDS = 60.0


def in_child(function):
    """Call a function in a forked child; return its answer, or raise what it raised."""

    def work(pipe):
        try:
            pipe.send((True, function()))
        except BaseException as error:  # noqa: BLE001  Told to the parent, who raises it.
            pipe.send((False, "".join(traceback.format_exception(error))))

    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs,))
    with warnings.catch_warnings():
        # Later Pythons warn of forks beside threads, which is what is tested.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    try:
        assert ours.poll(SECONDS), "the child has no answer"
        well, answer = ours.recv()
    finally:
        process.kill()
        process.join()
    assert well, answer
    return answer
