"""Pictures: frames first, drawing second. Matplotlib loads when something is drawn."""

from attach_ai.plot.fit import fit as fit
from attach_ai.plot.graph import graph as graph
from attach_ai.plot.trajectory import trajectory as trajectory
