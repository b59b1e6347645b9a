"""The documents that the rules are taken from."""

from .rule import Source

_SPECIFICATION = "https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol"
_RFC = "https://www.rfc-editor.org/rfc"
_WEBSITE = "https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol"


def rest(section: str) -> Source:
    return Source(f"{_SPECIFICATION}/inference_rest.md", section)


def openapi(section: str) -> Source:
    return Source(f"{_SPECIFICATION}/open_inference_rest.yaml", section)


def grpc_text(section: str) -> Source:
    return Source(f"{_SPECIFICATION}/inference_grpc.md", section)


def proto(section: str) -> Source:
    return Source(f"{_SPECIFICATION}/open_inference_grpc.proto", section)


def binary(section: str) -> Source:
    return Source(f"{_WEBSITE}/binary-tensor-data-extension", section)


def http(section: str) -> Source:
    return Source(f"{_RFC}/rfc9110.html", section)


def http1(section: str) -> Source:
    return Source(f"{_RFC}/rfc9112.html", section)


def http2(section: str) -> Source:
    return Source(f"{_RFC}/rfc9113.html", section)


def rfc(number: int, section: str) -> Source:
    return Source(f"{_RFC}/rfc{number}.html", section)


def grpc_wire(section: str) -> Source:
    return Source("https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md", section)


def grpc_doc(page: str, section: str) -> Source:
    return Source(f"https://github.com/grpc/grpc/blob/master/doc/{page}", section)
