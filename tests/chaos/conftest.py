"""Which seeds there are."""


def pytest_generate_tests(metafunc):
    if "chaos_seed" in metafunc.fixturenames:
        config = metafunc.config
        one = config.getoption("chaos_seed")
        first, _, last = config.getoption("chaos_seeds").rpartition(":")
        seeds = [one] if one is not None else range(int(first or 0), int(last))
        metafunc.parametrize("chaos_seed", seeds)
