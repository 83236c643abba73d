"""What the terminal shows of an evaluation."""

from __future__ import annotations

from spade.evaluation.scoring.evaluator import Evaluator
from spade_cli.tables import evaluation
from tests.evaluation.helpers import TRUE, dataset, predicted, record


def test_systems_are_compared_by_where_they_lose_relations():
    truth = record([(0, 1, 0)])
    systems = []
    for name, scores, classes in (("right", [1, 0, 0], (0, 1)), ("misnamed", [1, 0, 0], (1, 1))):
        evaluator = Evaluator(dataset([truth]), at=(1, 5))
        evaluator.add(truth, TRUE, predicted([(0, 1, scores)], classes=classes))
        systems.append({"name": name, "skipped": 0, **evaluator.summary()})
    shown = {"protocol": "openpsg", "mode": "sgdet", "boxes": False, "systems": systems, "differences": []}
    lines = evaluation(shown | {"report": "report.html"})
    start = lines.index("of the annotated relations, percent, K = 5:")
    rows = [[part for part in line.split("  ") if part] for line in lines[start + 1 : start + 6]]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["right", "misnamed"],
        ["both have a mask", "100.0", "100.0"],
        ["both are named right", "100.0", "0.0"],
        ["a row is on the pair", "100.0", "0.0"],
        ["and has the predicate (R)", "100.0", "0.0"],
    ]
