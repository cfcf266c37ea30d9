"""The one error of the build."""


class BuildError(Exception):
    """Something a build needs is missing or wrong; the text says what, why and what to do next."""
