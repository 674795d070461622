"""Sources of structures, one module each, behind the protocol of ``engine.ingest``."""
