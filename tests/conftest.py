"""What holds for all tests: no example of Hypothesis fails for how long it took, on a machine that has more to do."""

from hypothesis import settings

settings.register_profile("suite", deadline=None)
settings.load_profile("suite")
