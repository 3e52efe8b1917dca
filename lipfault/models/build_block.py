"""From a configuration to a compute block."""

from collections.abc import Callable, Mapping

from lipfault.errors import LipfaultError
from lipfault.modality import Modality
from lipfault.models.autoencoder import Autoencoder
from lipfault.models.block import BlockConfig, ComputeBlock
from lipfault.models.fault_map_block import FaultMapBlock
from lipfault.models.paper_block import PaperBlock
from lipfault.models.relations import Relations


def build_block(
    config: BlockConfig,
    autoencoder: Autoencoder,
    relations: Callable[[], Relations],
    modalities: Mapping[str, Modality],
) -> ComputeBlock:
    """The compute block that a configuration names, before training.

    Args:
        config: Kind and sizes.
        autoencoder: Stage 1.
        relations: Gives the relations of stage 1; called only by a block that uses them.
        modalities: What is known of each modality.

    Raises:
        LipfaultError: If there is no block of that kind.
    """
    if config.kind == 'fault_map':
        return FaultMapBlock(autoencoder, relations(), modalities, config)
    if config.kind == 'paper':
        return PaperBlock(autoencoder, modalities, config)
    raise LipfaultError(f"block.kind: there is no {config.kind!r}; take 'fault_map' or 'paper'")
