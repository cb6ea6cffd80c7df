"""What others would fit to the same answers: growth, mixed, autoregressive and score models."""

from attach_ai.fit.comparison.rivals.build import rivals as rivals
from attach_ai.fit.comparison.rivals.build import score_model as score_model
from attach_ai.fit.comparison.rivals.driven import Autoregression as Autoregression
from attach_ai.fit.comparison.rivals.driven import EventFilter as EventFilter
from attach_ai.fit.comparison.rivals.latent import Growth as Growth
from attach_ai.fit.comparison.rivals.rival import Rival as Rival
from attach_ai.fit.comparison.rivals.scores import ScoreModel as ScoreModel
