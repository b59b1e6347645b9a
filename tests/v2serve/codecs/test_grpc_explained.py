"""Messages that are to be explained, whatever their size: not run in the threads of the model's own calls."""

from collections.abc import Sequence

from tests.v2serve.codecs.test_grpc_service import Doubling, Models, doubled, framed, message, request, sent
from v2serve.call import Call
from v2serve.grpc import GrpcService
from v2serve.tensors import Array
from v2serve.wire.exchange import Answer


class Explaining(Doubling):
    """Takes every parameter."""

    def check_parameters(self, call: Call) -> None:
        self.noted.append(call.parameters)


def test_a_large_message_that_is_to_be_explained_leaves_the_threads_of_the_model_to_others() -> None:
    inputs = [{"name": "x", "datatype": "FP32", "shape": [1 << 15]}]
    large = message(
        "ModelInferRequest",
        model_name="double",
        inputs=inputs,
        parameters={"explain": {"bool_param": True}},
        raw_input_contents=[bytes(4 << 15)],
    )
    explained: list[Call] = []

    def infer(call: Call) -> Sequence[Array]:
        explained.append(call)
        return doubled(call)

    models = Models(Explaining(infer))
    served = GrpcService(models, lambda: True, 1 << 20)  # type: ignore[arg-type]
    assert isinstance(sent(request("ModelInfer", framed(large)), served), Answer)
    assert [call.parameters for call in explained] == [{"explain": True}]
