"""The classifier as an artifact: `features` [-1,10] -> `label` [-1], `probability` [-1] of malignant."""

from model import POSITIVE
from schema import DATA, SCHEMA

from trainkit.export import Export, Limits, export_artifact
from trainkit.graph import classifier_graph, with_probability_of
from trainkit.params import read_params
from trainkit.scores import Evaluation
from trainkit.stage import load_model, run_stage
from trainkit.table import read_table

ABOUT = {
    "title": "Malignant or benign",
    "summary": "Boosted trees (variant baseline: a scaled logistic regression) over ten mean measures of cell nuclei.",
    "use": "a stand-in for a tabular production model: load tests, gates, drift.",
    "limits": "diagnosis: 569 cases of one hospital in the early 1990s, no calibration on any other.",
    "source": "Wisconsin Diagnostic Breast Cancer (1995), packaged by scikit-learn; UCI, DOI 10.24432/C5DW2B.",
    "licence": "CC BY 4.0",
}


def export() -> str:
    table, model = read_table(DATA, SCHEMA), load_model()
    column = list(model.classes_).index(POSITIVE)
    graph = classifier_graph(model, len(SCHEMA.columns), "production-tabular")
    handed = Export(
        graph=with_probability_of(graph, column),
        table=table,
        schema=SCHEMA,
        labels=model.predict(table.features),
        scores={"probability": model.predict_proba(table.features)[:, column]},
        about=ABOUT,
        method=read_params("evaluate", Evaluation).described(),
    )
    return export_artifact(handed, read_params("export", Limits))


if __name__ == "__main__":
    run_stage(export)
