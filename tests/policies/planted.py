"""Credentials of many makers, drawn by chance: nobody's, and never written down in one piece."""

import random
from string import ascii_letters, ascii_lowercase, ascii_uppercase, digits

_B64 = ascii_letters + digits
_HEX = digits + "abcdef"


def planted(seed: int = 7) -> dict[str, str]:
    """Kind -> a text with such a credential in it."""
    rng = random.Random(seed)

    def some(length: int, letters: str = _B64) -> str:
        return "".join(rng.choice(letters) for _ in range(length))

    upper = ascii_uppercase + digits
    return {
        "AWS access key": "AKIA" + some(16, upper),
        "AWS secret key": some(40, _B64 + "+/"),
        "AWS temporary key": "ASIA" + some(16, upper),
        "PEM key": "-----BEGIN " + "RSA PRIVATE KEY-----\n" + some(64),
        "OpenSSH key": "-----BEGIN " + "OPENSSH PRIVATE KEY-----",
        "GitHub token": "ghp_" + some(36),
        "GitHub fine-grained token": "github_pat_" + some(82),
        "GitLab token": "glpat-" + some(20),
        "Slack token": "xoxb-" + some(12, digits) + "-" + some(24),
        "Slack webhook": "https://hooks.slack.com/"
        + "services/T"
        + some(8, upper)
        + "/B"
        + some(8, upper)
        + "/"
        + some(24),
        "Stripe key": "sk_live_" + some(24),
        "Google API key": "AIza" + some(35),
        "Google OAuth secret": "GOCSPX-" + some(28),
        "JSON web token": f"eyJ{some(30)}.eyJ{some(60)}.{some(43)}",
        "npm token": "npm_" + some(36),
        "PyPI token": "pypi-" + some(80),
        "SendGrid key": f"SG.{some(22)}.{some(43)}",
        "Twilio key": "SK" + some(32, _HEX),
        "Hugging Face token": "hf_" + some(34, ascii_letters),
        "OpenAI key": "sk-" + "proj-" + some(48),
        "Anthropic key": "sk-" + "ant-api03-" + some(80),
        "Vault token": "hvs." + some(90),
        "DigitalOcean token": "dop_v1_" + some(64, _HEX),
        "Databricks token": "dapi" + some(32, _HEX),
        "Grafana token": "glsa_" + some(32) + "_" + some(8, _HEX),
        "Telegram token": some(9, "123456789") + ":AA" + some(33),
        "Pulumi token": "pul-" + some(40, _HEX),
        "age key": "AGE-SECRET-" + "KEY-1" + some(58, upper),
        "Azure key": "AccountKey=" + some(86, _B64 + "+/") + "==",
        "address with a password": f"postgresql://mlflow:{some(12)}@db.example.com/mlflow",
        "Bearer header": "Authorization: Bearer " + some(40, ascii_lowercase + digits),
        "Basic header": "Basic " + some(24) + "==",
        "hexadecimal key": some(64, _HEX),
    }
