"""What credentials look like: the formats that their makers document, and texts that look drawn by chance."""

import math
import re
from collections import Counter
from collections.abc import Iterator

# Name -> pattern; those with a prefix of their maker's are certain, the last ones say a secret by their place.
_FORMATS = {
    "an AWS access key": r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b",
    "a private key": r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----",
    "a GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,})",
    "a GitLab token": r"\bgl(?:pat|ptt|dt|rt|cbt|ft|agent|oas)-[A-Za-z0-9_-]{20,}",
    "a Slack token": r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
    "a Slack webhook": r"hooks\.slack\.com/(?:services|workflows)/T[A-Za-z0-9_]+/[A-Za-z0-9_/]+",
    "a Stripe key": r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}",
    "a Google API key": r"\bAIza[A-Za-z0-9_-]{35}",
    "a Google OAuth secret": r"\bGOCSPX-[A-Za-z0-9_-]{20,}",
    "a JSON web token": r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
    "an npm token": r"\bnpm_[A-Za-z0-9]{36}",
    "a PyPI token": r"\bpypi-[A-Za-z0-9_-]{40,}",
    "a SendGrid key": r"\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
    "a Twilio key": r"\bSK[0-9a-f]{32}\b",
    "a Hugging Face token": r"\bhf_[A-Za-z0-9]{30,}",
    "an Anthropic or OpenAI key": r"\bsk-(?:ant-|proj-|svcacct-)?[A-Za-z0-9_-]{20,}",
    "a HashiCorp Vault token": r"\bhv[bsr]\.[A-Za-z0-9_-]{20,}",
    "a DigitalOcean token": r"\bdo[opr]_v1_[0-9a-f]{64}",
    "a Databricks token": r"\bdapi[0-9a-f]{32}",
    "a Grafana token": r"\bgl(?:c|sa)_[A-Za-z0-9+/=_]{30,}",
    "a Telegram token": r"\b[0-9]{8,10}:AA[A-Za-z0-9_-]{33}",
    "a Pulumi token": r"\bpul-[0-9a-f]{40}",
    "an age key": r"\bAGE-SECRET-KEY-1[A-Z0-9]{50,}",
    "an Azure storage key": r"\bAccountKey=[A-Za-z0-9+/=]{40,}",
    "a password in an address": r"[a-z][a-z0-9+.-]*://[^\s/@:]*:(?!\$)[^\s/@]{3,}@",
    "credentials of a header": r"\b[Bb](?:earer|asic) [A-Za-z0-9+/=._~-]{16,}",
}
_COMPILED = {name: re.compile(pattern) for name, pattern in _FORMATS.items()}
_ANY = re.compile("|".join(f"(?:{pattern})" for pattern in _FORMATS.values()))
_WORD = re.compile(r"[A-Za-z0-9+/_=-]{24,}")
_HEX = re.compile(r"[0-9a-f]{32,}|[0-9A-F]{32,}")
# Digests are public: of images and artifacts, and the folder of an artifact in the store.
_DIGEST = re.compile(r"sha(?:256|512)[:-][A-Za-z0-9+/=]+|(?<=/)[0-9a-f]{64}(?![0-9a-f])")
_CHANCE = 4.2  # bits a character: English and code stay below 4, 24 drawn characters of base64 lie around 4.3


def formats(text: str) -> Iterator[tuple[str, str]]:
    """(what it is, the text itself) of every known format that a text has."""
    if _ANY.search(text) is None:
        return
    for name, pattern in _COMPILED.items():
        for match in pattern.finditer(text):
            yield name, match[0]


def drawn(text: str) -> Iterator[str]:
    """The parts of a text that look drawn by chance: long, of many kinds of characters, without a pattern."""
    for word in _WORD.findall(_DIGEST.sub(" ", text)):
        hexadecimal = _HEX.fullmatch(word) and entropy(word) > 3  # noughts and patterns stay below
        if hexadecimal or (_mixed(word) and entropy(word) >= _CHANCE):
            yield word


def entropy(text: str) -> float:
    """Bits a character, by how often each of them occurs (Shannon 1948)."""
    counts = Counter(text).values()
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts)


def _mixed(word: str) -> bool:
    return all(re.search(kind, word) for kind in ("[a-z]", "[A-Z]", "[0-9]"))
