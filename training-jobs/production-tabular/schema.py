"""What a row of breast_cancer.csv is: of its thirty features, the means of ten measures of cell nuclei."""

from pathlib import Path

from trainkit.table import Column, Schema

DATA = Path("data/breast_cancer.csv")
SCHEMA = Schema(
    columns=(
        Column("mean_radius", "pixel", 1.0, 100.0),
        Column("mean_texture", "grey level", 1.0, 100.0),
        Column("mean_perimeter", "pixel", 5.0, 700.0),
        Column("mean_area", "pixel^2", 3.0, 30_000.0),
        Column("mean_smoothness", "1", 0.0, 1.0),
        Column("mean_compactness", "1", 0.0, 5.0),
        Column("mean_concavity", "1", 0.0, 5.0),
        Column("mean_concave_points", "1", 0.0, 1.0),
        Column("mean_symmetry", "1", 0.0, 1.0),
        Column("mean_fractal_dimension", "1", 0.0, 1.0),
    ),
    classes=("malignant", "benign"),
)
