"""Runs, provenance, staleness and the report: how a claim becomes a figure."""

from attach_ai.lab.verdict import ROBUST as ROBUST
from attach_ai.lab.verdict import Finding as Finding
from attach_ai.lab.verdict import Verdict as Verdict
from attach_ai.lab.verdict import label as label
