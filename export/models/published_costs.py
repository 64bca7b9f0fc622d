"""What the published networks cost, as ``hot_sdk.export.graph.flops`` counts it.

Counting builds each network, which takes most of half a minute for all of them; a list of them
should not. A test counts them again.
"""

from __future__ import annotations

from typing import NamedTuple

from hot_sdk.export.enums import Variant


class NetworkCost(NamedTuple):
    """The cost of one network.

    Attributes:
        parameters: Trained numbers.
        papers: Operations of one window as the papers count them; see ``NetworkFlops``.
        matmuls: Operations of all matrix multiplications of one window.
    """

    parameters: int
    papers: int
    matmuls: int


PUBLISHED_COSTS = {
    ("htnet", "240", Variant.PLAIN): NetworkCost(
        parameters=3_048_489, papers=61_419_360, matmuls=75_035_136
    ),
    ("htnet", "96", Variant.PLAIN): NetworkCost(
        parameters=1_196_937, papers=23_756_736, matmuls=29_602_560
    ),
    ("mhformer", "351", Variant.PLAIN): NetworkCost(
        parameters=31_516_125, papers=14_145_715_584, matmuls=16_436_032_704
    ),
    ("mhformer", "351", Variant.HOT): NetworkCost(
        parameters=32_806_365, papers=9_729_113_472, matmuls=11_304_536_256
    ),
    ("mhformer", "351", Variant.TPC): NetworkCost(
        parameters=31_516_125, papers=8_220_251_520, matmuls=9_543_358_656
    ),
    ("mhformer", "243", Variant.PLAIN): NetworkCost(
        parameters=25_165_077, papers=9_621_866_880, matmuls=10_723_741_632
    ),
    ("mhformer", "81", Variant.PLAIN): NetworkCost(
        parameters=19_837_545, papers=3_121_628_544, matmuls=3_247_055_424
    ),
    ("mhformer", "27", Variant.PLAIN): NetworkCost(
        parameters=19_184_517, papers=1_031_025_024, matmuls=1_045_960_128
    ),
    ("mixste", "base", Variant.PLAIN): NetworkCost(
        parameters=33_783_811, papers=277_247_867_904, matmuls=294_845_266_944
    ),
    ("mixste", "base", Variant.HOT): NetworkCost(
        parameters=35_000_323, papers=167_512_292_352, matmuls=176_238_913_536
    ),
    ("mixste", "base", Variant.TPC): NetworkCost(
        parameters=33_783_811, papers=251_284_009_984, matmuls=266_907_854_848
    ),
    ("mixste", "base", Variant.LIVE): NetworkCost(
        parameters=34_316_035, papers=1_163_219_968, matmuls=1_179_672_704
    ),
    ("motionagformer", "b", Variant.PLAIN): NetworkCost(
        parameters=11_723_811, papers=95_921_687_808, matmuls=113_231_437_056
    ),
    ("motionagformer", "b", Variant.HOT): NetworkCost(
        parameters=11_828_031, papers=60_521_022_720, matmuls=69_470_203_392
    ),
    ("motionagformer", "xs", Variant.PLAIN): NetworkCost(
        parameters=2_241_531, papers=2_019_835_008, matmuls=2_131_933_824
    ),
    ("motionagformer", "s", Variant.PLAIN): NetworkCost(
        parameters=4_817_119, papers=13_018_091_904, matmuls=14_736_587_904
    ),
    ("motionagformer", "l", Variant.PLAIN): NetworkCost(
        parameters=19_007_111, papers=155_524_416_768, matmuls=183_652_759_296
    ),
    ("motionagformer", "hot", Variant.PLAIN): NetworkCost(
        parameters=11_723_811, papers=95_921_687_808, matmuls=113_231_437_056
    ),
    ("motionbert", "lite", Variant.PLAIN): NetworkCost(
        parameters=16_001_549, papers=131_094_277_632, matmuls=142_092_652_032
    ),
    ("motionbert", "lite", Variant.HOT): NetworkCost(
        parameters=16_347_661, papers=63_208_926_720, matmuls=66_886_953_984
    ),
    ("motionbert", "lite", Variant.TPC): NetworkCost(
        parameters=16_001_549, papers=91_386_037_760, matmuls=97_559_693_312
    ),
    ("motionbert", "full", Variant.PLAIN): NetworkCost(
        parameters=42_466_317, papers=348_809_213_952, matmuls=370_805_962_752
    ),
    ("nanohtnet", "base", Variant.PLAIN): NetworkCost(
        parameters=2_491_567, papers=32_927_328, matmuls=57_006_684
    ),
}
"""By family, published size and variant."""
