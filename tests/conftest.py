"""Settings of the tests; being here, it also lets them import from helpers.py."""

from hypothesis import settings

settings.register_profile("suite", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("suite")
