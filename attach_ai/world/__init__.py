"""What is true: a process, and the loop through the mind itself."""

from attach_ai.world.inner import Inner as Inner
from attach_ai.world.world import AbstractWorld as AbstractWorld
from attach_ai.world.world import World as World
from attach_ai.world.world import WorldState as WorldState
