"""Where things are: the repository one stands in, and what lies under its `.mainline/`."""

from dataclasses import dataclass
from pathlib import Path

from mainline.errors import Refusal

EMBEDDED = "local"


@dataclass(frozen=True, slots=True)
class Places:
    """Paths derived from the root of a checkout; nothing is created by naming it."""

    root: Path

    @property
    def state(self) -> Path:
        return self.root / ".mainline"

    @property
    def remote(self) -> Path:
        """The bare repository that is the Git host of the embedded environment."""
        return self.state / "gitops.git"

    @property
    def store(self) -> Path:
        return self.state / "store"

    @property
    def registry(self) -> Path:
        return self.state / "mlflow" / "mlflow.db"

    @property
    def run_artifacts(self) -> Path:
        return self.state / "mlflow" / "artifacts"

    def training(self, job: str) -> Path:
        """The clone in which one job is trained."""
        return self.state / "train" / job


def find_places(start: Path) -> Places:
    """The nearest folder upwards that is a Mainline repository."""
    here = start.resolve()
    for folder in (here, *here.parents):
        if (folder / "Pulumi.yaml").is_file() and (folder / "model-servers").is_dir():
            return Places(folder)
    raise Refusal(
        f"{here} is not inside a Mainline repository (no Pulumi.yaml with model-servers/ beside it); use --repo DIR"
    )
