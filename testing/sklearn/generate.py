"""Trains small scikit-learn models, exports them with skl2onnx, and writes what ONNX Runtime says of some rows.

    cargo xtask regen

Each model becomes models/NAME/model.onnx with input_0.pb and output_N.pb; SHA256SUMS has their hashes. The files are
committed: `crates/model/tests/it/sklearn.rs` runs them, and needs no Python. Data sets are those that scikit-learn ships.
"""

import hashlib
import shutil
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from onnx import numpy_helper
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Binarizer, MinMaxScaler, Normalizer, RobustScaler, StandardScaler
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

ROWS = 24
FOLDER = Path(__file__).resolve().parent / "models"


def write(name, model, x, options=None):
    proto = to_onnx(model, x[:1], options=options, target_opset={"": 18, "ai.onnx.ml": 3})
    rows = np.ascontiguousarray(x[:: max(1, len(x) // ROWS)][:ROWS])
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs = session.run(None, {session.get_inputs()[0].name: rows})
    folder = FOLDER / name
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(proto.SerializeToString())
    (folder / "input_0.pb").write_bytes(numpy_helper.from_array(rows).SerializeToString())
    for place, output in enumerate(outputs):
        if isinstance(output, list):
            # a ZipMap's: a dictionary for each row, from class to probability
            output = np.array([list(row.values()) for row in output], dtype=np.float32)
        (folder / f"output_{place}.pb").write_bytes(numpy_helper.from_array(output).SerializeToString())


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    iris, cancer, diabetes = load_iris(), load_breast_cancer(), load_diabetes()
    three = iris.data.astype(np.float32), iris.target
    two = cancer.data.astype(np.float32), cancer.target
    numbers = diabetes.data.astype(np.float32), diabetes.target
    holes = three[0].copy()
    holes[::7, 1] = np.nan
    no_map = {"zipmap": False}

    classifiers = {
        "logistic-two": (LogisticRegression(max_iter=5000), two),
        "logistic-three": (LogisticRegression(max_iter=1000), three),
        "tree-two": (DecisionTreeClassifier(max_depth=4, random_state=1), two),
        "forest-two": (RandomForestClassifier(n_estimators=5, max_depth=4, random_state=1), two),
        "forest-three": (RandomForestClassifier(n_estimators=5, max_depth=4, random_state=1), three),
        "boosting-two": (GradientBoostingClassifier(n_estimators=6, max_depth=2, random_state=1), two),
        "boosting-three": (GradientBoostingClassifier(n_estimators=4, max_depth=2, random_state=1), three),
        "scaled-logistic": (make_pipeline(StandardScaler(), LogisticRegression()), two),
        "perceptron": (make_pipeline(MinMaxScaler(), MLPClassifier((8,), max_iter=300, random_state=1)), three),
        "imputed-tree": (make_pipeline(SimpleImputer(), DecisionTreeClassifier(max_depth=3)), (holes, three[1])),
    }
    for name, (model, (x, y)) in classifiers.items():
        model.fit(x, y)
        write(name, model, x, {id(model): no_map})
    zipped = LogisticRegression(max_iter=1000).fit(*three)
    write("zipmap", zipped, three[0])

    regressors = {
        "linear": LinearRegression(),
        "ridge": make_pipeline(RobustScaler(), Ridge()),
        "tree": DecisionTreeRegressor(max_depth=5, random_state=1),
        "forest": RandomForestRegressor(n_estimators=6, max_depth=4, random_state=1),
        "extra-trees": ExtraTreesRegressor(n_estimators=4, max_depth=4, random_state=1),
        "boosting": GradientBoostingRegressor(n_estimators=8, max_depth=2, random_state=1),
        "svr-radial": SVR(C=50.0),
        "svr-linear": SVR(kernel="linear", C=50.0),
        "svr-polynomial": SVR(kernel="poly", degree=2, coef0=1.0, C=50.0),
    }
    for name, model in regressors.items():
        model.fit(*numbers)
        write(name, model, numbers[0])
    for name, (model, (x, y)) in {
        "svc-two": (make_pipeline(StandardScaler(), SVC()), two),
        "svc-three": (SVC(kernel="poly", degree=3, coef0=1.0), three),
        "svc-votes": (SVC(kernel="linear", decision_function_shape="ovo"), three),
        "svc-two-probabilities": (make_pipeline(StandardScaler(), SVC(probability=True, random_state=1)), two),
        "svc-three-probabilities": (SVC(probability=True, random_state=1), three),
    }.items():
        model.fit(x, y)
        write(name, model, x, {id(model): no_map})
    write("outliers", IsolationForest(n_estimators=4, max_samples=32, random_state=1).fit(two[0][:, :4]), two[0][:, :4])
    for norm in ("l1", "l2", "max"):
        write(f"normalizer-{norm}", Normalizer(norm=norm).fit(three[0]), three[0])
    write("binarizer", Binarizer(threshold=1.5).fit(three[0]), three[0])

    lines = []
    for path in sorted(FOLDER.rglob("*.*")):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        lines.append(f"{digest}  {path.relative_to(FOLDER).as_posix()}\n")
    (FOLDER / "SHA256SUMS").write_text("".join(lines))
    print(f"{len(lines)} files in {FOLDER}", file=sys.stderr)


if __name__ == "__main__":
    main()
