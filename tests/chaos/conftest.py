"""Which seeds there are."""

# Two runs that did not end, one that moved work for ever, one that paid twice, and one that gave up
# what a member could still do, when the allowances of the others were used up. One that believed a
# memory of zeros, and one that booked a short job of an earlier process in full.
# Two that asked for ever for what was there but for rounding: a job in a minute, and free units. A
# forked child that waited for ever for a member which a run of its parent had found full.
ONCE_FAILED = (3464, 3541, 5566, 7139, 2478, 9370, 3644, 50571, 52666, 70248)


def pytest_generate_tests(metafunc):
    if "chaos_seed" in metafunc.fixturenames:
        config = metafunc.config
        one = config.getoption("chaos_seed")
        first, _, last = config.getoption("chaos_seeds").rpartition(":")
        seeds = [one] if one is not None else list(range(int(first or 0), int(last)))
        if one is None and not first:
            seeds += [seed for seed in ONCE_FAILED if seed >= int(last)]
        metafunc.parametrize("chaos_seed", seeds)
