"""What a row of iris.csv is."""

from pathlib import Path

from trainkit.table import Column, Schema

DATA = Path("data/iris.csv")
SCHEMA = Schema(
    columns=(
        Column("sepal_length", "cm", 1.0, 15.0),
        Column("sepal_width", "cm", 0.5, 10.0),
        Column("petal_length", "cm", 0.1, 15.0),
        Column("petal_width", "cm", 0.05, 10.0),
    ),
    classes=("setosa", "versicolor", "virginica"),
)
