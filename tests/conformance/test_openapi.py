"""v2serve answers what the protocol's OpenAPI says, whatever the schema's requests: schemathesis looks."""

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.v2serve.servers import Running

_CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
schema = schemathesis.openapi.from_path(Path(__file__).with_name("open_inference_rest.yaml"))

pytestmark = [pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@schema.parametrize()
@settings(
    max_examples=40, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
def test_every_answer_is_one_that_the_protocol_describes(case: Any, v2serve: Running) -> None:
    case.call_and_validate(base_url=f"http://127.0.0.1:{v2serve.port}", checks=_CHECKS, timeout=10)


def test_the_schema_describes_every_path_of_the_protocol() -> None:
    paths = set(schema.raw_schema["paths"])
    model, version = "/v2/models/{model}", "/v2/models/{model}/versions/{version}"
    assert paths == {"/v2", "/v2/health/live", "/v2/health/ready"} | {
        f"{root}{end}" for root in (model, version) for end in ("", "/ready", "/infer")
    }
