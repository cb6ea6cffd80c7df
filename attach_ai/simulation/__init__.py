"""Who does what when: sessions, lives, and how probable a life was."""

from attach_ai.simulation.develop import Childhood as Childhood
from attach_ai.simulation.develop import childhood as childhood
from attach_ai.simulation.develop import develop as develop
from attach_ai.simulation.develop import formative_learning as formative_learning
from attach_ai.simulation.develop import staged as staged
from attach_ai.simulation.rollout import Observed as Observed
from attach_ai.simulation.rollout import Record as Record
from attach_ai.simulation.rollout import condition as condition
from attach_ai.simulation.rollout import rollout as rollout
from attach_ai.simulation.schedule import Days as Days
from attach_ai.simulation.schedule import days as days
from attach_ai.simulation.simulate import log_likelihood as log_likelihood
from attach_ai.simulation.simulate import simulate as simulate
from attach_ai.simulation.structure import compare as compare
from attach_ai.simulation.structure import evidence as evidence
from attach_ai.simulation.surprise import Surprise as Surprise
from attach_ai.simulation.surprise import surprise as surprise
from attach_ai.simulation.trajectory import Trajectory as Trajectory
