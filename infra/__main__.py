"""The Pulumi program: `pulumi up -s <environment>` registers what that environment declares."""

from pathlib import Path

import pulumi

from infra.cloud.manifests import register
from infra.declarations.errors import DeclarationError
from infra.declarations.repository import load
from infra.declarations.tree import read_tree
from infra.manifests.normal import NormalFormError

root = Path(pulumi.get_root_directory())
try:
    register(load(read_tree(root)), pulumi.get_stack(), root)
except (DeclarationError, NormalFormError) as error:
    raise pulumi.RunError(str(error)) from None
