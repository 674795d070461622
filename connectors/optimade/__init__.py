"""Databases that speak OPTIMADE, named by their addresses or by the ids of their providers."""

from connectors.optimade.connector import OptimadeConnector, open_optimade

__all__ = ["OptimadeConnector", "open_optimade"]
