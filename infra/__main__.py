"""The Pulumi program: `pulumi up -s <environment>` registers what that environment declares."""

import gc
from pathlib import Path

import pulumi

from infra.cloud.environment import create
from infra.cloud.manifests import register
from infra.declarations.errors import DeclarationError
from infra.declarations.repository import load
from infra.declarations.tree import read_tree
from infra.manifests.normal import NormalFormError
from infra.render import applications

gc.disable()  # a program that only adds: looking for garbage takes two thirds of the time of a thousand identities
root = Path(pulumi.get_root_directory())
try:
    repository, env = load(read_tree(root)), pulumi.get_stack()
    applications(repository, env)  # refused, if at all, before anything is made
    create(repository, env)
    register(repository, env, root)
except (DeclarationError, NormalFormError) as error:
    raise pulumi.RunError(str(error)) from None
