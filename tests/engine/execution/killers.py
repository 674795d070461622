"""Stages that kill their process, print, wait or are large; importing them takes little, for their processes."""

import ctypes
import os
import resource
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from engine.descriptors.soap.stage import SoapStage
from engine.schema import STATUS_COLUMNS, STRUCTURE_ID
from engine.stage import BatchFunction, Stage
