"""Random inputs for networks, configs, checkpoints, annotation files and images.

Every input must be accepted, or refused with one clear error: no other exception, no hang, and no
memory beyond a bound.
"""
