"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

# No test is about time: on a busy machine a single example may take as long as it wants.
settings.register_profile("patient", settings(deadline=None))
settings.load_profile("patient")
