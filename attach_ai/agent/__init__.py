"""One mind: perception, planning, learning, and the operators of a practice."""

from attach_ai.agent.agent import Agent as Agent
from attach_ai.agent.agent import Belief as Belief
from attach_ai.agent.agent import Decision as Decision
from attach_ai.agent.exact import Exact as Exact
from attach_ai.agent.hold import Clamp as Clamp
from attach_ai.agent.hold import Field as Field
from attach_ai.agent.hold import Program as Program
from attach_ai.agent.hold import compile_program as compile_program
from attach_ai.agent.learning import Dirichlet as Dirichlet
from attach_ai.agent.mean_field import MeanField as MeanField
from attach_ai.agent.planning import ExpectedFreeEnergy as ExpectedFreeEnergy
from attach_ai.agent.planning import Habit as Habit
from attach_ai.agent.planning import policies as policies
