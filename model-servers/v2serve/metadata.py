"""Who answers: the server's and the model's V2 metadata, with the release that Git names."""

from dataclasses import dataclass

import msgspec

from v2serve.contract import Contract, TensorSpec

SERVER, SERVER_VERSION = "v2serve", "0.1.0"
# The first by Triton's name; of its "model_repository" only the index is offered, for only Git loads and unloads.
EXTENSIONS = ["binary_tensor_data", "model_repository_index"]


@dataclass(frozen=True)
class Identity:
    """One release of one model."""

    name: str
    version: str | None
    digest: str
    run: str | None
    contract: Contract


class ServerMetadata(msgspec.Struct):
    name: str
    version: str
    extensions: list[str]


class ModelMetadata(msgspec.Struct, omit_defaults=True):
    """`properties` is a map of strings, as in the gRPC message."""

    name: str
    platform: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    properties: dict[str, str]
    versions: list[str] | None = None


def server_metadata() -> ServerMetadata:
    return ServerMetadata(SERVER, SERVER_VERSION, EXTENSIONS)


def model_metadata(identity: Identity) -> ModelMetadata:
    contract = identity.contract
    told = {"digest": identity.digest, "version": identity.version, "run": identity.run}
    properties = {key: value for key, value in told.items() if value}
    versions = [identity.version] if identity.version else None
    return ModelMetadata(
        identity.name, contract.platform, contract.inputs, contract.outputs, properties, versions
    )
