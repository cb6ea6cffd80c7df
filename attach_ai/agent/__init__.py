"""One mind: perception, planning, learning, and the operators of a practice."""

from attach_ai.agent.affect import Affect as Affect
from attach_ai.agent.affect import Feeling as Feeling
from attach_ai.agent.agent import Agent as Agent
from attach_ai.agent.agent import Belief as Belief
from attach_ai.agent.agent import Decision as Decision
from attach_ai.agent.exact import Exact as Exact
from attach_ai.agent.hold import Program as Program
from attach_ai.agent.hold import compile_program as compile_program
from attach_ai.agent.learning import Dirichlet as Dirichlet
from attach_ai.agent.mean_field import MeanField as MeanField
from attach_ai.agent.memory import LatentCauses as LatentCauses
from attach_ai.agent.memory import Memory as Memory
from attach_ai.agent.memory import flat_base as flat_base
from attach_ai.agent.operators import Clamp as Clamp
from attach_ai.agent.operators import Condition as Condition
from attach_ai.agent.operators import Expand as Expand
from attach_ai.agent.operators import Field as Field
from attach_ai.agent.operators import Precision as Precision
from attach_ai.agent.operators import PriorChange as PriorChange
from attach_ai.agent.planning import ExpectedFreeEnergy as ExpectedFreeEnergy
from attach_ai.agent.planning import Habit as Habit
from attach_ai.agent.planning import policies as policies
from attach_ai.agent.structure import expand as expand
from attach_ai.agent.structure import keep as keep
from attach_ai.agent.structure import prune as prune
from attach_ai.agent.structure import reduce as reduce
