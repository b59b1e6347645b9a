"""The words of declarations: a value of these types is valid, and a refusal says how to write it."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

_PASSWORD = re.compile(r"(\w://[^/\s:@]*:)[^/\s@]+@")


def without_password(text: str) -> str:
    """The text, with *** for the passwords of addresses in it."""
    return _PASSWORD.sub(r"\1***@", text)


def like(pattern: str, what: str, fix: str) -> AfterValidator:
    """A validator of text that matches the whole pattern; the password of an address is not repeated."""
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if compiled.fullmatch(text) is None:
            raise ValueError(f"{without_password(text)!r} is not {what}; {fix}")
        return text

    return AfterValidator(check)


def _without_latest(image: str) -> str:
    if image.endswith(":latest"):
        raise ValueError(f"{image!r} moves after review; pin a tag or a digest")
    return image


def _one_line(text: str) -> str:
    if not text.strip() or "\n" in text:
        raise ValueError(f"{text!r} is not one line of text; say it in a sentence")
    return text


_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_REFERENCE = r"[a-z0-9][-a-z0-9._:]*(?:/[-a-z0-9._]+)*"

# Ten characters for a digest and 17 for KServe's suffixes still fit into a DNS label of 63.
Slug = Annotated[
    str,
    like(
        r"[a-z](?:[-a-z0-9]{0,30}[a-z0-9])?",
        "a name",
        "use up to 32 of a-z, 0-9 and -, beginning with a letter",
    ),
]
Sha256 = Annotated[str, like(r"[0-9a-f]{64}", "a sha256", "write its 64 hex digits")]
Digest = Annotated[str, like(r"sha256:[0-9a-f]{64}", "a digest", "write 'sha256:' and 64 hex digits")]
Commit = Annotated[str, like(r"[0-9a-f]{7,40}", "a commit", "write its 7 to 40 hex digits, in quotes")]
RunId = Annotated[str, like(r"[A-Za-z0-9][-A-Za-z0-9_.]{0,63}", "a run id", "write the id that MLflow shows")]
Metric = Annotated[
    str, like(r"[A-Za-z][-A-Za-z0-9_.]{0,62}", "a metric", "begin with a letter, then A-Z a-z 0-9 _ . -")
]
FileName = Annotated[
    str, like(r"(?!\.)[-A-Za-z0-9._]+", "a file name", "use A-Z a-z 0-9 . _ - and no leading dot")
]
RelativePath = Annotated[
    str,
    like(
        r"(?!\.)[-A-Za-z0-9._]+(?:/(?!\.)[-A-Za-z0-9._]+)*",
        "a relative path",
        "write it like 'folder/file.csv', with A-Z a-z 0-9 . _ - and no leading dots",
    ),
]
HeaderName = Annotated[
    str, like(r"[A-Za-z0-9][-A-Za-z0-9]{0,63}", "a header name", "write it like 'x-mainline-track'")
]
HeaderValue = Annotated[
    str, like(r"[-A-Za-z0-9._~/+=:]{1,256}", "a header value", "use A-Z a-z 0-9 - . _ ~ / + = : only")
]
PackageFile = Annotated[
    str,
    like(
        r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*/[A-Za-z0-9_][-A-Za-z0-9._]*",
        "a file of a package",
        "write it like 'sklearn.datasets.data/iris.csv'",
    ),
]
Host = Annotated[
    str,
    like(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})+", "a host name", "write it like 'models.example.com'"),
]
Image = Annotated[
    str,
    like(
        rf"{_REFERENCE}(?:@sha256:[0-9a-f]{{64}}|:[A-Za-z0-9_][-A-Za-z0-9_.]{{0,127}})",
        "a pinned image",
        "write 'name:tag' or 'name@sha256:<64 hex>'",
    ),
    AfterValidator(_without_latest),
]
Store = Annotated[
    str,
    like(
        r"(?:mainline|s3|gs|az|file)://[-A-Za-z0-9._/]*[A-Za-z0-9]",
        "a store",
        "write 's3://bucket/prefix' (or gs, az, file, mainline) without a slash at the end",
    ),
]
GitUrl = Annotated[
    str,
    like(
        r"(?:https|ssh|file)://(?![^/]*:[^/]*@)[^\s]+|[-A-Za-z0-9._]+@[-A-Za-z0-9.]+:[^\s]+",
        "a Git address",
        "write 'https://host/team/repository.git' without a password",
    ),
]
Url = Annotated[
    str,
    like(
        r"[a-z][-a-z0-9+.]*://(?![^/]*@)[^\s]+",
        "an address",
        "write 'https://host/path' without a user or password",
    ),
]
Branch = Annotated[
    str, like(r"(?!-)(?!.*\.\.)[-A-Za-z0-9._/]+(?<!/)", "a branch", "write its name, such as 'main'")
]
Subject = Annotated[
    str,
    like(
        r"[A-Za-z][-A-Za-z0-9:._]*(?:/[-A-Za-z0-9:._]*)*\*?",
        "an object",
        "write 'Kind/namespace/name', with * at its end for everything that begins so",
    ),
]
Sentence = Annotated[str, AfterValidator(_one_line)]
Percent = Annotated[int, Field(ge=1, le=99)]
Replicas = Annotated[int, Field(ge=1, le=1000)]
Drain = Annotated[int, Field(ge=1, le=600)]
Port = Annotated[int, Field(ge=1024, le=65535)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Context = Annotated[
    str, like(r"[A-Za-z0-9][-A-Za-z0-9_.:/@+]{0,252}", "a context", "write its name as kubectl shows it")
]
Cluster = Literal["embedded", "existing", "eks"]
Autoscaler = Literal["hpa", "none"]
