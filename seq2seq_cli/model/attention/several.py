"""Several weights a source position: what heads and channels have in common."""

from seq2seq_cli.model.attention.scored import Scene, ScoredAttention
from seq2seq_cli.model.types import Attended


class SeveralWeights(ScoredAttention):
    """Energies and weights are B x T x H x S, each of H distributions within the same window; ``weights_BTS`` is their
    mean, ``heads_BTHS`` all of them. The values mix H at a time."""

    def attend(self, scene: Scene) -> Attended:
        mask_BTS, factor_BTS = scene.view.mask_BTS, scene.view.factor_BTS
        factor_BT1S = None if factor_BTS is None else factor_BTS.unsqueeze(-2)
        view = scene.view._replace(mask_BTS=mask_BTS.unsqueeze(-2), factor_BTS=factor_BT1S)
        attended = super().attend(scene._replace(view=view))
        return attended._replace(weights_BTS=attended.weights_BTS.mean(2), heads_BTHS=attended.weights_BTS)
