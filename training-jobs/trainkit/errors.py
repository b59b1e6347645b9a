"""The one error that a person is meant to read."""


class TrainError(Exception):
    """One clear line: what was found where, and the fix."""
