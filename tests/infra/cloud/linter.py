"""parliament's findings. It imports pkg_resources, which setuptools no longer has, for one function of it."""

import sys
import warnings
from importlib.resources import files
from types import ModuleType


def _stand_in() -> ModuleType:
    module = ModuleType("pkg_resources")
    module.__dict__["resource_filename"] = lambda package, name: str(files(package) / name)
    return module


def findings(policy: str) -> list[str]:
    """What is wrong with an identity's policy; its database of actions is of parliament's own date."""
    sys.modules.setdefault("pkg_resources", _stand_in())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves a file open
        import parliament

    found = parliament.analyze_policy_string(policy, ignore_private_auditors=True).findings
    return sorted(f"{finding.issue}: {finding.detail}" for finding in found)
