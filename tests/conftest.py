"""What holds for every test."""

from hypothesis import settings

# A machine that does something else for a moment is not a defect.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")
