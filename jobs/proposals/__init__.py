"""New classes that a screening suggests: dense clusters of structures that no class explains."""

from jobs.proposals.propose import FILE, Proposal, ProposalSettings, propose, write_proposal
from jobs.proposals.report import FromClusters

__all__ = ["FILE", "FromClusters", "Proposal", "ProposalSettings", "propose", "write_proposal"]
