"""Trains scikit-learn's multilayer perceptrons on the tables that scikit-learn ships, and writes the rows as CSV files.

Run by `cargo xtask bench --suite tables --peer sklearn`; the argument is a folder for the files. Reads one JSON object a line,
`{"set": "iris", "seed": 0}`: a quarter of the rows, drawn by the seed, is the test set. Answers with the share of test rows whose class
is predicted, or R2: `plain` with the default settings, `scaled` behind a StandardScaler; `train` and `test` are the CSV files.
"""

import csv
import json
import os
import sys
import time
import warnings

import numpy as np
from sklearn import datasets
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

# Default settings end before they converge on some sets, and say so.
warnings.filterwarnings("ignore")


def write(path, inputs, targets):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([f"x{column}" for column in range(inputs.shape[1])] + ["target"])
        for row, target in zip(inputs, targets):
            writer.writerow([repr(float(value)) for value in row] + [target])


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    for line in sys.stdin:
        question = json.loads(line)
        name, seed = question["set"], question["seed"]
        found = getattr(datasets, f"load_{name}")()
        is_number = name == "diabetes"
        targets = found.target.astype(float if is_number else int)
        order = np.random.RandomState(seed).permutation(len(targets))
        test, train = np.split(order, [len(targets) // 4])
        answer = {"rows": len(train)}
        for part, rows in (("train", train), ("test", test)):
            answer[part] = os.path.join(folder, f"{part}.csv")
            cells = [repr(float(v)) if is_number else int(v) for v in targets[rows]]
            write(answer[part], found.data[rows], cells)
        kind = MLPRegressor if is_number else MLPClassifier
        for key, model in (
            ("plain", kind(random_state=seed)),
            ("scaled", make_pipeline(StandardScaler(), kind(random_state=seed))),
        ):
            start = time.perf_counter()
            model.fit(found.data[train], targets[train])
            answer[f"{key}_seconds"] = time.perf_counter() - start
            answer[key] = float(model.score(found.data[test], targets[test]))
        print(json.dumps(answer), flush=True)


main()
