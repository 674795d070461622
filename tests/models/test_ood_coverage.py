"""Are the p-values of the shipped network what they promise, on structures drawn anew?"""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from engine.columns import contiguous, fixed_size_values
from engine.descriptors.soap import SoapSettings
from engine.descriptors.soap.stage import soap_features
from engine.structure import structures_table
from models.ood import OutOfDistribution
from models.prototypes import prototypes
from models.training.arise import calibration_structures
from models.training.evaluate import USUAL_DISTORTION
from models.weights_file import load_model

CLASSES = prototypes()[::9]


@pytest.fixture(scope="module")
def p_values() -> NDArray[np.float32]:
    """Of structures of twelve classes, drawn as the calibration was but from another seed."""
    structures = list(calibration_structures(CLASSES, USUAL_DISTORTION, seed=2026))
    vectors = contiguous(soap_features(structures_table(structures), SoapSettings())["vector"])
    model = load_model("arise-robust")
    score = OutOfDistribution(model.network.head, model.reference)
    return score(torch.from_numpy(fixed_size_values(vectors).reshape(len(structures), -1).copy())).p_value


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.1, 0.2, 0.5])
def test_fresh_structures_like_the_calibration_have_uniform_p_values(
    p_values: NDArray[np.float32], alpha: float
) -> None:
    assert len(p_values) > 1400
    spread = 4.0 * np.sqrt(alpha * (1.0 - alpha) / 500)  # those of one host move together
    assert (p_values <= alpha).mean() == pytest.approx(alpha, abs=spread)
