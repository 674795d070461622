"""SOAP descriptors of the ARISE network, by our own kernel or by DScribe."""

from engine.descriptors.soap.settings import SOAP_WIDTH, SmearedSoapSettings, SoapSettings
from engine.descriptors.soap.stage import SoapStage
from engine.descriptors.soap.vector import (
    SoapPairs,
    SoapResult,
    checked,
    compile_kernel,
    soap_pairs,
    soap_vector,
)

__all__ = [
    "SOAP_WIDTH",
    "SmearedSoapSettings",
    "SoapPairs",
    "SoapResult",
    "SoapSettings",
    "SoapStage",
    "checked",
    "compile_kernel",
    "soap_pairs",
    "soap_vector",
]
