"""NOMAD, the public one and any other installation, by its API of entries and their archives."""

from connectors.nomad.connector import NomadConnector, open_nomad

__all__ = ["NomadConnector", "open_nomad"]
