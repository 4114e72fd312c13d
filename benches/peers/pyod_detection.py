"""Detectors of anomalies of scikit-learn and PyOD on tables of ADBench (Han et al. 2022).

Run by `cargo xtask bench --suite detection --peer pyod`; the argument is a folder for the files. Reads one JSON object a line,
`{"table": "4_breastw.npz", "rows": 64, "draw": 0, "peers": true}`. Draws up to `rows` normal rows, at most half of them all, to learn
from, and up to 2,000 other normal rows and 2,000 anomalies to score. Both are standardised by mean and deviation of the training rows
and clipped to [-10, 10]. Answers with the paths of the files, and for each detector its AUROC and its seconds of `fit`. One thread.
"""

import contextlib
import io
import json
import os
import sys
import time
import warnings

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np
import torch
from pyod.models.auto_encoder import AutoEncoder
from pyod.models.copod import COPOD
from pyod.models.deep_svdd import DeepSVDD
from pyod.models.ecod import ECOD
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.svm import OneClassSVM

warnings.filterwarnings("ignore")
torch.set_num_threads(1)

MOST = 2000
CLIP = 10.0


def split(path, n_rows, draw):
    file = np.load(path)
    rows, is_anomaly = file["X"].astype(np.float32), file["y"].astype(int)
    random = np.random.RandomState(draw)
    normal = random.permutation(np.where(is_anomaly == 0)[0])
    anomalies = random.permutation(np.where(is_anomaly == 1)[0])[:MOST]
    n_train = min(n_rows, len(normal) // 2)
    train = rows[normal[:n_train]]
    test = np.concatenate([normal[n_train : n_train + MOST], anomalies])
    mean, deviation = train.mean(0), train.std(0)
    deviation[deviation < 1e-6] = 1
    scaled = [np.clip((part - mean) / deviation, -CLIP, CLIP).astype(np.float32) for part in (train, rows[test])]
    return scaled[0], scaled[1], is_anomaly[test]


class Neighbors:
    """Distance to the fifth nearest neighbour."""

    def fit(self, train):
        self.model = NearestNeighbors(n_neighbors=min(5, len(train) - 1)).fit(train)
        return self

    def score(self, rows):
        return self.model.kneighbors(rows)[0][:, -1]


class Mahalanobis:
    """Mahalanobis distance with all principal components, each with a hundredth of the mean variance more."""

    def fit(self, train):
        self.model = PCA().fit(train)
        variance = self.model.explained_variance_
        self.least = 1e-2 * variance.mean() + 1e-6
        self.variance = variance + self.least
        return self

    def score(self, rows):
        centred = rows - self.model.mean_
        found = centred @ self.model.components_.T
        rest = (centred**2).sum(1) - (found**2).sum(1)
        return (found**2 / self.variance).sum(1) + rest / self.least


class Negated:
    """A detector of scikit-learn, whose larger scores are more normal."""

    def __init__(self, model):
        self.model = model

    def fit(self, train):
        self.model.fit(train)
        return self

    def score(self, rows):
        return -self.model.score_samples(rows)


class Pyod:
    """A detector of PyOD with its default settings."""

    def __init__(self, model):
        self.model = model

    def fit(self, train):
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            self.model.fit(train)
        return self

    def score(self, rows):
        return self.model.decision_function(rows)


def detectors(n_rows, n_columns, seed):
    yield "knn", Neighbors()
    yield "isolation_forest", Negated(IsolationForest(random_state=seed))
    yield "one_class_svm", Negated(OneClassSVM())
    yield "lof", Negated(LocalOutlierFactor(n_neighbors=min(20, n_rows - 1), novelty=True))
    yield "mahalanobis", Mahalanobis()
    yield "ecod", Pyod(ECOD())
    yield "copod", Pyod(COPOD())
    yield "autoencoder", Pyod(AutoEncoder(random_state=seed, verbose=0, batch_size=min(32, n_rows)))
    yield "deep_svdd", Pyod(DeepSVDD(n_features=n_columns, random_state=seed, verbose=0))


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    for line in sys.stdin:
        question = json.loads(line)
        train, test, is_anomaly = split(question["table"], question["rows"], question["draw"])
        answer = {"rows": len(train), "columns": train.shape[1], "auroc": {}, "seconds": {}, "failed": {}}
        for name, values in (("train", train), ("test", test), ("labels", is_anomaly)):
            answer[name] = os.path.join(folder, f"{name}.npy")
            np.save(answer[name], values)
        if question["peers"]:
            for name, detector in detectors(len(train), train.shape[1], question["draw"]):
                start = time.perf_counter()
                try:
                    detector.fit(train)
                    answer["seconds"][name] = time.perf_counter() - start
                    answer["auroc"][name] = float(roc_auc_score(is_anomaly, detector.score(test)))
                except Exception as error:  # A detector that refuses a table is reported.
                    answer["failed"][name] = str(error)
        print(json.dumps(answer), flush=True)


main()
