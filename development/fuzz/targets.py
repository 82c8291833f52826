"""All targets, with the number of inputs that the command tries."""

from development.fuzz.annotations import Annotations
from development.fuzz.checkpoints import Checkpoints
from development.fuzz.configs import Configs
from development.fuzz.images import Images
from development.fuzz.networks import Networks
from development.fuzz.trials import Target

COUNTS: dict[type[Target], int] = {
    Networks: 1600,
    Checkpoints: 1300,
    Images: 1500,
    Annotations: 450,
    Configs: 450,
}
