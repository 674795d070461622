"""Descriptors: functions from one structure to one vector."""
