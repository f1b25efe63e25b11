"""Colour descriptions of test videos."""

from dataclasses import replace

from facepaint.records.colour import (
    SDR,
    Colour,
    ColourPrimaries,
    ColourRange,
    MatrixCoefficients,
    TransferCharacteristics,
)

SDR_FULL = replace(SDR, range=ColourRange.FULL)

PQ = Colour(
    ColourPrimaries.BT2020,
    TransferCharacteristics.PQ,
    MatrixCoefficients.BT2020,
    ColourRange.LIMITED,
)
HLG = replace(PQ, transfer=TransferCharacteristics.HLG)
