"""How well `anomaly_score` tells what a model was not trained on: the figures of README.md beside this.

    VAE_DATA_DIR=folder python tests/benchmarks/anomalies.py mse gaussian

Trained on MNIST's digits 0 to 8 by the recipe. For each term that is named: the area under the ROC curve of
test images of 0 to 8 against those of 9, and against noise.
"""

import sys

import keras
import numpy as np
from sklearn.metrics import roc_auc_score

import vae


def main(*reconstructions):
    data = vae.load_mnist()
    clean, nines = data.x_test[data.y_test != 9], data.x_test[data.y_test == 9]
    noise = np.random.default_rng(0).integers(0, 256, (1000, 28, 28), dtype=np.uint8)
    for reconstruction in reconstructions:
        keras.utils.set_random_seed(0)
        model = vae.VAE(vae.build_encoder(), vae.build_decoder(), reconstruction=reconstruction)
        model.compile()
        model.fit(data.x_train[data.y_train != 9], epochs=25, verbose=0)
        scores = vae.anomaly_score(model, clean, seed=0)
        for name, strange in (("nines", nines), ("noise", noise)):
            kinds = np.repeat([0, 1], [len(clean), len(strange)])
            both = np.concatenate([scores, vae.anomaly_score(model, strange, seed=0)])
            print(f"{reconstruction}, {name}: AUC {roc_auc_score(kinds, both):.4f}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
