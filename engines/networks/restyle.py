# SPDX-License-Identifier: MIT
"""ReStyle (Alaluf et al. 2021): portrait to W+ by an encoder that sees its last picture. Knows no checkpoint.

    w_0 = latent_avg;   w_(t+1) = w_t + E(portrait, pool(G(w_t)))

The whole loop is one network from `image` to `w`, with the generator inside: enrolling wants a latent, not a
loop to be written around a graph of six channels; and as the steps share their weights, the graph of all of
them is as large as the graph of one. The picture of w_0 is a constant in it. No released weights were seen:
it was held against the authors' own code with random ones.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, cat, nn

from engines.base import TensorSpec
from engines.networks.encoder import INPUT_SIZE, AdaptivePool, Encoder, EncoderConfig
from engines.networks.stylegan2 import Synthesis, SynthesisConfig

MAX_ITERATIONS = 20
PICTURE_CHANNELS = 3


@dataclass(frozen=True, slots=True)
class RestyleConfig:
    encoder: EncoderConfig
    decoder: SynthesisConfig
    iterations: int = 5

    def __post_init__(self) -> None:
        if not 1 <= self.iterations <= MAX_ITERATIONS:
            raise ValueError(f"{self.iterations} iterations, expected 1 to {MAX_ITERATIONS}")
        if self.encoder.input_channels != 2 * PICTURE_CHANNELS:
            raise ValueError(f"{self.encoder.input_channels} input channels, expected two pictures of 3")
        if self.decoder.image_channels != PICTURE_CHANNELS:
            raise ValueError(f"{self.decoder.image_channels} image channels, expected 3")
        encoded = (self.encoder.num_styles, self.encoder.style_dim)
        if encoded != (self.decoder.num_ws, self.decoder.w_dim):
            raise ValueError(f"w of {encoded} and a decoder of {(self.decoder.num_ws, self.decoder.w_dim)}")


class Restyle(nn.Module):
    """(N, 3, 256, 256) in [-1, 1] to W+ (N, rows, w_dim), the last of `iterations` estimates."""

    kind: ClassVar[str] = "restyle-encoder"
    role: ClassVar[str] = "encoder"
    Config: ClassVar[type] = RestyleConfig

    def __init__(self, config: RestyleConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config.encoder)  # its latent_avg is where the loop starts
        self.decoder = Synthesis(config.decoder)
        self.pool = AdaptivePool(INPUT_SIZE)
        self.inputs = (TensorSpec("image", ("n", PICTURE_CHANNELS, INPUT_SIZE, INPUT_SIZE)),)
        self.outputs = self.encoder.outputs

    def forward(self, image: Tensor) -> Tensor:
        start = self.encoder.latent_avg.expand(1, self.config.encoder.num_styles, -1)
        # The same first picture for every portrait: times zero, because N is the portraits' to say.
        picture = self.picture_of(start) + image * 0.0
        w = start + self.encoder.offsets(cat([image, picture], dim=1))
        for _ in range(self.config.iterations - 1):
            w = w + self.encoder.offsets(cat([image, self.picture_of(w)], dim=1))
        return w

    def picture_of(self, w: Tensor) -> Tensor:
        """What the encoder is shown of an estimate: (N, 3, 256, 256), not clamped."""
        return self.pool(self.decoder(w))
