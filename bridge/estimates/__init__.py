"""What is known of services and targets from the jobs that ran: how long, how sure, what it cost.

Pure: `Estimates` takes observations and times as values, and makes of a snapshot one that is
informed. It is as good for a simulator's clock as for a real one.
"""

from bridge.estimates._breaker import Breaker
from bridge.estimates._sketch import Sketch
from bridge.estimates.book import Estimates
from bridge.estimates.model import Accuracy, Observation, Prediction

__all__ = ["Accuracy", "Breaker", "Estimates", "Observation", "Prediction", "Sketch"]
