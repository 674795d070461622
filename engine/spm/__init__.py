"""Strided pattern matching: a structure is cut into overlapping boxes, and every box is described."""

from engine.spm.atoms import AtomsTable, Frame, Region
from engine.spm.boxes import Block, Boxes, blocks, boxes_table, parts_of_blocks, write_boxes
from engine.spm.grid import Grid
from engine.spm.settings import GridSettings, SoapMode
from engine.spm.stage import BoxSoapStage

__all__ = [
    "AtomsTable",
    "Block",
    "BoxSoapStage",
    "Boxes",
    "Frame",
    "Grid",
    "GridSettings",
    "Region",
    "SoapMode",
    "blocks",
    "boxes_table",
    "parts_of_blocks",
    "write_boxes",
]
