"""The forest as an artifact: `features` [-1,4] -> `label` [-1], `probabilities` [-1,3]."""

from schema import DATA, SCHEMA

from trainkit.export import Export, Limits, export_artifact
from trainkit.graph import classifier_graph
from trainkit.params import read_params
from trainkit.scores import Evaluation
from trainkit.stage import load_model, run_stage
from trainkit.table import read_table

ABOUT = {
    "title": "Iris species",
    "summary": "A small random forest that names the species of an iris from four lengths.",
    "use": "demonstrations, tests of the release chain.",
    "limits": "botany: 150 flowers of three species, measured in 1935, are all it knows.",
    "source": "Iris, R. A. Fisher (1936), packaged by scikit-learn; UCI, DOI 10.24432/C56C76.",
    "licence": "CC BY 4.0",
}


def export() -> str:
    table, model = read_table(DATA, SCHEMA), load_model()
    handed = Export(
        graph=classifier_graph(model, len(SCHEMA.columns), "iris"),
        table=table,
        schema=SCHEMA,
        labels=model.predict(table.features),
        scores={"probabilities": model.predict_proba(table.features)},
        about=ABOUT,
        method=read_params("evaluate", Evaluation).described(),
    )
    return export_artifact(handed, read_params("export", Limits))


if __name__ == "__main__":
    run_stage(export)
