"""A refusal: the one way in which a verb says no."""


class Refusal(Exception):
    """One clear line that names the field or object, its value and the fix; the command line ends with exit code 1."""
